"""Small ONNX models, and the network that is made of one without a file."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from imagrad.models.onnx.files import OnnxFile
from imagrad.models.onnx.graph import graph_of
from imagrad.models.onnx.network import Facts, OnnxNetwork
from imagrad.models.onnx.plan import plan_for
from imagrad.models.onnx.reading import _type_of

RUNTIME_IR = 10
"""What onnxruntime takes."""


def model_of(nodes, inputs, outputs, stored=(), *, opset=21, functions=()):
    """A model of nodes, with given inputs (name -> (type, shape)) and the names of outputs, of any type."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [onnx.ValueInfoProto(name=name) if isinstance(name, str) else name for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in dict(stored).items()],
    )
    domains = {node.domain for node in nodes} - {""}
    versions = [
        helper.make_opsetid("", opset),
        *(helper.make_opsetid(domain, 3 if "ml" in domain else 1) for domain in domains),
    ]
    return helper.make_model(graph, opset_imports=versions, ir_version=RUNTIME_IR, functions=list(functions))


def network_of(model, latent=None):
    """The network of a model, not tried on noise: any shape may go in and out."""
    graph = graph_of(OnnxFile(Path("model.onnx"), model, {}, ""))
    plan = plan_for(graph, latent)
    return OnnxNetwork(plan, Facts({plan.input: None}, {}, (), "", ()), _type_of(graph, plan)).eval()


def value_of(kind, shape, name):
    return helper.make_tensor_value_info(name, kind, shape)


FLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE
