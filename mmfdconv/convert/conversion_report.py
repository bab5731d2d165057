"""What a conversion did, layer by layer."""

from dataclasses import dataclass
from typing import List, NamedTuple, Tuple

from torch import nn


class ReportRow(NamedTuple):
    """One convolution or linear layer before and after."""

    name: str
    before: str
    after: str  # class name, or '' when the layer was left alone
    params_before: int
    params_after: int
    reason: str


@dataclass(frozen=True)
class ConversionReport:
    """What :func:`convert_dynamic_` did, a row for every layer."""

    rows: Tuple[ReportRow, ...]
    shared_params: int = 0  # of cells that several layers share
    notes: Tuple[str, ...] = ()  # what the model needs beyond itself

    @property
    def converted(self) -> List[ReportRow]:
        """The rows of converted layers."""
        return [row for row in self.rows if row.after]

    @property
    def skipped(self) -> List[ReportRow]:
        """The rows of layers left alone; ``reason`` says why."""
        return [row for row in self.rows if not row.after]

    @property
    def added_params(self) -> int:
        """Parameters after minus parameters before."""
        own = sum(r.params_after - r.params_before for r in self.rows)
        return own + self.shared_params

    def __str__(self) -> str:
        head = ('name', 'before', 'after', 'parameters', 'reason')
        table = [head]
        for row in self.rows:
            params = f'{row.params_before:,}'
            if row.after:
                params += f' -> {row.params_after:,}'
            after = row.after or '-'
            table.append((row.name, row.before, after, params, row.reason))
        widths = [max(len(line[i]) for line in table) for i in range(4)]
        lines = []
        for line in table:
            cells = [c.ljust(w) for c, w in zip(line, widths)]
            lines.append('  '.join([*cells, line[4]]).rstrip())
        if self.shared_params:
            lines.append(f'shared cells: {self.shared_params:,} parameters')
        lines.extend(f'note: {note}' for note in self.notes)
        lines.append(
            f'{len(self.converted)} of {len(self.rows)} layers '
            f'converted, {self.added_params:+,} parameters'
        )
        return '\n'.join(lines)


def describe(stock: nn.Module) -> str:
    """Say the shape of a stock layer in a few characters."""
    if isinstance(stock, nn.Linear):
        return f'{stock.in_features}->{stock.out_features} linear'
    kernel = 'x'.join(str(k) for k in stock.kernel_size)
    text = f'{stock.in_channels}->{stock.out_channels} {kernel}'
    if max(stock.stride) > 1:
        text += f' s{stock.stride[0]}'
    if stock.groups > 1:
        text += f' g{stock.groups}'
    return text


def count(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in module.parameters())
