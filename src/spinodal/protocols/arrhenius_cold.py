"""Temperatures too cold for waiting: rates by splitting, and the slope they give."""

from __future__ import annotations

import math

import numpy as np

from spinodal.dynamics.ensemble import Ensemble
from spinodal.protocols.arrhenius_records import ArrheniusSettings, ColdPoint
from spinodal.rare.estimates import SplittingRate
from spinodal.rare.training import training_rate
from spinodal.statistics.lines import line_through
from spinodal.theory.free_energy import free_energy_barriers


def split(ensemble: Ensemble, settings: ArrheniusSettings, seed: int) -> SplittingRate:
    """The rate at one temperature; a function of its arguments alone."""
    return training_rate(
        ensemble, seed=seed, repetitions=settings.repetitions, copies=settings.copies
    )


def cold_point(
    settings: ArrheniusSettings,
    width: int,
    temperature: float,
    found: SplittingRate,
    *,
    rotations: int,
    critical: float | None,
    predicted: float,
) -> ColdPoint:
    """One temperature as plain numbers."""
    if rotations:
        out, _ = free_energy_barriers(
            depth=settings.depth, temperature=temperature, rotations=rotations, **settings.mode
        )
        free = float(out) / temperature
    else:
        free = settings.barrier / temperature
    known = found.rate > 0 and math.isfinite(found.high)
    return ColdPoint(
        width=width,
        temperature=temperature,
        over_spinodal=None if critical is None else temperature / critical,
        barrier_over_t=settings.barrier / temperature,
        free_barrier_over_t=free,
        mean=found.mean_time if found.rate > 0 else None,
        mean_low=1 / found.high if math.isfinite(found.high) else 0.0,
        mean_high=1 / found.low if found.low > 0 else None,
        predicted=predicted,
        ratio=found.mean_time / predicted if found.rate > 0 else None,
        relative_error=found.relative_error if known else None,
        updates=float(found.steps),
        gain=found.gain if known else None,
        warning=found.warning,
    )


def coldest_slope(
    settings: ArrheniusSettings, cold: tuple[ColdPoint, ...], rotations: int
) -> tuple[float | None, float | None, float | None]:
    """d ln tau / d(1/T) of the line through the cold points, its standard error, and the theory's.

    Theory: energy barrier - N_z T / 2 at the weighted mean of 1/T.
    """
    used = [p for p in cold if p.mean is not None and p.relative_error]
    if len(used) < 2:
        return None, None, None
    line = line_through(
        [1 / p.temperature for p in used],
        np.log([p.mean or 1.0 for p in used]),
        [p.relative_error or 1.0 for p in used],
    )
    return line.slope, line.standard_error, settings.barrier - rotations / line.centre / 2
