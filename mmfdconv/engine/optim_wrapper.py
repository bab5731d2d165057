"""Mixed precision, also on a machine without accelerator.

``AmpOptimWrapper`` of MMEngine refuses to exist there, so a config that names
it cannot even be tried out on a CPU. ``AutoAmpOptimWrapper`` stands in for it
in such configs: float32, or bfloat16 where the config asks for it.
"""

import logging
from contextlib import contextmanager
from typing import Iterator, Union

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn


def accelerator_available() -> bool:
    """Whether there is a device that ``AmpOptimWrapper`` works on."""
    return get_device() in ('cuda', 'npu', 'mlu', 'musa')


def _check_loss_scale(loss_scale: Union[float, str, dict]) -> None:
    if loss_scale == 'dynamic' or isinstance(loss_scale, (float, dict)):
        return
    raise ValueError(
        "loss_scale must be 'dynamic', a float (static scale) or a dict "
        f'(arguments of GradScaler), but got {loss_scale!r}'
    )


def _check_dtype(dtype: Union[str, torch.dtype, None]) -> None:
    if dtype is None or isinstance(dtype, torch.dtype):
        return
    if dtype in AmpOptimWrapper.valid_dtypes:
        return
    raise ValueError(
        'dtype must be None, a torch.dtype or one of '
        f'{AmpOptimWrapper.valid_dtypes}, but got {dtype!r}'
    )


class CpuAmpOptimWrapper(OptimWrapper):
    """``OptimWrapper`` whose forward passes run under bfloat16 autocast.

    On the CPU. bfloat16 has float32's range, so there is no loss scale.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast, beside what ``OptimWrapper`` does.

        Args:
            model (nn.Module): The model that is trained.
        """
        with super().optim_context(model):
            with torch.autocast('cpu', torch.bfloat16):
                yield


@OPTIM_WRAPPERS.register_module(name='AutoAmpOptimWrapper')
def build_auto_amp_optim_wrapper(
    loss_scale: Union[float, str, dict] = 'dynamic',
    dtype: Union[str, torch.dtype, None] = None,
    **kwargs,
) -> OptimWrapper:
    """Build ``AmpOptimWrapper``, or ``OptimWrapper`` without accelerator.

    It returns an instance of MMEngine's own two classes, so whatever asks for
    their type gets a true answer. The arguments are checked on every machine:
    a config that is tried out on a CPU does not fail later on a GPU.

    Without accelerator the default is float32, because bfloat16 is slow on
    most CPUs and MMEngine knows no float16 there. ``dtype='bfloat16'`` is
    taken at its word: an ``OptimWrapper`` that autocasts on the CPU.
    (A detector may call operators of mmcv, such as NMS, that know no bfloat16
    on a CPU; they end such a run with an error, converted backbone or not.)

    A checkpoint moves both ways. Resumed on an accelerator, a checkpoint from
    a machine without one starts with a fresh loss scale; resumed without
    accelerator, the stored loss scale is left aside.

    Args:
        loss_scale: ``'dynamic'``, a static scale, or ``GradScaler``'s
            arguments.
        dtype: What to autocast to. ``None`` means the accelerator's default
            (float16 for CUDA), and float32 without accelerator.
        **kwargs: Everything else that ``AmpOptimWrapper`` takes, such as
            ``optimizer``, ``accumulative_counts`` and ``clip_grad``.

    Example:
        >>> optim_wrapper = dict(
        ...     type='AutoAmpOptimWrapper',
        ...     loss_scale='dynamic',
        ...     optimizer=dict(type='AdamW', lr=1e-4))
    """
    _check_loss_scale(loss_scale)
    _check_dtype(dtype)
    if accelerator_available():
        return AmpOptimWrapper(loss_scale=loss_scale, dtype=dtype, **kwargs)
    if dtype in ('bfloat16', torch.bfloat16):
        return CpuAmpOptimWrapper(**kwargs)
    print_log(
        'AutoAmpOptimWrapper: no accelerator (CUDA, NPU, MLU, MUSA) is '
        'available, so training runs in float32 without loss scale instead '
        "of in mixed precision. optim_wrapper.dtype='bfloat16' makes it run "
        'in bfloat16 on the CPU.',
        logger='current',
        level=logging.WARNING,
    )
    return OptimWrapper(**kwargs)
