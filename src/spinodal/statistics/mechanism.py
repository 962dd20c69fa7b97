"""Why did it escape? Evidence from arms with and without noise, and the verdict it supports.

'Activated' is a verdict and not a word: it takes a control without noise that does not escape, or
far more slowly, a hazard without memory, and a barrier of several T where one is known. Slow
motion without noise can have waiting times as exponential as any: near a separatrix the wait is
the logarithm of a distance, and uniform distances make it exactly exponential. Only the control
tells the two apart, so without one the verdict is 'cannot_tell'.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np

from spinodal.errors import InputError
from spinodal.records import EscapeTimes, Verdict, VerdictName
from spinodal.statistics.proportion import escape_probability
from spinodal.statistics.rate_limits import rate_bound
from spinodal.statistics.survival import DivergedWarning, exponential_rate, kaplan_meier, log_rank
from spinodal.statistics.waiting_times import LEAST_EVENTS, Memorylessness
from spinodal.statistics.weibull import weibull_fit

DRIFT_FROM = 0.7
"""Above this fraction of the thermal spinodal the barrier is nearly gone: a delay is drift."""

SEVERAL = 3.0
"""Free-energy barrier, in units of T, that counts as several T.

A rate exists only if the waiting is long compared with the relaxation inside the well. Their ratio
grows as exp(barrier / T), 20 at 3 T, so that the share of replicas that leave before they have
forgotten their start is some 5 %, less than a hundred waiting times can tell from none. At 2 T it
is 14 %, and the barrier is no higher than thermal fluctuations often are. The price is that the
prefactor of a rate at 3 T is still off its limit by tens of per cent, which is why exact passage
times stand beside every measured one.
"""

CHANCE = 0.001
"""Controls are read at this level: escapes as likely without noise shall not pass for activated."""

SLOWER = 3.0
"""A control that escapes counts as slower only if its rate is smaller by more than this factor."""

Control = Literal["silent", "slower", "escapes", "unknown"]
Memory = Literal["consistent", "narrow", "rejected", "untested"]
Barrier = Literal["several", "low", "none", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the arms say, each in one word.

    `control`: the runs without noise were silent where the others escape, escaped far more slowly,
    escaped, or do not tell. `memory`: of the waiting times under noise; 'narrow' if rejected for a
    hazard that rises with the time waited. `barrier`: the free energy has one of several T, a lower
    one, none, or it is not known. `reachable`: does any noise point out of the trap?
    """

    escapes: int
    control: Control
    memory: Memory
    barrier: Barrier
    reachable: bool | None = None


def judge(findings: Findings) -> VerdictName:
    """The verdict that the findings support, the most cautious one where they leave a choice.

    A control that escapes though far more slowly does not rule out drift that noise speeds up: then
    'noise_activated' needs the known barrier of several T as well.
    """
    if findings.escapes == 0:
        stuck = findings.reachable is False and findings.control in ("silent", "unknown")
        return "absorbed" if stuck else "cannot_tell"
    if findings.control == "escapes":
        return "noise_free_drift"
    if findings.control == "unknown":
        return "cannot_tell"
    if findings.barrier == "none" or findings.memory == "narrow":
        return "noise_drift"
    if findings.barrier == "low" and findings.memory == "rejected":
        return "noise_drift"
    enough = findings.barrier == "several" or (
        findings.barrier == "unknown" and findings.control == "silent"
    )
    held = enough and findings.memory == "consistent"
    return "noise_activated" if held else "cannot_tell"


def mechanism(
    noisy: EscapeTimes,
    *,
    quiet: EscapeTimes | None = None,
    cooled: EscapeTimes | None = None,
    memory: Memorylessness | None = None,
    barrier_over_t: float | None = None,
    over_spinodal: float | None = None,
    sides: bool | None = None,
    reachable: bool | None = None,
) -> Verdict:
    """Verdict on the escapes of `noisy` from its controls, its waiting times and its barrier.

    `quiet`: the same starts without noise, a row for each start that differs (a single
    deterministic run is one row). `cooled`: replicas still trapped when their noise stopped, timed
    from there. Silence counts only if replicas with the survival of `noisy` would have broken it
    with probability 1 - CHANCE: controls watched for less than the others needed say nothing. With
    `sides` True the runs without noise from just below and above the saddle went to their own
    sides, which settles it for a start at rest: nothing has escaped, and nothing will.

    `memory`: the test of the waiting times, after a dead time if there is one; it takes
    LEAST_EVENTS. `barrier_over_t`: free-energy barrier in T, NaN where the free energy has none,
    None where it is not known; `over_spinodal`: temperature / thermal spinodal. `reachable` False:
    no noise points out of the trap at all.
    """
    if noisy.status.size == 0:
        raise InputError("A verdict needs replicas under noise; give at least one.")
    diverged = noisy.status_counts["diverged"]
    if diverged > noisy.status.size / 2:
        return Verdict(
            verdict="numerical",
            evidence=(f"{diverged} of {noisy.status.size} replicas diverged.",),
            cost=None,
            advice="Use a smaller learning rate: the integrator fails before anything escapes.",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergedWarning)  # how many is said in the evidence
        controls = [
            _control(noisy, arm, words)
            for arm, words in ((quiet, "without noise"), (cooled, "after the noise had stopped"))
            if arm is not None and arm.estimable.status.size
        ]
        control = _together([found for found, _ in controls], sides)
        remembered, of_memory = _memory(noisy, memory)
        barrier, of_barrier = _barrier(barrier_over_t, over_spinodal)
        cost, of_escapes = _cost(noisy)
    findings = Findings(
        escapes=noisy.events,
        control=control,
        memory=remembered,
        barrier=barrier,
        reachable=reachable,
    )
    evidence = [of_escapes, *(sentence for _, sentence in controls)]
    if not controls and sides is None:
        evidence.append("There is no control without noise.")
    if sides is not None:
        way = "to their own sides" if sides else "to the same side"
        evidence.append(f"Without noise, starts on either side of the saddle went {way}.")
    if noisy.events:
        evidence += [of_memory, of_barrier]
    if reachable is False:
        evidence.append("No noise points out of the trap.")
    if diverged:
        evidence.append(f"{diverged} replicas diverged and are left out.")
    verdict = judge(findings)
    return Verdict(
        verdict=verdict, evidence=tuple(evidence), cost=cost, advice=_advice(verdict, findings)
    )


def _control(noisy: EscapeTimes, arm: EscapeTimes, words: str) -> tuple[Control, str]:
    """What one arm without noise says, and the sentence about it."""
    arm, noisy = arm.estimable, noisy.estimable
    n, events = arm.status.size, arm.events
    count = f"{events} of {n} escaped {words}"
    if noisy.events == 0:
        return ("escapes" if events else "silent"), f"{count}."
    if events == 0:
        curve = kaplan_meier(noisy)
        at = np.searchsorted(curve.time, arm.time, side="right") - 1
        # Of as many replicas under noise, how likely would be such a silence? At most:
        chance = float(np.exp(np.log(np.maximum(curve.high[at], 1e-300)).sum()))
        if chance <= CHANCE:
            return "silent", f"{count}, where as many under noise would all but surely have."
        return "unknown", f"{count}, but too few for too short a time to say that they would not."
    low = rate_bound(noisy.events, noisy.exposure, side="lower", confidence=1 - CHANCE)
    high = (
        rate_bound(events, arm.exposure, side="upper", confidence=1 - CHANCE)
        if arm.exposure > 0
        else math.inf
    )
    if high * SLOWER < low and log_rank(noisy, arm).p_value < CHANCE:
        return "slower", f"{count}, more slowly by a factor of {low / high:.2g} at least."
    return "escapes", f"{count}, and not clearly more slowly than under noise."


def _together(controls: list[Control], sides: bool | None) -> Control:
    """The most damaging control decides; one that was silent makes up for one that cannot tell."""
    for worst in ("escapes", "slower"):
        if worst in controls:
            return worst
    return "silent" if "silent" in controls or sides is True else "unknown"


def _memory(noisy: EscapeTimes, memory: Memorylessness | None) -> tuple[Memory, str]:
    """Memoryless, or with a hazard that rises, or otherwise not, or not known."""
    if memory is not None and memory.verdict == "consistent":
        return "consistent", f"Waiting times: {memory}."
    shape = None
    try:
        shape = weibull_fit(noisy, confidence=1 - CHANCE)
        narrow = shape.low > 1
    except InputError:
        # At one and the same time: as narrow as can be, if there are several.
        seen = noisy.time[noisy.escaped]
        narrow = seen.size >= 5 and float(np.ptp(seen)) == 0 and float(seen[0]) > 0
    if narrow and noisy.events >= 5:
        # Far fewer events show a hazard that rises than could show that none does.
        by = "" if shape is None else f" (Weibull shape {shape.shape:.2g})"
        return "narrow", f"The longer a replica waits, the sooner it escapes{by}: it has memory."
    if memory is not None and memory.verdict == "rejected":
        return "rejected", f"Waiting times: {memory}."
    return "untested", f"Memorylessness is untested: it takes {LEAST_EVENTS} escapes."


def _barrier(over_t: float | None, over_spinodal: float | None) -> tuple[Barrier, str]:
    """Several T well below the thermal spinodal, or lower, or none."""
    if over_spinodal is not None and over_spinodal > DRIFT_FROM:
        return (
            "none",
            f"The temperature is {over_spinodal:.2g} of that at which no barrier is left.",
        )
    if over_t is None:
        return "unknown", "The height of the barrier is not known."
    if math.isnan(over_t) or over_t <= 0:
        return "none", "The free energy has no barrier."
    word = "several" if over_t > SEVERAL - 1e-6 else "low"
    return word, f"The free-energy barrier is {over_t:.2g} T."


def _cost(noisy: EscapeTimes) -> tuple[str | None, str]:
    """The wait, and how many escaped."""
    n, events = noisy.estimable.status.size, noisy.events
    count = f"{events} of {n} escaped under noise."
    if noisy.exposure <= 0:
        return None, count
    rate = exponential_rate(noisy)
    if events == 0:
        share = escape_probability(0, n)
        more = f" (less than {share.high:.2g} of all at {share.confidence:.0%})"
        return f"a mean wait of more than {1 / rate.high:.3g} time units", count[:-1] + more + "."
    limits = f"[{1 / rate.high:.3g}, {1 / rate.low:.3g}]" if rate.low > 0 else ""
    return f"a mean wait of {1 / rate.rate:.3g} {limits} time units", count


def _advice(verdict: VerdictName, findings: Findings) -> str:
    """What to do about it, or what is missing."""
    known = {
        "absorbed": "Waiting will not help: change the start, the width or the weight decay, or "
        "add noise that points out of the trap.",
        "noise_activated": "Raise the temperature, lower the barrier, or compute the rate; more "
        "time alone helps as the inverse of the rate.",
        "noise_drift": "The noise carries it, over no barrier to speak of: more noise or a larger "
        "learning rate shortens the wait in proportion.",
        "noise_free_drift": "It escapes without noise: a larger learning rate or a start further "
        "from the saddle shortens the wait, noise is not what it waits for.",
    }
    if verdict in known:
        return known[verdict]
    if findings.escapes == 0:
        return "Watch longer, raise the temperature, or use rare.splitting."
    if findings.control == "unknown":
        return "Run the same starts without noise, as many and for as long as those under noise."
    if findings.memory == "untested":
        return f"Watch until at least {LEAST_EVENTS} replicas have escaped."
    if findings.memory == "rejected":
        return "Test the waiting times data set by data set, and after a dead time."
    return "Lower the temperature until the free-energy barrier is several T, and compute it."
