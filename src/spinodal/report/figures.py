"""A figure becomes files of fixed bytes and a drawing that can live inside the page."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html import escape

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

from spinodal.plots import style
from spinodal.report.section import Figure

VARIABLES = {
    style.BLUE: "--blue",
    style.VERMILLION: "--vermillion",
    style.GREEN: "--green",
    style.PURPLE: "--purple",
    style.AMBER: "--amber",
    style.SKY: "--sky",
    style.GREY: "--grey",
    style.INK: "--ink",
    style.RULE: "--grid",
    style.PAPER: "--card",
}
"""Palette colours become variables of the page, so that drawings follow light and dark."""

POINTS_PER_INCH = 72
REM_PER_INCH = 6
"""At 96 pixels an inch and 16 a rem: text in drawings is then as large as text around them."""


@dataclass(frozen=True)
class Rendered:
    """The two files of a figure and the SVG element for the page."""

    svg: bytes
    png: bytes
    inline: str


def rendered(figure: Figure, *, resolution: int = 160) -> Rendered:
    """Draw a figure; equal figures give equal bytes, on one machine and library version.

    `resolution` is that of the PNG, in dots per inch.
    """
    with style.look(), mpl.rc_context({"svg.hashsalt": figure.name}):
        canvas = Canvas(figsize=figure.size)
        FigureCanvasAgg(canvas)
        figure.draw(canvas)
        svg, png = io.BytesIO(), io.BytesIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        canvas.savefig(svg, format="svg", metadata=nothing)
        canvas.set_layout_engine("none")  # laid out already; doing it again would take as long
        canvas.savefig(png, format="png", dpi=resolution, metadata={"Software": None})
    text = _described(_without_metadata(svg.getvalue().decode()), figure)
    return Rendered(text.encode(), png.getvalue(), _inline(text, figure))


def _without_metadata(svg: str) -> str:
    return re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)


def _described(svg: str, figure: Figure) -> str:
    """Say inside the file what it shows, for readers that cannot see it."""
    words = (
        f"<title>{escape(figure.caption, quote=False)}</title>\n"
        f" <desc>{escape(figure.alt, quote=False)}</desc>\n "
    )
    return re.sub(r"(<svg\b[^>]*>\s*)", lambda match: match[1] + words, svg, count=1)


def _inline(svg: str, figure: Figure) -> str:
    """The bare <svg> element: its ids prefixed by the figure's name, its colours variables."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"\s*<title>.*?</desc>", "", body, flags=re.DOTALL)
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    prefix = figure.name + "."
    body = re.sub(r'\bid="', f'id="{prefix}', body)
    body = re.sub(r'(?:xlink:)?href="#', f'href="#{prefix}', body)
    body = re.sub(r"url\(#", f"url(#{prefix}", body)
    body = body.replace("xlink:href=", "href=")
    body = re.sub(r"(: ?)(#[0-9a-f]{6})\b", _variable, body)
    width, height = (round(POINTS_PER_INCH * side, 2) for side in figure.size)
    widest = REM_PER_INCH * figure.size[0]
    opening = (
        f'<svg class="drawing" role="img" aria-label="{escape(figure.alt)}" '
        f'viewBox="0 0 {width:g} {height:g}" style="max-width: {widest:.4g}rem">'
    )
    return re.sub(r"<svg\b[^>]*>", lambda _: opening, body, count=1).strip()


def _variable(match: re.Match[str]) -> str:
    name = VARIABLES.get(match[2])
    return f"{match[1]}var({name})" if name else match[0]
