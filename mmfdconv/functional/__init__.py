"""Pure tensor functions: torch only, no state, no configuration."""

from .bands import convolve_to_few, low_pass_bases, modulate_bands
from .batched_conv import pad_input, per_sample_conv2d
from .dct import dct_basis, dct_descriptor
from .experts import mix_experts
from .frequency import (
    MASK_RULES,
    fourier_disjoint_weight,
    frequency_bands,
    image_to_weight,
    kernel_to_spectrum,
    low_pass_mask,
    spectrum_to_kernel,
    weight_to_image,
)
from .frequency_groups import (
    group_sizes,
    radius_order,
    spread_over_groups,
)
from .kernel_gates import gate_image
from .modes import is_traced, no_autocast
from .recomputed_conv import recomputed_conv2d
from .warehouse import (
    CellShape,
    assign_cells,
    cell_shape,
    cells_to_kernels,
    kernel_to_cells,
    num_mixtures,
)

__all__ = [
    'MASK_RULES',
    'CellShape',
    'assign_cells',
    'cell_shape',
    'cells_to_kernels',
    'convolve_to_few',
    'dct_basis',
    'dct_descriptor',
    'fourier_disjoint_weight',
    'frequency_bands',
    'gate_image',
    'group_sizes',
    'image_to_weight',
    'is_traced',
    'kernel_to_cells',
    'kernel_to_spectrum',
    'low_pass_bases',
    'low_pass_mask',
    'mix_experts',
    'modulate_bands',
    'no_autocast',
    'num_mixtures',
    'pad_input',
    'per_sample_conv2d',
    'radius_order',
    'recomputed_conv2d',
    'spectrum_to_kernel',
    'spread_over_groups',
    'weight_to_image',
]
