"""Diffusions on a loss of one's own: many walkers, each with its own random numbers.

Overdamped Langevin dynamics by Euler and Maruyama's rule, in units in which time = step * count:

    x <- x - step gradient(x) + sqrt(2 temperature step) normal

for any gradient that is a function of arrays. Networks have an engine of their own
(`spinodal.dynamics.ensemble`); this is for other problems, for reduced models of few coordinates
and for a user's own.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spinodal.errors import InputError
from spinodal.seeding import Stream, check_seed, keys, normals_from_words

Array = NDArray[np.float64]
Field = Callable[[Array], Array]
"""A function of positions (walkers, coordinates)."""

_AHEAD = 20_000
"""About how many normals are made at a time; the number changes no result."""

_HEADER = struct.Struct("<IQQQ")
"""Coordinates, the key of the stream in two words, steps taken from it."""


@dataclass(frozen=True, kw_only=True)
class Diffusion:
    """dx = -gradient(x) dt + sqrt(2 temperature) dB, or + noise(x) dB (Ito), at steps of `step`.

    Every callable takes positions (walkers, coordinates). `gradient` returns the same shape;
    `score`, shape (walkers,), says how far a walker has come, larger is further; `loss`, shape
    (walkers,), is used by nothing here and travels with its gradient. `noise` replaces
    `temperature`: amplitudes (walkers, coordinates), one per coordinate, or matrices (walkers,
    coordinates, coordinates). A row of the answers must depend on the same row of the positions
    only. Temperature 0 is the twin without noise.

    The rule's stationary law and passage times are off by a relative O(step curvature); it diverges
    where step * curvature > 2.
    """

    gradient: Field
    score: Field
    step: float
    temperature: float | None = None
    noise: Field | None = None
    loss: Field | None = None

    def __post_init__(self) -> None:
        """Refuse steps that lead nowhere and noise given twice or not at all."""
        if not (math.isfinite(self.step) and self.step > 0):
            raise InputError(f"The step must be finite and positive, got {self.step!r}.")
        if (self.temperature is None) == (self.noise is None):
            raise InputError(
                "A diffusion has either a temperature or a noise of its own: give exactly one "
                "(temperature=0 for none)."
            )
        if self.temperature is not None and not (
            math.isfinite(self.temperature) and self.temperature >= 0
        ):
            raise InputError(
                f"The temperature must be finite and at least 0, got {self.temperature!r}."
            )

    def move(self, positions: Array, kicks: Array) -> Array:
        """One step from `positions` with standard normals `kicks`, both (walkers, coordinates)."""
        # A walker that diverges is noticed by who counts; it must not stop the others.
        with np.errstate(over="ignore", invalid="ignore"):
            slid = positions - self.step * self.gradient(positions)
            if self.noise is None:
                return slid + math.sqrt(2 * (self.temperature or 0.0) * self.step) * kicks
            amplitude = self.noise(positions)
            pushed = (
                amplitude * kicks
                if amplitude.ndim == 2
                else np.einsum("nij,nj->ni", amplitude, kicks)
            )
            return slid + math.sqrt(self.step) * pushed

    def quiet(self) -> Diffusion:
        """The twin without noise."""
        return Diffusion(
            gradient=self.gradient,
            score=self.score,
            step=self.step,
            temperature=0.0,
            loss=self.loss,
        )


class Walkers:
    """Independent walkers of one diffusion, side by side.

    Walker `i` draws from the stream (seed, name, numbers[i]) and from no other, so that it goes the
    same way alone and among others. `positions` (walkers, coordinates) and `step`, the updates
    since the launch, may be read at any time.
    """

    def __init__(
        self,
        diffusion: Diffusion,
        positions: ArrayLike,
        *,
        seed: int,
        name: str = "walkers",
        numbers: Sequence[int] | None = None,
    ) -> None:
        """Launch one walker from each row of `positions`."""
        self.diffusion = diffusion
        self.positions = checked_positions(diffusion, positions)
        self.step = 0
        count, self._size = self.positions.shape
        self.numbers = tuple(range(count) if numbers is None else numbers)
        if len(self.numbers) != count:
            raise InputError(
                f"Every walker needs one number of its own, got {len(self.numbers)} numbers for "
                f"{count} walkers."
            )
        self._stream = Stream(seed, name, self.numbers, -(-self._size // 2))
        self._kicks = np.empty((0, self._size, count))
        self._loaded = range(0)

    def __len__(self) -> int:
        """How many walkers there are."""
        return len(self.numbers)

    def advance(self, steps: int) -> None:
        """Everybody takes so many steps."""
        for _ in range(steps):
            self.positions = self.diffusion.move(self.positions, self._normals())
            self.step += 1

    def scores(self) -> Array:
        """How far each has come, shape (walkers,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.diffusion.score(self.positions)

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Go on with the walkers of the mask only; nothing changes for them."""
        self.positions = self.positions[mask]
        self.numbers = tuple(np.asarray(self.numbers)[mask].tolist())
        self._stream.keep(mask)
        self._kicks = self._kicks[..., mask]

    def clone(
        self, sources: Sequence[int], *, seed: int, name: str, numbers: Sequence[int] | None = None
    ) -> Walkers:
        """New walkers where those in the rows `sources` are now, with streams of their own."""
        here = self.positions[np.asarray(sources, dtype=np.int64)]
        return Walkers(self.diffusion, here, seed=seed, name=name, numbers=numbers)

    def _normals(self) -> Array:
        """Standard normals of the step to come, shape (walkers, coordinates)."""
        if self.step not in self._loaded:
            ahead = max(1, min(64, _AHEAD // max(1, self.positions.size)))
            self._loaded = range(self.step, self.step + ahead)
            words = np.stack([self._stream.words(step) for step in self._loaded], axis=1)
            normals = normals_from_words(words)[: self._size]
            self._kicks = np.ascontiguousarray(np.moveaxis(normals, 1, 0))
        return self._kicks[self.step - self._loaded.start].T


class Walker:
    """One walker as a `spinodal.process.Process`: it can be stopped, copied and made independent.

    It draws from the stream of `seed` and `path`; with the path (name, number) it goes the way of
    that walker among `Walkers`.
    """

    def __init__(
        self, diffusion: Diffusion, position: ArrayLike, *, seed: int, path: Sequence[str | int]
    ) -> None:
        """Launch from `position`, shape (coordinates,)."""
        self.diffusion = diffusion
        self.position = checked_positions(diffusion, np.asarray(position, dtype=float)[None])[0]
        self.reseed(seed, *path)

    def advance(self, steps: int) -> None:
        """Take so many steps."""
        for _ in range(steps):
            kicks = self._normals()
            self.position = self.diffusion.move(self.position[None], kicks[None])[0]
            self._step += 1

    def score(self) -> float:
        """How far it has come."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float(self.diffusion.score(self.position[None])[0])

    def get_state(self) -> bytes:
        """Coordinates, key and counter of the stream, position: little-endian raw bytes."""
        key = (int(word) for word in self._key)
        header = _HEADER.pack(self.position.size, *key, self._step)
        return header + self.position.astype("<f8").tobytes()

    def set_state(self, state: bytes) -> None:
        """Go back to a state that `get_state` gave."""
        size = self.position.size
        expected = _HEADER.size + 8 * size
        if len(state) != expected or _HEADER.unpack_from(state)[0] != size:
            raise InputError(
                f"This is no state of a walker of {size} coordinates: it has {len(state)} bytes "
                f"instead of {expected}; give what get_state returned."
            )
        _, first, second, step = _HEADER.unpack_from(state)
        self._key = np.array([first, second], dtype=np.uint64)
        self._step = step
        self._loaded = range(0)
        self.position = np.frombuffer(state, "<f8", offset=_HEADER.size).astype(np.float64)

    def reseed(self, seed: int, *path: str | int) -> None:
        """Draw from the stream of `seed` and `path` from here on."""
        *name, last = path or ("walkers", 0)
        if isinstance(last, str):
            name, last = [*name, last], 0
        joined = "\x1f".join(str(part) for part in name)
        self._key = keys(check_seed(seed), joined, [last])[0]
        self._step = 0
        self._loaded = range(0)

    def _normals(self) -> Array:
        """Standard normals of the step to come, shape (coordinates,): those of `Stream`."""
        if self._step not in self._loaded:
            size = self.position.size
            words = -(-size // 2)
            blocks = -(-words // 4)
            self._loaded = range(self._step, self._step + 64)
            counter = np.array([self._step * blocks, 0, 0, 0], dtype=np.uint64)
            source = np.random.Philox(key=self._key, counter=counter)
            drawn = source.random_raw(64 * blocks * 4).reshape(64, -1)[:, :words].T
            self._kicks = np.ascontiguousarray(normals_from_words(drawn)[:size].T)
        return self._kicks[self._step - self._loaded.start]


def checked_positions(diffusion: Diffusion, positions: ArrayLike) -> Array:
    """Positions as a matrix of finite numbers that the callables take, or an InputError."""
    x = np.array(positions, dtype=float)
    if x.ndim != 2 or 0 in x.shape or not np.all(np.isfinite(x)):
        raise InputError(
            f"Positions must be finite numbers of shape (walkers, coordinates), got shape {x.shape}"
            f"{'' if np.all(np.isfinite(x)) else ' with NaN or infinity'}."
        )
    for what, shape, expected in (
        ("gradient", np.shape(diffusion.gradient(x)), x.shape),
        ("score", np.shape(diffusion.score(x)), x.shape[:1]),
    ):
        if shape != expected:
            raise InputError(
                f"The {what} must have shape {expected} for positions of shape {x.shape}, got "
                f"{shape}: walkers come first."
            )
    return x
