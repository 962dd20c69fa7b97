"""At which weight decay is each feature lost, and does it come back? Sweeps up and down.

Every data set is swept upwards from a random start at weight decay 0, then downwards from the
rank-0 state that is left, and downwards from the state that has just lost its weakest feature.
Beside each lane with minibatch noise runs its full-batch twin, and the upward sweep is repeated
with shorter rungs. What is measured is compared with the quasi-static prediction from the
moments of the very same sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from scipy import stats

from spinodal.dynamics.networks import Network, effective_rank
from spinodal.dynamics.tasks import Data, GaussianTask, draw
from spinodal.dynamics.updates import Update
from spinodal.errors import InputError
from spinodal.protocols.quasi_static import Prediction, predict, predict_population, strength_at
from spinodal.protocols.side_by_side import Job, outcomes
from spinodal.protocols.sweep_records import (
    Curve,
    DatasetSweep,
    Mean,
    ModeSummary,
    PhaseDiagramRecord,
    Regained,
    TheoryCurve,
    Transition,
)
from spinodal.protocols.weight_decay_sweep import Lanes, Sweep, last_held, sweep
from spinodal.records import Settings
from spinodal.statistics.proportion import escape_probability
from spinodal.theory import modes
from spinodal.theory.finite_data import empirical_spinodals
from spinodal.theory.plateau import ghost_time

SPECTRA_PER_JOB = 125
"""Samples whose transitions one worker predicts in a go: some two seconds."""

STATED = (0.42, 0.36)
"""Transitions the paper states, strongest feature first."""

GONE = 1e-3
"""A strength below this counts as no feature at all (in ranks, and before a sweep turns)."""


class PhaseDiagramSettings(Settings):
    """A sweep of the weight decay in steps of `step` up to `top`, `rung_epochs` at each.

    One more data set is conditioned on the `empirical_signals` (None: none is). The spread of
    the predicted transitions is taken over `spectra` data sets, which need no training.
    """

    depth: PositiveInt = 3
    width: PositiveInt = 10
    signals: tuple[PositiveFloat, ...] = Field(default=(0.9, 0.8), min_length=1)
    empirical_signals: tuple[PositiveFloat, ...] | None = (0.9155, 0.8155)
    samples: PositiveInt = 512
    test_samples: PositiveInt = 512
    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 0.08
    step: PositiveFloat = 0.01
    top: PositiveFloat = 0.5
    rung_epochs: int = Field(default=50, ge=2)
    datasets: int = Field(default=10, ge=2)
    spectra: int = Field(default=1000, ge=3)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.depth < 3:
            raise InputError(
                f"A sweep for hysteresis needs depth >= 3, got {self.depth}: below that the "
                "features fade continuously and there is nothing to jump."
            )
        last = float(modes.spinodal(self.depth, max(self.signals)))
        if self.top <= last:
            raise InputError(
                f"The sweep must pass the last spinodal, {last:.4g}, got top = {self.top:g}: "
                "raise top."
            )
        given = self.empirical_signals
        if given is not None and len(given) != len(self.signals):
            raise InputError(
                f"empirical_signals must be as many as signals ({len(self.signals)}), got "
                f"{len(given)}: change them, or leave the conditioned data set out (none)."
            )
        self.update.steps_per_epoch(self.samples)
        return self

    @property
    def task(self) -> GaussianTask:
        """The task of the unconditioned data sets."""
        return GaussianTask(
            signals=self.signals, samples=self.samples, test_samples=self.test_samples
        )

    @property
    def update(self) -> Update:
        """The minibatch step; the sweep sets its weight decay."""
        return Update(
            learning_rate=self.learning_rate, weight_decay=0.0, batch_size=self.batch_size
        )

    @property
    def weight_decays(self) -> tuple[float, ...]:
        """The rungs, from 0 to `top`."""
        return tuple((np.arange(round(self.top / self.step) + 1) * self.step).round(12).tolist())

    def rung_steps(self, epochs: int) -> int:
        """Updates per rung of so many epochs."""
        return epochs * self.update.steps_per_epoch(self.samples)


def preset(effort: str) -> PhaseDiagramSettings:
    """The settings of one effort, "quick" or "paper"."""
    if effort == "paper":
        return PhaseDiagramSettings(datasets=50, rung_epochs=200, spectra=2000)
    return PhaseDiagramSettings(datasets=20)


Record = PhaseDiagramRecord


def run(
    settings: PhaseDiagramSettings,
    *,
    seed: int,
    workers: int = 1,
    progress: Callable[[float, str], None] | None = None,
) -> PhaseDiagramRecord:
    """Sweep every data set and compare with its own prediction."""
    tell = progress or (lambda _fraction, _text: None)
    data = _data(settings, seed)
    tell(0.0, "predicting from the moments")
    predictions = [predict(item.train, settings.depth) for item in data]
    spinodals, signals_only = _spectra(settings, seed, workers, tell)
    runs = _sweeps(settings, data, predictions, seed, tell)
    sweeps = tuple(
        _dataset(settings, number, data, predictions[number], runs) for number in range(len(data))
    )
    stated = STATED if len(settings.signals) == len(STATED) else None
    return PhaseDiagramRecord(
        depth=settings.depth,
        width=settings.width,
        signals=settings.signals,
        samples=settings.samples,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        step=settings.step,
        rung_epochs=settings.rung_epochs,
        rung_time=settings.rung_steps(settings.rung_epochs) * settings.learning_rate,
        datasets=settings.datasets,
        spectra=settings.spectra,
        weight_decays=settings.weight_decays,
        summaries=_summaries(settings, sweeps, spinodals, signals_only, stated),
        regained=_regained(settings, predictions, runs),
        sweeps=sweeps,
        spectrum_spinodals=tuple(tuple(row) for row in spinodals.tolist()),
        stated=stated,
        stated_joint=_joint(spinodals, stated),
        theory=_theory(settings, data, predictions, sweeps),
    )


@dataclass(frozen=True, eq=False)
class _Runs:
    """The sweeps of all lanes: noisy ones 0..n-1, their full-batch twins n..2n-1.

    The downward sweep has the turned lanes between the two; `turned_of` says of which data sets.
    """

    up: Sweep
    short: Sweep
    down: Sweep
    down_rungs: NDArray[np.float64]
    turned_of: tuple[int, ...]


def _data(settings: PhaseDiagramSettings, seed: int) -> list[Data]:
    """The unconditioned data sets, then the conditioned one."""
    data = [draw(settings.task, seed=seed, dataset=number) for number in range(settings.datasets)]
    if settings.empirical_signals is not None:
        conditioned = settings.task.model_copy(
            update={"empirical_signals": settings.empirical_signals}
        )
        data.append(draw(conditioned, seed=seed, dataset=settings.datasets))
    return data


def _spectra(
    settings: PhaseDiagramSettings,
    seed: int,
    workers: int,
    tell: Callable[[float, str], None],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predicted transitions of many samples, (samples, modes): from all moments; from Sigma_yx."""
    starts = range(0, settings.spectra, SPECTRA_PER_JOB)
    jobs = {
        f"spectra from {first}": Job(
            spectra,
            (settings, seed, range(first, min(first + SPECTRA_PER_JOB, settings.spectra))),
            float(SPECTRA_PER_JOB),
        )
        for first in starts
    }
    parts = outcomes(jobs, workers=workers, progress=lambda f, text: tell(0.1 + 0.2 * f, text))
    exact, rough = zip(*parts.values(), strict=True)
    return np.concatenate(exact), np.concatenate(rough)


def spectra(
    settings: PhaseDiagramSettings, seed: int, numbers: range
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One share of the samples; none is trained."""
    exact, rough = [], []
    for number in numbers:
        moments = draw(settings.task, seed=seed, dataset=number).train
        exact.append(empirical_spinodals(moments.xx, moments.yx, depth=settings.depth))
        values = np.linalg.svd(moments.yx, compute_uv=False)
        rough.append(modes.spinodal(settings.depth, values))
    return np.array(exact), np.array(rough)


def _sweeps(
    settings: PhaseDiagramSettings,
    data: list[Data],
    predictions: list[Prediction],
    seed: int,
    tell: Callable[[float, str], None],
) -> _Runs:
    count = len(data)
    everyone = tuple(range(count))
    lanes = Lanes(data=data, noisy=everyone, quiet=everyone, replicas=everyone)
    outputs, inputs = settings.task.shape
    network = Network(depth=settings.depth, width=settings.width)
    start = network.initial(outputs, inputs, seed=seed, replicas=range(count))
    start = [np.concatenate([layer, layer], axis=-1) for layer in start]
    rungs = np.repeat(np.array(settings.weight_decays)[:, None], 2 * count, axis=1)
    update = settings.update
    long = settings.rung_steps(settings.rung_epochs)
    up = sweep(
        start, rungs, lanes=lanes, network=network, update=update, rung_steps=long, seed=seed,
        wanted=lambda strengths: _one_lost(strengths, predictions),
        progress=lambda f: tell(0.3 + 0.25 * f, "sweeping up"),
    )  # fmt: skip
    short = sweep(
        start, rungs, lanes=lanes, network=network, update=update, seed=seed,
        rung_steps=settings.rung_steps(settings.rung_epochs // 2),
        progress=lambda f: tell(0.55 + 0.12 * f, "sweeping up with shorter rungs"),
    )  # fmt: skip
    turned_of = tuple(int(i) for i in np.flatnonzero(up.kept_at[:count] >= 0))
    down_lanes = replace(
        lanes,
        noisy=(*everyone, *turned_of),
        replicas=(*everyone, *(count + i for i in turned_of)),
    )
    state = [
        np.concatenate([end[..., :count], kept[..., list(turned_of)], end[..., count:]], axis=-1)
        for end, kept in zip(up.layers, up.kept, strict=True)
    ]
    # A turned lane waits at its own rung until the sweep from the top has come down to it.
    ceiling = np.concatenate(
        [rungs[-1, :count], rungs[up.kept_at[list(turned_of)], 0], rungs[-1, count:]]
    )
    down_rungs = np.minimum(np.array(settings.weight_decays)[::-1, None], ceiling)
    down = sweep(
        state, down_rungs, lanes=down_lanes, network=network, update=update, rung_steps=long,
        seed=seed, first_step=len(rungs) * long,
        progress=lambda f: tell(0.67 + 0.33 * f, "sweeping down"),
    )  # fmt: skip
    return _Runs(up, short, down, down_rungs, turned_of)


def _one_lost(strengths: NDArray[np.float64], predictions: list[Prediction]) -> NDArray[np.bool_]:
    """Lanes that have lost their weakest feature, and only that; `strengths` (modes, lanes)."""
    if len(strengths) < 2:
        return np.zeros(strengths.shape[1], dtype=bool)
    jump = np.array([prediction.jumps[-2] for prediction in predictions])
    held = strengths[-2] > 0.5 * np.tile(jump, strengths.shape[1] // len(jump))
    return (strengths[-1] < GONE) & held


def _dataset(
    settings: PhaseDiagramSettings,
    number: int,
    data: list[Data],
    prediction: Prediction,
    runs: _Runs,
) -> DatasetSweep:
    count, up, down = len(data), runs.up, runs.down
    transitions = tuple(
        _transition(settings, mode, number, count, data[number], prediction, runs)
        for mode in range(1, len(prediction.spinodals) + 1)
    )
    turned = runs.turned_of.index(number) if number in runs.turned_of else None
    return DatasetSweep(
        dataset=number,
        conditioned=number >= settings.datasets,
        signals=tuple(np.linalg.svd(data[number].train.yx, compute_uv=False).tolist()),
        transitions=transitions,
        up=_curve(up, number),
        # From the top down to 0, turned round so that rungs ascend.
        down=_curve(down, number, backwards=True),
        up_noiseless=_curve(up, count + number),
        turned=None if turned is None else _curve(down, count + turned, backwards=True),
        turned_from=None if turned is None else float(runs.down_rungs[0, count + turned]),
    )


def _transition(
    settings: PhaseDiagramSettings,
    mode: int,
    number: int,
    count: int,
    data: Data,
    prediction: Prediction,
    runs: _Runs,
) -> Transition:
    decays = settings.weight_decays
    threshold = 0.5 * prediction.jumps[mode - 1]

    def held_at(sweep: Sweep, lane: int) -> int | None:
        return last_held(sweep.strengths[:, mode - 1, lane], threshold)

    def midpoint(rung: int | None) -> float | None:
        return None if rung is None else 0.5 * (decays[rung] + decays[rung + 1])

    def area(lane: int, lane_down: int) -> float:
        up = runs.up.strengths[:, mode - 1, lane]
        down = runs.down.strengths[::-1, mode - 1, lane_down]
        return float(np.trapezoid(up - down, decays))

    rung = held_at(runs.up, number)
    strengths = runs.up.strengths[:, mode - 1]
    below = max(int(np.searchsorted(decays, prediction.spinodals[mode - 1])) - 1, 0)
    predicted = strength_at(data.train, settings.depth, mode, decays[below])
    return Transition(
        mode=mode,
        predicted=prediction.spinodals[mode - 1],
        measured=midpoint(rung),
        noiseless=midpoint(held_at(runs.up, count + number)),
        short=midpoint(held_at(runs.short, number)),
        short_noiseless=midpoint(held_at(runs.short, count + number)),
        before=float(strengths[below, number]),
        before_noiseless=float(strengths[below, count + number]),
        before_predicted=predicted,
        after=None if rung is None else float(strengths[min(rung + 2, len(decays) - 1), number]),
        jump_predicted=prediction.jumps[mode - 1],
        area=area(number, number),
        area_noiseless=area(count + number, count + len(runs.turned_of) + number),
        area_predicted=prediction.areas[mode - 1],
    )


def _curve(sweep: Sweep, lane: int, *, backwards: bool = False) -> Curve:
    order = slice(None, None, -1 if backwards else 1)
    strengths = sweep.strengths[order, :, lane].T
    return _as_curve(strengths, sweep.test_error[order, lane])


def _as_curve(strengths: NDArray[np.float64], test_error: NDArray[np.float64]) -> Curve:
    """`strengths` (modes, rungs); what is gone counts as no rank."""
    ranks = effective_rank(np.where(strengths < GONE, 0.0, strengths))
    return Curve(
        test_error=tuple(test_error.tolist()),
        effective_rank=tuple(ranks.tolist()),
        strengths=tuple(tuple(row) for row in strengths.tolist()),
    )


def _regained(
    settings: PhaseDiagramSettings, predictions: list[Prediction], runs: _Runs
) -> tuple[Regained, ...]:
    count, turned = len(predictions), len(runs.turned_of)
    last = len(predictions[0].spinodals) - 1
    groups = (
        ("rank 0, minibatch noise", range(count), range(count), 0),
        ("rank 0, full batch", range(count + turned, 2 * count + turned), range(count), 0),
        (f"rank {last}, minibatch noise", range(count, count + turned), runs.turned_of, last),
    )
    rows = []
    for start, lanes, sets, rank in groups:
        lost = runs.down.strengths[:, rank:, list(lanes)]
        jumps = np.array([predictions[i].jumps[rank:] for i in sets]).reshape(-1, last + 1 - rank)
        # Only lanes that have really lost these features can regain them.
        fallen = (lost[0] < GONE).all(axis=0) if len(lanes) else np.zeros(0, dtype=bool)
        back = (lost > 0.5 * jumps.T).any(axis=(0, 1)) & fallen
        rows.append(
            Regained(
                start=start,
                lanes=int(fallen.sum()),
                regained=int(back.sum()),
                bound=escape_probability(int(back.sum()), int(fallen.sum())).high,
                largest=float(lost[..., fallen].max(initial=0.0)),
            )
        )
    return tuple(rows)


def _summaries(
    settings: PhaseDiagramSettings,
    sweeps: tuple[DatasetSweep, ...],
    spinodals: NDArray[np.float64],
    signals_only: NDArray[np.float64],
    stated: tuple[float, ...] | None,
) -> tuple[ModeSummary, ...]:
    population = predict_population(settings.signals, settings.depth)
    signals = sorted(settings.signals, reverse=True)
    spread = spinodals.std(axis=0, ddof=1)
    centre = spinodals.mean(axis=0)
    summaries = []
    for k, signal in enumerate(signals):
        rows = [item.transitions[k] for item in sweeps if not item.conditioned]

        def less(values: list[float | None], rows: list[Transition] = rows) -> Mean:
            pairs = zip(values, rows, strict=True)
            return Mean.of([None if v is None else v - row.predicted for v, row in pairs])

        jumps = [None if r.after is None else r.before - r.after for r in rows]
        errors = [
            None if jump is None else jump - r.before_predicted
            for jump, r in zip(jumps, rows, strict=True)
        ]
        summaries.append(
            ModeSummary(
                mode=k + 1,
                signal=signal,
                stated=None if stated is None else stated[k],
                population=population.spinodals[k],
                population_jump=population.jumps[k],
                population_area=population.areas[k],
                ghost_time=float(
                    ghost_time(
                        depth=settings.depth,
                        signal=signal,
                        weight_decay=population.spinodals[k] + settings.step,
                    )
                ),
                measured=Mean.of([r.measured for r in rows]),
                predicted=Mean.of([r.predicted for r in rows]),
                lag=less([r.measured for r in rows]),
                lag_noiseless=less([r.noiseless for r in rows]),
                lag_short=less([r.short for r in rows]),
                lag_short_noiseless=less([r.short_noiseless for r in rows]),
                jump=Mean.of(jumps),
                jump_error=Mean.of(errors),
                jump_error_noiseless=Mean.of(
                    [r.before_noiseless - r.before_predicted for r in rows]
                ),
                before_predicted=Mean.of([r.before_predicted for r in rows]),
                jump_predicted=Mean.of([r.jump_predicted for r in rows]),
                area=Mean.of([r.area for r in rows]),
                area_noiseless=Mean.of([r.area_noiseless for r in rows]),
                area_predicted=Mean.of([r.area_predicted for r in rows]),
                area_error=Mean.of([r.area - r.area_predicted for r in rows]),
                spread_mean=float(centre[k]),
                spread=float(spread[k]),
                spread_error=_error_of_spread(spinodals[:, k]),
                spread_signals_only=float(signals_only[:, k].std(ddof=1)),
                stated_z=None if stated is None else float((stated[k] - centre[k]) / spread[k]),
            )
        )
    return tuple(summaries)


def _joint(spinodals: NDArray[np.float64], stated: tuple[float, ...] | None) -> float | None:
    if stated is None:
        return None
    offset = np.array(stated) - spinodals.mean(axis=0)
    distance = float(offset @ np.linalg.solve(np.cov(spinodals.T), offset))
    return float(stats.chi2.sf(distance, len(stated)))


def _theory(
    settings: PhaseDiagramSettings,
    data: list[Data],
    predictions: list[Prediction],
    sweeps: tuple[DatasetSweep, ...],
) -> TheoryCurve | None:
    """Exact for the conditioned sample, whose Sigma_xx is the identity."""
    if not sweeps[-1].conditioned:
        return None
    sample = data[-1]
    left, eta, right = np.linalg.svd(sample.train.yx)
    ends = np.array(predictions[-1].spinodals)
    grid = np.unique(
        np.concatenate([np.linspace(0, settings.top, 201), ends * (1 - 1e-9), ends * (1 + 1e-9)])
    )
    learned = modes.stationary_points(
        depth=settings.depth, signal=eta[:, None], weight_decay=grid
    ).learned
    strengths = np.nan_to_num(learned, nan=0.0)
    maps = np.einsum("ik,kg,kj->gij", left[:, : len(eta)], strengths, right[: len(eta)])
    return TheoryCurve(
        weight_decays=tuple(grid.tolist()),
        curve=_as_curve(strengths, sample.test.error(maps)),
    )


def _error_of_spread(values: NDArray[np.float64]) -> float:
    """Standard error of a standard deviation, tails included: s sqrt((kurtosis - 1) / 4n)."""
    off = values - values.mean()
    spread = float(off.std(ddof=1))
    kurtosis = float((off**4).mean() / (off**2).mean() ** 2)
    return spread * float(np.sqrt((kurtosis - 1) / (4 * len(values))))
