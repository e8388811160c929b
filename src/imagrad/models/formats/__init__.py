"""The kinds of files that networks come in, one function each; importing this package registers them all."""

from imagrad.models.formats import code, exported, keras, scikit, weights
from imagrad.models.formats import onnx as _onnx
from imagrad.models.formats.contract import FORMATS, Format, NetworkSource, Opened, format_of

__all__ = ["FORMATS", "Format", "NetworkSource", "Opened", "format_of"]

_REGISTERED = (code, exported, keras, _onnx, scikit, weights)
