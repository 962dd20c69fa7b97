"""The charity search at a glance: what each setting gives, against what is stated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from spinodal.plots.style import CONTROL, MARKERS, PALETTE, STATED


def draw_search(
    settings: Sequence[str],
    stated_names: Sequence[str],
    stated: Sequence[float],
    times: Sequence[Sequence[float | None]],
    met: Sequence[Sequence[bool]],
    factor: float,
    *,
    ax: Axes,
) -> Axes:
    """Measured over stated time, one band per setting; in the shaded strip it is met.

    Filled marks meet the stated time, open ones do not; crosses on the right: never escaped.
    """
    edge = 60.0
    rows = np.arange(len(settings))[::-1]
    offset = np.linspace(0.3, -0.3, len(stated))
    ax.axvspan(1 / factor, factor, color=STATED, alpha=0.16, linewidth=0)
    for j, name in enumerate(stated_names):
        label = name
        for row, values, good in zip(rows, times, met, strict=True):
            value, y = values[j], row + offset[j]
            if value is None:
                ax.plot(edge, y, "x", color=PALETTE[j], markersize=3.5)
                continue
            x = min(max(value / stated[j], 3e-4), edge / 2)
            fill = PALETTE[j] if good[j] else "none"
            ax.plot(x, y, MARKERS[j], color=PALETTE[j], markerfacecolor=fill, label=label)
            label = "_"
    for row in rows[:-1]:
        ax.axhline(row - 0.5, color=CONTROL, linewidth=0.4)
    ax.grid(False, axis="y")
    ax.set_yticks(rows, settings)
    ax.set(xscale="log", xlim=(2e-4, 120), ylim=(-0.5, len(settings) - 0.5))
    ax.set_xlabel("measured / stated time")
    return ax
