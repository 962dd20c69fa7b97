"""Other problems: slow sweeps, the loss along the lowest path, mean times against the barrier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from spinodal.plots.style import CONTROL, GREEN, SIMULATION, THEORY, VERMILLION


def draw_sweep(
    decays: Sequence[float],
    up: Sequence[float],
    down: Sequence[float],
    spinodals: Sequence[float],
    *,
    title: str,
    label: str,
    ax: Axes,
) -> Axes:
    """Order parameter along an upward and a downward sweep; `spinodals` are marked."""
    for number, decay in enumerate(spinodals):
        name = "spinodals, exact" if number == 0 else None
        ax.axvline(decay, color=THEORY, linewidth=1.0, linestyle=(0, (2, 2)), label=name)
    ax.plot(decays, up, color=SIMULATION, marker="o", label="weight decay rising")
    ax.plot(
        decays, down, color=VERMILLION, marker="s", markerfacecolor="none", linestyle="--",
        label="weight decay falling",
    )  # fmt: skip
    ax.set(xlabel="weight decay", ylabel=label, title=title)
    return ax


def draw_path(
    arc: Sequence[float],
    losses: Sequence[float],
    exact: tuple[float, float] | None,
    *,
    title: str,
    ax: Axes,
) -> Axes:
    """Loss above the start along the path; `exact` heights of the saddle and of the end."""
    ax.plot(arc, losses, color=SIMULATION, marker="o", markersize=3.5, label="string")
    if exact is not None:
        for number, height in enumerate(exact):
            ax.axhline(
                height, color=THEORY, linewidth=1.0, linestyle=(0, (2, 2)),
                label="saddle and end, exact" if number == 0 else None,
            )  # fmt: skip
    top = int(np.argmax(losses))
    ax.plot(arc[top], losses[top], "*", color=VERMILLION, markersize=11, label="saddle")
    ax.set(xlabel="length along the path", title=title)
    return ax


def draw_times(
    waited: Sequence[tuple[float, float, float, float]],
    split: Sequence[tuple[float, float, float, float]],
    theory: Sequence[tuple[float, float]],
    zeros: int,
    *,
    theory_label: str,
    title: str,
    ax: Axes,
) -> Axes:
    """Mean times with 95 % intervals against barrier over temperature, logarithmic.

    Rows are (barrier / T, mean, low, high). The dashed line has the slope of the string's barrier,
    with T^(zeros/2) beside it, through the coldest point.
    """
    for rows, colour, marker, name in (
        (waited, SIMULATION, "o", "waited for"),
        (split, VERMILLION, "s", "splitting"),
    ):
        if rows:
            x, mean, low, high = np.array(rows).T
            ax.errorbar(
                x, mean, yerr=[mean - low, high - mean], label=name, capsize=3, linestyle="none",
                marker=marker, color=colour, markerfacecolor="none" if marker == "s" else colour,
            )  # fmt: skip
    if theory:
        x, mean = np.array(sorted(theory)).T
        ax.plot(x, mean, color=GREEN, linewidth=1.2, marker="+", label=theory_label)
    points = sorted([*waited, *split])
    if points:
        last = points[-1]
        x = np.linspace(points[0][0] - 0.3, last[0] + 0.3, 50)
        line = last[1] * np.exp(x - last[0]) * (x / last[0]) ** (-zeros / 2)
        ax.plot(x, line, color=CONTROL, linestyle="--", linewidth=1.1, label="slope: the barrier")
    ax.set(yscale="log", xlabel="barrier of the string / temperature", title=title)
    ax.legend(loc="upper left", fontsize=8.5)
    return ax
