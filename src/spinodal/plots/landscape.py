"""Loss along the path of one feature, and descents beside its saddle."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from spinodal.plots.style import CONTROL, MARKERS, PALETTE, SIMULATION, THEORY, mark_stated

Numbers = Sequence[float]


def draw_landscape(
    weight_decays: Numbers,
    strengths: Sequence[Numbers],
    losses: Sequence[Numbers],
    stationary: Sequence[Sequence[tuple[float, float]]],
    simulated: Sequence[Sequence[tuple[float, float]]],
    *,
    stated_saddle: float,
    stated_barrier: float,
    ax: Axes,
) -> Axes:
    """Loss above the trivial point against strength, one curve for each weight decay.

    `stationary` holds (strength, loss) of saddle and learned point, `simulated` those found by
    training, curve by curve.
    """
    lows: list[float] = []
    for number, (decay, x, y) in enumerate(zip(weight_decays, strengths, losses, strict=True)):
        colour = PALETTE[(0, 2, 3, 4, 5)[number % 5]]
        ax.plot(x, y, color=colour, label=f"weight decay {decay:g}")
        for place, height in stationary[number]:
            ax.plot(place, height, MARKERS[number % len(MARKERS)], color=colour, markersize=5.5)
        for place, height in simulated[number]:
            ax.plot(place, height, "o", mfc="none", mec=THEORY, mew=1.0, markersize=11)
        lows.append(min(y))
    ax.plot([], [], "o", mfc="none", mec=THEORY, mew=1.0, markersize=9, label="found by training")
    mark_stated(ax, x=stated_saddle, y=stated_barrier, label="paper states")
    tops = [height for points in stationary for _, height in points] or [0.01]
    span = max(*tops, 1e-6) - min(0.0, *lows)
    ax.set(
        xlabel="strength of the feature",
        ylabel="loss above the trivial point",
        xlim=(0, max(max(x) for x in strengths)),
        ylim=(min(0.0, *lows) - 0.08 * span, max(tops) + 0.55 * span),
    )
    ax.legend(loc="upper left", ncols=2, fontsize=8.5, columnspacing=1.0)
    return ax


def draw_descents(
    times: Sequence[Numbers],
    strengths: Sequence[Numbers],
    *,
    saddle: float,
    learned: float,
    stated_saddle: float,
    ax: Axes,
) -> Axes:
    """Strength against time for noise-free training from many starts: which side they take."""
    for x, y in zip(times, strengths, strict=True):
        kept = y[-1] > 0.5 * learned
        colour = SIMULATION if kept else CONTROL
        ax.plot(x, y, color=colour, linewidth=1.2)
        ax.plot(x[0], y[0], "o", color=colour, markersize=4, clip_on=False)
    ax.plot([], [], color=SIMULATION, label="keeps the feature")
    ax.plot([], [], color=CONTROL, label="loses the feature")
    ax.axhline(saddle, color=THEORY, linewidth=1.0, linestyle=":", label="saddle, theory")
    mark_stated(ax, y=stated_saddle, label="saddle, as stated")
    ax.set(
        xlabel="time (learning rate times steps)",
        ylabel="strength of the feature",
        xlim=(0, None),
        ylim=(0, None),
    )
    ax.set_ylim(0, ax.get_ylim()[1] * 1.25)
    ax.legend(loc="upper right", ncols=2, fontsize=8.5)
    return ax
