"""One mode under minibatch noise: drift, noise and the exact kicks of its amplitude.

In a balanced network all L layers carry the amplitude a of the mode, strength = a**L, and a sample
(x, y) pushes each of them by -g with

    g = a**(L-1) (strength x**2 - x y) + weight_decay a.

With batches of B independent samples and time t = learning_rate * steps the amplitude follows, for
small eps = learning_rate / B, the diffusion (Ito)

    da = b(a) dt + sqrt(eps) sigma(a) dW,   b = -E'(a)/L,   sigma = a**(L-1) sqrt(S(strength)),
    S(strength) = Var(strength x**2 - x y).

Exact are: for one input and one output the reduction to a, at any width, because balance of the
layers is then preserved by every minibatch step; with more of them the singular vectors turn, which
adds a drift of order eps. Not exact is the diffusion: it takes kicks for Gaussian and many, and its
exponents are not those of SGD (`quasipotential`). The same reduction: Corlouer et al. 2604.06366.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from spinodal.errors import InputError
from spinodal.theory import modes
from spinodal.theory.roots import Array, depth_root


@dataclass(frozen=True, kw_only=True)
class NoisyMode:
    """One mode with joint Gaussian x and y of mean zero and covariance `signal`.

    `output_variance` is that of y, `input_variance` that of x.
    """

    depth: int
    signal: float
    weight_decay: float
    input_variance: float = 1.0
    output_variance: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what no mode and no Gaussian x and y have."""
        if modes.checked_depth(self.depth) < 2:
            raise InputError("A mode under minibatch noise needs depth >= 2, got 1.")
        modes.checked("signal", self.signal)
        modes.checked("weight_decay", self.weight_decay)
        modes.checked("input_variance", self.input_variance, positive=True)
        modes.checked("output_variance", self.output_variance, positive=True)
        if not self.unexplained > 0:
            raise InputError(
                f"Gaussian x and y need signal**2 < input_variance output_variance, got signal "
                f"{self.signal:g} with variances {self.input_variance:g} and "
                f"{self.output_variance:g}: raise output_variance."
            )

    @property
    def unexplained(self) -> float:
        """s sigma_y^2 - signal^2: what the signal leaves, times s."""
        return self.input_variance * self.output_variance - self.signal**2

    def slope(self, strength: ArrayLike) -> Array:
        """G = E[strength x^2 - x y] = s strength - signal."""
        return self.input_variance * np.asarray(strength, float) - self.signal

    def spread(self, strength: ArrayLike) -> Array:
        """S = Var(strength x^2 - x y) = 2 s^2 strength^2 - 4 s signal strength + s v + signal^2."""
        s, eta = self.input_variance, self.signal
        x = np.asarray(strength, float)
        return 2 * s**2 * x**2 - 4 * s * eta * x + s * self.output_variance + eta**2

    def drift(self, amplitude: ArrayLike) -> Array:
        """b(a) = -[a^(L-1) (s a^L - signal) + weight_decay a], per unit time."""
        a = np.asarray(amplitude, float)
        return -(a ** (self.depth - 1) * self.slope(a**self.depth) + self.weight_decay * a)

    def variance(self, amplitude: ArrayLike) -> Array:
        """sigma^2(a) = a^(2L-2) S(a^L): variance of one sample's push on one layer's amplitude."""
        a = np.asarray(amplitude, float)
        return a ** (2 * self.depth - 2) * self.spread(a**self.depth)

    @property
    def saddle(self) -> float:
        """Amplitude of the saddle; an InputError names the spinodal where there is none."""
        return self._amplitude(modes.saddle)

    @property
    def learned(self) -> float:
        """Amplitude of the learned point; an InputError where there is none."""
        return self._amplitude(modes.learned)

    def _amplitude(self, point) -> float:
        strength = point(
            depth=self.depth,
            signal=self.signal,
            weight_decay=self.weight_decay,
            input_variance=self.input_variance,
        )
        return float(depth_root(strength, self.depth))
