"""MkDocs hook: what of the site follows from the repository.

Pages under docs/ link to files beside them (configs, sources, the changelog),
as any host of repositories resolves them. Here these files become part of the
site: texts as pages, others as files, so that it is whole without one. Tables
of configs, the API's pages and the citation are made anew at every build; the
commands' options are read from ``build/site/commands.md``, which ``make docs``
writes with the stack's interpreter, as parsers import torch.
"""

import ast
import html
import os
import posixpath
import re
from pathlib import Path

import latex2mathml.converter
import yaml
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ROOT / 'build' / 'site' / 'commands.md'
#: Texts outside of docs/ that are pages.
TEXTS = ('CHANGELOG.md', 'CONTRIBUTING.md', 'configs/README.md')
#: Parts of the package with a page in the reference, in the order of imports.
PARTS = {
    'layers': 'Layers',
    'functional': 'Functions of the layers',
    'convert': 'Conversion',
    'models': 'Models',
    'datasets': 'Datasets',
    'evaluation': 'Metrics',
    'hooks': 'Hooks',
    'engine': 'Engine',
    'analysis.cost': 'Cost',
    'cropland': 'Cropland',
    'deployment': 'Deployment',
}


# ------------------------------------------------------------- made-up pages


def on_config(config):
    """Complete the navigation by the pages that are made here."""
    results = sorted((ROOT / 'docs' / 'results').glob('*.md'))
    for section in config.nav:
        if 'Results' in section:
            section['Results'][:0] = [f'results/{p.name}' for p in results]
        if 'Reference' in section:
            python = [{t: f'reference/{p}.md'} for p, t in PARTS.items()]
            section['Reference'] += [
                {'Experiments': ['configs/README.md', *readmes()]},
                {'Python': python},
            ]
    return config


def on_files(files, config):
    """Add the pages that are made here, and the texts outside of docs/."""
    if not COMMANDS.is_file():
        raise PluginError(f'{COMMANDS} is missing; `make docs` writes it')
    pages = {
        'reference/commands.md': COMMANDS.read_text(encoding='utf-8'),
        'reference/configs.md': configs_page(),
        'citation.md': citation_page(),
    }
    for part, title in PARTS.items():
        pages[f'reference/{part}.md'] = api_page(part, title)
    for uri, content in pages.items():
        files.append(File.generated(config, uri, content=content))
    texts = [*TEXTS, *readmes()]
    for name in texts:
        files.append(
            File.generated(config, name, abs_src_path=str(ROOT / name))
        )
    home = str(ROOT / 'README.md')
    files.append(File.generated(config, 'index.md', abs_src_path=home))
    return files


def readmes():
    """Return the names of the READMEs of the experiments' folders."""
    found = ROOT.glob('configs/*/*/README.md')
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def api_page(part, title):
    """Return the page of a part of the package, or of its modules."""
    folder = ROOT / 'mmfdconv' / part.replace('.', '/')
    names = [f'mmfdconv.{part}']
    if '__all__' not in (folder / '__init__.py').read_text(encoding='utf-8'):
        names += [
            f'mmfdconv.{part}.{path.stem}'
            for path in sorted(folder.glob('*.py'))
            if path.stem != '__init__' and public_names(path)
        ]
    return f'# {title}\n\n' + '\n\n'.join(f'::: {name}' for name in names)


def public_names(path):
    """Return what a module says is public, in ``__all__``."""
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.Assign) and any(
            getattr(target, 'id', '') == '__all__' for target in node.targets
        ):
            return ast.literal_eval(node.value)
    return []


def configs_page():
    """Return the table of all experiments, with their metafiles' results."""
    results = {}
    for path in ROOT.glob('configs/*/*/metafile.yml'):
        for model in yaml.safe_load(path.read_text('utf-8'))['Models']:
            results[model['Config']] = [
                f'{metric} {value}, {result["Dataset"]}: {result["Source"]}'
                for result in model['Results']
                for metric, value in result['Metrics'].items()
            ]
    lines = [
        '# Configs\n',
        'All config files of this repository, with their scores. After each'
        ' score is its source: a paper, the authors, or our own measurement.'
        ' For any other model and method, add `--conv` to a stock config: see'
        ' [Experiments](../../configs/README.md).',
    ]
    for folder in sorted(ROOT.glob('configs/mm*/*')):
        place = folder.relative_to(ROOT).as_posix()
        lines += [
            f'\n## {place.removeprefix("configs/")}\n',
            f'[About these configs](../../{place}/README.md)\n',
            '| config | scores |\n| :-- | :-- |',
        ]
        for path in sorted(folder.rglob('*.py')):
            name = path.relative_to(ROOT).as_posix()
            figures = '<br>'.join(results.get(name, ['']))
            lines.append(f'| [{path.stem}](../../{name}) | {figures} |')
    return '\n'.join(lines) + '\n'


def citation_page():
    """Return CITATION.cff as a page with BibTeX entries."""
    cff = yaml.safe_load((ROOT / 'CITATION.cff').read_text('utf-8'))
    entries = [
        f'@software{{mmfdconv,\n  title = {{{cff["title"]}}},\n'
        f'  author = {{{cff["authors"][0]["name"]}}},\n'
        f'  version = {{{cff["version"]}}},\n'
        f'  year = {{{str(cff["date-released"])[:4]}}}\n}}'
    ]
    for paper in cff['references']:
        people = [
            ', '.join(filter(None, (a['family-names'], a.get('given-names'))))
            for a in paper['authors']
        ]
        key = paper['authors'][0]['family-names'].lower() + str(paper['year'])
        key += paper['title'].split()[0].strip(':').lower()
        entries.append(
            f'@article{{{key},\n  title = {{{paper["title"]}}},\n'
            f'  author = {{{" and ".join(people)}}},\n'
            f'  journal = {{{paper["journal"]}}},\n'
            f'  year = {{{paper["year"]}}},\n  url = {{{paper["url"]}}}\n}}'
        )
    body = '\n\n'.join(entries)
    return f'# Citation\n\n{cff["message"]}\n\n```bibtex\n{body}\n```\n'


# --------------------------------------------------------------------- links


def on_page_markdown(markdown, page, config, files):
    """Turn links to files of the repository into links within the site."""
    here = page.file.src_uri
    source = here if (ROOT / here).exists() else f'docs/{here}'
    if here == 'index.md':  # the README is the home page
        source = 'README.md'

    def inside(match):
        link, mark, anchor = match[2].partition('#')
        if not link or '://' in link or link.startswith('mailto:'):
            return match[0]
        target = posixpath.normpath(
            posixpath.join(posixpath.dirname(source), link)
        )
        if target == 'README.md':
            target = 'index.md'
        path = ROOT / target
        if (path / 'README.md').is_file():
            path, target = path / 'README.md', f'{target}/README.md'
        elif path.is_dir():
            target = 'docs/reference/configs.md'
        uri = target.removeprefix('docs/')
        if path.is_file() and files.get_file_from_path(uri) is None:
            files.append(File.generated(config, uri, abs_src_path=str(path)))
        # What does not exist stays as it is, and MkDocs says so.
        relative = os.path.relpath(uri, posixpath.dirname(here) or '.')
        return f'{match[1]}{relative}{mark}{anchor})'

    return re.sub(r'(\]\()([^)\s]+)\)', inside, markdown)


# ---------------------------------------------------------------------- math


def on_page_content(content, **_):
    r"""Write ``\(...\)`` and ``\[...\]`` of Arithmatex as MathML."""

    def convert(match):
        tag, text = match[1], html.unescape(match[2])
        display = 'block' if tag == 'div' else 'inline'
        made = latex2mathml.converter.convert(text[2:-2], display=display)
        return f'<{tag} class="math">{made}</{tag}>'

    return re.sub(
        r'<(span|div) class="arithmatex">(.*?)</\1>',
        convert,
        content,
        flags=re.S,
    )
