"""Which law do these escape times follow? A table of anybody's times in, laws compared out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from spinodal.protocols.fit_curves import Curve, law_curves, waiting_curve
from spinodal.protocols.times_table import TimesTable, read_times
from spinodal.records import Settings
from spinodal.statistics.designs import Design
from spinodal.statistics.fitted_laws import FittedLaw, LawFits
from spinodal.statistics.law_choice import choose
from spinodal.statistics.law_likelihood import shape_within_cells
from spinodal.statistics.laws import fit_laws
from spinodal.statistics.memoryless_settings import PooledMemorylessness, memoryless_in_settings
from spinodal.statistics.survival import rate_interval

ENOUGH_EVENTS = 100
"""Below this many events a test of memorylessness misses too much to support a verdict."""


class FitSettings(Settings):
    """How a table of times is read and fitted.

    `time_unit` says what the column of times holds: learning_rate * steps, or steps. `rotations`
    adds the term (rotations / 2) ln(temperature) to the Arrhenius law. `loss_ratio` (loss at the
    saddle over loss at the minimum) and `curvature` (of the loss at the minimum) offer Mori's law;
    they may be columns as well. `seed` is that of bootstrap and calibrations.
    """

    time_unit: Literal["time", "steps"] = "time"
    rotations: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    loss_ratio: Annotated[float, Field(gt=1, lt=1e100)] | None = None
    curvature: Annotated[float, Field(gt=1e-100, lt=1e100)] | None = None
    confidence: Annotated[float, Field(ge=0.5, le=0.9999)] = 0.95
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42


@dataclass(frozen=True, kw_only=True)
class SettingRate:
    """The escape rate in one setting, per unit time, with no law assumed but exponential waiting.

    Without events `high` is a one-sided bound; all three are None where nothing was at risk.
    """

    covariates: dict[str, float]
    replicas: int
    events: int
    exposure: float
    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Laws compared on one table; `choice` is a law's name or 'undecided', `reason` says why."""

    laws: tuple[FittedLaw, ...]
    choice: str
    reason: str
    memoryless: PooledMemorylessness
    status_counts: dict[str, int]
    by_setting: tuple[SettingRate, ...]
    axis: str | None
    datasets: int
    intervals: str
    confidence: float
    notes: tuple[str, ...]
    points: tuple[tuple[float, SettingRate], ...]
    curves: tuple[Curve, ...]
    waiting: Curve

    def as_dict(self) -> dict[str, Any]:
        """One document of plain numbers, strings and None."""
        return {
            "laws": [_law(law) for law in self.laws],
            "choice": self.choice,
            "memoryless": {
                "statistic": self.memoryless.statistic,
                "p_value": self.memoryless.p_value,
                "n": self.memoryless.events,
            },
            "status_counts": self.status_counts,
            "reason": self.reason,
            "noise": self.axis,
            "confidence": self.confidence,
            "intervals": self.intervals,
            "datasets": self.datasets,
            "settings": [
                {
                    **row.covariates,
                    "replicas": row.replicas,
                    "events": row.events,
                    "exposure": row.exposure,
                    "rate": row.rate,
                    "low": row.low,
                    "high": row.high,
                }
                for row in self.by_setting
            ],
            "notes": list(self.notes),
        }


def fit(path: Path, settings: FitSettings) -> Fit:
    """Read a table of escape times and compare the laws of `statistics.laws.fit_laws` on it."""
    reading, resampling, testing = np.random.default_rng(settings.seed).spawn(3)
    constants = {
        name: value
        for name, value in (("loss_ratio", settings.loss_ratio), ("curvature", settings.curvature))
        if value is not None
    }
    table = read_times(path, time_unit=settings.time_unit, constants=constants, generator=reading)
    design = table.design
    # Strengths over a hundred decades overflow on the way to the note that a law is left out.
    with np.errstate(over="ignore"):
        fits = fit_laws(
            design,
            rotations=settings.rotations,
            confidence=settings.confidence,
            generator=resampling,
        )
    choice = choose(fits)
    memoryless = memoryless_in_settings(table.sample, generator=testing)
    rows = _by_setting(design, settings.confidence)
    return Fit(
        laws=fits.laws,
        choice=choice.law,
        reason=choice.reason,
        memoryless=memoryless,
        status_counts=table.status_counts,
        by_setting=rows,
        axis=None if fits.axis is None else fits.axis.label,
        datasets=design.datasets,
        intervals=fits.interval_method,
        confidence=settings.confidence,
        notes=tuple(_notes(table, fits, memoryless, rows)),
        points=_points(fits, rows),
        curves=law_curves(design, fits, rotations=settings.rotations),
        waiting=waiting_curve(table.sample),
    )


def _law(law: FittedLaw) -> dict[str, Any]:
    return {
        "name": law.name,
        "parameters": {
            name: {"estimate": value.estimate, "low": value.low, "high": value.high}
            for name, value in law.parameters.items()
        },
        "log_likelihood": law.log_likelihood,
        "aicc": law.aicc,
        "formula": law.formula,
        "shape": law.shape,
        "misfit_p_value": law.misfit,
    }


def _by_setting(design: Design, confidence: float) -> tuple[SettingRate, ...]:
    """Events over time at risk, setting by setting, in order of the covariates."""
    events, exposure = design.events.sum(axis=0), design.exposure.sum(axis=0)
    replicas = np.bincount(design.setting, weights=design.weight, minlength=design.count)
    watched = exposure > 0
    low, high = np.zeros(design.count), np.zeros(design.count)
    low[watched], high[watched] = rate_interval(
        events[watched], exposure[watched], confidence=confidence
    )
    columns = list(design.settings.values())
    order = np.lexsort(columns[::-1]) if columns else np.arange(design.count)
    return tuple(
        SettingRate(
            covariates={name: float(values[i]) for name, values in design.settings.items()},
            replicas=round(float(replicas[i])),
            events=round(float(events[i])),
            exposure=float(exposure[i]),
            rate=float(events[i] / exposure[i]) if watched[i] else None,
            low=float(low[i]) if watched[i] else None,
            high=float(high[i]) if watched[i] else None,
        )
        for i in order.tolist()
        if replicas[i] > 0
    )


def _points(fits: LawFits, rows: tuple[SettingRate, ...]) -> tuple[tuple[float, SettingRate], ...]:
    """The settings with noise, each at the inverse of its strength."""
    if fits.axis is None:
        return ()
    found = []
    for row in rows:
        strength = _strength(fits.axis.label, row.covariates)
        if strength > 0:
            found.append((1 / strength, row))
    return tuple(found)


def _strength(label: str, covariates: dict[str, float]) -> float:
    names = label.split(" / ")
    value = covariates[names[0]]
    return value / covariates[names[1]] if len(names) > 1 else value


def _notes(
    table: TimesTable,
    fits: LawFits,
    memoryless: PooledMemorylessness,
    rows: tuple[SettingRate, ...],
) -> list[str]:
    """What a reader of the numbers must know."""
    notes = [*table.notes, *fits.notes]
    counts, design = table.status_counts, table.design
    if counts["diverged"] > 0.01 * table.rows:
        notes.append(
            f"{counts['diverged']:,} of {table.rows:,} replicas diverged and are left out: the "
            "others may be special; use a smaller learning rate."
        )
    if not counts["escaped"] and rows:
        notes.append(
            "Nothing escaped: the settings' rates have one-sided bounds, and no law can be "
            "fitted; watch longer or raise the noise."
        )
    if fits.missing and fits.laws:
        names = " and ".join(law.name for law in fits.laws)
        notes.append(f"There is no slope, and no law but {names}.")
    if fits.axis is not None and not fits.missing and fits.axis.label != "temperature":
        notes.append(
            f"The noise is taken as {fits.axis.label}, an effective temperature up to an unknown "
            "factor, which the barrier lacks too."
        )
    notes += _waiting_notes(table, fits, memoryless)
    if design.datasets > 1 and fits.laws:
        notes.append(
            f"The data set is the unit: limits come from a bootstrap over {design.datasets} data "
            "sets" + (", too few to rest much on." if design.datasets < 10 else ".")
        )
    if memoryless.p_value is not None and memoryless.events < ENOUGH_EVENTS:
        notes.append(
            f"{memoryless.events} escapes before their cut-offs are few for the test of "
            f"memorylessness; from {ENOUGH_EVENTS} on it supports a verdict."
        )
    if _coarse(table.sample.time[table.sample.escaped]):
        notes.append(
            "Half of the escape times or more occur twice: escapes were seen at checks, and times "
            "as coarse as that can fail the test of memorylessness."
        )
    return notes


def _waiting_notes(table: TimesTable, fits: LawFits, memoryless: PooledMemorylessness) -> list[str]:
    """What the laws take waiting for, and which escapes the test of memorylessness had."""
    notes, design = [], table.design
    shapes = [law.shape for law in fits.laws if law.shape is not None]
    if shapes:
        least, most = f"{min(shapes):.3g}", f"{max(shapes):.3g}"
        pooled = "setting, all data sets together" if design.datasets > 1 else "setting"
        notes.append(
            f"Waiting is not exponential given the {pooled}: all laws but lag have Weibull times "
            f"of shape {least if least == most else f'{least} to {most}'} (1 is exponential)."
        )
        own = shape_within_cells(design.select(fits.used)) if design.datasets > 1 else None
        if own is not None:
            notes.append(
                "Differences between data sets can make the shape less than 1: with a mean of its "
                f"own for each setting in each data set it is {own:.3g}."
            )
    if fits.axis is not None and fits.axis.drift and any(law.name == "drift" for law in fits.laws):
        notes.append(
            "drift is here a mean time in proportion to 1 / temperature; no law of its own says "
            "that times do not depend on temperature: that is power with exponent 0."
        )
    left = int(table.sample.escaped.sum())
    everything = int(table.rows - table.status_counts["diverged"])
    if left and (table.sample.time.size < everything or memoryless.events < left):
        words = []
        if table.sample.time.size < everything:
            words.append(f"{table.sample.time.size:,} of {everything:,} replicas, drawn at random")
        if memoryless.events < left:
            words.append(
                "escapes up to the earliest cut-off of their setting"
                + (" and data set" if design.datasets > 1 else "")
            )
        notes.append(f"The test of memorylessness takes {', and of these '.join(words)}.")
    return notes


def _coarse(times: NDArray[np.float64]) -> bool:
    return times.size >= 20 and np.unique(times).size < times.size / 2
