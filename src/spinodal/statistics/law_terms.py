"""What each law of the escape time says about a design: columns, known terms, parameter names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spinodal.errors import InputError
from spinodal.statistics.designs import Design

LAWS = ("arrhenius", "power", "drift", "lag", "mori")
"""The laws by name, in the order in which they are listed."""

Attempts = Literal["time", "step"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Axis:
    """The strength of the noise in each setting, by which the laws are told apart.

    `strength` (settings,) is the temperature where one is given, else learning_rate / batch_size
    or the learning rate alone: an effective temperature but for a factor, which is then missing
    in a barrier. `drift` is the exponent of the drift law in it: 0, a constant time, but -1 where
    only a temperature varies. `label` is how it is called.
    """

    label: str
    strength: NDArray[np.float64]
    drift: float


def axis_of(design: Design) -> Axis | None:
    """The noise axis of a design, None where no covariate gives one."""
    given = design.settings
    temperature = given.get("temperature")
    rate, batch = given.get("learning_rate"), given.get("batch_size")
    if temperature is not None and np.any(temperature > 0):
        some = temperature > 0
        varies = np.unique(temperature[some]).size > 1
        if varies or batch is None or rate is None:
            others = [values[some] for values in (rate, batch) if values is not None]
            alone = all(np.unique(values).size == 1 for values in others)
            return Axis(label="temperature", strength=temperature, drift=-1.0 if alone else 0.0)
    if rate is None:
        return None
    if batch is None:
        return Axis(label="learning_rate", strength=rate, drift=0.0)
    return Axis(label="learning_rate / batch_size", strength=rate / batch, drift=0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Terms:
    """ln(mean time) = log_prefactor + slope * x + offset, with x None where there is no slope.

    `x` and `offset` have shape (settings,). `slope` is the name of the fitted slope.
    """

    name: str
    formula: str
    x: NDArray[np.float64] | None
    slope: str | None
    offset: NDArray[np.float64]

    def select(self, which: NDArray[np.bool_]) -> Terms:
        """The same on some of the settings."""
        x = None if self.x is None else self.x[which]
        return replace(self, x=x, offset=self.offset[which])


def terms(name: str, design: Design, axis: Axis, *, rotations: float, attempts: Attempts) -> Terms:
    """The columns of a law that is linear in the logarithm (all but `lag`).

    `arrhenius`: x = 1 / strength, offset = (rotations / 2) ln(strength), and ln(learning_rate)
    where a rate is constant per step and not per unit time (`attempts` = 'step').
    `power`: x = ln(strength). `drift`: the same with the fixed exponent of the axis.
    `mori`: offset = (batch_size / (learning_rate * curvature) + 1/2) ln(loss_ratio), no slope.
    """
    zero = np.zeros(design.count)
    strength = np.where(axis.strength > 0, axis.strength, np.nan)
    label = f"({axis.label})" if "/" in axis.label else axis.label
    if name == "arrhenius":
        offset = rotations / 2 * np.log(strength) if rotations else zero
        formula = f"ln tau = log_prefactor + barrier / {label}"
        if rotations:
            formula += f" + {rotations / 2:g} ln {label}"
        if attempts == "step":
            if "learning_rate" not in design.settings:
                raise InputError(
                    "A rate that is constant per step needs learning rates to become one per "
                    "unit time; add the column learning_rate, or use attempts='time'."
                )
            offset = offset + np.log(design.settings["learning_rate"])
            formula += " + ln learning_rate"
        return Terms(name=name, formula=formula, x=1 / strength, slope="barrier", offset=offset)
    if name == "power":
        formula = f"ln tau = log_prefactor + exponent ln {label}"
        x = np.log(strength)
        return Terms(name=name, formula=formula, x=x, slope="exponent", offset=zero)
    if name == "drift":
        if not axis.drift:
            formula, offset = "ln tau = log_prefactor", zero
        else:
            formula = f"ln tau = log_prefactor - ln {label}"
            offset = axis.drift * np.log(strength)
        return Terms(name=name, formula=formula, x=None, slope=None, offset=offset)
    if name == "mori":
        needed = ("learning_rate", "batch_size", "curvature", "loss_ratio")
        missing = [column for column in needed if column not in design.settings]
        if missing:
            raise InputError(
                f"Mori's law needs {', '.join(needed)}; {', '.join(missing)} missing: without "
                "loss ratio and curvature its likelihood is that of 'arrhenius'."
            )
        rate, batch, curvature, ratio = (design.settings[column] for column in needed)
        offset = (batch / (rate * curvature) + 0.5) * np.log(ratio)
        formula = (
            "ln tau = log_prefactor + (batch_size / (learning_rate curvature) + 1/2) ln loss_ratio"
        )
        return Terms(name=name, formula=formula, x=None, slope=None, offset=offset)
    raise InputError(f"Unknown law {name!r}; allowed are {list(LAWS)}.")
