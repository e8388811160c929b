"""`imagrad demo`: the paper's main line on the embedded digits, in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli.conventions import (
    Command,
    add_data_dir_option,
    add_device_option,
    choose_folder,
    resolve_device,
    say,
)
from imagrad.cli.train import progress_reporter
from imagrad.training.config import TrainingConfig

if TYPE_CHECKING:
    import torch

_SHADES = " .:-=+*#%@"
_TERMINAL = 80  # characters


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--data", default="digits", help="Images to learn from and explain.")
    parser.add_argument("--epochs", type=int, default=60, help="Passes over the images.")
    parser.add_argument("--seed", type=int, default=0, help="Decides the first weights, the order and the noise.")
    parser.add_argument("--out", type=str | None, default=None, help="Run folder to make; default: runs/demo-001, ...")
    add_data_dir_option(parser)
    add_device_option(parser)


def _run(options: Namespace) -> dict[str, Any]:
    from imagrad.reproduce.main_line import run_main_line

    config = TrainingConfig(data=options["data"], epochs=options["epochs"], seed=options["seed"])
    out = choose_folder(options["out"], "demo")
    line = run_main_line(
        config, out, data_dir=options["data_dir"], device=resolve_device(options["device"]),
        reporter=progress_reporter(config), announce=say,
    )  # fmt: skip
    pictures = [in_text(image, saliency) for image, saliency in zip(line.result.images, line.result.maps, strict=True)]
    return {"out": str(out), **line.metrics, "figures": [str(path) for path in line.figures], "in_text": pictures}


def in_text(image: torch.Tensor, saliency: torch.Tensor) -> str:
    """Draw an image and its map side by side in characters, darkest for 0, for a terminal without pictures."""

    def lines(values: torch.Tensor) -> list[str]:
        grey = values.norm(dim=0)
        shades = (grey / grey.max().clamp(min=1e-12) * (len(_SHADES) - 1)).round().int().tolist()
        repeat = 2 if len(shades[0]) * 4 + 6 <= _TERMINAL else 1  # two characters are about as wide as a line is high
        return ["".join(_SHADES[shade] * repeat for shade in row) for row in shades]

    return "\n".join(f"  {left} | {right}" for left, right in zip(lines(image), lines(saliency), strict=True))


def _describe(result: dict[str, Any]) -> str:
    return "\n".join(
        [
            f"a denoising autoencoder, trained for {result['epochs']} epochs:",
            f"  cross-entropy of training images {result['loss']:.4f}, of test images {result['validation_loss']:.4f}",
            f"  latents active on the test images: {result['active_latents']}",
            f"largest saliency of the first test images: {', '.join(f'{v:.3f}' for v in result['largest_saliency'])}",
            "the first test image | its saliency map (which pixels the code depends on):",
            result["in_text"][0],
            f"everything is in {result['out']}; the figures:",
            *(f"  {path}" for path in result["figures"] if path.endswith(".png")),
        ]
    )


COMMAND = Command("Train, explain and draw on the embedded digits, in under a minute.", _add_arguments, _run, _describe)
