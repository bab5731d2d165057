"""What depends on who is running the code: a device, autocast, a tracer."""

from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import Any, ContextManager, Iterator

import torch
from torch import Tensor
from torch.autograd import forward_ad

try:
    from torch.compiler import is_compiling
except ImportError:  # torch < 2.3
    try:
        from torch._dynamo.external_utils import is_compiling
    except ImportError:  # torch 1 does not compile

        def is_compiling() -> bool:
            """Whether torch.compile reads the code that runs."""
            return False


try:
    from torch.utils._python_dispatch import _disable_current_modes
except ImportError:  # torch 1 has no modes that outlive an operation
    _disable_current_modes = nullcontext

_any_size = False
_has_operators = hasattr(torch.library, 'custom_op')  # from torch 2.4 on

#: Types of devices that want few values in hand at once, and on which calls
#: are cheap beside memory. On ``meta`` operations are counted, as of a CPU.
_cpu_like = {'cpu', 'meta'}


def prefers_cpu_path(x: Tensor) -> bool:
    """Whether to compute in the way that is faster on CPUs."""
    return x.device.type in _cpu_like


@contextmanager
def accelerator_path() -> Iterator[None]:
    """Let all devices compute as accelerators do, to test or count that."""
    before = set(_cpu_like)
    _cpu_like.clear()
    try:
        yield
    finally:
        _cpu_like.update(before)


def no_autocast(x: Tensor) -> ContextManager:
    """Context for what is cheap, and better at the precision it comes in."""
    if is_exported():  # a graph knows no autocast
        return nullcontext()
    device_type = x.device.type
    # Where it is off, to look costs less than to enter the context.
    if is_compiling() or (
        _has_autocast(device_type) and _is_autocast_enabled(device_type)
    ):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


def _is_autocast_enabled(device_type: str) -> bool:
    if _has_operators:
        return torch.is_autocast_enabled(device_type)
    if device_type == 'cpu':  # torch < 2.4 asks each device in its own way
        return torch.is_autocast_cpu_enabled()
    return device_type != 'cuda' or torch.is_autocast_enabled()


@lru_cache(maxsize=None)
def _has_autocast(device_type: str) -> bool:
    try:
        torch.autocast(device_type, enabled=False)
    except RuntimeError:  # such as of the meta device, or an older torch's MPS
        return False
    return True


def is_traced() -> bool:
    """Whether plain operations, of any size, are wanted.

    By a compiler, ``torch.jit.trace``, a transform of ``torch.func`` or
    forward-mode differentiation.
    """
    return (
        is_compiling()
        or torch._C._is_tracing()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
    )


def compiled_for_cpu(x: Tensor) -> bool:
    """Whether ``torch.compile`` runs, for a CPU: it takes :mod:`.operators`.

    For accelerators it fuses plain operations; and these are what
    ``torch.export`` records, for programs that do not know ours.
    """
    if not _has_operators or not torch.compiler.is_dynamo_compiling():
        return False
    return prefers_cpu_path(x)


def is_exported() -> bool:
    """Whether a graph for ONNX is recorded, which knows no FFTs."""
    return torch.onnx.is_in_onnx_export()


@contextmanager
def untraced() -> Iterator[None]:
    """Compute for real while a tracer records: constants of its graph."""
    state = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)
    try:
        with _disable_current_modes(), torch.inference_mode(False):
            yield
    finally:
        torch._C._set_tracing_state(state)


@contextmanager
def any_size() -> Iterator[None]:
    """Let ``torch.jit.trace`` record for images of any height and width.

    It cannot tell which sizes may vary; ``torch.export`` can.
    """
    global _any_size
    before, _any_size = _any_size, True
    try:
        yield
    finally:
        _any_size = before


def varies(*lengths: Any) -> bool:
    """Whether a graph is recorded in which one of these may vary."""
    if torch.jit.is_tracing():
        return _any_size
    return any(isinstance(n, torch.SymInt) for n in lengths)
