"""The few lines that give a config a method, for people with stock tools.

What :func:`with_dynamic_convolutions` does in memory stands there as a config
that inherits from the stock one.
"""

import copy
import inspect
import os
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from mmengine.config import Config
from yapf.yapflib.yapf_api import FormatCode

from ..layers.band_modulation import FrequencyBandModulation
from ..registry import LAYERS
from .learning_rates import ROUTER_RATE, DynamicOptimConstructor
from .nodes import dynamic_backbones
from .rules import LayerRule
from .word import make_stock_, with_dynamic_convolutions
from .words import config_path, configs_folder

_STYLE = dict(
    based_on_style='pep8',
    column_limit=79,
    split_before_expression_after_opening_paren=True,
)


def short_config(
    config: str,
    method: str,
    options: Optional[Mapping[str, Any]] = None,
    rule: Union[LayerRule, Mapping[str, Any], str, None] = None,
    folder: Union[str, Path] = '.',
) -> str:
    """Write down what a method changes in a config.

    Args:
        config: A stock config's path, or ``'mmdet::...'``.
        method: One of :data:`METHODS`, but ``'stock'``.
        options: See :func:`with_dynamic_convolutions`.
        rule: Likewise.
        folder: Where the text will be a file; the way to a config given by
            its path starts there.

    Returns:
        The text of a config.

    Raises:
        ValueError: A word is wrong, or the config cannot be inherited from in
            this way.
    """
    path = config_path(config)
    if method == 'stock':
        raise ValueError(
            "method='stock' needs no new file; use the stock config"
        )
    if Config._is_lazy_import(str(path)):
        raise ValueError(
            f'config: {config!r} is a pure Python config, from which no file '
            "with `_base_` can inherit; give its model's backbone "
            'type=DynamicBackbone, or train it with --conv'
        )
    stock = Config.fromfile(path)
    if make_stock_(copy.deepcopy(stock)):
        raise ValueError(
            f'config: {config!r} is dynamic already; give the stock config '
            'that it inherits from'
        )
    cfg = with_dynamic_convolutions(stock, method, options, rule)
    delta: Dict[str, Any] = dict(custom_imports=cfg.custom_imports)
    for place, node in dynamic_backbones(cfg.model):
        names = place.split('.')
        if any(name.isdecimal() for name in names):
            raise ValueError(
                f'config: {place} is in a list, which a config with `_base_` '
                'cannot change; train it with --conv instead'
            )
        _put(delta, names, _backbone(node, place))
    if cfg.get('custom_hooks') != stock.get('custom_hooks'):
        delta['custom_hooks'] = cfg.custom_hooks
    wrapper = cfg.get('optim_wrapper') or {}
    if wrapper.get('constructor') == DynamicOptimConstructor.__name__:
        place = ('optim_wrapper',)
        _put(delta, (*place, 'constructor'), wrapper.constructor)
        for name in ('constructor', ROUTER_RATE):
            if name in wrapper.paramwise_cfg:
                value = wrapper.paramwise_cfg[name]
                _put(delta, (*place, 'paramwise_cfg', name), value)
    lines = [f'_base_ = {_bases(config, path, folder)!r}']
    lines += [f'{name} = {_code(value)}' for name, value in delta.items()]
    return FormatCode('\n'.join(lines) + '\n', style_config=_STYLE)[0]


def _backbone(node: Mapping[str, Any], place: str) -> Dict[str, Any]:
    """The block of a backbone, the stock one by reference."""
    block = dict(
        _delete_=True,
        type='DynamicBackbone',
        backbone=_Reference(place),
        conv_cfg=_without_defaults(node['conv_cfg']),
    )
    if 'rule' in node:
        block['rule'] = node['rule']
    return block


class _Reference(str):
    """The dotted name of a value of the base."""

    def __repr__(self) -> str:
        return '{{_base_.' + self + '}}'


def _without_defaults(conv_cfg: Mapping[str, Any]) -> Dict[str, Any]:
    """Leave out what the layer does by itself."""
    given = _changed(conv_cfg, LAYERS[conv_cfg['type']].own_options())
    if 'fbm_cfg' in given:
        parameters = inspect.signature(FrequencyBandModulation).parameters
        defaults = {name: p.default for name, p in parameters.items()}
        given['fbm_cfg'] = _changed(given['fbm_cfg'], defaults)
        if not given['fbm_cfg']:
            del given['fbm_cfg']
    return given


def _changed(
    options: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Dict[str, Any]:
    """The options that are not as by default."""
    return {
        name: value
        for name, value in options.items()
        if name not in defaults or not _same(defaults[name], value)
    }


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return list(one) == list(other)
    return type(one) is type(other) and one == other


def _put(tree: Dict[str, Any], place: Sequence[str], value: Any) -> None:
    for name in place[:-1]:
        tree = tree.setdefault(name, {})
    tree[place[-1]] = value


def _bases(config: str, path: Path, folder: Union[str, Path]) -> List[str]:
    """What the file inherits from, as found from its folder."""
    if '::' not in config:
        return [Path(os.path.relpath(path, folder)).as_posix()]
    package = config.partition('::')[0]
    first = configs_folder('mmfdconv') / '_base_/import_mmfdconv.py'
    if package == 'mmfdconv' or (package == 'mmseg' and _is_fork()):
        # MMEngine finds these by name once mmfdconv is imported.
        return [str(first), config]
    return [config]


def _is_fork() -> bool:
    """Whether mmsegmentation is installed as the maintained fork."""
    try:
        metadata.version('mmsegmentation')
    except metadata.PackageNotFoundError:
        return True
    return False


def _code(value: Any) -> str:
    """A value as a config writes it."""
    if isinstance(value, Mapping):
        if all(isinstance(k, str) and k.isidentifier() for k in value):
            inside = (f'{k}={_code(v)}' for k, v in value.items())
            return f'dict({", ".join(inside)})'
        inside = (f'{k!r}: {_code(v)}' for k, v in value.items())
        return f'{{{", ".join(inside)}}}'
    if isinstance(value, list):
        return f'[{", ".join(map(_code, value))}]'
    return repr(value)
