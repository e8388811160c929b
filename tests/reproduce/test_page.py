"""The report page: one whole file that fetches nothing, escapes everything and can be read without eyes or colours."""

import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from PIL import Image

from imagrad.errors import InputError
from imagrad.reproduce.page import (
    VERDICTS,
    Claim,
    ClaimTable,
    Fact,
    Picture,
    Report,
    Section,
    Table,
    read_picture,
    render,
)

EVIL = '<script>alert("1")</script> & \'"'
VOID = {"meta", "link", "img", "br"}
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="10pt" height="5pt"></svg>'


def png(width=8, height=6):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, format="png")
    return buffer.getvalue()


def report(text="a word"):
    claims = tuple(Claim(f"Section {k}", text, text, verdict) for k, verdict in enumerate(VERDICTS))
    items = (
        Picture(png(), "image/png", f"alt {text}", text, "7"),
        Picture(SVG, "image/svg+xml", f"alt {text}", text),
        Table(text, ("name", text, "value"), ((text, text, "0.5"), ("b", "", "-1e-3 %")), text, "1"),
        ClaimTable(text, claims, "2"),
    )
    sections = (Section(text, (text, text), items, "first"), Section("Second", (), (), "second"))
    return Report(text, text, (text,), sections, (Fact(text, text),))


class Page(HTMLParser):
    """What is on a page: tags with their attributes, texts, and every fault in how the tags nest."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.faults, self._open = [], [], [], []
        self.feed(html)
        self.close()
        self.faults += [f"<{tag}> is never closed" for tag in self._open]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        if not self._open or self._open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self._open[-1:]}")
        else:
            self._open.pop()

    def handle_data(self, data):
        if data.strip() and self._open[-1:] != ["style"]:
            self.texts.append(data.strip())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.parametrize("text", ["a word", EVIL])
def test_tags_are_balanced(text):
    assert Page(render(report(text))).faults == []


@pytest.mark.parametrize("html", ["<p><b>x</p></b>", "<div>", "</p>"])
def test_tags_that_are_not_balanced_are_found(html):
    assert Page(html).faults


def test_every_text_is_escaped():
    page = Page(render(report(EVIL)))
    assert not page.all("script")
    assert all(image["alt"] == f"alt {EVIL}" for image in page.all("img"))
    assert render(report(EVIL)).count("<") == render(report()).count("<"), "no text becomes a tag"
    assert page.texts.count(EVIL) > 10


def test_nothing_is_fetched():
    html = render(report())
    for tag, attributes in Page(html).tags:
        for name in ("src", "href", "srcset", "data", "poster", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    assert "url(" not in style and "@import" not in style
    assert "http://" not in html and "https://" not in html
    assert "default-src 'none'" in html, "the browser is told so too"


def test_every_picture_has_words_and_the_file_itself():
    page = Page(render(report()))
    images = page.all("img")
    assert len(images) == 2 and all(image["alt"].strip() for image in images)
    assert images[0]["src"].startswith("data:image/png;base64,") and images[1]["src"].startswith("data:image/svg+xml;")
    assert (images[0]["width"], images[0]["height"]) == ("4", "3"), "two pixels for each of the screen's"
    assert "width" not in images[1]


def test_anchors_lead_somewhere():
    page = Page(render(report()))
    anchors = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(anchors) == len(set(anchors)) and {"first", "second", "figure-7", "table-1", "table-2"} <= set(anchors)
    links = [link["href"] for link in page.all("a")]
    assert links == ["#first", "#second", "#facts"] and all(link[1:] in anchors for link in links)


def test_headings_and_landmarks():
    html = render(report())
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>") and page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("nav")) == 1
    assert not page.all("h3") and len(page.all("h2")) == 4, "two sections, the contents and where it comes from"
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert {cell["scope"] for cell in page.all("th")} == {"col", "row"}
    assert [region["role"] for region in page.all("div") if region.get("class") == "scroll"] == ["region"] * 2


def test_captions_are_numbered_as_in_a_journal():
    page = Page(render(report()))
    assert [text for text in page.texts if re.fullmatch(r"(Figure|Table) \d+\.", text)] == [
        "Figure 7.",
        "Table 1.",
        "Table 2.",
    ]


def test_print_dark_and_narrow_screens_are_thought_of():
    html = render(report())
    printed = html[html.index("@media print") :]
    assert re.search(r"figure[^}]*break-inside: avoid", printed) and "@page" in printed
    assert "prefers-color-scheme: dark" in html and "max-width: 40rem" in html and "overflow-x: auto" in html


def test_verdicts_are_told_apart_without_colour_and_counted():
    page = Page(render(report()))
    signs = {Claim("", "", "", verdict).sign for verdict in VERDICTS}
    assert len(signs) == len(VERDICTS)
    for verdict in VERDICTS:
        assert page.texts.count(verdict) == 2, "once in the table, once in the count above"
    assert page.texts.count("1 ×") == len(VERDICTS)  # noqa: RUF001


def test_numbers_stand_at_the_right():
    table = Table("", ("a", "b", "c", "d"), (("x", "0.5", "", "1 to 2"), ("y", "−1.5e-3", "12 ± 3", "n")))  # noqa: RUF001
    assert table.alignments == ("text", "number", "number", "text")
    assert Table("", ("a",), ()).alignments == ("number",)


def test_a_report_without_claims_and_facts():
    small = replace(report(), facts=(), sections=(Section("Only", ("x",), (), "only"),))
    page = Page(render(small))
    assert page.faults == [] and not page.all("footer") and not page.all("ul") and len(page.all("a")) == 1


def test_a_page_is_the_same_each_time():
    assert render(report()) == render(report())


def test_the_template_is_in_the_package():
    assert files("imagrad.reproduce").joinpath("templates/report.html.j2").is_file()


def test_pictures_are_read_as_their_ending_says(tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "a.svg").write_bytes(SVG)
    assert read_picture(tmp_path / "a.png", alt="x", caption="y").media_type == "image/png"
    assert read_picture(tmp_path / "a.svg", alt="x", caption="y", number="3").anchor == "figure-3"
    with pytest.raises(InputError, match=r"`path` must end in \.png or \.svg; got .*a\.gif"):
        read_picture(tmp_path / "a.gif", alt="x", caption="y")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Picture(png(), "image/png", " ", "a map"), "`alt` must say what .* got nothing for 'a map'"),
        (
            lambda: Picture(png(), "image/gif", "x", "y"),
            r"`media_type` must be one of: image/png, image/svg\+xml; got 'image/gif'",
        ),
        (
            lambda: Picture(SVG, "image/png", "x", "y"),
            r"`content` must be a file of type image/png; it starts with b'<\?xml ve'",
        ),
        (lambda: Picture(png(), "image/svg+xml", "x", "y"), r"`content` must be a file of type image/svg\+xml"),
        (
            lambda: Claim("", "", "", "proved"),
            "`verdict` must be one of: reproduced, differs, not stated, not measured; got 'proved'",
        ),
        (
            lambda: Table("", ("a", "b"), (("1",),)),
            r"each of `rows` must have 2 cells, as the header; got 1 in \('1',\)",
        ),
        (lambda: Section("T", (), (), "Two words"), "`anchor` must be small letters.*got 'Two words' for 'T'"),
        (
            lambda: replace(report(), sections=report().sections * 2),
            "must occur once on a page; twice there: first, second, figure-7, table-1, table-2",
        ),
        (
            lambda: replace(report(), sections=(Section("T", (), (), "contents"),)),
            "must occur once on a page; twice there: contents",
        ),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
