r"""FDConv's kernels: the Fourier Disjoint Weight times its spatial gates.

.. math::
    W_b = \sigma(L_b) \odot \mathrm{row}_b \odot \mathrm{filter}_b \odot
    \mathcal{F}^{-1}\Big(\sum_{r,g} a_{b,r,g}\, S_r \cdot [f \in P_g]\Big)

arXiv:2503.18783: FDW, Sec. 3.2, and Kernel Spatial Modulation, Sec. 3.3.
"""

from typing import Iterator, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

from .frequency import fourier_disjoint_weight, inverse_rfft2
from .frequency_groups import groups_of_frequencies, sum_groups
from .stages import Grads, Tensors, add_to

__all__ = ['KernelParts', 'ModulatedKernel']

#: The images without gates, and the local gates.
_Kept = Tuple[Tensor, Optional[Tensor]]


class KernelParts(NamedTuple):
    """What kernels are made of, or the gradients of that.

    For ``G`` groups of channels, and kernels laid out as images ``(rows,
    cols) = (O*kh, C/G*kw)``; the first four have a batch dimension.
    """

    #: Gates of the frequency groups, ``(B, R, K)``.
    gate: Optional[Tensor]
    #: Gates of input channels and of positions, as rows of the kernel,
    #: ``(B, G or 1, 1, kh or 1, cols)``.
    row: Optional[Tensor]
    #: Gates of output channels, ``(B, G, O/G, 1, 1)``.
    filter: Optional[Tensor]
    #: ``(B, G, depth, cols)``, where there is a local branch.
    neighbours: Optional[Tensor]
    #: Pairs of real and imaginary parts, ``(R, rows, cols//2 + 1, 2)``.
    spectra: Optional[Tensor]
    #: ``(G, O/G*kh, depth)``; ``L = taps @ neighbours``.
    taps: Optional[Tensor]


class ModulatedKernel(NamedTuple):
    """A stage whose value are kernels as images, ``(B, rows, cols)``.

    Its tensors are :class:`KernelParts`.
    """

    image_size: Tuple[int, int]
    kernel_height: int
    groups: int
    order: Tensor  # of the frequencies, from radius_order
    rank: Tensor
    num_kept: int  # the lowest frequencies; in those above spectra are 0
    #: Whether a later call is spared the inverse FFT, for the memory that its
    #: result takes.
    remembers: bool = False

    num_per_sample = 4
    chunk = 2**20

    def plain(self, *tensors: Optional[Tensor]) -> Tensor:
        """See :class:`~mmfdconv.functional.stages.Stage`."""
        parts = KernelParts(*tensors)
        image = fourier_disjoint_weight(
            parts.spectra,
            parts.gate,
            self.order,
            self.rank,
            self.image_size,
            self.num_kept,
        )
        kernel = self._grouped(image)
        if parts.taps is not None:
            local = (parts.taps @ parts.neighbours).sigmoid()
            kernel = kernel * local.view(kernel.shape)
        for modulation in (parts.row, parts.filter):
            if modulation is not None:
                kernel = kernel * modulation
        return kernel.view(image.shape)

    def forward(
        self, tensors: Tensors, memo: Tensors = (), keep: bool = False
    ) -> Tuple[Tensor, Tensors, _Kept]:
        """See :class:`~mmfdconv.functional.stages.Stage`."""
        parts = KernelParts(*tensors)
        (image,) = memo or (self._image(parts),)
        local = None
        if parts.taps is not None:
            local = torch.matmul(parts.taps, parts.neighbours).sigmoid_()
            local = local.view(image.shape)
            kernel = local * image if keep else local.mul_(image)
        elif keep or self.remembers:
            kernel = image.clone()
        else:
            kernel = image
        for modulation in (parts.row, parts.filter):
            if modulation is not None:
                kernel.mul_(modulation)
        value = kernel.view(len(kernel), *self.image_size)
        memo = (image,) if self.remembers else ()
        return value, memo, (image, local)

    def _image(self, parts: KernelParts) -> Tensor:
        """The inverse FFT of the gated spectra, ``(B, G, O/G, kh, cols)``."""
        gated = None
        for spectrum, weights in zip(parts.spectra, self._pairs(parts.gate)):
            if gated is None:
                gated = weights.mul_(spectrum)
            else:
                gated.addcmul_(weights, spectrum)
        spectrum = torch.view_as_complex(gated)
        return self._grouped(inverse_rfft2(spectrum, self.image_size))

    def backward(
        self,
        tensors: Tensors,
        kept: _Kept,
        grad: Tensor,
        needed: Sequence[bool],
        sums: Tensors,
        scratch: Optional[Tensor] = None,
    ) -> Grads:
        """See :class:`~mmfdconv.functional.stages.Stage`."""
        image, local = kept
        parts, sums = KernelParts(*tensors), KernelParts(*sums)
        grads = dict.fromkeys(KernelParts._fields)
        # W = l r f I for the gates l, r, f, and D = dW:
        # dr = sum D l f I, df = sum D l r I, dL = D l r f I (1 - l),
        # dI = D l r f.
        size, grad = grad.shape, grad.view(image.shape)
        if local is not None:
            grad.mul_(local)
        if scratch is not None:
            scratch = scratch.view(image.shape)
        product = torch.mul(grad, image, out=scratch)
        if parts.row is not None:
            other = product
            if parts.filter is not None:
                other = product * parts.filter
            grads['row'] = _sum_like(other, parts.row)
            product.mul_(parts.row)
            grad.mul_(parts.row)
        if parts.filter is not None:
            grads['filter'] = _sum_like(product, parts.filter)
            product.mul_(parts.filter)
            grad.mul_(parts.filter)
        if local is not None:
            product.addcmul_(product, local, value=-1)
            logit = product.view(len(product), self.groups, -1, size[2])
            grads['neighbours'] = parts.taps.mT @ logit
            # In this order CPUs need half the time for few columns.
            of_taps = _sum_samples(parts.neighbours @ logit.mT).mT
            grads['taps'] = add_to(sums.taps, of_taps)
        # The adjoint of irfft2; a column that stands for two counts twice.
        # The others come out symmetric by themselves.
        pairs = torch.view_as_real(
            torch.fft.rfft2(grad.view(size), norm='forward')
        )
        pairs[:, :, 1 : (size[2] + 1) // 2].mul_(2)
        if needed[KernelParts._fields.index('spectra')]:
            grads['spectra'] = add_to(
                sums.spectra, self._grad_of_spectra(pairs, parts)
            )
        grads['gate'] = self._grad_of_gates_(pairs, parts)
        return list(grads.values())

    def _grad_of_spectra(self, grad: Tensor, parts: KernelParts) -> Tensor:
        """From the gradient of gated pairs, ``(B, rows, cols//2 + 1, 2)``."""
        terms = [
            _sum_samples(pairs.mul_(grad)) for pairs in self._pairs(parts.gate)
        ]
        return terms[0][None] if len(terms) == 1 else torch.stack(terms)

    def _grad_of_gates_(self, grad: Tensor, parts: KernelParts) -> Tensor:
        """Likewise, of the frequency groups; ``grad`` is overwritten."""
        num_groups, of_gates = parts.gate.shape[2], []
        for r, spectrum in enumerate(parts.spectra):
            last = r + 1 == len(parts.spectra)
            term = grad.mul_(spectrum) if last else grad * spectrum
            term = term[..., 0] + term[..., 1]
            if term.device.type == 'cpu':
                groups = self._groups(num_groups, term.device)
                groups = groups.expand(len(term), -1, -1)
                sums = term.new_zeros(*term.shape[:2], num_groups)
                sums = sums.scatter_add_(2, groups, term).sum(1)
            else:
                # In order of rank groups are runs, whose sums are taken in
                # the same order every time.
                order = self.order[: self.num_kept]
                term = term.flatten(1).index_select(1, order)
                sums = sum_groups(term, num_groups)
            of_gates.append(sums)
        return torch.stack(of_gates, dim=1)

    def _pairs(self, gate: Tensor) -> Iterator[Tensor]:
        """Gates of every frequency, for its real and imaginary part.

        To look the group of a frequency up in a small table is faster than
        to move all gates to their places.

        Yields:
            For each spectrum ``(B, rows, cols//2 + 1, 2)``.
        """
        groups = self._groups(gate.shape[2], gate.device)
        for weights in torch.complex(gate, gate).unbind(1):  # (B, K)
            if gate.device.type == 'cpu':
                # One sample after the other: CPUs are slow where there are
                # rows.
                pairs = weights.new_empty(len(weights), *groups.shape)
                for one, out in zip(weights, pairs.flatten(1)):
                    torch.index_select(one, 0, groups.view(-1), out=out)
            else:
                pairs = weights.index_select(1, groups.view(-1))
                pairs = pairs.view(-1, *groups.shape)
            yield torch.view_as_real(pairs)

    def _groups(self, num_groups: int, device: torch.device) -> Tensor:
        """Of all frequencies, ``(rows, cols//2 + 1)``."""
        return groups_of_frequencies(
            *self.image_size, num_groups, self.num_kept, device
        )

    def _grouped(self, images: Tensor) -> Tensor:
        """``(B, rows, cols) -> (B, G, O/G, kh, cols)``."""
        (rows, cols), kh, G = self.image_size, self.kernel_height, self.groups
        return images.view(len(images), G, rows // (kh * G), kh, cols)


def _sum_samples(x: Tensor) -> Tensor:
    """Sum over the first dimension, for nothing where there is one sample."""
    return x[0] if len(x) == 1 else x.sum(0)


def _sum_like(x: Tensor, other: Tensor) -> Tensor:
    """Sum to the shape of what was expanded, into memory of its own."""
    if x.shape == other.shape:
        return x.clone()
    return x.sum_to_size(other.shape)
