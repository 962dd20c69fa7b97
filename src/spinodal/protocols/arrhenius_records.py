"""What the experiments of figure 2b are set to, and what is recorded of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from spinodal.dynamics.shard import Ensemble
from spinodal.errors import InputError
from spinodal.records import Settings
from spinodal.theory import modes

Arm = tuple[Ensemble, int]
"""Settings and number of replicas."""

Key = tuple[int | str, float | str, str]
"""Width or "sweep", temperature or learning rate, and the part the arm plays."""


class ArrheniusSettings(Settings):
    """The sweep of figure 2b, and the temperatures of the additive-noise experiment.

    `sweep_epochs` is how long each sweep run is watched. Temperatures are chosen per width so that
    the free-energy barrier is `barriers` times T (without hidden rotations that is the energy
    barrier); `drift_ratios` of the thermal spinodal add points that are drift on purpose and
    enter no fit. Langevin runs are watched for `horizon` predicted mean times, with
    `replicas` of them for each of the `widths`. At the higher barriers `cold_barriers` nobody could
    wait: there the rate comes from `repetitions` of splitting with `copies` trajectories each.
    """

    depth: PositiveInt = Field(default=3, ge=3)
    signals: tuple[PositiveFloat, PositiveFloat] = (0.9, 0.8)
    weight_decay: PositiveFloat = 0.32
    width: PositiveInt = 10
    learning_rates: tuple[PositiveFloat, ...] = Field(
        default=(5e-4, 1e-3, 2e-3, 3e-3, 5e-3), min_length=3
    )
    batch_size: PositiveInt = 64
    samples: PositiveInt = 512
    datasets: PositiveInt = 10
    sweep_replicas: PositiveInt = 40
    sweep_epochs: PositiveInt = 400
    stated_epochs: PositiveInt = 20_000
    stated_barrier: PositiveFloat = 0.15
    stated_barrier_error: PositiveFloat = 0.05
    stated_r_squared: PositiveFloat = 0.991
    stated_trap_epochs: PositiveFloat = 5500
    stated_trap_learning_rate: PositiveFloat = 0.08
    widths: tuple[PositiveInt, ...] = (1, 2, 4, 10)
    replicas: tuple[PositiveInt, ...] = (160, 96, 64, 48)
    barriers: tuple[PositiveFloat, ...] = Field(
        default=(3.0, 3.5, 4.0, 4.5, 5.0, 5.4), min_length=2
    )
    cold_barriers: tuple[PositiveFloat, ...] = (8.0, 12.0, 18.0)
    repetitions: int = Field(default=8, ge=2)
    copies: PositiveInt = 64
    drift_ratios: tuple[PositiveFloat, ...] = (0.85,)
    langevin_learning_rate: PositiveFloat = 0.2
    test_replicas: PositiveInt = 288
    horizon: PositiveFloat = 1.2

    @model_validator(mode="after")
    def _consistent(self) -> ArrheniusSettings:
        if len(self.replicas) != len(self.widths):
            raise InputError("Give one number of replicas for each of the widths.")
        self.barrier  # noqa: B018, an InputError names the spinodal where there is no barrier
        return self

    @property
    def mode(self) -> dict[str, float]:
        """The weaker feature, the one that the trap lacks."""
        return {"signal": self.signals[1], "weight_decay": self.weight_decay}

    @property
    def barrier(self) -> float:
        """Energy barrier from the trap to the saddle of the weaker feature."""
        modes.saddle(depth=self.depth, **self.mode)
        return float(modes.barrier_out(depth=self.depth, **self.mode))


@dataclass(frozen=True, kw_only=True)
class SweepPoint:
    """One learning rate of the minibatch sweep, from the rank-1 trap.

    `rate_bound_*` is the one-sided 95 % upper bound on the escape rate when `escapes` is 0, else
    the upper limit of the two-sided interval, from `eligible` runs only: those on data sets that
    have a rank-2 phase to escape to. `strength_start` and `strength_end` are the largest
    second strengths of any replica; `decay_rate` is how fast the typical one fell per time
    unit, `decay_predicted` = depth * weight_decay.
    """

    learning_rate: float
    epochs: int
    steps: int
    time: float
    replicas: int
    datasets: int
    escapes: int
    eligible: int
    eligible_escapes: int
    diverged: int
    rate_bound_per_step: float
    rate_bound_per_epoch: float
    strength_start: float
    strength_end: float
    decay_rate: float | None
    decay_predicted: float


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The five learning rates together, and what the minibatch noise looks like in the trap.

    `dataset_bound` is the upper limit of the fraction of data sets in which escape can be seen
    within the watching time. `holds_second` counts data sets in which a rank-2 phase exists at
    all; `eligible` runs are those on them, and all bounds and exposures are theirs. `noise_trace`
    is the trace of the per-sample gradient covariance at the rank-1 phase, its mean over data sets
    with the standard error; `noise_rank_raising` is the largest per-sample gradient in any weight
    that would raise the rank.
    """

    points: tuple[SweepPoint, ...]
    threshold: float
    replicas: int
    escapes: int
    eligible: int
    eligible_escapes: int
    datasets: int
    dataset_bound: float
    exposure_steps: float
    exposure_epochs: float
    rate_bound_per_step: float
    rate_bound_per_epoch: float
    holds_second: int
    noise_trace: float
    noise_trace_se: float
    noise_rank_raising: float


@dataclass(frozen=True, kw_only=True)
class Window:
    """What the stated sweep could show at best: ln tau = c + A / learning_rate, 1 <= tau <= stated.

    `drift_r_squared` is the R^2 of that line through a noise-free drift tau ~ 1 / learning_rate,
    of which `drift_epochs` are an example that fills the stated run length.
    `steepest` is the largest A. `barrier_over_t_fastest` = A / fastest rate and
    `barrier_over_t_trap` = A / rate of figure 1a are the largest barriers in units of T there.
    `factor_left` is tau(slowest) / tau(trap) when both stated numbers hold. The stated barrier
    with T = learning_rate / (batch C) needs `span_stated_over_c` * C = change of ln tau over the
    sweep; `largest_c` is the C that still fits the window, `span_measured_c` the change with
    the measured trace of the gradient covariance as C.
    """

    drift_r_squared: float
    drift_epochs: tuple[float, ...]
    stated_r_squared: float
    longest: float
    log_window: float
    inverse_rate_span: float
    steepest: float
    barrier_over_t_fastest: float
    barrier_over_t_trap: float
    factor_left: float
    span_stated_over_c: float
    largest_c: float
    span_measured_c: float


@dataclass(frozen=True, kw_only=True)
class LangevinPoint:
    """One temperature. Times in units of learning_rate * steps.

    `over_spinodal` = T over the thermal spinodal (None: no rotations, no thermal spinodal).
    `free_barrier_over_t` is None where the free energy has no barrier. `mean` = exposure /
    escapes with likelihood limits. `predicted` is the mean time of the reduced generator from zero
    weights to the learned strength, seen at the same looks, `ratio` = mean / predicted. `time` and
    `escaped` are the single replicas; `curve_*` is Kaplan-Meier.
    """

    width: int
    temperature: float
    over_spinodal: float | None
    barrier_over_t: float
    free_barrier_over_t: float | None
    regime: Literal["barrier", "crossover", "drift"]
    learning_rate: float
    steps: int
    horizon: float
    replicas: int
    escapes: int
    mean: float | None
    mean_low: float
    mean_high: float | None
    predicted: float
    ratio: float | None
    time: tuple[float, ...]
    escaped: tuple[bool, ...]
    curve_time: tuple[float, ...]
    curve_survival: tuple[float, ...]
    curve_low: tuple[float, ...]
    curve_high: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ColdPoint:
    """One temperature at which the rate comes from splitting. Times as in `LangevinPoint`.

    `relative_error` is that of the mean of the repetitions, `updates` what they cost together,
    `gain` how many times more waiting would cost at the same error.
    """

    width: int
    temperature: float
    over_spinodal: float | None
    barrier_over_t: float
    free_barrier_over_t: float
    mean: float | None
    mean_low: float
    mean_high: float | None
    predicted: float
    ratio: float | None
    relative_error: float | None
    updates: float
    gain: float | None
    warning: str


@dataclass(frozen=True, kw_only=True)
class LawFit:
    """One law fitted to the single times of waiting: its parameters with 95 % limits, and AICc.

    `arrhenius` and `entropic`, which adds (N_z / 2) ln T, have a `barrier`, `power` an `exponent`.
    """

    name: str
    parameter: str
    estimate: float | None
    low: float | None
    high: float | None
    log_likelihood: float
    aicc: float | None


@dataclass(frozen=True, kw_only=True)
class Slope:
    """A slope d ln tau / d(1/T) fitted to single times, with its profile interval.

    `predicted` is the slope of the predicted times at the same temperatures, each weighted
    by its escapes. None: the likelihood has no finite limit on that side.
    """

    value: float | None
    low: float | None
    high: float | None
    intercept: float | None
    predicted: float
    events: int
    replicas: int


@dataclass(frozen=True, kw_only=True)
class LangevinWidth:
    """All temperatures of one width with the fits and the controls.

    `raw` regresses ln tau on 1/T, `corrected` regresses ln tau - (N_z/2) ln T. `apparent_barrier`
    = barrier - N_z T / 2 at the event-weighted mean of 1/T. `r_squared` belongs to the line
    through the logarithmic mean times, as the paper's. Controls: one noise-free run from the trap
    (the noise-off twin of every replica, which all start there) and two from 10 % below and above
    the saddle amplitude, of which only the last should learn; memorylessness at `test_temperature`
    of the waiting that remains after `dead_time`, which is left to the relaxation into the
    quasi-stationary state, its p-value adjusted by Holm's method for all widths tested
    (`memoryless_p_adjusted`, which decides `memoryless`; `memoryless_p_whole`: of all of it, not
    adjusted; `escapes_within_dead_time` are left out), and the halved time step at
    the hottest fitted temperature (`halving` = mean time at half the learning rate over mean time,
    with limits).

    `laws` are fitted to the single times of waiting, `law` is the preferred one or 'undecided'.
    `coldest_slope` = d ln tau / d(1/T) of the line through the temperatures of splitting, with its
    standard error; beside it that of barrier - N_z T / 2 there. `drift_barrier_over_t` is the
    free-energy barrier over T where drift begins, at a fixed fraction of the thermal spinodal.
    """

    width: int
    rotations: int
    thermal_spinodal: float | None
    drift_barrier_over_t: float | None
    barrier: float
    points: tuple[LangevinPoint, ...]
    cold: tuple[ColdPoint, ...]
    laws: tuple[LawFit, ...]
    law: str
    coldest_slope: float | None
    coldest_slope_error: float | None
    coldest_slope_predicted: float | None
    raw: Slope
    corrected: Slope
    apparent_barrier: float
    mean_temperature: float
    r_squared: float | None
    trap_learns: bool
    below_saddle_learns: bool
    above_saddle_learns: bool
    test_temperature: float
    memoryless: str
    memoryless_p: float | None
    memoryless_p_adjusted: float | None
    memoryless_events: int
    memoryless_p_whole: float | None
    escapes_within_dead_time: int
    dead_time: float
    halving: float | None
    halving_low: float | None
    halving_high: float | None
    halving_events: int
    verdict: Literal["noise_activated", "cannot_tell"]


@dataclass(frozen=True, kw_only=True)
class ArrheniusRecord:
    """Figure 2b: the sweep with minibatch noise, its window, and additive noise at known T."""

    weight_decay: float
    signal: float
    saddle: float
    barrier: float
    stated_barrier: float
    stated_barrier_error: float
    sweep: Sweep
    window: Window
    langevin: tuple[LangevinWidth, ...]
