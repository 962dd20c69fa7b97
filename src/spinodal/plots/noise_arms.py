"""Which noise frees a network: fraction escaped against updates, one line per noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from spinodal.plots.style import PALETTE, THEORY

STYLES = ("-", "--", "-.", ":")
"""Lines that lie on each other are told apart by their dashes as well as by colour."""

ORDER = (0, 4, 2, 5, 1, 3)
"""Colours of the arms: the escaping ones get the warm ones."""


class Curve(NamedTuple):
    """Kaplan-Meier survival of one arm with its limits; `note` says how many escaped."""

    label: str
    note: str
    steps: Sequence[float]
    survival: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def draw_escapes(
    curves: Sequence[Curve],
    *,
    longest: float,
    shortest: float,
    predicted: float | None,
    title: str,
    ax: Axes,
) -> Axes:
    """Escaped fraction of every arm, logarithmic in updates, from `shortest` to `longest`.

    Arms without escapes lie on zero; they are drawn one below the other in a strip that says so.
    `predicted` marks the mean passage time of the isotropic noise where theory gives one on this
    axis.
    """
    resting = 0
    for number, curve in enumerate(curves):
        colour = PALETTE[ORDER[number % len(ORDER)] % len(PALETTE)]
        style = STYLES[number % len(STYLES)]
        at = np.append(np.maximum(curve.steps, shortest), longest)
        escaped = 1 - np.append(curve.survival, curve.survival[-1])
        if escaped.max() == 0:
            resting += 1
            escaped = escaped - 0.035 * resting
        else:
            low, high = (1 - np.append(c, c[-1]) for c in (curve.high, curve.low))
            ax.fill_between(at, low, high, step="post", color=colour, alpha=0.13, linewidth=0)
        label = f"{curve.label}: {curve.note}"
        ax.step(at, escaped, where="post", color=colour, linestyle=style, label=label)
    if predicted is not None and shortest < predicted < longest:
        label = "isotropic: predicted mean, reduced free energy"
        ax.axvline(predicted, color=THEORY, linewidth=1.0, linestyle=(0, (2, 2)), label=label)
    ax.set(xscale="log", xlim=(shortest, longest), ylim=(-0.035 * len(curves) - 0.03, 1.03))
    # Below zero there are only the lines of arms at rest, no fractions.
    ax.set(xlabel="updates", title=title, yticks=np.linspace(0, 1, 6))
    ax.axhspan(ax.get_ylim()[0], 0, color="0.5", alpha=0.08, linewidth=0)
    if resting:
        white = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.9}
        middle = -0.035 * (resting + 1) / 2
        ax.text(
            0.03, middle, "no escape", transform=ax.get_yaxis_transform(), va="center", fontsize=8,
            bbox=white,
        )  # fmt: skip
    if resting == len(curves):
        ax.text(
            0.5, 0.5, "no noise frees\nanything here", transform=ax.transAxes, ha="center",
            va="center", color="0.35", fontsize=9,
        )  # fmt: skip
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=8)
    return ax
