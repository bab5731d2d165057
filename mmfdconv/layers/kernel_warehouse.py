"""KernelWarehouse: kernels mixed from cells that layers share.

Paper: Li & Yao, "KernelWarehouse: Rethinking the Design of Dynamic
Convolution", ICML 2024, arXiv:2406.07879; Eq. (2)-(4). Checkpoints of
github.com/OSVAI/KernelWarehouse load as they are.

Layers share cells, so KernelWarehouse is the conversion of a whole backbone
(``mmfdconv.convert``) and not of a single convolution.

Differs from the published code in: the temperature, a plain number there and
lost with every checkpoint, is a buffer here; a ``cell_num_ratio`` that is
neither a whole number nor one over it is refused instead of failing later; and
learned mixtures may begin as the assigned cells, for weights that are trained.
"""

from typing import Any, Dict, Iterator, Mapping, Optional, Union

import torch
from torch import Tensor, nn

from ..functional import cells_to_kernels, kernel_to_cells, no_autocast
from .base import DynamicConv2d, IntOrPair
from .cell_sharing import (
    SHARED_MODULE,
    SHARING_RANGE,
    WAREHOUSE_OPTIONS,
    share_cells,
)
from .checks import check_choice, check_positive
from .descriptors import DescriptorCfg, build_descriptor
from .routers import RouterBatchNorm, RouterConv, normalise, router_width
from .warehouse import Place, Warehouse
from .warehouse_names import WAREHOUSE_NAMES

_MIN_BASIS = 16


class WarehouseAttention(nn.Module):
    """Contrasting attention over the cells, per mixture, Eq. (3)-(4).

    Args:
        in_channels: ``C``.
        num_cells: Cells in the warehouse.
        place: Of the layer in it.
        cell_num_ratio: Cells over mixtures.
        reduction: Hidden width over ``C``; at least 16 wide.
        nonlocal_basis_ratio: Below 1, logits of cells that belong to other
            layers come from so much fewer numbers.
        temperature: 1: every mixture is its assigned cell; 0: learned.
        start: As of :class:`KWConv`.
    """

    def __init__(
        self,
        in_channels: int,
        num_cells: int,
        place: Place,
        cell_num_ratio: float,
        reduction: float,
        nonlocal_basis_ratio: float,
        temperature: float,
        start: str = 'random',
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        self.begins = start
        factory = dict(device=device, dtype=dtype)
        self.mixtures = place.mixtures
        self.start = place.start
        per_mixture = num_cells + 1  # the last one stands for an empty cell
        hidden = router_width(in_channels, reduction)
        # Rounded down, but 49 * (1 / 49) is 1.
        self.num_local = int(cell_num_ratio * place.mixtures + 1e-6)
        num_nonlocal = num_cells - self.num_local
        self.fc1 = RouterConv((hidden, in_channels), False, **factory)
        self.norm1 = RouterBatchNorm(hidden, **factory)
        self.fc3 = self.basis_bias = None
        if nonlocal_basis_ratio >= 1:
            width = per_mixture * place.mixtures
            self.fc2 = RouterConv((width, hidden), **factory)
        else:
            basis = max(int(num_nonlocal * nonlocal_basis_ratio), _MIN_BASIS)
            width = (self.num_local + basis + 1) * place.mixtures
            self.fc2 = RouterConv((width, hidden), False, **factory)
            self.fc3 = RouterConv((num_nonlocal, basis), False, **factory)
            self.basis_bias = nn.Parameter(
                torch.empty(per_mixture * place.mixtures, **factory)
            )
        value = torch.tensor(
            float(temperature), device=device, dtype=torch.float32
        )
        self.register_buffer('temperature', value)
        self._assigned = [
            num_cells if cell is None else cell for cell in place.assigned
        ]
        self._place_assigned()

    def _place_assigned(self) -> None:
        """Put the assignment beside the parameters; no checkpoint holds it."""
        assigned = torch.tensor(self._assigned, device=self.fc1.weight.device)
        self.register_buffer('assigned', assigned, persistent=False)

    def _apply(self, *args, **kwargs) -> 'WarehouseAttention':
        """Move or cast; ``to_empty()`` would leave any assignment."""
        super()._apply(*args, **kwargs)
        self._place_assigned()
        return self

    def reset_parameters(self) -> None:
        """Kaiming normal, fan out, and biases 0, as published.

        Or logits that are 1 for the assigned cell and 0 for the others.
        """
        for layer in (self.fc1, self.fc2, self.fc3):
            if layer is not None:
                nn.init.kaiming_normal_(layer.weight, mode='fan_out')
        bias = self.fc2.bias if self.fc3 is None else self.basis_bias
        nn.init.zeros_(bias)
        self.norm1.reset_parameters()
        if self.begins == 'assigned':
            nn.init.zeros_(self.fc2.weight)
            with torch.no_grad():
                bias.view(self.mixtures, -1).scatter_(
                    1, self.assigned.view(-1, 1), 1
                )

    def forward(self, descriptor: Tensor) -> Tensor:
        """``(B, C) -> (B, mixtures, cells)``."""
        hidden = normalise(self.norm1, self.fc1(descriptor)).relu()
        logit = self._logits(self.fc2(hidden))  # (B, mixtures, cells + 1)
        scale = logit.abs().sum(dim=2, keepdim=True) + 1e-3
        if self.assigned.is_meta:  # load_state_dict(assign=True) leaves it
            self._place_assigned()
        one_hot = torch.zeros_like(logit[:1] if logit.shape[0] else logit)
        if logit.shape[0]:
            one_hot = one_hot.scatter(2, self.assigned.view(1, -1, 1), 1)
        learned = logit / scale
        t = self.temperature.to(logit.dtype)
        return ((1 - t) * learned + t * one_hot)[..., :-1]

    def _logits(self, logit: Tensor) -> Tensor:
        """Logits of all cells and of the empty one, per mixture."""
        B, m = logit.shape[0], self.mixtures
        logit = logit.view(B, m, logit.shape[1] // m)
        if self.fc3 is None:
            return logit
        local = logit[..., : self.num_local]
        empty = logit[..., -1:]
        others = self.fc3(logit[..., self.num_local : -1])
        # The layer's own cells stand among the others' at their place.
        before, after = others[..., : self.start], others[..., self.start :]
        logit = torch.cat([before, local, after, empty], dim=2)
        return logit + self.basis_bias.to(logit.dtype).view(m, -1)

    def extra_repr(self) -> str:
        """What tells layers of equal shapes apart that compute differently."""
        return '' if self.fc3 is None else f'start={self.start}'


class KWConv(DynamicConv2d):
    r"""A convolution whose kernel is mixed from the cells of a warehouse.

    .. math:: W = w_1 \cup \dots \cup w_m, \quad
              w_i = \sum_j \alpha_{ij} e_j

    It exists only as part of a converted model, see
    :func:`mmfdconv.convert.convert_dynamic_`. In a config::

        backbone=dict(
            type='DynamicBackbone',
            backbone=dict(type='ResNet', ...),
            conv_cfg=dict(type='KWConv', cell_num_ratio=1))

    Args:
        warehouse: Module with the cells of all layers; part of the model.
        warehouse_index: Index of the layer's warehouse.
        layer_index: Index of the layer in its warehouse.
        reduction: Hidden width of the router as a share of ``in_channels``; at
            least 16.
        nonlocal_basis_ratio: Below 1, the logits of other layers' cells are
            computed from fewer numbers, by this ratio.
        temperature: With 1 the kernel consists of the assigned cells, which
            hold the stock kernel; with 0 of learned mixtures. A hook moves it
            from 1 to 0. Defaults to 1.
        start: What learned mixtures begin as. ``'random'``, as published,
            suits kernels that are random themselves: trained ones it undoes.
            ``'assigned'``: the assigned cells, but for a factor of 1 / 1.001.
            Ours. Defaults to ``'random'``.
        descriptor: ``'gap'``, ``'fat'`` (FKW), or a dict with options.

    The other arguments are those of ``nn.Conv2d``.

    If ``cell_num_ratio`` is at least 1, the layer starts (at temperature 1)
    as its stock convolution. Below 1 there are fewer cells than pieces of the
    stock kernel: one of ``n`` pieces is kept, and the others start at 0.

    Shape:
        Input ``(B, C, H, W)``, output ``(B, O, H', W')`` as in ``nn.Conv2d``.

    Raises:
        ValueError: An argument is out of range, or there is no warehouse.
    """

    router_names = ('descriptor', 'attention')
    shared_module = SHARED_MODULE
    share = staticmethod(share_cells)

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
        warehouse: Optional[Warehouse] = None,
        warehouse_index: int = 0,
        layer_index: int = 0,
        reduction: float = 0.0625,
        nonlocal_basis_ratio: float = 1,
        temperature: float = 1.0,
        start: str = 'random',
        descriptor: DescriptorCfg = 'gap',
        **warehouse_options: Any,
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
        if not isinstance(warehouse, Warehouse):
            raise ValueError(
                'KWConv shares its cells with other layers and cannot be '
                "built alone, by conv_cfg=dict(type='KWConv') of a backbone; "
                "convert the whole backbone: backbone=dict(type='Dynamic"
                "Backbone', backbone=dict(type='ResNet', ...), conv_cfg="
                "dict(type='KWConv', cell_num_ratio=1)), or call mmfdconv."
                'convert.convert_dynamic_'
            )
        if warehouse_options:
            raise ValueError(
                f'KWConv has no option {sorted(warehouse_options)}'
            )
        check_positive('reduction', reduction)
        check_positive('nonlocal_basis_ratio', nonlocal_basis_ratio)
        if not 0 <= temperature <= 1:
            raise ValueError(
                'temperature must lie between 0 (learned) and 1 (assigned '
                f'cells), got {temperature!r}'
            )
        check_choice('start', start, ('random', 'assigned'))
        # In a tuple, so that the cells are not registered a second time with
        # every layer; optimizers and checkpoints find them on the model.
        self._warehouse = (warehouse,)
        self.warehouse_index = warehouse_index
        self.place = warehouse.places[warehouse_index][layer_index]
        self.descriptor = build_descriptor(descriptor, in_channels, **factory)
        self.attention = WarehouseAttention(
            in_channels,
            len(self.cells),
            self.place,
            warehouse.cell_num_ratio,
            reduction,
            nonlocal_basis_ratio,
            temperature,
            start,
            **factory,
        )
        self.reset_parameters()

    @classmethod
    def own_options(cls) -> Dict[str, Any]:
        """See the base class: the warehouse's, and not the place in it."""
        options = super().own_options()
        for place in ('warehouse', 'warehouse_index', 'layer_index'):
            del options[place]
        naming = dict(sharing_range=SHARING_RANGE, warehouse_names=None)
        return {**options, **WAREHOUSE_OPTIONS, **naming}

    @classmethod
    def suited_options(
        cls, backbone: str, settings: Mapping[str, Any]
    ) -> Dict[str, Any]:
        """Names of the warehouses, where the paper has none."""
        names = WAREHOUSE_NAMES.get(backbone)
        return {} if names is None else dict(warehouse_names=dict(names))

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """The cells."""
        yield self.cells

    @property
    def cells(self) -> Tensor:
        """The cells of the layer's warehouse, ``(cells, co, ci, ch, cw)``."""
        return self._warehouse[0].weights[self.warehouse_index]

    def reset_parameters(self) -> None:
        """Draw bias and router; the cells are the warehouse's."""
        self.reset_router()
        if self.bias is not None:
            O, I, kh, kw = self.weight_shape  # noqa: E741
            bound = (I * kh * kw) ** -0.5
            nn.init.uniform_(self.bias, -bound, bound)

    @torch.no_grad()
    def load_stock_(self, weight: Tensor) -> None:
        """Lay a stock kernel ``(O, C/G, kh, kw)`` down in its own cells."""
        cell = self._warehouse[0].cells[self.warehouse_index]
        pieces = kernel_to_cells(weight, cell)
        pairs = [
            (i, cell)
            for i, cell in enumerate(self.place.assigned)
            if cell is not None
        ]
        source, target = (list(side) for side in zip(*pairs))
        self.cells[target] = pieces[source].to(self.cells)

    def forward_batch(self, x: Tensor) -> Tensor:
        """Convolve, ``(B, C, H, W) -> (B, O, H', W')``."""
        with no_autocast(x):
            alpha = self.attention(self.descriptor(x))  # (B, m, cells)
            pieces = alpha @ self.cells.flatten(1).to(alpha.dtype)
            cell = self._warehouse[0].cells[self.warehouse_index]
            weight = cells_to_kernels(pieces, self.weight_shape, cell)
        return self.convolve(x, weight, self.bias)

    # ------------------------------------------------------------ checkpoint

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, *messages
    ) -> None:
        if f'{prefix}attention.fc2.weight' in state_dict:
            # Published checkpoints are trained to the end and say nothing.
            learned = torch.zeros_like(self.attention.temperature)
            state_dict.setdefault(f'{prefix}attention.temperature', learned)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, *messages
        )

    def _take_stock(
        self, state_dict, prefix, weight, error_msgs: list
    ) -> None:
        errors = len(error_msgs)
        super()._take_stock(state_dict, prefix, weight, error_msgs)
        if len(error_msgs) == errors:
            self._warehouse[0].took_stock = True
