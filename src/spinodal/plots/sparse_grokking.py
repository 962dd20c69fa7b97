"""Sparse grokking: errors over epochs, and the delay against the checkpoint's residual."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from spinodal.plots.style import CONTROL, SIMULATION, THEORY, mark_stated

Numbers = Sequence[float]
Gaps = Sequence[float | None]


def draw_errors(
    epochs: Sequence[int],
    train: Sequence[Numbers],
    test: Sequence[Numbers],
    *,
    bold: int,
    stated_epochs: float,
    logarithmic: bool,
    ax: Axes,
) -> Axes:
    """Train and test error over epochs; data set number `bold` heavy, the others faint."""
    first = 1 if logarithmic else 0
    for colour, curves, label in ((CONTROL, train, "training"), (SIMULATION, test, "test")):
        for i, curve in enumerate(curves):
            heavy = i == bold
            ax.plot(
                epochs[first:],
                curve[first:],
                color=colour,
                linewidth=2.0 if heavy else 0.7,
                alpha=1.0 if heavy else 0.35,
                linestyle="-" if colour == SIMULATION else (0, (4, 1.5)),
                zorder=3 if heavy else 2,
                label=label if heavy else None,
            )
    mark_stated(ax, x=stated_epochs, label="paper states")
    # The untrained minutes of the other data sets would only squeeze the plateaus.
    late = [v for curves in (train, test) for curve in curves for v in curve[len(curve) // 4 :]]
    ax.set(xlabel="epoch", ylabel="error", ylim=(0.0, 1.12 * max(late)))
    if logarithmic:
        ax.set(xscale="log", xlim=(1, epochs[-1]))
    else:
        ax.set(xlim=(0, epochs[-1]))
    return ax


def draw_delay(
    strengths: Numbers,
    epochs: Sequence[int | None],
    theory_strengths: Numbers,
    theory_epochs: Sequence[Gaps],
    *,
    horizon: int,
    stated_epochs: float,
    ax: Axes,
) -> Axes:
    """Epochs until escape against the second strength of the checkpoint, noise-free.

    `theory_epochs` holds three curves: the fastest, the median and the slowest data set. Runs
    that never escaped stand on the horizon as triangles.
    """
    fast, middle, slow = (
        np.array([np.nan if v is None else v for v in curve]) for curve in theory_epochs
    )
    grid = np.array(theory_strengths)
    shade = np.where(np.isnan(slow), 1e9, slow)
    keep = np.isfinite(fast) & (fast > 0)
    ax.fill_between(
        grid[keep], fast[keep], shade[keep], color=THEORY, alpha=0.12, linewidth=0,
        label="prediction, all data sets",
    )  # fmt: skip
    ax.plot(grid, middle, color=THEORY, linewidth=1.3, label="prediction, median")
    seen = [(s, e) for s, e in zip(strengths, epochs, strict=True) if e is not None and s > 0]
    lost = [s for s, e in zip(strengths, epochs, strict=True) if e is None and s > 0]
    ax.plot(*zip(*seen, strict=True), "o", color=SIMULATION, markersize=4, label="full batch")
    ax.plot(
        lost, [1.12 * horizon] * len(lost), "^", color=SIMULATION, mfc="none", markersize=5,
        clip_on=False, label=f"none by {horizon:,}",
    )  # fmt: skip
    mark_stated(ax, y=stated_epochs, label="paper states")
    ax.set(
        xscale="log",
        yscale="log",
        xlim=(0.5 * min(s for s in strengths if s > 0), 2e-3),
        ylim=(0.7, 2 * horizon),
        xlabel="second strength of the checkpoint",
        ylabel="epochs until escape",
    )
    ax.legend(loc="lower left", fontsize=8.5)
    return ax


def draw_with_noise(
    full: Sequence[int], small: Sequence[int], *, label: str, stated_epochs: float, ax: Axes
) -> Axes:
    """Updates until escape with sampling noise against those without, and the line of equality."""
    ends = [0.8 * min(*full, *small), 1.25 * max(*full, *small)]
    ax.plot(ends, ends, color=THEORY, linewidth=1.0, label="equal")
    ax.plot(full, small, "s", color=SIMULATION, markersize=4, label=label)
    mark_stated(ax, x=stated_epochs, label="paper states")
    ax.set(
        xscale="log",
        yscale="log",
        xlim=ends,
        ylim=ends,
        xlabel="updates, full batch",
        ylabel=f"updates, {label}",
    )
    ax.legend(loc="upper left", fontsize=8.5)
    return ax
