"""Is escape from the trap activated? The learning-rate sweep, and additive noise beside it.

Two experiments share the axes of figure 2b, ln tau against inverse temperature.

The sweep repeats the paper's: minibatch SGD from a converged rank-1 trap at five learning
rates. Where nothing escapes the answer is a one-sided bound. Beside it stands what the sweep could
have shown at best: the R^2 that a noise-free drift tau ~ 1 / learning_rate gives on these rates,
and the largest barrier compatible with the watching time.

The second uses noise whose temperature is known, d theta = -grad E dt + sqrt(2T) dB, on one
feature learned by the population gradient. At width 1 there are no hidden rotations and the
slope of ln tau against 1/T must be the energy barrier; at larger width the raw slope lies below
it, near barrier - N_z T / 2, because the hidden rotations gain entropy on the way up. The exact
passage time of the reduced free energy stands beside every point.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from scipy.optimize import brentq

from spinodal.dynamics.checkpoints import Start, balanced
from spinodal.dynamics.events import Event
from spinodal.dynamics.networks import Network
from spinodal.dynamics.shard import Ensemble, Outcome, simulate
from spinodal.dynamics.tasks import GaussianTask, draw
from spinodal.dynamics.updates import Update, gradients
from spinodal.errors import InputError
from spinodal.records import EscapeTimes, Settings
from spinodal.seeding import generator
from spinodal.statistics.escape_laws import (
    EscapeLaw,
    arrhenius_fit,
    drift_r_squared,
    steepest_slope,
)
from spinodal.statistics.proportion import escape_probability
from spinodal.statistics.survival import exponential_rate, kaplan_meier, rate_interval
from spinodal.statistics.waiting_times import memorylessness
from spinodal.theory import modes
from spinodal.theory.finite_data import empirical_spinodals
from spinodal.theory.free_energy import (
    free_energy_barriers,
    hidden_rotations,
    mode_first_passage_time,
    thermal_spinodal,
)

Progress = Callable[[float, str], None] | None

DRIFT_FROM = 0.7
"""Above this fraction of the thermal spinodal a passage is drift, not activation."""

HIGH_ENOUGH = 3.0
"""Free-energy barrier, in units of T, from which a passage deserves the word activated."""


class ArrheniusSettings(Settings):
    """The sweep of figure 2b, and the temperatures of the additive-noise experiment.

    `sweep_epochs` is how long each sweep run is watched. Temperatures are chosen per width so that
    the free-energy barrier is `barriers` times T (without hidden rotations that is the energy
    barrier); `drift_ratios` of the thermal spinodal add points that are drift on purpose and
    enter no fit. Langevin runs are watched for `horizon` predicted mean times, with
    `replicas` of them for each of the `widths`.
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
    widths: tuple[PositiveInt, ...] = (1, 4)
    replicas: tuple[PositiveInt, ...] = (160, 64)
    barriers: tuple[PositiveFloat, ...] = Field(
        default=(3.0, 3.5, 4.0, 4.5, 5.0, 5.4), min_length=2
    )
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
    the upper limit of the two-sided interval. `strength_start` and `strength_end` are the largest
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
    all. `noise_trace` is the trace of the per-sample gradient covariance at the rank-1
    phase, its mean over data sets with the standard error; `noise_rank_raising` is the largest
    per-sample gradient in any weight that would raise the rank.
    """

    points: tuple[SweepPoint, ...]
    threshold: float
    replicas: int
    escapes: int
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
    escapes with likelihood limits. `predicted` is the exact passage time of the reduced free
    energy from amplitude 0 to the learned amplitude, `ratio` = mean / predicted. `time` and
    `escaped` are the single replicas; `curve_*` is Kaplan-Meier.
    """

    width: int
    temperature: float
    over_spinodal: float | None
    barrier_over_t: float
    free_barrier_over_t: float | None
    regime: Literal["activated", "crossover", "drift"]
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
class Slope:
    """A slope d ln tau / d(1/T) fitted to single times, with its profile interval.

    `predicted` is the slope of the exact passage times at the same temperatures, each weighted
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
    through the logarithmic mean times, as the paper's. Controls: the noise-off twin of every
    temperature (`off_escapes` of `off_replicas`), noise-free runs from 10 % below and above the
    saddle amplitude, memorylessness at `test_temperature` of the waiting that remains after
    `dead_time`, the time that the way over the saddle itself takes (`memoryless_p_whole`: of all
    of it), and the halved time step at the hottest fitted temperature (`halving` = mean time at
    half the learning rate over mean time, with limits).
    """

    width: int
    rotations: int
    thermal_spinodal: float | None
    barrier: float
    points: tuple[LangevinPoint, ...]
    raw: Slope
    corrected: Slope
    apparent_barrier: float
    mean_temperature: float
    r_squared: float | None
    off_escapes: int
    off_replicas: int
    below_saddle_learns: bool
    above_saddle_learns: bool
    test_temperature: float
    memoryless: str
    memoryless_p: float | None
    memoryless_events: int
    memoryless_p_whole: float | None
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


Record = ArrheniusRecord


def preset(effort: str) -> ArrheniusSettings:
    """Settings of the quick or the full reproduction."""
    if effort == "paper":
        return ArrheniusSettings(
            sweep_replicas=50,
            sweep_epochs=20_000,
            widths=(1, 2, 4),
            replicas=(512, 256, 256),
            barriers=(3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0),
            test_replicas=512,
            langevin_learning_rate=0.1,
            horizon=2.0,
        )
    return ArrheniusSettings()


def run(
    settings: ArrheniusSettings, *, seed: int, workers: int = 1, progress: Progress = None
) -> ArrheniusRecord:
    """Run the sweep and the additive-noise experiment; every arm is one task for the workers."""
    sweep, langevin = _sweep_arms(settings), _langevin_arms(settings)
    outcomes = _simulate({**sweep, **langevin}, seed, workers, progress or (lambda f, t: None))
    result = _sweep(settings, [outcomes[key] for key in sweep], seed)
    return ArrheniusRecord(
        weight_decay=settings.weight_decay,
        signal=settings.signals[1],
        saddle=float(modes.saddle(depth=settings.depth, **settings.mode)),
        barrier=settings.barrier,
        stated_barrier=settings.stated_barrier,
        stated_barrier_error=settings.stated_barrier_error,
        sweep=result,
        window=_window(settings, result.noise_trace),
        langevin=tuple(
            _width(settings, width, {k[1:]: o for k, o in outcomes.items() if k[0] == width}, seed)
            for width in settings.widths
        ),
    )


_Arm = tuple[Ensemble, int]
"""Settings and number of replicas."""

_Key = tuple[int | str, float | str, str]
"""Width or "sweep", temperature or learning rate, and the part the arm plays."""


def _simulate(
    arms: dict[_Key, _Arm], seed: int, workers: int, tell: Callable[[float, str], None]
) -> dict[_Key, Outcome]:
    """Every arm on one worker, the costly ones first.

    Arm number k owns the replicas from 10,000 k on, so that no two arms share their noise.
    """
    cost = {key: ensemble.steps * (150 + n) for key, (ensemble, n) in arms.items()}
    order = sorted(arms, key=lambda key: -cost[key])
    ranges = {key: range(10_000 * k, 10_000 * k + arms[key][1]) for k, key in enumerate(arms)}
    total, done, outcomes = sum(cost.values()), 0, {}
    if workers <= 1:
        for key in order:
            outcomes[key] = simulate(arms[key][0], seed, ranges[key])
            done += cost[key]
            tell(done / total, _spoken(key))
        return outcomes
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = {key: pool.submit(simulate, arms[key][0], seed, ranges[key]) for key in order}
        for key, future in waiting.items():
            outcomes[key] = future.result()
            done += cost[key]
            tell(done / total, _spoken(key))
    return outcomes


def _spoken(key: _Key) -> str:
    where, value, _ = key
    if where == "sweep":
        return f"minibatch sweep at learning rate {value}"
    return f"additive noise at width {where}"


def _sweep_arms(settings: ArrheniusSettings) -> dict[_Key, _Arm]:
    """The paper's runs: minibatch SGD from a converged rank-1 checkpoint."""
    per_epoch = settings.samples // settings.batch_size
    saddle = float(modes.saddle(depth=settings.depth, **settings.mode))
    arms: dict[_Key, _Arm] = {}
    for rate in settings.learning_rates:
        ensemble = Ensemble(
            task=GaussianTask(signals=settings.signals, samples=settings.samples),
            network=Network(depth=settings.depth, width=settings.width),
            update=Update(
                learning_rate=rate,
                weight_decay=settings.weight_decay,
                batch_size=settings.batch_size,
            ),
            start=Start(kind="trap", rank=1, residual=1e-9),
            events=(Event(mode=2, threshold=saddle / 2),),
            steps=settings.sweep_epochs * per_epoch,
            check_every=4 * per_epoch,
            datasets=settings.datasets,
        )
        arms["sweep", rate, "sgd"] = ensemble, settings.sweep_replicas
    return arms


def _langevin_arms(settings: ArrheniusSettings) -> dict[_Key, _Arm]:
    """All temperatures of all widths, and the controls."""
    arms: dict[_Key, _Arm] = {}
    for width, replicas in zip(settings.widths, settings.replicas, strict=True):
        chosen = temperatures(settings, width)
        rotations = hidden_rotations(depth=settings.depth, width=width, rank=0)
        critical = _critical(settings, rotations)
        hot = [] if critical is None else [r * critical for r in settings.drift_ratios]
        hottest, test = chosen[0], _test_temperature(settings, width)
        for temperature in [*chosen, *hot]:
            count = settings.test_replicas if temperature in (hottest, test) else replicas
            ensemble = _langevin(settings, width, temperature)
            arms[width, temperature, "noise"] = ensemble, count
        slower = _langevin(settings, width, hottest, settings.langevin_learning_rate / 2)
        arms[width, hottest, "half"] = slower, settings.test_replicas
        quiet = _langevin(settings, width, hottest).noise_off
        for temperature in chosen:
            arms[width, temperature, "off"] = quiet.twin(steps=500), replicas
        for part, factor in (("below", 0.9), ("above", 1.1)):
            strength = float(modes.saddle(depth=settings.depth, **settings.mode))
            near = Start(kind="balanced", strengths=(strength * factor**settings.depth,))
            arms[width, part, "off"] = quiet.twin(start=near, steps=2000), 2
    return arms


def _langevin(
    settings: ArrheniusSettings, width: int, temperature: float, rate: float | None = None
) -> Ensemble:
    """One feature, population gradient, noise of known temperature, from the trivial phase."""
    rate = rate or settings.langevin_learning_rate
    due = _predicted(settings, width, temperature)
    return Ensemble(
        task=GaussianTask(signals=settings.signals[1:]),
        network=Network(depth=settings.depth, width=width),
        update=Update(
            learning_rate=rate,
            weight_decay=settings.weight_decay,
            sampling="population",
            temperature=temperature,
        ),
        start=Start(kind="balanced", strengths=()),
        events=(
            Event(mode=1, threshold=float(modes.learned(depth=settings.depth, **settings.mode))),
        ),
        steps=int(settings.horizon * due / rate) + 1,
        check_every=round(2 / rate),
    )


def temperatures(settings: ArrheniusSettings, width: int) -> list[float]:
    """Temperatures at which the free-energy barrier is `barriers` times T, hottest first."""
    rotations = hidden_rotations(depth=settings.depth, width=width, rank=0)
    critical = _critical(settings, rotations)
    if critical is None:
        return [settings.barrier / b for b in sorted(settings.barriers)]

    def height(temperature: float) -> float:
        out, _ = free_energy_barriers(
            depth=settings.depth, temperature=temperature, rotations=rotations, **settings.mode
        )
        return float(out) / temperature

    ends = 1e-3 * critical, (1 - 1e-6) * critical
    return [
        float(np.asarray(brentq(lambda t, b=b: height(t) - b, *ends, xtol=1e-12)))
        for b in sorted(settings.barriers)
    ]


def _test_temperature(settings: ArrheniusSettings, width: int) -> float:
    """Where memorylessness is tested: cold enough that the passage itself takes no time."""
    chosen = temperatures(settings, width)
    return chosen[len(chosen) // 2 - 1]


def _critical(settings: ArrheniusSettings, rotations: int) -> float | None:
    """Thermal spinodal, None where there is none."""
    limit = thermal_spinodal(depth=settings.depth, rotations=rotations, **settings.mode)
    return float(limit) if np.isfinite(limit) else None


def _predicted(settings: ArrheniusSettings, width: int, temperature: float) -> float:
    """Exact mean passage time of the reduced free energy, amplitude 0 to the learned one."""
    return mode_first_passage_time(
        depth=settings.depth,
        signal=settings.signals[1],
        weight_decay=settings.weight_decay,
        temperature=temperature,
        rotations=hidden_rotations(depth=settings.depth, width=width, rank=0),
        start=0.0,
    )


def _sweep(settings: ArrheniusSettings, outcomes: list[Outcome], seed: int) -> Sweep:
    """Escapes and their bounds, per learning rate and together."""
    per_epoch = settings.samples // settings.batch_size
    points = []
    for rate, outcome in zip(settings.learning_rates, outcomes, strict=True):
        passage = outcome.passages[0]
        exposure = float(passage.steps.sum())
        bound = float(rate_interval(passage.events, exposure)[1])
        start, end = outcome.initial_strengths[:, 1], outcome.strengths[:, 1]
        time = rate * settings.sweep_epochs * per_epoch
        # Rounding of the first strength hides what is smaller than this.
        fell = (end > 1e-14) & (start > 1e-14)
        falls = np.log(start[fell] / end[fell]) / time
        points.append(
            SweepPoint(
                learning_rate=rate,
                epochs=settings.sweep_epochs,
                steps=settings.sweep_epochs * per_epoch,
                time=time,
                replicas=passage.status.size,
                datasets=settings.datasets,
                escapes=passage.events,
                diverged=passage.status_counts["diverged"],
                rate_bound_per_step=bound,
                rate_bound_per_epoch=bound * per_epoch,
                strength_start=float(start.max()),
                strength_end=float(end.max()),
                decay_rate=float(np.median(falls)) if falls.size else None,
                decay_predicted=settings.depth * settings.weight_decay,
            )
        )
    passage = EscapeTimes.merge([o.passages[0] for o in outcomes])
    exposure = float(passage.steps.sum())
    bound = float(rate_interval(passage.events, exposure)[1])
    seen = len(np.unique(passage.dataset[passage.escaped]))
    holds, trace, raising = _noise_in_the_trap(settings, seed)
    return Sweep(
        points=tuple(points),
        threshold=float(modes.saddle(depth=settings.depth, **settings.mode)) / 2,
        replicas=passage.status.size,
        escapes=passage.events,
        datasets=settings.datasets,
        dataset_bound=escape_probability(seen, settings.datasets).high,
        exposure_steps=exposure,
        exposure_epochs=exposure / per_epoch,
        rate_bound_per_step=bound,
        rate_bound_per_epoch=bound * per_epoch,
        holds_second=holds,
        noise_trace=float(trace.mean()),
        noise_trace_se=float(trace.std(ddof=1) / np.sqrt(trace.size)),
        noise_rank_raising=raising,
    )


def _noise_in_the_trap(
    settings: ArrheniusSettings, seed: int
) -> tuple[int, NDArray[np.float64], float]:
    """Data sets with a rank-2 phase, tr C of each in the trap, largest rank-raising gradient.

    The trap is the balanced rank-1 state of the population's strength; every sample is a batch
    of one. Hidden units beyond the first are dead there: a weight between two units that are
    not both active would raise the rank.
    """
    network = Network(depth=settings.depth, width=settings.width)
    task = GaussianTask(signals=settings.signals, samples=settings.samples)
    strength = float(
        modes.learned(
            depth=settings.depth, signal=settings.signals[0], weight_decay=settings.weight_decay
        )
    )
    population = draw(GaussianTask(signals=settings.signals), seed=seed, dataset=0)
    layers = balanced(network, [population], np.zeros(1, dtype=np.int64), (strength,))
    traces, holds, raising = [], 0, 0.0
    for i in range(settings.datasets):
        data = draw(task, seed=seed, dataset=i)
        assert data.x is not None
        assert data.y is not None
        limits = empirical_spinodals(data.train.xx, data.train.yx, depth=settings.depth)
        holds += int(limits[1] > settings.weight_decay)
        xx = np.einsum("ni,nj->ijn", data.x, data.x)
        yx = np.einsum("ni,nj->ijn", data.y, data.x)
        lanes = [np.repeat(layer, len(data.x), axis=-1) for layer in layers]
        slopes = gradients(lanes, xx, yx)
        traces.append(sum(float(s.var(axis=-1).sum()) for s in slopes))
        for k, slope in enumerate(slopes):
            dead = slope[1:] if k < settings.depth - 1 else slope[:, 1:]
            raising = max(raising, float(np.abs(dead).max()))
    return holds, np.array(traces), raising


def _window(settings: ArrheniusSettings, trace: float) -> Window:
    """The largest barrier that a sweep over these rates, watched so long, can show."""
    rates = np.array(settings.learning_rates)
    longest = float(settings.stated_epochs)
    steepest = steepest_slope(rates, longest_time=longest, shortest_time=1.0)
    span = float(np.ptp(1 / rates))
    over_c = settings.stated_barrier * settings.batch_size * span
    return Window(
        drift_r_squared=drift_r_squared(rates),
        drift_epochs=tuple((longest * rates.min() / rates).tolist()),
        stated_r_squared=settings.stated_r_squared,
        longest=longest,
        log_window=float(np.log(longest)),
        inverse_rate_span=span,
        steepest=steepest,
        barrier_over_t_fastest=steepest / float(rates.max()),
        barrier_over_t_trap=steepest / settings.stated_trap_learning_rate,
        factor_left=longest / settings.stated_trap_epochs,
        span_stated_over_c=over_c,
        largest_c=float(np.log(longest)) / over_c,
        span_measured_c=over_c * trace,
    )


def _point(
    settings: ArrheniusSettings, width: int, temperature: float, outcome: Outcome
) -> LangevinPoint:
    """One temperature as plain numbers."""
    rotations = hidden_rotations(depth=settings.depth, width=width, rank=0)
    critical = _critical(settings, rotations)
    out, _ = free_energy_barriers(
        depth=settings.depth, temperature=temperature, rotations=rotations, **settings.mode
    )
    free = float(out) / temperature if np.isfinite(out) else None
    over = None if critical is None else temperature / critical
    times = outcome.passages[0]
    estimate, curve = exponential_rate(times), kaplan_meier(times)
    predicted = _predicted(settings, width, temperature)
    mean = 1 / estimate.rate if estimate.events else None
    ensemble = _langevin(settings, width, temperature)
    return LangevinPoint(
        width=width,
        temperature=temperature,
        over_spinodal=over,
        barrier_over_t=settings.barrier / temperature,
        free_barrier_over_t=free,
        regime=_regime(over, free),
        learning_rate=ensemble.update.learning_rate,
        steps=ensemble.steps,
        horizon=ensemble.steps * ensemble.update.learning_rate,
        replicas=times.status.size,
        escapes=times.events,
        mean=mean,
        mean_low=1 / estimate.high,
        mean_high=1 / estimate.low if estimate.low > 0 else None,
        predicted=predicted,
        ratio=None if mean is None else mean / predicted,
        time=tuple(times.time.tolist()),
        escaped=tuple(times.escaped.tolist()),
        curve_time=tuple(curve.time.tolist()),
        curve_survival=tuple(curve.survival.tolist()),
        curve_low=tuple(curve.low.tolist()),
        curve_high=tuple(curve.high.tolist()),
    )


def _regime(
    over_spinodal: float | None, free_barrier: float | None
) -> Literal["activated", "crossover", "drift"]:
    """Drift near the thermal spinodal; activated only over a barrier of several T."""
    if free_barrier is None or (over_spinodal is not None and over_spinodal > DRIFT_FROM):
        return "drift"
    return "activated" if free_barrier > HIGH_ENOUGH - 1e-6 else "crossover"


def _width(
    settings: ArrheniusSettings,
    width: int,
    outcomes: dict[tuple[float | str, str], Outcome],
    seed: int,
) -> LangevinWidth:
    """Points, fits and controls of one width."""
    rotations = hidden_rotations(depth=settings.depth, width=width, rank=0)
    points = tuple(
        _point(settings, width, value, outcome)
        for (value, part), outcome in outcomes.items()
        if part == "noise" and isinstance(value, float)
    )
    points = tuple(sorted(points, key=lambda point: -point.temperature))
    used = [p for p in points if p.regime != "drift"]
    x = np.array([1 / p.temperature for p in used])
    weight = np.array([float(p.escapes) for p in used])
    test, hottest = _test_temperature(settings, width), temperatures(settings, width)[0]
    dead = _dead_time(settings)
    tested = outcomes[test, "noise"].passages[0]
    memory, whole = (
        memorylessness(
            times,
            generator=generator(seed, "arrhenius", "memorylessness", width),
            check_every=2.0,
        )
        for times in (_later(tested, dead), tested)
    )
    off = [
        outcome.passages[0]
        for (value, part), outcome in outcomes.items()
        if part == "off" and isinstance(value, float)
    ]
    halfway = 0.5 * float(modes.learned(depth=settings.depth, **settings.mode))
    learns = {
        part: bool(outcomes[part, "off"].strengths[0, 0] > halfway) for part in ("below", "above")
    }
    mean_temperature = float(weight.sum() / (weight @ x))
    slower = outcomes[hottest, "half"].passages[0]
    halving = _mean_ratio(slower, outcomes[hottest, "noise"].passages[0])
    quiet = sum(o.events for o in off) == 0 and learns["above"] and not learns["below"]
    several = all(p.regime == "activated" for p in used)
    activated = quiet and several and memory.verdict == "consistent"
    return LangevinWidth(
        width=width,
        rotations=rotations,
        thermal_spinodal=_critical(settings, rotations),
        barrier=settings.barrier,
        points=points,
        raw=_slope(used, 0.0),
        corrected=_slope(used, rotations / 2),
        apparent_barrier=settings.barrier - rotations * mean_temperature / 2,
        mean_temperature=mean_temperature,
        r_squared=_r_squared(used),
        off_escapes=sum(o.events for o in off),
        off_replicas=sum(o.status.size for o in off),
        below_saddle_learns=learns["below"],
        above_saddle_learns=learns["above"],
        test_temperature=test,
        memoryless=memory.verdict,
        memoryless_p=memory.p_value,
        memoryless_events=memory.events,
        memoryless_p_whole=whole.p_value,
        dead_time=dead,
        halving=halving[0],
        halving_low=halving[1],
        halving_high=halving[2],
        halving_events=slower.events,
        verdict="noise_activated" if activated else "cannot_tell",
    )


def _dead_time(settings: ArrheniusSettings) -> float:
    """No replica can be quicker than its way over the saddle: ten times 1 / |curvature| there."""
    amplitude = modes.saddle(depth=settings.depth, **settings.mode) ** (1 / settings.depth)
    return float(10 / abs(modes.curvature(amplitude, depth=settings.depth, **settings.mode)))


def _later(times: EscapeTimes, dead: float) -> EscapeTimes:
    """What remains of the waiting for replicas that were still there after `dead`."""
    left = times.time > dead
    return EscapeTimes(
        replica=times.replica[left],
        dataset=times.dataset[left],
        steps=times.steps[left],
        time=times.time[left] - dead,
        status=times.status[left],
    )


def _slope(points: list[LangevinPoint], power: float) -> Slope:
    """Censored likelihood fit of ln tau = intercept + slope / T + power ln T to single times."""
    counts = [p.replicas for p in points]
    temperature = np.repeat([p.temperature for p in points], counts)
    status = np.where(np.concatenate([p.escaped for p in points]), "escaped", "censored")
    fit: EscapeLaw = arrhenius_fit(
        np.concatenate([p.time for p in points]),
        status,
        1 / temperature,
        offset=power * np.log(temperature),
    )
    x = np.array([1 / p.temperature for p in points])
    y = np.array([np.log(p.predicted) - power * np.log(p.temperature) for p in points])
    weight = np.sqrt([max(float(p.escapes), 1e-9) for p in points])
    return Slope(
        value=fit.slope,
        low=fit.low,
        high=fit.high,
        intercept=fit.intercept,
        predicted=float(np.polyfit(x, y, 1, w=weight)[0]),
        events=fit.events,
        replicas=fit.replicas,
    )


def _r_squared(points: list[LangevinPoint]) -> float | None:
    """R^2 of the least-squares line through ln mean time against 1/T, as a plot would show it."""
    pairs = [(1 / p.temperature, np.log(p.mean)) for p in points if p.mean is not None]
    if len(pairs) < 3:
        return None
    x, y = np.array(pairs).T
    return float(np.corrcoef(x, y)[0, 1] ** 2)


def _mean_ratio(
    first: EscapeTimes, second: EscapeTimes
) -> tuple[float | None, float | None, float | None]:
    """Mean escape time of the first over that of the second, with 95 % limits.

    The ratio of two exponential rates, each with d events, has variance 1/d + 1/d' on the
    logarithm.
    """
    if not (first.events and second.events):
        return None, None, None
    log = np.log(first.exposure / first.events) - np.log(second.exposure / second.events)
    half = 1.96 * np.sqrt(1 / first.events + 1 / second.events)
    return float(np.exp(log)), float(np.exp(log - half)), float(np.exp(log + half))
