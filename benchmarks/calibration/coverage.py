"""Do intervals keep their promise? Coverage on a grid of sizes and censoring.

    python benchmarks/calibration/coverage.py [--quick]

Exponential escapes of mean 1, cut off where a share of them has not escaped yet: 4000 repeats of
every size and share, with every kind of interval; and 'fixed_events', where watching stops at an
event. Wanted at 95 %: between 0.935 and 0.975 wherever 5 events or more are expected, at least 0.93
everywhere. Where nothing escaped there is a one-sided bound. Then the intervals of the other
estimators, each with a truth of its own; those wanted within four standard errors of 95 %, or
above.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
from common import Row, arguments, escape_times, finish

from spinodal.records import EscapeTimes
from spinodal.seeding import generator
from spinodal.statistics.bootstrap import rate_across_datasets
from spinodal.statistics.competing import cumulative_incidence
from spinodal.statistics.frailty import frail_rate
from spinodal.statistics.hazard import nelson_aalen
from spinodal.statistics.interval_censoring import looked_at_rate
from spinodal.statistics.lag import lagged_rate
from spinodal.statistics.rate_limits import Method, rate_bound, rate_interval
from spinodal.statistics.survival import exponential_rate, kaplan_meier
from spinodal.statistics.weibull import weibull_fit

SIZES, CENSORED = (10, 20, 50, 200), (0.0, 0.5, 0.9)
SCATTER = (0.0, 0.3, 0.6, 1.0)
METHODS: tuple[Method, ...] = ("automatic", "likelihood_ratio", "exact")


def main() -> None:
    """The grid, the designs with a fixed number of events, the bounds, the other estimators."""
    quick = arguments(__doc__).quick
    repeats = 400 if quick else 4000
    rows = grid(repeats) + fixed_events(repeats) + silent()
    finish(__file__, rows + others(40 if quick else 1000), quick=quick)


def grid(repeats: int) -> list[Row]:
    """n replicas of which a share is still waiting at the cut-off."""
    rows = []
    for n in SIZES:
        for share in CENSORED:
            cutoff = -math.log(share) if share else math.inf
            times = generator(1, "coverage", n, round(100 * share)).exponential(size=(repeats, n))
            events, exposure = (times <= cutoff).sum(axis=1), np.minimum(times, cutoff).sum(axis=1)
            for method in METHODS:
                low, high = rate_interval(events, exposure, method=method)
                covered = float(np.mean((low <= 1) & (high >= 1)))
                expected = n * (1 - share)
                chosen = method == "automatic"
                slack = 0.0 if repeats >= 4000 else 0.045
                wide = expected < 4.999
                # An exact interval of few counts promises more than it says.
                top = 1.0 if wide or method == "exact" else 0.975 + slack
                bottom = (0.93 if wide else 0.935) - slack
                met = bottom <= covered <= top if chosen else None
                wanted = f"{bottom:.3g} to {top:.3g}" if chosen else "reported"
                case = f"n = {n}, {share:.0%} censored, {method}"
                rows.append(_row("S1 interval", case, covered, wanted, met))
    return rows


def fixed_events(repeats: int) -> list[Row]:
    """Watching stops at the d-th of n escapes: 2 k exposure follows chi2(2 d)."""
    rows = []
    for n in SIZES:
        for share in CENSORED:
            d = max(1, round(n * (1 - share)))
            times = generator(2, "fixed", n, d).exponential(size=(repeats, n))
            times = np.minimum(times, np.sort(times, axis=1)[:, d - 1 : d])
            low, high = rate_interval(np.full(repeats, d), times.sum(axis=1), method="fixed_events")
            covered = float(np.mean((low <= 1) & (high >= 1)))
            se = math.sqrt(0.95 * 0.05 / repeats)
            case = f"stop at event {d} of {n}"
            met = abs(covered - 0.95) < 4 * se
            rows.append(_row("S1 fixed events", case, covered, f"0.95 +- {4 * se:.2g}", met))
    return rows


def silent() -> list[Row]:
    """All censored: one-sided, finite, and as often wrong as it says."""
    rows = []
    for n in SIZES:
        found = exponential_rate(escape_times(np.ones(n), np.zeros(n)))
        chance = math.exp(-found.high * n)
        met = found.low == 0 and found.rate == 0 and abs(chance - 0.05) < 1e-12
        said = f"rate < {found.high * n:.6g} / exposure"
        rows.append(Row(test="S1 all censored", case=f"n = {n}", measured=said,
                        wanted="ln 20 / exposure, one-sided", met=met))  # fmt: skip
    # A bound on each side, in a design where its promise is exact.
    times = generator(3, "bounds").gamma(7, size=20_000)
    for side, right in (("lower", np.less_equal), ("upper", np.greater_equal)):
        bound = rate_bound(7, times, side=side, method="fixed_events")  # pyright: ignore[reportArgumentType]
        covered = float(right(bound, 1).mean())
        met = abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 20_000)
        case = f"{side}, at event 7"
        rows.append(_row("one-sided bound", case, covered, "0.95 +- 0.0062", met))
    return rows


def others(repeats: int) -> list[Row]:
    """Every other interval, at one or two settings of its own."""
    cases: list[tuple[str, str, Callable[[np.random.Generator], bool]]] = [
        ("Kaplan-Meier at the median", "n = 40, random censoring", _curve),
        ("Nelson-Aalen at ln 2", "n = 40, random censoring", _hazard),
        ("Aalen-Johansen at 1/4", "n = 60, two causes", _incidence),
        ("delayed entry", "n = 40, entries up to 1", _entered),
        ("looks", "50 replicas, a look every half tau", lambda g: _looks(g, 50, 0.5)),
        ("looks", "20 replicas, a look every tenth of tau", lambda g: _looks(g, 20, 0.1)),
        ("lag", "30 replicas, lag 0.3, cut off at 1.3", lambda g: _lag(g)[0]),
        ("rate after a lag", "the same", lambda g: _lag(g)[1]),
        ("Weibull shape", "60 replicas, shape 1.3, cut off at 1.5", _shape),
    ]
    for sd in SCATTER:
        cases += [
            (
                "data set as unit, bootstrap.py",
                _nested_words(sd),
                lambda g, sd=sd: _datasets(g, sd),
            ),
            ("50 seeds on one data set", f"sd of ln tau {sd:g}", lambda g, sd=sd: _single(g, sd)),
        ]
    rows = []
    for test, case, covers in cases:
        g = generator(4, "others", test, case)
        hits = sum(bool(covers(g)) for _ in range(repeats))
        rows.append(_at_least(test, case, hits, repeats, shown=test.startswith("50 seeds")))
    fewer = max(1, repeats * 2 // 5)  # a fit takes a tenth of a second
    for sd in SCATTER:
        g = generator(5, "frailty", round(10 * sd))
        pairs = np.array([_frailty(g, sd) for _ in range(fewer)]).sum(axis=0)
        for test, hits in zip(("frailty, typical rate", "frailty, sd"), pairs, strict=True):
            rows.append(_at_least(test, _nested_words(sd), int(hits), fewer))
    return rows


def _nested_words(sd: float) -> str:
    return f"10 data sets of 5, sd of ln tau {sd:g}"


def _at_least(test: str, case: str, hits: int, repeats: int, *, shown: bool = False) -> Row:
    """Coverage that may be too large but not too small; `shown` is what is not to be done."""
    limit = 0.95 - 4 * math.sqrt(0.95 * 0.05 / repeats)
    wanted = "reported" if shown else f"at least {limit:.3f}"
    return _row(test, case, hits / repeats, wanted, None if shown else hits / repeats >= limit)


def _curve(g: np.random.Generator) -> bool:
    times = _randomly_censored(g, 40)
    curve = kaplan_meier(times)
    at = int(np.searchsorted(curve.time, math.log(2), side="right")) - 1
    return bool(curve.low[at] <= 0.5 <= curve.high[at])


def _hazard(g: np.random.Generator) -> bool:
    curve = nelson_aalen(_randomly_censored(g, 40))
    at = int(np.searchsorted(curve.time, math.log(2), side="right")) - 1
    return bool(curve.low[at] <= math.log(2) <= curve.high[at])


def _randomly_censored(g: np.random.Generator, n: int) -> EscapeTimes:
    times, cutoff = g.exponential(size=n), g.uniform(0.5, 2, size=n)
    return escape_times(np.minimum(times, cutoff), times <= cutoff)


def _incidence(g: np.random.Generator) -> bool:
    """Two causes of rate 1/2 each: the first has probability 1/4 at ln 2."""
    times, cutoff = g.exponential(size=60), g.uniform(0.5, 3, size=60)
    table = escape_times(np.minimum(times, cutoff), times <= cutoff)
    elsewhere = table.escaped & (g.random(60) < 0.5)
    table = EscapeTimes(
        replica=table.replica, dataset=table.dataset, steps=table.steps, time=table.time,
        status=np.where(elsewhere, "escaped_elsewhere", table.status),
    )  # fmt: skip
    found = cumulative_incidence(table)["escaped"]
    at = int(np.searchsorted(found.time, math.log(2), side="right")) - 1
    return bool(found.low[at] <= 0.25 <= found.high[at])


def _entered(g: np.random.Generator) -> bool:
    entry, times = g.random(120), g.exponential(size=120)
    there = times > entry  # the others had gone before anybody looked
    entry, times = entry[there][:40], times[there][:40]
    cutoff = entry + 1.0
    found = exponential_rate(escape_times(np.minimum(times, cutoff), times <= cutoff), entry=entry)
    return found.low <= 1 <= found.high


def _looks(g: np.random.Generator, n: int, every: float) -> bool:
    seen = np.ceil(g.exponential(size=n) / every) * every
    times = escape_times(np.minimum(seen, 2.0), seen <= 2.0)
    found = looked_at_rate(times, check_every=every)
    return found.low <= 1 and (found.high is None or found.high >= 1)


def _lag(g: np.random.Generator) -> tuple[bool, bool]:
    times = 0.3 + g.exponential(size=30)
    found = lagged_rate(escape_times(np.minimum(times, 1.3), times <= 1.3))
    return found.lag_low <= 0.3 <= found.lag_high, found.low <= 1 <= found.high


def _shape(g: np.random.Generator) -> bool:
    times = g.weibull(1.3, 60)
    found = weibull_fit(escape_times(np.minimum(times, 1.5), times <= 1.5))
    return found.low <= 1.3 <= found.high


def _nested(g: np.random.Generator, sd: float) -> EscapeTimes:
    dataset = np.repeat(np.arange(10), 5)
    times = np.exp(sd * g.standard_normal(10))[dataset] * g.exponential(size=50)
    return escape_times(times, np.ones(50), dataset)


def _frailty(g: np.random.Generator, sd: float) -> tuple[bool, bool]:
    found = frail_rate(_nested(g, sd))
    high = math.inf if found.sd_high is None else found.sd_high
    return found.low <= 1 <= found.high, found.sd_low <= sd <= high


def _datasets(g: np.random.Generator, sd: float) -> bool:
    found = rate_across_datasets(_nested(g, sd), average="typical")
    return found.low <= 1 <= found.high


def _single(g: np.random.Generator, sd: float) -> bool:
    times = math.exp(sd * g.standard_normal()) * g.exponential(size=50)
    found = exponential_rate(escape_times(times, np.ones(50)))
    return found.low <= 1 <= found.high


def _row(test: str, case: str, covered: float, wanted: str, met: bool | None) -> Row:
    return Row(test=test, case=case, measured=f"{covered:.3f}", wanted=wanted, met=met)


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()
