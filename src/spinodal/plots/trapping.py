"""Trapping: error curves of several starts, survival of stages, residuals, basins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from spinodal.plots.style import (
    CONTROL,
    MARKERS,
    PALETTE,
    SIMULATION,
    THEORY,
    mark_stated,
)

Floats = Sequence[float]


def draw_error_curves(
    names: Sequence[str],
    epochs: Sequence[Floats],
    means: Sequence[Floats],
    lows: Sequence[Floats],
    highs: Sequence[Floats],
    stated: Floats,
    final: float,
    *,
    ax: Axes,
) -> Axes:
    """Mean test error against epochs with 10-90 % bands, one curve per start.

    `stated` are epochs at which the paper sees escapes; `final` the error with every feature.
    """
    for i, name in enumerate(names):
        at = np.asarray(epochs[i])
        use = at > 0
        colour = PALETTE[i]
        ax.fill_between(
            at[use], np.asarray(lows[i])[use], np.asarray(highs[i])[use],
            color=colour, alpha=0.18, linewidth=0,
        )  # fmt: skip
        ax.plot(at[use], np.asarray(means[i])[use], color=colour, label=name)
        ax.plot(at[-1], means[i][-1], color=colour, marker=MARKERS[i], linestyle="none")
    ax.axhline(final, color=THEORY, linestyle=":", linewidth=1.1, label="every feature learned")
    for i, x in enumerate(stated):
        mark_stated(ax, x=x, label="paper: escapes" if i == 0 else None)
    ax.set(xscale="log", xlim=(0.4, 25_000), xlabel="epochs", ylabel="test error")
    return ax


def draw_survival(
    names: Sequence[str],
    steps: Sequence[Floats],
    survival: Sequence[Floats],
    lows: Sequence[Floats],
    highs: Sequence[Floats],
    predicted: Sequence[float | None],
    *,
    ax: Axes,
) -> Axes:
    """Kaplan-Meier curves with 95 % limits; dashed: exponential with the predicted mean time."""
    for i, name in enumerate(names):
        at = np.asarray(steps[i], dtype=float)
        shown = np.maximum(at, 1.0)
        colour = PALETTE[i]
        ax.fill_between(
            shown, lows[i], highs[i], step="post", color=colour, alpha=0.18, linewidth=0
        )
        ax.step(shown, survival[i], where="post", color=colour, label=name)
        mean = predicted[i]
        if mean is not None:
            grid = np.geomspace(mean / 50, mean * 6, 100)
            label = "predicted" if not any(predicted[:i]) else None
            ax.plot(
                grid, np.exp(-grid / mean), color=colour, linestyle="--", linewidth=1.1,
                label=label,
            )  # fmt: skip
    ax.set(xscale="log", ylim=(-0.02, 1.02), xlabel="updates", ylabel="not yet escaped")
    return ax


def draw_residuals(
    residuals: Floats,
    with_noise: Sequence[float | None],
    noise_off: Sequence[float | None],
    theory_residuals: Floats,
    theory_epochs: Floats,
    separatrix: float,
    stated: float,
    *,
    ax: Axes,
) -> Axes:
    """Median epochs until escape against the checkpoint's residual; below the line never.

    Residuals without an escape are drawn as crosses along the top.
    """
    x = np.asarray(residuals, dtype=float)
    ceiling = 2.0 * stated
    never = np.array([t is None for t in noise_off])
    for times, colour, marker, label, size in (
        (noise_off, CONTROL, "s", "noise off", 8),
        (with_noise, SIMULATION, "o", "minibatch noise", 4.5),
    ):
        seen = np.array([t is not None for t in times])
        y = [t for t in times if t is not None]
        ax.plot(x[seen], y, marker, color=colour, markersize=size, label=label,
                fillstyle="none" if marker == "s" else "full")  # fmt: skip
    ax.plot(x[never], np.full(never.sum(), ceiling), "x", color=CONTROL, label="no escape, either")
    ax.plot(theory_residuals, theory_epochs, color=THEORY, label="theory without noise")
    ax.axvline(separatrix, color=THEORY, linestyle=":", linewidth=1.1)
    mark_stated(ax, y=stated, label="paper states")
    ax.set(
        xscale="log", yscale="log", xlabel="residual strength of the checkpoint",
        ylabel="epochs until escape",
    )  # fmt: skip
    return ax


def draw_basins(
    names: Sequence[str],
    scales: Floats,
    fractions: Sequence[Floats],
    lows: Sequence[Floats],
    highs: Sequence[Floats],
    *,
    ax: Axes,
) -> Axes:
    """Fraction of random starts that end with every feature, against the scale of the start."""
    x = np.asarray(scales)
    for i, name in enumerate(names):
        y = np.asarray(fractions[i])
        spread = np.array([y - np.asarray(lows[i]), np.asarray(highs[i]) - y])
        ax.errorbar(
            x, y, yerr=np.maximum(spread, 0), color=PALETTE[i], marker=MARKERS[i], capsize=2,
            label=name,
        )  # fmt: skip
    ax.axvline(1.0, color=CONTROL, linestyle=":", linewidth=1.1, label="paper's scale")
    ax.set(
        xlabel="scale of the random start", ylabel="fraction reaching rank 2", ylim=(-0.03, 1.03)
    )
    return ax
