"""FDConv's operators, by PyTorch's own checks and against the equations."""

import pytest
import torch

from mmfdconv.functional import (
    KernelGates,
    fd_kernel,
    modulate_bands,
    recomputing,
)

from .helpers import assert_same_with_gradients, kernel_case

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(
        not hasattr(torch.library, 'custom_op'),
        reason=f'torch {torch.__version__} has no operators in Python: '
        'compiled models get plain operations',
    ),
]

OCTAVES = [2.0, 4.0, 8.0]


def kernel_arguments(case, frozen=False):
    layout, tensors = kernel_case(case)
    if frozen:
        tensors[0].requires_grad_(False)
    sizes = list(layout.shape), layout.groups, layout.num_kept
    return layout, tensors, sizes


def band_arguments(size=(6, 9), bands=3, groups=2):
    x = torch.randn(2, groups, 4 // groups, *size, dtype=torch.double)
    maps = torch.rand(2, groups, bands, *size, dtype=torch.double)
    return x.requires_grad_(), maps.requires_grad_()


@pytest.mark.parametrize(
    'case, frozen',
    [('all', False), ('groups', True), ('frequencies alone', False)],
)
def test_torchs_checks_of_kernels(case, frozen):
    _, tensors, sizes = kernel_arguments(case, frozen)
    torch.library.opcheck(
        torch.ops.mmfdconv.fd_kernel.default, (*tensors, *sizes)
    )


def test_torchs_checks_of_bands():
    torch.library.opcheck(
        torch.ops.mmfdconv.modulate_bands.default,
        (*band_arguments(), OCTAVES),
    )


@pytest.mark.parametrize(
    'case', ['all', 'odd width', 'depthwise', 'pointwise', 'global']
)
@pytest.mark.parametrize('at_once', [2**20, 1], ids=['batch', 'samples'])
def test_kernels_are_the_equations(case, at_once, monkeypatch):
    monkeypatch.setattr(recomputing, '_AT_ONCE', at_once)
    layout, tensors, sizes = kernel_arguments(case)
    present = [t for t in tensors if t is not None]

    def all_of(values):
        values = iter(values)
        return [t if t is None else next(values) for t in tensors]

    def operator(*values):
        return torch.ops.mmfdconv.fd_kernel(*all_of(values), *sizes)[0]

    def eager(*values):
        spectra, *gates = all_of(values)
        return fd_kernel(spectra, KernelGates(*gates), layout)

    assert_same_with_gradients(operator, eager, present)


@pytest.mark.parametrize('size', [(7, 12), (1, 3), (300, 8)], ids=str)
@pytest.mark.parametrize('bands, groups', [(3, 1), (4, 2)])
def test_bands_are_the_equation(size, bands, groups):
    x, maps = band_arguments(size, bands, groups)

    def operator(x, maps):
        return torch.ops.mmfdconv.modulate_bands(x, maps, OCTAVES)

    def eager(x, maps):
        return modulate_bands(x.flatten(1, 2), maps, OCTAVES).view(x.shape)

    assert_same_with_gradients(operator, eager, (x, maps))
