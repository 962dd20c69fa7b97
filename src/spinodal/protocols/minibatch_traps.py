"""Figure 1a as described: minibatch SGD from random weights, a rank-1 trap and a trivial trap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy.optimize import brentq

from spinodal.dynamics.checkpoints import Start
from spinodal.dynamics.ensemble import Ensemble, Outcome
from spinodal.dynamics.networks import Network
from spinodal.dynamics.tasks import Data, GaussianTask, draw
from spinodal.dynamics.updates import Update
from spinodal.protocols.abruptness import Abruptness, abruptness
from spinodal.protocols.side_by_side import Job, ensemble_job
from spinodal.records import EscapeTimes, RateEstimate, Settings
from spinodal.statistics.passage import first_passage, midpoint_passage
from spinodal.statistics.proportion import Proportion, escape_probability
from spinodal.statistics.survival import Quantile, exponential_rate, kaplan_meier
from spinodal.theory import modes
from spinodal.theory.finite_data import empirical_spinodals

StartName = Literal["random", "rank 1", "trivial"]
RANK: dict[str, int] = {"rank 1": 1, "trivial": 0}

SETTLED = 0.05
"""A test error that stays within this of its final value has arrived; SGD noise moves it less."""


class Arm(Settings):
    """One start at one weight decay, watched for `epochs`; its noise-off twin for `twin_epochs`.

    Observables are looked at every `check_every` updates.
    """

    start: StartName
    weight_decay: PositiveFloat
    epochs: PositiveInt
    twin_epochs: PositiveInt
    check_every: PositiveInt = 8

    @property
    def name(self) -> str:
        """What the report calls it."""
        return f"{self.start} start, weight decay {self.weight_decay:g}"


class MinibatchSettings(Settings):
    """The paper's experiment. `datasets` are drawn; one more is conditioned on `empirical_signals`.

    Trajectory i trains on data set i modulo (datasets + 1). Traps are prepared by annealing, with
    `rung_steps` updates at each weight decay, until the next strength is below `residual`. A
    strength counts as learned when it stays above the population's saddle for `persistence` checks.
    """

    signals: tuple[PositiveFloat, PositiveFloat] = (0.9, 0.8)
    empirical_signals: tuple[PositiveFloat, PositiveFloat] = (0.9155, 0.8155)
    samples: PositiveInt = 512
    test_samples: PositiveInt = 512
    network: Network = Network(depth=3, width=10)
    learning_rate: PositiveFloat = 0.08
    batch_size: PositiveInt = 64
    residual: NonNegativeFloat = 1e-9
    rung_steps: PositiveInt = 200
    datasets: PositiveInt = 20
    trajectories: PositiveInt = 231
    persistence: PositiveInt = 3
    arms: tuple[Arm, ...] = Field(min_length=1)

    @property
    def task(self) -> GaussianTask:
        """Finite training and test samples of the Gaussian task."""
        return GaussianTask(
            signals=self.signals, samples=self.samples, test_samples=self.test_samples
        )

    def update(self, weight_decay: float) -> Update:
        """Plain minibatch SGD on shuffled epochs."""
        return Update(
            learning_rate=self.learning_rate,
            weight_decay=weight_decay,
            sampling="shuffled",
            batch_size=self.batch_size,
        )

    @property
    def steps_per_epoch(self) -> int:
        """Updates per epoch: floor(N / B)."""
        return self.update(0.0).steps_per_epoch(self.samples)

    @property
    def epoch_time(self) -> float:
        """Time units per epoch: learning rate times updates."""
        return self.learning_rate * self.steps_per_epoch


def training_sets(settings: MinibatchSettings, seed: int) -> list[Data]:
    """The drawn data sets, and last the one with the signals that the paper's own runs imply."""
    conditioned = settings.task.model_copy(update={"empirical_signals": settings.empirical_signals})
    return [
        *(draw(settings.task, seed=seed, dataset=i) for i in range(settings.datasets)),
        draw(conditioned, seed=seed, dataset=settings.datasets),
    ]


def start_of(settings: MinibatchSettings, name: StartName) -> Start:
    """Random weights, or a trap annealed to its rank."""
    if name == "random":
        return Start(kind="random")
    return Start(
        kind="trap",
        rank=RANK[name],
        residual=settings.residual,
        rung_steps=settings.rung_steps,
        learning_rate=settings.learning_rate,
    )


@dataclass(frozen=True, kw_only=True)
class EscapeCount:
    """Escapes by one definition. `fraction` counts trajectories, `datasets` data sets with any.

    `rate` is per time unit (learning rate times updates), `rate_per_epoch` and its limits the
    same per epoch; without escapes the upper limit is one-sided. `median_epochs` is Kaplan-Meier.
    """

    escapes: int
    trials: int
    fraction: Proportion
    datasets: Proportion
    rate: RateEstimate
    rate_per_epoch: float
    rate_per_epoch_low: float
    rate_per_epoch_high: float
    median_epochs: Quantile


@dataclass(frozen=True, kw_only=True)
class ArmRecord:
    """One start at one weight decay, with noise and without.

    `by_strength`: the next strength stays above its saddle. `eligible`: the same, only of
    trajectories on data sets that can hold the next rank at this weight decay (the spinodal of the
    next mode, from the empirical moments, lies above it; None: no data set can): the others have
    no phase to escape to and say nothing of escape. `by_test_error`: the paper's rule,
    test error below the midpoint between the error of the plateau and of the network that has
    every feature this data set can hold. `literal_escapes` takes the first and the last test
    error seen as plateau and final value, as one reads it off a curve. `next_strength_start`,
    `next_strength_end` are the largest values over trajectories of the strength to be learned.
    `certified_forever` counts trajectories that start inside the absorbing ball around zero,
    where no batch can make a weight matrix grow (None: not a trivial trap); `exactly_zero` those
    whose map is exactly zero at the end. `same_as_noise_off` counts trajectories that escaped
    with noise exactly if they did without, within the twin's horizon. `settled_epochs` is the
    median time from which the test error stays within SETTLED of its mean over the last quarter
    (None: not by half of them). Test error curves are means and 10 and 90 % quantiles over
    trajectories.
    """

    start: StartName
    weight_decay: float
    epochs: int
    twin_epochs: int
    trajectories: int
    datasets: int
    prepared_at_low: float
    prepared_at_median: float
    prepared_at_high: float
    by_strength: EscapeCount
    eligible: EscapeCount | None
    by_test_error: EscapeCount
    literal_escapes: int
    noise_off: EscapeCount
    noise_off_by_test_error: EscapeCount
    same_as_noise_off: int
    settled_epochs: Quantile
    abruptness: Abruptness
    next_strength_start: float
    next_strength_end: float
    exactly_zero: int
    certified_forever: int | None
    final_rank_two: int
    curve_epochs: tuple[float, ...]
    curve_mean: tuple[float, ...]
    curve_low: tuple[float, ...]
    curve_high: tuple[float, ...]
    plateau_error: float
    final_error: float

    @property
    def eligible_escapes(self) -> int:
        """Escapes on data sets that can hold the next rank."""
        return self.eligible.escapes if self.eligible else 0

    @property
    def eligible_trials(self) -> int:
        """Trajectories on data sets that can hold the next rank."""
        return self.eligible.trials if self.eligible else 0

    @property
    def eligible_datasets(self) -> int:
        """Data sets that can hold the next rank."""
        return self.eligible.datasets.trials if self.eligible else 0


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """Spinodals of one data set, and whether training from rank 2 kept it at each weight decay."""

    dataset: int
    conditioned: bool
    spinodal_first: float
    spinodal_second: float
    holds_rank_two: tuple[bool, ...]


@dataclass(frozen=True, kw_only=True)
class MinibatchRecord:
    """The paper's experiment and its twins; `weight_decays` orders `holds_rank_two`."""

    samples: int
    batch_size: int
    learning_rate: float
    empirical_signals: tuple[float, float]

    weight_decays: tuple[float, ...]
    saddle_strengths: tuple[float, ...]
    datasets: tuple[DatasetFacts, ...]
    cannot_hold_rank_two: tuple[int, ...]
    steps_per_epoch: int
    epoch_time: float
    arms: tuple[ArmRecord, ...]

    def arm(self, start: StartName, weight_decay: float) -> ArmRecord:
        """The arm of this start and weight decay."""
        return next(a for a in self.arms if (a.start, a.weight_decay) == (start, weight_decay))


def plan(settings: MinibatchSettings, seed: int, data: list[Data]) -> dict[str, Job]:
    """The arms, their noise-off twins, and noise-free runs that show plateau and final error."""
    per_epoch, jobs = settings.steps_per_epoch, {}
    for arm in settings.arms:
        noisy = Ensemble(
            task=settings.task,
            network=settings.network,
            update=settings.update(arm.weight_decay),
            start=start_of(settings, arm.start),
            steps=arm.epochs * per_epoch,
            check_every=arm.check_every,
            record_at=tuple(range(0, arm.epochs * per_epoch + 1, arm.check_every)),
        )
        steps = arm.twin_epochs * per_epoch
        quiet = noisy.noise_off.twin(
            steps=steps, record_at=tuple(range(0, steps + 1, arm.check_every))
        )
        for name, ensemble in ((arm.name, noisy), (f"{arm.name}, noise off", quiet)):
            jobs[name] = ensemble_job(
                ensemble, seed=seed, replicas=settings.trajectories, data=data
            )
    for weight_decay in _decays(settings):
        for rank in (1, 2):
            jobs[_reference(weight_decay, rank)] = ensemble_job(
                Ensemble(
                    task=settings.task,
                    network=settings.network,
                    update=settings.update(weight_decay).noiseless,
                    start=Start(kind="balanced", strengths=settings.signals[:rank]),
                    steps=4000,
                    check_every=4000,
                ),
                seed=seed,
                replicas=len(data),
                data=data,
            )
    return jobs


def read(
    settings: MinibatchSettings, data: list[Data], results: Mapping[str, Any]
) -> MinibatchRecord:
    """Count the escapes in what the jobs of `plan` returned."""
    depth, decays = settings.network.depth, _decays(settings)
    saddles = np.array(
        [modes.saddle(depth=depth, signal=settings.signals, weight_decay=b) for b in decays]
    )
    holds = [
        results[_reference(b, 2)].strengths[:, 1] > saddle[1]
        for b, saddle in zip(decays, saddles, strict=True)
    ]
    limits = [empirical_spinodals(d.train.xx, d.train.yx, depth=depth) for d in data]
    facts = tuple(
        DatasetFacts(
            dataset=i,
            conditioned=i == settings.datasets,
            spinodal_first=float(limits[i][0]),
            spinodal_second=float(limits[i][1]),
            holds_rank_two=tuple(bool(h[i]) for h in holds),
        )
        for i in range(len(data))
    )
    return MinibatchRecord(
        samples=settings.samples,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        empirical_signals=settings.empirical_signals,
        weight_decays=decays,
        saddle_strengths=tuple(float(s[1]) for s in saddles),
        datasets=facts,
        cannot_hold_rank_two=tuple(int((~h).sum()) for h in holds),
        steps_per_epoch=settings.steps_per_epoch,
        epoch_time=settings.epoch_time,
        arms=tuple(
            _arm(settings, arm, data, results, saddles[decays.index(arm.weight_decay)], limits)
            for arm in settings.arms
        ),
    )


def absorbing_radius(data: Data, *, batch_size: int, weight_decay: float, depth: int) -> float:
    """Operator norm of the layers below which no batch makes any of them grow, depth >= 3.

    a with a**(L-2) (max_B ||<y x^T>_B|| + a**L max_B ||<x x^T>_B||) = weight_decay. If all layers
    have norm at most a, then ||grad_l|| <= a**(L-1) ||G_B|| <= weight_decay a, so a step with
    learning_rate <= 1 / weight_decay leaves every norm at most a: the ball is never left. The
    maxima are bounded by the mean of the B largest ||y|| ||x|| and ||x||**2, so the statement
    holds for every batch without replacement, in any order, for ever.
    """
    assert data.x is not None
    assert data.y is not None
    x, y = np.linalg.norm(data.x, axis=1), np.linalg.norm(data.y, axis=1)
    yx = float(np.sort(x * y)[-batch_size:].mean())
    xx = float(np.sort(x * x)[-batch_size:].mean())

    def excess(a: float) -> float:
        return a ** (depth - 2) * (yx + a**depth * xx) - weight_decay

    return float(np.asarray(brentq(excess, 0.0, (weight_decay / yx) ** (1 / (depth - 2)))))


def count(times: EscapeTimes, epoch_time: float) -> EscapeCount:
    """Escapes, their rate, and how many data sets showed any."""
    escaped, rate = times.escaped, exponential_rate(times)
    sets, hit = np.unique(times.dataset), np.unique(times.dataset[escaped])
    median = kaplan_meier(times).median
    return EscapeCount(
        escapes=times.events,
        trials=len(escaped),
        fraction=escape_probability(times.events, len(escaped)),
        datasets=escape_probability(len(hit), len(sets)),
        rate=rate,
        rate_per_epoch=rate.rate * epoch_time,
        rate_per_epoch_low=rate.low * epoch_time,
        rate_per_epoch_high=rate.high * epoch_time,
        median_epochs=in_epochs(median, epoch_time),
    )


def in_epochs(quantile: Quantile, epoch_time: float) -> Quantile:
    """A quantile of the time as one of epochs."""
    return Quantile(
        value=None if quantile.value is None else quantile.value / epoch_time,
        low=quantile.low / epoch_time,
        high=None if quantile.high is None else quantile.high / epoch_time,
        confidence=quantile.confidence,
    )


def _decays(settings: MinibatchSettings) -> tuple[float, ...]:
    return tuple(dict.fromkeys(arm.weight_decay for arm in settings.arms))


def _reference(weight_decay: float, rank: int) -> str:
    return f"noise-free rank {rank} at weight decay {weight_decay:g}"


def _arm(
    settings: MinibatchSettings,
    arm: Arm,
    data: list[Data],
    results: Mapping[str, Any],
    saddles: NDArray[np.float64],
    limits: list[NDArray[np.float64]],
) -> ArmRecord:
    noisy: Outcome = results[arm.name]
    quiet: Outcome = results[f"{arm.name}, noise off"]
    dataset = noisy.passages[0].dataset if noisy.passages else _dataset(settings, len(data))
    final = results[_reference(arm.weight_decay, 2)].test_error[dataset]
    one = results[_reference(arm.weight_decay, 1)].test_error[dataset]
    # Below rank 2 the plateau is that of the phase itself; random weights have none but the start.
    plateau = one if arm.start == "rank 1" else noisy.recorded_test_error[:, 0]
    mode = RANK.get(arm.start, 1)
    strength = _by_strength(settings, noisy, mode, saddles[mode], dataset)
    twin = _by_strength(settings, quiet, mode, saddles[mode], dataset)
    able = np.array([limit[mode] > arm.weight_decay for limit in limits])[dataset]
    next_strength = noisy.recorded_strengths[:, :, mode]
    within = strength.escaped & (strength.steps <= arm.twin_epochs * settings.steps_per_epoch)
    shown = _thinned(len(noisy.recorded_steps))
    errors = noisy.recorded_test_error[:, shown]
    last = noisy.recorded_test_error[:, -1]
    literal = midpoint_passage(
        noisy.recorded_test_error, steps=noisy.recorded_steps,
        plateau=noisy.recorded_test_error[:, 0], final=last,
    )  # fmt: skip
    return ArmRecord(
        start=arm.start,
        weight_decay=arm.weight_decay,
        epochs=arm.epochs,
        twin_epochs=arm.twin_epochs,
        trajectories=settings.trajectories,
        datasets=len(data),
        prepared_at_low=float(noisy.prepared_at.min()),
        prepared_at_median=float(np.median(noisy.prepared_at)),
        prepared_at_high=float(noisy.prepared_at.max()),
        by_strength=count(strength, settings.epoch_time),
        eligible=count(strength.select(able), settings.epoch_time) if able.any() else None,
        by_test_error=_by_error(settings, noisy, plateau, final, dataset),
        literal_escapes=int(literal.passed.sum()),
        noise_off=count(twin, settings.epoch_time),
        noise_off_by_test_error=_by_error(settings, quiet, plateau, final, dataset),
        same_as_noise_off=int((within == twin.escaped).sum()),
        settled_epochs=settled(noisy, settings.learning_rate, settings.epoch_time),
        abruptness=abruptness(
            noisy.recorded_test_error,
            noisy.recorded_steps / settings.steps_per_epoch,
            plateau=noisy.recorded_test_error[:, 0],
            final=final,
            arm=f"minibatch SGD, {arm.name}",
        ),
        next_strength_start=float(next_strength[:, 0].max()),
        next_strength_end=float(next_strength[:, -1].max()),
        exactly_zero=int((noisy.strengths[:, 0] == 0).sum()),
        certified_forever=_certified(settings, arm, noisy, data, dataset),
        final_rank_two=int((noisy.strengths[:, 1] > saddles[1]).sum()),
        curve_epochs=tuple((noisy.recorded_steps[shown] / settings.steps_per_epoch).tolist()),
        curve_mean=_rounded(errors.mean(axis=0)),
        curve_low=_rounded(np.quantile(errors, 0.1, axis=0)),
        curve_high=_rounded(np.quantile(errors, 0.9, axis=0)),
        plateau_error=float(np.mean(plateau)),
        final_error=float(np.mean(final)),
    )


def _by_strength(
    settings: MinibatchSettings,
    outcome: Outcome,
    mode: int,
    saddle: float,
    dataset: NDArray[np.int64],
) -> EscapeTimes:
    # Random weights may start beyond the saddle: the start itself is no escape.
    passed = first_passage(
        outcome.recorded_strengths[:, 1:, mode],
        saddle,
        steps=outcome.recorded_steps[1:],
        direction="up",
        persistence=settings.persistence,
    )
    return passed.escape_times(settings.learning_rate, dataset=dataset)


def _by_error(
    settings: MinibatchSettings,
    outcome: Outcome,
    plateau: NDArray[np.float64],
    final: NDArray[np.float64],
    dataset: NDArray[np.int64],
) -> EscapeCount:
    """The paper's rule; a data set whose final error is not well below the plateau has no event."""
    passed = midpoint_passage(
        outcome.recorded_test_error[:, 1:], steps=outcome.recorded_steps[1:],
        plateau=plateau, final=final, least_drop=0.02, persistence=settings.persistence,
    )  # fmt: skip
    return count(passed.escape_times(settings.learning_rate, dataset=dataset), settings.epoch_time)


def settled(outcome: Outcome, learning_rate: float, epoch_time: float) -> Quantile:
    """Median epochs until the test error stays within SETTLED of its mean over the last quarter.

    It may cross its final value before: random weights first overshoot it.
    """
    errors, steps = outcome.recorded_test_error, outcome.recorded_steps
    tail = 3 * len(steps) // 4
    off = np.abs(errors - errors[:, tail:].mean(axis=1, keepdims=True)) > SETTLED
    last = np.where(off.any(axis=1), off.shape[1] - 1 - off[:, ::-1].argmax(axis=1), -1)
    arrived = last < tail
    at = steps[np.where(arrived, np.minimum(last + 1, len(steps) - 1), len(steps) - 1)]
    at = np.maximum(at, steps[1])
    times = EscapeTimes(
        replica=np.arange(len(at)),
        dataset=np.zeros(len(at), dtype=np.int64),
        steps=at,
        time=at * learning_rate,
        status=np.where(arrived, "escaped", "censored"),
    )
    return in_epochs(kaplan_meier(times).median, epoch_time)


def _certified(
    settings: MinibatchSettings,
    arm: Arm,
    outcome: Outcome,
    data: list[Data],
    dataset: NDArray[np.int64],
) -> int | None:
    if arm.start != "trivial":
        return None
    radius = np.array(
        [
            absorbing_radius(
                d, batch_size=settings.batch_size, weight_decay=arm.weight_decay,
                depth=settings.network.depth,
            )
            for d in data
        ]
    )  # fmt: skip
    # At rank 0 the first dead singular value of a layer is its operator norm.
    return int((outcome.dead_amplitudes.max(axis=1) <= radius[dataset]).sum())


def _dataset(settings: MinibatchSettings, datasets: int) -> NDArray[np.int64]:
    return np.arange(settings.trajectories) % datasets


def _thinned(records: int, most: int = 60) -> NDArray[np.int64]:
    """The first record and then about evenly spaced ones on a logarithmic axis."""
    grid = np.geomspace(1, max(records - 1, 1), most).round().astype(int)
    return np.unique(np.append(0, grid[grid < records]))


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(f"{v:.5g}") for v in values)
