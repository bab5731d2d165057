"""FDConv: Frequency Dynamic Convolution.

Paper: Chen et al., "Frequency Dynamic Convolution for Dense Image
Prediction", CVPR 2025, arXiv:2503.18783. FDW Sec. 3.2, KSM Sec. 3.3, FBM
Sec. 3.4. Parameter and option names are those of the published code
(github.com/Linwei-Chen/FDConv), whose checkpoints load as they are.

Differs from the published code in:

* The start. All gates are neutral there too except the output channels',
  which begin random; and ``param_ratio=R`` begins at R times the stock
  kernel, ``param_reduction < 1`` at a small fraction of it. Here the layer
  always starts as the stock convolution.
* The band masks are the paper's (``fbm_cfg=dict(mask='exact')``); the
  published ones are ``mask='nearest64'``.
* ``use_fdconv_if_c_gt`` and ``use_fdconv_if_k_in`` are None by default: the
  layer is what its name says unless a config asks for the gate.
* ``groups > 1``, uneven frequency groups, odd ``C*kw``, float64, and batch 1
  in training work.
"""

import math
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor, nn

from ..functional import (
    KernelGates,
    disjoint_weight,
    fd_kernel,
    image_to_weight,
    is_traced,
    modulate_kernel,
    no_autocast,
    recompute,
)
from .band_modulation import FrequencyBandModulation
from .base import IntOrPair
from .descriptors import DescriptorCfg, GlobalAveragePool, build_descriptor
from .fdconv_options import (
    check_options,
    has_fbm,
    note_without_effect,
    published_gate,
)
from .fdconv_parts import (
    GlobalGates,
    KernelSpatialModulationGlobal,
    KernelSpatialModulationLocal,
)
from .fourier_weight import FourierWeightConv2d


class FDConv(FourierWeightConv2d):
    r"""Convolution whose kernel is assembled in the frequency domain.

    .. math::
        W_b = \alpha^{c}_b \alpha^{o}_b \alpha^{s}_b \odot L_b \odot
        \sum_{g=1}^{K} a_{b,g}\, \mathcal{F}^{-1}(S \cdot [f \in P_g]),
        \qquad y_b = W_b * \mathrm{FBM}(x_b) + \mathrm{bias}

    ``S`` is the parameter (``dft_weight``), and ``P_g`` the g-th group of
    frequencies, sorted by radius. The global branch of KSM predicts ``a`` and
    the three alphas, its local branch ``L``.

    Args:
        kernel_num: ``K``, number of frequency groups. None: half of
            ``out_channels``, with a kernel temperature of ``sqrt(K * R)``. The
            paper's experiments use 64. Defaults to 4.
        reduction: Width of the router as a share of ``in_channels``; at least
            16.
        kernel_temp: Temperature of the frequency groups' gates.
        temp: Temperature of the other global gates. None: ``kernel_temp``.
        att_multi: Factor of the sigmoid gates.
        param_ratio: ``R``, number of spectra, each with its own gates.
        param_reduction: Share of the frequencies to keep, from the lowest, in
            (0, 1]. Below 1 a stock kernel is low-passed.
        ksm_only_kernel_att: Global branch with gates for groups only.
        use_ksm_local: Whether there is a local branch.
        ksm_local_act: ``'sigmoid'`` or ``'tanh'``.
        ksm_global_act: ``'sigmoid'``, ``'tanh'``, or ``'softmax'`` with
            ``ksm_only_kernel_att``.
        use_fdconv_if_c_gt: The layer is a stock convolution unless
            ``min(in_channels, out_channels)`` exceeds this (published: 16).
            Defaults to None, no condition.
        use_fdconv_if_k_in: The layer is a stock convolution unless both sides
            of the kernel are in this list (published: ``[1, 3]``). Defaults to
            None, no condition.
        use_fbm_if_k_in: Kernel sizes with FBM. Defaults to ``(3,)``.
        use_fbm_for_stride: Whether strided layers have FBM for any kernel.
        convert_param: True: the parameter is the spectrum. False: it is the
            kernel (``weight``), whose FFT is computed in every forward pass.
        linear_mode: With ``convert_param=False`` and a 1x1 kernel: ``weight``
            is ``(O, C/G)``, as in ``nn.Linear``.
        fbm_cfg: Options of
            :class:`~mmfdconv.layers.band_modulation.FrequencyBandModulation`
            that differ from their defaults.
        descriptor: How the input is pooled for the global branch of KSM:
            ``'gap'``, ``'fat'``, or a dict with options, see
            :func:`~mmfdconv.layers.descriptors.build_descriptor`. The local
            branch always sees the mean. Defaults to ``'gap'``, as published.
        use_fdconv_if_stride_in, att_grid, spatial_freq_decompose: Published
            options without effect.

    The other arguments are those of ``nn.Conv2d``.

    Shape:
        Input ``(B, C, H, W)``, output ``(B, O, H', W')`` as in ``nn.Conv2d``.

    Raises:
        ValueError: An argument is out of range.

    Example::

        >>> conv = FDConv(64, 128, 3, padding=1, kernel_num=64)
        >>> conv(torch.rand(2, 64, 56, 56)).shape
        torch.Size([2, 128, 56, 56])
    """

    router_names = ('descriptor', 'KSM_Global', 'KSM_Local', 'FBM')

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: Union[str, IntOrPair] = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = 'zeros',
        device=None,
        dtype=None,
        *,
        kernel_num: Optional[int] = 4,
        reduction: float = 0.0625,
        kernel_temp: float = 1.0,
        temp: Optional[float] = None,
        att_multi: float = 2.0,
        param_ratio: int = 1,
        param_reduction: float = 1.0,
        ksm_only_kernel_att: bool = False,
        use_ksm_local: bool = True,
        ksm_local_act: str = 'sigmoid',
        ksm_global_act: str = 'sigmoid',
        use_fdconv_if_c_gt: Optional[int] = None,
        use_fdconv_if_k_in: Optional[Sequence[int]] = None,
        use_fbm_if_k_in: Sequence[int] = (3,),
        use_fbm_for_stride: bool = False,
        convert_param: bool = True,
        linear_mode: bool = False,
        fbm_cfg: Optional[Dict[str, Any]] = None,
        descriptor: DescriptorCfg = 'gap',
        use_fdconv_if_stride_in: Optional[Sequence[int]] = None,
        att_grid: Optional[int] = None,
        spatial_freq_decompose: Optional[bool] = None,
    ) -> None:
        factory = dict(device=device, dtype=dtype)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            **factory,
        )
        fbm_cfg = note_without_effect(
            fbm_cfg or {},
            spatial_freq_decompose,
            use_fdconv_if_stride_in=use_fdconv_if_stride_in,
            att_grid=att_grid,
        )
        kernel_num, kernel_temp, temp = check_options(
            out_channels,
            self.kernel_size,
            kernel_num,
            param_ratio,
            kernel_temp,
            temp,
            reduction=reduction,
            att_multi=att_multi,
            param_reduction=param_reduction,
            ksm_only_kernel_att=ksm_only_kernel_att,
            ksm_local_act=ksm_local_act,
            ksm_global_act=ksm_global_act,
            linear_mode=linear_mode,
        )
        # Before the gate, so that a wrong one is heard where it is shut.
        built = build_descriptor(descriptor, in_channels, **factory)
        self.static = published_gate(
            self, use_fdconv_if_c_gt, use_fdconv_if_k_in
        )
        if self.static:
            self.weight = nn.Parameter(
                torch.empty(self.weight_shape, **factory)
            )
            self.reset_parameters()
            return

        self.create_spectra(
            kernel_num,
            param_ratio,
            param_reduction,
            convert_param,
            linear_mode,
            **factory,
        )
        shape = (in_channels, out_channels, self.kernel_size, groups)
        self.descriptor = built
        self.KSM_Global = KernelSpatialModulationGlobal(
            *shape,
            num_kernel_gates=kernel_num * param_ratio,
            reduction=reduction,
            temperature=temp,
            kernel_temperature=kernel_temp,
            att_multi=att_multi,
            only_kernel=ksm_only_kernel_att,
            act=ksm_global_act,
            **factory,
        )
        self.KSM_Local = self.local_descriptor = None
        if use_ksm_local:
            if not isinstance(built, GlobalAveragePool):
                self.local_descriptor = GlobalAveragePool()
            self.KSM_Local = KernelSpatialModulationLocal(
                *shape, act=ksm_local_act, att_multi=att_multi, **factory
            )
        self.FBM = None
        if has_fbm(self, use_fbm_if_k_in, use_fbm_for_stride):
            self.FBM = FrequencyBandModulation(
                in_channels, **fbm_cfg, **factory
            )
        self.reset_parameters()

    @classmethod
    def static_reason(cls, conv: nn.Module, **options: Any) -> Optional[str]:
        """The published gate: why a layer would stay a stock convolution."""
        names = 'use_fdconv_if_c_gt', 'use_fdconv_if_k_in'
        return published_gate(conv, *map(options.get, names))

    @classmethod
    def suited_options(
        cls, backbone: str, settings: Mapping[str, Any]
    ) -> Dict[str, Any]:
        """Open the published gate for ConvNeXt's 7x7 kernels, our choice."""
        timm = str(settings.get('model_name', ''))
        convnext = 'ConvNeXt' in backbone or timm.startswith('convnext')
        return dict(use_fdconv_if_k_in=[1, 3, 7]) if convnext else {}

    # --------------------------------------------------------------- weights

    def reset_parameters(self) -> None:
        """Draw the kernel as ``nn.Conv2d`` does; neutral gates."""
        like = next(self.weight_parameters())
        stock = like.new_empty(self.weight_shape)
        nn.init.kaiming_uniform_(stock, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(stock[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)
        self.reset_router()
        if not stock.is_meta:
            self.load_stock_(stock)

    @torch.no_grad()
    def load_stock_(self, weight: Tensor) -> None:
        """Take over a stock kernel ``(O, C/G, kh, kw)``, in place."""
        if self.static:
            self.weight.copy_(weight)
            return
        gain = self.param_ratio * self.KSM_Global.start_gain()
        if self.KSM_Local is not None:
            gain *= self.KSM_Local.start_gain()
        self.store_kernel_(weight if gain == 1 else weight / gain)

    # --------------------------------------------------------------- forward

    def dynamic_weight(self, x: Tensor) -> Tensor:
        """The kernel of every sample, FDW and KSM.

        Args:
            x: ``(B, C, H, W)``.

        Returns:
            ``(B, O, C/G, kh, kw)``, float32 at least.
        """
        with no_autocast(x):
            spectra = self.spectra()
            gates = self._kernel_gates(*self._predict(x), spectra)
            images = fd_kernel(spectra, gates, self.layout)
        return image_to_weight(images, self.kernel_size)

    def _predict(self, x: Tensor) -> Tuple[GlobalGates, Optional[Tensor]]:
        """Global gates, and neighbours of the local branch, of the mean."""
        descriptor = self.descriptor(x)  # (B, C)
        gates = self.KSM_Global(descriptor)
        if self.KSM_Local is None:
            return gates, None
        if self.local_descriptor is not None:
            descriptor = self.local_descriptor(x)
        return gates, self.KSM_Local.neighbours(descriptor)

    def _kernel_gates(
        self, gates: GlobalGates, neighbours: Optional[Tensor], like: Tensor
    ) -> KernelGates:
        """What is predicted, laid out as kernels are, in the dtype of like."""
        scale, filter, taps = 1.0, gates.filter, None
        if self.KSM_Local is not None:
            scale, taps = self.KSM_Local.scale, self.KSM_Local.taps(like.dtype)
        if filter is not None:
            filter = filter.view(-1, *self.layout.grid[:2], 1, 1)
        found = (
            self.group_gates(gates.kernel, scale),
            gates.rows(self.weight_shape, self.groups),
            filter,
            neighbours,
            taps,
        )
        return KernelGates(*(t if t is None else t.to(like) for t in found))

    def forward_batch(self, x: Tensor) -> Tensor:
        """Convolve, ``(B, C, H, W) -> (B, O, H', W')``."""
        if self.static:
            return self.convolve_static(x, self.weight, self.bias)
        channel = filter = image = logits = coefficients = None
        elements = math.prod(self.weight_shape)
        # A compiler's graph is for maps of any size, and decides for one.
        pixels = math.inf if is_traced() else x.shape[2:].numel()
        features = pixels * (self.in_channels + self.out_channels)
        # The router costs next to nothing, and no FFT knows bfloat16.
        with no_autocast(x):
            gates, neighbours = self._predict(x)
            if features < elements:
                # A gate of whole channels may as well act on the features.
                channel, filter = gates.channel, gates.filter
                gates = gates._replace(channel=None, filter=None)
            spectra = self.spectra()
            kernel = self._kernel_gates(gates, neighbours, spectra)
            if elements <= 3 * features < math.inf:
                # Autograd keeps the features anyway; some more is worth it.
                image = disjoint_weight(spectra, kernel.group, self.layout)
            if self.FBM is not None and self.keeps_kernels:
                x = self.FBM(x)
            elif self.FBM is not None:
                logits = self.FBM.logits(x)
                coefficients = self.FBM.coefficients(x)
                elements = max(elements, x.shape[1:].numel())
        y = recompute(
            self._assemble_and_convolve,
            (x, channel, logits, coefficients, image, *kernel[:-1]),
            (spectra, kernel.taps),
            size=elements,
            keep=self.keeps_kernels,
        )
        if filter is not None:
            y = y * filter.to(y.dtype)[..., None, None]
        if self.bias is not None:
            y = y + self.bias.to(y.dtype).view(-1, 1, 1)
        return y

    def _assemble_and_convolve(
        self,
        per_sample: Sequence[Optional[Tensor]],
        shared: Sequence[Optional[Tensor]],
        want_value: bool = True,
    ) -> Tensor:
        """The kernel; the input; the convolution."""
        x, channel, logits, coefficients, image, *gates = per_sample
        spectra, taps = shared
        gates = KernelGates(*gates, taps)
        with no_autocast(x):
            if image is None:
                kernel = fd_kernel(spectra, gates, self.layout)
            else:
                kernel = modulate_kernel(image, gates, self.layout)
            if logits is not None:
                x = self.FBM.modulate(x, logits, coefficients)
            if channel is not None:
                x = x * channel.to(x.dtype)[..., None, None]
        return self.convolve_images(x, kernel, want_value)

    def extra_repr(self) -> str:
        """Like ``nn.Conv2d``'s, with what is FDConv's own."""
        text = super().extra_repr()
        if self.static:
            return f'{text}, static: {self.static}'
        return (
            f'{text}, kernel_num={self.kernel_num}, '
            f'param_ratio={self.param_ratio}, '
            f'convert_param={self.convert_param}'
        )
