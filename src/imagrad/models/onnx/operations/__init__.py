"""The operations, grouped by kind; importing this package fills the table."""

from imagrad.models.onnx.operations import (
    activations,
    arithmetic,
    convolutions,
    known,
    normalisations,
    pooling,
    recurrent,
    reductions,
    resizing,
    selections,
    shapes,
)

_REGISTERED = (
    activations, arithmetic, convolutions, known, normalisations, pooling, recurrent, reductions, resizing, selections,
    shapes,
)  # fmt: skip
