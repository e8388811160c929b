"""Arrays to figures, for the page of a journal. Needs no display."""

from imagrad.figures.contours import MOST_MAPS, draw, shared_levels
from imagrad.figures.images import draw_image_rows
from imagrad.figures.saving import save_figure, save_png_and_svg
from imagrad.figures.step_errors import draw_step_errors

__all__ = [
    "MOST_MAPS",
    "draw",
    "draw_image_rows",
    "draw_step_errors",
    "save_figure",
    "save_png_and_svg",
    "shared_levels",
]
