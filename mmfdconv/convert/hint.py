"""A rule to begin with, for a model that no preset fits."""

import re
from collections import Counter
from typing import Dict, List

from torch import nn

from .reasons import STOCK, StaticReasons

#: Patterns in a suggestion: a line or two to read and to change.
_MOST = 4
#: A layer with so few input channels sees the image.
_IMAGE = 4


def suggest_rule(model: nn.Module) -> str:
    """Write a rule, as in a config, from the names of the model's own layers.

    Names that differ in numbers alone are one pattern. The convolutions with
    the most parameters are suggested, or the linear layers where there are
    no others; first layers, which see the image, stay.

    Returns:
        ``rule=dict(...)``, or '' where no layer can become dynamic.
    """
    modules = dict(model.named_modules())
    static = StaticReasons(modules)
    for kind in STOCK:
        groups: Dict[str, List[str]] = {}
        for name, module in modules.items():
            if isinstance(module, kind) and static(name) is None:
                groups.setdefault(_pattern(name), []).append(name)
        rule = _write(groups, modules)
        if rule:
            return rule
    return ''


def why_not(model: nn.Module) -> str:
    """Say why there is no rule for a model: what holds for most layers."""
    modules = dict(model.named_modules())
    static = StaticReasons(modules)
    reasons = (static(n) for n, m in modules.items() if isinstance(m, STOCK))
    most = Counter(filter(None, reasons)).most_common(1)
    return 'no layer of it can be dynamic' + (
        f': {most[0][0]}' if most else ''
    )


def _write(groups: Dict[str, List[str]], modules: Dict[str, nn.Module]) -> str:
    """Suggest the largest groups, in the order of the network."""
    size = {}
    first: List[str] = []
    for pattern, names in groups.items():
        layers = [modules[name] for name in names]
        size[pattern] = sum(m.weight.numel() for m in layers)
        seeing = [
            name
            for name, m in zip(names, layers)
            if m.weight.shape[1] * getattr(m, 'groups', 1) <= _IMAGE
        ]
        if len(seeing) == len(names):
            del size[pattern]
        else:
            first += seeing
    chosen = set(sorted(size, key=size.__getitem__, reverse=True)[:_MOST])
    verdicts = [
        f"r'{re.escape(name)}': False"
        for name in first
        if _pattern(name) in chosen
    ]
    verdicts += [f"r'{p}': True" for p in groups if p in chosen]
    if not chosen:
        return ''
    return f'rule=dict(patterns={{{", ".join(verdicts)}}}, otherwise=False)'


def _pattern(name: str) -> str:
    return re.sub(r'\d+', r'\\d+', re.escape(name))
