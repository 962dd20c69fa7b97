"""One rate by every route: theory, waiting and splitting, from easy to impossible temperatures.

The same escape of the full network under additive noise, from where replicas leave within thousands
of updates to where one leaves in 1e12. Waiting serves the first, splitting all of them; where both
are done they must agree, and theory must become right as the temperature falls. No route sees
another's result: barriers and prefactors come from the landscape alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy import special

from spinodal.dynamics.checkpoints import Start
from spinodal.dynamics.ensemble import Ensemble, Event, Outcome
from spinodal.dynamics.networks import Network
from spinodal.dynamics.tasks import GaussianTask
from spinodal.dynamics.updates import Update
from spinodal.protocols.route_agreement_records import (
    Agreement,
    Estimate,
    RoutePoint,
    RouteRecord,
    RouteSettings,
)
from spinodal.protocols.side_by_side import Job, ensemble_job, outcomes, own_seed
from spinodal.rare.training import SplittingRate, training_rate
from spinodal.statistics.survival import exponential_rate
from spinodal.theory import kramers, modes
from spinodal.theory.amplitudes import log_mean_time
from spinodal.theory.free_energy import (
    free_energy_barriers,
    hidden_rotations,
    mode_first_passage_time,
    thermal_spinodal,
)

__all__ = ["Record", "RouteSettings", "preset", "run"]

Record = RouteRecord


def preset(effort: str) -> RouteSettings:
    """Settings of the quick or the full reproduction."""
    if effort == "paper":
        return RouteSettings(
            ratios=(0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4, 0.35),
            longest=4e5,
            replicas=400,
            repetitions=40,
            copies=512,
        )
    return RouteSettings()


def run(
    settings: RouteSettings,
    *,
    seed: int,
    workers: int = 1,
    progress: Callable[[float, str], None] | None = None,
) -> RouteRecord:
    """Every route at every temperature is one job; the record does not depend on workers."""
    jobs: dict[str, Job] = {}
    for ratio in settings.ratios:
        predicted = _reduced(settings, ratio) / settings.learning_rate
        if predicted <= settings.longest:
            jobs[f"waiting at {ratio:g}"] = ensemble_job(
                escape_of(settings, ratio),
                seed=own_seed(seed, "routes", "waiting", f"{ratio:g}"),
                replicas=settings.replicas,
            )
        jobs[f"splitting at {ratio:g}"] = Job(
            _split,
            (settings, ratio, own_seed(seed, "routes", "splitting", f"{ratio:g}")),
            settings.repetitions * settings.copies * 2e4 / ratio**2,
        )
    seen = outcomes(jobs, workers=workers, progress=progress)
    points, agreement = [], []
    for ratio in settings.ratios:
        outcome = seen.get(f"waiting at {ratio:g}")
        waiting = None if outcome is None else _waited(settings, outcome)
        point = _point(settings, ratio, waiting, seen[f"splitting at {ratio:g}"])
        points.append(point)
        if waiting is not None and waiting.mean and point.splitting.mean:
            agreement.append(_agreement(settings, ratio, waiting, point.splitting))
    known = [a for a in agreement if a.high > a.low]
    quantile = _quantile(settings)
    square = sum(
        (math.log(a.value) / (math.log(a.high / a.low) / 2 / quantile)) ** 2 for a in known
    )
    return RouteRecord(
        depth=settings.depth,
        width=settings.width,
        weights=sum(a * b for a, b in _network(settings).blocks(*_task(settings).shape)),
        signals=settings.signals,
        weight_decay=settings.weight_decay,
        rank=settings.rank,
        learning_rate=settings.learning_rate,
        thermal_spinodal=_critical(settings),
        rotations=_rotations(settings),
        repetitions=settings.repetitions,
        copies=settings.copies,
        confidence=settings.confidence,
        points=tuple(points),
        agreement=tuple(agreement),
        chi_square=float(square),
        chi_square_p=float(special.chdtrc(len(known), square)) if known else None,
    )


def escape_of(settings: RouteSettings, ratio: float) -> Ensemble:
    """The escape at one temperature, as both routes take it."""
    learned = [
        float(modes.learned(depth=settings.depth, signal=s, weight_decay=settings.weight_decay))
        for s in settings.signals[: settings.rank + 1]
    ]
    rate = settings.learning_rate
    longest = settings.horizon * _reduced(settings, ratio) / rate
    return Ensemble(
        task=_task(settings),
        network=_network(settings),
        update=Update(
            learning_rate=rate,
            weight_decay=settings.weight_decay,
            sampling="population",
            temperature=ratio * _critical(settings),
        ),
        start=Start(kind="balanced", strengths=tuple(learned[:-1])),
        events=(Event(mode=settings.rank + 1, threshold=learned[-1]),),
        steps=int(min(longest, 1e15)) + 1,
        check_every=max(1, round(settings.look_time / rate)),
    )


def _task(settings: RouteSettings) -> GaussianTask:
    return GaussianTask(signals=settings.signals)


def _network(settings: RouteSettings) -> Network:
    return Network(depth=settings.depth, width=settings.width)


def _split(settings: RouteSettings, ratio: float, seed: int) -> SplittingRate:
    return training_rate(
        escape_of(settings, ratio),
        seed=seed,
        repetitions=settings.repetitions,
        copies=settings.copies,
    )


def _rotations(settings: RouteSettings) -> int:
    return hidden_rotations(depth=settings.depth, width=settings.width, rank=settings.rank)


def _critical(settings: RouteSettings) -> float:
    return float(
        thermal_spinodal(depth=settings.depth, rotations=_rotations(settings), **settings.mode)
    )


def _reduced(settings: RouteSettings, ratio: float) -> float:
    """Passage time of the reduced free energy, in units of time."""
    return mode_first_passage_time(
        depth=settings.depth,
        signal=settings.signals[settings.rank],
        weight_decay=settings.weight_decay,
        temperature=ratio * _critical(settings),
        rotations=_rotations(settings),
    )


def _generator(settings: RouteSettings, temperature: float) -> float:
    """Mean time of the reduced generator, in units of time, seen at the same looks."""
    others = [s for n, s in enumerate(settings.signals) if n != settings.rank]
    return math.exp(
        log_mean_time(
            depth=settings.depth,
            width=settings.width,
            signal=settings.signals[settings.rank],
            weight_decay=settings.weight_decay,
            temperature=temperature,
            rank=settings.rank,
            other_signals=others,
            inputs=len(settings.signals),
            outputs=len(settings.signals),
            look_every=settings.look_time,
        )
    )


def _quantile(settings: RouteSettings) -> float:
    return float(special.ndtri((1 + settings.confidence) / 2))


def _waited(settings: RouteSettings, outcome: Outcome) -> Estimate:
    times = outcome.passages[0]
    rate = exponential_rate(times, confidence=settings.confidence)
    per = settings.learning_rate
    return Estimate(
        mean=1 / rate.rate / per if rate.events else None,
        low=1 / rate.high / per,
        high=1 / rate.low / per if rate.low > 0 else None,
        updates=rate.exposure / per,
        events=rate.events,
        relative_error=1 / math.sqrt(rate.events) if rate.events else None,
    )


def _point(
    settings: RouteSettings, ratio: float, waiting: Estimate | None, found: SplittingRate
) -> RoutePoint:
    temperature, per = ratio * _critical(settings), settings.learning_rate
    network = {
        "depth": settings.depth,
        "width": settings.width,
        "signals": settings.signals,
        "weight_decay": settings.weight_decay,
        "rank": settings.rank,
    }
    langer = kramers.log_rate_up(**network, temperature=temperature)
    free, _ = free_energy_barriers(
        depth=settings.depth,
        temperature=temperature,
        rotations=_rotations(settings),
        **settings.mode,
    )
    bound = math.isfinite(found.high) and found.rate > 0
    corrected = langer.corrected_log_rate
    assert corrected is not None, "settings keep every temperature below the thermal spinodal"
    return RoutePoint(
        ratio=ratio,
        temperature=temperature,
        energy_barrier=langer.barrier / temperature,
        free_barrier=float(free) / temperature,
        expansion=langer.expansion,
        valid=langer.valid,
        langer=math.exp(-langer.log_rate) / per,
        corrected=math.exp(-corrected) / per,
        reduced=_reduced(settings, ratio) / per,
        generator=_generator(settings, temperature) / per,
        step_factor=math.exp(kramers.step_size_correction(**network, learning_rate=per)),
        waiting=waiting,
        splitting=Estimate(
            mean=found.mean_time / per if found.rate > 0 else None,
            low=1 / found.high / per if math.isfinite(found.high) else 0.0,
            high=1 / found.low / per if found.low > 0 else None,
            updates=float(found.steps),
            events=sum(one.ancestors for one in found.repetitions),
            relative_error=found.relative_error if bound else None,
            warning=found.warning,
        ),
        gain=found.gain if bound else None,
    )


def _agreement(
    settings: RouteSettings, ratio: float, waiting: Estimate, splitting: Estimate
) -> Agreement:
    """Ratio of the two mean times; independent errors on the logarithm."""
    value = (splitting.mean or 1.0) / (waiting.mean or 1.0)
    error = math.hypot(waiting.relative_error or 0.0, splitting.relative_error or 0.0)
    half = _quantile(settings) * error
    return Agreement(
        ratio=ratio, value=value, low=value * math.exp(-half), high=value * math.exp(half)
    )
