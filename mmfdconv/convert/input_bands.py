"""Start a model of any number of bands from a checkpoint of three.

Written in front of a checkpoint's name, ``bands:`` and the model's bands make
its first layer fit, wherever MMEngine loads checkpoints, ``load_from``
included::

    init_cfg=dict(
        type='Pretrained',
        checkpoint='bands:blue,green,red,nir:torchvision://resnet18')

It is a scheme of MMEngine's loader and not an initialiser of its own, since
MMEngine runs ``Pretrained`` after all other initialisers, and only that.
"""

import re
from typing import Any, Dict, List, Sequence, Tuple

import torch
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor

_NAME = re.compile(r'bands(?P<bgr>-bgr)?:(?P<bands>[^:]*):(?P<checkpoint>.+)')


def adapt_kernel(
    kernel: Tensor,
    bands: Sequence[str],
    known: Sequence[str] = ('red', 'green', 'blue'),
) -> Tensor:
    """Rearrange the kernels of known bands for others.

    A band of the same name takes its kernel, any other one the mean of all.
    Then all are scaled by ``len(known) / len(bands)``. So where every known
    band is kept, an image that is equal in all bands gives the response that
    it gave before, and others one of about the same size.

    Args:
        kernel: Weight (O, len(known), ...).
        bands: The new bands, in the order of the model's input.
        known: The bands of ``kernel``, in its order.

    Returns:
        Weight (O, len(bands), ...).
    """
    mean = kernel.mean(dim=1)
    parts = [
        kernel[:, known.index(band)] if band in known else mean
        for band in bands
    ]
    return torch.stack(parts, dim=1) * (len(known) / len(bands))


def adapt_state_dict(
    state_dict: Dict[str, Any],
    bands: Sequence[str],
    known: Sequence[str] = ('red', 'green', 'blue'),
) -> str:
    """Make the first layer of a state dict fit other bands, in place.

    The first layer is the only convolution that takes as many channels as
    there are known bands.

    Returns:
        The key of its weight.

    Raises:
        ValueError: No layer does, or several do.
    """
    keys: List[str] = [
        key
        for key, value in state_dict.items()
        if isinstance(value, Tensor)
        and value.dim() == 4
        and value.shape[1] == len(known)
    ]
    if len(keys) != 1:
        raise ValueError(
            'the checkpoint must have exactly one convolution with '
            f'{len(known)} input channels, the first layer, but has '
            f'{", ".join(keys) or "none"}'
        )
    state_dict[keys[0]] = adapt_kernel(state_dict[keys[0]], bands, known)
    return keys[0]


@CheckpointLoader.register_scheme(prefixes=r'bands(-bgr)?:')
def load_from_bands(filename: str, map_location: Any = None) -> Dict:
    """Load ``bands:BAND,...:CHECKPOINT``.

    ``bands:`` takes the checkpoint's three channels for red, green and blue,
    as torchvision and most of OpenMMLab order them, ``bands-bgr:`` for blue,
    green and red, as checkpoints from Caffe do.

    Args:
        filename: Names of the model's bands, in the order of its input, and
            the checkpoint, with a scheme of its own if it has one.
        map_location: See :func:`torch.load`.

    Returns:
        The checkpoint, with its first layer adapted.

    Raises:
        ValueError: The name is not of this form, or the checkpoint has no
            first layer of three channels.
    """
    bands, known, checkpoint = _parse(filename)
    loaded = CheckpointLoader.load_checkpoint(checkpoint, map_location)
    state_dict = loaded
    for name in ('state_dict', 'model'):
        if isinstance(loaded.get(name), dict):
            state_dict = loaded[name]
            break
    try:
        key = adapt_state_dict(state_dict, bands, known)
    except ValueError as error:
        raise ValueError(f'{checkpoint}: {error}') from None
    new = [band for band in bands if band not in known]
    print_log(
        f'{key}: made for the bands {", ".join(bands)}'
        + (f'; {", ".join(new)} by the mean of the three' if new else ''),
        'current',
    )
    return loaded


def _parse(filename: str) -> Tuple[List[str], List[str], str]:
    match = _NAME.fullmatch(filename)
    bands = (
        [name.strip() for name in match['bands'].split(',')] if match else []
    )
    if not all(bands) or not bands or len(set(bands)) != len(bands):
        raise ValueError(
            f'{filename!r}: write bands:blue,green,red,nir:CHECKPOINT, with '
            "the names of the model's bands, each once"
        )
    known = ['red', 'green', 'blue']
    return bands, known[::-1] if match['bgr'] else known, match['checkpoint']
