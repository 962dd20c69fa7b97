"""One seed, many independent random streams, each a function of the step.

A replica owns its stream: what replica `i` of seed `s` draws at step `t` depends on
(seed, stream name, i, t) and on nothing else: not on how many replicas run beside it, on
threads, on shards or on the machine. The words come from Philox4x64-10 (Salmon et al.,
SC 2011) with the step as counter; the normals are built from them with additions,
multiplications, divisions and square roots only, which IEEE 754 fixes to the last bit.
"""

from __future__ import annotations

import functools
import hashlib
import operator
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spinodal.errors import InputError

WORDS_PER_BLOCK = 4
"""Philox4x64 yields four 64-bit words per value of its counter."""

_BUFFER = 2048
"""About how many words of a replica are fetched at a time; the size changes no number."""


def _key(seed: int, *path: str | int) -> NDArray[np.uint64]:
    """The 128-bit Philox key of a stream: BLAKE2b of the seed and the path."""
    text = "\x1f".join([str(operator.index(seed)), *(str(part) for part in path)])
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64)


def keys(seed: int, name: str, replicas: Sequence[int]) -> NDArray[np.uint64]:
    """Philox keys (replicas, 2) of the stream called `name`."""
    # `_key` of every replica, without its overhead: a million replicas have as many keys.
    prefix = f"{check_seed(seed)}\x1f{name}\x1f".encode()
    digest = functools.partial(hashlib.blake2b, digest_size=16)
    found = b"".join([digest(prefix + b"%d" % replica).digest() for replica in replicas])
    return np.frombuffer(found, dtype="<u8").astype(np.uint64).reshape(-1, 2)


def check_seed(seed: int) -> int:
    """The seed itself, or an `InputError` if it is not an integer of at least zero."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"A seed must be an integer of at least 0, got {seed!r}.")
    return int(seed)


def generator(seed: int, *path: str | int) -> np.random.Generator:
    """A NumPy generator at `path` under `seed`, for draws that belong to no replica."""
    return np.random.Generator(np.random.Philox(key=_key(check_seed(seed), "generator", *path)))


class Stream:
    """Random numbers of many replicas, addressed by step.

    Step `t` of a stream that uses `count` words per step owns the Philox counters
    `t * blocks + 1 ... (t + 1) * blocks` with `blocks = ceil(count / 4)`, so any step can be
    reached at once. One stream has one `count`; another use takes another name.
    """

    def __init__(self, seed: int, name: str, replicas: Sequence[int], count: int) -> None:
        """A stream called `name`, giving `count` words per step to each of `replicas`."""
        self.count = count
        self.replicas = tuple(replicas)
        self._blocks = -(-count // WORDS_PER_BLOCK)
        self._keys = list(keys(seed, name, self.replicas))
        self._sources = [np.random.Philox(key=key) for key in self._keys]
        self._ahead = max(1, min(64, _BUFFER // max(count, 1)))
        self._loaded = range(0)
        self._table = np.empty((0, count, len(self.replicas)), dtype=np.uint64)

    def words(self, step: int) -> NDArray[np.uint64]:
        """The 64-bit words of one step, shape (count, replicas)."""
        if step not in self._loaded:
            self._load(step)
        return self._table[step - self._loaded.start]

    def _load(self, step: int) -> None:
        """Fetch some steps from `step` on: one call to each replica's source serves them all."""
        if step != self._loaded.stop:
            start = step * self._blocks
            counter = np.array([start >> (64 * i) & (2**64 - 1) for i in range(4)], dtype=np.uint64)
            self._sources = [np.random.Philox(key=key, counter=counter) for key in self._keys]
        self._loaded = range(step, step + self._ahead)
        drawn = self._blocks * WORDS_PER_BLOCK
        rows = np.array([source.random_raw(self._ahead * drawn) for source in self._sources])
        table = rows.reshape(len(self.replicas), self._ahead, drawn)[:, :, : self.count]
        self._table = np.ascontiguousarray(np.moveaxis(table, 0, -1))

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Go on with the replicas of the mask only."""
        chosen = np.flatnonzero(mask)
        self.replicas = tuple(self.replicas[i] for i in chosen)
        self._keys = [self._keys[i] for i in chosen]
        self._sources = [self._sources[i] for i in chosen]
        self._table = np.ascontiguousarray(self._table[..., chosen])

    def normals(self, step: int) -> NDArray[np.float64]:
        """Standard normals of one step, shape (2 * count, replicas): two from each word.

        The first half holds the cosine partners, the second half the sines.
        """
        return normals_from_words(self.words(step))


def normals_from_words(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Two standard normals from each 64-bit word, by Box and Muller; doubles the first axis.

    The high 32 bits choose the radius sqrt(-2 ln u) with u = (high + 1/2) / 2^32, so that no
    deviate exceeds 6.8 standard deviations (probability 1e-11); the low 32 bits choose the
    angle: 29 bits within an octant, 3 bits which octant. The polynomials below
    are accurate to 1e-10, far below what any sample can resolve, and contain only operations
    that IEEE 754 rounds exactly, so the bits are the same on every machine.
    """
    return np.concatenate(_box_muller(words))


def _box_muller(words: NDArray[np.uint64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    high = (words >> np.uint64(32)).astype(np.float64)
    radius = np.sqrt(-2.0 * _log((high + 0.5) * 2.0**-32))
    angle = (words & np.uint64(0x1FFFFFFF)).astype(np.float64) + 0.5
    sine, cosine = _sine_and_cosine(angle * (np.pi / 4 * 2.0**-29))
    octant = words >> np.uint64(29)
    swap = (octant & np.uint64(1)).astype(bool)
    first, second = np.where(swap, sine, cosine), np.where(swap, cosine, sine)
    # A sign is a bit: 1 - 2 * bit is +1 or -1.
    first *= 1.0 - (octant & np.uint64(2)).astype(np.float64)
    second *= 1.0 - 0.5 * (octant & np.uint64(4)).astype(np.float64)
    return first * radius, second * radius


def _horner(x: NDArray[np.float64], coefficients: Sequence[float]) -> NDArray[np.float64]:
    """Polynomial with the highest power first, in place."""
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total *= x
        total += coefficient
    return total


_LN2 = 0.6931471805599453
_ATANH = tuple(2.0 / n for n in (13, 11, 9, 7, 5, 3, 1))
_SINE = (-1 / 39916800, 1 / 362880, -1 / 5040, 1 / 120, -1 / 6, 1.0)
_COSINE = (1 / 479001600, -1 / 3628800, 1 / 40320, -1 / 720, 1 / 24, -1 / 2, 1.0)


def _log(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Natural logarithm of positive normal numbers, to 1e-12.

    u = 2^e m with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh z with z = (m - 1) / (m + 1).
    """
    # Adding the distance from sqrt(1/2) to 1 in the bit pattern carries into the exponent
    # exactly when the mantissa exceeds sqrt(2).
    bits = u.view(np.int64) + (0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
    exponent = (bits >> 52) - 1023
    mantissa = ((bits & 0x000FFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD).view(np.float64)
    z = (mantissa - 1.0) / (mantissa + 1.0)
    return _horner(z * z, _ATANH) * z + exponent.astype(np.float64) * _LN2


def _sine_and_cosine(
    x: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sine and cosine on [0, pi/4], to 1e-11."""
    square = x * x
    return _horner(square, _SINE) * x, _horner(square, _COSINE)


def permutations(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    """A uniform permutation of 0 ... n-1 along axis 0, shape (n, replicas), from n words.

    The words' high 32 bits are sorted; the index in the low bits breaks ties and comes
    along, so that any sorting method gives the same answer.
    """
    n = words.shape[0]
    keys = (words & np.uint64(0xFFFFFFFF00000000)) | np.arange(n, dtype=np.uint64)[:, None]
    keys = np.sort(np.ascontiguousarray(keys.T), axis=-1).T
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)


def indices(words: NDArray[np.uint64], n: int, count: int) -> NDArray[np.int64]:
    """`count` uniform indices below `n` (with replacement) from ceil(count / 2) words.

    Two from each word: its high 32 bits give the one, its low 32 bits the next. The bias is below
    n / 2^32.
    """
    low = words & np.uint64(0xFFFFFFFF)
    halves = np.stack([words >> np.uint64(32), low], axis=1).reshape(-1, words.shape[-1])
    return (halves[:count] * np.uint64(n) >> np.uint64(32)).astype(np.int64)
