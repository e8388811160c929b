"""Draw docs/images/step-error.png and print the table of one-sided derivatives: python docs/make_step_figure.py."""

from pathlib import Path

from imagrad.attribution.saliency import saliency
from imagrad.data.datasets import load_dataset
from imagrad.data.fitting import Fit
from imagrad.figures import draw_step_errors, save_figure
from imagrad.models.saved import load
from imagrad.reproduce.step_error import (
    OneSidedTable,
    autoencoder_layers,
    encoder_layers,
    measure_step_errors,
    one_sided_table,
)

ROOT = Path(__file__).parent.parent
FIGURE = ROOT / "docs/images/step-error.png"
PICTURE = ROOT / "examples/seven.jpg"


def draw_figure() -> None:
    """Differentiate the network that ships with imagrad, at the handwritten seven, in its most salient pixel."""
    autoencoder = load()
    fit = Fit(autoencoder.config.image_shape, "pad", invert=True)
    images = load_dataset(str(PICTURE), fit=fit).images()
    pixel = int(saliency(autoencoder.encode, images).maps[0].argmax())
    layers = {
        "encoder: ReLU alone, piecewise linear": encoder_layers(autoencoder),
        "encoder and decoder: sigmoid at the end": autoencoder_layers(autoencoder),
    }
    errors = {title: measure_step_errors(found, images[0], pixel) for title, found in layers.items()}
    save_figure(draw_step_errors(errors), FIGURE)


def as_markdown(table: OneSidedTable) -> str:
    """Write the table as Markdown."""
    heads = [f"`{name}`".replace("|", r"\|") for name in table.functions]
    lines = [["derivative at 0", *heads], ["---"] * (len(heads) + 1)]
    lines += [[method, *(f"{value + 0.0:.4g}" for value in values)] for method, values in table.rows.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    draw_figure()
    print(as_markdown(one_sided_table()), end="")
