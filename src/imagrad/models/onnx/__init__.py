"""Networks in ONNX files, by imagrad's own table of their operations; the package onnx is needed for reading alone."""

from imagrad.models.onnx.network import InnerTensor, OnnxNetwork
from imagrad.models.onnx.reading import inner_tensors, read_onnx
from imagrad.models.onnx.table import OPERATIONS, RefusedError, operation

__all__ = ["OPERATIONS", "InnerTensor", "OnnxNetwork", "RefusedError", "inner_tensors", "operation", "read_onnx"]
