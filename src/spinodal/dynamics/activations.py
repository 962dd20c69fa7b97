"""Activations of hidden units and their slopes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spinodal.dynamics import elementary
from spinodal.dynamics.elementary import rounded
from spinodal.dynamics.networks import Activation

Array = NDArray[np.floating]


def activate(activation: Activation, x: Array) -> tuple[Array, Array]:
    """h(x) and dh/dx, elementwise.

    identity   x                     1
    tanh       tanh x                1 - h^2
    sigmoid    1 / (1 + e^-x)        h (1 - h)
    softplus   ln(1 + e^x)           sigmoid x
    relu       max(x, 0)             1 where x > 0, else 0
    gelu       x Phi(x)              Phi(x) + x phi(x)

    phi and Phi are density and distribution function of the standard normal. Elementary functions
    of single precision are evaluated in double precision and rounded. NaN stays NaN.
    """
    if activation == "identity":
        return x, np.ones_like(x)
    if activation == "tanh":
        h = rounded(elementary.tanh, x)
        return h, 1.0 - h * h
    if activation == "sigmoid":
        h = rounded(elementary.sigmoid, x)
        return h, h * (1.0 - h)
    if activation == "softplus":
        return rounded(elementary.softplus, x), rounded(elementary.sigmoid, x)
    if activation == "gelu":
        return rounded(elementary.gelu, x), rounded(elementary.gelu_slope, x)
    h = x.copy()
    h[x < 0] = 0.0
    return h, (x > 0).astype(x.dtype)
