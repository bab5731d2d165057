"""What the pages tell to type: read by the parsers that it is for.

Running it all would take days. Names, options and their values are what goes
wrong when a command changes, and a parser tells those at once.
"""

import importlib.util
import os
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

pytest.importorskip('mmengine', reason='MMEngine is not installed')
pytest.importorskip('rasterio', reason='rasterio is not installed')
pytest.importorskip('onnx', reason='onnx is not installed')

from mmfdconv.commands import build_parser

REPO = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [
        *REPO.glob('*.md'),
        *REPO.glob('docs/**/*.md'),
        *REPO.glob('configs/**/README.md'),
    ]
)
# A page says of a figure that it was made by a tool of an older commit.
GONE = {'tools/cropland/compare_methods.py'}
PROGRAMS = ('mmfdconv ', 'python tools/', 'bash tools/', 'torchrun ')
# Arguments of the scripts that start several processes; then the tool's own.
SHELL = {
    'tools/dist_train.sh': ('train', 2, ['CONFIG']),
    'tools/dist_test.sh': ('test', 3, ['CONFIG', 'CHECKPOINT']),
    'tools/slurm_train.sh': ('train', 4, ['CONFIG']),
    'tools/slurm_test.sh': ('test', 4, ['CONFIG', 'CHECKPOINT']),
}


def typed_lines(text):
    """Yield the commands in a page's shell blocks, as words."""
    for block in re.findall(r'```(?:bash|shell)\n(.*?)```', text, re.S):
        # A page's own variable holds several `--cfg-options`.
        block = block.replace('\\\n', ' ').replace('$SMALL', 'key=value')
        for line in block.splitlines():
            for part in re.split(r'; (?:do )?', line):
                # Brackets show what may be left out: that is no command.
                if part.startswith(PROGRAMS) and not re.search(r' \[\S', part):
                    yield shlex.split(part, comments=True)


def read(words):
    """Parse a command; say whether it is one of ours."""
    if words[0] == 'mmfdconv':
        return words[1] == '--help' or parse(
            words[1].replace('-', '_'), words[2:]
        )
    places = [i for i, word in enumerate(words) if word.startswith('tools/')]
    if not places:
        return False
    tool, arguments = words[places[0]], words[places[0] + 1 :]
    if tool in GONE:
        return False
    if tool in SHELL:
        command, own, first = SHELL[tool]
        return parse(command, [*first, *arguments[own:]])
    path = REPO / tool
    command = re.search(r"main\('(\w+)'\)", path.read_text())
    if command:
        return parse(command[1], arguments)
    sys.argv = [tool, *arguments]
    runpy.run_path(str(path))['parse_args']()
    return True


def parse(command, arguments):
    build_parser(command, command)[0].parse_args(arguments)
    return True


@pytest.mark.parametrize(
    'page', PAGES, ids=lambda p: p.relative_to(REPO).as_posix()
)
def test_commands_are_understood(page, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['pytest'])
    for words in typed_lines(page.read_text(encoding='utf-8')):
        try:
            read(words)
        except SystemExit as stopped:
            if stopped.code not in (0, None):
                said = capsys.readouterr().err or stopped.code
                pytest.fail(f'{shlex.join(words)}\n{said}')


def test_pages_have_commands_of_ours(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['pytest'])
    page = (REPO / 'docs' / 'tutorials' / 'detector.md').read_text('utf-8')
    assert sum(map(read, typed_lines(page))) == 6


@pytest.mark.slow
def test_the_snippets_of_the_backbones_run(tmp_path, monkeypatch):
    pytest.importorskip('torchvision', reason='torchvision is not installed')
    page = (REPO / 'docs' / 'tutorials' / 'backbones.md').read_text('utf-8')
    names = {}
    snippets = re.findall(r'```python\n(import .*?)```', page, re.S)
    for snippet in snippets:
        exec(snippet, names)
    assert len(snippets) == 2
    assert len(names['report'].converted) > 4
    assert names['y'].shape == (1, 128, 28, 28)


@pytest.fixture(scope='module')
def run_pages():
    """The script that runs pages, as a module."""
    pytest.importorskip('markdown_it', reason='markdown-it-py is missing')
    path = REPO / '.dev_scripts' / 'run_pages.py'
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_page_runs_as_its_comments_say(run_pages, tmp_path):
    page = tmp_path / 'page.md'
    page.write_text("""
```bash
A=1
false first
test $A = 1
```
<!-- run first:
x = 1
-->
```python
y = x
```
```python
z = y / 0
```
<!-- run with: CONFIG=1 "A B=2 3" -- 4
  5 -->
```bash
say() { echo "$@" >said; }
say mmfdconv $CONFIG CONFIG A B    # all
grep -q 'conv 1 2 3 4 5$' said
```
<!-- run as folder/file.py: test "$(cat folder/file.py)" = '_base_ = 1' -->
```python
_base_ = 1
```
<!-- run by: tests/test_docs.py, twice -->
```bash
exit 1
```
<!-- not run: no `srun` -->
```bash
exit 1
```
```bash
exit 1
```
""")
    blocks = run_pages.blocks_of(page)
    (tmp_path / 'page').mkdir()
    with (tmp_path / 'log').open('w') as log:
        sandbox = run_pages.Sandbox(tmp_path / 'page', dict(os.environ), log)
        said = [run_pages.run_block(sandbox, *block) for block in blocks]
        sandbox.close()
    assert [re.sub(r'^\d+ s', 's', text) for text in said] == [
        'FAILED: false first;',
        's',
        "FAILED: ZeroDivisionError('division by zero')",
        's, with `CONFIG=1 "A B=2 3" -- 4 5`',
        's, as `folder/file.py`',
        'by `tests/test_docs.py`, twice',
        'not run: no `srun`',
        'FAILED: the bash ended',
    ]


def test_comments_for_the_script_are_understood(run_pages):
    for page in run_pages.pages():
        for _, code, told in run_pages.blocks_of(page):
            run_pages.adapt(code, told.get('run with', ''))
            if 'run by' in told:
                assert (REPO / told['run by'].partition(',')[0]).is_file()


def test_the_table_of_what_was_run_has_every_block(run_pages):
    """A block that is new or begins anew is run, or says why it is not."""
    reported = run_pages.reported()
    for page in run_pages.pages():
        name = page.relative_to(REPO).as_posix()
        section, blocks = reported[name], run_pages.blocks_of(page)
        assert run_pages.is_of(section, blocks), name
        assert not run_pages.is_of(section, blocks[1:]), name
        assert run_pages.LATER not in section, name
        assert 'FAILED' not in section, name
