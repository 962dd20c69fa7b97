"""Downward jumps of SGD: mean time against B / lr, and the exponent that its slope measures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from spinodal.plots.style import CONTROL, MARKERS, SIMULATION, THEORY, VERMILLION

Numbers = Sequence[float]
Gaps = Sequence[float | None]


def draw_jump_times(
    inverse_noise: Numbers,
    mean: Gaps,
    low: Numbers,
    high: Gaps,
    fitted: Sequence[bool],
    *,
    diffusion: Numbers,
    corrected: Numbers,
    chain: Numbers | None,
    title: str,
    ax: Axes,
) -> Axes:
    """Mean time until the jump against B / lr; points of other learning rates are hollow.

    Lines: exact times of the diffusion, the same with the exponent of SGD, and crosses where the
    chain of SGD itself was solved.
    """
    x = np.array(inverse_noise)
    order = np.argsort(x)
    ax.plot(
        x[order], np.array(diffusion)[order], color=VERMILLION, linestyle="--",
        label="diffusion, exact",
    )  # fmt: skip
    ax.plot(
        x[order], np.array(corrected)[order], color=THEORY,
        label="diffusion with the exponent of SGD",
    )  # fmt: skip
    if chain is not None:
        ax.plot(x, chain, "x", color=THEORY, markersize=7, label="SGD's chain, exact", zorder=3)
    for number, (chosen, label) in enumerate(
        ((True, "simulation, 95 %"), (False, "other learning rates"))
    ):
        rows = [i for i in range(len(x)) if fitted[i] == chosen and mean[i] is not None]
        if not rows:
            continue
        y = np.array([mean[i] or np.nan for i in rows])
        down = y - np.array([low[i] for i in rows])
        up = np.array([high[i] or np.nan for i in rows]) - y
        ax.errorbar(
            x[rows], y, yerr=[down, up], fmt=MARKERS[number], capsize=2, label=label,
            color=SIMULATION if chosen else CONTROL, mfc=SIMULATION if chosen else "none", zorder=4,
        )  # fmt: skip
    ax.set(yscale="log", xlabel="B / learning rate", title=title)
    ax.set_ylim(top=8 * ax.get_ylim()[1])  # room for the legend
    ax.legend(fontsize=8)
    return ax


def draw_exponents(
    names: Sequence[str],
    measured: Gaps,
    low: Gaps,
    high: Gaps,
    diffusion: Numbers,
    exact: Numbers,
    *,
    ax: Axes,
) -> Axes:
    """Measured exponents in units of the exact one, with 95 % limits, and that of the diffusion.

    Rows run from the top; a missing limit is an open side.
    """
    rows = np.arange(len(names))[::-1]
    unit = np.array(exact)
    for row, value, least, most, scale in zip(rows, measured, low, high, unit, strict=True):
        ends = [0.0 if least is None else least / scale, 2.0 if most is None else most / scale]
        ax.plot(ends, [row, row], color=SIMULATION, linewidth=2)
        if value is not None:
            ax.plot([value / scale], [row], MARKERS[0], color=SIMULATION)
    ax.plot([], [], MARKERS[0], color=SIMULATION, linestyle="-", label="measured, 95 %")
    ax.axvline(1, color=THEORY, label="SGD (large deviations)")
    ax.plot(
        np.array(diffusion) / unit, rows, MARKERS[3], color=VERMILLION, linestyle="none",
        label="diffusion",
    )  # fmt: skip
    ax.set(yticks=rows, yticklabels=names, ylim=(-0.7, len(names) - 0.3))
    ax.set(xlabel="exponent / exponent of SGD")
    ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.4, -0.28), ncol=3)
    return ax
