"""Where is the saddle of one feature, and how high is the barrier? Theory beside the simulator.

The theory is the balanced path (`theory.modes`). The control knows nothing of it: `saddle_search`
finds the saddle with networks of the full width and noise-free gradient descent alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from scipy.optimize import brentq

from spinodal.errors import InputError
from spinodal.protocols import saddle_search
from spinodal.protocols.saddle_search import Descent, Edge, Task
from spinodal.records import Settings
from spinodal.theory import modes

STATED_SADDLE, STATED_BARRIER = 0.41, 0.003
"""What the paper states at weight decay 0.32 for depth 3 and signal 0.8."""


class LandscapeSettings(Settings):
    """One feature of a task, and the weight decays at which its landscape is cut.

    `mode` numbers the features, 1 being the strongest; the stronger ones count as learned. The
    stated numbers are compared at `reference`. `resolution` is how finely the start strengths
    that part the two basins are told apart; `displacement` is the length in weight space of the
    random push off the path.
    """

    depth: PositiveInt = 3
    width: PositiveInt = 10
    signals: tuple[PositiveFloat, ...] = Field(default=(0.9, 0.8), min_length=1)
    mode: PositiveInt = 2
    weight_decays: tuple[PositiveFloat, ...] = Field(default=(0.29, 0.32, 0.35), min_length=1)
    reference: PositiveFloat = 0.32
    resolution: PositiveFloat = Field(default=1e-8, le=1e-2)
    displacement: PositiveFloat = 0.3
    pushes: PositiveInt = 1
    points: PositiveInt = 161

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.mode > len(self.signals):
            raise InputError(
                f"mode {self.mode} needs as many signals, got {len(self.signals)}: "
                "lower mode or list more signals."
            )
        if self.width < len(self.signals):
            raise InputError(
                f"{len(self.signals)} features do not fit through width {self.width}: raise width."
            )
        return self

    @property
    def signal(self) -> float:
        """The signal of the feature that is looked at."""
        return sorted(self.signals, reverse=True)[self.mode - 1]


def preset(effort: str) -> LandscapeSettings:
    """The settings of one effort, "quick" or "paper"."""
    if effort == "paper":
        return LandscapeSettings(resolution=1e-11, pushes=8, points=641)
    return LandscapeSettings()


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The landscape along the balanced path at one weight decay; losses are measured from trivial.

    `saddle` to `gap` come from theory and are None where the points do not exist; `edges` are the
    simulator's own saddles, from balanced and from displaced starts.
    """

    weight_decay: float
    saddle: float | None
    learned: float | None
    barrier_out: float | None
    barrier_back: float | None
    gap: float | None
    strengths: tuple[float, ...]
    losses: tuple[float, ...]
    edges: tuple[Edge, ...]

    @property
    def exists(self) -> bool:
        """Whether there is a saddle at all."""
        return self.saddle is not None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One way to read the convention of the paper's regulariser, and what follows from it."""

    reading: str
    weight_decay: float
    spinodal: float
    saddle: float | None
    learned: float | None
    barrier_out: float | None
    barrier_back: float | None


@dataclass(frozen=True, kw_only=True)
class DepthBound:
    """The saddle at the spinodal, where it is largest, and the barrier there."""

    depth: int
    spinodal: float
    largest_saddle: float
    largest_barrier: float


@dataclass(frozen=True, kw_only=True)
class LandscapeRecord:
    """What the section found.

    `residual` is the left side of the stationarity condition, strength - signal + weight_decay
    strength**(2/depth - 1), at the stated strength and `reference`: 0 at a stationary point.
    `learned_there` is the weight decay whose *learned* point has the stated strength;
    `barrier_there` the one with the stated barrier, whose saddle is `barrier_saddle`.
    `saddle_bound` = signal / 2 lies above every saddle, whatever depth and weight decay.
    """

    depth: int
    width: int
    signal: float
    mode: int
    reference: float
    spinodal: float
    coexistence: float
    spinodal_strength: float
    stated_saddle: float
    stated_barrier: float
    cuts: tuple[Cut, ...]
    at_reference: Cut
    readings: tuple[Reading, ...]
    depths: tuple[DepthBound, ...]
    saddle_bound: float
    residual: float
    learned_there: float | None
    barrier_there: float | None
    barrier_saddle: float | None
    barrier_ratio: float | None
    descents: tuple[Descent, ...]


Record = LandscapeRecord


def run(
    settings: LandscapeSettings,
    *,
    seed: int,
    workers: int = 1,
    progress: Callable[[float, str], None] | None = None,
) -> LandscapeRecord:
    """Cut the landscape, find the saddles again by simulation, and try every reading."""
    del workers  # a few seconds on one core
    tell = progress or (lambda _fraction, _text: None)
    depth, eta = settings.depth, settings.signal
    decays = sorted({*settings.weight_decays, settings.reference})
    limit = float(modes.spinodal(depth, eta))
    if depth < 3 or min(decays) >= limit:
        modes.saddle(depth=depth, signal=eta, weight_decay=min(decays))  # says why there is none
    tell(0.05, "searching saddles by simulation")
    below = tuple(decay for decay in decays if decay < limit)
    task = Task(depth=depth, width=settings.width, signals=settings.signals, mode=settings.mode)
    edges = saddle_search.search(
        task,
        below,
        seed=seed,
        pushes=settings.pushes,
        displacement=settings.displacement,
        resolution=settings.resolution,
    )
    tell(0.85, "following descents")
    cuts = {decay: _cut(settings, decay, edges.get(decay, ())) for decay in decays}
    at_reference = cuts[settings.reference]
    barrier_there = _where_barrier(depth, eta, limit)
    return LandscapeRecord(
        depth=depth,
        width=settings.width,
        signal=eta,
        mode=settings.mode,
        reference=settings.reference,
        spinodal=limit,
        coexistence=float(modes.coexistence(depth, eta)),
        spinodal_strength=float(modes.spinodal_strength(depth, eta)),
        stated_saddle=STATED_SADDLE,
        stated_barrier=STATED_BARRIER,
        cuts=tuple(cuts[decay] for decay in sorted(set(settings.weight_decays))),
        at_reference=at_reference,
        readings=_readings(depth, eta, settings.reference),
        depths=tuple(_bound(layers, eta) for layers in (3, 4, 5, 6, 8, 12, 50)),
        saddle_bound=eta / 2,
        residual=STATED_SADDLE - eta + settings.reference * STATED_SADDLE ** (2 / depth - 1),
        learned_there=_where_learned(depth, eta),
        barrier_there=barrier_there,
        barrier_saddle=None
        if barrier_there is None
        else float(modes.saddle(depth=depth, signal=eta, weight_decay=barrier_there)),
        barrier_ratio=None
        if at_reference.barrier_out is None
        else at_reference.barrier_out / STATED_BARRIER,
        descents=_descents(task, settings.reference, at_reference),
    )


def _cut(settings: LandscapeSettings, decay: float, edges: tuple[Edge, ...]) -> Cut:
    depth, eta = settings.depth, settings.signal
    mode = {"depth": depth, "signal": eta, "weight_decay": decay}
    points = modes.stationary_points(**mode)
    # Evenly spaced amplitudes: the path is a straight line in weight space, and the barrier is
    # steep in strength near 0.
    amplitude = np.linspace(0.0, (0.8 * eta) ** (1 / depth), settings.points)
    losses = modes.loss_along_amplitude(amplitude, **mode)
    return Cut(
        weight_decay=decay,
        saddle=_number(points.saddle),
        learned=_number(points.learned),
        barrier_out=_number(modes.barrier_out(**mode)),
        barrier_back=_number(modes.barrier_back(**mode)),
        gap=_number(modes.gap(**mode)),
        strengths=tuple((amplitude**depth).tolist()),
        losses=tuple((losses - losses[0]).tolist()),
        edges=edges,
    )


def _readings(depth: int, eta: float, decay: float) -> tuple[Reading, ...]:
    """E with (L weight_decay / 2), as Eqs. (2), (3) and (7)-(10) need it, and Eq. (1) as printed.

    Leaving out the factor L is the same as a weight decay L times smaller.
    """
    return tuple(
        Reading(
            reading=name,
            weight_decay=decay,
            spinodal=float(modes.spinodal(depth, eta)) * factor,
            saddle=_number(points.saddle),
            learned=_number(points.learned),
            barrier_out=_number(modes.barrier_out(**mode)),
            barrier_back=_number(modes.barrier_back(**mode)),
        )
        for name, factor in (("Eqs. (2), (3), (7)-(10)", 1), ("Eq. (1) as printed", depth))
        for mode in ({"depth": depth, "signal": eta, "weight_decay": decay / factor},)
        for points in (modes.stationary_points(**mode),)
    )


def _bound(depth: int, eta: float) -> DepthBound:
    return DepthBound(
        depth=depth,
        spinodal=float(modes.spinodal(depth, eta)),
        largest_saddle=float(modes.spinodal_strength(depth, eta)),
        largest_barrier=float(modes.maximal_barrier(depth, eta)),
    )


def _where_learned(depth: int, eta: float) -> float | None:
    """Weight decay at which the stated strength is stationary, if it is a learned point there."""
    decay = (eta - STATED_SADDLE) * STATED_SADDLE ** (1 - 2 / depth)
    above = float(modes.spinodal_strength(depth, eta)) < STATED_SADDLE < eta
    return decay if above else None


def _where_barrier(depth: int, eta: float, limit: float) -> float | None:
    """Weight decay at which `barrier_out` is the stated one; it grows with weight decay."""
    if float(modes.maximal_barrier(depth, eta)) <= STATED_BARRIER:
        return None

    def excess(decay: float) -> float:
        return float(modes.barrier_out(depth=depth, signal=eta, weight_decay=decay)) - (
            STATED_BARRIER
        )

    return float(brentq(excess, 1e-9 * limit, limit * (1 - 1e-9), xtol=1e-15))


def _descents(task: Task, decay: float, cut: Cut) -> tuple[Descent, ...]:
    """Descents from both sides of the simulator's saddle, and from the stated one."""
    if not cut.edges:
        return ()
    edge = cut.edges[0]
    starts = [edge.saddle * factor for factor in (0.5, 0.8, 0.95, 0.99, 1.01, 1.05, 1.25, 1.8)]
    starts += [STATED_SADDLE, 1.6 * edge.learned]
    return saddle_search.descents(task, decay, tuple(sorted(starts)))


def _number(value: object) -> float | None:
    number = float(value)  # type: ignore[arg-type]
    return number if math.isfinite(number) else None
