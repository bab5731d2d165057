"""Interactive pages: figures with many layers, or with values to read off.

A page is one HTML file without anything from elsewhere: ``page.html`` with
the numbers put in. What the mouse points at is named, and a layer is chosen
from a list.
"""

import html
import json
from pathlib import Path
from string import Template
from typing import Any, Dict, List, Sequence

from torch import Tensor

from ..gates import GateStudy, class_means, frequent_classes
from ..kernels import Plane, Similarity
from ..outputs import PathLike

__all__ = [
    'gate_entries',
    'is_page',
    'similarity_entry',
    'write_page',
]

Panel = Dict[str, Any]
Entry = Dict[str, Any]

_TEMPLATE = Path(__file__).with_name('page.html')


def is_page(out: PathLike) -> bool:
    """Whether a file to write is a page, by its name."""
    return Path(out).suffix.lower() == '.html'


def write_page(out: PathLike, title: str, entries: Sequence[Entry]) -> Path:
    """Write a page.

    Args:
        out: The file.
        title: Heading.
        entries: One for each layer, to choose from.
    """
    # Within a script, a name must not end it; JSON knows \u003c for <.
    data = json.dumps(entries, separators=(',', ':')).replace('<', '\\u003c')
    text = Template(_TEMPLATE.read_text(encoding='utf-8')).substitute(
        title=html.escape(title), data=data
    )
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding='utf-8')
    return out


def similarity_entry(
    label: str, alike: Similarity, plane: Plane, noun: str
) -> Entry:
    """How alike the parallel kernels of a layer are, for a page.

    Args:
        label: What to call the layer.
        alike: The cosines.
        plane: Every filter of every kernel.
        noun: What a kernel is called.
    """
    names = [f'{noun} {k + 1}' for k in range(len(alike.kernels))]
    mean, _, magnitudes, _ = alike.summary()
    points = zip(plane.points.tolist(), plane.owner.tolist())
    return dict(
        label=label,
        panels=[
            _matrix(
                f'cosine of the responses\nmean off the diagonal {mean:.3f}',
                alike.kernels,
                *(names, names, (-1, 1)),
                signed=True,
            ),
            _matrix(
                'cosine of their magnitudes\nmean off the diagonal '
                f'{magnitudes:.3f}',
                alike.magnitudes,
                *(names, names, (0, 1)),
            ),
            dict(
                kind='scatter',
                title=f'every filter of every {noun}\n{plane.how}',
                points=[[*_rounded(point, 4), k] for point, k in points],
                names=[
                    f'{names[k]}, filter {n + 1}'
                    for k, n in zip(plane.owner, plane.filters)
                ],
                kernels=len(names),
            ),
        ],
    )


def gate_entries(study: GateStudy, below: float = 0.1) -> List[Entry]:
    """Gates of every layer over a data set, for a page.

    Args:
        study: The gates.
        below: A kernel is dead whose usage is below this.
    """
    images = [
        f'image {row + 1}'
        + ''.join(f', {study.classes[c]}' for c in present.nonzero().flatten())
        for row, present in enumerate(study.present)
    ]
    shown = frequent_classes(study)
    entries = []
    for name, gates in study.layers.items():
        usage, entropy = gates.usage, gates.entropy
        dead = len(gates.dead(below))
        kernels = [f'kernel {k + 1}' for k in range(len(usage))]
        mean = f'{float(entropy.mean()):.4f}'
        panels: List[Panel] = [
            dict(
                kind='bars',
                title=f'how much each kernel is used\n{dead} dead',
                values=_rounded(usage.tolist(), 4),
                names=kernels,
                line=1,
                x='kernel',
                y='share over uniform share',
            ),
            dict(
                kind='scatter',
                title=f'entropy of the gates, image by image\nmean {mean}',
                points=[
                    [row, *_rounded([value], 6), 0]
                    for row, value in enumerate(entropy.tolist())
                ],
                names=[
                    f'{image}: {value:.4f}'
                    for image, value in zip(images, entropy.tolist())
                ],
                kernels=1,
                scale=True,
                x='image',
                y='entropy / log K',
            ),
        ]
        if shown:
            means = class_means(study, name)[shown]
            reach = max(float((means - 1).abs().max()), 1e-3)
            panels.append(
                _matrix(
                    'gates by class in the image\nshare over mean share',
                    means,
                    [study.classes[c] for c in shown],
                    *(kernels, (1 - reach, 1 + reach)),
                    signed=True,
                )
            )
        label = f'{name}: entropy {mean} of log K, {dead} dead'
        entries.append(dict(label=label, panels=panels))
    return entries


def _matrix(
    title: str,
    values: Tensor,
    rows: Sequence[str],
    columns: Sequence[str],
    scale: Sequence[float],
    signed: bool = False,
) -> Panel:
    """A map of numbers; signed colours are neutral in the scale's middle."""
    low, high = scale
    return dict(
        kind='matrix',
        title=title,
        values=[_rounded(row, 4) for row in values.tolist()],
        rows=rows,
        columns=columns,
        low=low,
        high=high,
        signed=signed,
    )


def _rounded(values: Sequence[float], digits: int) -> List[Any]:
    """Numbers as short as they are read; JSON has no NaN, but null."""
    return [None if z != z else round(z, digits) + 0.0 for z in values]
