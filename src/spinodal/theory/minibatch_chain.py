"""One mode under minibatch SGD as the Markov chain it is: exact mean passage times.

One input, one output, balanced layers: every update maps the amplitude a to

    a' = (1 - lr weight_decay) a - lr a**(L-1) Z,   Z = mean over the batch of x (strength x - y),

exactly, at any width. For B independent Gaussian samples the sum of these products of two
correlated normal variables is a difference of two independent gamma variables,

    B Z = (q + G) U - (q - G) U',   U, U' ~ Gamma(B/2),   G = s strength - signal,
    q^2 = s E(strength x - y)^2.

The mean number of updates n(a) until the amplitude is below `absorbing` solves

    n(a) = 1 + E n(a')   above it,   n = 0 below,

here by collocation with piecewise polynomials, the expectation by Gauss-Laguerre rules of U and U'.
No small step, no many samples, no Gaussian kicks are assumed: it is to
`quasipotential.log_passage_time` what SGD is to its diffusion.
"""

from __future__ import annotations

import numpy as np
from scipy.special import roots_genlaguerre

from spinodal.errors import InputError
from spinodal.theory.noisy_mode import NoisyMode
from spinodal.theory.roots import Array

_NODES = 0.5 * (np.polynomial.legendre.leggauss(10)[0] + 1)
_OTHERS = _NODES[:, None] - _NODES + np.eye(len(_NODES))
_LAGRANGE = 1 / _OTHERS.prod(axis=1)
_MOST_PANELS = 300


def push_rule(
    mode: NoisyMode, *, amplitude: Array, batch_size: int, order: int
) -> tuple[Array, Array]:
    """Values of Z, shape (amplitudes, points), and their probabilities: a Gauss rule of its law.

    Exact for polynomials in Z up to degree 2 `order` - 1.
    """
    nodes, weights = roots_genlaguerre(order, 0.5 * batch_size - 1)
    weights = weights / weights.sum()
    kept = weights > 1e-22
    nodes, weights = nodes[kept], weights[kept]
    strength = np.asarray(amplitude, float)[:, None, None] ** mode.depth
    slope = mode.slope(strength)
    scale = np.sqrt(mode.spread(strength) - slope**2)
    push = ((scale + slope) * nodes[:, None] - (scale - slope) * nodes) / batch_size
    return push.reshape(len(push), -1), np.outer(weights, weights).ravel()


def mean_updates(
    mode: NoisyMode,
    *,
    learning_rate: float,
    batch_size: int,
    start: float | None = None,
    absorbing: float | None = None,
    width: float = 1.0,
    order: int = 16,
) -> float:
    """Mean number of updates from `start` until the amplitude is first below `absorbing` > 0.

    By default from `learned` to 0.6 of the saddle's amplitude, below which the drift takes
    all: n must be small there compared with n(start), for its jump to 0 is not resolved. Times
    learning_rate it compares with the diffusion's time. Batches of independent Gaussian samples.
    `width` is the size of panels in kicks, `order` that of the Gauss rules: smaller and larger ones
    show the error, below 1e-3 where a jump takes ten kicks or more.
    """
    if not (np.isfinite(learning_rate) and learning_rate > 0):
        raise InputError(f"learning_rate must be finite and positive, got {learning_rate:g}.")
    if not 1 <= batch_size <= 10_000:
        raise InputError(f"batch_size must lie between 1 and 10,000, got {batch_size}.")
    start = mode.learned if start is None else start
    absorbing = 0.6 * mode.saddle if absorbing is None else absorbing
    if not 0 < absorbing < start:
        raise InputError(f"Passages need 0 < absorbing < start, got {absorbing:g} and {start:g}.")
    edges = _edges(mode, absorbing, start, learning_rate, batch_size, width)
    nodes = (edges[:-1, None] + np.diff(edges)[:, None] * _NODES).ravel()
    step = {"learning_rate": learning_rate, "batch_size": batch_size, "order": order}
    transfer = _transfer(mode, edges, nodes, **step)
    updates = np.linalg.solve(np.eye(len(nodes)) - transfer, np.ones(len(nodes)))
    total = float(1 + (_transfer(mode, edges, np.array([start]), **step) @ updates)[0])
    if not (np.isfinite(total) and total > 0):
        raise InputError("The chain has no mean passage time on this grid: take a smaller width.")
    return total


def _transfer(
    mode: NoisyMode,
    edges: Array,
    start: Array,
    *,
    learning_rate: float,
    batch_size: int,
    order: int,
) -> Array:
    """Matrix that takes n at the nodes to E n(a') at `start`, shape (starts, nodes)."""
    push, probability = push_rule(mode, amplitude=start, batch_size=batch_size, order=order)
    power = learning_rate * start ** (mode.depth - 1)
    end = ((1 - learning_rate * mode.weight_decay) * start)[:, None] - power[:, None] * push
    alive = end >= edges[0]
    end = np.clip(end, edges[0], edges[-1])  # beyond the top n is taken as constant
    panel = np.clip(np.searchsorted(edges, end, side="right") - 1, 0, len(edges) - 2)
    at = (end - edges[panel]) / np.diff(edges)[panel]
    away = at[..., None] - _NODES
    away = np.where(np.abs(away) < 1e-14, 1e-14, away)
    values = away.prod(axis=-1)[..., None] * _LAGRANGE / away
    values *= (alive * probability)[..., None]
    size = len(_NODES)
    columns = panel[..., None] * size + np.arange(size)
    rows = np.arange(len(start))[:, None, None] * (size * (len(edges) - 1))
    table = np.bincount(
        (rows + columns).ravel(),
        weights=values.ravel(),
        minlength=len(start) * size * (len(edges) - 1),
    )
    return np.asarray(table.reshape(len(start), -1), dtype=float)


def _edges(
    mode: NoisyMode, low: float, start: float, learning_rate: float, batch_size: int, width: float
) -> Array:
    """Panels of `width` kicks from `low` up to where nobody comes (less than e**-40) on the way."""
    edges, cost = [low], 0.0
    while edges[-1] < start or cost < 40:
        here = edges[-1]
        kick = learning_rate * float(np.sqrt(mode.variance(here) / batch_size))
        step = min(4 * width * kick, 0.1 * start)
        if here >= start:
            middle = here + 0.5 * step
            steep = -2 * float(mode.drift(middle)) / float(mode.variance(middle))
            cost += max(0.0, steep) * step * batch_size / learning_rate
            if here > 3 * start:
                break
        edges.append(here + step)
        if len(edges) > _MOST_PANELS:
            raise InputError(
                f"One kick at learning_rate {learning_rate:g} and batch_size {batch_size} is so "
                "small that the chain needs too many nodes: it is a diffusion there, take "
                "quasipotential.log_passage_time."
            )
    return np.array(edges)
