"""Find the layer for which a model cannot be exported."""

from contextlib import ExitStack
from typing import Any, Callable, Dict, Sequence

import torch
from torch import Tensor, nn

__all__ = ['culprit']


@torch.no_grad()
def culprit(
    model: nn.Module,
    image: Tensor,
    export: Callable[[nn.Module, Any, Sequence[str]], Any],
) -> str:
    """Name the innermost module that cannot be exported by itself.

    Exporters say which operator they refuse, and seldom whose it is. From the
    whole model down, the first part of each that fails alone is looked into.

    Args:
        model: One that was not exported.
        image: What it was called with.
        export: Called with a module, its input and no names of outputs; it
            raises where the module cannot be exported.

    Returns:
        The module's name; '' where the model as a whole is to blame, or does
        not run.
    """
    inputs = _inputs(model, image)
    name = ''
    while True:
        prefix = f'{name}.' if name else ''
        below = [key for key in inputs if key.startswith(prefix) and key]
        # The parts right below, of those that are called.
        parts = [
            key
            for key in below
            if not any(key.startswith(f'{other}.') for other in below)
        ]
        failing = next(
            (
                part
                for part in parts
                if _fails(export, model.get_submodule(part), inputs[part])
            ),
            None,
        )
        if failing is None:
            return name
        name = failing


def _inputs(model: nn.Module, image: Tensor) -> Dict[str, Any]:
    """What each module with one argument is called with, the first time."""
    inputs: Dict[str, Any] = {}

    def remember(name: str) -> Callable:
        def hook(module: nn.Module, args: tuple) -> None:
            if len(args) == 1:
                inputs.setdefault(name, args[0])

        return hook

    with ExitStack() as hooks:
        for name, module in model.named_modules():
            hooks.enter_context(
                module.register_forward_pre_hook(remember(name))
            )
        try:
            model(image)
        except Exception:
            return {}
    return inputs


def _fails(export: Callable, module: nn.Module, x: Any) -> bool:
    try:
        export(module, x, ())
    except Exception:
        return True
    return False
