"""Does sparse grokking need noise? The delay against the convergence of the checkpoint.

Twenty-five samples and a batch of 64 make every epoch one full-batch step, so the paper's sparse
run holds no sampling noise at all. What it leaves open is how far its rank-1 checkpoint had
converged. Here one annealing per data set gives checkpoints whose second strength is
`residuals` (decades apart, and exactly zero by projection); all of them train on, once by full
batch and once by small shuffled batches. Beside each escape stands the noise-free prediction.

The prediction. At the rank-1 phase W of the data set the gradient is rank-raising only along
u v^T, the singular directions left over by W, with the signal g = |u^T Sigma_yx v|. A balanced
second feature of amplitude a << 1 then follows da/dt = -weight_decay a + g a^(L-1), time being
learning_rate * updates, and for depth L >= 3 with b(a) = weight_decay a^(2-L)

    t(a0 -> a1) = ln[(g - b(a1)) / (g - b(a0))] / ((L-2) weight_decay),

never if g < b(a0): below the separatrix strength (weight_decay / g)^(L/(L-2)) it decays. The
saturation of the learned feature is left out, a relative error of order strength / g.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from spinodal.dynamics.tasks import Data, draw
from spinodal.errors import InputError
from spinodal.protocols.sparse_records import (
    Escape,
    PairedDifference,
    ResidualSummary,
    SparseDataset,
    SparseGrokkingRecord,
    SparseGrokkingSettings,
)
from spinodal.protocols.sparse_runs import (
    Checkpoints,
    Followed,
    escape_updates,
    follow,
    prepare_checkpoints,
)
from spinodal.statistics.proportion import escape_probability
from spinodal.statistics.transitions import transitions
from spinodal.theory.finite_data import empirical_spinodals, stationary_rank
from spinodal.theory.plateau import plateau_time_small

Progress = Callable[[float, str], None] | None

ROUNDING = 1e-15
"""A second strength below this beside a first one of order 1 is rounding, not a feature."""

SHORTEST = 100
"""Noise-free escapes quicker than this many updates say nothing about a plateau."""


Record = SparseGrokkingRecord


def preset(effort: str) -> SparseGrokkingSettings:
    """Settings of the quick or the full reproduction."""
    if effort == "paper":
        return SparseGrokkingSettings(datasets=50, horizon=20_000)
    return SparseGrokkingSettings(datasets=20)


def growth_time(
    start: ArrayLike, end: ArrayLike, *, depth: int, signal: ArrayLike, weight_decay: float
) -> NDArray[np.float64]:
    """Noise-free time for a small strength to grow from `start` to `end`; infinite if it decays."""
    mode = {"depth": depth, "signal": signal, "weight_decay": weight_decay}
    begin, goal = (
        plateau_time_small(amplitude=np.maximum(x, 1e-300) ** (1 / depth), **mode)
        for x in (start, end)
    )
    # Both are times until the same divergence, so that the difference is the time in between.
    later = np.where(np.isfinite(goal), goal, 0.0)
    return np.maximum(begin - later, 0.0)


def residual_for_time(
    time: float, end: float, *, depth: int, signal: ArrayLike, weight_decay: float
) -> NDArray[np.float64]:
    """The strength from which `growth_time` to `end` is `time`: its inverse."""
    g = np.asarray(signal, dtype=float)
    b1 = weight_decay / end ** ((depth - 2) / depth)
    b0 = g - (g - b1) * np.exp(-(depth - 2) * weight_decay * time)
    return (weight_decay / b0) ** (depth / (depth - 2))


def implied_signal(
    time: ArrayLike, start: ArrayLike, end: float, *, depth: int, weight_decay: float
) -> NDArray[np.float64]:
    """The signal g with which growth from `start` to `end` takes `time`."""
    b0, b1 = (
        weight_decay / np.asarray(s, dtype=float) ** ((depth - 2) / depth) for s in (start, end)
    )
    stretch = np.exp((depth - 2) * weight_decay * np.asarray(time, dtype=float))
    return (stretch * b0 - b1) / (stretch - 1)


def growth_signal(data: Data, *, depth: int, weight_decay: float) -> float:
    """g: what is left of Sigma_yx in the directions that the rank-1 phase does not use."""
    matrix = stationary_rank(
        data.train.xx, data.train.yx, depth=depth, rank=1, weight_decay=weight_decay
    )
    left, _, right = np.linalg.svd(matrix)
    return float(abs(left[:, 1] @ data.train.yx @ right[1]))


def run(
    settings: SparseGrokkingSettings, *, seed: int, workers: int = 1, progress: Progress = None
) -> SparseGrokkingRecord:
    """Prepare the checkpoints, train them on with and without sampling noise, compare.

    All checkpoints train side by side in one array, which one worker does in seconds;
    `workers` is accepted like everywhere and changes nothing.
    """
    del workers
    tell = progress or (lambda fraction, text: None)
    data = [draw(settings.task, seed=seed, dataset=i) for i in range(settings.datasets)]
    mode = {"depth": settings.network.depth, "weight_decay": settings.weight_decay}
    signal = np.array([growth_signal(d, **mode) for d in data])
    stated_time = settings.stated_epochs * settings.learning_rate
    tuned = residual_for_time(stated_time, settings.threshold, signal=signal, **mode)
    tell(0.1, "annealing the rank-1 checkpoints")
    checkpoints = prepare_checkpoints(settings, data, tuned, seed)

    tell(0.3, "training on by full batch")
    full = escape_updates(settings, data, checkpoints, settings.update(None), seed)
    tell(0.55, f"training on by batches of {settings.small_batch}")
    noisy = checkpoints.at(settings.noisy_residuals)
    small = escape_updates(settings, data, noisy, settings.update(settings.small_batch), seed)
    tell(0.8, "training on at half the learning rate")
    some = checkpoints.at(_middle(settings))
    half = escape_updates(settings, data, some, settings.update(settings.small_batch, 2), seed)
    literal = escape_updates(settings, data, some, settings.update(settings.batch_size), seed)
    tell(0.9, "following the errors through the plateau")
    followed = follow(settings, data, checkpoints.at((None,)))
    return _record(
        settings, data, checkpoints, _Arms(full, small, half, literal), signal, tuned, followed
    )


@dataclass(frozen=True)
class _Arms:
    """Updates until each checkpoint's escape, by (residual, data set); None: not seen."""

    full: dict[tuple[float | None, int], int | None]
    small: dict[tuple[float | None, int], int | None]
    half_rate: dict[tuple[float | None, int], int | None]
    literal: dict[tuple[float | None, int], int | None]


def _middle(settings: SparseGrokkingSettings) -> tuple[float, ...]:
    """Residuals whose plateaus are neither over at once nor close to the separatrix."""
    return (
        tuple(r for r in settings.noisy_residuals if 2e-6 < r < 2e-5)
        or (settings.noisy_residuals[:1])
    )


def _record(
    settings: SparseGrokkingSettings,
    data: list[Data],
    checkpoints: Checkpoints,
    arms: _Arms,
    signal: NDArray[np.float64],
    tuned: NDArray[np.float64],
    followed: Followed,
) -> SparseGrokkingRecord:
    escapes = _rows(settings, checkpoints, arms, signal)
    datasets = _datasets(settings, data, checkpoints, arms, signal, tuned, followed)
    refusal, by_floor = None, None
    try:
        by_floor = settings.update(settings.batch_size).model_copy(update={"drop_last": True})
        by_floor = by_floor.steps_per_epoch(settings.samples)
    except InputError as problem:
        refusal, by_floor = str(problem), None
    sided = [e for e in escapes if e.predicted is None or e.predicted < 0.9 * settings.horizon]
    both = [e for e in escapes if e.watched_small_batch]
    pairs = [(e.full_batch, e.small_batch) for e in both if e.full_batch and e.small_batch]
    literal = [(at, arms.full[key]) for key, at in arms.literal.items()]
    drops = [d.abruptness for d in datasets if d.abruptness is not None]
    shown = _thinned(followed.updates)
    grid = np.geomspace(0.98 * settings.threshold, 1e-13, 120)
    return SparseGrokkingRecord(
        stated_epochs=settings.stated_epochs,
        threshold=settings.threshold,
        horizon=settings.horizon,
        samples=settings.samples,
        batch_size=settings.batch_size,
        small_batch=settings.small_batch,
        steps_per_epoch_floor=by_floor,
        steps_per_epoch_keep=settings.update(settings.batch_size).steps_per_epoch(settings.samples),
        refusal=refusal,
        literal_batch_difference=max(
            abs((a or settings.horizon) - (b or settings.horizon)) for a, b in literal
        ),
        literal_batch_pairs=len(literal),
        datasets=datasets,
        escapes=escapes,
        summaries=_summaries(escapes),
        holds_second=sum(d.spinodals[1] > settings.weight_decay for d in datasets),
        wrong_side=sum((e.predicted is None) == (e.full_batch is not None) for e in sided),
        sided=len(sided),
        small_batch_earlier=sum(small < full for full, small in pairs),
        small_batch_only=sum(e.full_batch is None and e.small_batch is not None for e in both),
        full_batch_only=sum(e.full_batch is not None and e.small_batch is None for e in both),
        small_batch_pairs=len(pairs),
        **_ratios(settings, escapes, checkpoints, arms, datasets),
        residual_for_stated_low=float(tuned.min()),
        residual_for_stated_median=float(np.median(tuned)),
        residual_for_stated_high=float(tuned.max()),
        abruptness_median=float(np.median(drops)) if drops else None,
        curve_epochs=tuple(followed.updates[shown].tolist()),
        curve_train=_rounded(followed.train[:, shown]),
        curve_test=_rounded(followed.test[:, shown]),
        theory_strengths=tuple(grid.tolist()),
        theory_epochs=_theory(settings, grid, signal),
    )


def _theory(
    settings: SparseGrokkingSettings, grid: NDArray[np.float64], signal: NDArray[np.float64]
) -> tuple[tuple[float | None, ...], ...]:
    """The predicted delay as a curve, for the fastest, the median and the slowest data set."""
    middle = np.sort(signal)[len(signal) // 2]
    curves = [_predicted(settings, grid, g) for g in (signal.max(), middle, signal.min())]
    return tuple(tuple(_value(v) for v in curve) for curve in curves)


def _rows(
    settings: SparseGrokkingSettings,
    checkpoints: Checkpoints,
    arms: _Arms,
    signal: NDArray[np.float64],
) -> tuple[Escape, ...]:
    """Every checkpoint of a stated residual with its prediction and its escapes."""
    rows = []
    values = checkpoints.strengths[1]
    updates = _predicted(settings, values, signal[checkpoints.dataset])
    for residual, dataset, value, due in zip(
        checkpoints.residual, checkpoints.dataset.tolist(), values, updates, strict=True
    ):
        if residual is None:
            continue
        rows.append(
            Escape(
                dataset=dataset,
                residual=residual,
                strength=float(value) if value > ROUNDING else 0.0,
                predicted=float(due) if np.isfinite(due) else None,
                full_batch=arms.full[residual, dataset],
                small_batch=arms.small.get((residual, dataset)),
                watched_small_batch=(residual, dataset) in arms.small,
            )
        )
    return tuple(rows)


def _predicted(
    settings: SparseGrokkingSettings, strength: ArrayLike, signal: ArrayLike
) -> NDArray[np.float64]:
    """Noise-free updates from a strength to the threshold, infinite below the separatrix."""
    time = growth_time(
        strength, settings.threshold, depth=settings.network.depth, signal=signal,
        weight_decay=settings.weight_decay,
    )  # fmt: skip
    return time / settings.learning_rate


def _datasets(
    settings: SparseGrokkingSettings,
    data: list[Data],
    checkpoints: Checkpoints,
    arms: _Arms,
    signal: NDArray[np.float64],
    tuned: NDArray[np.float64],
    followed: Followed,
) -> tuple[SparseDataset, ...]:
    depth = settings.network.depth
    there = checkpoints.at((None,))
    half = int(np.searchsorted(followed.updates, settings.stated_epochs // 2))
    plateau, final = followed.test[:, half], followed.test[:, -1]
    fall = transitions(followed.test, steps=followed.updates, plateau=plateau, final=final)
    rows = []
    for i, one in enumerate(data):
        limits = empirical_spinodals(one.train.xx, one.train.yx, depth=depth)
        delay, width, ratio = (_value(v[i]) for v in (fall.delay, fall.width, fall.abruptness))
        rows.append(
            SparseDataset(
                dataset=i,
                spinodals=(float(limits[0]), float(limits[1])),
                prepared_at=float(there.prepared_at[i]),
                first_strength=float(there.strengths[0, i]),
                second_signal=float(np.linalg.svd(one.train.yx, compute_uv=False)[1]),
                growth_signal=float(signal[i]),
                separatrix=float((settings.weight_decay / signal[i]) ** (depth / (depth - 2))),
                residual_for_stated=float(tuned[i]),
                strength_there=float(there.strengths[1, i]),
                epochs_there=arms.full[None, i],
                delay=delay,
                width=width,
                abruptness=ratio,
                plateau_train=float(followed.train[i, half]),
                plateau_test=float(plateau[i]),
                final_train=float(followed.train[i, -1]),
                final_test=float(final[i]),
            )
        )
    return tuple(rows)


def _summaries(escapes: tuple[Escape, ...]) -> tuple[ResidualSummary, ...]:
    rows = []
    for arm in ("full batch", "small batch"):
        for residual in dict.fromkeys(e.residual for e in escapes):
            mine = [e for e in escapes if e.residual == residual]
            if arm == "small batch" and not mine[0].watched_small_batch:
                continue
            seen = [e.full_batch if arm == "full batch" else e.small_batch for e in mine]
            times = sorted(t for t in seen if t is not None)
            due = [e.predicted for e in mine if e.predicted is not None]
            share = escape_probability(len(times), len(mine))
            # Half the data sets must have escaped for a median to exist.
            median = np.median([np.inf if t is None else t for t in seen])
            expected = np.median([np.inf if e.predicted is None else e.predicted for e in mine])
            rows.append(
                ResidualSummary(
                    residual=residual,
                    arm=arm,
                    escaped=len(times),
                    datasets=len(mine),
                    low=share.low,
                    high=share.high,
                    shortest=times[0] if times else None,
                    median=_value(median),
                    longest=times[-1] if times else None,
                    predicted_median=_value(expected),
                    predicted_escapes=len(due),
                )
            )
    return tuple(rows)


def _ratios(
    settings: SparseGrokkingSettings,
    escapes: tuple[Escape, ...],
    checkpoints: Checkpoints,
    arms: _Arms,
    datasets: tuple[SparseDataset, ...],
) -> dict[str, PairedDifference]:
    """Logarithmic ratios, averaged within data sets first: those are the independent units."""
    slow = [e for e in escapes if e.full_batch and e.full_batch >= SHORTEST]
    second = {d.dataset: d.second_signal for d in datasets}
    naive = [
        (e.dataset, float(_predicted(settings, e.strength, second[e.dataset])), e.full_batch)
        for e in slow
    ]
    noisy = [e for e in slow if e.small_batch]
    strength = {
        (r, d): float(s)
        for r, d, s in zip(
            checkpoints.residual, checkpoints.dataset.tolist(), checkpoints.strengths[1],
            strict=True,
        )
    }  # fmt: skip

    def signal(key: tuple[float | None, int], updates: float, slower: int = 1) -> float:
        time = updates * settings.learning_rate / slower
        g = implied_signal(
            time, strength[key], settings.threshold,
            depth=settings.network.depth, weight_decay=settings.weight_decay,
        )  # fmt: skip
        return float(g)

    middle = [(k, arms.full[k], arms.small[k], arms.half_rate[k]) for k in arms.half_rate]
    both = [(k, f, s, h) for k, f, s, h in middle if f and s and h]
    return {
        "prediction_ratio": _paired(
            "predicted over measured escape", [(e.dataset, e.predicted, e.full_batch) for e in slow]
        ),
        "naive_ratio": _paired("predicted from the second singular value over measured", naive),
        "noise_delay": _paired(
            "escape by small batches over escape by full batch",
            [(e.dataset, e.small_batch, e.full_batch) for e in noisy],
        ),
        "noise_signal": _paired(
            "growth signal under small batches over full batch",
            [(k[1], signal(k, s), signal(k, f)) for k, f, s, _ in both],
        ),
        "noise_signal_half_rate": _paired(
            "the same at half the learning rate",
            [(k[1], signal(k, h, 2), signal(k, f)) for k, f, _, h in both],
        ),
    }


def _paired(what: str, rows: Sequence[tuple[int, float | None, float | None]]) -> PairedDifference:
    """Mean and Student interval over data sets of ln(first / second)."""
    logs: dict[int, list[float]] = {}
    for dataset, first, second in rows:
        if first and second and np.isfinite(first):
            logs.setdefault(dataset, []).append(float(np.log(first / second)))
    units = np.array([np.mean(v) for v in logs.values()])
    mean = low = high = None
    if units.size >= 2:
        mean = float(units.mean())
        half = float(stats.t.ppf(0.975, units.size - 1) * units.std(ddof=1) / units.size**0.5)
        low, high = mean - half, mean + half
    return PairedDifference(
        what=what,
        mean=mean,
        low=low,
        high=high,
        datasets=units.size,
        pairs=sum(len(v) for v in logs.values()),
    )


def _value(number: float) -> float | None:
    """The number, or None where it does not exist."""
    return float(number) if np.isfinite(number) else None


def _thinned(updates: NDArray[np.int64]) -> NDArray[np.intp]:
    """Records to draw: dense on a logarithmic axis early and on a linear one late."""
    last, wanted = int(updates[-1]), set()
    for target in np.concatenate([np.geomspace(1, last, 60), np.linspace(0, last, 120)]):
        wanted.add(int(np.abs(updates - target).argmin()))
    return np.array(sorted(wanted), dtype=np.intp)


def _rounded(table: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    """Six digits are more than a drawing shows and halve the record."""
    return tuple(tuple(float(f"{v:.6g}") for v in row) for row in table)
