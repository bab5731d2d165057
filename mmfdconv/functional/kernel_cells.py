"""Arithmetic of KernelWarehouse: kernels cut into cells of one size.

Paper: Li & Yao, ICML 2024, arXiv:2406.07879, Sec. 3.2. Pure integers and
shapes; a *mixture* is one cell-sized piece of a kernel, assembled from all
cells of the warehouse.
"""

from math import gcd
from typing import List, NamedTuple, Optional, Sequence, Tuple

from torch import Tensor

KernelShape = Tuple[int, int, int, int]


class CellShape(NamedTuple):
    """Size of the cells of one warehouse."""

    out_channels: int
    in_channels: int
    height: int
    width: int


def cell_shape(
    kernels: Sequence[KernelShape],
    in_ratio: float = 1,
    out_ratio: float = 1,
    spatial_partition: bool = True,
) -> CellShape:
    """The common cell of several kernels, by greatest common divisors.

    Args:
        kernels: Shapes ``(O, C/G, kh, kw)``.
        in_ratio: Cell over common divisor, input channels.
        out_ratio: Cell over common divisor, output channels.
        spatial_partition: Whether kernels are cut into single positions.

    Raises:
        ValueError: A kernel cannot be cut into such cells.
    """
    out = max(int(gcd(*(k[0] for k in kernels)) * out_ratio), 1)
    inner = max(int(gcd(*(k[1] for k in kernels)) * in_ratio), 1)
    height, width = (1, 1) if spatial_partition else kernels[0][2:]
    cell = CellShape(out, inner, height, width)
    for kernel in kernels:
        whole = all(k % c == 0 for k, c in zip(kernel[:2], cell[:2]))
        fits = spatial_partition or kernel[2:] == (height, width)
        if not whole or not fits:
            raise ValueError(
                f'a kernel {tuple(kernel)} cannot be cut into cells '
                f'{tuple(cell)}; change cell_inplane_ratio, '
                'cell_outplane_ratio, sharing_range or spatial_partition'
            )
    return cell


def num_mixtures(kernel: KernelShape, cell: CellShape) -> int:
    """How many cells a kernel is made of."""
    count = 1
    for side, cell_side in zip(kernel, cell):
        count *= side // cell_side
    return count


def assign_cells(
    mixtures: int, cell_num_ratio: float, start: int
) -> List[Optional[int]]:
    """The cell that each mixture of a layer begins as.

    Args:
        mixtures: Number of mixtures of the layer.
        cell_num_ratio: Cells per mixture, ``n`` or ``1/n``. Above 1 every
            mixture has its own ``n`` cells and begins as the first of them;
            below 1 one of ``n`` mixtures has a cell and the others begin
            empty.
        start: First cell of the layer in the warehouse.

    Returns:
        A cell per mixture, None for one that begins empty.
    """
    if cell_num_ratio >= 1:
        step = int(cell_num_ratio)
        return [start + i * step for i in range(mixtures)]
    n = round(1 / cell_num_ratio)
    cells: List[Optional[int]] = []
    for i in range(mixtures):
        has_cell = i % n == (i // n) % n
        cells.append(start if has_cell else None)
        start += has_cell
    return cells


def cells_to_kernels(
    pieces: Tensor, kernel: KernelShape, cell: CellShape
) -> Tensor:
    """Put the pieces of kernels together.

    Args:
        pieces: ``(B, mixtures, co * ci * ch * cw)``; mixtures run over
            positions, then output, then input channels.
        kernel: ``(O, C/G, kh, kw)``.
        cell: ``(co, ci, ch, cw)``.

    Returns:
        ``(B, O, C/G, kh, kw)``.
    """
    positions, out, inner = _grid(kernel, cell)
    pieces = pieces.view(pieces.shape[0], positions, out, inner, *cell)
    # (B, S, O', I', co, ci, ch, cw) -> (B, O', co, I', ci, S, ch, cw)
    pieces = pieces.permute(0, 2, 4, 3, 5, 1, 6, 7)
    return pieces.reshape(pieces.shape[0], *kernel)


def kernel_to_cells(kernel: Tensor, cell: CellShape) -> Tensor:
    """Undo :func:`cells_to_kernels` for one kernel.

    Args:
        kernel: ``(O, C/G, kh, kw)``.
        cell: ``(co, ci, ch, cw)``.

    Returns:
        ``(mixtures, co, ci, ch, cw)``.
    """
    positions, out, inner = _grid(tuple(kernel.shape), cell)
    co, ci, ch, cw = cell
    pieces = kernel.reshape(out, co, inner, ci, positions, ch, cw)
    pieces = pieces.permute(4, 0, 2, 1, 3, 5, 6)
    return pieces.reshape(-1, *cell)


def _grid(kernel: KernelShape, cell: CellShape) -> Tuple[int, int, int]:
    """Cells along positions, output channels and input channels."""
    positions = (kernel[2] // cell[2]) * (kernel[3] // cell[3])
    return positions, kernel[0] // cell[0], kernel[1] // cell[1]
