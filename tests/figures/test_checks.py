"""Figures of every check's result: one title, row or curve for each thing that was measured."""

import numpy as np
import pytest
import torch
from matplotlib.text import Text

from imagrad.checks.comparison import Row
from imagrad.checks.intervals import Estimate
from imagrad.checks.verdicts import CheckResult, Control, Verdict
from imagrad.figures.checks import check_figures, comparison_figure

PASSES = Verdict("passes", "because")
MAPS = torch.rand(12, 8, 8, generator=torch.Generator().manual_seed(0))
IMAGES = MAPS[:, None]


def made(check, numbers, arrays, controls=(), method="saliency", value=0.5):
    score = Estimate(value, value - 0.1, value + 0.1)
    listed = tuple(Control(name, Estimate(at, at, at), Estimate(0, 0, 0)) for name, at in controls)
    return CheckResult(check, method, score, "points", (), listed, PASSES, numbers, arrays)


def estimates(*values):
    return [Estimate(value, value - 0.01, value + 0.01).as_dict() for value in values]


def both(most, least):
    return {"most": estimates(*most), "least": estimates(*least)}


RANKINGS = ("global map", "centre distance", "mean intensity", "pixel variance", "random")
CURVES = {
    "percentages": [10.0, 30.0],
    "clean_accuracy": estimates(0.99)[0],
    "global_map": both((0.8, 0.4), (0.98, 0.97)),
    "controls_curves": {name: both((0.9, 0.7), (0.95, 0.9)) for name in RANKINGS[1:]},
    "local_maps": [both((0.7, 0.3), (0.9, 0.8)), both((0.75, 0.35), (0.92, 0.82))],
    "label_free": dict.fromkeys(
        ("code", "reconstruction"), dict.fromkeys(RANKINGS, both((0.1, 0.2), (0.01, 0.02)))
    ),
    "data": "mnist",
}  # fmt: skip
RESULTS = {
    "one-class": made(
        "one-class", {"classes": ["cat", "dog"], "tables": {"pearson": [[0.9, 0.1], [0.2, 0.8]]}},
        {"mean maps": MAPS[:2], "class means": MAPS[2:4]},
    ),
    "translation": made(
        "translation", {"corners": [{"corner": "top-left"}, {"corner": "top-right"}]},
        {"mean maps": MAPS[:3], "local images": IMAGES[:3]},
    ),
    "corruption": made(
        "corruption", CURVES,
        {name: IMAGES[:8] for name in ("clean", "most 10 %", "most 30 %", "least 10 %", "least 30 %")},
    ),
    "randomisation": made(
        "randomisation", {"layers": [{"redrawn_down_to": "b"}, {"redrawn_down_to": "a"}]},
        {"original": MAPS[:8], "redrawn down to b": MAPS[2:10], "redrawn down to a": MAPS[4:12]}
    ),
    "locality": made("locality", {}, {"global map": MAPS[0], "local maps": MAPS}),
}  # fmt: skip

NAMES = {
    "one-class": ["one-class-maps", "one-class-table"],
    "translation": ["translation-maps"],
    "corruption": [
        "corruption-examples", "corruption-curves", "corruption-label-free-code",
        "corruption-label-free-reconstruction",
    ],
    "randomisation": ["randomisation-maps"],
    "locality": ["locality-maps"],
}  # fmt: skip


def drawn(check):
    return check_figures(RESULTS[check])


def words(figure):
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.parametrize("check", RESULTS)
def test_every_check_has_its_figures(check):
    figures = drawn(check)
    assert list(figures) == NAMES[check]
    for figure in figures.values():
        figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("check", "figure", "texts"),
    [
        ("one-class", "one-class-maps", ["trained on cat", "trained on dog"]),
        ("one-class", "one-class-table", ["cat", "dog", "0.90", "0.10", "0.20", "0.80"]),
        ("translation", "translation-maps", [f"digits at the {place}" for place in ("centre", "top-right")]),
        ("locality", "locality-maps", ["mean of all maps", "local map 1", "local map 9"]),
        ("randomisation", "randomisation-maps", ["original", "redrawn down to b", "redrawn down to a"]),
        ("corruption", "corruption-curves", ["global map, most", "random, most"]),
        ("corruption", "corruption-examples", ["clean", "most\n10 %", "least\n30 %"]),
    ],
)  # fmt: skip
def test_what_was_measured_is_named(check, figure, texts):
    found = words(drawn(check)[figure])
    assert not [text for text in texts if text not in found]


def test_no_more_than_ten_maps_of_a_locality():
    assert "local map 10" not in words(drawn("locality")["locality-maps"])


def lines(figure):
    return [(tuple(line.get_xdata()), tuple(np.round(line.get_ydata(), 6))) for line in figure.axes[0].lines]


def test_accuracies_start_at_clean_images_and_are_in_per_cent():
    found = lines(drawn("corruption")["corruption-curves"])
    assert ((0, 10, 30), (99, 80, 40)) in found and ((0, 10, 30), (99, 98, 97)) in found  # the global map
    assert found.count(((0, 10, 30), (99, 90, 70))) == 4, "the controls"
    assert ((0, 10, 30), (99, 75, 35)) in found, "a single map"
    assert ((10, 30), (99.9, 40)) in found, "what section 7 of the paper states"


def test_label_free_curves_start_at_the_first_percentage():
    figure = drawn("corruption")["corruption-label-free-code"]
    assert ((10, 30), (10, 20)) in lines(figure) and ((10, 30), (1, 2)) in lines(figure)
    assert figure.axes[0].get_ylabel() == "shift of the code in %"


def test_a_comparison_has_a_row_a_method_and_a_panel_a_check():
    controls = [("the images", 0.9), ("random", 0.2)]
    rows = [
        Row(name, {c: made(c, {}, {}, controls, name, value) for c in ("locality", "one-class")})
        for name, value in (("gradient", 0.3), ("saliency", 0.7))
    ]
    figure = comparison_figure([*rows, Row("lime", {}, not_run="no")])
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["saliency", "gradient"]
    assert [label.get_fontweight() for label in left.get_yticklabels()] == ["bold", "normal"]
    assert (left.get_title(loc="left"), right.get_title(loc="left")) == ("locality", "one-class")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["random"]


def test_a_comparison_without_saliency_highlights_nothing():
    row = Row("gradient", {"locality": made("locality", {}, {}, method="gradient")})
    (axes,) = comparison_figure([row]).axes
    assert [label.get_fontweight() for label in axes.get_yticklabels()] == ["normal"]
