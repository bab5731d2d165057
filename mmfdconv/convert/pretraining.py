"""Checkpoints that the config of a backbone names, and how to do without."""

import inspect
from enum import Enum
from typing import Any, Dict, Mapping

from mmengine.registry import MODELS


class NotGiven(Enum):
    """The type of a default that is not None, which says something itself."""

    NOT_GIVEN = 'not given'

    def __repr__(self) -> str:
        return '<not given>'


NOT_GIVEN = NotGiven.NOT_GIVEN


def is_pretrained(init_cfg: Mapping[str, Any]) -> bool:
    """Whether an initialiser is one of those that load a checkpoint."""
    kind = init_cfg.get('type')  # 'Pretrained', in mmseg 'Pretrained_Part' too
    return str(getattr(kind, '__name__', kind)).startswith('Pretrained')


def without_pretraining(backbone: Mapping[str, Any]) -> Dict[str, Any]:
    """Copy the config of a backbone, naming no checkpoint at any depth.

    A backbone may have another one inside, under any name; other initialisers
    stay.
    """
    config = strip_checkpoints(backbone)
    cls = backbone['type']
    if isinstance(cls, str):
        # As it is built: a name without scope is the default scope's.
        with MODELS.switch_scope_and_registry(None) as registry:
            cls = registry.get(cls)
    own = cls and inspect.signature(cls).parameters.get('pretrained')
    if own is not None and own.default is True:  # mmseg's TIMMBackbone
        config['pretrained'] = False
    return config


def strip_checkpoints(node: Any) -> Any:
    """Copy a part of a config without the checkpoints that it names."""
    if isinstance(node, (list, tuple)):
        return type(node)(strip_checkpoints(item) for item in node)
    if not isinstance(node, Mapping):
        return node
    config = dict(node)
    for key, value in node.items():
        if key == 'init_cfg' and isinstance(value, Mapping):
            config[key] = None if is_pretrained(value) else value
        elif key == 'init_cfg' and isinstance(value, (list, tuple)):
            config[key] = [cfg for cfg in value if not is_pretrained(cfg)]
        elif key == 'pretrained' and value:
            config[key] = False if value is True else None
        else:
            config[key] = strip_checkpoints(value)
    return config
