"""Sweeps of the weight decay: errors, ranks and strengths, up and down, beside predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from spinodal.plots.style import (
    CONTROL,
    MARKERS,
    PALETTE,
    PAPER,
    SIMULATION,
    STATED,
    THEORY,
    mark_stated,
)

Numbers = Sequence[float]


def draw_sweep(
    weight_decays: Numbers,
    up: Numbers,
    down: Numbers,
    *,
    others: Sequence[Numbers] = (),
    theory: tuple[Numbers, Numbers] | None,
    stated: Numbers,
    label: str,
    ax: Axes,
) -> Axes:
    """One observable against weight decay: filled up, open down; `others` are further data sets."""
    for number, other in enumerate(others):
        ax.plot(
            weight_decays, other, color=CONTROL, linewidth=0.7, alpha=0.55, zorder=1,
            label=None if number else "up, other data sets",
        )  # fmt: skip
    if theory is not None:
        ax.plot(*theory, color=THEORY, linewidth=1.3, label="theory, up")
    ax.plot(weight_decays, down, "o", mfc=PAPER, mec=SIMULATION, markersize=4, label="down")
    ax.plot(weight_decays, up, "o", color=SIMULATION, markersize=4, label="up")
    for position, place in enumerate(stated):
        mark_stated(ax, x=place, label=None if position else "paper states")
    ax.set(xlabel="weight decay", ylabel=label, xlim=(0, weight_decays[-1]))
    return ax


def draw_strengths(
    weight_decays: Numbers,
    up: Sequence[Numbers],
    noiseless: Sequence[Numbers],
    turned: Sequence[Numbers] | None,
    turned_from: float | None,
    theory: tuple[Numbers, Sequence[Numbers]] | None,
    *,
    names: Sequence[str],
    stated: Numbers,
    ax: Axes,
) -> Axes:
    """Strength of every feature on the way up, and on the way down from where one was lost."""
    decays = np.asarray(weight_decays)
    for number, values in enumerate(up):
        colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
        ax.plot(decays, values, marker, color=colour, markersize=4, label=f"{names[number]}, up")
        ax.plot(decays, noiseless[number], "x", color=CONTROL, markersize=3.5, zorder=1)
        if turned is not None and turned_from is not None:
            there = decays <= turned_from + 1e-9
            ax.plot(
                decays[there], np.asarray(turned[number])[there], marker, mfc=PAPER, mec=colour,
                markersize=4, clip_on=False, label=f"{names[number]}, turned back",
            )  # fmt: skip
    ax.plot([], [], "x", color=CONTROL, markersize=4, label="full batch, up")
    if theory is not None:
        for number, values in enumerate(theory[1]):
            ax.plot(
                theory[0], values, color=THEORY, linewidth=1.0, zorder=1.5,
                label=None if number else "theory, up",
            )  # fmt: skip
    for position, place in enumerate(stated):
        mark_stated(ax, x=place, label=None if position else "paper states")
    ax.set(xlabel="weight decay", ylabel="strength", xlim=(0, decays[-1]), ylim=(-0.03, None))
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 0.06), fontsize=8.5)
    return ax


def draw_transitions(
    predicted: Sequence[Numbers],
    measured: Sequence[Numbers],
    *,
    names: Sequence[str],
    conditioned: Sequence[tuple[float, float]],
    step: float,
    stated: Numbers,
    ax: Axes,
) -> Axes:
    """Measured against predicted transition, one mark per data set and feature."""
    everything = [*np.concatenate([*predicted, *measured]), *stated]
    low, high = min(everything) - step, max(everything) + step
    ax.plot([low, high], [low, high], color=THEORY, linewidth=1.2, label="measured = predicted")
    ax.fill_between(
        [low, high], [low - step / 2, high - step / 2], [low + step / 2, high + step / 2],
        color=CONTROL, alpha=0.2, linewidth=0, label="half a step of the sweep",
    )  # fmt: skip
    for number, (x, y) in enumerate(zip(predicted, measured, strict=True)):
        ax.plot(
            x, y, MARKERS[number % len(MARKERS)], color=PALETTE[number % len(PALETTE)],
            markersize=5, label=names[number],
        )  # fmt: skip
    if conditioned:
        x, y = np.array(conditioned).T
        ax.plot(x, y, "o", mfc="none", mec=THEORY, mew=1.2, markersize=11, label="conditioned")
    for position, place in enumerate(stated):
        mark_stated(ax, y=place, label=None if position else "paper states")
    ax.set(
        xlabel="predicted transition (weight decay)",
        ylabel="measured transition",
        xlim=(low, high),
        ylim=(low, high),
    )
    ax.legend(loc="lower right", fontsize=8.5)
    return ax


def draw_spread(
    weaker: Numbers,
    stronger: Numbers,
    *,
    population: tuple[float, float],
    stated: tuple[float, float] | None,
    ax: Axes,
) -> Axes:
    """Predicted transitions of many samples: weaker feature across, stronger one up."""
    ax.plot(weaker, stronger, ".", color=CONTROL, markersize=4, alpha=0.7, label="one sample each")
    ax.plot(*population, "D", color=THEORY, markersize=7, label="population")
    if stated is not None:
        ax.plot(*stated, "*", color=STATED, markersize=14, label="paper states")
    ax.set(
        xlabel="transition of the weaker feature (weight decay)",
        ylabel="transition of the stronger feature",
    )
    ax.set_ylim(None, ax.get_ylim()[1] + 0.25 * np.ptp(ax.get_ylim()))
    ax.legend(loc="upper left", fontsize=8.5)
    return ax
