"""Compare an exported model with the original, in outputs and time."""

import statistics
from functools import partial
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from ..analysis.speed import ratio, take_turns

__all__ = ['RUNTIMES', 'TOLERANCE', 'Comparison', 'compare_runtimes']

#: In the order of comparisons; the last may be missing.
RUNTIMES = ('PyTorch', 'onnxruntime', 'OpenVINO')

#: Largest difference, over the largest value of an output.
TOLERANCE = 1e-3

_Run = Callable[[np.ndarray], List[np.ndarray]]


class Comparison(NamedTuple):
    """One runtime beside PyTorch."""

    runtime: str
    difference: float  # the largest of all outputs and images, relative
    #: Share of equal classes, as written or as the highest of several logits.
    equal: Optional[float]
    seconds: float  # of a forward pass, median
    ratio: float  # of that and PyTorch's own, median over the rounds


def compare_runtimes(
    model: nn.Module,
    proto: onnx.ModelProto,
    images: Sequence[Tensor],
    rounds: int = 5,
) -> List[Comparison]:
    """Compare onnxruntime's and, where installed, OpenVINO's outputs.

    All of them take turns on the CPU, with PyTorch's number of threads.

    Args:
        model: What was exported, in evaluation mode.
        proto: What became of it.
        images: ``(B, C, H, W)`` each, of shapes that the graph takes.
        rounds: Turns that are timed, on the first image.

    Returns:
        PyTorch itself first.
    """
    runs: Dict[str, _Run] = {'PyTorch': _pytorch(model)}
    runs['onnxruntime'] = _onnxruntime(proto)
    openvino = _openvino(proto)
    if openvino is not None:
        runs['OpenVINO'] = openvino
    differences: Dict[str, List[float]] = {name: [] for name in runs}
    equal: Dict[str, List[float]] = {name: [] for name in runs}
    for image in images:
        x = image.numpy()
        expected = runs['PyTorch'](x)
        for name, run in runs.items():
            for output, a, b in zip(proto.graph.output, run(x), expected):
                differences[name].append(_difference(a, b))
                if _has_classes(output.name, b):
                    equal[name].append(_share_equal(a, b))
    x = images[0].numpy()
    bound = {name: partial(run, x) for name, run in runs.items()}
    seconds = take_turns(bound, rounds)
    return [
        Comparison(
            name,
            float(np.max(differences[name])),  # NaN, if any is
            statistics.mean(equal[name]) if equal[name] else None,
            statistics.median(seconds[name]),
            ratio(seconds[name], seconds['PyTorch']),
        )
        for name in runs
    ]


def _difference(value: np.ndarray, expected: np.ndarray) -> float:
    if value.shape != expected.shape:
        return float('inf')
    if not np.issubdtype(expected.dtype, np.floating):
        return 0.0  # a class is right or wrong, see Comparison.equal
    size = max(float(np.abs(expected).max(initial=0)), 1e-12)
    return float(np.abs(value - expected).max(initial=0)) / size


def _has_classes(name: str, value: np.ndarray) -> bool:
    if np.issubdtype(value.dtype, np.floating):
        return name == 'logits' and value.shape[1] > 1
    return True


def _share_equal(value: np.ndarray, expected: np.ndarray) -> float:
    if value.shape != expected.shape:
        return 0.0
    if np.issubdtype(expected.dtype, np.floating):
        value, expected = value.argmax(1), expected.argmax(1)
    return float((value == expected).mean())


def _pytorch(model: nn.Module) -> _Run:
    @torch.no_grad()
    def run(x: np.ndarray) -> List[np.ndarray]:
        outputs = model(torch.from_numpy(x))
        outputs = [outputs] if isinstance(outputs, Tensor) else outputs
        return [output.numpy() for output in outputs]

    return run


def _onnxruntime(proto: onnx.ModelProto) -> _Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=['CPUExecutionProvider']
    )
    return lambda x: session.run(None, {'image': x})


def _openvino(proto: onnx.ModelProto) -> Any:
    try:
        import openvino
    except ImportError:
        return None
    core = openvino.Core()
    # It would take bfloat16 where a CPU has it.
    config = {
        'INFERENCE_PRECISION_HINT': 'f32',
        'INFERENCE_NUM_THREADS': torch.get_num_threads(),
    }
    model = core.read_model(proto.SerializeToString())
    compiled = core.compile_model(model, 'CPU', config)
    outputs: Sequence[Any] = compiled.outputs

    def run(x: np.ndarray) -> List[np.ndarray]:
        found = compiled(x)
        return [found[output] for output in outputs]

    return run
