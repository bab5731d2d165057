"""Pure tensor functions: torch only, no state, no configuration."""

from .bands import low_pass_bases, modulate_bands, weighs_by_products
from .batched_conv import pad_input, pad_zeros, per_sample_conv2d
from .dct import dct_basis, dct_descriptor
from .experts import mix_experts
from .few_outputs import convolve_to_few
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
    half_plane_of_lowest,
    radius_order,
    spread_over_groups,
)
from .modes import is_traced, no_autocast
from .modulated_input import (
    BandOptions,
    InputParts,
    ModulatedInput,
    band_maps,
)
from .modulated_kernel import KernelParts, ModulatedKernel
from .precision import wide
from .recomputed_conv import recomputed_conv2d
from .stages import Stage, Tensors, apply_stage
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
    'BandOptions',
    'CellShape',
    'InputParts',
    'KernelParts',
    'ModulatedInput',
    'ModulatedKernel',
    'Stage',
    'Tensors',
    'apply_stage',
    'assign_cells',
    'band_maps',
    'cell_shape',
    'cells_to_kernels',
    'convolve_to_few',
    'dct_basis',
    'dct_descriptor',
    'fourier_disjoint_weight',
    'frequency_bands',
    'group_sizes',
    'half_plane_of_lowest',
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
    'pad_zeros',
    'per_sample_conv2d',
    'radius_order',
    'recomputed_conv2d',
    'spectrum_to_kernel',
    'spread_over_groups',
    'weight_to_image',
    'weighs_by_products',
    'wide',
]
