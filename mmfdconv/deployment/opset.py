"""Convert an ONNX graph to opset 17, for every runtime."""

from typing import Dict, Iterator, Tuple

import onnx
from onnx import numpy_helper

__all__ = ['OPSET', 'merge_equal_constants', 'to_opset']

OPSET = 17

#: From opset 18 on their axes are an input.
_REDUCTIONS = tuple(
    f'Reduce{name}'
    for name in ('L1 L2 LogSum LogSumExp Max Mean Min Prod SumSquare'.split())
)

#: Attributes of opset 18 that exporters set to what opset 17 does anyway.
_NEW_ATTRIBUTES = dict(
    Resize=('antialias', 'keep_aspect_ratio_policy'), Split=('num_outputs',)
)


def to_opset(model: onnx.ModelProto) -> None:
    """Turn a graph of opset 18 into one of opset 17, in place, and check it.

    ONNX's own converter does not know the reductions of this step.

    Raises:
        ValueError: An operator uses what opset 17 does not have.
    """
    constants = dict(_constants(model.graph))
    for node in model.graph.node:
        if node.op_type in _REDUCTIONS and len(node.input) == 2:
            axes = numpy_helper.to_array(constants[node.input[1]])
            del node.input[1]
            node.attribute.append(
                onnx.helper.make_attribute('axes', axes.tolist())
            )
            _drop_attribute(node, 'noop_with_empty_axes')
        for name in _NEW_ATTRIBUTES.get(node.op_type, ()):
            _drop_attribute(node, name)
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid('', OPSET))
    model.ir_version = 8
    custom = {n.op_type for n in model.graph.node if n.domain}
    if custom:
        raise ValueError(f'custom operators: {", ".join(sorted(custom))}')
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ValueError(f'no graph of opset {OPSET}: {error}') from error


def merge_equal_constants(model: onnx.ModelProto) -> None:
    """Keep one of the constants that are the same, in place.

    Layers of one size have the same matrices.
    """
    graph = model.graph
    outputs = {output.name for output in graph.output}
    kept: Dict[Tuple, str] = {}
    other: Dict[str, str] = {}
    for name, tensor in _constants(graph):
        content = numpy_helper.to_array(tensor).tobytes()
        key = (tensor.data_type, tuple(tensor.dims), content)
        if kept.setdefault(key, name) != name and name not in outputs:
            other[name] = kept[key]
    nodes = [n for n in graph.node if not other.keys() & set(n.output)]
    tensors = [t for t in graph.initializer if t.name not in other]
    for node in nodes:
        node.input[:] = [other.get(name, name) for name in node.input]
    # An exporter's constants stand where they are first used, not before the
    # use that they now have elsewhere.
    nodes.sort(key=lambda node: node.op_type != 'Constant')
    for field, values in ((graph.node, nodes), (graph.initializer, tensors)):
        values = [type(v).FromString(v.SerializeToString()) for v in values]
        del field[:]
        field.extend(values)


def _constants(
    graph: onnx.GraphProto,
) -> Iterator[Tuple[str, onnx.TensorProto]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        if node.op_type == 'Constant' and node.attribute[0].name == 'value':
            yield node.output[0], node.attribute[0].t


def _drop_attribute(node: onnx.NodeProto, name: str) -> None:
    rest = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend(rest)
