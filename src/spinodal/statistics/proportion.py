"""A fraction of trials and its exact interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from spinodal.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Proportion:
    """A fraction with its exact (Clopper-Pearson) interval.

    `fraction` is None where there was nothing to count. With none or all counted, one limit is
    the bound 0 or 1 itself and the other one is one-sided.
    """

    fraction: float | None
    low: float
    high: float
    confidence: float
    events: int
    trials: int

    def __str__(self) -> str:
        """What a paper would print."""
        if not self.trials:
            return "unknown (0 of 0)"
        return (
            f"{self.fraction:.3g} [{self.low:.3g}, {self.high:.3g}] at {self.confidence:.0%} "
            f"({self.events} of {self.trials})"
        )


def check_confidence(confidence: float) -> None:
    """Refuse anything that is not strictly between 0 and 1."""
    if not 0 < confidence < 1:
        raise InputError(
            f"Confidence must lie strictly between 0 and 1, got {confidence:g}; 0.95 is usual."
        )


def escape_probability(
    events: int,
    trials: int,
    *,
    confidence: float = 0.95,
    sides: Literal["automatic", "two", "upper", "lower"] = "automatic",
) -> Proportion:
    """Fraction of `trials` that escaped with its exact Clopper-Pearson interval.

    'upper' and 'lower' bound on that side only. 'automatic' is two-sided, but one-sided when
    none or all escaped: with none of n the bound is 1 - (1 - confidence)**(1/n), about 3/n at
    95 %. It is the probability of escape within the watching time, so all trials must have been
    watched equally long; otherwise use `kaplan_meier`.
    """
    check_confidence(confidence)
    if not 0 <= events <= trials:
        raise InputError(f"Of {trials} trials between 0 and {trials} can escape, got {events}.")
    if trials == 0:
        return Proportion(
            fraction=None, low=0.0, high=1.0, confidence=confidence, events=0, trials=0
        )
    if sides == "automatic":
        sides = "upper" if events == 0 else "lower" if events == trials else "two"
    # binomtest names the alternative, and its interval lies on that side of the bound.
    names: dict[str, Literal["two-sided", "less", "greater"]] = {
        "two": "two-sided",
        "upper": "less",
        "lower": "greater",
    }
    from scipy import stats  # takes a second to load

    test = stats.binomtest(events, trials, alternative=names[sides])
    interval = test.proportion_ci(confidence_level=confidence, method="exact")
    return Proportion(
        fraction=events / trials,
        low=float(interval.low),
        high=float(interval.high),
        confidence=confidence,
        events=events,
        trials=trials,
    )
