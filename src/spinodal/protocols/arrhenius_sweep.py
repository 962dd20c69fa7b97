"""Minibatch SGD from the rank-1 trap at several learning rates, and what such a sweep can show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.checkpoints import Start, balanced
from spinodal.dynamics.events import Event
from spinodal.dynamics.gradients import gradients
from spinodal.dynamics.networks import Network
from spinodal.dynamics.shard import Ensemble, Outcome
from spinodal.dynamics.tasks import GaussianTask, draw
from spinodal.dynamics.updates import Update
from spinodal.errors import InputError
from spinodal.protocols.arrhenius_records import (
    Arm,
    ArrheniusSettings,
    Key,
    Sweep,
    SweepPoint,
    Window,
)
from spinodal.records import EscapeTimes
from spinodal.statistics.escape_laws import drift_r_squared, steepest_slope
from spinodal.statistics.proportion import escape_probability
from spinodal.statistics.survival import rate_interval
from spinodal.theory import modes
from spinodal.theory.finite_data import empirical_spinodals


def sweep_arms(settings: ArrheniusSettings) -> dict[Key, Arm]:
    """The paper's runs: minibatch SGD from a converged rank-1 checkpoint."""
    per_epoch = settings.samples // settings.batch_size
    saddle = float(modes.saddle(depth=settings.depth, **settings.mode))
    arms: dict[Key, Arm] = {}
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


def sweep_results(settings: ArrheniusSettings, outcomes: list[Outcome], seed: int) -> Sweep:
    """Escapes and their bounds, per learning rate and together."""
    per_epoch = settings.samples // settings.batch_size
    holds, trace, raising = _noise_in_the_trap(settings, seed)
    if not holds:
        raise InputError(
            f"At weight decay {settings.weight_decay:g} none of the {settings.datasets} data sets "
            "has a rank-2 phase to escape to; choose a smaller one."
        )
    points = []
    for rate, outcome in zip(settings.learning_rates, outcomes, strict=True):
        passage = outcome.passages[0]
        able = passage.select(np.isin(passage.dataset, holds)).estimable
        bound = float(rate_interval(able.events, float(able.steps.sum()))[1])
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
                eligible=able.status.size,
                eligible_escapes=able.events,
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
    able = passage.select(np.isin(passage.dataset, holds)).estimable
    exposure = float(able.steps.sum())
    bound = float(rate_interval(able.events, exposure)[1])
    seen = len(np.unique(able.dataset[able.escaped]))
    return Sweep(
        points=tuple(points),
        threshold=float(modes.saddle(depth=settings.depth, **settings.mode)) / 2,
        replicas=passage.status.size,
        escapes=passage.events,
        eligible=able.status.size,
        eligible_escapes=able.events,
        datasets=settings.datasets,
        dataset_bound=escape_probability(seen, len(holds)).high,
        exposure_steps=exposure,
        exposure_epochs=exposure / per_epoch,
        rate_bound_per_step=bound,
        rate_bound_per_epoch=bound * per_epoch,
        holds_second=len(holds),
        noise_trace=float(trace.mean()),
        noise_trace_se=float(trace.std(ddof=1) / np.sqrt(trace.size)),
        noise_rank_raising=raising,
    )


def _noise_in_the_trap(
    settings: ArrheniusSettings, seed: int
) -> tuple[list[int], NDArray[np.float64], float]:
    """Which data sets have a rank-2 phase, tr C of each in the trap, largest rank-raising gradient.

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
    traces, holds, raising = [], [], 0.0
    for i in range(settings.datasets):
        data = draw(task, seed=seed, dataset=i)
        assert data.x is not None
        assert data.y is not None
        limits = empirical_spinodals(data.train.xx, data.train.yx, depth=settings.depth)
        if limits[1] > settings.weight_decay:
            holds.append(i)
        xx = np.einsum("ni,nj->ijn", data.x, data.x)
        yx = np.einsum("ni,nj->ijn", data.y, data.x)
        lanes = [np.repeat(layer, len(data.x), axis=-1) for layer in layers]
        slopes = gradients(lanes, xx, yx)
        traces.append(sum(float(s.var(axis=-1).sum()) for s in slopes))
        for k, slope in enumerate(slopes):
            dead = slope[1:] if k < settings.depth - 1 else slope[:, 1:]
            raising = max(raising, float(np.abs(dead).max()))
    return holds, np.array(traces), raising


def window(settings: ArrheniusSettings, trace: float) -> Window:
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
