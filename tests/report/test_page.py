"""The page: one file, no network, nothing that was text becomes code."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from report import placeholders

from spinodal.plots import style
from spinodal.report.bundle import comma_separated
from spinodal.report.figures import VARIABLES, rendered
from spinodal.report.page import VERDICTS, AuditRow, balance, prose, verdict_counts, words
from spinodal.report.reproduce import reproduce
from spinodal.report.section import Figure, Table


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("page")
    with placeholders.installed():
        reproduce(out=out)
    return (out / "report.html").read_text()


class Outline(HTMLParser):
    """Collects what matters of a page and complains about tags that do not match."""

    EMPTY = frozenset({"meta", "link", "br", "hr", "img", "input", "path", "use"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href"):
                self.links.append(value or "")
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.EMPTY:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag


def test_the_page_asks_the_network_for_nothing(page):
    outline = Outline(page)
    assert "http:" not in page
    assert "https:" not in page
    assert "@import" not in page
    assert "script" not in outline.tags
    assert not {"link", "iframe", "object", "embed", "form"} & outline.tags
    outside = [link for link in outline.links if not link.startswith(("#", "data"))]
    assert outside == []
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page


def test_ids_are_unique_and_every_link_leads_somewhere(page):
    outline = Outline(page)
    assert len(outline.ids) == len(set(outline.ids))
    inside = {link[1:] for link in outline.links if link.startswith("#")}
    inside |= set(re.findall(r"url\(#([^)]+)\)", page))
    assert inside <= set(outline.ids)


def test_text_that_looks_like_markup_stays_text(page):
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;markup&lt;/b&gt;" in page
    assert "Three &quot;decaying&quot; waves, left" in page


def test_the_requests_and_the_audit_come_before_the_figures(page):
    places = [page.index(f'<section id="{name}"') for name in ("summary", "requests", "audit")]
    assert places == sorted(places)
    assert places[-1] < page.index('<section id="fig2a"')


def test_every_row_of_the_audit_is_on_the_page_with_its_verdict(page):
    rows = re.findall(r'<article class="row v-([a-z-]+)" id="(row-\d\d)"', page)
    assert len(rows) == 46
    assert {verdict.replace("-", " ") for verdict, _ in rows} <= set(VERDICTS)


def test_settings_seed_versions_timing_and_command_stand_in_every_section(page):
    for name in ("fig2a", "fig3", "fig4", "audit"):
        part = page[page.index(f'<section id="{name}"') :]
        part = part[: part.index("</section>")]
        assert "<dt>weight decay</dt><dd>0.32</dd>" in part
        assert "<dt>seed</dt><dd>42</dd>" in part
        assert "<dt>computed in</dt>" in part
        assert "<dt>numpy</dt>" in part
        assert f"spinodal reproduce --only {name} --effort quick --seed 42" in part


def test_drawings_follow_light_and_dark_and_are_described(page):
    drawing = page[page.index('<svg class="drawing"') :]
    drawing = drawing[: drawing.index("</svg>")]
    assert 'role="img" aria-label="' in drawing
    assert "var(--blue)" in drawing
    assert "var(--ink)" in drawing
    assert style.INK not in drawing
    for variable in VARIABLES.values():
        assert len(re.findall(rf"{variable}: #", page)) == 2


def plain_figure() -> Figure:
    def draw(canvas) -> None:
        ax = canvas.subplots()
        ax.imshow([[1, 2], [3, 4]], extent=(0, 1, 0, 1))
        style.mark_stated(ax, x=0.5, y=0.2, label="paper states")
        ax.legend()

    return Figure(name="plain", caption="A < B & C", alt='the "alt" <words>', draw=draw)


def test_equal_figures_give_equal_bytes_without_dates_or_names_of_programs():
    first, second = rendered(plain_figure()), rendered(plain_figure())
    assert (first.svg, first.png, first.inline) == (second.svg, second.png, second.inline)
    assert b"Matplotlib v" not in first.svg
    assert b"Software" not in first.png


def test_the_files_of_a_figure_are_well_formed_and_say_what_they_show():
    root = ElementTree.fromstring(rendered(plain_figure()).svg)
    space = "{http://www.w3.org/2000/svg}"
    assert root.findtext(f"{space}title") == "A < B & C"
    assert root.findtext(f"{space}desc") == 'the "alt" <words>'
    Outline(rendered(plain_figure()).inline)


def test_drawing_leaves_the_settings_of_matplotlib_alone():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    rendered(plain_figure())
    assert dict(mpl.rcParams) == before


def test_a_csv_file_holds_every_digit_and_leaves_missing_values_empty():
    rows = [(0.1 + 0.2, None, True, "a,b", (1, 2)), (5e-324, -0.0, False, 'say "x"', ())]
    table = Table(name="t", caption="", columns=("a", "b", "c", "d", "e"), rows=rows)
    assert comma_separated(table).decode().split("\r\n") == [
        "a,b,c,d,e",
        '0.30000000000000004,,true,"a,b",1 2',
        '5e-324,-0.0,false,"say ""x""",',
        "",
    ]


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("a < b & c", "a &lt; b &amp; c"),
        ("`x*y*z` *e* **s**", "<code>x*y*z</code> <em>e</em> <strong>s</strong>"),
        ("T_{eff} 10^{-5}", "T<sub>eff</sub> 10<sup>-5</sup>"),
        ("3 * 4 * 5", "3 * 4 * 5"),
        ("`<b>`", "<code>&lt;b&gt;</code>"),
    ],
)
def test_prose_knows_five_marks_and_escapes_the_rest(text, markup):
    assert prose(text) == markup


def test_evidence_may_be_nested_plain_data():
    assert words({"escapes": 0, "of": (200, 10)}) == "escapes: 0; of: 200, 10"


def test_names_of_evidence_stay_as_given_and_what_is_empty_is_left_out():
    given = {"calls": [], "at weight_decay 0.2": 1, "strength_1e-12": None, "note": ""}
    assert words(given) == "at weight decay 0.2: 1; strength 1e-12: \N{EN DASH}"
    assert words({"calls": []}) == ""


def test_the_header_promises_no_more_than_the_page_holds(page):
    lead = page[page.index('class="lead"') :]
    lead = lead[: lead.index("</p>")]
    assert "every" not in lead.lower()
    assert "What is still open, or not checked, is named" in lead


def test_the_balance_counts_every_verdict():
    def row(verdict: str) -> AuditRow:
        empty = dict.fromkeys(AuditRow.__dataclass_fields__, "")
        return AuditRow(**empty | {"verdict": verdict})

    rows = [row("wrong"), row("wrong"), row("reproduces"), row("not checked")]
    assert verdict_counts(rows)["wrong"] == 2
    assert list(verdict_counts(rows)) == list(VERDICTS)
    assert balance(rows) == (
        "Of the **4** statements audited here **1** reproduce, **2** are wrong and "
        "**1** are not checked."
    )


def test_the_page_and_the_audit_know_the_same_verdicts():
    from spinodal.protocols import audit

    assert set(VERDICTS) == set(audit.VERDICTS)
