"""Does an estimator's likelihood belong to its data? Simulation-based calibration.

Draw a parameter from its prior, data from the parameter, then draws from the posterior that the
estimator's likelihood gives. The rank of the parameter among these draws is uniform on 0 ... draws
exactly if prior, simulator and likelihood belong together (Talts et al. 2018, arXiv 1804.06788);
censoring that is ignored or misread shows within some hundred simulations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from spinodal.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Uniformity:
    """Two tests that ranks are uniform: counts in bins, and the whole distribution function.

    `chi2_p`: Pearson's test. `envelope_p`: the largest distance of the empirical distribution
    function from its expectation, in standard deviations, against simulated uniform ranks; it is
    the test that a simultaneous envelope around the function makes.
    """

    chi2_p: float
    envelope_p: float
    simulations: int
    draws: int


def uniformity(
    ranks: ArrayLike, *, draws: int, generator: np.random.Generator, bins: int = 20
) -> Uniformity:
    """Are `ranks`, numbers from 0 to `draws`, uniform? `bins` must divide draws + 1."""
    found = np.asarray(ranks)
    if found.size == 0 or found.min() < 0 or found.max() > draws or (draws + 1) % bins:
        raise InputError(
            f"Ranks lie between 0 and {draws}, and the number of bins divides {draws + 1}; got "
            f"{found.size} ranks and {bins} bins."
        )
    counts = np.bincount(found, minlength=draws + 1)
    inside = counts.reshape(bins, -1).sum(axis=1)
    expected = found.size / bins
    chi2 = float(((inside - expected) ** 2).sum() / expected)
    simulated = _distance(
        generator.multinomial(found.size, np.full(draws + 1, 1 / (draws + 1)), size=1999)
    )
    beaten = int((simulated >= _distance(counts[None])[0] - 1e-12).sum())
    return Uniformity(
        chi2_p=float(special.gammaincc((bins - 1) / 2, chi2 / 2)),
        envelope_p=(1 + beaten) / 2000,
        simulations=found.size,
        draws=draws,
    )


def _distance(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Largest standardised deviation of the empirical distribution function, for each row."""
    n = counts[0].sum()
    expected = np.arange(1, counts.shape[1]) / counts.shape[1]
    deviation = np.cumsum(counts, axis=1)[:, :-1] / n - expected
    return np.abs(deviation / np.sqrt(expected * (1 - expected) / n)).max(axis=1)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """p-values of several tests made at once, adjusted by Holm's method, in their own order."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    factors = p.size - np.arange(p.size)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted
