"""Arrays to figures, for the page of a journal. Needs no display."""

from imagrad.figures.contours import MOST_MAPS, draw, shared_levels
from imagrad.figures.curves import Curve, draw_corruption_curves
from imagrad.figures.diagrams import draw_approach, draw_autoencoder, draw_small_network, draw_stages
from imagrad.figures.images import draw_image_rows
from imagrad.figures.map_grids import draw_maps_grid
from imagrad.figures.patterns import draw_patterns
from imagrad.figures.saving import save_figure, save_png_and_svg
from imagrad.figures.scores import Score, ScorePanel, draw_scores
from imagrad.figures.spectra import draw_spectrum
from imagrad.figures.step_errors import draw_step_errors
from imagrad.figures.tables import draw_table_heat
from imagrad.figures.traversals import draw_traversal

__all__ = [
    "MOST_MAPS",
    "Curve",
    "Score",
    "ScorePanel",
    "draw",
    "draw_approach",
    "draw_autoencoder",
    "draw_corruption_curves",
    "draw_image_rows",
    "draw_maps_grid",
    "draw_patterns",
    "draw_scores",
    "draw_small_network",
    "draw_spectrum",
    "draw_stages",
    "draw_step_errors",
    "draw_table_heat",
    "draw_traversal",
    "save_figure",
    "save_png_and_svg",
    "shared_levels",
]
