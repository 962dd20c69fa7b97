"""Two phases in balance: measured against exact ratios of rates, growth with width, sharpening."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from scipy import special

from spinodal.plots.style import MARKERS, PALETTE, SIMULATION, THEORY

Numbers = Sequence[float]


def draw_shares(
    curves: Sequence[tuple[str, Numbers, Numbers]],
    points: Sequence[tuple[str, Numbers, Numbers, Numbers, Numbers]],
    *,
    ax: Axes,
) -> Axes:
    """Share of time in the learned phase against weight decay: exact curves, measured points.

    `curves`: (label, weight decay, share); `points`: (label, weight decay, log ratio, low, high).
    """
    for number, (label, x, y) in enumerate(curves):
        colour = PALETTE[number % len(PALETTE)]
        ax.plot(x, y, color=colour, label=label)
    for number, (_, x, ratio, low, high) in enumerate(points):
        share, bottom, top = (special.expit(np.array(v)) for v in (ratio, low, high))
        ax.errorbar(
            x, share, yerr=[share - bottom, top - share], fmt=MARKERS[number % len(MARKERS)],
            color=PALETTE[number % len(PALETTE)], capsize=2, zorder=4,
        )  # fmt: skip
    ax.set(xlabel="weight decay", ylabel="share of time in the learned phase", ylim=(0, 1))
    ax.legend(loc="lower left")
    return ax


def draw_growth(
    width: Numbers,
    mean: Numbers,
    low: Numbers,
    high: Numbers,
    predicted: Numbers,
    *,
    ax: Axes,
) -> Axes:
    """Mean waiting time at coexistence against width, with T in proportion to 1 / width."""
    y = np.array(mean)
    ax.errorbar(
        width, y, yerr=[y - np.array(low), np.array(high) - y], fmt="o", color=SIMULATION,
        capsize=2, label="simulation, 95 %", zorder=4,
    )  # fmt: skip
    ax.plot(width, predicted, color=THEORY, label="passage time of the reduced free energy")
    ax.set(xlabel="width", ylabel="mean time in a phase", yscale="log")
    ax.set_xticks(list(width))
    ax.legend(loc="upper left")
    return ax
