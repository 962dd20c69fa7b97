"""What becomes of a gradient: SGD, momentum, Adam and AdamW, and the kick of a temperature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics.networks import Layers
from spinodal.dynamics.plan import Plan, Stretch, adam_corrections
from spinodal.dynamics.updates import Update

Array = NDArray[np.floating]

SMALLEST = 1e-100
"""Weights below this are set to zero: denormal numbers would slow a trapped run many times."""


class Optimiser:
    """The change of the weights (P, R) that a gradient asks for; remembers what its rule needs.

    With g = slope + weight_decay theta (adamw: g = slope) and t counting updates from 1,

    sgd        -lr g
    momentum   m <- mu m + g;  -lr m
    adam       m <- mu m + (1 - mu) g;  v <- nu v + (1 - nu) g^2;
               -(lr / (1 - mu^t)) m / (sqrt(v) / sqrt(1 - nu^t) + epsilon)
    adamw      -lr weight_decay theta, then as adam
    """

    def __init__(self, plan: Plan, shape: tuple[int, int]) -> None:
        """An optimiser at rest for weights of this shape."""
        self._plan = plan
        kinds = {"sgd": (), "momentum": ("momentum",)}
        names = kinds.get(plan.optimizer, ("momentum", "second"))
        self.memory: dict[str, Array] = {
            name: np.zeros(shape, dtype=plan.precision) for name in names
        }

    def change(
        self, slope: Array, weights: Array, decay: Array, stretch: Stretch, step: int
    ) -> Array:
        """The change by update number `step` (from 0); `decay` (R,) is the weight decay."""
        rate, rule = stretch.learning_rate, self._plan.optimizer
        if rule == "adamw":
            return -(rate * decay) * weights + self._adam(slope, rate, step)
        slope = slope + decay * weights
        if rule == "sgd":
            return -rate * slope
        if rule == "momentum":
            m = self.memory["momentum"]
            m *= self._plan.momentum
            m += slope
            change = -rate * m
            flush(m, self._plan.smallest)
            return change
        return self._adam(slope, rate, step)

    def _adam(self, g: Array, rate: float, step: int) -> Array:
        plan = self._plan
        m, v = self.memory["momentum"], self.memory["second"]
        m *= plan.momentum
        m += (1.0 - plan.momentum) * g
        v *= plan.second_momentum
        v += ((1.0 - plan.second_momentum) * g) * g
        first, second = adam_corrections(plan.momentum, plan.second_momentum, step, 1)
        size, scale = rate / float(first[0]), float(second[0])
        change = -size * (m / (np.sqrt(v) / scale + plan.epsilon))
        flush(m, plan.smallest)
        flush(v, plan.smallest_square)
        return change


def flush(values: Array, smallest: float) -> None:
    """Set to +0 what is smaller, in place."""
    values[np.abs(values) < smallest] = 0.0


def step(
    layers: Layers,
    gradient: Sequence[Array],
    noise: Sequence[Array] | None,
    update: Update,
    trainable: list[NDArray[np.bool_]] | None = None,
) -> None:
    """One SGD update of single layers, in place, for studies that move them by hand.

    `noise` holds standard normals shaped as the layers, or None.
    """
    kick = np.sqrt(2 * update.temperature * update.learning_rate)
    for i, (weight, slope) in enumerate(zip(layers, gradient, strict=True)):
        change = slope + update.weight_decay * weight
        change *= -update.learning_rate
        if noise is not None:
            change += (kick * noise[i]).astype(weight.dtype, copy=False)
        if trainable is not None:
            change *= trainable[i]
        weight += change
        flush(weight, SMALLEST if weight.dtype == np.float64 else 1e-30)
