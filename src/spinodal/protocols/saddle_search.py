"""The saddle between two basins, found by training alone.

Noise-free networks of the full width start at many strengths of one feature. Gradient descent
says which of them lose it and which keep it; the gap between the two kinds is narrowed round by
round. A descent from the last gap hesitates where the gradient nearly vanishes, at a saddle of the
whole weight space; its loss, minus that of the states on the two sides, is the barrier. Nothing
here uses a formula for the landscape.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.checkpoints import balanced
from spinodal.dynamics.gradients import gradients
from spinodal.dynamics.machine import Machine
from spinodal.dynamics.networks import Layers, Network, end_to_end, singular_values
from spinodal.dynamics.tasks import Data, GaussianTask, draw
from spinodal.dynamics.trainer import seen_strengths, trainer
from spinodal.dynamics.updates import Update
from spinodal.errors import InputError
from spinodal.seeding import generator

STARTS = 32
"""Starts per round and case: each round narrows the gap by this factor."""

LONGEST = 50_000
"""Updates after which a start that has taken no side is given up."""

LOOKS = 20
"""Looks, ten updates apart, between two decisions which starts need no more training."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """Which feature, of which signals, in which network; the data are the exact population."""

    depth: int
    width: int
    signals: tuple[float, ...]
    mode: int

    @property
    def network(self) -> Network:
        """The network that is trained."""
        return Network(depth=self.depth, width=self.width)

    @property
    def data(self) -> Data:
        """Exact moments with unit covariances."""
        return _population(self.signals)

    def learning_rate(self, decay: float) -> float:
        """A stable step: the largest curvature is about depth strength**(2 - 2/depth) + 2 decay."""
        steepest = self.depth * max(self.signals) ** (2 - 2 / self.depth) + 2 * decay
        return 0.6 / steepest


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A saddle found by training.

    `starts` is "balanced" or "displaced". `saddle` and the barriers are read where the two descents
    from the last gap hesitate, one on each side; `uncertainty` is half their difference in
    strength. `start_gap` are the last start strengths on the two sides: (lost, kept).
    """

    starts: str
    saddle: float
    uncertainty: float
    gradient: float
    learned: float
    barrier_out: float
    barrier_back: float
    start_gap: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Descent:
    """Strength of the feature against time (learning rate times steps) from one balanced start."""

    start: float
    times: tuple[float, ...]
    strengths: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class _Case:
    """One weight decay and one push; every array of layers has a single lane."""

    decay: float
    push: Layers | None
    trapped: Layers
    learned: Layers

    def strength(self, task: Task) -> float:
        return float(_strengths(self.learned, task.mode)[0])


def search(
    task: Task,
    weight_decays: tuple[float, ...],
    *,
    seed: int,
    pushes: int,
    displacement: float,
    resolution: float,
) -> dict[float, tuple[Edge, ...]]:
    """The edges at every weight decay where training can keep the feature; balanced start first.

    A push so large that no start keeps the feature any more gives no edge.
    """
    cases: list[_Case] = []
    for decay in weight_decays:
        trapped, learned = _ends(task, decay)
        if _strengths(learned, task.mode)[0] < 1e-3 * max(task.signals):
            continue
        cases.append(_Case(decay, None, trapped, learned))
        cases += [
            _Case(decay, _push(task, seed, number, displacement), trapped, learned)
            for number in range(pushes)
        ]
    found: dict[float, tuple[Edge, ...]] = {}
    if cases:
        lost, kept = _narrow(task, cases, resolution)
        for case, edge in zip(cases, _edges(task, cases, lost, kept), strict=True):
            if edge is not None:
                found[case.decay] = (*found.get(case.decay, ()), edge)
    return found


def descents(task: Task, decay: float, starts: tuple[float, ...]) -> tuple[Descent, ...]:
    """Noise-free descents from balanced starts of the given strengths."""
    trapped, _ = _ends(task, decay)
    layers = _starts(task, trapped, np.array(starts))
    rate, decays = task.learning_rate(decay), np.full(len(starts), decay)
    machine = _machine(task, layers, decays, rate)
    every = max(1, round(0.5 / rate))
    start, rest = machine.observe(), machine.advance(round(60 / rate) // every * every, every)
    times = [0.0, *(rest.steps * rate).tolist()]
    maps = np.concatenate([start.maps, rest.maps])
    table = seen_strengths(maps)[:, task.mode - 1].T
    return tuple(
        Descent(start=float(start), times=tuple(times), strengths=tuple(row.tolist()))
        for start, row in zip(starts, table, strict=True)
    )


def _ends(task: Task, decay: float) -> tuple[Layers, Layers]:
    """The states on the two sides: trained without the feature, and trained from all of it."""
    data, zero = task.data, np.zeros(2, dtype=int)
    signals = tuple(sorted(task.signals, reverse=True)[: task.mode])
    ends = []
    for values in ((*signals[:-1], 0.0), signals):
        # Two equal lanes: NumPy sums a single one in another order.
        layers = balanced(task.network, [data], zero, values)
        decays = np.full(2, decay)
        machine = _machine(task, layers, decays, task.learning_rate(decay))
        while machine.step < LONGEST and _length(_slopes(task, machine.layers, decays))[0] > 1e-13:
            machine.advance(20, 20)
        ends.append([layer[..., :1].copy() for layer in machine.layers])
    return ends[0], ends[1]


def _push(task: Task, seed: int, number: int, length: float) -> Layers:
    """A random direction of the given length, orthogonal to the path of the feature."""
    along = _direction(task)
    rng = generator(seed, "push off the path", number)
    push = [rng.standard_normal(layer.shape) for layer in along]
    overlap = sum(np.sum(p * a) for p, a in zip(push, along, strict=True))
    push = [p - overlap * a for p, a in zip(push, along, strict=True)]
    norm = np.sqrt(sum(np.sum(p**2) for p in push))
    return [p * (length / norm) for p in push]


def _direction(task: Task) -> Layers:
    """The unit vector of weight space along which the feature grows in a balanced network."""
    ones = np.ones(task.mode)
    data, zero = task.data, np.zeros(1, dtype=int)
    full = balanced(task.network, [data], zero, tuple(ones))
    ones[-1] = 0.0
    rest = balanced(task.network, [data], zero, tuple(ones))
    return [(f - r) / np.sqrt(task.depth) for f, r in zip(full, rest, strict=True)]


def _starts(
    task: Task, trapped: Layers, values: NDArray[np.float64], push: Layers | None = None
) -> Layers:
    """The trapped state with the feature added at each of `values`, and pushed; lanes last."""
    amplitude = np.sqrt(task.depth) * values ** (1 / task.depth)
    layers = [t + d * amplitude for t, d in zip(trapped, _direction(task), strict=True)]
    if push is not None:
        layers = [layer + p for layer, p in zip(layers, push, strict=True)]
    return layers


def _narrow(
    task: Task, cases: list[_Case], resolution: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Largest start strength that loses the feature and smallest that keeps it, for every case."""
    low = np.zeros(len(cases))
    high = np.array([case.strength(task) for case in cases])
    share = np.arange(1, STARTS + 1) / (STARTS + 1)
    while np.any(high - low > resolution * high):
        values = low + (high - low) * share[:, None]
        layers = _lanes(
            [_starts(task, c.trapped, v, c.push) for c, v in zip(cases, values.T, strict=True)]
        )
        keeps = _sides(task, layers, np.repeat([c.decay for c in cases], STARTS), cases)
        keeps = keeps.reshape(len(cases), STARTS)
        # The first start that keeps the feature, seen from below; one basin lies above it.
        first = np.where(keeps.any(axis=1), keeps.argmax(axis=1), STARTS)
        if np.any((low == 0) & (first == 0) & (high < 1e-6)):
            raise InputError(
                "The push off the path alone carries the network over the saddle: use a smaller "
                "displacement."
            )
        ladder = np.vstack([low, values, high])
        column = np.arange(len(cases))
        low, high = ladder[first, column], ladder[first + 1, column]
    return low, high


def _sides(
    task: Task, layers: Layers, decays: NDArray[np.float64], cases: list[_Case]
) -> NDArray[np.bool_]:
    """True where training keeps the feature. Lanes that have taken a side are dropped."""
    machine = _machine(task, layers, decays, task.learning_rate(float(decays.max())))
    full = np.repeat([case.strength(task) for case in cases], STARTS)
    alive, keeps = np.arange(len(decays)), np.zeros(len(decays), dtype=bool)
    while machine.step < LONGEST:
        seen = machine.advance(10 * LOOKS, 10)
        now = seen_strengths(seen.maps)[:, task.mode - 1] / full[alive]
        if not np.all(np.isfinite(now)):
            raise InputError("Training diverged: the signals are too strong for its step length.")
        decided = (now > 0.95) | (now < 0.05)
        done = np.asarray(decided.any(axis=0))
        # The first look at which a side had been taken.
        taken = now[decided.argmax(axis=0), np.arange(len(alive))] > 0.95
        keeps[alive[done]] = taken[done]
        alive = alive[~done]
        if not len(alive):
            return keeps
        if done.any():
            machine.keep(~done)
    raise InputError(
        "Some starts took no side: a weight decay this close to the spinodal needs a coarser "
        "`resolution`, or lower it."
    )


def _edges(
    task: Task, cases: list[_Case], lost: NDArray[np.float64], kept: NDArray[np.float64]
) -> list[Edge | None]:
    """Descend from both ends of every last gap and read the point of the smallest gradient."""
    pairs = np.stack([lost, kept], axis=1)
    layers = _lanes(
        [_starts(task, c.trapped, v, c.push) for c, v in zip(cases, pairs, strict=True)]
    )
    decays = np.repeat([case.decay for case in cases], 2)
    full = np.repeat([case.strength(task) for case in cases], 2)
    rate = task.learning_rate(float(decays.max()))
    best, smallest = [layer.copy() for layer in layers], np.full(len(decays), np.inf)
    under_way = np.ones(len(decays), dtype=bool)
    machine = _machine(task, layers, decays, rate)
    for count in range(LONGEST):
        length = _length(_slopes(task, machine.layers, decays))
        calmer = under_way & (length < smallest)
        smallest[calmer] = length[calmer]
        for kept_layer, layer in zip(best, machine.layers, strict=True):
            kept_layer[..., calmer] = layer[..., calmer]
        machine.advance(1, 1)
        if count % 10 == 0:
            # Both ends are calm too: a descent counts only until it has taken a side.
            now = _strengths(machine.layers, task.mode) / full
            under_way &= (now > 0.05) & (now < 0.95)
            if not under_way.any():
                break
    parted = _strengths(machine.layers, task.mode).reshape(-1, 2) > 0.5 * full.reshape(-1, 2)
    values = _strengths(best, task.mode).reshape(-1, 2)
    losses = _losses(task, best, decays).reshape(-1, 2).mean(axis=1)
    return [
        None
        if parted[i, 0] or not parted[i, 1]
        else Edge(
            starts="balanced" if case.push is None else "displaced",
            saddle=float(pair.mean()),
            uncertainty=float(0.5 * abs(pair[1] - pair[0])),
            gradient=float(smallest[2 * i : 2 * i + 2].max()),
            learned=case.strength(task),
            barrier_out=float(losses[i] - _losses(task, case.trapped, decays[2 * i])[0]),
            barrier_back=float(losses[i] - _losses(task, case.learned, decays[2 * i])[0]),
            start_gap=(float(lost[i]), float(kept[i])),
        )
        for i, (case, pair) in enumerate(zip(cases, values, strict=True))
    ]


def _machine(task: Task, layers: Layers, decays: NDArray[np.float64], rate: float) -> Machine:
    """Noise-free training of every lane at its own weight decay."""
    update = Update(learning_rate=rate, weight_decay=0.0, sampling="population")
    lanes = np.zeros(len(decays), dtype=np.int64)
    return trainer(layers, task.network, update, [task.data], lanes, weight_decay=decays)


def _slopes(task: Task, layers: Layers, decays: NDArray[np.float64]) -> Layers:
    """The gradient of every lane, the price of the weights included."""
    exact = task.data.train
    slopes = gradients(layers, exact.xx[..., None], exact.yx[..., None])
    for slope, layer in zip(slopes, layers, strict=True):
        slope += decays * layer
    return slopes


def _length(slopes: Layers) -> NDArray[np.float64]:
    """Length of the gradient in weight space, lane by lane."""
    return np.sqrt(np.sum([np.einsum("ijr,ijr->r", slope, slope) for slope in slopes], axis=0))


@cache
def _population(signals: tuple[float, ...]) -> Data:
    return draw(GaussianTask(signals=signals), seed=0, dataset=0)


def _strengths(layers: Layers, mode: int) -> NDArray[np.float64]:
    maps = np.moveaxis(end_to_end(layers), -1, 0).astype(np.float64)
    return singular_values(maps)[:, mode - 1]


def _losses(task: Task, layers: Layers, decays: NDArray[np.float64]) -> NDArray[np.float64]:
    """1/2 E||y - W x||^2 + (weight_decay / 2) sum_l ||W_l||^2 of every lane."""
    maps = np.moveaxis(end_to_end(layers), -1, 0).astype(np.float64)
    price = sum(np.einsum("ijr,ijr->r", layer, layer) for layer in layers)
    return task.data.train.error(maps) + 0.5 * decays * price


def _lanes(parts: list[Layers]) -> Layers:
    """Layers of several cases side by side, lanes last."""
    return [np.concatenate(layer, axis=-1) for layer in zip(*parts, strict=True)]
