"""How well had the checkpoint converged? The same traps with residuals over decades, twins beside.

A trap of rank r that was left with a next strength `residual` escapes without any noise if that
residual lies above the separatrix of the next mode at the new weight decay, after a plateau
(theory.plateau), and never if it lies below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from spinodal.dynamics.checkpoints import Start, prepare
from spinodal.dynamics.networks import Layers, project_to_rank
from spinodal.dynamics.tasks import Data
from spinodal.dynamics.trainer import copies_at, seen_strengths, trainer
from spinodal.dynamics.updates import Update
from spinodal.errors import InputError
from spinodal.protocols.abruptness import Abruptness, abruptness
from spinodal.protocols.minibatch_traps import MinibatchSettings
from spinodal.protocols.side_by_side import Job
from spinodal.records import EscapeTimes, Settings
from spinodal.statistics.proportion import Proportion, escape_probability
from spinodal.statistics.survival import Quantile, kaplan_meier
from spinodal.theory import modes
from spinodal.theory.plateau import plateau_time, separatrix

LARGEST = 0.15
"""The largest residual: such a 'rank-1 checkpoint' is a ghost, a rank-2 network on its way down."""

LONGEST = 200_000
"""Updates after which a checkpoint that has not decayed to its residual is given up."""


class LadderSettings(Settings):
    """Residuals of the rank-1 and the trivial trap; 0 is the exact projection onto the rank.

    Every data set gives one checkpoint per residual. Each is trained on for `epochs` at each of
    `weight_decays`, with minibatch noise and without.
    """

    weight_decays: tuple[PositiveFloat, ...] = (0.32, 0.03)
    rank_one: tuple[float, ...] = Field(
        default=(0.15, 0.1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-9, 1e-12, 0.0)
    )
    trivial: tuple[float, ...] = (0.1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-9, 0.0)
    epochs: PositiveInt = 130


@dataclass(frozen=True, kw_only=True)
class Rung:
    """All data sets at one residual, with minibatch noise and with the noise off.

    A checkpoint has escaped when its next strength ends above the saddle of the population;
    the time is that of half the rise. `missing_end` is the largest next strength at the end among
    those that have not escaped, with noise or without (None: all have). `predicted` is the median
    over data sets of the noise-free plateau from the residual, in epochs, for the population's
    signal; None: below `separatrix` (as a strength), never. `disagree` counts data sets
    on which noise decided: escaped with it and not without, or the other way round. `delay_ratio`
    is the median of (time with noise) / (time without) where both escaped.
    """

    weight_decay: float
    rank: int
    residual: float
    residual_median: float
    separatrix: float
    with_noise: Proportion
    noise_off: Proportion
    disagree: int
    epochs_with_noise: Quantile
    epochs_noise_off: Quantile
    epochs_all_noise_off: Quantile
    delay_ratio: float | None
    predicted_epochs: float | None
    missing_end: float | None


@dataclass(frozen=True, kw_only=True)
class PlateauCurve:
    """Noise-free epochs until escape against the residual, above the separatrix."""

    weight_decay: float
    residuals: tuple[float, ...]
    epochs: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class LadderRecord:
    """Every rung, theory for the rank-1 trap, and how abrupt the residual-driven escapes are."""

    epochs: int
    predictions: tuple[PlateauCurve, ...]
    rungs: tuple[Rung, ...]
    noise_decided: int
    checkpoints: int
    abruptness: tuple[Abruptness, ...]

    def rung(self, weight_decay: float, rank: int, residual: float) -> Rung:
        """The rung with these settings."""
        key = (weight_decay, rank, residual)
        return next(r for r in self.rungs if (r.weight_decay, r.rank, r.residual) == key)


class Checkpoints(NamedTuple):
    """Networks side by side, one lane per (residual, data set), residual first."""

    layers: Layers
    residual: NDArray[np.float64]
    dataset: NDArray[np.int64]


class Climb(NamedTuple):
    """Strengths of every lane at the end of every epoch, (lanes, epochs + 1, modes)."""

    residual: NDArray[np.float64]
    dataset: NDArray[np.int64]
    with_noise: NDArray[np.float64]
    noise_off: NDArray[np.float64]


def plan(settings: LadderSettings, traps: MinibatchSettings, seed: int, data: list[Data]) -> dict:
    """One job for each rank and weight decay; all residuals train side by side in it."""
    jobs: dict[str, Job] = {}
    for weight_decay in settings.weight_decays:
        for rank, residuals in ((1, settings.rank_one), (0, settings.trivial)):
            cost = 8.0 * settings.epochs * traps.steps_per_epoch * len(data) * len(residuals)
            jobs[_name(weight_decay, rank)] = Job(
                climb, (residuals, rank, weight_decay, settings.epochs, traps, seed, data), cost
            )
    return jobs


def climb(
    residuals: tuple[float, ...],
    rank: int,
    weight_decay: float,
    epochs: int,
    traps: MinibatchSettings,
    seed: int,
    data: list[Data],
) -> Climb:
    """Prepare all checkpoints and train each on, with and without noise."""
    ready = checkpoints(residuals, rank, traps, seed, data)
    update = traps.update(weight_decay)
    runs = [_train(ready, mode, epochs, traps, seed, data) for mode in (update, update.noiseless)]
    return Climb(ready.residual, ready.dataset, *runs)


def checkpoints(
    residuals: tuple[float, ...], rank: int, traps: MinibatchSettings, seed: int, data: list[Data]
) -> Checkpoints:
    """Anneal once per data set and keep the network each time it passes a residual.

    The last one is projected for residual 0.
    """
    count = len(data)
    lanes = np.arange(count)
    positive = sorted((r for r in residuals if r > 0), reverse=True)
    start = Start(
        kind="trap", rank=rank, residual=positive[0], rung_steps=traps.rung_steps,
        learning_rate=traps.learning_rate,
    )  # fmt: skip
    layers, decay = prepare(
        start, traps.network, traps.update(0.0), data, lanes, seed=seed, replicas=range(count)
    )
    plain = Update(learning_rate=traps.learning_rate, weight_decay=0.0, sampling="full")
    machine = trainer(layers, traps.network, plain, data, lanes, weight_decay=decay)
    kept = copies_at(
        machine,
        lambda values: values[rank] <= np.array(positive)[:, None],
        targets=len(positive),
        most=LONGEST,
    )
    if kept is None:
        raise InputError(
            f"Strength number {rank + 1} did not decay to the smallest residual, {positive[-1]:g}, "
            f"within {LONGEST:,} updates: use a larger one."
        )
    if 0.0 in residuals:
        kept.append(project_to_rank(kept[-1], rank))
    names = [*positive, *([0.0] if 0.0 in residuals else [])]
    merged = [np.concatenate(parts, axis=-1) for parts in zip(*kept, strict=True)]
    return Checkpoints(merged, np.repeat(names, count), np.tile(lanes, len(names)))


def read(
    settings: LadderSettings, traps: MinibatchSettings, results: Mapping[str, Any]
) -> LadderRecord:
    """Escapes, times and predictions at every rung."""
    rungs, sudden = [], []
    for weight_decay in settings.weight_decays:
        for rank, residuals in ((1, settings.rank_one), (0, settings.trivial)):
            climbed: Climb = results[_name(weight_decay, rank)]
            rows = [_rung(climbed, weight_decay, rank, r, traps) for r in residuals]
            rungs += rows
            slow = [r for r in rows if r.noise_off.events and r.residual < 0.05]
            sudden += [_sudden(climbed, rung) for rung in slow[-1:]]
    return LadderRecord(
        epochs=settings.epochs,
        predictions=tuple(_prediction(traps, decay) for decay in settings.weight_decays),
        rungs=tuple(rungs),
        noise_decided=sum(r.disagree for r in rungs),
        checkpoints=sum(r.noise_off.trials for r in rungs),
        abruptness=tuple(sudden),
    )


def _name(weight_decay: float, rank: int) -> str:
    return f"residual ladder, rank {rank}, weight decay {weight_decay:g}"


def _train(
    ready: Checkpoints,
    update: Update,
    epochs: int,
    traps: MinibatchSettings,
    seed: int,
    data: list[Data],
) -> NDArray[np.float64]:
    machine = trainer(ready.layers, traps.network, update, data, ready.dataset, seed=seed)
    start, per_epoch = machine.observe(), traps.steps_per_epoch
    seen = machine.advance(epochs * per_epoch, per_epoch)
    maps = np.concatenate([start.maps, seen.maps])
    assert np.isfinite(maps).all()
    return np.transpose(seen_strengths(maps), (2, 0, 1))


def _rung(
    climbed: Climb, weight_decay: float, rank: int, residual: float, traps: MinibatchSettings
) -> Rung:
    depth, signal = traps.network.depth, traps.signals[rank]
    wall = float(separatrix(depth=depth, signal=signal, weight_decay=weight_decay)) ** depth
    mine = climbed.residual == residual
    start = climbed.noise_off[mine, 0, rank]
    noisy, quiet = (
        _times(series[mine][:, :, rank], climbed.dataset[mine], weight_decay, rank, traps)
        for series in (climbed.with_noise, climbed.noise_off)
    )
    # The last feature: from the trivial trap a second stage may follow the first.
    full = _times(
        climbed.noise_off[mine][:, :, -1], climbed.dataset[mine], weight_decay,
        len(traps.signals) - 1, traps,
    )  # fmt: skip
    left = np.concatenate(
        [
            series[mine][~times.escaped, -1, rank]
            for series, times in ((climbed.with_noise, noisy), (climbed.noise_off, quiet))
        ]
    )
    both = noisy.escaped & quiet.escaped & (quiet.steps > 0)
    amplitude = np.maximum(start, 1e-300) ** (1 / depth)
    due = plateau_time(amplitude=amplitude, depth=depth, signal=signal, weight_decay=weight_decay)
    expected = float(np.median(due)) / traps.epoch_time
    return Rung(
        weight_decay=weight_decay,
        rank=rank,
        residual=residual,
        residual_median=float(np.median(start)),
        separatrix=wall,
        with_noise=escape_probability(noisy.events, len(start)),
        noise_off=escape_probability(quiet.events, len(start)),
        disagree=int((noisy.escaped != quiet.escaped).sum()),
        epochs_with_noise=kaplan_meier(noisy).median,
        epochs_noise_off=kaplan_meier(quiet).median,
        epochs_all_noise_off=kaplan_meier(full).median,
        delay_ratio=float(np.median(noisy.steps[both] / quiet.steps[both])) if both.any() else None,
        predicted_epochs=expected if np.isfinite(expected) else None,
        missing_end=max(left.tolist(), default=None),
    )


def _prediction(traps: MinibatchSettings, weight_decay: float) -> PlateauCurve:
    mode = {"depth": traps.network.depth, "signal": traps.signals[1], "weight_decay": weight_decay}
    wall = float(separatrix(**mode))
    amplitude = wall * (1 + np.geomspace(1e-5, 0.5 / wall, 120))
    epochs = plateau_time(**mode, amplitude=amplitude) / traps.epoch_time
    use = epochs > 0
    return PlateauCurve(
        weight_decay=weight_decay,
        residuals=tuple((amplitude[use] ** traps.network.depth).tolist()),
        epochs=tuple(epochs[use].tolist()),
    )


def _times(
    series: NDArray[np.float64],
    dataset: NDArray[np.int64],
    weight_decay: float,
    rank: int,
    traps: MinibatchSettings,
) -> EscapeTimes:
    """Epochs until half the rise; here `steps` and `time` both count epochs."""
    saddle = modes.saddle(
        depth=traps.network.depth, signal=traps.signals[rank], weight_decay=weight_decay
    )
    start, end = series[:, 0], series[:, -1]
    escaped = (end > saddle) & (end > start)
    first = (series >= (0.5 * (start + end))[:, None]).argmax(axis=1)
    epochs = np.where(escaped, np.maximum(first, 1), series.shape[1] - 1)
    return EscapeTimes(
        replica=np.arange(len(series)),
        dataset=dataset,
        steps=epochs,
        time=epochs.astype(float),
        status=np.where(escaped, "escaped", "censored"),
    )


def _sudden(climbed: Climb, rung: Rung) -> Abruptness:
    mine = climbed.residual == rung.residual
    series = climbed.noise_off[mine][:, :, rung.rank]
    return abruptness(
        series, np.arange(series.shape[1]), plateau=series[:, 0], final=series[:, -1],
        arm=f"noise-free, rank {rung.rank}, residual {rung.residual:g}, "
        f"weight decay {rung.weight_decay:g}",
    )  # fmt: skip
