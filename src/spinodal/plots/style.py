"""The look all figures share: colours safe for the colour-blind, sizes, quiet axes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.rcsetup import cycler

BLUE = "#0072b2"
VERMILLION = "#d55e00"
GREEN = "#009e73"
PURPLE = "#b0568c"
AMBER = "#c98a00"
SKY = "#3d9bd9"
GREY = "#7a828c"
INK = "#1d2329"
RULE = "#c9ced4"
PAPER = "#ffffff"
PALETTE = (BLUE, VERMILLION, GREEN, AMBER, SKY, GREY)
"""Okabe and Ito's colours, the pale ones darkened until lines read on white. Purple is kept for
what the paper states."""

SIMULATION, THEORY, STATED, CONTROL = BLUE, INK, PURPLE, GREY
"""What was simulated, what theory says, what the paper states, and the control beside it."""

MARKERS = ("o", "s", "^", "D", "v", "P")
"""One per colour, so that colour is never the only difference."""


@contextmanager
def look() -> Iterator[None]:
    """Draw with the shared look inside a `with` block; settings outside are left alone."""
    with mpl.rc_context(_SETTINGS):
        yield


def mark_stated(
    ax: Axes, *, x: float | None = None, y: float | None = None, label: str | None = None
) -> Axes:
    """Mark a number the paper states by a dashed line across the axes at `x` or `y`.

    Give `label` once per axes ("paper states"), so that the legend holds one entry.
    """
    style = {"color": STATED, "linestyle": (0, (5, 3)), "linewidth": 1.1, "zorder": 1.5}
    if x is not None:
        ax.axvline(x, label=label, **style)
        label = None
    if y is not None:
        ax.axhline(y, label=label, **style)
    return ax


_SETTINGS: dict = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 10.5,
    "axes.linewidth": 0.8,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "normal",
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "figure.facecolor": PAPER,
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "path",
    "text.color": INK,
    "text.parse_math": True,
    "xtick.color": INK,
    "xtick.labelsize": 9.5,
    "ytick.color": INK,
    "ytick.labelsize": 9.5,
}
