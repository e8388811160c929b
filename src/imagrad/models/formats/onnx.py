"""ONNX files, through imagrad's own table of their operations."""

from __future__ import annotations

from imagrad.models.formats.contract import Layer, NetworkSource, Opened, existing, has_suffix, register_format


def layers_of_onnx(source: NetworkSource) -> tuple[Layer, ...]:
    """List the inner tensors of a graph."""
    from imagrad.models.onnx import inner_tensors

    return tuple(
        Layer(tensor.name, tensor.operation, None if tensor.shape is None else tensor.shape[1:])
        for tensor in inner_tensors(existing(source))
    )


@register_format("onnx", has_suffix(".onnx"), layers=layers_of_onnx)
def open_onnx(source: NetworkSource) -> Opened:
    """Open an .onnx file, exported from PyTorch, Keras, scikit-learn or anything else."""
    from imagrad.models.onnx import read_onnx

    module = read_onnx(existing(source), latent=source.latent)
    shape = module.input_shape
    return Opened(module, module.sha256, None if shape is None else shape[1:], is_cut=True, notes=module.notes)
