"""Open a network wherever it is, as an encoder: what Python, the command line and the workers of a cluster share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from imagrad.errors import EncoderError
from imagrad.models.formats import Opened, format_of
from imagrad.models.formats.contract import Layer, NetworkSource
from imagrad.models.inner import layers_of, up_to
from imagrad.models.layouts import OfOneSize, arranged
from imagrad.models.parts import Autoencoding, Part, part_of
from imagrad.runs import hash_tensors

__all__ = ["Network", "NetworkSource", "open_network"]

Map = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Network:
    """A network that was opened, in eval mode, on its device."""

    name: str
    encode: Map
    """Images (n, channels, height, width) to codes (n, q)."""
    sha256: str
    """Of its file, or of its weights."""
    image_shape: tuple[int, int, int] | None
    """(channels, height, width) that it takes; None where it does not say."""
    source: NetworkSource = field(default_factory=NetworkSource)
    """Where it came from, and which of its tensors is the code."""
    is_here_alone: bool = False
    """Whether it is an object of this process, that no other can open."""
    autoencoder: Autoencoding | None = None
    """The whole, where the network is the encoder of an autoencoder."""
    notes: tuple[str, ...] = ()
    """What a user should know of how it was opened, one sentence each."""
    _run: nn.Module | None = None
    """What is run to list the layers of `_whole`: itself, behind a change of layout where it needs one."""
    _whole: nn.Module | None = None

    def part(self, name: str = "encoder", of: str = "mean") -> Part:
        """Take a part out of it; of a network that is known as an encoder alone, only that (`part_of` says more)."""
        if self.autoencoder is not None:
            return part_of(self.autoencoder, name, of)
        if (name, of) != ("encoder", "mean"):
            raise EncoderError(
                f"{self.name} is known as an encoder alone: it has no {name if name != 'encoder' else of} to explain. "
                "Decoders and log-variances are those of run folders; --latent makes any inner tensor the code."
            )
        return Part("encoder", "mean", self.encode, self.encode, None)

    @property
    def has_relu(self) -> bool:
        """Whether the code is known to end in a ReLU, so that a latent can be said to be on."""
        return getattr(getattr(self.autoencoder, "config", None), "code", None) == "relu"

    def layers(self, images: torch.Tensor) -> tuple[Layer, ...]:
        """List the inner tensors that can be the code: those its file names, or those of a run on a batch of images."""
        named = None if self.is_here_alone else listed_layers(self.source)
        if named is not None:
            return named
        assert self._whole is not None and self._run is not None
        return layers_of(self._whole, images, self._run)


def open_network(
    source: NetworkSource | nn.Module | str | Path | None = None, device: str | torch.device = "cpu", *,
    latent: str | None = None, class_path: str | None = None, trust: bool = False,
) -> Network:  # fmt: skip
    """Open the network of a run folder, a file, or a class path, or take a module, as an encoder.

    Parameters
    ----------
    source
        Where it is: `imagrad list formats` has the kinds. None: the network that ships with imagrad. A module is taken
        as it is: its mode, its device and its weights are left alone.
    latent
        The inner tensor that is the code, by the path of a module ("fc_mu") or the name of an ONNX tensor.
    class_path
        What the weights of a file belong to, "package.module:Encoder", where the file does not say.
    trust
        Whether code that comes with the network may run: class paths, pickles, .pt2, TorchScript, Keras files.

    Raises `MissingDataError` when nothing is there, `UntrustedCodeError` where code would run, `CorruptDataError` for a
    damaged file, `InputError` and `EncoderError` for what is no encoder.
    """
    if isinstance(source, nn.Module):
        taken = Opened(source, hash_tensors(source.state_dict()))
        return replace(_as_encoder(taken, NetworkSource(type(source).__name__, latent)), is_here_alone=True)
    if not isinstance(source, NetworkSource):
        source = NetworkSource(None if source is None else str(source), latent, class_path, trust)
    opened = format_of(source).open(source)
    opened.module.to(device).eval().requires_grad_(False)
    return _as_encoder(opened, source)


def listed_layers(source: NetworkSource) -> tuple[Layer, ...] | None:
    """List the inner tensors of a file that names them; None where the network has to be run, by `Network.layers`.

    Raises what `open_network` raises.
    """
    layers = format_of(source).layers
    return None if layers is None else layers(source)


def _as_encoder(opened: Opened, source: NetworkSource) -> Network:
    """Cut the network at the latent, and arrange what it is given."""
    whole = opened.module
    run, image_shape, note = arranged(_of_any_number(whole, opened.batch), opened.input_shape)
    notes = (*opened.notes, *([note] if note else []))
    if source.latent is not None and not opened.is_cut:
        cut = _of_any_number(up_to(whole, source.latent), opened.batch)
        encode, autoencoder = arranged(cut, opened.input_shape)[0], None
    elif opened.autoencoder is not None:
        encode, autoencoder = opened.autoencoder.encode, opened.autoencoder
    else:
        encode, autoencoder = run, None
    return Network(
        source.shown, encode, opened.sha256, image_shape, source, False, autoencoder, notes, run, whole
    )  # fmt: skip


def _of_any_number(network: nn.Module, batch: int | None) -> nn.Module:
    return network if batch is None else OfOneSize(network, batch)
