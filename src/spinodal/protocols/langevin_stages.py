"""Figure 1a with noise that can reach the traps: staged escape under Langevin dynamics.

The settings are searched for, not stated in the paper. At width 10 metastability ends at the
thermal spinodal of each step, T_sp = max a E'(a) / N_z with N_z = (L-1)(w-r-1), far below the bare
barrier; below about 0.7 T_sp the free-energy barrier is several T, and a step can be activated.
With the paper's signals 0.9 and 0.8 the thermal spinodals of 0 -> 1 and 1 -> 2 are in the ratio
0.69, so no temperature puts both steps into 0.6-0.7. Hence two settings:

- `close signals`: 0.805 and 0.8 leave little more than the ratio 16/18 of their N_z, and at weight
  decay 0.32 both steps are in the window (0.695 and 0.61). Exactly equal signals would leave a
  free rotation between the features. The price is a second step of some 2e5 updates.
- `paper's signals`: 0.9 and 0.8, with 1 -> 2 at 0.69. There 0 -> 1 has no barrier left: drift.

Narrower networks were considered and dropped: at width 4 (N_z = 6 and 4) a barrier of 4 T for the
first step makes the second one 8 T, some 1e6 updates.

The learning rate of 0.4 is the largest for which the bias of the discretisation is small: the
largest curvature met is 1.7, and to leading order the rate changes by exp(-lr/2 (trace of the
Hessian at the saddle minus at the phase)), about -9 % for the step 1 -> 2. A control with a smaller
step measures it on the stage that the temperature was chosen for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from spinodal.dynamics.checkpoints import Start
from spinodal.dynamics.ensemble import Ensemble, Event, Outcome
from spinodal.dynamics.networks import Network
from spinodal.dynamics.tasks import GaussianTask
from spinodal.dynamics.updates import Stage, Update
from spinodal.protocols.abruptness import Abruptness, abruptness
from spinodal.protocols.activation import DRIFT_FROM, SEVERAL
from spinodal.protocols.side_by_side import Job, ensemble_job, own_seed
from spinodal.records import EscapeTimes, RateEstimate, Settings
from spinodal.seeding import generator
from spinodal.statistics.passage import first_passage
from spinodal.statistics.proportion import Proportion, escape_probability
from spinodal.statistics.survival import (
    Quantile,
    SurvivalCurve,
    exponential_rate,
    kaplan_meier,
    log_rank,
)
from spinodal.statistics.waiting_times import Memorylessness, memorylessness
from spinodal.theory import modes
from spinodal.theory.free_energy import (
    free_energy_barriers,
    free_energy_points,
    hidden_rotations,
    mode_first_passage_time,
    thermal_spinodal,
)

RANDOM_SLOWER = 4
"""Random starts take steps smaller by this factor; their times are counted in the others' steps."""

ARRIVED = 0.4
"""A random start has arrived when all strengths stay within this fraction of the learned ones."""

STAYING = 10.0
"""For how long, in time units; thermal fluctuations of a strength are about a tenth of it."""


class LangevinSettings(Settings):
    """Population gradient plus isotropic noise at `fraction` of a step's thermal spinodal.

    The step is the one from rank `anchor`. `replicas` have a random and as many a trivial start,
    `rank_one_replicas` start at rank 1, and `extra` more from the trivial phase, watched until
    their first stage only; as many with a learning rate smaller by `finer`, watched for
    `finer_steps` in the stage from rank `anchor`, show what the finite step does. Horizons are in
    updates; the second stage of a trivial start is watched for `second_window` updates after the
    first one. With `keep_paths` the paths from rank 1 are recorded, so that their transitions have
    a width.
    """

    name: str = "close signals"
    signals: tuple[PositiveFloat, PositiveFloat] = (0.805, 0.8)
    weight_decay: PositiveFloat = 0.32
    network: Network = Network(depth=3, width=10)
    anchor: int = Field(default=0, ge=0, le=1)
    fraction: PositiveFloat = 0.695
    learning_rate: PositiveFloat = 0.4
    replicas: PositiveInt = 64
    rank_one_replicas: PositiveInt = 64
    extra: PositiveInt = 48
    rank_one_steps: PositiveInt = 36_000
    trivial_steps: PositiveInt = 36_000
    first_steps: PositiveInt = 30_000
    second_window: PositiveInt = 24_000
    keep_paths: bool = True
    finer: PositiveInt = 4
    finer_steps: PositiveInt = 24_000
    random_steps: PositiveInt = 400
    twin_steps: PositiveInt = 3000
    thermal_steps: PositiveInt = 1500
    check_every: PositiveInt = 20

    @property
    def task(self) -> GaussianTask:
        """The exact population."""
        return GaussianTask(signals=self.signals)

    def mode(self, rank: int) -> dict[str, Any]:
        """Arguments of the theory for the step from this rank to the next."""
        rotations = hidden_rotations(depth=self.network.depth, width=self.network.width, rank=rank)
        return {
            "depth": self.network.depth,
            "signal": self.signals[rank],
            "weight_decay": self.weight_decay,
            "rotations": rotations,
        }

    @property
    def temperature(self) -> float:
        """T, from the thermal spinodal of the step from rank `anchor`."""
        return self.fraction * float(thermal_spinodal(**self.mode(self.anchor)))

    @property
    def update(self) -> Update:
        """One Langevin step on the population's loss."""
        return Update(
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            sampling="population",
            temperature=self.temperature,
        )

    def learned(self, rank: int) -> float:
        """Strength of mode `rank` + 1 in its learned phase."""
        return float(
            modes.learned(
                depth=self.network.depth,
                signal=self.signals[rank],
                weight_decay=self.weight_decay,
            )
        )

    def threshold(self, rank: int) -> float:
        """Half the learned strength of mode rank + 1, far beyond its saddle and recrossings."""
        return 0.5 * self.learned(rank)

    def barrier(self, rank: int) -> float:
        """Strength at the top of the free-energy barrier, or at the saddle where none is left."""
        mode = self.mode(rank)
        top = float(free_energy_points(**mode, temperature=self.temperature).barrier)
        bare = {k: v for k, v in mode.items() if k != "rotations"}
        return top if np.isfinite(top) else float(modes.saddle(**bare))

    def event(self, rank: int) -> Event:
        """Mode rank + 1 stays above its threshold for two checks."""
        return Event(mode=rank + 1, threshold=self.threshold(rank), persistence=2)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Kaplan-Meier survival with its 95 % limits, against updates."""

    steps: tuple[float, ...]
    survival: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class StageTheory:
    """What theory says of the step from `rank` to rank + 1, before any simulation.

    `thermal_spinodal` and `fraction` are None without rotations (width = rank + 1).
    `barrier_over_t` and `back_over_t` are free-energy barriers in T (None: no barrier is left, and
    no passage time is predicted).
    `label`: 'barrier' needs temperature / thermal_spinodal at most DRIFT_FROM and a barrier of
    at least SEVERAL T; else 'drift'. It is no verdict on the escapes. Time in
    time units (learning rate times updates).
    """

    rank: int
    rotations: int
    thermal_spinodal: float | None
    fraction: float | None
    energy_barrier_over_t: float
    barrier_over_t: float | None
    back_over_t: float | None
    predicted_time: float | None
    predicted_steps: float | None
    label: Literal["barrier", "drift"]


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """One stage from one start. `rate` per time unit; `mean_steps` = 1 / rate in updates.

    `ratio` compares the measured mean time with the predicted one, with the rate's limits.
    `noise_off` counts escapes of the same start without noise. The verdict of `memoryless` is
    'untested' below a hundred events.
    """

    start: str
    stage: str
    escapes: int
    trials: int
    horizon_steps: int
    rate: RateEstimate
    mean_steps: float | None
    mean_steps_low: float
    mean_steps_high: float | None
    median_steps: Quantile
    predicted_steps: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    memoryless: Memorylessness
    curve: Curve


@dataclass(frozen=True, kw_only=True)
class NoiseOff:
    """Escapes without noise: from the start, or from where noise had taken it `after` a while.

    From the start, which all replicas share, nothing random is left: it is one `deterministic` run
    and no sample, so `fraction` is None. After noise only replicas still behind the barrier when
    it stops are counted; where none is left (`trials` 0) there is no control.
    """

    start: str
    after: str
    deterministic: bool
    escapes: int
    trials: int
    fraction: Proportion | None
    steps: int


class StepControl(NamedTuple):
    """The stage '0 -> 1' or '1 -> 2' from its phase with a smaller step at the same temperature.

    `ratio` is its mean time over that of the protocol's step, both in time units, with its 95 %
    limits (normal in the logarithm); None when either stage has no escape.
    """

    stage: str
    learning_rate: float
    escapes: int
    trials: int
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None


@dataclass(frozen=True, kw_only=True)
class LangevinRecord:
    """Staged escape, its predictions and its controls.

    `same_hazard` is the p-value of a log-rank test that the step 1 -> 2 has one hazard, whether
    rank 1 was prepared or reached from the trivial phase. `decades` is log10 of the ratio of the
    mean time of the step 1 -> 2 and the median time from the random start, both in updates of
    `learning_rate` (a random start takes RANDOM_SLOWER times as many, smaller ones).
    """

    name: str
    signals: tuple[float, float]
    weight_decay: float
    width: int
    temperature: float
    learning_rate: float
    theory: tuple[StageTheory, ...]
    stages: tuple[StageRecord, ...]
    noise_off: tuple[NoiseOff, ...]
    step_control: StepControl
    same_hazard: float
    verdicts: tuple[str, ...]
    decades: float | None
    abruptness: Abruptness | None

    def stage(self, start: str, stage: str) -> StageRecord:
        """The stage '0 -> 1', '1 -> 2' or '0 -> 2' of a start."""
        return next(s for s in self.stages if (s.start, s.stage) == (start, stage))


def plan(settings: LangevinSettings, seed: int) -> dict[str, Job]:
    """Three starts, more replicas for the first stage, and the noise-off controls."""
    jobs: dict[str, Job] = {}
    prefix = f"Langevin, {settings.name}"
    starts = {
        "random": Start(kind="random"),
        "rank 1": Start(kind="balanced", strengths=(settings.learned(0),)),
        "trivial": Start(kind="balanced", strengths=()),
    }
    arms = {
        "random": ("random", (0, 1), RANDOM_SLOWER * settings.random_steps, 2, settings.replicas),
        "rank 1": ("rank 1", (1,), settings.rank_one_steps, settings.check_every,
                   settings.rank_one_replicas),
        "trivial": ("trivial", (0, 1), settings.trivial_steps, settings.check_every,
                    settings.replicas),
        "trivial, first stage": ("trivial", (0,), settings.first_steps, settings.check_every,
                                 settings.extra),
        "finer steps": (("trivial", "rank 1")[settings.anchor], (settings.anchor,),
                        settings.finer_steps, settings.finer * settings.check_every,
                        settings.extra),
    }  # fmt: skip
    for name, (start, ranks, steps, check, replicas) in arms.items():
        update = settings.update
        # Large random weights are stiffer than any phase.
        slower = {"random": RANDOM_SLOWER, "finer steps": settings.finer}.get(name, 1)
        update = update.model_copy(update={"learning_rate": settings.learning_rate / slower})
        ensemble = Ensemble(
            task=settings.task,
            network=settings.network,
            update=update,
            start=starts[start],
            events=tuple(settings.event(rank) for rank in ranks),
            steps=steps,
            check_every=check,
            record_at=(
                tuple(range(0, steps + 1, check))
                if name == "random" or (name == "rank 1" and settings.keep_paths)
                else ()
            ),
        )
        job = {"seed": own_seed(seed, settings.name, name), "replicas": replicas}
        jobs[f"{prefix}, {name}"] = ensemble_job(ensemble, **job)
        if name in ("rank 1", "trivial"):
            short = min(settings.twin_steps, steps)
            quiet = ensemble.noise_off.twin(steps=short, record_at=())
            # The start is the same for all replicas: without noise one run says it all.
            jobs[f"{prefix}, {name}, noise off"] = ensemble_job(quiet, seed=job["seed"], replicas=1)
            jobs[f"{prefix}, {name}, cooled"] = ensemble_job(
                _cooled(settings, starts[name]),
                seed=own_seed(seed, settings.name, name, "cooled"),
                replicas=settings.replicas,
            )
    return jobs


def _cooled(settings: LangevinSettings, start: Start) -> Ensemble:
    """Train with noise for `thermal_steps`, then without: does the scatter alone escape?"""
    thermal, end = settings.thermal_steps, settings.thermal_steps + settings.twin_steps
    return Ensemble(
        task=settings.task,
        network=settings.network,
        update=settings.update.model_copy(
            update={"schedule": (Stage(at=thermal, temperature=0.0),)}
        ),
        start=start,
        steps=end,
        check_every=math.gcd(thermal, end),
        record_at=(thermal, end),
    )


def read(settings: LangevinSettings, seed: int, results: Mapping[str, Any]) -> LangevinRecord:
    """Rates, predictions and verdicts of every stage."""
    theory = tuple(_theory(settings, rank) for rank in (0, 1))
    prefix = f"Langevin, {settings.name}"
    random: Outcome = results[f"{prefix}, random"]
    held: Outcome = results[f"{prefix}, rank 1"]
    trivial: Outcome = results[f"{prefix}, trivial"]
    extra: Outcome = results[f"{prefix}, trivial, first stage"]
    first = _join(trivial.passages[0], extra.passages[0])
    second = _second_stage(settings, trivial)
    usual = (first, held.passages[0])[settings.anchor]
    pooled = _join(held.passages[0], second)
    table = (
        ("random", "0 -> 2", _arrival(settings, random), None),
        ("rank 1", "1 -> 2", held.passages[0], theory[1]),
        ("trivial", "0 -> 1", first, theory[0]),
        ("trivial", "1 -> 2", second, theory[1]),
        ("trivial", "0 -> 2", trivial.passages[1], None),
        ("both", "1 -> 2", pooled, theory[1]),
    )
    stages = tuple(_stage(settings, seed, *row) for row in table)
    noise_off = _noise_off(settings, results)
    return LangevinRecord(
        name=settings.name,
        signals=settings.signals,
        weight_decay=settings.weight_decay,
        width=settings.network.width,
        temperature=settings.temperature,
        learning_rate=settings.learning_rate,
        theory=theory,
        stages=stages,
        noise_off=noise_off,
        step_control=_step_control(settings, usual, results[f"{prefix}, finer steps"].passages[0]),
        same_hazard=log_rank(held.passages[0], second).p_value,
        verdicts=(
            _verdict(theory[0], stages[2], noise_off),
            _verdict(theory[1], stages[5], noise_off),
        ),
        decades=_decades(stages[0], stages[5]),
        abruptness=_abruptness(settings, held),
    )


def _theory(settings: LangevinSettings, rank: int) -> StageTheory:
    mode, temperature = settings.mode(rank), settings.temperature
    critical = float(thermal_spinodal(**mode))
    out, back = free_energy_barriers(**mode, temperature=temperature)
    target = settings.threshold(rank) ** (1 / settings.network.depth)
    exists = bool(np.isfinite(out))
    time = mode_first_passage_time(**mode, temperature=temperature, target=target)
    barrier = exists and temperature <= DRIFT_FROM * critical and out >= SEVERAL * temperature
    bare = {k: v for k, v in mode.items() if k != "rotations"}
    return StageTheory(
        rank=rank,
        rotations=mode["rotations"],
        thermal_spinodal=critical if np.isfinite(critical) else None,
        fraction=temperature / critical if np.isfinite(critical) else None,
        energy_barrier_over_t=float(modes.barrier_out(**bare)) / temperature,
        barrier_over_t=float(out) / temperature if exists else None,
        back_over_t=float(back) / temperature if exists else None,
        predicted_time=time if np.isfinite(time) else None,
        predicted_steps=time / settings.learning_rate if np.isfinite(time) else None,
        label="barrier" if barrier else "drift",
    )


def _step_control(settings: LangevinSettings, usual: EscapeTimes, fine: EscapeTimes) -> StepControl:
    ratio = low = high = None
    if usual.events and fine.events:
        ratio = (fine.exposure / fine.events) / (usual.exposure / usual.events)
        spread = np.exp(1.96 * np.sqrt(1 / fine.events + 1 / usual.events))
        low, high = ratio / spread, ratio * spread
    return StepControl(
        f"{settings.anchor} -> {settings.anchor + 1}",
        settings.learning_rate / settings.finer,
        fine.events,
        len(fine.status),
        ratio,
        None if low is None else float(low),
        None if high is None else float(high),
    )


def _join(a: EscapeTimes, b: EscapeTimes) -> EscapeTimes:
    """Two sets of independent replicas as one."""
    shifted = EscapeTimes(
        replica=b.replica + int(a.replica.max(initial=-1)) + 1,
        dataset=b.dataset,
        steps=b.steps,
        time=b.time,
        status=b.status,
    )
    return EscapeTimes.merge([a, shifted])


def _arrival(settings: LangevinSettings, random: Outcome) -> EscapeTimes:
    """When a random start has reached rank 2 for good.

    Its strengths are beyond their saddles from the beginning, and overshoot before they settle.
    """
    learned = np.array([settings.learned(rank) for rank in (0, 1)])
    off = np.abs(random.recorded_strengths / learned - 1).max(axis=2)
    lr = settings.learning_rate / RANDOM_SLOWER
    spacing = float(random.recorded_steps[1]) * lr
    passed = first_passage(
        off[:, 1:], ARRIVED, steps=random.recorded_steps[1:], direction="down",
        persistence=max(1, round(STAYING / spacing)),
    )  # fmt: skip
    return passed.escape_times(lr)


def _second_stage(settings: LangevinSettings, trivial: Outcome) -> EscapeTimes:
    """Time from the first to the second stage, all watched for one common window.

    Replicas whose first stage came too late for a whole window are left out: the choice depends
    on the past of the second stage only, so it does not bias it.
    """
    one, two = trivial.passages
    window = settings.second_window
    use = one.escaped & (one.steps <= settings.trivial_steps - window)
    waited = np.maximum(two.steps - one.steps, 0)[use]
    escaped = two.escaped[use] & (waited <= window)
    steps = np.where(escaped, waited, window)
    return EscapeTimes(
        replica=one.replica[use],
        dataset=one.dataset[use],
        steps=steps,
        time=steps * settings.learning_rate,
        status=np.where(escaped, "escaped", "censored"),
    )


def _stage(
    settings: LangevinSettings,
    seed: int,
    start: str,
    stage: str,
    times: EscapeTimes,
    theory: StageTheory | None,
) -> StageRecord:
    lr, rate = settings.learning_rate, exponential_rate(times)
    survival = kaplan_meier(times)
    median = survival.median
    predicted = theory.predicted_time if theory else None
    check = 2 / RANDOM_SLOWER if start == "random" else settings.check_every
    return StageRecord(
        start=start,
        stage=stage,
        escapes=times.events,
        trials=times.status.size,
        horizon_steps=round(times.time.max() / lr),
        rate=rate,
        mean_steps=_inverse(rate.rate, lr),
        mean_steps_low=1 / rate.high / lr,
        mean_steps_high=_inverse(rate.low, lr),
        median_steps=Quantile(
            value=None if median.value is None else median.value / lr,
            low=median.low / lr,
            high=None if median.high is None else median.high / lr,
            confidence=median.confidence,
        ),
        predicted_steps=predicted / lr if predicted else None,
        ratio=_inverse(rate.rate, predicted) if predicted else None,
        ratio_low=1 / rate.high / predicted if predicted else None,
        ratio_high=_inverse(rate.low, predicted) if predicted else None,
        memoryless=memorylessness(
            times, generator=generator(seed, settings.name, start, stage),
            check_every=check * lr, resamples=499,
        ),
        curve=_curve(survival, lr),
    )  # fmt: skip


def _inverse(rate: float, unit: float) -> float | None:
    return 1 / rate / unit if rate > 0 else None


def _curve(survival: SurvivalCurve, lr: float) -> Curve:
    columns = {
        name: tuple(float(f"{v:.5g}") for v in getattr(survival, name))
        for name in ("survival", "low", "high")
    }
    return Curve(steps=tuple((survival.time / lr).tolist()), **columns)


def _noise_off(settings: LangevinSettings, results: Mapping[str, Any]) -> tuple[NoiseOff, ...]:
    rows = []
    for start in ("rank 1", "trivial"):
        quiet: Outcome = results[f"Langevin, {settings.name}, {start}, noise off"]
        cold: Outcome = results[f"Langevin, {settings.name}, {start}, cooled"]
        rank = 1 if start == "rank 1" else 0
        when_stopped, at_the_end = cold.recorded_strengths[:, :, rank].T
        # Beyond the barrier a replica is on its way, and needs no noise to arrive.
        trapped = when_stopped < settings.barrier(rank)
        escaped = trapped & (at_the_end > settings.threshold(rank))
        cool = int(escaped.sum()), int(trapped.sum())
        rest = quiet.passages[0]
        rows += [
            NoiseOff(
                start=start,
                after="no noise at all",
                deterministic=True,
                escapes=rest.events,
                trials=rest.status.size,
                fraction=None,
                steps=min(settings.twin_steps, int(rest.steps.max())),
            ),
            NoiseOff(
                start=start,
                after=f"{settings.thermal_steps} updates with noise",
                deterministic=False,
                escapes=cool[0],
                trials=cool[1],
                fraction=escape_probability(*cool) if cool[1] else None,
                steps=settings.twin_steps,
            ),
        ]
    return tuple(rows)


def _verdict(theory: StageTheory, stage: StageRecord, noise_off: tuple[NoiseOff, ...]) -> str:
    """'noise_activated' needs all: the window, silence without noise, and memorylessness.

    The control is the one whose noise stopped after a while; without replicas left in it nothing
    can be told.
    """
    rows = [row for row in noise_off if row.start == ("rank 1" if theory.rank else "trivial")]
    if any(row.escapes for row in rows):
        return "noise_free_drift"
    controlled = any(row.trials and not row.deterministic for row in rows)
    if stage.escapes == 0 or not controlled:
        return "cannot_tell"
    if theory.label == "drift" or stage.memoryless.verdict == "rejected":
        return "noise_drift"
    return "noise_activated" if stage.memoryless.verdict == "consistent" else "cannot_tell"


def _decades(fast: StageRecord, slow: StageRecord) -> float | None:
    if fast.median_steps.value is None or slow.mean_steps is None:
        return None
    return float(np.log10(slow.mean_steps / fast.median_steps.value))


def _abruptness(settings: LangevinSettings, held: Outcome) -> Abruptness | None:
    if not settings.keep_paths:
        return None
    series: NDArray[np.float64] = held.recorded_strengths[:, :, 1]
    waiting = series < 0.5 * settings.threshold(1)  # half-way to the event: still trapped
    return abruptness(
        series, held.recorded_steps, plateau=float(np.median(series[waiting])),
        final=settings.learned(1), arm="Langevin, rank 1 start", unit="updates",
    )  # fmt: skip
