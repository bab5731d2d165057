"""From a trained model to one that runs outside of Python."""

from .exporting import export_onnx
from .runtimes import compare_runtimes
from .tensor_parts import tensor_part

__all__ = ['compare_runtimes', 'export_onnx', 'tensor_part']
