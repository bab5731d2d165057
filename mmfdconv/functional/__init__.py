"""The equations of the layers as pure functions of tensors."""

from .bands import convolve_to_few, modulate_bands
from .batched_conv import ConvOptions, pad_input, per_sample_conv2d
from .constant_tables import constant_table
from .dct import dct_basis, dct_descriptor
from .experts import mix_experts
from .exported import pool_exported
from .fd_kernels import (
    KernelGates,
    KernelLayout,
    disjoint_weight,
    fd_kernel,
    modulate_kernel,
)
from .frequency import (
    image_to_weight,
    kernel_to_spectrum,
    spectrum_to_kernel,
    weight_to_image,
    wide,
)
from .frequency_order import (
    FrequencyOrder,
    frequency_order,
    half_plane_of_lowest,
)
from .image_conv import convolve_images
from .kernel_cells import (
    CellShape,
    assign_cells,
    cell_shape,
    cells_to_kernels,
    kernel_to_cells,
    num_mixtures,
)
from .low_pass import (
    MASK_RULES,
    frequency_bands,
    low_pass_coefficients,
    low_pass_mask,
    passes_by_products,
)
from .modes import (
    accelerator_path,
    any_size,
    is_exported,
    is_traced,
    no_autocast,
)
from .operators import register_operators
from .recomputing import recompute

register_operators()

__all__ = [
    'MASK_RULES',
    'CellShape',
    'ConvOptions',
    'FrequencyOrder',
    'KernelGates',
    'KernelLayout',
    'accelerator_path',
    'any_size',
    'assign_cells',
    'cell_shape',
    'cells_to_kernels',
    'constant_table',
    'convolve_images',
    'convolve_to_few',
    'dct_basis',
    'dct_descriptor',
    'disjoint_weight',
    'fd_kernel',
    'frequency_bands',
    'frequency_order',
    'half_plane_of_lowest',
    'image_to_weight',
    'is_exported',
    'is_traced',
    'kernel_to_cells',
    'kernel_to_spectrum',
    'low_pass_coefficients',
    'low_pass_mask',
    'mix_experts',
    'modulate_bands',
    'modulate_kernel',
    'no_autocast',
    'num_mixtures',
    'pad_input',
    'passes_by_products',
    'per_sample_conv2d',
    'pool_exported',
    'recompute',
    'spectrum_to_kernel',
    'weight_to_image',
    'wide',
]
