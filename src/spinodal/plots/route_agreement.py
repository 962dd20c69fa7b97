"""One rate by every route: mean time against temperature, and measured over predicted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from spinodal.plots.style import CONTROL, PALETTE, SIMULATION, THEORY

Numbers = Sequence[float]
Points = tuple[Numbers, Numbers, Numbers, Numbers]
"""Abscissa, value, low and high."""

STYLES = ("-", "--", ":", "-.")


def draw_routes(
    lines: Sequence[tuple[str, Numbers, Numbers]],
    waiting: Points,
    splitting: Points,
    *,
    ax: Axes,
) -> Axes:
    """Mean times in updates against T / T_sp, colder to the right."""
    for style, (label, x, y) in zip(STYLES, lines, strict=False):
        ax.plot(x, y, color=THEORY, linestyle=style, linewidth=1.2, label=label)
    _points(waiting, "waiting, 95 %", "s", PALETTE[1], ax)
    _points(splitting, "splitting, 95 %", "o", SIMULATION, ax)
    ax.set(yscale="log", xlabel="temperature / thermal spinodal", ylabel="mean time in updates")
    ax.yaxis.set_major_locator(LogLocator(numticks=12))
    ax.invert_xaxis()
    ax.legend(loc="upper left", fontsize=8.5)
    return ax


def draw_ratios(curves: Sequence[tuple[str, Points]], *, ax: Axes) -> Axes:
    """Measured over predicted mean time against T / T_sp; 1 is agreement."""
    ax.axhline(1.0, color=CONTROL, linewidth=1.0)
    for number, (label, points) in enumerate(curves):
        _points(points, label, ("v", "o", "D", "^")[number % 4], PALETTE[number % 6], ax, line=True)
    ax.set(
        yscale="log",
        xlabel="temperature / thermal spinodal",
        ylabel="measured / predicted time",
    )
    ax.invert_xaxis()
    ax.set_yticks([0.5, 1, 2, 5, 10, 20], labels=["0.5", "1", "2", "5", "10", "20"])
    ax.minorticks_off()
    ax.set_ylim(bottom=min(0.3, ax.get_ylim()[0]))
    ax.legend(loc="lower left", fontsize=8.5)
    return ax


def _points(
    points: Points, label: str, marker: str, colour: str, ax: Axes, *, line: bool = False
) -> None:
    x, y, low, high = (np.array(part, dtype=float) for part in points)
    if not len(x):
        return
    ax.errorbar(
        x, y, yerr=[y - low, high - y], fmt=f"{marker}-" if line else marker, color=colour,
        capsize=2, linewidth=1.0, label=label, zorder=4,
    )  # fmt: skip
