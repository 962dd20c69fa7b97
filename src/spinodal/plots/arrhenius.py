"""Arrhenius plots: escape time against inverse temperature, survival, the sweep and its window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from spinodal.plots.style import CONTROL, MARKERS, PALETTE, SIMULATION, STATED, THEORY, mark_stated

Numbers = Sequence[float]
Gaps = Sequence[float | None]


def draw_arrhenius(
    inverse: Numbers,
    mean: Gaps,
    low: Numbers,
    high: Gaps,
    predicted: Numbers,
    drift: Sequence[bool],
    *,
    slope: float | None,
    intercept: float | None,
    power: float,
    stated_slope: float,
    cold: Sequence[tuple[float, float, float, float, float]] = (),
    ax: Axes,
) -> Axes:
    """ln of the mean escape time against 1/T, the fit, the prediction and the stated slope.

    The fitted law is ln tau = intercept + slope / T + power ln T. Drift points are hollow and
    enter no fit. Only the slope of the dashed stated line means something. `cold` are points of
    splitting: 1/T, mean, low, high, predicted.
    """
    if cold:
        at, middle, down, up, _ = (np.array(part) for part in zip(*cold, strict=True))
        ends = [np.log(middle / down), np.log(up / middle)]
        ax.errorbar(
            at, np.log(middle), yerr=ends, fmt="D", color=PALETTE[1], capsize=2, markersize=4,
            label="splitting, 95 %", zorder=4,
        )  # fmt: skip
    x = np.array(inverse)
    for is_drift, label in ((False, "simulation, 95 %"), (True, "drift, not fitted")):
        rows = [i for i in range(len(x)) if drift[i] == is_drift and mean[i] is not None]
        if not rows:
            continue
        y = np.log([mean[i] or np.nan for i in rows])
        down = y - np.log([low[i] for i in rows])
        up = np.log([high[i] or np.nan for i in rows]) - y
        ax.errorbar(
            x[rows], y, yerr=[down, up], fmt="o", color=SIMULATION, capsize=2, label=label,
            mfc="none" if is_drift else SIMULATION, zorder=4,
        )  # fmt: skip
    theory = sorted([*zip(inverse, predicted, strict=True), *((row[0], row[-1]) for row in cold)])
    at, exact = zip(*theory, strict=True)
    ax.plot(at, np.log(exact), color=THEORY, label="reduced generator")
    fitted = np.array([v for v, d in zip(inverse, drift, strict=True) if not d])
    grid = np.linspace(fitted.min(), fitted.max(), 60)
    if slope is not None and intercept is not None:
        line = intercept + slope * grid - power * np.log(grid)
        ax.plot(grid, line, color=SIMULATION, linestyle="--", label="Arrhenius fit")
    bottom, top = ax.get_ylim()
    middle = float(np.mean(np.log([m for m, d in zip(mean, drift, strict=True) if m and not d])))
    ax.plot(
        grid, middle + stated_slope * (grid - grid.mean()), color=STATED,
        linestyle=(0, (5, 3)), linewidth=1.1, label=f"slope {stated_slope:g}, as stated",
    )  # fmt: skip
    ax.set(xlabel="1 / T", ylabel="ln (mean escape time)", ylim=(bottom - 0.2, top + 0.35))
    ax.legend(loc="upper left", fontsize=8.5)
    return ax


def draw_slopes(
    names: Sequence[str],
    values: Gaps,
    low: Gaps,
    high: Gaps,
    predicted: Numbers,
    *,
    barrier: float,
    stated: float,
    stated_error: float,
    ax: Axes,
) -> Axes:
    """Fitted slopes with their intervals beside the energy barrier and the stated value."""
    ax.axvline(barrier, color=THEORY, linewidth=1.2, label="energy barrier")
    ax.axvspan(stated - stated_error, stated + stated_error, color=STATED, alpha=0.15, linewidth=0)
    ax.axvline(stated, color=STATED, linestyle=(0, (5, 3)), linewidth=1.1, label="paper states")
    for i, value in enumerate(values):
        if value is None:
            continue
        ends = [[value - (low[i] or value)], [(high[i] or value) - value]]
        ax.errorbar(
            [value], [i], xerr=ends, fmt="o", color=SIMULATION, capsize=3,
            label="fitted slope, 95 %" if i == 0 else None,
        )  # fmt: skip
    ax.plot(
        predicted, range(len(names)), "D", mfc="none", color=THEORY, markersize=8,
        label="slope of predicted times",
    )  # fmt: skip
    ax.set(
        xlabel="d ln(escape time) / d(1/T)",
        yticks=range(len(names)),
        yticklabels=names,
        ylim=(len(names) - 0.4, -0.6),
        xlim=(0, 1.05 * (stated + stated_error)),
    )
    ax.legend(loc="lower center", fontsize=8.5, bbox_to_anchor=(0.45, 0.0))
    return ax


def draw_survival(
    curves: Sequence[tuple[str, Numbers, Numbers, Numbers, Numbers, float]], *, ax: Axes
) -> Axes:
    """Kaplan-Meier curves (label, time, survival, low, high, mean) in units of the mean."""
    for number, (label, time, survival, low, high, mean) in enumerate(curves):
        colour = PALETTE[(0, 2, 3, 4, 5, 6)[number % 6]]
        t = np.array(time) / mean
        ax.step(t, survival, where="post", color=colour, label=label)
        ax.fill_between(t, low, high, step="post", color=colour, alpha=0.13, linewidth=0)
    grid = np.linspace(0, max(time[-1] / mean for _, time, *_, mean in curves), 50)
    ax.plot(grid, np.exp(-grid), color=THEORY, linestyle=":", label="memoryless")
    ax.set(
        xlabel="time / mean escape time", ylabel="not yet escaped", yscale="log", ylim=(0.15, 1.1)
    )
    ax.set_yticks([0.2, 0.3, 0.5, 1.0], labels=["0.2", "0.3", "0.5", "1"])
    ax.minorticks_off()
    ax.legend(loc="lower left", fontsize=8.5)
    return ax


def draw_sweep(
    inverse_rates: Numbers,
    epochs_bound: Numbers,
    *,
    longest: float,
    drift: Numbers,
    steepest: float,
    ax: Axes,
) -> Axes:
    """The minibatch sweep on the paper's axes: bounds on tau, and what the window would allow.

    `epochs_bound` are one-sided lower bounds on the mean escape time in epochs, `drift` the null
    law tau ~ 1 / learning rate, `steepest` the largest slope between 1 epoch and `longest`.
    """
    x = np.array(inverse_rates)
    grid = np.array([x.min(), x.max()])
    bound = np.log(np.array(epochs_bound))
    ax.errorbar(
        x, bound, yerr=0.8, lolims=True, fmt=MARKERS[0], color=SIMULATION, markersize=4,
        label="lower bound, 95 %",
    )  # fmt: skip
    order = np.argsort(x)
    ax.plot(x[order], np.log(np.array(drift))[order], "s-", color=CONTROL, markersize=4,
            label="pure drift, no noise")  # fmt: skip
    ax.plot(grid, steepest * (grid - grid[0]), color=THEORY, label="steepest line that fits")
    mark_stated(ax, y=float(np.log(longest)), label="stated run length")
    ax.set(
        xlabel="1 / learning rate",
        ylabel="ln (escape time in epochs)",
        ylim=(-0.5, max(float(bound.max()), np.log(longest)) + 4.6),
    )
    ax.legend(loc="upper left", fontsize=8.5, ncols=2)
    return ax
