"""What one operation costs, from the shapes of its tensors.

The unit is the toolboxes': one multiply-add is one FLOP. Convolutions, matrix
products and attention count by PyTorch's own formulas; normalisation, resizing
and pooling, which PyTorch's counter leaves out, as in MMEngine's analyser;
FFTs, which both leave out, by :func:`fft`.

A formula takes an operation's inputs, positional, and its output.
"""

import inspect
import math
from typing import Any, Callable, Dict, Sequence

from torch import Tensor
from torch.utils import flop_counter
from torch.utils._pytree import tree_map


def fft(points: int, transforms: int = 1, real: bool = True) -> int:
    """Multiply-adds of FFTs.

    A complex transform of ``N`` points takes about ``5 N log2 N`` additions
    and multiplications (radix 2; the convention of FFTW's benchmarks), one
    of real data half as many, and two of them make a multiply-add: ``1.25 N
    log2 N`` for real data, ``2.5 N log2 N`` for complex.

    Args:
        points: ``N``, all points of one transform, of both its axes.
        transforms: How many.
        real: Whether the data on one side are real.
    """
    factor = 1.25 if real else 2.5
    return round(factor * transforms * points * math.log2(max(points, 1)))


def _pytorchs(formula: Callable) -> Callable:
    """PyTorch's own, of shapes, where a multiply-add is two FLOPs."""
    of_shapes = inspect.unwrap(formula)

    def count(args: Sequence[Any], out: Any) -> int:
        shapes = tree_map(flop_counter.get_shape, (args, out))
        return of_shapes(*shapes[0], out_shape=shapes[1]) // 2

    return count


def _transforms(x: Tensor, axes: Sequence[int], real: bool = True) -> int:
    """FFTs over some axes of ``x``; of real data the side that is real."""
    points = math.prod(x.shape[axis] for axis in axes)
    return fft(points, x.numel() // max(points, 1), real)


def _per_input(args: Sequence[Any], out: Tensor) -> int:
    return args[0].numel()


def _per_output(factor: int) -> Callable:
    return lambda args, out: factor * out.numel()


def _batch_norm(args: Sequence[Any], out: Any) -> int:
    """One multiply-add; scale and shift make another one.

    As in MMEngine, where batch statistics cost as much as a layer norm's.
    """
    x, weight = args[:2]
    batch_statistics = len(args) > 5 and args[5] is True
    if batch_statistics:
        return (5 if weight is not None else 4) * x.numel()
    return (2 if weight is not None else 1) * x.numel()


def _layer_norm(weight_at: int) -> Callable:
    def norm(args: Sequence[Any], out: Any) -> int:
        return (5 if args[weight_at] is not None else 4) * args[0].numel()

    return norm


_PRODUCTS: Dict[str, Callable] = {
    'mm': _pytorchs(flop_counter.mm_flop),
    'bmm': _pytorchs(flop_counter.bmm_flop),
    'addmm': _pytorchs(flop_counter.addmm_flop),
    'baddbmm': _pytorchs(flop_counter.baddbmm_flop),
    'mv': _per_input,
    'addmv': lambda args, out: args[1].numel(),
    'dot': _per_input,
    'convolution': _pytorchs(flop_counter.conv_flop),
    '_convolution': _pytorchs(flop_counter.conv_flop),
    'convolution_overrideable': _pytorchs(flop_counter.conv_flop),
}
_ATTENTION = {
    f'_scaled_dot_product_{kind}': _pytorchs(flop_counter.sdpa_flop)
    for kind in (
        'flash_attention',
        'flash_attention_for_cpu',
        'efficient_attention',
        'cudnn_attention',
    )
}
_FFT: Dict[str, Callable] = {
    '_fft_r2c': lambda args, out: _transforms(args[0], args[1]),
    '_fft_c2r': lambda args, out: _transforms(out, args[1]),
    '_fft_c2c': lambda args, out: _transforms(args[0], args[1], real=False),
}
_POOLING: Dict[str, Callable] = {
    'mean': _per_input,
    '_adaptive_avg_pool2d': _per_input,
}
_OTHERS: Dict[str, Callable] = {
    'native_batch_norm': _batch_norm,
    '_native_batch_norm_legit': _batch_norm,
    '_native_batch_norm_legit_no_training': _batch_norm,
    'cudnn_batch_norm': _batch_norm,
    'native_layer_norm': _layer_norm(2),
    'native_group_norm': _layer_norm(1),
    'upsample_nearest2d': _per_output(1),
    'upsample_bilinear2d': _per_output(4),
    'grid_sampler_2d': _per_output(4),
}

#: Formula of every operation that is counted, by ``torch.ops.aten``'s name.
FORMULAS: Dict[str, Callable] = {
    **_PRODUCTS,
    **_ATTENTION,
    **_FFT,
    **_POOLING,
    **_OTHERS,
}
#: Operations whose cost is nearly all of a model's.
PRODUCT_OPS = frozenset(_PRODUCTS)
FFT_OPS = frozenset(_FFT)
POOLING_OPS = frozenset(_POOLING)
