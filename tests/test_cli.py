"""The command ``mmfdconv``: its subcommands, its help, its errors."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mmfdconv_cli

pytestmark = pytest.mark.core

REPO = Path(__file__).resolve().parents[1]
MODULES = {
    path.stem
    for path in (REPO / 'mmfdconv' / 'commands').glob('*.py')
    if path.stem != '__init__'
}


def test_every_command_has_its_module():
    names = {name.replace('-', '_') for name in mmfdconv_cli.COMMANDS}
    assert names == MODULES


@pytest.mark.parametrize('name', sorted(MODULES))
def test_every_command_explains_itself(name, capsys):
    pytest.importorskip('mmengine')
    from mmfdconv import commands

    if commands._EXTRAS.get(name) == 'cropland':
        pytest.importorskip('rasterio')
    if commands._EXTRAS.get(name) == 'deploy':
        pytest.importorskip('onnx')
    with pytest.raises(SystemExit) as stopped:
        commands.main(name, ['--help'], f'mmfdconv {name}')
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f'usage: mmfdconv {name} ')
    module = importlib.import_module(f'mmfdconv.commands.{name}')
    assert module.__doc__.splitlines()[0][:60] in said


def test_the_page_names_the_commands_of_each_extra():
    pytest.importorskip('mmengine')
    from mmfdconv import commands

    page = (REPO / 'docs' / 'start.md').read_text(encoding='utf-8')
    rows = dict(re.findall(r"'\.\[(\w+)\]'` \| (.*?) \|", page))
    for name, extra in commands._EXTRAS.items():
        assert f'`{name.replace("_", "-")}`' in rows[extra]


def test_help_imports_no_torch():
    code = (
        'import sys, mmfdconv_cli\n'
        'try:\n'
        "    mmfdconv_cli.main(['--help'])\n"
        'finally:\n'
        "    print([m for m in ('torch', 'mmengine') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout.splitlines()
    assert said[-1] == '[]'
    for name, text in mmfdconv_cli.COMMANDS.items():
        assert any(line.split() == [name, *text.split()] for line in said)


@pytest.mark.parametrize(
    ('argv', 'said'),
    [
        (['trian'], "no command 'trian'; did you mean train?"),
        (['zzz'], 'there are train, test, compare'),
        ([], 'required: COMMAND'),
    ],
    ids=str,
)
def test_unknown_commands(argv, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        mmfdconv_cli.main(argv)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_a_missing_package_is_named(monkeypatch):
    pytest.importorskip('mmengine')
    from mmfdconv import commands

    def absent(name):
        raise ModuleNotFoundError('no module', name='rasterio')

    monkeypatch.setattr(commands.importlib, 'import_module', absent)
    with pytest.raises(SystemExit) as stopped:
        commands.main('map', [], 'mmfdconv map')
    said = str(stopped.value.code)
    assert said.startswith("mmfdconv map: error: the package 'rasterio'")
    assert "pip install 'mmfdconv[cropland]'" in said
