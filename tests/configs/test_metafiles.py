"""Metafiles, configs and READMEs agree."""

import re
import runpy
from pathlib import Path

import pytest

yaml = pytest.importorskip('yaml')

ROOT = Path(__file__).resolve().parents[2]
METAFILES = sorted(ROOT.glob('configs/*/*/metafile.yml'))


@pytest.mark.core
def test_index_metafiles_and_configs_agree():
    check = runpy.run_path(str(ROOT / '.dev_scripts' / 'check_metafile.py'))
    assert check['find_problems'](ROOT) == []


@pytest.mark.parametrize('path', METAFILES, ids=lambda p: p.parent.name)
def test_readme_tells_every_figure_and_whose_it_is(path):
    readme = path.with_name('README.md').read_text(encoding='utf-8')
    for model in yaml.safe_load(path.read_text(encoding='utf-8'))['Models']:
        name = Path(model['Config']).name
        (row,) = (line for line in readme.splitlines() if f'({name})' in line)
        for result in model['Results']:
            whose, where = result['Source'].split(' ', 1)
            assert where.strip('()') in readme
            for metric, value in result['Metrics'].items():
                figure = rf'(?<![\d.]){re.escape(str(value))}(?![\d.])'
                assert re.search(figure, row), f'{name}: {metric} {value}'
            heading = readme[: readme.index(row)].rsplit('\n\n', 1)[-1]
            assert f'({whose})' in heading + row, name


def test_readmes_link_every_experiment():
    configs = ROOT / 'configs'
    readme = (configs / 'README.md').read_text(encoding='utf-8')
    links = set(re.findall(r'\]\((mm[^):]*)\)', readme))
    for link in links:
        assert (configs / link).exists(), link
    for folder in configs.glob('mm*/*'):
        assert folder.relative_to(configs).as_posix() in links
        text = (folder / 'README.md').read_text(encoding='utf-8')
        for name in re.findall(r'\]\(([^):]*\.py)\)', text):
            assert (folder / name).is_file(), name
        for path in folder.glob('*.py'):
            assert f'({path.name})' in text, path.name
