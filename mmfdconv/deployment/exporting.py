"""Export a model to ONNX, opset 17."""

import contextlib
import io
import logging
import warnings
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import onnx
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..functional import any_size, pool_exported
from ..layers import FDConv
from .culprits import culprit
from .opset import OPSET, merge_equal_constants, to_opset

__all__ = ['DYNAMIC', 'export_onnx', 'obstacles']

#: What may vary, and which dimensions of an image that is.
DYNAMIC: Dict[str, Dict[int, str]] = {
    'batch': {0: 'batch'},
    'size': {2: 'height', 3: 'width'},
}

#: Operators that runtimes on accelerators lack.
_REFUSED = ('DFT', 'STFT', 'Loop', 'Scan')

_EXPORTED_PROGRAMS = hasattr(torch.onnx, 'ONNXProgram') and hasattr(
    torch.onnx.ONNXProgram, 'optimize'
)


def export_onnx(
    model: nn.Module,
    image: Tensor,
    outputs: Sequence[str],
    dynamic: Optional[str] = None,
    torchscript: bool = not _EXPORTED_PROGRAMS,
) -> onnx.ModelProto:
    """Export a model to operators of ONNX opset 17, none of them custom.

    Dynamic layers are written in real arithmetic: matrix products in place of
    FFTs; for one image a convolution with a computed kernel, for any number of
    them a product with what each pixel sees.

    Args:
        model: From an image to a tensor or a flat tuple of tensors; it is
            put into evaluation.
        image: ``(B, C, H, W)``, of ``H`` and ``W`` that the model takes;
            ``B = 1`` unless the batch varies.
        outputs: Names of the model's outputs.
        dynamic: ``'batch'``, ``'size'``, or None, where both are constant.
        torchscript: By ``torch.jit.trace``, as torch before 2.6 exports;
            otherwise by ``torch.export``. Defaults to what this torch's own
            documentation recommends.

    Returns:
        The model, checked.

    Raises:
        ValueError: Something cannot be exported; the message says what.
    """
    if dynamic is not None and dynamic not in DYNAMIC:
        raise ValueError(
            f'dynamic must be one of {sorted(DYNAMIC)} or None, got '
            f'{dynamic!r}'
        )
    found = obstacles(model, dynamic)
    if found:
        lines = '\n'.join(f'  {name}: {why}' for name, why in found)
        raise ValueError(f'these layers cannot be exported:\n{lines}')
    if dynamic == 'batch' and len(image) == 1:
        # Tracers take a batch of one for a constant.
        image = image.repeat(2, 1, 1, 1)
    export = _by_torchscript if torchscript else _by_torch_export
    try:
        with torch.no_grad(), _quiet():
            proto = export(model.eval(), image, outputs, dynamic)
    except Exception as error:
        # Exporters raise anything at all.
        lines = [line for line in str(error).splitlines() if line.strip()]
        with _quiet():
            name = culprit(model, image, lambda *args: export(*args, dynamic))
        where = f'{name}, ' if name else ''
        raise ValueError(
            f'torch {torch.__version__} cannot export {where}'
            f'{type(model.get_submodule(name)).__name__}: '
            f'{type(error).__name__}: '
            + ' '.join(line.strip() for line in lines[:4])
        ) from error
    merge_equal_constants(proto)
    to_opset(proto)
    refused = [n for n in proto.graph.node if n.op_type in _REFUSED]
    if refused:
        raise ValueError(
            f'{refused[0].name} of {type(model).__name__} became '
            f'{refused[0].op_type}, which runtimes on accelerators lack'
        )
    return proto


def obstacles(
    model: nn.Module, dynamic: Optional[str] = None
) -> List[Tuple[str, str]]:
    """Name the layers that no exporter can write down, and say why.

    Args:
        model: Any.
        dynamic: As for :func:`export_onnx`.

    Returns:
        Pairs of a layer's name and the reason.
    """
    found = []
    for name, layer in model.named_modules():
        cls = type(layer)
        if cls.__module__.startswith('mmcv.ops'):
            found.append(
                (name, f'{cls.__name__} is a compiled operator of mmcv')
            )
        fbm = layer.FBM if isinstance(layer, FDConv) else None
        if dynamic == 'size' and fbm is not None and fbm.mask != 'exact':
            found.append(
                (
                    name,
                    f'its masks, mask={fbm.mask!r}, are made for one size; '
                    "fbm_cfg=dict(mask='exact') or a constant size exports",
                )
            )
    return found


def _by_torchscript(
    model: nn.Module,
    image: Tensor,
    outputs: Sequence[str],
    dynamic: Optional[str],
) -> onnx.ModelProto:
    buffer = io.BytesIO()
    axes = dict(image=DYNAMIC[dynamic]) if dynamic else None
    # The later of the two exporters needs to be told that it is not meant.
    later = dict(dynamo=False) if _EXPORTED_PROGRAMS else {}
    sizes = any_size() if dynamic == 'size' else contextlib.nullcontext()
    with sizes, _uneven_pooling():
        torch.onnx.export(
            model,
            (image,),
            buffer,
            input_names=['image'],
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=OPSET,
            **later,
        )
    return onnx.load_from_string(buffer.getvalue())


def _by_torch_export(
    model: nn.Module,
    image: Tensor,
    outputs: Sequence[str],
    dynamic: Optional[str],
) -> onnx.ModelProto:
    axes = DYNAMIC.get(dynamic, {})
    shapes = ({axis: torch.export.Dim(name) for axis, name in axes.items()},)
    if dynamic == 'size':
        # Networks halve an image, which says something about its sides.
        shapes = (dict.fromkeys(axes, torch.export.Dim.DYNAMIC),)
    # It writes opset 18, and converts that to an earlier one badly.
    with _uneven_pooling():
        program = torch.onnx.export(
            model,
            (image,),
            input_names=['image'],
            output_names=list(outputs),
            dynamic_shapes=shapes if dynamic else None,
            opset_version=18,
            dynamo=True,
            verbose=False,
        )
    return program.model_proto


@contextlib.contextmanager
def _uneven_pooling() -> Iterator[None]:
    """Let models pool to grids of uneven cells, such as pyramid pooling does.

    ``torch.jit.trace`` refuses it; ``torch.export`` gathers the pixels of the
    example's size, whatever the image's.
    """
    stock = F.adaptive_avg_pool2d

    def pool(x: Tensor, size: Any) -> Tensor:
        sides = set(size) if isinstance(size, (list, tuple)) else {size}
        if len(sides) > 1 or sides & {1, None}:
            return stock(x, size)
        return pool_exported(x, *sides)

    F.adaptive_avg_pool2d = pool
    try:
        yield
    finally:
        F.adaptive_avg_pool2d = stock


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep exporters from telling what does not concern their user."""
    loggers = [
        logging.getLogger(f'torch.onnx{part}') for part in ('', '._internal')
    ]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
