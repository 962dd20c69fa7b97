"""What a sweep of the weight decay leaves behind: plain values, data set by data set and summed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean over data sets, with its standard error and 95 % interval (Student), and the spread.

    None where fewer than two data sets had the number.
    """

    mean: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    deviation: float | None
    count: int

    @staticmethod
    def of(values: Sequence[float | None]) -> Mean:
        """The mean of the numbers that exist."""
        there = np.array([value for value in values if value is not None])
        count = len(there)
        if count < 2:
            return Mean(
                mean=float(there[0]) if count else None,
                standard_error=None, low=None, high=None, deviation=None, count=count,
            )  # fmt: skip
        mean, deviation = float(there.mean()), float(there.std(ddof=1))
        error = deviation / np.sqrt(count)
        reach = float(stats.t.ppf(0.975, count - 1) * error)
        return Mean(
            mean=mean, standard_error=float(error), low=mean - reach, high=mean + reach,
            deviation=deviation, count=count,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Transition:
    """One feature of one data set.

    Transitions lie halfway between the last rung that holds the feature and the next: `measured`
    with minibatch noise, `noiseless` full batch, `short` and `short_noiseless` with rungs half as
    long; `predicted` is the quasi-static one, at which a strength of `jump_predicted` ends.
    `before` is the strength at the last rung below the predicted transition, `before_predicted`
    the theory's at the same rung, `after` the strength two rungs past the measured transition.
    `area`, `area_noiseless` and `area_predicted` are those of the hysteresis loop.
    """

    mode: int
    predicted: float
    measured: float | None
    noiseless: float | None
    short: float | None
    short_noiseless: float | None
    before: float
    before_noiseless: float
    before_predicted: float
    after: float | None
    jump_predicted: float
    area: float
    area_noiseless: float
    area_predicted: float


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A sweep of one data set, rung by rung. `strengths` holds one row per mode."""

    test_error: tuple[float, ...]
    effective_rank: tuple[float, ...]
    strengths: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class DatasetSweep:
    """The sweeps of one data set; `turned` is None where no rung had lost just one feature."""

    dataset: int
    conditioned: bool
    signals: tuple[float, ...]
    transitions: tuple[Transition, ...]
    up: Curve
    down: Curve
    up_noiseless: Curve
    turned: Curve | None
    turned_from: float | None


@dataclass(frozen=True, kw_only=True)
class ModeSummary:
    """One feature over the unconditioned data sets, and the spread of its predicted transition.

    Lags are measured minus predicted transitions. `jump` is the strength before minus after the
    transition, `jump_error` that minus the theory's strength at the same rung, `jump_predicted` the
    strength at the spinodal itself, the least a jump can be. `ghost_time` is the theory's time for
    passing where the feature was, one step of the sweep above the spinodal.

    The spread: mean and standard deviation (with its standard error) of the predicted transition
    over `spectra` samples; `spread_signals_only` is the deviation when only the singular values of
    Sigma_yx are taken and Sigma_xx = I is assumed. `stated_z` is (stated - mean) / deviation.
    """

    mode: int
    signal: float
    stated: float | None
    population: float
    population_jump: float
    population_area: float
    ghost_time: float
    measured: Mean
    predicted: Mean
    lag: Mean
    lag_noiseless: Mean
    lag_short: Mean
    lag_short_noiseless: Mean
    jump: Mean
    jump_error: Mean
    jump_error_noiseless: Mean
    before_predicted: Mean
    jump_predicted: Mean
    area: Mean
    area_noiseless: Mean
    area_predicted: Mean
    area_error: Mean
    spread_mean: float
    spread: float
    spread_error: float
    spread_signals_only: float
    stated_z: float | None


@dataclass(frozen=True, kw_only=True)
class Regained:
    """Downward sweeps: lanes that regained a feature, and the largest strength of a lost one.

    `bound` is the upper end of the exact 95 % interval of the probability to regain one.
    """

    start: str
    lanes: int
    regained: int
    bound: float
    largest: float


@dataclass(frozen=True, kw_only=True)
class TheoryCurve:
    """The quasi-static upward sweep of the conditioned data set, from theory."""

    weight_decays: tuple[float, ...]
    curve: Curve


@dataclass(frozen=True, kw_only=True)
class PhaseDiagramRecord:
    """Everything the sweeps showed.

    `stated_joint` is the probability that a new sample lies as far from the mean as the stated pair
    of transitions, in the metric of their covariance (normal approximation).
    """

    depth: int
    width: int
    signals: tuple[float, ...]
    samples: int
    batch_size: int
    learning_rate: float
    step: float
    rung_epochs: int
    rung_time: float
    datasets: int
    spectra: int
    weight_decays: tuple[float, ...]
    summaries: tuple[ModeSummary, ...]
    regained: tuple[Regained, ...]
    sweeps: tuple[DatasetSweep, ...]
    spectrum_spinodals: tuple[tuple[float, ...], ...]
    stated: tuple[float, ...] | None
    stated_joint: float | None
    theory: TheoryCurve | None
