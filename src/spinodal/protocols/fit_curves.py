"""The lines of a figure of laws: mean time against noise, waiting against a memoryless law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinodal.statistics.designs import Design
from spinodal.statistics.fitted_laws import FittedLaw, LawFits

GRID = 60


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points of one line; `name` is a law's, with its weight decay where there are several."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


def law_curves(design: Design, fits: LawFits, *, rotations: float) -> tuple[Curve, ...]:
    """The mean time of each law between the settings' extremes, against inverse strength."""
    if fits.axis is None or not fits.used.any():
        return ()
    strength = fits.axis.strength
    groups = design.settings.get("weight_decay", np.zeros(design.count))
    curves = []
    for law in fits.laws:
        if not law.complete:
            continue
        suffixes = sorted(name[len("log_prefactor") :] for name in law.parameters
                          if name.startswith("log_prefactor"))  # fmt: skip
        for suffix in suffixes:
            member = fits.used.copy()
            if suffix:
                decay = np.array([f"[weight_decay={value:g}]" == suffix for value in groups])
                member &= decay
            inverse = 1 / strength[member]
            if np.unique(inverse).size < 2:
                continue
            x = np.linspace(inverse.min(), inverse.max(), GRID)
            if law.name == "mori":
                order = np.argsort(inverse)
                means = np.array([v for v, m in zip(law.log_mean, member, strict=True) if m])
                x, y = inverse[order], means[order].astype(float)
            else:
                y = _log_mean(law, suffix, x, drift=fits.axis.drift, rotations=rotations)
            curves.append(
                Curve(
                    name=law.name + suffix.replace("weight_decay=", "weight decay "),
                    x=tuple(x.tolist()),
                    y=tuple(np.exp(np.clip(y, -700, 700)).tolist()),
                )
            )
    return tuple(curves)


def _log_mean(law: FittedLaw, suffix: str, x: np.ndarray, *, drift: float, rotations: float):
    """ln of the mean time at inverse strength x."""

    def of(name: str) -> float:
        return law.parameters[name + suffix].estimate or 0.0

    start = of("log_prefactor")
    if law.name == "arrhenius":
        return start + of("barrier") * x - rotations / 2 * np.log(x)
    if law.name == "power":
        return start - of("exponent") * np.log(x)
    if law.name == "drift":
        return start - drift * np.log(x)
    return np.full(x.shape, np.log(of("lag") + np.exp(start)))


def waiting_curve(sample: Design, *, points: int = 400) -> Curve:
    """Survival against waiting time in units of the mean of the own setting and data set.

    Kaplan-Meier's estimate; a memoryless escape gives exp(-x). Empty without escapes.
    """
    rates = sample.events / np.maximum(sample.exposure, 1e-300)
    own = rates[sample.dataset, sample.setting]
    some = own > 0
    x, escaped = (own * (sample.time - sample.entry))[some], sample.escaped[some]
    if not escaped.any():
        return Curve(name="waiting", x=(), y=())
    order = np.lexsort((~escaped, x))
    x, escaped = x[order], escaped[order]
    at_risk = np.arange(x.size, 0, -1)
    survival = np.cumprod(np.where(escaped, 1 - 1 / at_risk, 1.0))
    seen = np.flatnonzero(escaped)
    if seen.size > points:
        seen = seen[np.linspace(0, seen.size - 1, points).round().astype(int)]
    return Curve(
        name="waiting",
        x=(0.0, *x[seen].tolist()),
        y=(1.0, *survival[seen].tolist()),
    )
