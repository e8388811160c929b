"""`imagrad demo`: the paper on the embedded digits, in two minutes; the preset quick of `imagrad reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli.conventions import Command, add_data_dir_option, add_device_option, choose_folder
from imagrad.cli.reproduce import reproduce
from imagrad.reproduce.presets import QUICK, preset_named

if TYPE_CHECKING:
    import torch

_SHADES = " .:-=+*#%@"
_TERMINAL = 80  # characters


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="Decides the first weights, the order and the noise.")
    parser.add_argument("--workers", type=int | None, default=None, help="Trainings at a time; default: one a core.")
    parser.add_argument("--out", type=str | None, default=None, help="Run folder to make; default: runs/demo-001, ...")
    add_data_dir_option(parser)
    add_device_option(parser)


def _run(options: Namespace) -> dict[str, Any]:
    from imagrad.attribution.results import load_result

    out = choose_folder(options["out"], "demo")
    found = reproduce(preset_named(QUICK.name, seed=options["seed"]), out, options)
    result = load_result(out / "maps" / "maps.safetensors")
    pictures = [in_text(image, saliency) for image, saliency in zip(result.images, result.maps, strict=True)]
    return {**found, "figures": sorted(str(path) for path in Path(out).rglob("figures/*.png")), "in_text": pictures}


def in_text(image: torch.Tensor, saliency: torch.Tensor) -> str:
    """Draw an image and its map side by side in characters, darkest for 0, for a terminal without pictures."""

    def lines(values: torch.Tensor) -> list[str]:
        grey = values.norm(dim=0)
        shades = (grey / grey.max().clamp(min=1e-12) * (len(_SHADES) - 1)).round().int().tolist()
        repeat = 2 if len(shades[0]) * 4 + 6 <= _TERMINAL else 1  # two characters are about as wide as a line is high
        return ["".join(_SHADES[shade] * repeat for shade in row) for row in shades]

    return "\n".join(f"  {left} | {right}" for left, right in zip(lines(image), lines(saliency), strict=True))


def _describe(result: dict[str, Any]) -> str:
    training = result["training"]
    return "\n".join(
        [
            f"a denoising autoencoder, trained for {training['epochs']} epochs:",
            f"  cross-entropy of training images {training['loss']:.4f}, of test images "
            f"{training['validation_loss']:.4f}",
            f"  latents active on the test images: {training['active_latents']}",
            f"largest saliency of the first test images: {', '.join(f'{v:.3f}' for v in training['largest_saliency'])}",
            "the first test image | its saliency map (which pixels the code depends on):",
            result["in_text"][0],
            "can the maps be trusted? The checks say:",
            *(f"  {name}: {verdict}" for name, verdict in result["verdicts"].items()),
            f"everything is in {result['out']}; begin with {result['report']}",
        ]
    )


COMMAND = Command(
    "Train, explain, check and report on the embedded digits, in two minutes.", _add_arguments, _run, _describe
)
