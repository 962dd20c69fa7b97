"""Limits of an exponential rate from events and exposure, elementwise."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from spinodal.errors import InputError
from spinodal.statistics.proportion import check_confidence

EXACT_BELOW = 5
"""Fewer events than this get the exact interval instead of the likelihood-ratio one."""

Method = Literal["automatic", "likelihood_ratio", "exact", "fixed_events"]


def rate_interval(
    events: ArrayLike,
    exposure: ArrayLike,
    *,
    confidence: float = 0.95,
    method: Method = "automatic",
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper limits of an exponential rate, elementwise, per unit of exposure.

    'likelihood_ratio': all rates k with 2 (d ln(d / kE) - d + kE) <= chi2_1(confidence), for d
    events in exposure E. 'exact': inverts the Poisson law of d (Garwood), which never promises
    too much but is wide. 'fixed_events': watching stopped at the d-th event, where 2kE follows
    chi2(2d) exactly. 'automatic': 'likelihood_ratio' from EXACT_BELOW events on, 'exact' below.

    Without events every method gives low = 0 and the one-sided high = -ln(1 - confidence) / E.
    """
    check_confidence(confidence)
    both = (1 + confidence) / 2
    low = rate_bound(events, exposure, side="lower", confidence=both, method=method)
    high = rate_bound(events, exposure, side="upper", confidence=both, method=method)
    d, total = _counts(events, exposure)
    return low, np.where(d == 0, -np.log1p(-confidence) / total, high)


def rate_bound(
    events: ArrayLike,
    exposure: ArrayLike,
    *,
    side: Literal["lower", "upper"],
    confidence: float = 0.95,
    method: Method = "automatic",
) -> NDArray[np.float64]:
    """One-sided limit of an exponential rate, elementwise, by the methods of `rate_interval`.

    All of 1 - confidence lies on one side, so the bound is nearer than the limit of an interval.
    Without events the lower bound is 0, the upper one -ln(1 - confidence) / exposure.
    """
    check_confidence(confidence)
    d, total = _counts(events, exposure)
    if method not in get_args(Method):
        raise InputError(f"Unknown method {method!r}; allowed are {list(get_args(Method))}.")
    if side not in ("lower", "upper"):
        raise InputError(f"A bound is 'lower' or 'upper', got {side!r}.")
    some = np.maximum(d, 1)
    if side == "lower":
        # The rate at which so many events or more have probability 1 - confidence.
        bound = special.gammaincinv(some, 1 - confidence)
    else:
        shape = some if method == "fixed_events" else d + 1
        bound = special.gammaincinv(shape, confidence)
    if method in ("automatic", "likelihood_ratio"):
        z = special.ndtri(confidence)
        branch = 0 if (side == "lower") == (z >= 0) else -1
        limit = some * _ratio_limit(z**2 / (2 * some), branch)
        bound = np.where((d >= EXACT_BELOW) | (method == "likelihood_ratio"), limit, bound)
    none = 0.0 if side == "lower" else -np.log1p(-confidence)
    return np.where(d == 0, none, bound) / total


def median_unbiased_rate(
    events: ArrayLike, exposure: ArrayLike, *, fixed_events: bool = False
) -> NDArray[np.float64]:
    """The rate that is as often too large as too small, elementwise; so is its inverse, the mean.

    events / exposure is right on average, but of few events its inverse is not: with 50 replicas of
    which a tenth escapes, exposure / events exceeds the mean escape time by a quarter on average.
    Here P(fewer events) + P(as many) / 2 = 1/2 under the Poisson law of the count, about
    (events + 1/6) / exposure; with `fixed_events`, where watching stopped at an event, half of
    chi2(2 events) lies below 2 * rate * exposure. Without events it is 0.

    Counts are whole numbers, so that the halves are equal to within the probability of one count.
    """
    d, total = _counts(events, exposure)
    some = np.maximum(d, 1)
    rate = special.gammaincinv(some, 0.5)
    if not fixed_events:
        # Newton on (P(d, m) + P(d + 1, m)) / 2 = 1/2, P the regularised incomplete gamma function,
        # in ln m; the term between the two is the Poisson probability of d.
        rate = some + 1 / 6
        for _ in range(8):
            exact = np.exp(special.xlogy(some, rate) - rate - special.gammaln(some + 1))
            excess = special.gammainc(some + 1, rate) + exact / 2 - 0.5
            rate = rate * np.exp(-excess / (exact * (some + rate) / 2))
    return np.where(d == 0, 0.0, rate) / total


def _counts(
    events: ArrayLike, exposure: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Events and exposure of one shape, or the reason why they give no rate."""
    d, total = np.broadcast_arrays(np.asarray(events, float), np.asarray(exposure, float))
    if not np.all(total > 0) or not np.all(d >= 0):
        raise InputError(
            "A rate needs a positive exposure and a count of events that is not negative; "
            "give replicas that were watched for some time."
        )
    return d, total


def _ratio_limit(fall: NDArray[np.float64], branch: int) -> NDArray[np.float64]:
    """The x below (branch 0) or above (-1) one at which x - 1 - ln x = fall, elementwise."""
    # x = -W(-exp(-1 - fall)), but where W's branches meet, at x = 1, scipy's loses its digits
    # (and from 1e9 events on the upper branch altogether): there a series starts Newton's method.
    near, side = fall < 1e-2, np.where(branch == 0, -1.0, 1.0) * np.sqrt(2 * fall)
    x = np.where(near, 1 + side + side**2 / 3, -special.lambertw(-np.exp(-1 - fall), branch).real)
    for _ in range(3):
        slope = np.where(x == 1, 1.0, (x - 1) / x)  # at x = 1, where fall = 0, Newton has arrived
        x = np.where(near, x - (x - 1 - np.log1p(x - 1) - fall) / slope, x)
    return x
