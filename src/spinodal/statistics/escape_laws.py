"""Laws of the escape time fitted to individual times, the censored included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from spinodal.errors import InputError
from spinodal.statistics.proportion import check_confidence
from spinodal.statistics.regression import checked_columns, limit_of, log_total, profile
from spinodal.statistics.survival import rate_interval


@dataclass(frozen=True, kw_only=True)
class EscapeLaw:
    """Mean escape time ln tau = intercept + slope * x + offset, with x such as 1 / temperature.

    `low` and `high` limit the slope (profile likelihood). None means without limit: when nothing
    escaped but at one end of x, the likelihood rises for ever, `slope` and `intercept` do not
    exist and the other limit is one-sided. A law without a fitted slope has slope, low and high
    0. Laws fitted to the same times compare by `aic`, smaller being better; a difference below
    about 4 decides nothing.
    """

    name: str
    slope: float | None
    low: float | None
    high: float | None
    intercept: float | None
    confidence: float
    log_likelihood: float
    parameters: int
    events: int
    replicas: int

    @property
    def aic(self) -> float:
        """Akaike's criterion, 2 * parameters - 2 * log_likelihood."""
        return 2 * self.parameters - 2 * self.log_likelihood

    def mean_time(self, x: ArrayLike, offset: ArrayLike = 0.0) -> NDArray[np.float64]:
        """tau at `x`, elementwise, in the unit of the fitted times."""
        if self.slope is None or self.intercept is None:
            raise InputError(
                "This law has no finite slope: nothing escaped but at one end of x; watch longer."
            )
        return np.exp(self.intercept + self.slope * np.asarray(x) + np.asarray(offset))

    def __str__(self) -> str:
        """What a paper would print."""
        slope = "unbounded" if self.slope is None else f"{self.slope:.4g}"
        low = "unbounded" if self.low is None else f"{self.low:.4g}"
        high = "unbounded" if self.high is None else f"{self.high:.4g}"
        return (
            f"{self.name}: slope {slope} [{low}, {high}] at {self.confidence:.0%} "
            f"from {self.events} of {self.replicas}, AIC {self.aic:.1f}"
        )


def arrhenius_fit(
    times: ArrayLike,
    status: ArrayLike,
    inverse_temperature: ArrayLike,
    *,
    offset: ArrayLike = 0.0,
    confidence: float = 0.95,
    name: str = "arrhenius",
) -> EscapeLaw:
    """Exponential regression ln tau = intercept + slope * inverse_temperature + offset.

    Maximum likelihood over individual replicas: an escape at t contributes -ln tau - t / tau, every
    other status -t / tau, but for replicas that diverged: they are left out. `offset` holds known
    terms, one per replica: ln(1 / rate) when times are steps, (N_z / 2) ln T for N_z hidden
    rotations. The intercept is eliminated in closed form, exp(intercept) = sum t exp(-slope x -
    offset) / events, and what remains is concave in the slope, so the fit and its
    profile-likelihood interval are exact root findings.

    Replicas are taken as independent: where they are nested in data sets, pass the slope as
    statistic to `bootstrap.cluster_interval`.
    """
    check_confidence(confidence)
    t, escaped, x, known = checked_columns(times, status, inverse_temperature, offset)
    at_risk = x[t > 0]
    if at_risk.size == 0 or at_risk.min() == at_risk.max():
        raise InputError(
            "A slope needs replicas at two inverse temperatures or more, all were watched at one; "
            "add another temperature."
        )
    if x[escaped].min() < at_risk.min() or x[escaped].max() > at_risk.max():
        raise InputError(
            "At one inverse temperature every replica escaped at time 0, which no finite rate "
            "explains; check more often there or leave that temperature out."
        )
    # Scaled to [0, 1], so that the search does not depend on the unit of temperature.
    first, span = float(at_risk.min()), float(np.ptp(at_risk))
    z = (x - first) / span
    deficit, score, best, peak = profile(t, escaped, z, known)
    if best is None:
        # One side is open; the closed one is a one-sided limit.
        level = special.ndtri(confidence) ** 2 / (2 * escaped.sum())
        upwards = bool(score > 0)
        limit = limit_of(deficit, level, start=0.0, direction=-1.0 if upwards else 1.0) / span
        low, high = (limit, None) if upwards else (None, limit)
        slope = intercept = None
    else:
        level = special.ndtri((1 + confidence) / 2) ** 2 / (2 * escaped.sum())
        low = limit_of(deficit, level, start=best, direction=-1.0) / span
        high = limit_of(deficit, level, start=best, direction=1.0) / span
        slope = best / span
        intercept = log_total(t, -best * z - known) - np.log(escaped.sum()) - slope * first
    return EscapeLaw(
        name=name,
        slope=slope,
        low=low,
        high=high,
        intercept=None if intercept is None else float(intercept),
        confidence=confidence,
        log_likelihood=float(peak),
        parameters=2,
        events=int(escaped.sum()),
        replicas=t.size,
    )


def constant_law(
    times: ArrayLike,
    status: ArrayLike,
    *,
    offset: ArrayLike = 0.0,
    confidence: float = 0.95,
    name: str = "constant",
) -> EscapeLaw:
    """ln tau = intercept + offset: no dependence on anything but the known `offset`."""
    check_confidence(confidence)
    t, escaped, _, known = checked_columns(times, status, 0.0, offset)
    intercept = log_total(t, -known) - np.log(escaped.sum())
    return EscapeLaw(
        name=name,
        slope=0.0,
        low=0.0,
        high=0.0,
        intercept=float(intercept),
        confidence=confidence,
        log_likelihood=float(-escaped.sum() * (intercept + 1) - known[escaped].sum()),
        parameters=1,
        events=int(escaped.sum()),
        replicas=t.size,
    )


def drift_law(
    steps: ArrayLike, status: ArrayLike, learning_rates: ArrayLike, *, confidence: float = 0.95
) -> EscapeLaw:
    """The null law of noise-free drift, tau = c / learning_rate in steps, ln c the intercept.

    Motion along the gradient takes a fixed time `learning_rate * steps`. Compare its `aic` with
    that of `arrhenius_fit` on the same steps.
    """
    rates = _positive(learning_rates)
    return constant_law(steps, status, offset=-np.log(rates), confidence=confidence, name="drift")


def drift_constant(
    steps: ArrayLike, status: ArrayLike, learning_rates: ArrayLike, *, confidence: float = 0.95
) -> tuple[float, float, float]:
    """The time c of the law tau = c / learning_rate and its limits, in units of rate * steps."""
    t, escaped, rates, _ = checked_columns(steps, status, _positive(learning_rates), 0.0)
    low, high = rate_interval(escaped.sum(), (t * rates).sum(), confidence=confidence)
    return float((t * rates).sum() / escaped.sum()), float(1 / high), float(1 / low)


def drift_r_squared(learning_rates: ArrayLike) -> float:
    """R^2 of an Arrhenius line, ln tau against 1 / rate, through the pure drift tau = c / rate.

    What R^2 a sweep over these rates gives when nothing is activated: a reported R^2 is evidence
    only by as much as it exceeds this one.
    """
    return float(_drift_line(learning_rates).rvalue) ** 2


def drift_slope(learning_rates: ArrayLike) -> float:
    """Apparent Arrhenius slope, per unit of 1 / rate, that pure drift has on these rates."""
    return float(_drift_line(learning_rates).slope)


def steepest_slope(
    learning_rates: ArrayLike, *, longest_time: float, shortest_time: float
) -> float:
    """Largest slope of ln tau against 1 / rate that a sweep watched so long can show.

    ln(longest / shortest) / (largest - smallest inverse rate), when every rate was seen to
    escape. Times the inverse of a rate it is the largest barrier in units of the temperature there.
    """
    if not 0 < shortest_time < longest_time:
        raise InputError(
            f"Times must satisfy 0 < shortest < longest, got {shortest_time:g} and "
            f"{longest_time:g}."
        )
    inverse = 1 / _three(learning_rates)
    return float(np.log(longest_time / shortest_time) / np.ptp(inverse))


def _drift_line(learning_rates: ArrayLike):
    """Regression of ln(1 / rate) on 1 / rate."""
    inverse = 1 / _three(learning_rates)
    return stats.linregress(inverse, np.log(inverse))


def _three(learning_rates: ArrayLike) -> NDArray[np.float64]:
    """At least three different positive learning rates."""
    rates = _positive(learning_rates)
    if np.unique(rates).size < 3:
        raise InputError(
            f"A line says something from three different learning rates on, got "
            f"{np.unique(rates).size}; give more."
        )
    return rates


def _positive(learning_rates: ArrayLike) -> NDArray[np.float64]:
    rates = np.asarray(learning_rates, dtype=float)
    if not (np.all(rates > 0) and np.all(np.isfinite(rates))):
        raise InputError("Learning rates must be positive finite numbers.")
    return rates
