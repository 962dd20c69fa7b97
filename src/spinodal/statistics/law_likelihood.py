"""Likelihood of linear laws with waiting times that are exponential or Weibull of one shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from spinodal.statistics.designs import Design
from spinodal.statistics.exponential_regression import limit, maximise, saturated

SHAPES = (0.1, 60.0)
"""Range of Weibull shapes that are tried: 1 is exponential, 60 a spread of 2 %."""

Columns = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Peak:
    """Where the likelihood is greatest: NaN parameters where it rises for ever."""

    theta: NDArray[np.float64]
    log_likelihood: float
    shape: float

    @property
    def exists(self) -> bool:
        """Is there a maximum at finite parameters?"""
        return bool(np.isfinite(self.log_likelihood) and np.all(np.isfinite(self.theta)))


class Likelihood:
    """Of mean times tau = exp(offset + columns @ theta) per setting, all times those of one design.

    With shape k the probability to wait longer than t is exp(-(Gamma(1 + 1/k) t / tau)^k), so tau
    is the mean for every k. For a given k this is an exponential regression in the sums of t^k.
    """

    def __init__(self, design: Design) -> None:
        """Sums that do not depend on the law."""
        self.design = design
        self.by_dataset = design.events
        self.events = self.by_dataset.sum(axis=0)
        exposure = design.exposure.sum(axis=0)
        self.scale = np.where(exposure > 0, exposure, 1.0) / np.maximum(self.events, 0.5)
        own = design.time[design.escaped] / self.scale[design.setting[design.escaped]]
        self.instant = bool(np.any(own == 0))
        weight = design.weight[design.escaped]
        self._logs = 0.0 if self.instant else float(weight @ np.log(own))
        self._sums: dict[float, NDArray[np.float64]] = {}

    @property
    def total(self) -> float:
        """Number of escapes."""
        return float(self.events.sum())

    def sums(self, shape: float) -> NDArray[np.float64]:
        """Sum of (t / scale)^shape, shape (datasets, settings)."""
        if shape not in self._sums:
            if len(self._sums) > 200:
                self._sums.clear()
            self._sums[shape] = self.design.powers(shape, self.scale)
        return self._sums[shape]

    def shift(self, shape: float) -> NDArray[np.float64]:
        """What to add to ln tau, per setting, for the logarithm of the Weibull scale in t / scale.

        All is multiplied by the shape afterwards.
        """
        return -np.log(self.scale) - special.gammaln(1 + 1 / shape)

    def constant(self, shape: float) -> float:
        """The part of the log-likelihood that no law changes."""
        log_shape = self.total * np.log(shape) + (shape - 1) * self._logs
        return float(log_shape - self.events @ np.log(self.scale))

    def peak(self, columns: Columns, offset: NDArray[np.float64], *, shape: float) -> Peak:
        """The best parameters of one shape."""
        theta, value = maximise(
            self.events,
            self.sums(shape).sum(axis=0),
            shape * columns,
            shape * (offset + self.shift(shape)),
        )
        return Peak(theta=theta, log_likelihood=float(value) + self.constant(shape), shape=shape)

    def best(
        self,
        columns: Columns,
        offset: NDArray[np.float64],
        *,
        weibull: bool,
        near: float | None = None,
    ) -> Peak:
        """The best parameters, of the exponential law or of the best shape (`near` a first guess).

        The search is over the logarithm of the shape.
        """
        if not weibull:
            return self.peak(columns, offset, shape=1.0)
        low, high = np.log(SHAPES)
        if near is not None:
            low, high = max(low, np.log(near) - 0.7), min(high, np.log(near) + 0.7)

        def loss(log_shape: float) -> float:
            value = self.peak(columns, offset, shape=float(np.exp(log_shape))).log_likelihood
            return -value if np.isfinite(value) else 1e300

        if near is not None:
            guess = _vertex(loss, float(np.log(near)))
            if guess is not None and low < guess < high:
                return self.peak(columns, offset, shape=float(np.exp(guess)))
        found = optimize.minimize_scalar(
            loss, bounds=(low, high), method="bounded", options={"xatol": 1e-5}
        )
        return self.peak(columns, offset, shape=float(np.exp(found.x)))

    def saturated(self, shape: float) -> float:
        """The log-likelihood when every setting has a mean of its own."""
        some = self.events > 0
        d, total = self.events[some], self.sums(shape).sum(axis=0)[some]
        return float(saturated(d, total).sum()) + self.constant(shape)

    def interval(
        self,
        columns: Columns,
        offset: NDArray[np.float64],
        which: int,
        peak: Peak,
        *,
        weibull: bool,
        level: float,
    ) -> tuple[float | None, float | None]:
        """Profile-likelihood limits of one parameter: where its best fit is worse by `level`."""
        others = np.delete(columns, which, axis=1)
        best = float(peak.theta[which])

        def deficit(value: float) -> float:
            fixed = offset + value * columns[:, which]
            rest = self.best(others, fixed, weibull=weibull, near=peak.shape)
            return peak.log_likelihood - rest.log_likelihood

        step = np.sqrt(2 * level) * self._errors(columns, offset, peak)[which]
        return (
            limit(deficit, level, start=best, step=-step),
            limit(deficit, level, start=best, step=step),
        )

    def _errors(
        self, columns: Columns, offset: NDArray[np.float64], peak: Peak
    ) -> NDArray[np.float64]:
        """Standard errors of the parameters by the curvature of the likelihood."""
        k = peak.shape
        log_time = k * (offset + columns @ peak.theta + self.shift(k))
        expected = self.sums(k).sum(axis=0) * np.exp(-np.maximum(log_time, -700.0))
        curvature = k**2 * np.einsum("c,ci,cj->ij", expected, columns, columns)
        return np.sqrt(np.maximum(np.diag(np.linalg.pinv(curvature)), 1e-300))

    def resampled(
        self,
        columns: Columns,
        offset: NDArray[np.float64],
        *,
        shape: float,
        generator: np.random.Generator,
        resamples: int,
    ) -> NDArray[np.float64]:
        """Parameters (resamples, p) when whole data sets are drawn with replacement, NaN for none.

        The shape is kept: it is a nuisance, and nearly independent of the mean times.
        """
        sets, parts = self.design.datasets, []
        block = max(1, 4_000_000 // sets)
        for start in range(0, resamples, block):
            size = min(block, resamples - start)
            drawn = generator.multinomial(sets, np.full(sets, 1 / sets), size=size).astype(float)
            theta, _ = maximise(
                drawn @ self.by_dataset,
                drawn @ self.sums(shape),
                shape * columns,
                shape * (offset + self.shift(shape)),
            )
            parts.append(theta)
        return np.concatenate(parts)


def shape_within_cells(design: Design) -> float | None:
    """The Weibull shape where every setting in each data set has a mean of its own.

    None where an escape at time 0 leaves no shape, or nothing escaped.
    """
    cell = design.dataset * design.count + design.setting
    found, own = np.unique(cell, return_inverse=True)
    likelihood = Likelihood(
        replace(
            design,
            setting=own.reshape(-1).astype(np.int64),
            dataset=np.zeros(cell.size, dtype=np.int64),
            settings={},
            datasets=1,
            count=found.size,
        )
    )
    if likelihood.instant or not likelihood.total:
        return None
    low, high = np.log(SHAPES)
    best = optimize.minimize_scalar(
        lambda log_shape: -likelihood.saturated(float(np.exp(log_shape))),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return float(np.exp(best.x))


def _vertex(loss: Callable[[float], float], start: float) -> float | None:
    """The minimum of a smooth function near `start`, by two parabolas; None where there is none."""
    for step in (0.15, 0.02):
        below, here, above = loss(start - step), loss(start), loss(start + step)
        bend = below - 2 * here + above
        if not bend > 0:
            return None
        move = step * (below - above) / (2 * bend)
        if abs(move) > 4 * step:
            return None
        start += move
    return float(start)
