"""How many operations a step of a layer starts on an accelerator.

Small layers and batches wait for these calls, not for what they compute. They
are counted on a CPU that takes an accelerator's path. What ``torch.compile``
makes calls operations of PyTorch and functions that it generates; of one
function here an accelerator's compiler may make several kernels.
"""

import re
from contextlib import ExitStack
from typing import Any, Iterable, List, Mapping, NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..functional import accelerator_path
from .outputs import pretty_table

try:
    from torch._inductor.output_code import CompiledFxGraph
except ImportError:  # torch < 2.6
    CompiledFxGraph = None


#: Where the program of a graph calls a function that was generated for it.
_FUNCTION = re.compile(r'^ +(?:cpp|triton)_\w+(?:\.run)?\(', re.MULTILINE)


class Calls(NamedTuple):
    """Of one module on one input."""

    forward: int  # in evaluation, without gradients
    step: int  # forward and backward, all gradients


def count_calls(module: nn.Module, x: Tensor) -> Calls:
    """Count the operations that compute or write; views do not count.

    Args:
        module: Any, on a CPU, compiled or not; its mode is as before
            afterwards.
        x: Input.
    """
    training = module.training
    with accelerator_path():
        x = x.detach().requires_grad_()
        forward, step = _Counter(), _Counter()
        module.eval()
        with torch.no_grad():
            module(x)  # what is made once is made
            with forward:
                module(x)
        module.train()
        y = module(x)
        grad = torch.ones_like(y)
        y.backward(grad)
        module.zero_grad(set_to_none=True)
        x.grad = None
        with step:
            y = module(x)
        with step:
            y.backward(grad)
    module.zero_grad(set_to_none=True)
    module.train(training)
    return Calls(forward.number, step.number)


class _Counter(TorchDispatchMode):
    """Sees every operation that reaches PyTorch's dispatcher.

    And, as of torch 2.6, every graph that runs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self._patch = ExitStack()

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Compiled code runs as without the counter."""
        return True

    def __enter__(self) -> '_Counter':
        if CompiledFxGraph is not None:
            run = CompiledFxGraph.__call__

            def counted(graph: Any, inputs: Any) -> Any:
                self.number += len(_FUNCTION.findall(graph.source_code))
                return run(graph, inputs)

            patch = mock.patch.object(CompiledFxGraph, '__call__', counted)
            self._patch.enter_context(patch)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self._patch.close()
        super().__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.number += _computes(func)
        return func(*args, **(kwargs or {}))


def _computes(func: Any) -> bool:
    """Whether an operation starts work, by what it says of its result."""
    schema = func._schema
    is_view = any(
        value.alias_info is not None and not value.alias_info.is_write
        for value in schema.returns
    )
    moves_nothing = 'empty' in schema.name or '_unsafe_view' in schema.name
    return not is_view and not moves_nothing


def calls_to_text(
    case: str, modules: Mapping[str, nn.Module], x: Tensor
) -> str:
    """A table for the screen, in Markdown."""
    rows: List[Iterable[str]] = []
    for name, module in modules.items():
        calls = count_calls(module, x)
        rows.append([case, name, str(calls.forward), str(calls.step)])
    head = ['calls', 'method', 'forward', 'step']
    return pretty_table(head, rows, left=2).get_string()
