"""Laws of the escape time over a design of settings, by maximum likelihood on individual times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from spinodal.errors import InputError
from spinodal.statistics.designs import Design
from spinodal.statistics.exponential_regression import maximise
from spinodal.statistics.fitted_laws import FittedLaw, Interval, LawFits
from spinodal.statistics.law_likelihood import Likelihood, Peak
from spinodal.statistics.law_terms import LAWS, Attempts, Axis, Terms, axis_of, terms
from spinodal.statistics.proportion import check_confidence
from spinodal.statistics.shifted_law import LagFit, fit_lag

SHAPE_LEVEL = 0.001
"""The exponential law of waiting is given up for Weibull's at this level of the likelihood ratio:
rarely, so that a law's likelihood is the exponential one unless the times plainly deny it."""

RESAMPLES = 1000


def fit_laws(
    design: Design,
    *,
    names: Sequence[str] | None = None,
    rotations: float = 0.0,
    attempts: Attempts = "time",
    confidence: float = 0.95,
    generator: np.random.Generator | None = None,
) -> LawFits:
    """Every law that the design allows, with intervals, on the same times.

    `arrhenius`: ln tau = log_prefactor + barrier x + (rotations / 2) ln(1 / x), x the inverse of
    the noise's strength (see `law_terms.axis_of`); with `attempts` = 'step' also + ln(learning
    rate). `power`: ln tau = log_prefactor + exponent ln(strength). `drift`: `power` with a fixed
    exponent. `lag`: nothing until `lag`, then exponential waiting of mean exp(log_prefactor), the
    same in every setting. `mori`: offered where `loss_ratio` and `curvature` are given.

    Waiting is exponential given the setting, in every law; where the best of the linear laws
    denies that (likelihood ratio, level 0.001), all but `lag` get one common Weibull shape, so
    that narrow times of a deterministic drift do not favour a law for its scatter alone.
    Intervals are profile likelihood. With two data sets or more they are those of a bootstrap that
    draws whole data sets (Student's t on its standard error), never narrower than the former, but
    for the lag, whose limits take replicas as independent.

    Nothing escaped: no laws. One strength of noise: `drift` and `lag` only.
    """
    check_confidence(confidence)
    axis, notes = axis_of(design), []
    used, sloped = _usable(design, axis, notes)
    method = "profile likelihood"
    part = design.select(used)
    if part.time.size == 0 or not part.events.sum():
        return LawFits(
            laws=(), axis=axis, used=used, interval_method=method, notes=tuple(notes),
            missing=_no_law(design),
        )  # fmt: skip
    likelihood = Likelihood(part)
    wanted = [name for name in LAWS if name in names] if names is not None else list(LAWS)
    if names is not None and set(names) - set(LAWS):
        raise InputError(f"Unknown laws {sorted(set(names) - set(LAWS))}; known are {list(LAWS)}.")
    flat = axis or Axis(label="none", strength=np.ones(design.count), drift=0.0)
    linear = [name for name in wanted if name != "lag" and (sloped or name == "drift")]
    if not {"curvature", "loss_ratio", "learning_rate", "batch_size"} <= set(design.settings):
        linear = [name for name in linear if name != "mori"]
    all_terms = [
        terms(name, design, flat, rotations=rotations, attempts=attempts).select(used)
        for name in linear
    ]
    strata = _strata(part)
    weibull = _denies_exponential(likelihood, all_terms, strata)
    clusters = part.datasets if generator is not None else 1
    if clusters > 1:
        method = f"bootstrap over {clusters} data sets, at least profile likelihood"
    fitter = _Fitter(likelihood, strata, weibull, confidence, generator if clusters > 1 else None)
    laws = []
    for term in all_terms:
        fitted = fitter.fit(term)
        if fitted is None:
            notes.append(f"{term.name} is left out: its numbers leave the range of arithmetic.")
        else:
            laws.append(replace(fitted, contains=_special_cases(term, all_terms, strata)))
    if "lag" in wanted:
        law = fit_lag(likelihood, strata, confidence=confidence)
        if law is None:
            notes.append("All escapes happened at one time, so a lag leaves no waiting to fit.")
        else:
            nested = () if weibull or flat.drift else ("drift",)  # at lag 0
            laws.append(replace(_from_lag(law), contains=nested))
    laws = [_spread(law, used) for law in laws]
    laws.sort(key=lambda law: LAWS.index(law.name))
    missing = ""
    if not sloped:
        missing = _no_slope(design, axis, used)
    elif not {"arrhenius", "power"} & {law.name for law in laws}:
        asked = {"arrhenius", "power"} & set(wanted)
        missing = (
            "Arrhenius's law and the power law leave the range of arithmetic here; measure in "
            "other units."
            if asked
            else "No law with a slope was asked for, so nothing is compared."
        )
    return LawFits(
        laws=tuple(laws), axis=axis, used=used, interval_method=method, notes=tuple(notes),
        missing=missing,
    )  # fmt: skip


def _usable(design: Design, axis: Axis | None, notes: list[str]) -> tuple[NDArray[np.bool_], bool]:
    """Which settings may enter the laws, and whether they allow a slope."""
    at_risk = design.exposure.sum(axis=0) > 0
    events = design.events.sum(axis=0)
    if axis is None:
        return at_risk, False
    quiet = axis.strength <= 0
    if np.any(quiet & at_risk):
        count = int((quiet & at_risk).sum())
        which, have = ("setting", "is") if count == 1 else ("settings", "are")
        notes.append(
            f"{count} {which} without noise (temperature 0) {have} in no law: there 1 / "
            "temperature does not exist."
        )
    if np.any(~at_risk & (events > 0)):
        notes.append(
            "Where every replica escaped at time 0 no finite rate exists; those settings are in "
            "no law."
        )
    usable = at_risk & ~quiet
    sloped = usable.copy()
    groups = design.settings.get("weight_decay", np.zeros(design.count))
    for value in np.unique(groups[usable]):
        member = usable & (groups == value)
        if np.unique(axis.strength[member]).size < 2 or not events[member].any():
            sloped &= ~member
    if not sloped.any():
        return usable, False
    if np.any(usable & ~sloped):
        notes.append(
            "Weight decays with one strength of noise only, or without an escape, are in no law."
        )
    return sloped, True


def _no_law(design: Design) -> str:
    """Why there is no escape to fit any law to."""
    if design.time.size == 0:
        return "No replica is left to fit a law to: all diverged."
    if not design.events.sum():
        return "Nothing escaped, so there is no law to fit."
    return (
        "Nothing escaped in the settings that can enter a law: all escapes were at temperature 0, "
        "or where no replica was watched for any time."
    )


def _no_slope(design: Design, axis: Axis | None, used: NDArray[np.bool_]) -> str:
    """Why settings that can enter a law allow no slope."""
    if axis is None:
        if "temperature" in design.settings:
            return "All temperatures are 0, and no learning rate tells the settings apart."
        return (
            "No column temperature or learning_rate: settings cannot be told apart, and laws with "
            "a slope are not offered."
        )
    if np.unique(axis.strength[used]).size < 2:
        which = "All replicas that did not diverge"
        if np.unique(axis.strength).size > 1:
            which = "All settings with noise in which replicas were at risk"
        return (
            f"{which} have one {axis.label}, so nothing tells the laws apart; add settings with "
            "another one."
        )
    return (
        "No weight decay has escapes and two strengths of noise, so nothing tells the laws apart; "
        "add settings with another temperature, learning rate or batch size to one that has "
        "escapes."
    )


def _strata(design: Design) -> list[tuple[str, NDArray[np.bool_]]]:
    """Suffix of parameter names and members: one stratum per weight decay."""
    groups = design.settings.get("weight_decay")
    if groups is None or np.unique(groups).size < 2:
        return [("", np.ones(design.count, dtype=bool))]
    return [(f"[weight_decay={value:g}]", groups == value) for value in np.unique(groups)]


def _columns(
    term: Terms, strata: list[tuple[str, NDArray[np.bool_]]], *, centred: bool
) -> tuple[NDArray[np.float64], list[str], NDArray[np.float64]]:
    """Columns, parameter names and the unit of each parameter."""
    columns, names, units = [], [], []
    for suffix, member in strata:
        columns.append(member.astype(float))
        names.append("log_prefactor" + suffix)
        units.append(1.0)
        if term.x is not None:
            own = term.x[member]
            span = float(np.ptp(own)) or 1.0
            first = float(own.mean()) if centred else 0.0
            columns.append(np.where(member, (term.x - first) / span, 0.0))
            names.append(f"{term.slope}{suffix}")
            units.append(1 / span)
    return np.stack(columns, axis=1), names, np.array(units)


def _special_cases(
    term: Terms, all_terms: list[Terms], strata: list[tuple[str, NDArray[np.bool_]]]
) -> tuple[str, ...]:
    """Laws without a slope whose mean times are all among those of this law with one."""
    if term.x is None:
        return ()
    columns = _columns(term, strata, centred=True)[0]
    found = []
    for other in all_terms:
        if other.x is None:
            apart = other.offset - term.offset
            fitted = columns @ np.linalg.lstsq(columns, apart, rcond=None)[0]
            if np.allclose(fitted, apart, rtol=1e-9, atol=1e-9):
                found.append(other.name)
    return tuple(found)


def _denies_exponential(
    likelihood: Likelihood, all_terms: list[Terms], strata: list[tuple[str, NDArray[np.bool_]]]
) -> bool:
    """Does the best of the laws fit significantly better with a Weibull shape?"""
    if likelihood.instant or not all_terms:
        return False
    columns = [_columns(term, strata, centred=True)[0] for term in all_terms]
    peaks = [
        likelihood.peak(column, term.offset, shape=1.0)
        for column, term in zip(columns, all_terms, strict=True)
    ]
    values = [peak.log_likelihood if peak.exists else -np.inf for peak in peaks]
    which = int(np.argmax(values))
    if not np.isfinite(values[which]):
        return False
    freed = likelihood.best(columns[which], all_terms[which].offset, weibull=True)
    gain = freed.log_likelihood - values[which]
    return bool(2 * gain > special.ndtri(1 - SHAPE_LEVEL / 2) ** 2)


class _Fitter:
    """Fits linear laws to one likelihood, all with the same waiting times and the same limits."""

    def __init__(
        self,
        likelihood: Likelihood,
        strata: list[tuple[str, NDArray[np.bool_]]],
        weibull: bool,
        confidence: float,
        generator: np.random.Generator | None,
    ) -> None:
        self.likelihood, self.strata, self.weibull = likelihood, strata, weibull
        self.confidence, self.generator = confidence, generator
        self.level = float(special.ndtri((1 + confidence) / 2) ** 2 / 2)

    def fit(self, term: Terms) -> FittedLaw | None:
        """One law with the limits of its parameters; None where rounding leaves nothing of it."""
        if term.x is not None and any(self._open(term.x, member) for _, member in self.strata):
            return self._open_law(term)
        columns, names, units = _columns(term, self.strata, centred=True)
        peak = self.likelihood.best(columns, term.offset, weibull=self.weibull)
        if not peak.exists:
            return None
        # Limits of a prefactor are those at x = 0; the columns are centred elsewhere.
        plain, _, _ = _columns(term, self.strata, centred=False)
        theta = np.linalg.lstsq(plain, columns @ peak.theta, rcond=None)[0].astype(float)
        theta[units != 1] = peak.theta[units != 1]
        at_zero = Peak(theta=theta, log_likelihood=peak.log_likelihood, shape=peak.shape)
        drawn = self._drawn(term, plain, peak.shape)
        parameters, effect = {}, 1.0
        for j, name in enumerate(names):
            slope = not name.startswith("log_prefactor")
            low, high = self.likelihood.interval(
                columns if slope else plain,
                term.offset,
                j,
                peak if slope else at_zero,
                weibull=self.weibull,
                level=self.level,
            )
            if drawn is not None:
                low, high, grown = self._widened(float(theta[j]), low, high, drawn[:, j])
                effect = max(effect, grown) if slope else effect
            parameters[name] = Interval(
                *(None if v is None else float(v * units[j]) for v in (theta[j], low, high))
            )
        log_mean = term.offset + columns @ peak.theta
        misfit, scatter = self._misfit(peak, columns.shape[1])
        return FittedLaw(
            name=term.name,
            formula=term.formula,
            parameters=parameters,
            log_likelihood=peak.log_likelihood,
            size=len(names) + self.weibull,
            events=int(self.likelihood.total),
            shape=peak.shape if self.weibull else None,
            log_mean=tuple(log_mean.tolist()),
            misfit=misfit,
            scatter=scatter,
            design_effect=effect,
        )

    def _drawn(
        self, term: Terms, columns: NDArray[np.float64], shape: float
    ) -> NDArray[np.float64] | None:
        if self.generator is None:
            return None
        return self.likelihood.resampled(
            columns, term.offset, shape=shape, generator=self.generator, resamples=RESAMPLES
        )

    def _widened(
        self, estimate: float, low: float | None, high: float | None, drawn: NDArray[np.float64]
    ) -> tuple[float | None, float | None, float]:
        """Limits with the data set as unit, and the growth of the variance.

        A third of the resamples without an estimate: no limits.
        """
        some = drawn[np.isfinite(drawn)]
        if some.size < 2 * drawn.size / 3:
            return None, None, 1.0
        sets = self.likelihood.design.datasets
        below, above = np.quantile(some, special.ndtr([-1.0, 1.0]))
        error = (above - below) / 2 * np.sqrt(sets / (sets - 1))
        half = float(special.stdtrit(sets - 1, (1 + self.confidence) / 2) * error)
        if low is None or high is None:
            return low, high, 1.0
        usual = (high - low) / (2 * float(special.ndtri((1 + self.confidence) / 2)))
        grown = float(max(1.0, (error / usual) ** 2))
        return min(low, estimate - half), max(high, estimate + half), grown

    def _misfit(self, peak: Peak, size: int) -> tuple[float | None, float]:
        """Deviance from the settings' own rates: its probability, and the excess in ln(rate)."""
        watched = self.likelihood.sums(peak.shape).sum(axis=0) > 0
        spare = int(watched.sum()) - size
        if spare < 1:
            return None, 0.0
        saturated = self.likelihood.saturated(peak.shape)
        deviance = 2 * max(0.0, saturated - peak.log_likelihood)
        excess = max(0.0, deviance - spare) / self.likelihood.total / peak.shape**2
        return float(special.chdtrc(spare, deviance)), float(np.sqrt(excess))

    def _ends(self, x: NDArray[np.float64], member: NDArray[np.bool_]) -> tuple[float, float]:
        watched = member & (self.likelihood.sums(1.0).sum(axis=0) > 0)
        return float(x[watched].min()), float(x[watched].max())

    def _open(self, x: NDArray[np.float64], member: NDArray[np.bool_]) -> bool:
        """Did escapes happen at one end of x only, so that no finite slope is best?"""
        ends = self._ends(x, member)
        seen = x[member & (self.likelihood.events > 0)]
        return bool(seen.min() == seen.max() and seen.min() in ends)

    def _open_law(self, term: Terms) -> FittedLaw | None:
        """The law where its slope is limited on one side only."""
        names = _columns(term, self.strata, centred=True)[1]
        parameters = {name: Interval(None, None, None) for name in names}
        value, x = self._supremum(term), term.x
        if not np.isfinite(value):
            return None
        if x is not None and len(self.strata) == 1:
            parameters[names[1]] = self._one_sided(term, x, value)
        return FittedLaw(
            name=term.name,
            formula=term.formula,
            parameters=parameters,
            log_likelihood=value,
            size=len(names),
            events=int(self.likelihood.total),
            log_mean=(None,) * self.likelihood.design.count,
        )

    def _supremum(self, term: Terms) -> float:
        """What the likelihood tends to: settings without escapes contribute nothing."""
        d, total = self.likelihood.events, self.likelihood.sums(1.0).sum(axis=0)
        value, x = self.likelihood.constant(1.0), term.x
        for _, member in self.strata:
            rows = member & (d > 0)
            if x is not None and self._open(x, member):
                columns = np.ones((int(rows.sum()), 1))
            else:
                rows = member
                columns = _columns(term.select(rows), [("", np.ones(rows.sum(), bool))],
                                   centred=True)[0]  # fmt: skip
            offset = (term.offset + self.likelihood.shift(1.0))[rows]
            value += float(maximise(d[rows], total[rows], columns, offset)[1])
        return value

    def _one_sided(self, term: Terms, x: NDArray[np.float64], top: float) -> Interval:
        """The one limit of an open slope, `top` being the supremum of the likelihood."""
        columns, _, units = _columns(term, self.strata, centred=True)
        level = float(special.ndtri(self.confidence) ** 2 / 2)
        seen = float(x[self.likelihood.events > 0][0])
        # Escapes at the smallest x only: steeper is better without end, and the limit is below.
        upwards = seen == self._ends(x, self.strata[0][1])[0]
        sign = 1.0 if upwards else -1.0

        def lacking(slope: float) -> float:
            offset = term.offset + sign * slope * columns[:, 1]
            peak = self.likelihood.peak(columns[:, :1], offset, shape=1.0)
            lost = top - peak.log_likelihood
            return (lost if np.isfinite(lost) else 1e300) - level

        low, high = -1.0, 1.0
        while lacking(low) < 0 and low > -1e12:
            low *= 2
        while lacking(high) > 0 and high < 1e12:
            high *= 2
        if not lacking(low) > 0 > lacking(high):
            return Interval(None, None, None)
        bound = float(sign * optimize.brentq(lacking, low, high, xtol=1e-12) * units[1])
        return Interval(None, bound, None) if upwards else Interval(None, None, bound)


def _from_lag(law: LagFit) -> FittedLaw:
    return FittedLaw(
        name="lag",
        formula="t = lag + waiting of mean exp(log_prefactor)",
        parameters={name: Interval(*values) for name, values in law.parameters.items()},
        log_likelihood=law.log_likelihood,
        size=len(law.parameters),
        events=law.events,
        log_mean=law.log_mean,
        misfit=law.misfit,
        scatter=law.scatter,
    )


def _spread(law: FittedLaw, used: NDArray[np.bool_]) -> FittedLaw:
    """Mean times of all settings, None where a setting was not used."""
    values = iter(law.log_mean)
    return replace(law, log_mean=tuple(next(values) if u else None for u in used.tolist()))
