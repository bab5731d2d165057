"""Words of a command line: methods, presets and configs, by name.

What a method is stands in its file in ``configs/_base_/dynamic``.
"""

import difflib
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Iterable, Mapping

from mmengine.config import Config, ConfigDict

#: What ``--conv`` takes: the stock layers and the files of the methods.
METHODS = (
    'stock',
    'fdconv',
    'fadconv',
    'odconv',
    'fodconv',
    'kw1x',
    'kw4x',
    'fkw1x',
    'dyconv',
    'condconv',
    'dcd',
    'parameternet',
)
_PACKAGE = Path(__file__).resolve().parents[1]
_SCOPES = ('mmdet', 'mmseg', 'mmpretrain', 'mmfdconv')


def nearest(word: str, words: Iterable[str]) -> str:
    """Say what may have been meant: the nearest words, else all of them."""
    words = list(words)
    by_lower = {w.lower(): w for w in words}
    close = difflib.get_close_matches(word.lower(), by_lower, 3, 0.5)
    if close:
        return f'did you mean {" or ".join(by_lower[w] for w in close)}?'
    return f'there are {", ".join(words)}'


def configs_folder(scope: str) -> Path:
    """Folder of the configs that come with an installed package."""
    if scope == 'mmfdconv':
        installed = _PACKAGE / '.mim' / 'configs'
        # A checkout that no one linked has them beside the package.
        return installed if installed.is_dir() else _PACKAGE.parent / 'configs'
    spec = find_spec(scope)
    if spec is None:
        raise ValueError(f'config: {scope} is not installed')
    return Path(spec.submodule_search_locations[0], '.mim', 'configs')


def config_path(config: str) -> Path:
    """Where a config is.

    Args:
        config: A path, or ``'mmdet::...'``, ``'mmseg::...'``,
            ``'mmpretrain::...'``, ``'mmfdconv::...'``: a path below the
            configs that are installed with that package.

    Raises:
        ValueError: There is no such file; the message has the nearest ones.
    """
    scope, colons, name = config.partition('::')
    if not colons:
        if not Path(config).is_file():
            raise ValueError(
                f'config: {config!r} is not a file; give the path of a '
                'config, or the name of an installed one, such as '
                'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
            )
        return Path(config)
    if scope not in _SCOPES:
        raise ValueError(
            f'config: {config!r} begins with {scope}::, which must be one of '
            f'{", ".join(f"{s}::" for s in _SCOPES)}'
        )
    folder = configs_folder(scope)
    if not (folder / name).is_file():
        have = [p.relative_to(folder).as_posix() for p in folder.rglob('*.py')]
        have = [p for p in have if not p.startswith('_base_')]
        close = difflib.get_close_matches(name, have, 3, 0.5)
        raise ValueError(
            f'config: {scope} has no {name!r}; '
            + (f'did you mean {" or ".join(close)}?' if close else '')
            + ('' if close else f'its configs are in {folder}')
        )
    return folder / name


def merge_values_(cfg: Config, values: Mapping[str, Any], said: str) -> None:
    """Change values of a config, in place.

    Args:
        cfg: The config.
        values: By keys with dots.
        said: What they are called where they were given.

    Raises:
        ValueError: A key leads nowhere.
    """
    try:
        cfg.merge_from_dict(dict(values))
    except (KeyError, TypeError) as error:
        raise ValueError(
            f'{said}: {dict(values)} cannot be merged: {error.args[0]}'
        ) from error


def read_method(method: str) -> ConfigDict:
    """Read a method's file.

    Args:
        method: One of :data:`METHODS`, but ``'stock'``, which has none.

    Returns:
        ``dynamic_conv_cfg``, the layer; ``dynamic_temperature``, the hook of
        a method that needs one, and ``pretraining_temperature``, the one
        with which its authors pretrain. All but the first may be missing.
    """
    folder = configs_folder('mmfdconv') / '_base_' / 'dynamic'
    return Config.fromfile(folder / f'{method}.py')._cfg_dict
