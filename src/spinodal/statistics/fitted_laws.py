"""A law fitted to escape times, and all laws fitted to the same times: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinodal.statistics.law_terms import Axis


@dataclass(frozen=True)
class Interval:
    """A parameter and its limits; None where it does not exist or is not limited."""

    estimate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class FittedLaw:
    """A law with its parameters: `log_prefactor`, and `barrier`, `exponent` or `lag`.

    With several weight decays each has parameters of its own, `barrier[weight_decay=0.1]`.
    `log_mean` is ln of the mean time in every setting, None where the law has no estimate. `size`
    counts parameters, a common Weibull `shape` included (None: exponential). `misfit` is the
    probability of a worse agreement with the settings' own rates (deviance), None where that cannot
    be judged, and `scatter` the disagreement beyond chance, a standard deviation of ln(rate).
    `design_effect` says by how much variances grow because replicas share data sets, 1 at least.
    `contains` names laws that are this one with a parameter fixed.
    """

    name: str
    formula: str
    parameters: Mapping[str, Interval]
    log_likelihood: float
    size: int
    events: int
    shape: float | None = None
    log_mean: tuple[float | None, ...] = ()
    misfit: float | None = None
    scatter: float = 0.0
    design_effect: float = 1.0
    contains: tuple[str, ...] = ()

    @property
    def aicc(self) -> float | None:
        """2 size - 2 log_likelihood + 2 size (size + 1) / (events - size - 1).

        Corrected for few events; None below `size` + 2 of them.
        """
        spare = self.events - self.size - 1
        if spare < 1:
            return None
        correction = 2 * self.size * (self.size + 1) / spare
        return 2 * self.size - 2 * self.log_likelihood + correction

    @property
    def complete(self) -> bool:
        """Does every parameter have an estimate?"""
        return all(value.estimate is not None for value in self.parameters.values())


@dataclass(frozen=True, kw_only=True, eq=False)
class LawFits:
    """Laws fitted to the same times. `used` says which settings these came from, `notes` why not.

    `interval_method` names how limits were found, `missing` in a sentence why laws with a slope, or
    all laws, are missing ('': none is). Open-ended for `law_choice.choose`.
    """

    laws: tuple[FittedLaw, ...]
    axis: Axis | None
    used: NDArray[np.bool_]
    interval_method: str
    notes: tuple[str, ...]
    missing: str = ""

    def __getitem__(self, name: str) -> FittedLaw:
        """The law of this name."""
        for law in self.laws:
            if law.name == name:
                return law
        raise KeyError(name)
