"""Networks exported by torch itself: programs of torch.export, and TorchScript."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from imagrad.complexstep.tracing import quiet
from imagrad.errors import CorruptDataError, EncoderError
from imagrad.models.formats.contract import NetworkSource, Opened, existing, has_suffix, hash_file, register_format
from imagrad.models.formats.weights import is_torchscript


@register_format(
    "exported program", has_suffix(".pt2"), runs_code="torch.export.load unpickles parts of it, which can run any code"
)
def open_exported_program(source: NetworkSource) -> Opened:
    """Open a .pt2 file of torch.export.save (needs --trust)."""
    path = existing(source)
    with quiet():
        try:
            program = torch.export.load(path)
        except Exception as error:  # whatever the archive's code raises
            raise CorruptDataError(f"cannot read {path} as an exported program: {error}") from error
        module, shape = torch.export.unflatten(program).eval(), _input_shape(program)
    if shape is None:
        return Opened(module, hash_file(path))
    return Opened(module, hash_file(path), shape[1:], batch=shape[0])


@register_format(
    "torchscript", lambda path: Path(path).suffix.lower() in (".ts", ".torchscript") or is_torchscript(path),
    runs_code="TorchScript is code, and runs in a machine of its own that was not made to hold back a hostile one",
)  # fmt: skip
def open_torchscript(source: NetworkSource) -> Opened:
    """Open a file of torch.jit.save (needs --trust)."""
    path = existing(source)
    with quiet():
        try:
            script = torch.jit.load(path, map_location="cpu")
        except Exception as error:  # whatever torch.jit raises
            raise CorruptDataError(f"cannot read {path} as TorchScript: {error}") from error
    return Opened(Scripted(script).eval(), hash_file(path))


class Scripted(nn.Module):
    """A TorchScript module, rewritten as a plain graph when it is first called: it does not say what it takes."""

    def __init__(self, script: torch.jit.ScriptModule) -> None:
        """Wrap `script`."""
        super().__init__()
        self._script = [script]  # in a list: its weights must not be found before it is rewritten
        self.graph: nn.Module | None = None

    def forward(self, images: torch.Tensor) -> Any:
        """Call it; raises `EncoderError` where torch cannot rewrite it."""
        if self.graph is None:
            self.graph = self._rewritten(images)
        return self.graph(images)

    def _rewritten(self, images: torch.Tensor) -> nn.Module:
        from torch._export.converter import TS2EPConverter  # torch has no public way

        several = images if len(images) > 1 else torch.cat([images, images])  # a batch of 1 would be taken literally
        try:
            with quiet(), torch.no_grad():
                converter: Any = TS2EPConverter(self._script[0], (several.cpu(),))  # type: ignore[no-untyped-call]
                return torch.export.unflatten(converter.convert()).eval().to(images.device)
        except Exception as error:  # torch raises much
            raise EncoderError(
                f"torch cannot rewrite this TorchScript module as a graph: {error} "
                "Export the network anew from its Python code: torch.onnx.export or torch.export.save."
            ) from error


def _input_shape(program: torch.export.ExportedProgram) -> tuple[int | None, ...] | None:
    """Return the shape of a batch; None for several inputs, which a call will complain of."""
    names = program.graph_signature.user_inputs
    values = [node.meta["val"] for node in program.graph.nodes if node.name in names]
    if len(values) != 1 or not isinstance(values[0], torch.Tensor):
        return None
    sizes: tuple[Any, ...] = tuple(values[0].shape)
    return tuple(size if isinstance(size, int) else None for size in sizes)
