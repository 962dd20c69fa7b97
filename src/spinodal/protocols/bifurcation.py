"""The bifurcation diagram of every feature: branches from theory, endpoints from training.

On each weight decay of a grid the simulator trains noise-free on the population from four
balanced starts: everything learned, next to nothing learned, and a little above and below the
saddle. The first two must end on the stable branches; the last two part at the unstable one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from spinodal.dynamics.checkpoints import balanced
from spinodal.dynamics.gradients import gradients
from spinodal.dynamics.networks import Layers, Network, end_to_end
from spinodal.dynamics.tasks import GaussianTask, draw
from spinodal.dynamics.trainer import trainer
from spinodal.dynamics.updates import Update
from spinodal.errors import InputError
from spinodal.records import Settings
from spinodal.theory import modes

STATED = (0.42, 0.36)
"""Transitions the paper states, strongest feature first."""

FAINT = 1e-3
"""Strength of every feature at the start that has learned next to nothing, or half the saddle's
where that is less."""


class BifurcationSettings(Settings):
    """Weight decays run up to `reach` times the largest spinodal.

    `curve` points make a branch, `grid` weight decays are simulated, for `time` units (learning
    rate times steps). `margin` is how far beside the saddle the two starts lie, as a fraction.
    """

    depth: PositiveInt = 3
    width: PositiveInt = 10
    signals: tuple[PositiveFloat, ...] = Field(default=(0.9, 0.8), min_length=1)
    reach: PositiveFloat = 1.15
    curve: int = Field(default=201, ge=3)
    grid: int = Field(default=30, ge=2)
    time: PositiveFloat = 1000.0
    margin: float = Field(default=0.02, gt=0, lt=0.5)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.depth < 2:
            raise InputError(
                "At depth 1 learning never stops and nothing bifurcates: use depth 2 or more."
            )
        if self.width < len(self.signals):
            raise InputError(
                f"{len(self.signals)} features do not fit through width {self.width}: raise width."
            )
        return self


def preset(effort: str) -> BifurcationSettings:
    """The settings of one effort, "quick" or "paper"."""
    if effort == "paper":
        return BifurcationSettings(curve=801, grid=96, time=4000.0, margin=0.001)
    return BifurcationSettings()


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One feature. `saddles` and `learned` are strengths over `weight_decays`, None above the end.

    `spinodal_strength` and `coexistence_strength` are those of the learned point there.
    """

    mode: int
    signal: float
    spinodal: float
    spinodal_strength: float
    coexistence: float
    coexistence_strength: float
    stated: float | None
    weight_decays: tuple[float, ...]
    saddles: tuple[float | None, ...]
    learned: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where training ended: one feature, one weight decay, one start.

    `start` is "learned", "trivial", "above saddle" or "below saddle"; `strength` was reached from
    `started`; `expected` is the theory's end of that start. `settled`: the gradient had vanished.
    """

    mode: int
    weight_decay: float
    start: str
    started: float
    strength: float
    expected: float
    settled: bool


@dataclass(frozen=True, kw_only=True)
class BranchCheck:
    """Endpoints of one feature against theory.

    `ends` settled endpoints of the learned and trivial starts, of which `on_branch` lie on the
    expected branch to 1e-6 of the signal, `largest_error` away at most. `parted` of `pairs` weight
    decays send the starts beside the saddle to different sides, each to its own.
    """

    mode: int
    ends: int
    unsettled: int
    on_branch: int
    largest_error: float
    pairs: int
    parted: int


@dataclass(frozen=True, kw_only=True)
class BifurcationRecord:
    """Branches, endpoints and how they agree."""

    depth: int
    width: int
    margin: float
    time: float
    branches: tuple[Branch, ...]
    endpoints: tuple[Endpoint, ...]
    checks: tuple[BranchCheck, ...]


Record = BifurcationRecord


def run(
    settings: BifurcationSettings,
    *,
    seed: int,
    workers: int = 1,
    progress: Callable[[float, str], None] | None = None,
) -> BifurcationRecord:
    """Branches from theory, endpoints from training; nothing random is in it."""
    del seed, workers
    tell = progress or (lambda _fraction, _text: None)
    top = settings.reach * float(modes.spinodal(settings.depth, max(settings.signals)))
    branches = tuple(
        _branch(settings, mode, signal, top)
        for mode, signal in enumerate(sorted(settings.signals, reverse=True), start=1)
    )
    endpoints = _endpoints(settings, top, lambda fraction: tell(fraction, "training to the ends"))
    return BifurcationRecord(
        depth=settings.depth,
        width=settings.width,
        margin=settings.margin,
        time=settings.time,
        branches=branches,
        endpoints=endpoints,
        checks=tuple(_check(branch, endpoints) for branch in branches),
    )


def _branch(settings: BifurcationSettings, mode: int, signal: float, top: float) -> Branch:
    depth = settings.depth
    limit = float(modes.spinodal(depth, signal))
    # Branches end like a square root: points crowd there. The rest of the range is trivial alone.
    share = np.linspace(0, 1, settings.curve)
    decays = np.append(limit * (1 - (1 - share) ** 2), top)
    points = modes.stationary_points(depth=depth, signal=signal, weight_decay=decays)
    learned = [_number(value) for value in points.learned]
    saddles = [_number(value) for value in points.saddle]
    learned[-2] = merged = float(modes.spinodal_strength(depth, signal))
    saddles[-2] = merged if depth > 2 else None
    return Branch(
        mode=mode,
        signal=signal,
        spinodal=limit,
        spinodal_strength=merged,
        coexistence=float(modes.coexistence(depth, signal)),
        coexistence_strength=float(modes.coexistence_strength(depth, signal)),
        stated=STATED[mode - 1] if len(settings.signals) == len(STATED) else None,
        weight_decays=tuple(decays.tolist()),
        saddles=tuple(saddles),
        learned=tuple(learned),
    )


def _endpoints(
    settings: BifurcationSettings, top: float, progress: Callable[[float], None]
) -> tuple[Endpoint, ...]:
    eta = np.sort(settings.signals)[::-1]
    decays = top * np.arange(1, settings.grid + 1) / settings.grid
    points = modes.stationary_points(depth=settings.depth, signal=eta[:, None], weight_decay=decays)
    learned = np.nan_to_num(points.learned, nan=0.0)
    saddle = points.saddle
    nothing = np.zeros_like(learned)
    # Starts (modes, weight decays), and the ends that theory expects of them. Where there is no
    # saddle, the starts beside it are left out (trained from zero, not recorded).
    beside = np.nan_to_num(saddle, nan=0.0)
    plans = {
        "learned": (np.broadcast_to(eta[:, None], learned.shape), learned),
        # Depth 2 has no trap: there the trivial start climbs to the learned point.
        "trivial": (
            np.fmin(FAINT, 0.5 * saddle),
            learned if settings.depth == 2 else nothing,
        ),
        "above saddle": (beside * (1 + settings.margin), learned),
        "below saddle": (beside * (1 - settings.margin), nothing),
    }
    starts = np.concatenate([start for start, _ in plans.values()], axis=1)
    ends, settled = _train(settings, starts, np.tile(decays, len(plans)), progress)
    found = []
    for number, (name, (start, expected)) in enumerate(plans.items()):
        for j, decay in enumerate(decays):
            lane = number * len(decays) + j
            for k in range(len(eta)):
                if "saddle" in name and math.isnan(saddle[k, j]):
                    continue
                found.append(
                    Endpoint(
                        mode=k + 1,
                        weight_decay=float(decay),
                        start=name,
                        started=float(start[k, j]),
                        strength=float(ends[k, lane]),
                        expected=float(expected[k, j]),
                        settled=bool(settled[lane]),
                    )
                )
    return tuple(found)


def _train(
    settings: BifurcationSettings,
    starts: NDArray[np.float64],
    decays: NDArray[np.float64],
    progress: Callable[[float], None],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Strength of every feature after training, (modes, lanes), and which lanes have settled.

    Features are told apart by their own singular directions, not by rank order.
    """
    data = draw(GaussianTask(signals=settings.signals), seed=0, dataset=0)
    network = Network(depth=settings.depth, width=settings.width)
    ones = (1.0,) * len(starts)
    pattern = balanced(network, [data], np.zeros(1, dtype=int), ones)
    amplitudes = starts ** (1 / settings.depth)
    layers = _with_amplitudes(settings, pattern, amplitudes)
    left, _, right = np.linalg.svd(data.train.yx)
    steepest = settings.depth * max(settings.signals) ** (2 - 2 / settings.depth)
    rate = 0.6 / (steepest + 2 * float(decays.max()))
    update = Update(learning_rate=rate, weight_decay=0.0, sampling="population")
    lanes = np.zeros(len(decays), dtype=np.int64)
    machine = trainer(layers, network, update, [data], lanes, weight_decay=decays)
    steps = round(settings.time / rate)
    while machine.step < steps:
        progress(machine.step / steps)
        count = min(2000, steps - machine.step)
        machine.advance(count, count)
    layers = machine.layers
    slopes = gradients(layers, data.train.xx[..., None], data.train.yx[..., None])
    for slope, layer in zip(slopes, layers, strict=True):
        slope += decays * layer
    length = np.sqrt(np.sum([np.einsum("ijr,ijr->r", s, s) for s in slopes], axis=0))
    maps = end_to_end(layers)
    strengths = np.einsum("ik,ijr,kj->kr", left[:, : len(starts)], maps, right[: len(starts)])
    return strengths, length < 1e-9


def _with_amplitudes(
    settings: BifurcationSettings, pattern: Layers, amplitudes: NDArray[np.float64]
) -> Layers:
    """The balanced network of unit strengths with the amplitude of every mode set, lanes last.

    Hidden unit k carries mode k, so each hidden row (last layer: column) is scaled.
    """
    layers: Layers = []
    for number, layer in enumerate(pattern, start=1):
        last = number == settings.depth
        size = layer.shape[1] if last else layer.shape[0]
        scale = np.zeros((size, amplitudes.shape[1]))
        scale[: len(amplitudes)] = amplitudes
        layers.append(layer * (scale[None, :, :] if last else scale[:, None, :]))
    return layers


def _check(branch: Branch, endpoints: tuple[Endpoint, ...]) -> BranchCheck:
    mine = [e for e in endpoints if e.mode == branch.mode]
    ends = [e for e in mine if "saddle" not in e.start]
    errors = [abs(e.strength - e.expected) for e in ends if e.settled]
    sides: dict[float, list[bool]] = {}
    for e in mine:
        if "saddle" in e.start:
            # A side is taken by moving away from the saddle, however far the end still is.
            moved = e.strength - e.started
            sides.setdefault(e.weight_decay, []).append((moved > 0) == (e.start == "above saddle"))
    return BranchCheck(
        mode=branch.mode,
        ends=len(errors),
        unsettled=len(ends) - len(errors),
        on_branch=sum(error < 1e-6 * branch.signal for error in errors),
        largest_error=max(errors, default=0.0),
        pairs=len(sides),
        parted=sum(all(right) for right in sides.values()),
    )


def _number(value: object) -> float | None:
    number = float(value)  # type: ignore[arg-type]
    return number if math.isfinite(number) else None
