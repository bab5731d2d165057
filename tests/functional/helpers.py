"""What the tests of functions with a backward pass of their own share."""

from typing import Callable, Sequence

import torch
from torch import Tensor

from mmfdconv.functional import KernelLayout, frequency_order, modes

#: (O, C/G, kh, kw), G, and which of row, filter and local gates there are
KERNEL_CASES = {
    'all': ((4, 3, 3, 2), 1, 'row filter local'),
    'odd width': ((3, 3, 2, 3), 1, 'row local'),
    'groups': ((6, 2, 3, 3), 3, 'row filter local'),
    'depthwise': ((4, 1, 3, 3), 4, 'row local'),
    'depthwise 1x1': ((4, 1, 1, 1), 4, 'row filter local'),
    'pointwise': ((5, 4, 1, 1), 1, 'local'),
    'global': ((4, 3, 3, 3), 1, 'row filter'),
    'frequencies alone': ((4, 3, 3, 3), 1, ''),
}


def assert_same_with_gradients(
    function: Callable[..., Tensor],
    reference: Callable[..., Tensor],
    tensors: Sequence[Tensor],
) -> None:
    """Compare two functions of ``tensors``, outputs and all gradients."""
    y, expected = function(*tensors), reference(*tensors)
    torch.testing.assert_close(y, expected)
    grad = torch.randn_like(y)
    for found, other in zip(
        torch.autograd.grad(y, tensors, grad),
        torch.autograd.grad(expected, tensors, grad),
    ):
        torch.testing.assert_close(found, other)


def refuse_contradictions(monkeypatch):
    """Let inverse FFTs be as picky as cuFFT, which may read anything there.

    Of a column that stands for itself the imaginary part must be 0, and no
    library is asked to make it so.
    """
    irfft = torch.fft.irfft

    def pick(spectrum, n, dim=-1):
        assert dim == -1
        alone = spectrum[..., :: n // 2 if n % 2 == 0 else n].imag
        assert not alone.any()
        return irfft(spectrum, n=n)

    monkeypatch.setattr(torch.fft, 'irfft', pick)
    monkeypatch.setattr(torch.fft, 'irfft2', None)
    monkeypatch.setattr(modes, '_cpu_like', set())


def kernel_case(case, batch=2, num_spectra=1, part=1.0):
    """A layout, spectra, and gates, of which the absent ones are None."""
    (O, I, kh, kw), G, gates = KERNEL_CASES[case]  # noqa: E741
    rows, cols = size = O * kh, I * kw
    order = frequency_order(*size, torch.device('cpu'))
    num_kept = int(part * order.order.numel())
    shapes = dict(
        spectra=(num_spectra, rows, cols // 2 + 1, 2),
        group=(batch, num_spectra, min(3, num_kept)),
        row=(batch, G, 1, kh, cols),
        filter=(batch, G, O // G, 1, 1),
        neighbours=(batch, G, 5, cols),
        taps=(G, rows // G, 5),
    )
    absent = {name for name in ('row', 'filter') if name not in gates}
    absent |= set() if 'local' in gates else {'neighbours', 'taps'}
    return KernelLayout((O, I, kh, kw), G, order, num_kept), [
        None
        if name in absent
        else torch.randn(shape, dtype=torch.double).requires_grad_()
        for name, shape in shapes.items()
    ]
