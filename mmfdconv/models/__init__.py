"""Models that the toolboxes lack: Mask DINO, a U-Net decoder, its encoders.

They extend classes of mmdet, mmsegmentation and mmpretrain. ``import
mmfdconv`` does not import the toolboxes: the registry has builders that import
the classes when they are first used. The import also registers
``efficientnet-lite://`` as a prefix of checkpoints.
"""

from importlib import import_module
from typing import Any

from ..registry import MODELS, builder
from .efficientnet_lite import convert_efficientnet_lite

__all__ = [
    'DeepLabResNet',
    'MaskDINO',
    'MaskDINOFusionHead',
    'MaskDINOHead',
    'MaskDINOSegHead',
    'MultibandMobileNetV2',
    'UNetHead',
    'UNetResNet',
    'convert_efficientnet_lite',
]

_MODULES = {
    'DeepLabResNet': '.encoders',
    'MaskDINO': '.maskdino.detector',
    'MaskDINOFusionHead': '.maskdino.detector',
    'MaskDINOHead': '.maskdino.head',
    'MaskDINOSegHead': '.maskdino.seg_head',
    'MultibandMobileNetV2': '.mobilenet',
    'UNetHead': '.unet_head',
    'UNetResNet': '.encoders',
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(_MODULES[name], __name__), name)


for _name, _module in _MODULES.items():
    MODELS.register_module(_name, module=builder(__name__ + _module, _name))
