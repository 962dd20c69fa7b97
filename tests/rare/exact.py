"""Small processes whose probabilities and mean times are known exactly, observed step by step."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from spinodal.dynamics.diffusions import Diffusion
from spinodal.seeding import generator


class BirthDeath:
    """A walk on 0 ... n: up with probability `up`, else down; 0 reflects."""

    def __init__(self, up: float, start: int = 0) -> None:
        self.up, self.place = up, start
        self.reseed(0)

    def advance(self, steps: int) -> None:
        for _ in range(steps):
            self._count += 1
            word = (self._key + self._count) & (2**64 - 1)  # splitmix64
            word = ((word * 0x9E3779B97F4A7C15) ^ 0x1234567) & (2**64 - 1)
            word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
            word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
            uniform = (word ^ (word >> 31)) / 2**64
            self.place = max(0, self.place + (1 if uniform < self.up else -1))

    def score(self) -> float:
        return float(self.place)

    def get_state(self) -> bytes:
        return struct.pack("<qQQ", self.place, self._key, self._count)

    def set_state(self, state: bytes) -> None:
        self.place, self._key, self._count = struct.unpack("<qQQ", state)

    def reseed(self, seed: int, *path: str | int) -> None:
        self._key = int(generator(seed, *path).integers(2**63))
        self._count = 0


class Walk(Diffusion):
    """The same walk for many walkers at once, driven by normals; its score has ties."""

    def __init__(self, up: float) -> None:
        super().__init__(gradient=np.zeros_like, score=lambda x: x[:, 0], step=1.0, temperature=1.0)
        object.__setattr__(self, "edge", float(norm.ppf(up)))

    def move(
        self, positions: NDArray[np.float64], kicks: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return np.maximum(positions + np.where(kicks < vars(self)["edge"], 1.0, -1.0), 0.0)


def ruin(up: float, start: int, top: int) -> float:
    """Probability of the walk to reach `top` before 0."""
    ratio = (1 - up) / up
    return (1 - ratio**start) / (1 - ratio**top)


def birth_death_time(up: float, start: int, top: int) -> float:
    """Mean steps from `start` until `top`, by linear algebra."""
    matrix = np.zeros((top, top))
    for place in range(top):
        matrix[place, max(place - 1, 0)] += 1 - up
        if place + 1 < top:
            matrix[place, place + 1] += up
    return float(np.linalg.solve(np.eye(top) - matrix, np.ones(top))[start])


def _rule(low: float, high: float, panels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights of a composite Gauss-Legendre rule."""
    node, weight = np.polynomial.legendre.leggauss(16)
    size = (high - low) / panels
    left = low + size * np.arange(panels)[:, None]
    return (left + 0.5 * size * (node + 1)).ravel(), np.tile(0.5 * size * weight, panels)


def chain_time(
    move: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    deviation: float,
    *,
    start: float,
    target: float,
    low: float,
    panels: int = 20,
) -> float:
    """Mean steps of x <- move(x) + deviation * normal from `start` until x >= target.

    Nystrom's method for u(x) = 1 + int k(x, y) u(y) dy on (low, target), with panels of 16
    Gauss-Legendre nodes: exact for the chain observed at every step.
    """
    x, weight = _rule(low, target, panels)
    kernel = norm.pdf(x[None, :], loc=move(x)[:, None], scale=deviation) * weight
    u = np.linalg.solve(np.eye(len(x)) - kernel, np.ones(len(x)))
    here = norm.pdf(x, loc=move(np.array([start])), scale=deviation) * weight
    return float(1 + here @ u)


def chain_probability(
    move: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    deviation: float,
    *,
    start: float,
    floor: float,
    target: float,
    panels: int = 20,
) -> float:
    """P(x >= target before x <= floor) from `start` of the same chain, by the same method."""
    x, weight = _rule(floor, target, panels)
    kernel = norm.pdf(x[None, :], loc=move(x)[:, None], scale=deviation) * weight
    source = norm.sf(target, loc=move(x), scale=deviation)
    u = np.linalg.solve(np.eye(len(x)) - kernel, source)
    there = float(norm.sf(target, loc=move(np.array([start]))[0], scale=deviation))
    here = norm.pdf(x, loc=move(np.array([start])), scale=deviation) * weight
    return there + float(here @ u)
