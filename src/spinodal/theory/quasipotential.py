"""Exponents of rare jumps of one mode under minibatch noise: ln tau ~ exponent * B / lr.

Noise that depends on the place has no temperature, and the loss is not what has to be climbed.
Against the drift the way from amplitude `start` to `end` costs int |Phi'(a)| da, and

    tau ~ exp(Phi / eps),   eps = learning_rate / batch_size -> 0.

Two limits give two Phi (Freidlin and Wentzell):

* `diffusion_exponent`: of the diffusion da = b dt + sqrt(eps) sigma dW, Phi' = -2 b / sigma**2.
* `exact_exponent`: of SGD itself, learning_rate -> 0 at any fixed batch size, independent samples.
  The kicks of a step are then rare combinations of samples, and Phi' is the non-zero root of
  E exp(-Phi' g) = 1 with g the push of one sample (Azizian et al. 2406.09241). For Gaussian data,
  with theta = Phi' a**(L-1), G = s a**L - signal and P = s sigma_y**2 - signal**2,

      1 + 2 theta G - theta**2 P = exp(-2 theta weight_decay a**(2-L)).

  `sample_exponent` takes the samples of a training set instead (drawn with replacement).

The two agree for small barriers (near the spinodal) and differ by more than any prefactor where
barriers are high: the diffusion knows two cumulants of a kick, the exact exponent all.

Not covered: batches without replacement and shuffled epochs (their noise nearly cancels, see
`gradient_noise.reshuffling_ratio`, and jumps are rarer by orders of magnitude), learning rates at
which one step is not small (`minibatch_chain` solves the one-mode chain itself), and networks whose
singular vectors turn while the mode is lost.

Upwards nothing comes out of the trivial phase. At depth 3 and more noise falls faster towards a = 0
than the drift that leads there, both exponents diverge, and `escape_probability` from a small
amplitude is all there is: such escape times are defective, most replicas never escape.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from spinodal.errors import InputError
from spinodal.theory import one_dimension
from spinodal.theory.noisy_mode import NoisyMode
from spinodal.theory.roots import Array

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1), 0.5 * _WEIGHTS
_CONVERGED, _MOST_PANELS = 1e-13, 1024


def diffusion_exponent(
    mode: NoisyMode, *, start: float | None = None, end: float | None = None
) -> float:
    """Phi of the diffusion between two amplitudes, by default from `learned` down to `saddle`.

    int of |2 b / sigma^2| where the drift opposes the way. Infinite from or through amplitude 0
    (at depth 3 and more as weight_decay a^(4-2L) / ((L-2) S(0)), at depth 2 as a logarithm).
    """

    def steepness(a: Array) -> Array:
        return -2 * mode.drift(a) / mode.variance(a)

    return _climb(mode, steepness, start, end)


def exact_exponent(
    mode: NoisyMode, *, start: float | None = None, end: float | None = None
) -> float:
    """Phi of SGD with independent Gaussian samples, by default from `learned` down to `saddle`.

    Infinite from or through amplitude 0 (as a^(2-L)).
    """
    return _climb(mode, lambda a: exact_slope(mode, a), start, end)


def exact_slope(mode: NoisyMode, amplitude: ArrayLike) -> Array:
    """Phi'(a): the root of E exp(-Phi' g) = 1 other than 0; zero at stationary points."""
    a = np.asarray(amplitude, float)
    sign = np.where(mode.drift(a) < 0, 1.0, -1.0)
    price = sign * mode.weight_decay * a ** (2.0 - mode.depth)
    slope, rest = sign * mode.slope(a**mode.depth), mode.unexplained

    # ln E exp(-theta g) / theta increases with theta from minus the drift's size to infinity.
    def rises(theta: Array) -> Array:
        return -price - 0.5 * np.log1p(2 * theta * slope - theta**2 * rest) / theta

    end = (slope + np.sqrt(slope**2 + rest)) / rest
    return sign * _bisect(rises, end) * a ** (1.0 - mode.depth)


def sample_exponent(
    x: ArrayLike,
    y: ArrayLike,
    *,
    depth: int,
    weight_decay: float,
    start: float | None = None,
    end: float | None = None,
) -> float:
    """Phi of SGD on the samples x and y (vectors of one length), drawn with replacement.

    As `exact_exponent` with the mean over the samples in place of the expectation. Infinite where
    no sample pushes against the drift: a batch of samples that all agree cannot climb.
    """
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    if xs.ndim != 1 or xs.shape != ys.shape or not (np.isfinite(xs) & np.isfinite(ys)).all():
        raise InputError(
            f"Samples of one mode are two vectors of one length, all finite; got shapes {xs.shape} "
            f"and {ys.shape}."
        )
    squares, products = xs**2, xs * ys
    moments = NoisyMode(
        depth=depth,
        signal=float(products.mean()),
        weight_decay=weight_decay,
        input_variance=float(squares.mean()),
        output_variance=float((ys**2).mean()) * (1 + 1e-12),  # y = c x is allowed here
    )

    def steepness(a: Array) -> Array:
        flat = a.ravel()
        sign = np.where(moments.drift(flat) < 0, 1.0, -1.0)
        push = -sign * (np.multiply.outer(squares, flat**depth) - products[:, None])
        price = sign * weight_decay * flat ** (2.0 - depth)
        most = push.max(axis=0)

        def rises(theta: Array) -> Array:
            # Measured from the largest push, so that no exponential overflows.
            mean = np.exp(theta * (push - most)).mean(axis=0)
            return most - price + np.log(mean) / theta

        end = np.ones_like(flat)
        for _ in range(200):
            short = (rises(end) <= 0) & (most > price)
            if not short.any():
                break
            end = np.where(short, 2 * end, end)
        theta = np.where(most > price, _bisect(rises, end), np.inf)
        return (sign * theta * flat ** (1.0 - depth)).reshape(a.shape)

    return _climb(moments, steepness, start, end, converged=1e-10)


def mixed_exponent(
    mode: NoisyMode,
    *,
    noise: float,
    temperature: float,
    start: float | None = None,
    end: float | None = None,
) -> float:
    """ln tau to leading order under minibatch noise of `noise` = lr / B and Langevin noise T.

    int |2 E'(a)| / (L noise sigma^2 + 2 T) da = int |2 b| / (noise sigma^2 + 2 T / L) da along the
    balanced way, uphill: at any T > 0 finite from amplitude 0, too. With T alone it is the loss
    barrier over T. The entropy of hidden rotations (`free_energy`) is not in it.
    """
    if not (noise >= 0 and temperature >= 0 and noise + temperature > 0):
        raise InputError(
            f"Noise and temperature must not be negative nor both zero, got {noise:g} and "
            f"{temperature:g}."
        )

    def steepness(a: Array) -> Array:
        return -2 * mode.drift(a) / (noise * mode.variance(a) + 2 * temperature / mode.depth)

    return _climb(mode, steepness, start, end, singular=temperature == 0)


def log_passage_time(
    mode: NoisyMode, *, noise: float, start: float | None = None, end: float | None = None
) -> float:
    """ln of the diffusion's mean time downwards from `start` to `end`, exact at any `noise`.

    By default from `learned` to 0.6 of the saddle's amplitude, beyond all recrossings. tau times
    exp((exact_exponent - diffusion_exponent) / noise) is the estimate for SGD itself: right in the
    exponent, up to a factor of order one (which tends to a constant) in front.
    """
    start = mode.learned if start is None else start
    end = 0.6 * mode.saddle if end is None else end
    if not 0 < end < start:
        raise InputError(f"Passages downwards need 0 < end < start, got {start:g} to {end:g}.")
    _check_noise(noise)
    return one_dimension.log_mean_time(
        mode.drift, lambda a: noise * mode.variance(a), start=start, absorbing=end
    )


def committor(mode: NoisyMode, *, noise: float, amplitude: float, low: float, high: float) -> float:
    """Probability of the diffusion to reach amplitude `high` before `low` > 0."""
    _check_noise(noise)
    return float(
        np.exp(
            one_dimension.log_committor(
                mode.drift, lambda a: noise * mode.variance(a), start=amplitude, low=low, high=high
            )
        )
    )


def log_escape_probability(
    mode: NoisyMode, *, noise: float, amplitude: float, high: float | None = None
) -> float:
    """ln of the diffusion's probability ever to reach `high` (default: `learned`), from below.

    Amplitude 0 attracts and is never left, so that this is the committor with low = 0, and one
    minus it is the height at which the survival curve of upward escapes stays for ever. From small
    amplitudes it is -`small_amplitude_exponent` / noise to leading order.
    """
    _check_noise(noise)
    high = mode.learned if high is None else high
    if not 0 <= amplitude < high:
        raise InputError(f"An escape upwards starts in [0, {high:g}), got {amplitude:g}.")
    if amplitude == 0:
        return -np.inf

    def variance(a: Array) -> Array:
        return noise * mode.variance(a)

    low = amplitude
    for _ in range(1000):  # until what lies below adds nothing
        low *= 0.8
        if (
            one_dimension.scale_exponent(mode.drift, variance, start=low, end=amplitude) > 60
            or low < 1e-30
        ):
            break
    return one_dimension.log_committor(mode.drift, variance, start=amplitude, low=low, high=high)


def small_amplitude_exponent(mode: NoisyMode, amplitude: ArrayLike) -> Array:
    """weight_decay a^(4-2L) / ((L-2) S(0)): cost of an escape from a small amplitude, diffusion.

    P(escape | a) ~ exp(-this / noise), elementwise: it diverges at 0. Depth 3 and more.
    """
    if mode.depth < 3:
        raise InputError(
            f"At depth {mode.depth} the cost grows as a logarithm: take diffusion_exponent between "
            "two amplitudes."
        )
    a = np.asarray(amplitude, float)
    with np.errstate(divide="ignore"):
        scale = mode.weight_decay / ((mode.depth - 2) * mode.spread(0.0))
        return scale * a ** (4.0 - 2 * mode.depth)


def _check_noise(noise: float) -> None:
    if not (np.isfinite(noise) and noise > 0):
        raise InputError(f"noise = lr / B must be finite and positive, got {noise:g}.")


def _bisect(rises: Callable[[Array], Array], end: Array) -> Array:
    """Where an increasing function of theta changes sign in (0, end), elementwise."""
    low, high = np.zeros_like(end), end
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(70):
            middle = 0.5 * (low + high)
            above = ~(rises(middle) < 0)
            low, high = np.where(above, low, middle), np.where(above, middle, high)
    return 0.5 * (low + high)


def _climb(
    mode: NoisyMode,
    steepness: Callable[[Array], Array],
    start: float | None,
    end: float | None,
    *,
    singular: bool = True,
    converged: float = _CONVERGED,
) -> float:
    """Integral of Phi' from start to end over all uphill parts of the way.

    `singular` says that the noise vanishes at amplitude 0, so that nothing leaves from there.
    """
    start = mode.learned if start is None else float(start)
    end = mode.saddle if end is None else float(end)
    if not (np.isfinite([start, end]).all() and start >= 0 and end >= 0):
        raise InputError(f"Amplitudes must be finite and not negative, got {start:g} and {end:g}.")
    if singular and start == 0 and end > 0:
        return np.inf
    way = np.sign(end - start)
    roots = [r for r in _stationary(mode) if min(start, end) < r < max(start, end)]
    corners = sorted({start, end, *roots})
    total = 0.0
    for left, right in pairwise(corners):
        middle = 0.5 * (left + right)
        if way * float(mode.drift(middle)) < 0:  # downhill parts are free
            total += abs(_integral(steepness, left, right, converged))
    return total


def _stationary(mode: NoisyMode) -> list[float]:
    try:
        return [mode.learned, mode.saddle] if mode.depth > 2 else [mode.learned]
    except InputError:
        return []


def _integral(
    steepness: Callable[[Array], Array], left: float, right: float, converged: float
) -> float:
    previous, panels = np.nan, 2
    while panels <= _MOST_PANELS:
        edges = np.linspace(left, right, panels + 1)
        nodes = edges[:-1, None] + np.diff(edges)[:, None] * _NODES
        value = float((np.diff(edges)[:, None] * _WEIGHTS * steepness(nodes)).sum())
        if not np.isfinite(value) or abs(value - previous) <= converged * abs(value):
            return value
        previous, panels = value, 2 * panels
    raise InputError(
        f"The exponent between amplitudes {left:g} and {right:g} did not settle: choose ends that "
        "are further from 0."
    )
