"""The report shows what the study holds, no more and no less."""

import csv
import re
from html.parser import HTMLParser

from imagrad import runs
from imagrad.reproduce.report import REPORT

LARGEST = 5_000_000  # bytes: it can be sent by mail


class Tables(HTMLParser):
    """The tables of a page, each as its caption and its rows of texts."""

    def __init__(self, html):
        super().__init__()
        self.tables, self._cell, self._caption = [], None, None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "figcaption":
            self._caption = ""
        elif tag == "table":
            self.tables.append((self._caption, []))
            self._caption = None
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in ("td", "th"):
            self._cell = ""

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.tables[-1][1][-1].append(" ".join(self._cell.split()))
            self._cell = None

    def handle_data(self, text):
        if self._cell is not None:
            self._cell += text
        elif self._caption is not None:
            self._caption += text

    def rows(self, part):
        """Return the rows, but for the header, of the one table whose caption has this part."""
        (found,) = [rows for caption, rows in self.tables if part in caption]
        return found[1:]


def page_of(study):
    return (study.out / REPORT).read_text()


def metrics_of(study):
    return runs.read_json(study.out / "metrics.json")


def csv_of(study, name):
    with (study.out / f"{name}.csv").open(newline="") as file:
        return list(csv.reader(file))


def estimate(values):
    return f"{values['value']:.3f} ({values['low']:.3f} to {values['high']:.3f})"


# --- the page ---


def test_one_file_holds_everything(study):
    page = page_of(study)
    assert len(page.encode()) < LARGEST
    for source in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert source.startswith(("data:", "#")), source
    assert "url(" not in page and "<script" not in page


def test_all_figures_and_tables_of_the_paper_are_there(study):
    page = page_of(study)
    assert re.findall(r'<figure id="(figure-\d+)"', page) == [f"figure-{number}" for number in range(1, 13)]
    assert sorted(re.findall(r'<figure class="table[^"]*" id="(table-\w+)"', page)) == [
        "table-1", "table-2", "table-3", "table-a"
    ]  # fmt: skip
    assert all(alt for alt in re.findall(r'<img[^>]* alt="([^"]*)"', page))
    assert page.count("<img") == len(list(study.out.rglob("*.png"))) == len(list(study.out.rglob("*.svg")))


def test_every_check_has_its_section(study):
    page = page_of(study)
    for name, result in study.checks().items():
        assert f'<h2 id="{name}">' in page and result.verdict.outcome in page
    assert "Not run" not in page
    assert f"imagrad reproduce --preset {study.preset.name} --seed 0" in page


def test_a_short_study_says_what_is_missing(short_study):
    page = page_of(short_study)
    assert "Not run: check1, check2, check3, check4." in page
    assert re.findall(r'<h2 id="([\w-]+)">', page) == [
        "contents", "claims", "differences", "method", "locality", "reproduce", "facts"
    ]  # fmt: skip
    metrics = metrics_of(short_study)
    assert list(metrics["checks"]) == ["locality"] and metrics["training"] == {} and metrics["comparison"] == []
    assert {claim["verdict"] for claim in metrics["claims"] if claim["section"] != "6"} == {
        "not measured",
        "not stated",
    }
    assert "not measured" not in {claim["verdict"] for claim in metrics["claims"] if claim["section"] == "6"}
    assert sorted(path.name for path in short_study.out.glob("*.csv")) == ["verdicts.csv"]


# --- the numbers ---


def test_metrics_are_those_of_the_steps(study):
    metrics = metrics_of(study)
    assert metrics["checks"] == {name: result.as_dict() for name, result in study.checks().items()}
    assert metrics["comparison"] == [row.as_dict() for row in study.rows()]
    assert metrics["training"] == runs.read_json(study.out / "maps" / "metrics.json")
    assert metrics["training"].items() >= runs.read_json(study.network / "metrics.json").items()
    assert metrics["seconds"] == study.seconds() and metrics["preset"] == "tiny"


def test_tables_of_the_training_show_the_metrics(study):
    tables, training = Tables(page_of(study)), metrics_of(study)["training"]
    assert tables.rows("after its training") == [
        ["training images", f"{training['loss']:.4f}", f"{training['loss_on_clean']:.4f}"],
        ["test images", f"{training['validation_loss']:.4f}", f"{training['validation_loss_on_clean']:.4f}"],
    ]
    expected = [
        [check["name"], str(check["count"]), "" if check["worst"] is None else f"{check['worst']:.1e}",
         f"{check['limit']:.1e}"]
        for check in training["certificate"]["checks"]
    ]  # fmt: skip
    assert tables.rows("The certificate of the maps in Figure 7: passed.") == expected


def test_tables_of_the_checks_show_the_metrics(study):
    found = [rows[1:] for caption, rows in Tables(page_of(study)).tables if "Criteria, fixed before the run" in caption]
    checks = metrics_of(study)["checks"]
    assert len(found) == len(checks) == 5
    for rows, check in zip(found, checks.values(), strict=True):
        criteria = [
            [each["text"], f"{each['measured']:.4g}", "met" if each["is_met"] else "not met"]
            for each in check["criteria"]
        ]
        assert rows[: len(criteria)] == criteria
        for row, control in zip(rows[len(criteria) :], check["controls"], strict=True):
            assert row[0] == f"control: {control['name']}"
            for number in ("value", "low", "high"):
                assert f"{control['score'][number]:.3f}" in row[1] and f"{control['lead'][number]:.3f}" in row[2]
            low, high = control["lead"]["low"], control["lead"]["high"]
            sign = "beaten by" if low > 0 else "not beaten" if high < 0 else "no clear difference"
            assert row[2].startswith(sign)


def test_table_of_the_layers_shows_the_metrics(study):
    rows = Tables(page_of(study)).rows("Likeness with the maps of the trained network")
    check = metrics_of(study)["checks"]["randomisation"]
    expected = [
        [f"redrawn down to {layer['redrawn_down_to']}"]
        + [f"{layer[measure]['value']:.3f}" for measure in ("spearman", "pearson", "ssim")]
        for layer in check["layers"]
    ]
    assert rows[: len(expected)] == expected
    learnt = [check[name]["value"] for name in ("asked_twice", "shuffled", "shuffled_and_put_back")]
    assert [row[1] for row in rows[len(expected) :]] == [f"{value:.3f}" for value in learnt]


def test_claims_on_the_page_are_those_of_the_metrics(study):
    rows = Tables(page_of(study)).rows("The paper says, we measured.")
    claims = metrics_of(study)["claims"]
    assert [row[:1] + row[2:3] for row in rows] == [
        [claim["section"], " ".join(claim["measured"].split())] for claim in claims
    ]
    assert all(row[3].endswith(claim["verdict"]) for row, claim in zip(rows, claims, strict=True))
    assert {claim["verdict"] for claim in claims if claim["section"] != "3"} <= {"reproduced", "differs", "not stated"}


def test_seconds_of_each_step_are_told(study):
    rows = Tables(page_of(study)).rows("How long each step took.")
    assert [row[1] for row in rows] == [f"{seconds:.0f}" for seconds in study.seconds().values()]


# --- CSV files ---


def test_verdicts_as_csv(study):
    header, *rows = csv_of(study, "verdicts")
    assert header == ["check", "verdict", "score", "low", "high"]
    for row, (name, check) in zip(rows, metrics_of(study)["checks"].items(), strict=True):
        assert row == [name, check["verdict"], *(f"{check['score'][part]:.4f}" for part in ("value", "low", "high"))]


def test_corruption_as_csv(study):
    header, *rows = csv_of(study, "corruption")
    check = metrics_of(study)["checks"]["corruption"]
    places = [(side, k) for side in ("most", "least") for k in range(3)]
    assert header[1:] == [f"{side} {check['percentages'][k]:g} %" for side, k in places]
    named = {"global map": check["global_map"], "one local map": check["local_map"], **check["controls_curves"]}
    assert [row[0] for row in rows] == list(named)
    for row, curves in zip(rows, named.values(), strict=True):
        cells = [curves[side][k] for side, k in places]
        assert row[1:] == [f"{100 * c['value']:.1f} ({100 * c['low']:.1f}-{100 * c['high']:.1f})" for c in cells]
    assert Tables(page_of(study)).rows("Accuracy in per cent on") == rows


def test_comparison_as_csv(study):
    header, *rows = csv_of(study, "comparison")
    compared = metrics_of(study)["comparison"]
    assert header == ["method", "mean rank", "corruption", "locality"]
    for row, of_method in zip(rows, compared, strict=True):
        assert row[:2] == [of_method["method"], f"{of_method['mean_rank']:.1f}"]
        for cell, check in zip(row[2:], of_method["checks"].values(), strict=True):
            sign = "✗" if not check["passed"] else "=" if check["no_better_than"] else "✓"
            assert cell == f"{check['score']['value']:.3f} {sign}"
    assert Tables(page_of(study)).rows("Attribution methods by the checks") == rows
