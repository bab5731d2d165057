"""The cells of KernelWarehouse and who begins as which of them.

Paper: Li & Yao, ICML 2024, arXiv:2406.07879, Sec. 3.2. Names are those of the
published code.
"""

from math import isclose
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import nn

from ..functional import CellShape, assign_cells, cell_shape, num_mixtures
from .checks import check_positive
from .memory_format import flat_in_five_dimensions


class Place(NamedTuple):
    """Where a layer stands in its warehouse."""

    kernel: Tuple[int, int, int, int]  # (O, C/G, kh, kw)
    mixtures: int  # cell-sized pieces of its kernel
    assigned: List[Optional[int]]  # the cell that each piece begins as
    start: int  # the first cell of its own


class Warehouse(nn.Module):
    """The cells of all layers, a parameter per warehouse.

    Args:
        kernels: For every warehouse, the shapes ``(O, C/G, kh, kw)`` of its
            layers in network order.
        cell_num_ratio: Cells over mixtures: ``b`` of the paper, a whole
            number or one over it.
        cell_inplane_ratio: Cell over common divisor, input channels.
        cell_outplane_ratio: Cell over common divisor, output channels.
        spatial_partition: Whether kernels are cut into single positions.

    Raises:
        ValueError: A ratio is out of range, or kernels share no such cell.
    """

    def __init__(
        self,
        kernels: Sequence[Sequence[Tuple[int, int, int, int]]],
        cell_num_ratio: float = 1,
        cell_inplane_ratio: float = 1,
        cell_outplane_ratio: float = 1,
        spatial_partition: bool = True,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        check_positive('cell_num_ratio', cell_num_ratio)
        check_positive('cell_inplane_ratio', cell_inplane_ratio)
        check_positive('cell_outplane_ratio', cell_outplane_ratio)
        whole = max(cell_num_ratio, 1 / cell_num_ratio)
        if not isclose(whole, round(whole)):
            raise ValueError(
                'cell_num_ratio must be a whole number n of cells per '
                f'mixture, or 1/n, got {cell_num_ratio}'
            )
        if cell_num_ratio < 1:
            cell_num_ratio = 1 / round(whole)
        self.cell_num_ratio = cell_num_ratio
        self.cells: List[CellShape] = []
        self.places: List[List[Place]] = []
        self.weights = nn.ParameterList()
        for shapes in kernels:
            cell = cell_shape(
                shapes,
                cell_inplane_ratio,
                cell_outplane_ratio,
                spatial_partition,
            )
            places, count = [], 0
            for shape in shapes:
                mixtures = num_mixtures(shape, cell)
                assigned = assign_cells(mixtures, cell_num_ratio, count)
                places.append(Place(shape, mixtures, assigned, count))
                own = sum(c is not None for c in assigned)
                count += own * max(int(cell_num_ratio), 1)
            self.cells.append(cell)
            self.places.append(places)
            self.weights.append(
                nn.Parameter(
                    torch.empty(count, *cell, device=device, dtype=dtype)
                )
            )
        # Set by layers that took a stock kernel from a checkpoint, which
        # has no key for the cells.
        self.took_stock = False
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Kaiming normal, fan out, cell by cell, as published."""
        for cells in self.weights:
            fan_out = cells[0, :, 0].numel()
            nn.init.normal_(cells, std=(2 / fan_out) ** 0.5)

    def _apply(self, fn: Callable, **kwargs: Any) -> 'Warehouse':
        """Move or cast; see :func:`flat_in_five_dimensions`."""
        return super()._apply(flat_in_five_dimensions(fn), **kwargs)

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        if self.took_stock:
            for index, cells in enumerate(self.weights):
                state_dict.setdefault(
                    f'{prefix}weights.{index}', cells.detach()
                )
            self.took_stock = False
        super()._load_from_state_dict(state_dict, prefix, *args)
