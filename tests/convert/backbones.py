"""The backbones of the toolboxes, in settings small enough for a test.

One table per toolbox, in the files beside this one. A class that stands in a
toolbox's registry and not in its table fails ``test_sweep.py``.
"""

import importlib
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional

import torch

__all__ = ['CONVS', 'HRNET', 'LAYERS', 'ONE_BLOCK', 'Case', 'registered']

#: Rules for families without a preset: all but the stem, with or without the
#: linear layers.
CONVS = dict(min_channels=8)
LAYERS = dict(min_channels=8, linears=True)

#: ``extra`` of the HRNets, one module a stage.
HRNET = {
    f'stage{n}': dict(
        num_modules=1,
        num_branches=n,
        block='BOTTLENECK' if n == 1 else 'BASIC',
        num_blocks=(1,) * n,
        num_channels=(16, 32, 64, 128)[:n],
    )
    for n in (1, 2, 3, 4)
}


def _one_block(settings):
    """Make the stages of a ResNet a block long."""
    return {
        depth: (block, (1,) * len(numbers))
        for depth, (block, numbers) in settings.items()
    }


#: ``class_attrs`` of the ResNets.
ONE_BLOCK = dict(arch_settings=_one_block)


@dataclass(frozen=True)
class Case:
    """How to build one backbone, and what to expect of its conversion.

    Args:
        settings: Arguments of the class.
        size: Sides of the square input.
        channels: Channels of the input.
        class_attrs: Attributes of the class to replace while it is built,
            for widths and depths that are no arguments; a function is given
            the stock value.
        rule: Rule of the conversion; None takes the preset of the family.
        refused: Words of the error that the conversion must raise.
        needs: A package without which the class cannot be built.
        redraw: Regular expression for parameters that the class leaves
            uninitialised.
        costly: Why not all of its layers are tried.
        absent: Why the class cannot be built here; it is then left out.
        core: Whether it runs on the second stack in CI, too.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    size: int = 64
    channels: int = 3
    class_attrs: Mapping[str, Any] = field(default_factory=dict)
    rule: Optional[Mapping[str, Any]] = None
    refused: str = ''
    absent: str = ''
    needs: str = ''
    redraw: str = ''
    costly: str = ''
    core: bool = False

    def images(self, batch: int = 2) -> torch.Tensor:
        """Seeded input, shape (batch, channels, size, size)."""
        generator = torch.Generator().manual_seed(1)
        shape = (batch, self.channels, self.size, self.size)
        return torch.randn(shape, generator=generator)


def registered(toolbox: str) -> Dict[str, type]:
    """Classes in a toolbox's registry that its ``backbones`` define."""
    importlib.import_module(f'{toolbox}.models')
    registry = importlib.import_module(f'{toolbox}.registry').MODELS
    return {
        name: cls
        for name, cls in registry.module_dict.items()
        if cls.__module__.startswith(f'{toolbox}.models.backbones.')
    }
