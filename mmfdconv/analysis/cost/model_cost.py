"""Parameters and FLOPs of a config's model, as tables."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from mmengine.config import Config

from ...engine.models import build_model
from ..outputs import PathLike, check_suffix, pretty_table, write_csv
from .counter import FlopCount, count_flops
from .parts import PARTS, parts_of_parameters
from .run import default_shape, run_once, stock_config

SUFFIXES = ('.json', '.csv')
#: What is computed by no module below the model.
_ITSELF = '(model)'
_NOTES = (
    'One multiply-add is one FLOP. Convolutions, matrix products, '
    'normalisation, resizing and averages count as in MMEngine; a real FFT '
    'of N points counts 1.25 N log2 N.'
)


class CostRow(NamedTuple):
    """A component of the model, or with a part: this part of its layers."""

    component: str
    part: str
    params: int
    flops: int
    uncounted: int  # elements that operations without a formula computed


class Cost(NamedTuple):
    """All that was counted of one model in one run."""

    rows: List[CostRow]
    count: FlopCount
    shape: Tuple[int, int]
    regions: Optional[int]  # that a two-stage detector classified

    @property
    def total(self) -> CostRow:
        """Sum of the components."""
        rows = [row for row in self.rows if not row.part]
        return CostRow('total', '', *(sum(r[i] for r in rows) for i in _SUMS))


_SUMS = (2, 3, 4)


def cost_of_config(
    cfg: Config, shape: Optional[Tuple[int, int]] = None
) -> Cost:
    """Count parameters and FLOPs of a config's model, for one image.

    Args:
        cfg: An experiment of mmdet, mmseg or mmpretrain; its default scope
            must be set. Neither its data nor its checkpoint is needed.
        shape: ``(H, W)``. None: see :func:`default_shape`.

    Raises:
        ValueError: The config has no model, or the model does not run.
    """
    shape = shape or default_shape(cfg)
    model = build_model(cfg)
    regions: List[Optional[int]] = []
    count = count_flops(
        model,
        lambda: regions.append(run_once(model, cfg.default_scope, shape)),
    )
    params: Dict[Tuple[str, str], int] = Counter()
    for name, part, size in parts_of_parameters(model):
        component = name.partition('.')[0] if '.' in name else _ITSELF
        params[component, part] += size
    return Cost(_rows(params, count), count, tuple(shape), *regions)


def _rows(
    params: Mapping[Tuple[str, str], int], count: FlopCount
) -> List[CostRow]:
    """Components in the order of their parameters, each with its parts."""

    def key(name: str, part: str, op: str) -> Tuple[str, str]:
        return name.partition('.')[0] or _ITSELF, part

    numbers = params, count.by(key), count.by(key, 'uncounted')
    keys = list(dict.fromkeys(k for sums in numbers for k in sums))
    rows = []
    for component in dict.fromkeys(component for component, _ in keys):
        parts = {p for c, p in keys if c == component}
        split = [
            CostRow(
                component, part, *(n.get((component, p), 0) for n in numbers)
            )
            for p, part in (('', 'stock layers'), *((p, p) for p in PARTS))
            if p in parts
        ]
        sums = (sum(row[i] for row in split) for i in _SUMS)
        rows.append(CostRow(component, '', *sums))
        if parts != {''}:
            rows += split
    return rows


def compare(
    cfg: Config, shape: Optional[Tuple[int, int]] = None
) -> Tuple[Cost, Cost]:
    """Count a config's model and its stock one, see :func:`cost_of_config`.

    Raises:
        ValueError: The config has no dynamic layers.
    """
    stock = stock_config(cfg)
    return cost_of_config(cfg, shape), cost_of_config(stock, shape)


# ------------------------------------------------------------------- output


def to_text(cost: Cost, stock: Optional[Cost] = None) -> str:
    """A table in Markdown and, below, what was not counted."""
    head = ['part', 'parameters', 'FLOPs', 'not counted']
    if stock is not None:
        head += ['stock parameters', 'added parameters']
        head += ['stock FLOPs', 'added FLOPs']
    rows = []
    others = [] if stock is None else [*stock.rows, stock.total]
    by_component = {row.component: row for row in others if not row.part}
    for row in [*cost.rows, cost.total]:
        cells = [
            f'- {row.part}' if row.part else row.component,
            f'{row.params / 1e6:,.3f} M',
            f'{row.flops / 1e9:,.3f} G',
            f'{row.uncounted / 1e6:,.1f} M',
        ]
        other = by_component.get(row.component)
        if other is not None and not row.part:
            cells += [
                f'{other.params / 1e6:,.3f} M',
                f'{(row.params - other.params) / 1e6:+,.3f} M',
                f'{other.flops / 1e9:,.3f} G',
                f'{(row.flops - other.flops) / 1e9:+,.3f} G',
            ]
        rows.append(cells + [''] * (len(head) - len(cells)))
    return '\n'.join(
        [pretty_table(head, rows).get_string(), '', *_notes(cost)]
    )


def _notes(cost: Cost) -> List[str]:
    notes = [_NOTES]
    if cost.regions is not None:
        notes.append(f'The second stage ran on {cost.regions} regions.')
    idle = [
        row.component
        for row in cost.rows
        if row.params and not row.flops and not row.part
    ]
    if idle:
        notes.append(f'Parameters without FLOPs here: {", ".join(idle)}.')
    sums = cost.count.by(lambda name, part, op: op, 'uncounted')
    large = sorted(sums.items(), key=lambda item: -item[1])
    listed = ', '.join(f'{op} {n / 1e6:,.1f} M' for op, n in large if n >= 5e4)
    small = [op for op, n in large if n < 5e4]
    if large:
        notes.append(
            'Not counted, in elements computed: '
            f'{listed or "below 0.1 M each"}'
            + (f'; less: {", ".join(small)}.' if small else '.')
        )
    if cost.count.compiled:
        runs = ', '.join(f'{k} ({n}x)' for k, n in cost.count.compiled.items())
        notes.append(
            f"Not counted, mmcv's compiled operations: {runs}; nor is "
            'non-maximum suppression.'
        )
    return notes


def write(
    path: PathLike,
    cost: Cost,
    stock: Optional[Cost] = None,
    **about: Any,
) -> None:
    """Write all numbers, JSON or CSV by the file's suffix.

    JSON also holds the FLOPs of every module by part and operation.

    Args:
        path: ``.json`` or ``.csv``.
        cost: Of the model.
        stock: Of its stock model.
        about: What else the file shall say, such as the config.

    Raises:
        ValueError: The suffix is neither.
    """
    check_suffix(path, SUFFIXES)
    path = Path(path)
    named = [('model', cost)] + ([('stock', stock)] if stock else [])
    if path.suffix.lower() == '.json':
        content: Dict[str, Any] = dict(about)
        for name, one in named:
            content[name] = dict(
                shape=one.shape,
                regions=one.regions,
                rows=[row._asdict() for row in (*one.rows, one.total)],
                modules=_places(one.count.flops, 'flops'),
                uncounted=_places(one.count.uncounted, 'elements'),
                compiled=dict(one.count.compiled),
            )
        text = json.dumps(content, indent=1)
        path.write_text(text + '\n', encoding='utf-8')
    else:
        rows = (
            (name, *row, *about.values())
            for name, one in named
            for row in (*one.rows, one.total)
        )
        write_csv(path, ('counted', *CostRow._fields, *about), rows)


def _places(
    numbers: Mapping[Tuple[str, str, str], int], unit: str
) -> List[Dict[str, Any]]:
    return [
        {'module': name, 'part': part, 'operation': op, unit: number}
        for (name, part, op), number in numbers.items()
    ]
