"""Laws of the escape time against the noise, and waiting against a memoryless law."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from spinodal.plots.style import AMBER, BLUE, CONTROL, GREEN, INK, SKY, THEORY, VERMILLION

COLOURS = {
    "arrhenius": VERMILLION,
    "power": BLUE,
    "drift": GREEN,
    "lag": AMBER,
    "mori": SKY,
}
DASHES = {
    "arrhenius": "-",
    "power": (0, (6, 2)),
    "drift": (0, (1, 1.5)),
    "lag": (0, (4, 1.5, 1, 1.5)),
    "mori": (0, (3, 1)),
}

Line = tuple[str, Sequence[float], Sequence[float]]
Point = tuple[float, float | None, float | None, float]


def draw_laws(
    points: Sequence[Point], lines: Sequence[Line], *, choice: str, noise: str, ax: Axes
) -> Axes:
    """Mean time against inverse noise: settings (x, mean, high, low) with laws (name, x, mean).

    A setting without escapes has no mean: its `low` is a one-sided bound, an arrow. The law that
    was chosen is drawn thicker.
    """
    order = sorted(range(len(lines)), key=lambda i: lines[i][0].split("[")[0] == choice)
    labelled: set[str] = set()
    for i in order:
        name, x, mean = lines[i]
        kind = name.split("[")[0]
        chosen = kind == choice
        label = f"{kind}, chosen" if chosen else kind
        ax.plot(
            x, mean, color=COLOURS[kind], linestyle=DASHES[kind],
            linewidth=2.4 if chosen else 1.3, alpha=1.0 if chosen else 0.85,
            label=None if kind in labelled else label, zorder=3 if chosen else 2,
        )  # fmt: skip
        labelled.add(kind)
    seen = [point for point in points if point[1] is not None]
    if seen:
        x = np.array([point[0] for point in seen])
        mean = np.array([point[1] or np.nan for point in seen])
        high = np.array([np.nan if point[2] is None else point[2] for point in seen])
        low = np.array([point[3] for point in seen])
        high = np.where(np.isfinite(high), high, mean)
        ax.errorbar(
            x, mean, yerr=[mean - low, high - mean], fmt="o", color=INK, capsize=2,
            markersize=4.5, linewidth=1.1, label="settings", zorder=4,
        )  # fmt: skip
    bounds = [(point[0], point[3]) for point in points if point[1] is None]
    if bounds:
        x, low = np.array(bounds).T
        ax.errorbar(
            x, low, yerr=0.6 * low, lolims=True, fmt="_", color=CONTROL, capsize=3,
            linewidth=1.1, label="no escape: bound", zorder=4,
        )  # fmt: skip
    name = f"({noise})" if "/" in noise else noise
    ax.set(
        xlabel=f"1 / {name.replace('_', ' ')}",
        ylabel="mean escape time",
        yscale="log",
    )
    if seen or bounds:
        ends = [value for point in points for value in point[1:] if value is not None]
        ax.set_ylim(min(ends) / 2, max(ends) * 3)
    if points or lines:
        ax.legend(loc="best")
    return ax


def draw_waiting(
    x: Sequence[float], survival: Sequence[float], *, test: str, cell: str, ax: Axes
) -> Axes:
    """Share of replicas still waiting, against time in means of their own cell.

    `cell` is what has a mean of its own, `test` the probability of the memoryless law in words.
    """
    ax.step(x, survival, where="post", color=INK, label="observed")
    end = max(1.0, max(x, default=1.0))
    grid = np.linspace(0, end, 100)
    ax.plot(
        grid, np.exp(-grid), color=THEORY, linestyle=(0, (1, 1.5)), linewidth=1.3,
        label=f"memoryless ({test})" if test else "memoryless",
    )  # fmt: skip
    above = [value for value in survival if value > 0]
    ax.set(
        xlabel=f"time / mean of its {cell}",
        ylabel="not yet escaped",
        yscale="log",
        ylim=(max(1e-3, 0.7 * min(above, default=0.1)), 1.25),
    )
    ax.legend(loc="best")
    return ax
