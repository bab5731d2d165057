"""Time and memory of layers and models, as ratios to the stock ones.

Candidates take turns within one process, so that whatever else slows the
machine down slows all of them; a ratio is the median over the rounds of one
candidate's time over the stock one's in the same round.
"""

import json
import platform
import statistics
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional

import torch
from torch import Tensor, nn
from torch.utils import benchmark

from ..layers import fixed_gates, record_descriptors
from .outputs import check_suffix, pretty_table, write_csv

STOCK = 'stock'
SUFFIXES = ('.csv', '.json')
_WARMUP = 2  # turns that do not count

#: ``'wall'``: what one waits for, work on an accelerator included. ``'cpu'``:
#: what the process computes, all its threads together, on a machine with other
#: users.
CLOCKS: Mapping[str, Callable[[], float]] = dict(
    wall=benchmark.timer, cpu=time.process_time
)


class Measurement(NamedTuple):
    """One quantity of a candidate over all rounds, in seconds."""

    median: float
    low: float  # 25th percentile
    high: float  # 75th percentile
    ratio: float  # to the stock candidate, median of the rounds' ratios


class Result(NamedTuple):
    """All of one candidate."""

    case: str
    method: str
    forward: Measurement
    step: Measurement  # forward and backward
    memory: int  # bytes: saved for backward (CPU) or allocated at peak (CUDA)
    memory_ratio: float


def saved_bytes(forward: Callable[[], Tensor], *modules: nn.Module) -> int:
    """Bytes that autograd keeps for the backward pass, parameters left out.

    A storage that several operations save counts once.

    Args:
        forward: Runs the forward pass in question.
        modules: Their parameters and buffers do not count.
    """
    own = {
        t.untyped_storage().data_ptr()
        for module in modules
        for t in (*module.parameters(), *module.buffers())
    }
    found: Dict[int, Any] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            # The storage itself is held: a freed address may come again.
            found[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        output = forward()
    total = sum(storage.nbytes() for storage in found.values())
    del output
    return total


class Candidate:
    """A module that takes its turns on one input.

    Args:
        module: Gradients are taken of all its parameters.
        x: Input; a gradient is taken of it as well.
        dtype: float16 and bfloat16 run under autocast.
    """

    def __init__(
        self, module: nn.Module, x: Tensor, dtype: torch.dtype
    ) -> None:
        self.module = module
        self.x = x.detach().requires_grad_()
        self.dtype = dtype
        self.grads: Optional[List[Tensor]] = None

    def forward(self) -> List[Tensor]:
        """Run the module, under autocast where the precision is lower."""
        precision = nullcontext()
        if self.dtype in (torch.float16, torch.bfloat16):
            precision = torch.autocast(self.x.device.type, self.dtype)
        with precision:
            y = self.module(self.x)
        return list(y) if isinstance(y, (list, tuple)) else [y]

    def step(self) -> None:
        """Run forward and backward, from gradients made beforehand."""
        outputs = self.forward()
        if self.grads is None:
            self.grads = [torch.ones_like(y) for y in outputs]
        torch.autograd.backward(outputs, self.grads)
        self.x.grad = None
        for parameter in self.module.parameters():
            parameter.grad = None

    def memory(self) -> int:
        """Bytes saved for backward; on CUDA, allocated at a step's peak."""
        if self.x.is_cuda:
            torch.cuda.synchronize()
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            self.step()
            torch.cuda.synchronize()
            return torch.cuda.max_memory_allocated() - before
        return saved_bytes(lambda: self.forward()[0], self.module)


def take_turns(
    runs: Mapping[Any, Callable[[], Any]],
    rounds: int,
    now: Callable[[], float] = CLOCKS['wall'],
) -> Dict[Any, List[float]]:
    """Time functions one after the other, round by round.

    Args:
        runs: By any key.
        rounds: Number of turns of each.
        now: The clock.

    Returns:
        Seconds of every turn by the same keys.
    """
    seconds: Dict[Any, List[float]] = {key: [] for key in runs}
    for _ in range(rounds):
        for key, run in runs.items():
            start = now()
            run()
            seconds[key].append(now() - start)
    return seconds


def ratio(times: List[float], stock: List[float]) -> float:
    """Median over the rounds of a time over the stock one's."""
    return statistics.median(t / s for t, s in zip(times, stock))


def _summary(times: List[float], stock: List[float]) -> Measurement:
    low, median, high = statistics.quantiles(times, n=4, method='inclusive')
    return Measurement(median, low, high, ratio(times, stock))


def measure(
    case: str,
    modules: Mapping[str, nn.Module],
    x: Tensor,
    dtype: torch.dtype = torch.float32,
    rounds: int = 10,
    clock: str = 'wall',
    inference: bool = False,
    fixed: bool = False,
) -> List[Result]:
    """Let all candidates take turns on one input.

    Args:
        case: What the results are called.
        modules: By method; ``'stock'`` must be among them.
        x: Input.
        dtype: Precision; below float32 through autocast.
        rounds: Turns that count, at least 2; two come before them.
        clock: One of :data:`CLOCKS`.
        inference: Whether the forward pass is timed in evaluation mode and
            without gradients; a step is timed in training mode in any case.
        fixed: Whether gates are fixed in inference, to those of ``x``.

    Raises:
        ValueError: There is no stock module, too few rounds, or no such
            clock.
    """
    if STOCK not in modules:
        raise ValueError(
            f'modules must have {STOCK!r}, which the others are compared '
            f'with, got {sorted(modules)}'
        )
    if rounds < 2:
        raise ValueError(f'rounds must be at least 2, got {rounds}')
    if clock not in CLOCKS or clock == 'cpu' and x.is_cuda:
        raise ValueError(
            f'clock must be one of {sorted(CLOCKS)}, and "wall" on a GPU, got '
            f'{clock!r}'
        )
    candidates = {}
    for name, module in modules.items():
        module.train()  # of the toolboxes' ResNet it returns nothing
        candidates[name] = Candidate(module, x, dtype)
    steps = {(name, 'step'): c.step for name, c in candidates.items()}
    forwards = {(name, 'forward'): c.forward for name, c in candidates.items()}
    for _ in range(_WARMUP):
        for step in steps.values():
            step()
    runs = steps if inference else {**forwards, **steps}
    times = take_turns(runs, rounds, CLOCKS[clock])
    memory = {name: c.memory() for name, c in candidates.items()}
    if inference:
        for module in modules.values():
            module.eval()
        with torch.no_grad(), ExitStack() as stack:
            for module in modules.values() if fixed else ():
                with record_descriptors(module) as means:
                    module(x)
                stack.enter_context(fixed_gates(module, means))
            for _ in range(_WARMUP):
                for forward in forwards.values():
                    forward()
            times.update(take_turns(forwards, rounds, CLOCKS[clock]))
    return [
        Result(
            case,
            name,
            *(
                _summary(times[name, what], times[STOCK, what])
                for what in ('forward', 'step')
            ),
            memory[name],
            memory[name] / max(memory[STOCK], 1),
        )
        for name in candidates
    ]


# ------------------------------------------------------------------ output


def environment(device: str, dtype: str, **options: Any) -> Dict[str, Any]:
    """Machine, versions and precision, to stand beside the numbers."""
    info = dict(
        device=_device_name(device),
        threads=torch.get_num_threads(),
        python=platform.python_version(),
        torch=torch.__version__,
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
        dtype=dtype,
        not_counted='optimizer, data, transfers between devices',
    )
    return {**info, **options}


def _device_name(device: str) -> str:
    if device.startswith('cuda'):
        return torch.cuda.get_device_name(device)
    cpuinfo = Path('/proc/cpuinfo')
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.processor() or platform.machine()


def to_text(results: List[Result]) -> str:
    """A table for the screen, in Markdown."""
    head = ['case', 'method', 'forward ms', 'forward x', 'step ms', 'step x']
    rows = [
        [
            r.case,
            r.method,
            f'{r.forward.median * 1e3:.2f}',
            f'{r.forward.ratio:.2f}',
            f'{r.step.median * 1e3:.2f}',
            f'{r.step.ratio:.2f}',
            f'{r.step.low * 1e3:.2f}-{r.step.high * 1e3:.2f}',
            f'{r.memory / 2**20:.1f}',
            f'{r.memory_ratio:.2f}',
        ]
        for r in results
    ]
    head += ['quartiles', 'MiB', 'MiB x']
    return pretty_table(head, rows, left=2).get_string()


def write_results(
    results: List[Result], env: Mapping[str, Any], path: str
) -> None:
    """Write numbers and environment, JSON or CSV by the file's suffix.

    Raises:
        ValueError: The suffix is neither.
    """
    check_suffix(path, SUFFIXES)
    rows = [_flat(result) for result in results]
    if Path(path).suffix.lower() == '.json':
        text = json.dumps(dict(environment=dict(env), results=rows), indent=2)
        Path(path).write_text(text + '\n', encoding='utf-8')
    else:
        table = ([*row.values(), *env.values()] for row in rows)
        write_csv(path, [*rows[0], *env], table)


def _flat(result: Result) -> Dict[str, Any]:
    row = result._asdict()
    for name in ('forward', 'step'):
        for key, value in row.pop(name)._asdict().items():
            unit = '' if key == 'ratio' else '_s'
            row[f'{name}_{key}{unit}'] = value
    row['memory_bytes'] = row.pop('memory')
    row['memory_ratio'] = row.pop('memory_ratio')
    return row
