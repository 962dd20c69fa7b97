"""How large the valleys are: volumes of the sets of equivalent stationary points.

Rotating a hidden layer, W_l -> Q W_l and W_{l+1} -> W_{l+1} Q^T with Q orthogonal, leaves the
end-to-end map and the loss alone. A stationary point with r active modes is therefore a manifold,
of dimension (L-1)(r (w-r) + r (r-1)/2), the number of its zero modes, and a rate needs its
Riemannian volume in weight space. At width 1 the manifolds are sets of points (signs), counted.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from spinodal.errors import InputError
from spinodal.theory.modes import checked_depth
from spinodal.theory.roots import Array


def log_sphere(dimension: ArrayLike) -> Array:
    """Logarithm of the surface of the unit sphere S^n, 2 pi^((n+1)/2) / Gamma((n+1)/2).

    S^0 is two points.
    """
    half = (np.asarray(dimension, dtype=float) + 1) / 2
    return np.log(2) + half * np.log(np.pi) - gammaln(half)


def log_orbit_volume(amplitudes: ArrayLike, *, depth: int, width: int) -> float:
    """ln V of the orbit of a balanced point with these active amplitudes (positive, distinct).

        V = [prod_{i<r} S_{w-1-i}]^(L-1)  prod_a (sqrt(2) a_a)^((w-r)(L-1))
            prod_{a<c} [2^(L-1) (l_a^2 - l_c^2) / (a_a^2 - a_c^2)]^(1/2),     l = a^L

    The first factor is the volume of the Stiefel manifolds of hidden frames, the others stretch
    it: turning an active into a dead channel moves two layers by a each, and turning two active
    channels into each other in all layers has the tridiagonal Gram matrix whose determinant stands
    in the last factor. Valid for a_a != a_c; tied signals have larger valleys and are refused.
    """
    depth = checked_depth(depth)
    a = np.atleast_1d(np.asarray(amplitudes, dtype=float))
    rank = a.size
    if not (np.all(np.isfinite(a)) and np.all(a > 0)):
        raise InputError(f"Active amplitudes must be finite and positive, got {a.tolist()}.")
    if rank > width:
        raise InputError(f"{rank} active modes need width >= {rank}, got {width}.")
    if len(set(a.tolist())) < rank:
        raise InputError(
            f"Amplitudes must differ, got {a.tolist()}: modes of one amplitude share a larger "
            "valley; separate the signals a little."
        )
    frames = (depth - 1) * float(log_sphere(width - 1 - np.arange(rank)).sum())
    arcs = (width - rank) * (depth - 1) * float(np.log(np.sqrt(2) * a).sum())
    pairs = 0.0
    for one, two in combinations(a, 2):
        # (l_a^2 - l_c^2) / (a_a^2 - a_c^2) as a sum of positive terms: no digits are lost.
        powers = np.arange(depth)
        ratio = float(np.sum(one ** (2 * powers) * two ** (2 * (depth - 1 - powers))))
        pairs += 0.5 * ((depth - 1) * np.log(2) + np.log(ratio))
    return frames + arcs + float(pairs)
