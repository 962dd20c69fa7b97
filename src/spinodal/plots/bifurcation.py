"""Strength of the stationary points of each feature against weight decay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from spinodal.plots.style import MARKERS, PALETTE, PAPER, THEORY, mark_stated

Numbers = Sequence[float]
Gappy = Sequence[float | None]
MODE_COLOURS = (PALETTE[0], PALETTE[1], PALETTE[2], PALETTE[3], PALETTE[4])


def draw_bifurcation(
    weight_decays: Sequence[Numbers],
    learned: Sequence[Gappy],
    saddles: Sequence[Gappy],
    *,
    names: Sequence[str],
    spinodals: Sequence[tuple[float, float]],
    coexistences: Sequence[tuple[float, float]],
    endpoints: Sequence[Sequence[tuple[float, float]]],
    stated: Numbers,
    ax: Axes,
) -> Axes:
    """Learned branches solid, unstable ones dotted; marks are (weight decay, strength)."""
    for number, (decays, upper, lower) in enumerate(
        zip(weight_decays, learned, saddles, strict=True)
    ):
        colour = MODE_COLOURS[number % len(MODE_COLOURS)]
        ax.plot(decays, _floats(upper), color=colour, label=names[number])
        ax.plot(decays, _floats(lower), color=colour, linestyle=":")
        if endpoints[number]:
            x, y = np.array(endpoints[number]).T
            marker = MARKERS[number % len(MARKERS)]
            ax.plot(x, y, marker, mfc=PAPER, mec=colour, mew=1.1, markersize=4.5, clip_on=False)
        ax.plot(*spinodals[number], "|", color=colour, markersize=16, mew=2)
        ax.plot(*coexistences[number], "*", color=colour, markersize=11)
    ax.axhline(0.0, color=THEORY, linewidth=1.2, zorder=1)
    ax.plot([], [], color=THEORY, linestyle=":", label="saddle (unstable)")
    ax.plot([], [], "o", mfc=PAPER, mec=THEORY, mew=1.1, label="training ended here")
    ax.plot([], [], "|", color=THEORY, markersize=12, mew=2, linestyle="none", label="spinodal")
    ax.plot([], [], "*", color=THEORY, markersize=9, linestyle="none", label="coexistence")
    for position, place in enumerate(stated):
        mark_stated(ax, x=place, label=None if position else "paper states")
    ax.set(xlabel="weight decay", ylabel="strength", xlim=(0, None))
    ax.set_ylim(-0.03, ax.get_ylim()[1])
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 0.06), fontsize=8.5)
    return ax


def _floats(values: Gappy) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values])
