"""Dynamic layers that ``torch.compile`` compiles while the rest stays."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..layers import DynamicConv2d
from .unwrapped import unwrapped


@HOOKS.register_module()
class CompileLayersHook(Hook):
    """Compile every dynamic layer of a model, each by itself.

    A dynamic layer starts many small operations, and a GPU may wait for
    them; compiled, FDConv starts half as many. The rest of the model is not
    touched, so detectors that ``torch.compile`` cannot take whole work, too.
    Needs torch 2.4 or later.

    Args:
        options: Of ``torch.compile``, such as ``dynamic=True``.

    Raises:
        ValueError: When the run begins, the model has no dynamic layer.
        RuntimeError: When it begins, torch is older.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options

    def before_run(self, runner: Runner) -> None:
        """Say so to the layers; they are compiled with the first batch."""
        layers = [
            module
            for module in unwrapped(runner.model).modules()
            if isinstance(module, DynamicConv2d)
        ]
        if not layers:
            raise ValueError(
                'CompileLayersHook compiles dynamic layers, but the model, '
                f'{type(unwrapped(runner.model)).__name__}, has none; give it '
                'a conv_cfg such as FDConv or remove the hook'
            )
        for layer in layers:
            layer.compile(**self.options)
