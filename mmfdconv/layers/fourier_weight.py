"""The parameter of FDConv: a kernel kept as its Fourier spectrum.

Paper: arXiv:2503.18783, Sec. 3.2. Storage, units and names are those of the
published code, so that its checkpoints load as they are.
"""

import math
from typing import Any, Dict

import torch
from torch import Tensor, nn

from ..functional import (
    FrequencyOrder,
    KernelLayout,
    disjoint_weight,
    frequency_order,
    half_plane_of_lowest,
    kernel_to_spectrum,
    spectrum_to_kernel,
    wide,
)
from .base import DynamicConv2d


class FourierWeightConv2d(DynamicConv2d):
    """A dynamic convolution whose kernel is kept as ``R`` spectra.

    With ``convert_param`` the spectra are the parameter, ``dft_weight``
    ``(R, O*kh, C/G*kw//2 + 1, 2)``; or, where only the ``n`` lowest
    frequencies are kept, ``(R, n, 2)`` in order of radius. Without it the
    kernel is the parameter, ``weight``, and its spectrum is taken anew in
    every forward pass. Either checkpoint loads into either layer.
    """

    def create_spectra(
        self,
        kernel_num: int,
        param_ratio: int,
        param_reduction: float,
        convert_param: bool,
        linear_mode: bool,
        device=None,
        dtype=None,
    ) -> None:
        """Register the parameter; see FDConv for the arguments.

        Raises:
            ValueError: There are fewer frequencies than groups.
        """
        self.kernel_num = kernel_num
        self.param_ratio = param_ratio
        self.convert_param = convert_param
        O, I, kh, kw = self.weight_shape  # noqa: E741
        self._image_size = (O * kh, I * kw)
        rows, cols = self._image_size
        num_frequencies = rows * (cols // 2 + 1)
        self._all_kept = param_reduction == 1
        self._num_kept = int(num_frequencies * param_reduction)
        if kernel_num > self._num_kept:
            raise ValueError(
                f'kernel_num={kernel_num} frequency groups need as many '
                f'frequencies, but a kernel {self.weight_shape} has '
                f'{num_frequencies}, of which {self._num_kept} are kept '
                f'(param_reduction={param_reduction})'
            )
        if convert_param:
            half_plane = (rows, cols // 2 + 1)
            kept = half_plane if self._all_kept else (self._num_kept,)
            shape = (param_ratio, *kept, 2)
        else:
            shape = (O, I) if linear_mode else self.weight_shape
        self.register_parameter(
            self._own_key,
            nn.Parameter(torch.empty(shape, device=device, dtype=dtype)),
        )
        if convert_param and self._unit != self._published_unit:
            # In checkpoints, where older ones do not have it; whole, so that
            # half precision does not round it.
            version = torch.tensor(2, device=device)
            self.register_buffer('unit_version', version)
        # Not a buffer: it follows from the size, and layers share it.
        self._order = frequency_order(*self._image_size, self._device)

    @property
    def _device(self) -> torch.device:
        return getattr(self, self._own_key).device

    @property
    def order(self) -> FrequencyOrder:
        """Of the frequencies, where the parameter is."""
        if self._order.device != self._device:
            # Assigned, unpickled or replicated since.
            self._order = frequency_order(*self._image_size, self._device)
        return self._order

    @property
    def layout(self) -> KernelLayout:
        """How the kernels lie in their images."""
        return KernelLayout(
            self.weight_shape, self.groups, self.order, self._num_kept
        )

    def _apply(self, *args: Any, **kwargs: Any) -> 'FourierWeightConv2d':
        """Move or cast; the order is ready before a compiler asks for it."""
        super()._apply(*args, **kwargs)
        if not self.static:
            _ = self.order
        return self

    @property
    def _own_key(self) -> str:
        return 'dft_weight' if self.convert_param else 'weight'

    @property
    def _unit(self) -> float:
        """Of the stored spectrum; optimisers see the parameter in it.

        Steps of one size in N frequencies move the N values of a kernel by
        unit / sqrt(N) each; an N of O*C*kh*kw / G shrinks with the groups,
        and so does the unit. Of one group it is the published one.
        """
        if not self._all_kept:
            return self._published_unit
        return self._published_unit / math.sqrt(self.groups)

    @property
    def _published_unit(self) -> float:
        """Half the smaller width, whatever the groups.

        Where frequencies are left out the published code multiplies nothing
        back, and the unit is such that the gates of the groups, 1 / (R K)
        each at the start, cancel.
        """
        if not self._all_kept:
            return 1 / (self.kernel_num * self.param_ratio)
        return max(min(self.in_channels, self.out_channels) // 2, 1)

    def spectral_image(self, gate: Tensor) -> Tensor:
        """Weigh the frequency groups of the spectra, Sec. 3.2.

        Args:
            gate: ``(B, R * K)``, 1 / (R K) each where it is neutral.

        Returns:
            Kernels laid out as images, ``(B, O*kh, C/G*kw)``, float32 at
            least.
        """
        return disjoint_weight(
            self.spectra(), self.group_gates(gate), self.layout
        )

    def group_gates(self, gate: Tensor, scale: float = 1.0) -> Tensor:
        """What the stored spectra are multiplied with.

        Args:
            gate: ``(B, R * K)``, 1 / (R K) each where it is neutral.
            scale: A factor of the kernel.

        Returns:
            ``(B, R, K)``.
        """
        if self._all_kept:
            # The published alpha: back from the unit, and against 1 / (R K).
            # The gates are fewer than the frequencies.
            scale *= self._unit * self.kernel_num * self.param_ratio
        if scale != 1:
            gate = gate * scale
        return gate.view(-1, self.param_ratio, self.kernel_num)

    def spectra(self) -> Tensor:
        """The spectra, float32 at least, ``(R, O*kh, C/G*kw//2 + 1, 2)``."""
        stored = getattr(self, self._own_key)
        spectra = stored.to(wide(stored.dtype))
        if not self.convert_param:
            spectra = self._to_spectrum(spectra)
            spectra = spectra.expand(self.param_ratio, *spectra.shape)
        if not self._all_kept:
            spectra = half_plane_of_lowest(spectra, self.order)
        rows, cols = self._image_size
        return spectra.view(self.param_ratio, rows, cols // 2 + 1, 2)

    def store_kernel_(self, kernel: Tensor) -> None:
        """Put a kernel ``(O, C/G, kh, kw)`` into every spectrum, in place."""
        stored = getattr(self, self._own_key)
        if self.convert_param:
            kernel = kernel.to(stored.device, wide(stored.dtype))
            stored.copy_(self._to_spectrum(kernel))
        else:
            stored.copy_(kernel.reshape(stored.shape))

    def _to_spectrum(self, kernel: Tensor) -> Tensor:
        """A kernel as one of the ``R`` stored spectra."""
        spectrum = kernel_to_spectrum(kernel.reshape(self.weight_shape))
        if not self._all_kept:
            kept = self.order.order[: self._num_kept]
            spectrum = spectrum.reshape(-1, 2).index_select(0, kept)
        return spectrum / self._unit

    def _to_kernel(self, spectra: Tensor) -> Tensor:
        """Undo :meth:`_to_spectrum` for ``R`` equal, whole spectra."""
        if not self._all_kept or not torch.equal(
            spectra, spectra[:1].expand_as(spectra)
        ):
            raise ValueError(
                'convert_param=False holds one kernel, not several spectra '
                'or part of one'
            )
        spectrum = spectra[0] * self._unit
        return spectrum_to_kernel(spectrum, self._image_size, self.kernel_size)

    # ------------------------------------------------------------ checkpoint

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, *messages
    ) -> None:
        if not self.static and not self._is_stock(state_dict, prefix):
            self._accept_other_unit(state_dict, prefix)
            self._accept_other_key(state_dict, prefix, messages[-1])
            self._accept_no_router(state_dict, prefix)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, *messages
        )

    def _accept_other_unit(
        self, state_dict: Dict[str, Any], prefix: str
    ) -> None:
        """Read a grouped layer's checkpoint in the unit of dense layers."""
        key, version = f'{prefix}dft_weight', f'{prefix}unit_version'
        ratio = self._published_unit / self._unit
        if ratio == 1 or key not in state_dict:
            return
        if state_dict.pop(version, None) is None:
            state_dict[key] = state_dict[key] * ratio
        if self.convert_param:
            state_dict[version] = self.unit_version

    def _accept_other_key(
        self, state_dict: Dict[str, Any], prefix: str, error_msgs: list
    ) -> None:
        """Read a checkpoint made with the other ``convert_param``."""
        own = self._own_key
        other = 'weight' if self.convert_param else 'dft_weight'
        if prefix + other not in state_dict or prefix + own in state_dict:
            return
        stored = getattr(self, own)
        value = state_dict.pop(prefix + other)
        try:
            value = value.to(stored.device, wide(stored.dtype))
            if self.convert_param:
                value = self._to_spectrum(value).expand_as(stored)
            else:
                value = self._to_kernel(value).reshape(stored.shape)
        except (RuntimeError, ValueError) as error:
            error_msgs.append(
                f'{prefix}{other}: cannot become {prefix}{own} of shape '
                f'{tuple(stored.shape)}: {error}'
            )
            value = stored.detach()
        state_dict[prefix + own] = value.to(stored.dtype)

    def _accept_no_router(
        self, state_dict: Dict[str, Any], prefix: str
    ) -> None:
        """Start neutral from a spectrum alone.

        Such are the ImageNet checkpoints that the authors' script converts.
        """
        if prefix + self._own_key not in state_dict:
            return
        routers = tuple(f'{prefix}{name}.' for name in self.router_names)
        if any(key.startswith(routers) for key in state_dict):
            return
        self.reset_router()
        for name, value in self.state_dict().items():
            if f'{prefix}{name}'.startswith(routers):
                state_dict[prefix + name] = value
