"""ONNX files, through imagrad's own table of their operations."""

from __future__ import annotations

from imagrad.models.formats.contract import NetworkSource, Opened, existing, has_suffix, register_format


@register_format("onnx", has_suffix(".onnx"))
def open_onnx(source: NetworkSource) -> Opened:
    """Open an .onnx file, exported from PyTorch, Keras, scikit-learn or anything else."""
    from imagrad.models.onnx import read_onnx

    module = read_onnx(existing(source), latent=source.latent)
    (shape,) = module.inputs.values()
    return Opened(module, module.sha256, shape[1:], is_cut=True)
