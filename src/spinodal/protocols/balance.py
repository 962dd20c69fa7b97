"""Two phases in balance: rates both ways, detailed balance, and ever larger networks.

Under additive noise of temperature T a network visits its phases with Boltzmann's weights, so the
rate of learning a feature over the rate of losing it must be the ratio of these weights, which is
known exactly for one output (`theory.equilibrium`). Nothing is fitted: two measured waiting times
stand beside one integral.

In the same measurements lies the limit of large networks. Entropy grows with the width, so T =
heat / width keeps energy and entropy in proportion; then ln(waiting time) grows with the width
and the change of phase with weight decay becomes a jump, as at any first-order transition.

Minibatch noise of the same temperature along the learned feature is watched both ways, too: if
its weights were Boltzmann's, features would be learned as often as they are lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from scipy import special
from scipy.optimize import brentq

from spinodal.dynamics.checkpoints import Start
from spinodal.dynamics.ensemble import Ensemble, Event, Outcome
from spinodal.dynamics.networks import Network
from spinodal.dynamics.tasks import GaussianTask
from spinodal.dynamics.updates import Update
from spinodal.errors import InputError
from spinodal.protocols.balance_records import (
    BalancePoint,
    BalanceRecord,
    BalanceSettings,
    Line,
    Minibatches,
    Passage,
    Sharpness,
)
from spinodal.protocols.side_by_side import Job, ensemble_job, outcomes, own_seed
from spinodal.statistics.lines import line_through
from spinodal.statistics.survival import exponential_rate
from spinodal.theory import modes
from spinodal.theory.equilibrium import log_phase_ratio
from spinodal.theory.free_energy import (
    free_energy_barriers,
    free_energy_points,
    hidden_rotations,
    mode_first_passage_time,
    thermal_spinodal,
)
from spinodal.theory.gradient_noise import gaussian_covariance

__all__ = ["BalanceSettings", "Record", "preset", "run"]

Record = BalanceRecord

Way = Literal["up", "down"]


def preset(effort: str) -> BalanceSettings:
    """Settings of the quick or the full reproduction."""
    if effort == "paper":
        return BalanceSettings(
            widths=(3, 4, 5, 6, 8), log_ratios=(-2.0, -1.0, 0.0, 1.0, 2.0), replicas=300
        )
    return BalanceSettings()


def run(
    settings: BalanceSettings,
    *,
    seed: int,
    workers: int = 1,
    progress: Callable[[float, str], None] | None = None,
) -> BalanceRecord:
    """Every width, weight decay and direction is one job; the record does not depend on workers."""
    grid = {
        (width, ratio): weight_decay_at(settings, width, ratio)
        for width in settings.widths
        for ratio in settings.log_ratios
    }
    jobs: dict[str, Job] = {}
    for (width, ratio), decay in grid.items():
        for way in ("up", "down"):
            name = f"width {width}, log ratio {ratio:g}, {way}"
            jobs[name] = ensemble_job(
                langevin(settings, width, decay, way),
                seed=own_seed(seed, "balance", name),
                replicas=settings.replicas,
            )
    first = settings.widths[0]
    for way in ("up", "down"):
        jobs[f"minibatches, {way}"] = ensemble_job(
            minibatch(settings, first, grid[first, 0.0], way),
            seed=own_seed(seed, "balance", "minibatches", way),
            replicas=settings.replicas,
        )
    seen = outcomes(jobs, workers=workers, progress=progress)
    points = tuple(
        _point(
            settings, width, decay, ratio,
            *(_passage(settings, seen[f"width {width}, log ratio {ratio:g}, {way}"])
              for way in ("up", "down")),
        )
        for (width, ratio), decay in grid.items()
    )  # fmt: skip
    known = [p.deviation for p in points if p.deviation is not None]
    square = float(np.square(known).sum())
    return BalanceRecord(
        signal=settings.signal,
        depth=settings.depth,
        heat=settings.heat,
        learning_rate=settings.learning_rate,
        confidence=settings.confidence,
        points=points,
        growth=_growth(settings, points),
        sharpness=tuple(_sharpness(settings, width, points) for width in settings.widths),
        chi_square=square,
        chi_square_p=float(special.chdtrc(max(len(known), 1), square)),
        minibatches=_minibatches(settings, grid[first, 0.0], seen),
    )


def weight_decay_at(settings: BalanceSettings, width: int, log_ratio: float) -> float:
    """Weight decay at which ln(P learned / P trivial) has a value, at T = heat / width."""

    def missing(decay: float) -> float:
        return _exact(settings, width, decay) - log_ratio

    high = (1 - 1e-3) * float(modes.spinodal(settings.depth, settings.signal))
    low = 0.3 * high
    if not missing(low) > 0 > missing(high):
        raise InputError(
            f"At width {width} and T = {settings.heat / width:g} no weight decay between {low:.3g} "
            f"and {high:.3g} gives a log ratio of {log_ratio:g}; choose less heat or log_ratios "
            "nearer to 0."
        )
    return float(np.asarray(brentq(missing, low, high, xtol=1e-9)))


def _exact(settings: BalanceSettings, width: int, decay: float) -> float:
    return log_phase_ratio(
        depth=settings.depth,
        width=width,
        signal=settings.signal,
        weight_decay=decay,
        temperature=settings.heat / width,
    )


def _heated(settings: BalanceSettings, width: int, decay: float) -> dict[str, Any]:
    return {
        "depth": settings.depth,
        "signal": settings.signal,
        "weight_decay": decay,
        "temperature": settings.heat / width,
        "rotations": hidden_rotations(depth=settings.depth, width=width, rank=0),
    }


def langevin(settings: BalanceSettings, width: int, decay: float, way: Way) -> Ensemble:
    """Additive noise, from one phase until the strength has reached the heart of the other.

    Hearts are the wells of the reduced free energy: a replica there has forgotten the saddle.
    """
    heated = _heated(settings, width, decay)
    wells = free_energy_points(**heated)
    trivial, learned = float(wells.well), float(wells.learned)
    if not np.isfinite(learned):
        raise InputError(
            f"At width {width}, weight decay {decay:.4g} and T = {settings.heat / width:.4g} the "
            "free energy has no barrier; choose less heat."
        )
    rate = settings.learning_rate
    longest = settings.horizon * mode_first_passage_time(**heated)
    start, event = {
        "up": ((), Event(threshold=learned)),
        "down": ((learned,), Event(threshold=trivial, direction="below")),
    }[way]
    return Ensemble(
        task=GaussianTask(signals=(settings.signal,)),
        network=Network(depth=settings.depth, width=width),
        update=Update(
            learning_rate=rate,
            weight_decay=decay,
            sampling="population",
            temperature=settings.heat / width,
        ),
        start=Start(kind="balanced", strengths=start),
        events=(event,),
        steps=int(longest / rate) + 1,
        check_every=max(1, round(1 / rate)),
    )


def minibatch(settings: BalanceSettings, width: int, decay: float, way: Way) -> Ensemble:
    """The same phases and thresholds under minibatches of fresh samples.

    Watched a third as long, which is still several times the mean time under additive noise.

    The trivial phase starts with a jitter of a tenth of the saddle's amplitude: exact zeros would
    stay zero by construction.
    """
    like = langevin(settings, width, decay, way)
    rate = _matched_rate(settings, width, decay)
    start = like.start
    if way == "up":
        saddle = float(modes.saddle(depth=settings.depth, signal=settings.signal,
                                    weight_decay=decay))  # fmt: skip
        start = Start(kind="zeros", jitter=0.1 * saddle ** (1 / settings.depth))
    time = like.steps * settings.learning_rate / 3
    return like.twin(
        update=Update(
            learning_rate=rate,
            weight_decay=decay,
            sampling="wishart",
            batch_size=settings.batch_size,
        ),
        start=start,
        steps=int(time / rate) + 1,
        check_every=max(1, round(1 / rate)),
    )


def _matched_rate(settings: BalanceSettings, width: int, decay: float) -> float:
    """Learning rate at which lr n^T C n / (2 B) = T along the learned feature's radial direction.

    n^T C n = L a^(2L-2) Var(g), g the end-to-end gradient of one sample at the learned strength.
    """
    strength = float(
        modes.learned(depth=settings.depth, signal=settings.signal, weight_decay=decay)
    )
    one = np.ones((1, 1))
    variance = gaussian_covariance(strength * one, one, settings.signal * one, one)[0, 0]
    radial = settings.depth * strength ** (2 - 2 / settings.depth) * variance
    return float(2 * settings.batch_size * (settings.heat / width) / radial)


def _passage(settings: BalanceSettings, outcome: Outcome) -> Passage:
    times = outcome.passages[0]
    rate = exponential_rate(times, confidence=settings.confidence)
    return Passage(
        mean=1 / rate.rate if rate.events else None,
        low=1 / rate.high,
        high=1 / rate.low if rate.low > 0 else None,
        escapes=rate.events,
        replicas=rate.replicas,
        exposure=rate.exposure,
    )


def _point(
    settings: BalanceSettings, width: int, decay: float, ratio: float, up: Passage, down: Passage
) -> BalancePoint:
    heated = _heated(settings, width, decay)
    barriers = free_energy_barriers(**heated)
    critical = thermal_spinodal(**{k: v for k, v in heated.items() if k != "temperature"})
    temperature = settings.heat / width
    log_ratio = low = high = share = None
    if up.mean is not None and down.mean is not None:
        log_ratio = float(np.log(down.mean / up.mean))
        half = _quantile(settings) * float(np.sqrt(1 / up.escapes + 1 / down.escapes))
        low, high = log_ratio - half, log_ratio + half
        share = float(special.expit(log_ratio))
    return BalancePoint(
        width=width,
        temperature=temperature,
        weight_decay=decay,
        over_spinodal=temperature / float(critical),
        free_out=float(barriers[0]) / temperature,
        free_back=float(barriers[1]) / temperature,
        exact_log_ratio=ratio,
        predicted_up=mode_first_passage_time(**heated),
        up=up,
        down=down,
        log_ratio=log_ratio,
        log_ratio_low=low,
        log_ratio_high=high,
        learned_share=share,
    )


def _quantile(settings: BalanceSettings) -> float:
    return float(special.ndtri((1 + settings.confidence) / 2))


def _growth(settings: BalanceSettings, points: tuple[BalancePoint, ...]) -> Line:
    """ln of the geometric mean of both waiting times at coexistence, against the width."""
    used = [p for p in points if p.exact_log_ratio == 0 and p.log_ratio is not None]
    if len(used) < 2:
        raise InputError(
            "At fewer than two widths both phases were left; choose more heat or a longer horizon."
        )
    x = np.array([float(p.width) for p in used])
    y = np.array([0.5 * np.log((p.up.mean or 1) * (p.down.mean or 1)) for p in used])
    error = np.array([0.5 * np.sqrt(1 / p.up.escapes + 1 / p.down.escapes) for p in used])
    predicted = line_through(x, [np.log(p.predicted_up) for p in used], error)
    return _line(settings, x, y, error, predicted.slope)


def _sharpness(
    settings: BalanceSettings, width: int, points: tuple[BalancePoint, ...]
) -> Sharpness:
    used = [p for p in points if p.width == width and p.log_ratio is not None]
    if len(used) < 2:
        raise InputError(
            f"At width {width} both phases were left at fewer than two weight decays; give more "
            "log_ratios, more heat or a longer horizon."
        )
    x = np.array([p.weight_decay for p in used])
    y = np.array([p.log_ratio or 0.0 for p in used])
    error = np.array([np.sqrt(1 / p.up.escapes + 1 / p.down.escapes) for p in used])
    exact = line_through(x, [p.exact_log_ratio for p in used], error)
    return Sharpness(
        width=width,
        coexistence=weight_decay_at(settings, width, 0.0),
        measured=_line(settings, x, y, error, exact.slope),
        window=weight_decay_at(settings, width, -1.0) - weight_decay_at(settings, width, 1.0),
    )


def _line(
    settings: BalanceSettings,
    x: np.ndarray,
    y: np.ndarray,
    error: np.ndarray,
    predicted: float,
) -> Line:
    found = line_through(x, y, error)
    half = _quantile(settings) * found.standard_error
    low, high = found.slope - half, found.slope + half
    return Line(slope=found.slope, low=low, high=high, predicted=predicted)


def _minibatches(settings: BalanceSettings, decay: float, seen: dict[str, Outcome]) -> Minibatches:
    width = settings.widths[0]
    up, down = (_passage(settings, seen[f"minibatches, {way}"]) for way in ("up", "down"))
    return Minibatches(
        width=width,
        weight_decay=decay,
        temperature=settings.heat / width,
        learning_rate=_matched_rate(settings, width, decay),
        batch_size=settings.batch_size,
        up=up,
        down=down,
        # At coexistence Boltzmann's weights ask for as many ways up as down per time.
        boltzmann_up=up.exposure / down.mean if down.mean else 0.0,
    )
