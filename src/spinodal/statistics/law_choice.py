"""Which law do the times decide for? A name, or `undecided`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special

from spinodal.statistics.fitted_laws import FittedLaw, LawFits

UNDECIDED = "undecided"

MARGIN = 6.0
"""Difference of AICc by which one of two laws that do not contain each other is preferred.

The logarithm of the likelihood ratio of two laws has a mean m and, being a sum over many replicas
with neighbouring laws, a variance of about 2 m. The wrong law then leads by more than c with
probability Phi(-(m + c) / sqrt(2 m)), at most Phi(-sqrt(2 c)) whatever m. A margin of 6 is c = 3:
at most 0.7 %, odds of 20 to 1 between the two laws."""

SUFFICES, FAILS = 0.01, 0.001
"""Of two laws, one a special case of the other: the special one is preferred above the first level
of the likelihood-ratio test, the general one below the second, and nobody between."""

PINNED = 0.5
"""The special case must be told from its neighbours: an exponent to this much on either side
(1/T is told from a constant), Mori's slope to this fraction of itself. So with few events no
special case suffices."""

MISFIT, SCATTER = 0.001, 0.1
"""The law preferred is still refused where the settings' own rates deny it at this level and lie
apart from it by more than this standard deviation of ln(rate)."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """`law` is a name or 'undecided'; `reason` says why in a sentence."""

    law: str
    reason: str


def choose(fits: LawFits) -> Choice:
    """The law that is preferred to every other one, if there is such a law and it fits.

    Laws that contain each other (`drift` is a case of `power`, and of `arrhenius` and `lag` where
    it is a constant; `mori` of `arrhenius`) are compared by the likelihood-ratio test, others by
    AICc. Where replicas share data sets, differences are divided by the larger of the laws' design
    effects.
    """
    laws = {law.name: law for law in fits.laws}
    if fits.missing:
        return Choice(law=UNDECIDED, reason=fits.missing)
    open_ended = [
        (first, second)
        for first in laws
        for second in laws
        if first != second and not _preferred(laws[first], laws[second], laws)
    ]
    losers = {first for first, _ in open_ended}
    best = [name for name in laws if name not in losers]
    if len(best) != 1:
        return Choice(law=UNDECIDED, reason=_undecided(laws, losers, open_ended))
    law = laws[best[0]]
    if law.misfit is not None and law.misfit < MISFIT and law.scatter > SCATTER:
        return Choice(
            law=UNDECIDED,
            reason=f"Of these laws {law.name} is best, but it does not describe the settings: "
            f"their rates lie {law.scatter:.0%} apart from it beyond chance "
            f"(probability {max(law.misfit, 1e-300):.1g}).",
        )
    return Choice(law=law.name, reason=_chosen(law, laws))


def _chosen(law: FittedLaw, laws: dict[str, FittedLaw]) -> str:
    """Why a law is preferred: being simpler is another reason than being likelier."""
    general = [name for name, rival in laws.items() if law.name in rival.contains]
    if not general:
        return f"{law.name} is preferred to every other law."
    does, contain = ("does", "contains") if len(general) == 1 else ("do", "contain")
    others = len(laws) > 1 + len(general)
    return (
        f"{law.name} is the simplest law that is not rejected: {listed(general)}, which {contain} "
        f"it, {does} not fit significantly better" + (", other laws are worse." if others else ".")
    )


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: 'a', 'a and b', 'a, b and c'."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _preferred(law: FittedLaw, rival: FittedLaw, laws: dict[str, FittedLaw]) -> bool:
    """Is `law` preferred to `rival`?"""
    if not law.complete or law.aicc is None:
        return False
    effect = max(law.design_effect, rival.design_effect)
    # The maxima of nested laws may differ by rounding.
    gain = (law.log_likelihood - rival.log_likelihood) / effect
    if law.name in rival.contains:
        return _p_value(-gain, rival, law) >= SUFFICES and _pinned(law, laws)
    if rival.name in law.contains:
        return _p_value(gain, law, rival) <= FAILS
    if not rival.complete or rival.aicc is None:
        # A rival without a finite estimate still has the supremum of its likelihood.
        return 2 * gain >= MARGIN
    penalty = (rival.aicc + 2 * rival.log_likelihood) - (law.aicc + 2 * law.log_likelihood)
    return 2 * gain + penalty >= MARGIN


def _p_value(gain: float, law: FittedLaw, special_case: FittedLaw) -> float:
    """Of the likelihood-ratio test; a lag counts for two degrees of freedom.

    The likelihood has a corner at the first escape.
    """
    freedom = max(1, law.size - special_case.size)
    if law.name == "lag":
        freedom *= 2
    return float(special.chdtrc(freedom, 2 * max(gain, 0.0)))


def _pinned(law: FittedLaw, laws: dict[str, FittedLaw]) -> bool:
    """Do the times exclude the neighbours of a special case?"""
    if law.name == "drift":
        general, name = laws.get("power"), "exponent"
    else:
        general, name = laws.get("arrhenius"), "barrier"
    if general is None or not general.complete:
        return False
    for key, value in general.parameters.items():
        if not key.startswith(name):
            continue
        if value.estimate is None or value.low is None or value.high is None:
            return False
        unit = abs(value.estimate) if name == "barrier" else 1.0
        if max(value.high - value.estimate, value.estimate - value.low) > PINNED * unit:
            return False
    return True


def _flat(power: FittedLaw | None) -> bool:
    """Do the limits of every exponent contain 0, a time that does not depend on the noise?"""
    slopes = [
        value
        for key, value in (power.parameters.items() if power is not None else ())
        if key.startswith("exponent")
    ]
    return bool(slopes) and all(
        value.low is not None and value.high is not None and value.low <= 0 <= value.high
        for value in slopes
    )


def _undecided(laws: dict[str, FittedLaw], losers: set[str], pairs: list[tuple[str, str]]) -> str:
    """The laws that remain, in words."""
    by_aicc = sorted(laws.values(), key=lambda law: (law.aicc is None, law.aicc or 0.0))
    best = by_aicc[0]
    if best.aicc is None:
        return f"Escapes are too few to compare laws ({best.events}); watch longer."
    rivals = [second for first, second in pairs if first == best.name]
    if not best.complete:
        return (
            "Escapes are at one end of the settings only, so no slope has an estimate; watch the "
            "others longer."
        )
    if rivals:
        between = f"The times do not decide between {listed([best.name, *rivals])}"
        if _flat(laws.get("power")):
            between += (
                ": the limits of the power law's exponent contain 0, which is no dependence on the "
                "noise"
            )
        return f"{between}; add settings that escape over more decades of time, or more replicas."
    return "The times do not decide between these laws; add settings or replicas."
