"""The site: its checker finds planted faults, the reference names what is public, the gallery is whole.

The site itself is built, and the gallery run, by `make docs-site`.
"""

import ast
import csv
import importlib.util
import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import imagrad
from imagrad import complexstep

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
GALLERY = sorted((ROOT / "examples" / "gallery").glob("*.py"))


def opened(name):
    """Import a file of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- reference ---


def entries(page):
    return re.findall(r"^\.\. auto(?:function|class|exception):: (?:imagrad\.)?(\w+)$", page, re.MULTILINE)


def test_every_public_name_has_an_entry():
    page = (DOCS / "reference" / "api.md").read_text()
    found = entries(page)
    assert sorted(found) == sorted({*found}), "an entry stands twice"
    assert {*found} == {*imagrad.__all__} - {"complexstep"}
    assert ".. automodule:: imagrad.complexstep\n   :members:" in page


@pytest.mark.parametrize(
    ("owner", "name"),
    [*((imagrad, name) for name in imagrad.__all__), *((complexstep, name) for name in complexstep.__all__)],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_every_public_name_says_what_it_does(owner, name):
    value = getattr(owner, name)
    if not isinstance(value, float):  # DEFAULT_STEP
        first, _, _ = (value.__doc__ or "").partition("\n")
        assert len(first) > 10 and first[0].isupper(), name


# --- the checker of the finished site ---

GOOD = {
    "index.html": '<a href="reference/api.html#there">x</a><a href="https://zarr.dev">y</a><img src="a.png">',
    "reference/api.html": '<p id="there"></p><p id="imagrad.saliency"></p><a href="../index.html">x</a>',
    "a.png": "",
    "style.css": "a {background: url(a.png)}",
}


def site_of(tmp_path, files):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return opened("check_site").faults_of(tmp_path.resolve(), ["saliency"])


def test_a_whole_site_has_no_faults(tmp_path):
    assert site_of(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("b.html", '<a href="gone.html">x</a>', "b.html links to gone.html, which is not there"),
        ("b.html", '<a href="../secret.html">x</a>', "links to ../secret.html, which is not there"),
        ("b.html", '<a href="reference/api.html#gone">x</a>', "reference/api.html#gone: that page has no such place"),
        ("b.html", '<a href="#gone">x</a>', "b.html links to #gone: that page has no such place"),
        ("b.html", '<script src="https://cdn.example/x.js"></script>', "b.html fetches https://cdn.example/x.js"),
        ("b.html", '<link href="//fonts.example/x.css">', "b.html fetches //fonts.example/x.css"),
        ("b.html", '<p style="background: url(https://a.example/b)">', "b.html fetches https://a.example/b"),
        ("b.html", "<style>@import 'https://a.example/b.css';</style>", "b.html fetches https://a.example/b.css"),
        ("b.html", '<img src="gone.png">', "links to gone.png, which is not there"),
        ("style.css", "a {background: url('https://a.example/b')}", "style.css fetches https://a.example/b"),
        ("reference/api.html", '<p id="there">', "reference/api.html has no entry for saliency"),
    ],
)
def test_a_planted_fault_is_found(tmp_path, name, text, told):
    (found,) = site_of(tmp_path, {**GOOD, name: text})
    assert told in found


def test_an_empty_site_is_a_fault(tmp_path):
    assert "holds no page" in site_of(tmp_path, {})[0]


# --- gallery ---


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_an_example_is_seeded_and_needs_no_download(path):
    text = path.read_text()
    head = ast.get_docstring(ast.parse(text))
    title, bar = head.splitlines()[:2]
    assert bar == "=" * len(title), "the docstring begins with a title"
    assert not re.findall(
        r"load_dataset\(\"(?!digits)", "\n".join(line for line in text.splitlines() if line[:1] != "#")
    )
    if re.search(r"torch\.rand|\.Adam\(", text):
        assert "torch.manual_seed(" in text
    assert re.search(r"^(figure|grid) = ", text, re.MULTILINE), "an example draws something"


def test_the_gallery_shows_what_it_should():
    titles = " ".join(ast.get_docstring(ast.parse(path.read_text())).splitlines()[0] for path in GALLERY).lower()
    for subject in ("paper's map", "convolutional", "transformer", "numpy", "onnx", "kinks", "comparing methods"):
        assert subject in titles


def test_figures_of_an_example_are_shown_once(tmp_path):
    pytest.importorskip("sphinx_gallery", reason="sphinx-gallery is in the group docs")
    scrape = opened("gallery_figures").scrape_figures
    first, paths = Figure(), iter([tmp_path / "images" / "1.png", tmp_path / "images" / "2.png"])
    names = {"first": first, "again": first, "number": 3}
    kept = {"example_globals": names, "image_path_iterator": paths}
    assert "1.png" in scrape(None, kept, {"src_dir": str(tmp_path)})
    names["second"] = Figure()
    shown = scrape(None, kept, {"src_dir": str(tmp_path)})
    assert "2.png" in shown and "1.png" not in shown
    assert scrape(None, kept, {"src_dir": str(tmp_path)}) == ""


def test_a_figure_of_an_example_is_told_in_words(tmp_path):
    pytest.importorskip("sphinx_gallery", reason="sphinx-gallery is in the group docs")
    figure = Figure()
    for axes, title in zip(figure.subplots(1, 3), ("label 2", "label 3", "label 2"), strict=True):
        axes.set_title(title)
    figure.axes[2].set_ylabel("saliency $x_i$\n(code units)")
    kept = {"example_globals": {"figure": figure}, "image_path_iterator": iter([tmp_path / "images" / "1.png"])}
    shown = opened("gallery_figures").scrape_figures(None, kept, {"src_dir": str(tmp_path)})
    assert ":alt: Figure: label 2, label 3, saliency (code units)" in shown


# --- the draft of the paper ---


def test_the_draft_cites_what_it_lists_and_lists_what_it_cites():
    text = (ROOT / "paper" / "paper.md").read_text()
    listed = re.findall(r"^@\w+\{(\w+),$", (ROOT / "paper" / "paper.bib").read_text(), re.MULTILINE)
    assert sorted({*re.findall(r"@(\w+\d{4})", text)}) == sorted(listed)


def test_numbers_of_the_draft_are_those_of_the_reproduction():
    text = (ROOT / "paper" / "paper.md").read_text()
    with (DOCS / "reproduction" / "verdicts.csv").open() as file:
        for row in csv.DictReader(file):
            score, low, high = (float(row[name]) for name in ("score", "low", "high"))
            outcome = re.split("[:,]", row["verdict"])[0]
            line = f"| {row['check'].replace('-', ' ')} | {score:.3f} ({low:.3f} to {high:.3f}) | {outcome}"
            assert line in text, line
    with (DOCS / "reproduction" / "corruption.csv").open() as file:
        first = next(csv.DictReader(file))
    for column in ("most 10 %", "least 10 %", "most 30 %"):
        assert f"{first[column].split()[0]} %" in text
