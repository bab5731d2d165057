"""Counts the FLOPs of any model while it runs, operation by operation.

Convolutions and matrix products are not carried out, zeros stand for their
results: a detector on a large image takes seconds on a CPU. All else runs, so
that code which looks at values (proposals, masks) finds some.
"""

from collections import Counter
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Tuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from ...layers import DynamicConv2d
from .formulas import FORMULAS, PRODUCT_OPS
from .parts import part_of_operation, parts_of_methods

#: Operations that move or create data and compute nothing.
_MOVES = frozenset(
    'arange cat clone col2im constant_pad_nd contiguous copy empty_like eye '
    'fill flip full_like gather im2col index index_put index_select '
    'lift_fresh lift_fresh_copy masked_fill masked_select new_empty '
    'new_empty_strided new_full new_ones new_zeros nonzero ones_like '
    'pixel_shuffle random reflection_pad2d repeat replication_pad2d roll '
    'scatter slice_scatter stack _local_scalar_dense _to_copy _unsafe_view '
    'where zero zeros_like'.split()
)


class FlopCount:
    """What was counted, and what was seen but not counted.

    Attributes:
        flops: By (module's qualified name, part, operation); one multiply-add
            is one. The module is the innermost one that was running.
        uncounted: Elements that other operations computed, likewise.
        compiled: Number of runs of modules with kernels of mmcv's own, by
            class; what these compute beyond PyTorch's operations is not seen.
    """

    def __init__(self) -> None:
        self.flops: Dict[Tuple[str, str, str], int] = Counter()
        self.uncounted: Dict[Tuple[str, str, str], int] = Counter()
        self.compiled: Dict[str, int] = Counter()

    @property
    def total(self) -> int:
        """All FLOPs."""
        return sum(self.flops.values())

    def by(
        self, key: Callable[[str, str, str], Any], what: str = 'flops'
    ) -> Dict[Any, int]:
        """Sums of ``'flops'`` or ``'uncounted'`` by a key.

        Args:
            key: Of ``(module name, part, operation)``.
            what: Which of the two.
        """
        sums: Dict[Any, int] = Counter()
        for place, number in getattr(self, what).items():
            sums[key(*place)] += number
        return sums


def count_flops(model: nn.Module, run: Callable[[], Any]) -> FlopCount:
    """Count the FLOPs of a model in one run.

    Args:
        model: On a CPU, or on the meta device if ``run`` asks for no values;
            what does not belong to it is counted at ``''``.
        run: Calls the model on something. It runs without gradients, in the
            mode (``eval()`` or ``train()``) that the model is in.

    Returns:
        The counts; the model is as it was before.
    """
    counter = _Counter()
    with ExitStack() as watches:
        for name, module in model.named_modules():
            inside = counter.inside(name, module)
            # Not by hooks: toolboxes call forward() itself, too.
            watches.enter_context(_around(module, 'forward', inside))
            if isinstance(module, DynamicConv2d):
                watches.enter_context(_kernels_apart(module))
            for method, part in parts_of_methods(module).items():
                at_work = partial(counter.at_work_on, part)
                watches.enter_context(_around(module, method, at_work))
        with torch.no_grad(), counter:
            run()
    return counter.count


@contextmanager
def _kernels_apart(layer: DynamicConv2d) -> Iterator[None]:
    """Let a layer assemble its kernels before it convolves, not meanwhile."""
    own = vars(layer).get('keeps_kernels')
    layer.keeps_kernels = True
    try:
        yield
    finally:
        del layer.keeps_kernels
        if own is not None:
            layer.keeps_kernels = own


@contextmanager
def _around(
    module: nn.Module, name: str, context: Callable[[], Any]
) -> Iterator[None]:
    """Let a method of this one instance run within a context."""
    method = getattr(module, name)
    own = vars(module).get(name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with context():
            return method(*args, **kwargs)

    setattr(module, name, wrapped)
    try:
        yield
    finally:
        delattr(module, name)
        if own is not None:
            setattr(module, name, own)


class _Counter(TorchDispatchMode):
    """Sees every operation that reaches PyTorch's dispatcher."""

    def __init__(self) -> None:
        super().__init__()
        self.count = FlopCount()
        self._running: List[Tuple[str, nn.Module]] = []
        self._parts: List[str] = []

    def inside(self, name: str, module: nn.Module) -> Callable[[], Any]:
        """Context of a module that runs."""

        @contextmanager
        def context() -> Iterator[None]:
            if type(module).__module__.startswith('mmcv.ops'):
                self.count.compiled[type(module).__name__] += 1
            self._running.append((name, module))
            try:
                yield
            finally:
                self._running.pop()

        return context

    @contextmanager
    def at_work_on(self, part: str) -> Iterator[None]:
        """Context of a method that computes one part of a dynamic layer."""
        self._parts.append(part)
        try:
            yield
        finally:
            self._parts.pop()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func._schema.name.partition('::')[2]
        if name not in FORMULAS:
            # In place, such as addmm_, the same is computed.
            name = name.rstrip('_')
        if name in PRODUCT_OPS:
            out = _stand_in(func, args, kwargs)
        else:
            out = func(*args, **kwargs)
        module = self._running[-1][0] if self._running else ''
        place = module, self._part(name), name
        if name in FORMULAS:
            self.count.flops[place] += FORMULAS[name](args, out)
        elif name not in _MOVES and _computes(func, args, out):
            self.count.uncounted[place] += _tensors(out)[0].numel()
        return out

    def _part(self, op: str) -> str:
        """The part of a dynamic layer that is running, ``''`` outside."""
        if self._parts:
            return self._parts[-1]
        innermost = self._running[-1][0] if self._running else ''
        for name, module in reversed(self._running):
            if isinstance(module, DynamicConv2d):
                path = innermost[len(name) :].lstrip('.')
                return part_of_operation(module, path, op)
        return ''


def _tensors(values: Any) -> List[Tensor]:
    return [t for t in tree_flatten(values)[0] if isinstance(t, Tensor)]


def _computes(func: Any, args: Any, out: Any) -> bool:
    """Whether an operation makes new values out of others."""
    sources, results = _tensors(args), _tensors(out)
    if not sources or not results:
        return False
    # By identity: on the meta device there are no addresses.
    memory = {t.untyped_storage()._cdata for t in sources}
    is_view = results[0].untyped_storage()._cdata in memory
    return func._schema.is_mutable or not is_view


def _stand_in(func: Any, args: Any, kwargs: Dict[str, Any]) -> Any:
    """Zeros in the shape of a result that is not computed."""
    sources = _tensors(args)
    if func._schema.is_mutable:
        return sources[0]

    def shape_only(value: Any) -> Any:
        if isinstance(value, Tensor):
            return torch.empty_like(value, device='meta')
        return value

    out = func(*tree_map(shape_only, args), **tree_map(shape_only, kwargs))
    return torch.zeros(out.shape, dtype=out.dtype, device=sources[0].device)
