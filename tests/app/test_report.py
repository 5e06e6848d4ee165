"""The report holds what was found, and nothing from elsewhere."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from aigc_fast.demo import write_report
from aigc_fast.demo.report import BAR_METRICS, figures, findings, render
from aigc_fast.demo.results import GENERATIVE, WITHOUT_GAN, Difference

SECTIONS = ["reading", "quality", "training", "map", "feedback", "cold-start", "run"]


class Page(HTMLParser):
    """Collects ids, tags with attributes, text, and complains about tags that do not match."""

    VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids, self.tags, self.text, self.open = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def html(result) -> str:
    return render(result)


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def test_sections_are_there_in_order(page):
    found = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
    assert found == SECTIONS


def test_ids_are_unique_and_references_lead_to_them(page, html):
    assert len(set(page.ids)) == len(page.ids)
    references = set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', html))
    assert len(references) > 0
    assert references <= set(page.ids)


def test_nothing_comes_from_elsewhere(page, html):
    assert re.search(r"https?://|//[a-z]+\.|@import|url\((?!#)", html) is None
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "iframe", "img", "object"}
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")


def test_every_figure_of_the_tables_is_there(page, result):
    text = " ".join(page.text)
    for model in result.models:
        for name, value in model.metrics.items():
            assert (f"{value:.4f}" if value < 1 else f"{value:.2f}") in text, (model.name, name)
    for value in result.environment.values():
        assert value in text


def test_labels_are_escaped(html):
    assert "Nobody&#39;s &lt;data&gt;." in html
    assert "<data>" not in html


def test_titles_from_the_data_are_escaped(page, html, result):
    assert re.search(r"Film &amp; &lt;\d+&gt;", html)
    assert "& <" not in html
    assert any("Film & <" in text for text in page.text)


def test_it_fits_a_phone_and_the_dark(html):
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html
    assert "prefers-color-scheme: dark" in html


def test_figures_take_their_colours_from_the_page(result):
    for name, svg in figures(result).items():
        colours = set(re.findall(r"#[0-9a-f]{6}\b", svg))
        assert colours <= {"#000000", "#ffffff"}, name  # what Matplotlib writes into clip paths and defaults
        assert "var(--" in svg
        assert re.match(r'<svg role="img" aria-label="[^"]+" viewBox="[^"]+">', svg)


def test_figures(result):
    expected = {
        *BAR_METRICS,
        "differences",
        "losses",
        "quality",
        "prdc",
        "energy",
        "map",
        "hit_rate",
        "feedback_test",
        "list",
        "cold",
    }
    assert set(figures(result)) == expected


def test_parts_that_were_not_run_are_left_out(result):
    page = Page(render(replace(result, cold_start=None, story=None, feedback=[])))
    found = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
    assert found == [name for name in SECTIONS if name not in {"feedback", "cold-start"}]


@pytest.mark.parametrize(
    ("interval", "ranking", "ablation"),
    [
        ((0.02, 0.01, 0.03), "better than", "the GAN adds to the accuracy"),
        ((0.01, -0.01, 0.03), "level with", "the GAN costs none of it"),
        ((-0.02, -0.03, -0.01), "worse than", "the GAN costs some of it"),
    ],
)
def test_findings_follow_from_the_figures(result, interval, ranking, ablation):
    others = ["TopPop", "UserKNN", "ItemKNN", WITHOUT_GAN]
    said = findings(replace(result, differences=[Difference(name, "NDCG@20", *interval) for name in others]))
    assert f"{GENERATIVE} ranks {ranking} TopPop" in said[0]
    assert said[0].count(ranking) == 1
    assert f"ranks {ranking} the same search" in said[1]
    assert ablation in said[1]
    assert "−0.0" in said[0] or interval[1] > 0


def test_feedback_is_judged_by_its_figures(result):
    text = findings(result)[3]
    last = [curve.rounds[-1]["test NDCG@20"] for curve in result.feedback]
    assert f"{last[0]:.3f}" in text
    assert ("does not add" in text) == (last[1] <= last[0])


def test_it_is_written_whole(result, html, tmp_path):
    path = tmp_path / "new" / "report.html"
    write_report(path, result)
    assert path.read_text(encoding="utf-8") == html  # the same figures, the same bytes
    assert list(path.parent.iterdir()) == [path]
