"""The moments of a batch of fresh Gaussian samples, drawn directly: Bartlett's decomposition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics import elementary
from spinodal.seeding import normals_from_words

WORDS_PER_DIAGONAL = 8
ATTEMPTS = 8
"""Marsaglia and Tsang accept more than 98.8 % where they are used: eight failures never happen."""


def bartlett(words: NDArray[np.uint64], variables: int, batch: int) -> NDArray[np.float64]:
    """A lower triangular A (V, V, R) with A A^T the sum of `batch` standard normal u u^T.

    A_ii^2 is chi-square with batch - i degrees of freedom (i from 0), A_ij (i > j) standard
    normal. Each diagonal element has eight words of its own, the others share the rest.
    """
    factor = np.zeros((variables, variables, words.shape[-1]))
    for i in range(variables):
        own = words[WORDS_PER_DIAGONAL * i : WORDS_PER_DIAGONAL * (i + 1)]
        factor[i, i] = np.sqrt(_chi_square(own, batch - i))
    corners = np.tril_indices(variables, -1)
    if len(corners[0]):
        rest = normals_from_words(words[WORDS_PER_DIAGONAL * variables :])
        factor[corners] = rest[: len(corners[0])]
    return factor


def _chi_square(words: NDArray[np.uint64], freedom: int) -> NDArray[np.float64]:
    """Chi-square numbers (R,) with `freedom` degrees of freedom from eight words each."""
    if freedom > 2 * WORDS_PER_DIAGONAL:
        return _marsaglia_tsang(words, freedom)
    total = np.zeros(words.shape[-1])
    for normal in normals_from_words(words)[:freedom]:
        total += normal * normal
    return total


def _marsaglia_tsang(words: NDArray[np.uint64], freedom: int) -> NDArray[np.float64]:
    """Twice a gamma number of shape freedom / 2, by rejection (Marsaglia and Tsang 2000).

    With d = freedom / 2 - 1/3, c = 1 / sqrt(9 d) and v = (1 + c x)^3: 2 d v, accepted where v > 0
    and ln u is below the logarithm of the acceptance. The normals x come from the first four
    words, the uniform u from the high and low halves of the other four.
    """
    d = freedom / 2 - 1 / 3
    normals, last = normals_from_words(words[:4]), words[4:]
    halves = np.stack([last >> np.uint64(32), last & np.uint64(0xFFFFFFFF)], axis=1)
    uniforms = (halves.reshape(ATTEMPTS, -1).astype(np.float64) + 0.5) * 2.0**-32
    result = np.full(words.shape[-1], 2 * d)
    waiting = np.ones(words.shape[-1], dtype=bool)
    for x, u in zip(normals, uniforms, strict=True):
        v, acceptance = _proposal(x, d)
        accepted = waiting & (v > 0) & (elementary.log(u) < acceptance)
        result[accepted] = (2 * d) * v[accepted]
        waiting &= ~accepted
    return result


def _proposal(x: NDArray[np.float64], d: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """v = (1 + x / sqrt(9 d))^3, and ln of its acceptance, x^2 / 2 + d - d v + d ln v."""
    root = 1.0 + 1 / np.sqrt(9 * d) * x
    v = root * root * root
    return v, 0.5 * (x * x) + d - d * v + d * elementary.log(np.where(v > 0, v, 1.0))
