"""Layers that ``torch.compile`` compiles one by one, inside any model."""

from types import FunctionType
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import torch
from torch import Tensor

from ..functional import is_traced

_Forward = Callable[..., Tensor]
_functions: Dict[Tuple[_Forward, str], _Forward] = {}


class Compiling:
    """Mixed into a layer with a ``forward_batch``."""

    #: What layers of one build have alike, and how they are compiled.
    _graphs: Optional[Tuple[str, Mapping[str, Any]]] = None

    #: Computes in evaluation what the layer would, while its gates are fixed.
    run_fixed: Optional[Callable[[Tensor], Tensor]] = None

    def compile(self, **options: Any) -> None:
        """Compile this layer, whatever the rest of the model is.

        It takes place with the first batch, and again as shapes require.
        Copies of the layer are compiled, too, and layers of one build share
        their graphs.

        Args:
            options: Of ``torch.compile``.

        Raises:
            RuntimeError: torch is older than 2.4.
        """
        if not hasattr(torch.library, 'custom_op'):
            raise RuntimeError(
                'compile() of a dynamic layer needs torch 2.4 or later, got '
                f'torch {torch.__version__}'
            )
        # Options may be dicts, which no table takes for keys.
        self._graphs = f'{self!r} {options!r}', options

    def run_batch(self, x: Tensor) -> Tensor:
        """``forward_batch``, compiled if it is to be."""
        if is_traced():
            return self.forward_batch(x)
        if self.run_fixed and not (self.training or torch.is_grad_enabled()):
            return self.run_fixed(x)
        if self._graphs is None:
            return self.forward_batch(x)
        return _compiled(type(self).forward_batch, *self._graphs)(self, x)


def _compiled(
    function: _Forward, build: str, options: Mapping[str, Any]
) -> _Forward:
    """A compiled function that has its graphs for itself.

    PyTorch looks graphs up by a function's code, one after the other, and
    compiles no more than eight; a backbone has more shapes of kernels.
    """
    key = function, build
    if key not in _functions:
        own = FunctionType(
            function.__code__.replace(),
            function.__globals__,
            closure=function.__closure__,
        )
        _functions[key] = torch.compile(own, **options)
    return _functions[key]
