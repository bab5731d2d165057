"""Check that configs, metafiles and model-index.yml agree.

Metafiles hold results: every entry has a config, some results, and every
result says where it comes from: `Source: paper (arXiv:2503.18783, Table 1)`
for a figure of the paper, `Source: measured (...)` for one of ours.
"""

import argparse
import re
import sys
from pathlib import Path

import yaml

SOURCE = re.compile(r'(paper|measured) \(.+\)')


def load(path):
    """Return a YAML file's mapping; raise ValueError where it is none."""
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except yaml.YAMLError as error:
        raise ValueError(f'is not valid YAML: {error}') from None
    if not isinstance(content, dict):
        raise ValueError('must hold a mapping')
    return content


def check_results(model):
    """Yield what is wrong with the results of one model entry."""
    if not model.get('Results'):
        yield 'it has no Results; an entry without them says nothing'
    for result in model.get('Results') or []:
        if not isinstance(result, dict) or not result.get('Metrics'):
            yield f'a result without Metrics: {result}'
            continue
        source = result.get('Source')
        if not isinstance(source, str) or not SOURCE.fullmatch(source):
            yield (
                f'a result with Source {source!r}; write whose figure it is: '
                f"'paper (arXiv:NUMBER, Table N)' or 'measured (LOG)'"
            )


def check_model(root, model, collections):
    """Yield what is wrong with one entry of a metafile's Models."""
    if not isinstance(model, dict) or not model.get('Name'):
        yield f'a model without Name: {model}'
        return
    name = model['Name']
    config = model.get('Config')
    if not config or not (root / config).is_file():
        yield f'{name}: Config {config!r} is not a file'
    elif Path(config).stem != name:
        yield f'{name}: Config {config!r} has another name than the model'
    collection = model.get('In Collection')
    if collection is not None and collection not in collections:
        yield (
            f'{name}: In Collection {collection!r} is not among the '
            f"metafile's Collections {sorted(collections)}"
        )
    for problem in check_results(model):
        yield f'{name}: {problem}'


def find_problems(root):
    """Return one line for everything that does not agree under `root`."""
    problems = []
    index_path = root / 'model-index.yml'
    try:
        listed = load(index_path).get('Import') or []
    except (OSError, ValueError) as error:
        return [f'model-index.yml: {error}']
    files = {
        path.relative_to(root).as_posix()
        for path in root.glob('configs/**/metafile.yml')
    }
    for name in sorted(files - set(listed)):
        problems.append(f'model-index.yml: {name} is not listed')
    for name in sorted(set(listed) - files):
        problems.append(f'model-index.yml: {name} is listed but not a file')

    entries = []
    for name in sorted(files):
        try:
            content = load(root / name)
            models = content['Models']
        except (ValueError, KeyError) as error:
            problems.append(f'{name}: {error}')
            continue
        if not (root / name).with_name('README.md').is_file():
            problems.append(f'{name}: there is no README.md beside it')
        collections = {c['Name'] for c in content.get('Collections') or []}
        for model in models:
            for problem in check_model(root, model, collections):
                problems.append(f'{name}: {problem}')
            if isinstance(model, dict):
                entries.append(model.get('Config'))
    for config in sorted({c for c in entries if c and entries.count(c) > 1}):
        problems.append(f'{config}: more than one entry')
    return problems


def main():
    """Print the problems; exit with 1 where there are any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'root',
        nargs='?',
        type=Path,
        default=Path(__file__).resolve().parents[1],
        help='the repository; default: this one',
    )
    problems = find_problems(parser.parse_args().root)
    print('\n'.join(problems) or 'All metafiles agree with the configs.')
    return bool(problems)


if __name__ == '__main__':
    sys.exit(main())
