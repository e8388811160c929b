"""`imagrad summarize`: what the maps of a store have in common, as figures and tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli.conventions import Command, add_data_dir_option, choose_folder, counted, say

if TYPE_CHECKING:
    import numpy as np
    import torch
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from imagrad.figures.summary import Typical
    from imagrad.store.images import Images
    from imagrad.store.reading import Store
    from imagrad.store.statistics import ClassStatistics

    Draw = Callable[[list[ClassStatistics]], Figure | None]

_NAMED = 3  # of the most and of the least typical images, in figure and text
_NARROW = 16  # letters of a caption
_PAGES = 4  # figures of a kind
_ROWS = 5  # classes in a figure of typical images
_WHAT = "correlation of an image's map with the mean map of the other images of its class"


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("store", help="What `imagrad explain --out maps.zarr` made, finished or not.")
    parser.add_argument("--by", default="class", help="Sum up each `class` by itself, or `all` images together.")
    parser.add_argument("--seed", type=int, default=0, help="Of the images drawn where not all fit into the memory.")
    parser.add_argument("--memory", type=int, default=256, help="Megabytes of maps kept for quantiles.")
    add_data_dir_option(parser)
    parser.add_argument(
        "--out", type=str | None, default=None, help="Run folder to make; default: runs/summarize-001, ..."
    )


def _run(options: Namespace) -> dict[str, Any]:
    from imagrad import runs
    from imagrad.complexstep.points import check_choice
    from imagrad.errors import InputError
    from imagrad.store.reading import open_store
    from imagrad.store.statistics import statistics_of

    check_choice("by", options["by"], ("class", "all"))
    if options["memory"] < 1:
        raise InputError(f"`memory` must be a positive number of megabytes; got {options['memory']}.")
    store = open_store(options["store"])
    out = choose_folder(options["out"], "summarize")
    runs.refuse_used(out)  # before the work, not after it
    by_class = options["by"] == "class"
    found = statistics_of(store, by_class=by_class, seed=options["seed"], budget=options["memory"] * 2**20)
    runs.create(out, _config(options, store))
    classes = [_class_facts(store, one) for one in found]
    result: dict[str, Any] = {"out": str(out), **_facts(store), "classes": classes}
    _write_tables(out, store, found, classes)
    result["figures"] = _draw(out, store, found, options["data_dir"])
    runs.write_json(out / runs.METRICS, {name: value for name, value in result.items() if name != "out"})
    return result


def _config(options: Namespace, store: Store) -> dict[str, Any]:
    attributes = store.attributes
    chosen = {name: options[name] for name in ("store", "by", "seed", "memory")}
    of_store = {name: attributes[name] for name in ("model", "data", "settings", "versions")}
    return {"command": "summarize", "options": chosen, "of": of_store}


def _facts(store: Store) -> dict[str, Any]:
    """Return what is said of the store as a whole."""
    summary = store.summary
    return {
        "store": str(store.path), "complete": store.is_complete, "images": store.job.images, "done": store.done,
        "missing": store.missing, "ties": summary["ties"], "certificate": summary["certificate"],
        "norm": store.job.settings.norm, "typical": _WHAT,
    }  # fmt: skip


def _class_facts(store: Store, one: ClassStatistics) -> dict[str, Any]:
    import numpy as np

    def named(places: NDArray[np.intp]) -> list[dict[str, Any]]:
        return [{"image": store.names[one.rows[k]], "correlation": float(one.correlations[k])} for k in places]

    return {
        "class": one.name, "images": one.count, "missing": one.missing, "mean": float(one.mean.mean()),
        "largest_mean": float(one.mean.max()), "mean_deviation": float(one.deviation.mean()),
        "median_correlation": None if np.isnan(one.correlations).all() else float(np.nanmedian(one.correlations)),
        "quantiles_of": one.sampled or one.count, "quantiles_are_exact": one.sampled is None,
        "most_typical": named(_ends(one)[0]), "least_typical": named(_ends(one)[1]),
    }  # fmt: skip


def _write_tables(out: Path, store: Store, found: list[ClassStatistics], classes: list[dict[str, Any]]) -> None:
    """Write a row for each class, a row for each image, and all arrays."""
    import torch

    from imagrad import runs
    from imagrad.store.statistics import QUANTILES

    plain = [{name: value for name, value in row.items() if not isinstance(value, list)} for row in classes]
    runs.write_atomically(out / "classes.csv", _csv(list(plain[0]), [list(row.values()) for row in plain]))
    rows = [
        [store.names[row], one.name, float(correlation)]
        for one in found
        for row, correlation in zip(one.rows, one.correlations, strict=True)
    ]
    rows += [[name, "", f"missing: {reason}"] for name, reason in store.missing.items()]
    runs.write_atomically(out / "images.csv", _csv(["image", "class", "correlation"], rows))
    tensors: dict[str, torch.Tensor] = {}
    for name in ("mean", "deviation", "quantiles"):
        tensors[name] = torch.stack([torch.from_numpy(getattr(one, name)) for one in found])
    facts = {"kind": "summary", "classes": [one.name for one in found], "quantiles": list(QUANTILES)}
    runs.write_tensors(out / "statistics.safetensors", tensors, facts)


def _csv(heads: list[str], rows: list[list[Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([heads, *rows])
    return text.getvalue().encode()


def _draw(out: Path, store: Store, found: list[ClassStatistics], data_dir: str | None) -> list[str]:
    """Draw the classes, ten to a figure, and the most and least typical images of each."""
    from imagrad.figures import save_png_and_svg
    from imagrad.figures.summary import MOST_CLASSES

    paths: list[str] = []
    images = _opened(store, data_dir)
    kinds: tuple[tuple[str, Draw, int], ...] = (
        ("maps", _maps_figure, MOST_CLASSES), ("typical", lambda page: _typical_figure(store, page, images), _ROWS),
    )  # fmt: skip
    for name, draw, size in kinds:
        pages = [found[first : first + size] for first in range(0, len(found), size)]
        for number, page in enumerate(pages[:_PAGES], 1):
            figure = draw(page)
            if figure is not None:
                ending = f"-{number}" if len(pages) > 1 else ""
                paths += [str(path) for path in save_png_and_svg(figure, out / "figures", f"{name}{ending}")]
        if len(pages) > _PAGES:
            say(f"note: the figures {name} show {_PAGES * size} of {len(found)} classes; the tables have all")
    return paths


def _maps_figure(page: list[ClassStatistics]) -> Figure:
    import numpy as np

    from imagrad.figures.summary import ClassMaps, draw_class_maps

    values = [ClassMaps("mean", np.stack([one.mean for one in page]))]
    for place, name in enumerate(("5 %", "median", "95 %")):
        values.append(ClassMaps(name, np.stack([one.quantiles[place] for one in page])))
    spread = ClassMaps("standard\ndeviation", np.stack([one.deviation for one in page]))
    return draw_class_maps(values, spread, [one.name for one in page], [one.count for one in page], _label())


def _typical_figure(store: Store, page: list[ClassStatistics], images: Images | None) -> Figure | None:
    from imagrad.figures.summary import draw_typical

    shown = [one for one in page if one.most_typical(1).size]
    rows = [_typical(store, one, images) for one in shown]
    titles = [""] * (2 * _NAMED)
    titles[_NAMED // 2], titles[_NAMED + _NAMED // 2] = "most typical", "least typical"
    return draw_typical(rows, _label(), titles) if rows else None


def _label() -> str:
    from imagrad.attribution.results import RAW_UNITS

    return f"saliency\n({RAW_UNITS})"


def _typical(store: Store, one: ClassStatistics, images: Images | None) -> Typical:
    """Return the maps at both ends of a class, in places of their own where there are few."""
    import numpy as np

    from imagrad.figures.summary import Panel, Typical

    panels: list[Panel | None] = [None] * (2 * _NAMED)
    for begin, places in ((0, _ends(one)[0]), (_NAMED, _ends(one)[1])):
        for k, place in enumerate(places):
            row = int(one.rows[place])
            caption = f"{_short(store.names[row])}\nr = {one.correlations[place]:.3f}"
            panels[begin + k] = Panel(np.asarray(store.maps[row]), caption, _image(store, images, row))
    return Typical(one.name, panels)


def _ends(one: ClassStatistics) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the most and the least typical images, none of them twice."""
    import numpy as np

    count = max(1, min(_NAMED, int(np.isfinite(one.correlations).sum()) // 2))
    return one.most_typical(count), one.least_typical(count)


def _short(name: str) -> str:
    """Return the end of a name: a caption is narrow."""
    return name if len(name) <= _NARROW else f"...{name[3 - _NARROW :]}"


def _opened(store: Store, data_dir: str | None) -> Images | None:
    """Open the images that were explained, to be shown beside their maps; say so where they are not there."""
    from imagrad.errors import ImagradError
    from imagrad.store.images import open_images

    try:
        data = replace(store.job.data, data_dir=data_dir or store.job.data.data_dir)
        return open_images(data, store.job.shape)
    except ImagradError as error:
        say(f"note: maps are shown without their images: {error}")
        return None


def _image(store: Store, images: Images | None, row: int) -> torch.Tensor | None:
    from imagrad.errors import ImagradError
    from imagrad.store.images import alone

    if images is None:
        return None
    place = images.place_of(store.names[row])
    try:
        return None if place is None else alone(images.dataset, place)
    except ImagradError:  # that an image has been damaged since takes nothing from its map
        return None


def _describe(result: dict[str, Any]) -> str:
    state = "" if result["complete"] else " (unfinished: `imagrad explain` goes on with it)"
    lines = [f"{result['store']}: maps of {result['done']} of {counted(result['images'], 'image')}{state}"]
    width = max(len("class"), *(len(row["class"]) for row in result["classes"]))
    lines.append(
        f"{'class':{width}}  images  missing  mean saliency  deviation  median r   most typical, least typical"
    )
    for row in result["classes"]:
        middle = row["median_correlation"]
        ends = [", ".join(image["image"] for image in row[end][:1]) or "-" for end in ("most_typical", "least_typical")]
        lines.append(
            f"{row['class']:>{width}}  {row['images']:6d}  {row['missing']:7d}  {row['mean']:13.4f}  "
            f"{row['mean_deviation']:9.4f}  {'-' if middle is None else f'{middle:.3f}':>8}   {', '.join(ends)}"
        )
    lines.append(f"r: {result['typical']}")
    sampled = [row["quantiles_of"] for row in result["classes"] if not row["quantiles_are_exact"]]
    if sampled:
        lines.append(f"note: quantiles are those of {min(sampled)} images a class, drawn at random (--memory)")
    if result["missing"]:
        lines.append(f"note: {counted(len(result['missing']), 'image')} could not be read: {', '.join(_some(result))}")
    for operation, count in result["ties"].items():
        lines.append(f"note: {operation} stood exactly at its kink {count} times")
    if result["certificate"] is not None:
        entries = sum(check["count"] for check in result["certificate"]["checks"] if "entries" in check["name"])
        passed = "passed" if result["certificate"]["passed"] else "FAILED"
        lines.append(f"certificate: {passed}; {entries} entries of the maps were computed anew in complex128")
    return "\n".join([*lines, f"tables, numbers and figures: {result['out']}", *result["figures"]])


def _some(result: dict[str, Any]) -> list[str]:
    names = list(result["missing"])
    return [*names[:_NAMED], *(["..."] if len(names) > _NAMED else [])]


COMMAND = Command(
    "Sum up the maps of a store: mean, spread and quantiles of each class, most and least typical images.",
    _add_arguments,
    _run,
    _describe,
)
