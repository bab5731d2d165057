"""Options of FDConv: the published gate, options without effect, checks."""

import math
import warnings
from typing import Any, Dict, Optional, Sequence, Tuple

from torch import nn

from .checks import (
    check_choice,
    check_number,
    check_numbers,
    check_positive,
    check_positive_int,
)

_FBM_OPTIONS = (
    'k_list',
    'lowfreq_att',
    'act',
    'spatial_group',
    'spatial_kernel',
    'init',
    'mask',
)
_FBM_OPTIONS_WITHOUT_EFFECT = ('fs_feat', 'spatial', 'global_selection')
_warned = set()


def has_fbm(
    conv: nn.Module, use_fbm_if_k_in: Sequence[int], use_fbm_for_stride: bool
) -> bool:
    """Whether a layer modulates the bands of its input.

    Args:
        conv: Anything with the attributes of an ``nn.Conv2d``.
        use_fbm_if_k_in: It does if both sides of its kernel are in this list,
        use_fbm_for_stride: and, if so, where it is strided.
    """
    check_numbers('use_fbm_if_k_in', use_fbm_if_k_in)
    by_kernel = all(k in use_fbm_if_k_in for k in conv.kernel_size)
    return by_kernel or (use_fbm_for_stride and max(conv.stride) > 1)


def published_gate(
    conv: nn.Module,
    use_fdconv_if_c_gt: Optional[int],
    use_fdconv_if_k_in: Optional[Sequence[int]],
) -> Optional[str]:
    """Why the published code would keep a convolution static, or None.

    Args:
        conv: Anything with the attributes of an ``nn.Conv2d``.
        use_fdconv_if_c_gt: The narrower side must have more channels.
        use_fdconv_if_k_in: Both sides of the kernel must be in this list.
    """
    if use_fdconv_if_c_gt is not None:
        check_number('use_fdconv_if_c_gt', use_fdconv_if_c_gt)
    if use_fdconv_if_k_in is not None:
        check_numbers('use_fdconv_if_k_in', use_fdconv_if_k_in)
    narrow = min(conv.in_channels, conv.out_channels)
    if use_fdconv_if_c_gt is not None and narrow <= use_fdconv_if_c_gt:
        return (
            f'min(in_channels, out_channels)={narrow} is not above '
            f'use_fdconv_if_c_gt={use_fdconv_if_c_gt}'
        )
    if use_fdconv_if_k_in is not None and any(
        k not in use_fdconv_if_k_in for k in conv.kernel_size
    ):
        return (
            f'kernel_size={tuple(conv.kernel_size)} is not in '
            f'use_fdconv_if_k_in={list(use_fdconv_if_k_in)}'
        )
    return None


def note_without_effect(
    fbm_cfg: Dict[str, Any],
    spatial_freq_decompose: Optional[bool],
    **options: Any,
) -> Dict[str, Any]:
    """Warn, once per process, of published options that do nothing.

    Args:
        fbm_cfg: The user's; left as it is.
        spatial_freq_decompose: Refused when true.
        options: Published options without effect; None: not given.

    Returns:
        ``fbm_cfg`` without the options that do nothing.
    """
    if spatial_freq_decompose:
        raise ValueError(
            'spatial_freq_decompose=True is not defined by the paper and '
            'fails in the published code; leave it out or pass False'
        )
    # Here and not in FBM alone: a layer without one would swallow a typo.
    known = _FBM_OPTIONS + _FBM_OPTIONS_WITHOUT_EFFECT
    unknown = [name for name in fbm_cfg if name not in known]
    if unknown:
        raise ValueError(
            f'fbm_cfg has no option {unknown}; it has {list(_FBM_OPTIONS)}'
        )
    if fbm_cfg.get('spatial', 'conv') != 'conv':
        raise ValueError(
            f"fbm_cfg['spatial'] must be 'conv', got {fbm_cfg['spatial']!r}"
        )
    options['spatial_freq_decompose'] = spatial_freq_decompose
    names = [name for name, value in options.items() if value is not None]
    names += [
        f'fbm_cfg[{name!r}]'
        for name in _FBM_OPTIONS_WITHOUT_EFFECT
        if name in fbm_cfg
    ]
    new = [name for name in names if name not in _warned]
    if new:
        _warned.update(new)
        warnings.warn(
            f'FDConv: {", ".join(new)} has no effect, as in the published '
            'code; it is accepted so that published configs work',
            stacklevel=3,
        )
    return {
        name: value
        for name, value in fbm_cfg.items()
        if name not in _FBM_OPTIONS_WITHOUT_EFFECT
    }


def check_options(
    out_channels: int,
    kernel_size: Tuple[int, int],
    kernel_num: Optional[int],
    param_ratio: int,
    kernel_temp: float,
    temp: Optional[float],
    *,
    reduction: float,
    att_multi: float,
    param_reduction: float,
    ksm_only_kernel_att: bool,
    ksm_local_act: str,
    ksm_global_act: str,
    linear_mode: bool,
) -> Tuple[int, float, float]:
    """Check FDConv's options and fill in those that depend on others.

    Returns:
        ``kernel_num``, ``kernel_temp`` and ``temp`` as they are to be used.

    Raises:
        ValueError: Names the argument, its value and what would be right.
    """
    check_positive_int('param_ratio', param_ratio)
    if kernel_num is None:
        kernel_num = max(out_channels // 2, 1)
        kernel_temp = math.sqrt(kernel_num * param_ratio)
    temp = kernel_temp if temp is None else temp
    check_positive_int('kernel_num', kernel_num)
    check_positive('reduction', reduction)
    check_positive('kernel_temp', kernel_temp)
    check_positive('temp', temp)
    check_positive('att_multi', att_multi)
    check_positive('param_reduction', param_reduction)
    if param_reduction > 1:
        raise ValueError(
            'param_reduction is the part of the frequencies to keep, in '
            f'(0, 1], got {param_reduction}'
        )
    if ksm_only_kernel_att and kernel_num * param_ratio == 1:
        raise ValueError(
            'ksm_only_kernel_att=True leaves the global branch nothing to '
            f'predict when there is one group, got kernel_num={kernel_num} '
            f'and param_ratio={param_ratio}'
        )
    check_choice('ksm_local_act', ksm_local_act, ('sigmoid', 'tanh'))
    global_acts = ('sigmoid', 'tanh')
    if ksm_only_kernel_att:
        # The other heads multiply elements, which do not sum to 1.
        global_acts += ('softmax',)
    check_choice('ksm_global_act', ksm_global_act, global_acts)
    if linear_mode and tuple(kernel_size) != (1, 1):
        raise ValueError(
            f'linear_mode needs kernel_size=1, got kernel_size={kernel_size}'
        )
    return kernel_num, kernel_temp, temp
