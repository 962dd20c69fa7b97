"""Is escape memoryless in every setting? One calibrated test over settings that differ in rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinodal.statistics.designs import Design
from spinodal.statistics.waiting_times import fitted_statistic, null_statistics

LARGEST = 20_000
"""More replicas than this are not needed for the test: a random part is taken."""


@dataclass(frozen=True, kw_only=True)
class PooledMemorylessness:
    """The sum of Anderson-Darling statistics over cells, its probability, and the events tested.

    `cells` counts settings (in each data set) with an event before their cut-off. `statistic` and
    `p_value` are None below five events; `least` is the smallest probability that the simulations
    can give, so there `p_value` is a bound.
    """

    statistic: float | None
    p_value: float | None
    events: int
    cells: int
    least: float = 0.0


def memoryless_in_settings(
    design: Design, *, generator: np.random.Generator, resamples: int = 999
) -> PooledMemorylessness:
    """Anderson-Darling test of exponential waiting, with a rate for each setting in each data set.

    Times count from entry, as a memoryless escape allows. A cell's cut-off is its earliest time
    that was not an escape; events up to then, given their number, follow the truncated exponential
    law of the cell's rate events / exposure. The sum of the cells' statistics is compared with that
    of `resamples` simulations, each with its own fitted rates, so the p-value is calibrated for
    any number of events per cell. An escape at time 0 was one before the first look: it is placed
    at random before the cell's earliest later time. Expects rows of weight one (not
    `Design.compressed`).
    """
    waited = design.time - design.entry
    cell = design.dataset * design.count + design.setting
    order = np.argsort(cell, kind="stable")
    _, starts = np.unique(cell[order], return_index=True)
    observed, simulated, events, cells = 0.0, np.zeros(resamples), 0, 0
    for rows in np.split(order, starts[1:]):
        times, escaped = _after_zero(generator, waited[rows]), design.escaped[rows]
        horizon = float(times[~escaped].min(initial=np.inf))
        seen = times[escaped & (times <= horizon)]
        replicas = rows.size
        if not seen.sum() > 0 or horizon == 0:
            continue
        observed += float(fitted_statistic(seen, replicas, horizon))
        simulated += null_statistics(generator, seen, replicas, horizon, resamples)
        events += seen.size
        cells += 1
    if events < 5:
        return PooledMemorylessness(statistic=None, p_value=None, events=events, cells=cells)
    p_value = float((1 + (simulated >= observed).sum()) / (resamples + 1))
    return PooledMemorylessness(
        statistic=observed,
        p_value=p_value,
        events=events,
        cells=cells,
        least=1 / (resamples + 1),
    )


def _after_zero(generator: np.random.Generator, times: NDArray[np.float64]) -> NDArray[np.float64]:
    zero = times == 0
    if not zero.any() or zero.all():
        return times
    return np.where(zero, times[~zero].min() * generator.random(times.size), times)
