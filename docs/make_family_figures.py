"""Draw the figures of docs/family.md: python docs/make_family_figures.py (needs MNIST, see docs/data.md)."""

from pathlib import Path

from imagrad.attribution.latent_maps import painted_maps
from imagrad.attribution.spectrum import spectrum
from imagrad.attribution.traversals import traverse
from imagrad.attribution.units import spread_of
from imagrad.data.datasets import load_dataset
from imagrad.figures import draw_patterns, draw_spectrum, draw_traversal, save_figure
from imagrad.models.saved import load

IMAGES = Path(__file__).parent / "images"


def draw_all() -> None:
    """Look into the code of the network that ships with imagrad."""
    autoencoder = load()
    images = load_dataset("mnist:test[:200]").images()
    codes = autoencoder.encode(images)
    spread = spread_of(codes)
    painted = painted_maps(autoencoder.decode, codes[:3], spread.most_active(6))
    scale = spread.scale[list(painted.latents)].float()[:, None, None, None]
    figure = draw_patterns(
        painted.maps * scale, images=images[:3], titles=[f"latent {latent}" for latent in painted.latents],
        label="pixel value\nper standard deviation of the latent",
    )  # fmt: skip
    save_figure(figure, IMAGES / "painted.png")
    save_figure(draw_spectrum(spectrum(autoencoder.encode, images)), IMAGES / "spectrum.png")
    traversal = traverse(autoencoder.decode, codes[0], spread, spread.most_active(4))
    save_figure(draw_traversal(traversal), IMAGES / "traversal.png")


if __name__ == "__main__":
    draw_all()
