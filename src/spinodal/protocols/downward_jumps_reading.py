"""What the runs of the downward jumps say: means and exponent, with the predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from spinodal.dynamics.tasks import Data
from spinodal.protocols.downward_jumps_records import (
    SAMPLINGS,
    JumpNetwork,
    JumpPoint,
    JumpRecord,
    SamplingArms,
    SamplingRecord,
    Told,
)
from spinodal.records import EscapeTimes
from spinodal.seeding import generator
from spinodal.statistics.escape_laws import arrhenius_fit
from spinodal.statistics.survival import exponential_rate, rate_interval
from spinodal.statistics.waiting_times import memorylessness
from spinodal.theory import minibatch_chain, modes, quasipotential
from spinodal.theory.gradient_noise import reshuffling_ratio


def read_network(
    one: JumpNetwork,
    chosen: list[tuple[float, int, int, bool]],
    found: Mapping[str, Any],
    seed: int,
) -> JumpRecord:
    """Points and exponent of one network."""
    mode = one.weakest
    diffusion = quasipotential.diffusion_exponent(mode)
    exact = quasipotential.exact_exponent(mode)
    points = tuple(
        _point(one, rate, size, fitted, found, exact - diffusion)
        for rate, size, _, fitted in chosen
    )
    fitted = [p for p in points if p.fitted]
    counts = [len(p.time) for p in fitted]
    status = np.where(np.concatenate([p.jumped for p in fitted]), "escaped", "censored")
    law = arrhenius_fit(
        np.concatenate([p.time for p in fitted]),
        status,
        np.repeat([1 / p.noise for p in fitted], counts),
        offset=np.repeat([np.log(p.diffusion) for p in fitted], counts),
    )
    x = np.array([1 / p.noise for p in fitted])
    y = np.array([np.log(p.chain / p.diffusion) for p in fitted])
    weight = np.sqrt([p.jumps + 1e-9 for p in fitted])
    limits = [None if v is None else diffusion + v for v in (law.slope, law.low, law.high)]
    rarest = min(fitted, key=lambda p: p.noise)
    times = found[f"{one.name}, {rarest.learning_rate:g}, {rarest.batch_size}, down"].passages[0]
    memory = memorylessness(
        _later(times, _dead_time(one)),
        generator=generator(seed, "downward jumps", "memorylessness", one.name),
        check_every=one.check_every * rarest.learning_rate,
    )
    return JumpRecord(
        name=one.name,
        width=one.width,
        signals=one.signals,
        weight_decay=one.weight_decay,
        exact_reduction=one.exact_reduction,
        diffusion_exponent=diffusion,
        exact_exponent=exact,
        finite=float(diffusion + np.polyfit(x, y, 1, w=weight)[0]),
        measured=limits[0],
        low=limits[1],
        high=limits[2],
        jumps=sum(p.jumps for p in fitted),
        told=_told(limits[1], limits[2], diffusion, exact) if one.exact_reduction else "no_test",
        quiet_jumps=found[f"{one.name}, noise off"].passages[0].events,
        memoryless=memory.verdict,
        memoryless_p=memory.p_value,
        memoryless_events=memory.events,
        points=points,
    )


def _point(
    one: JumpNetwork,
    rate: float,
    size: int,
    fitted: bool,
    found: Mapping[str, Any],
    gained: float,
) -> JumpPoint:
    mode, noise, name = one.weakest, rate / size, f"{one.name}, {rate:g}, {size}"
    times = found[f"{name}, down"].passages[0]
    up, near = (found[f"{name}, {way}"].passages[0] for way in ("up", "near"))
    estimate, none = exponential_rate(times), exponential_rate(up)
    diffusion = float(np.exp(quasipotential.log_passage_time(mode, noise=noise)))
    chain = rate * minibatch_chain.mean_updates(mode, learning_rate=rate, batch_size=size)
    mean = 1 / estimate.rate if estimate.events else None
    high = 1 / estimate.low if estimate.low > 0 else None
    watched = times.estimable
    return JumpPoint(
        learning_rate=rate,
        batch_size=size,
        noise=noise,
        fitted=fitted,
        steps=int(times.steps.max()),
        replicas=times.status.size,
        jumps=times.events,
        diverged=times.status_counts["diverged"],
        mean=mean,
        mean_low=1 / estimate.high,
        mean_high=high,
        diffusion=diffusion,
        corrected=float(diffusion * np.exp(gained / noise)),
        chain=chain,
        ratio_to_chain=None if mean is None else mean / chain,
        ratio_low=1 / estimate.high / chain,
        ratio_high=None if high is None else high / chain,
        up_replicas=up.status.size,
        up_escapes=up.events,
        up_rate_bound=none.high,
        near_replicas=near.status.size,
        near_escapes=near.events,
        time=tuple(watched.time.tolist()),
        jumped=tuple(watched.escaped.tolist()),
    )


def read_samplings(
    arms: SamplingArms, data: list[Data], found: Mapping[str, Any]
) -> dict[str, Any]:
    """The three samplings beside each other, as fields of the record."""
    mode, noise = arms.mode, arms.learning_rate / arms.batch_size
    exact = quasipotential.exact_exponent(mode)
    chain = arms.learning_rate * minibatch_chain.mean_updates(
        mode, learning_rate=arms.learning_rate, batch_size=arms.batch_size
    )
    own = np.array(
        [
            quasipotential.sample_exponent(
                np.ravel(np.asarray(d.x)),
                np.ravel(np.asarray(d.y)),
                depth=mode.depth,
                weight_decay=mode.weight_decay,
            )
            for d in data
        ]
    )
    curvature = float(
        modes.curvature(
            mode.learned, depth=mode.depth, signal=mode.signal, weight_decay=mode.weight_decay
        )
    )
    ratio, _ = reshuffling_ratio(
        arms.learning_rate * curvature, samples=arms.samples, batch_size=arms.batch_size
    )
    rates = {
        "wishart": np.array([1 / chain]),
        "replacement": np.exp(-(own - exact) / noise) / chain,
        "shuffled": None,
    }
    return {
        "samplings": tuple(
            _sampling(name, found[name].passages[0], rates[name], arms) for name in SAMPLINGS
        ),
        "sampling_signal": arms.signal,
        "sampling_weight_decay": arms.weight_decay,
        "sampling_learning_rate": arms.learning_rate,
        "sampling_batch_size": arms.batch_size,
        "sampling_samples": arms.samples,
        "sample_exponents": tuple(own.tolist()),
        "population_exponent": exact,
        "shuffled_noise_ratio": ratio,
    }


def _sampling(
    name: Any, times: EscapeTimes, rates: np.ndarray | None, arms: SamplingArms
) -> SamplingRecord:
    estimate = exponential_rate(times)
    due = ratio = low = high = None
    if rates is not None:
        watched = times.estimable
        # Jumps expected while each replica was watched, on its own training set.
        due = float(watched.time @ rates[watched.dataset])
        few, many = rate_interval(times.events, due)
        ratio = due / times.events if times.events else None
        low, high = float(1 / many), float(1 / few) if few > 0 else None
    return SamplingRecord(
        sampling=name,
        replicas=times.status.size,
        datasets=len(np.unique(times.dataset)),
        steps=arms.steps,
        jumps=times.events,
        rate=estimate.rate,
        rate_low=estimate.low,
        rate_high=estimate.high,
        expected=due,
        ratio=ratio,
        ratio_low=low,
        ratio_high=high,
    )


def _told(low: float | None, high: float | None, diffusion: float, exact: float) -> Told:
    """Which exponents lie within the limits; an open side excludes nothing."""
    inside = [
        (low is None or low <= value) and (high is None or value <= high)
        for value in (exact, diffusion)
    ]
    return {(True, True): "both", (True, False): "exact", (False, True): "diffusion"}.get(
        (inside[0], inside[1]), "neither"
    )  # pyright: ignore[reportReturnType]


def _dead_time(one: JumpNetwork) -> float:
    """Ten relaxation times of the saddle: until then the start is not forgotten."""
    mode = one.weakest
    rate = modes.curvature(
        mode.saddle, depth=mode.depth, signal=mode.signal, weight_decay=mode.weight_decay
    )
    return float(10 / abs(rate))


def _later(times: EscapeTimes, dead: float) -> EscapeTimes:
    """What remains of the waiting after `dead`."""
    left = times.select(times.time > dead)
    return EscapeTimes(
        replica=left.replica,
        dataset=left.dataset,
        steps=left.steps,
        time=left.time - dead,
        status=left.status,
    )
