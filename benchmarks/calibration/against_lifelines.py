"""An independent package on the same data: lifelines, as an oracle.

    python benchmarks/calibration/against_lifelines.py [--quick]

200 random data sets with ties, censoring and delayed entry: Kaplan-Meier to 1e-12, the rate, the
log-rank statistic and a Weibull accelerated-failure model with a covariate to 1e-6 relative. The
search of lifelines runs with a tightened tolerance; its largest likelihood may not exceed ours.
"""

from __future__ import annotations

import warnings

import lifelines
import numpy as np
import pandas as pd
from common import Row, arguments, escape_times, finish
from lifelines.exceptions import ConvergenceError
from lifelines.statistics import logrank_test

from spinodal.records import EscapeTimes
from spinodal.seeding import generator
from spinodal.statistics.competing import cumulative_incidence
from spinodal.statistics.hazard import nelson_aalen
from spinodal.statistics.survival import exponential_rate, kaplan_meier, log_rank
from spinodal.statistics.weibull import weibull_fit

LIMITS = {
    "Kaplan-Meier": 1e-12,
    "Kaplan-Meier, delayed entry": 1e-12,
    "Nelson-Aalen": 1e-12,
    "Nelson-Aalen, delayed entry": 1e-12,
    "Aalen-Johansen": 1e-12,
    "exponential rate": 1e-6,
    "log-rank statistic": 1e-6,
    "Weibull AFT: shape, scale, slope": 1e-6,
    "Weibull AFT: log-likelihood": 1e-6,
}
"""Absolute differences of curves, relative ones of the rest."""


def main() -> None:
    """The largest difference over all data sets, of each estimate."""
    quick = arguments(__doc__).quick
    sets = 20 if quick else 200
    worst = dict.fromkeys(LIMITS, 0.0)
    for i in range(sets):
        for name, difference in differences(generator(1, "lifelines", i)).items():
            worst[name] = max(worst[name], difference)
    rows = [
        Row(
            test="S3",
            case=f"{name}, {sets} data sets",
            measured=f"{worst[name]:.1e}",
            wanted=f"<= {limit:g}",
            met=worst[name] <= limit,
        )
        for name, limit in LIMITS.items()
    ]
    finish(__file__, rows, quick=quick)


def differences(g: np.random.Generator) -> dict[str, float]:
    """How far apart both packages are on one random data set."""
    (time, seen), (other, other_seen) = _sample(g), _sample(g)
    times, others = escape_times(time, seen), escape_times(other, other_seen)
    entry = np.where(g.random(time.size) < 0.5, 0.0, 0.9 * time * g.random(time.size))
    found = {}
    for name, began in (("", None), (", delayed entry", entry)):
        theirs = lifelines.KaplanMeierFitter().fit(time, seen, entry=began)
        ours = kaplan_meier(times, entry=began)
        found[f"Kaplan-Meier{name}"] = _apart(ours.time, ours.survival, theirs.survival_function_)
        # Its smoothed variant spreads ties over an instant; this is the plain sum of d / n.
        fitter = lifelines.NelsonAalenFitter(nelson_aalen_smoothing=False)
        hazard, ours = fitter.fit(time, seen, entry=began), nelson_aalen(times, entry=began)
        found[f"Nelson-Aalen{name}"] = _apart(ours.time, ours.hazard, hazard.cumulative_hazard_)
    fitter = lifelines.ExponentialFitter()
    fitter._scipy_fit_method = "Powell"  # its default stops at a relative error of 1e-5
    fitter.fit(time, seen, fit_options={"xtol": 1e-12, "ftol": 1e-16})
    rate = 1 / float(fitter.params_.iloc[0])
    found["exponential rate"] = abs(exponential_rate(times).rate / rate - 1)
    statistic = float(logrank_test(time, other, seen, other_seen).test_statistic)
    ours = log_rank(times, others).statistic ** 2
    found["log-rank statistic"] = abs(ours - statistic) / max(statistic, 1e-3)
    return found | _incidence(g, time, seen) | _weibull(g, time, seen)


def _sample(g: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Weibull times on a grid of tenths, some of them censored, at least three seen."""
    n = int(g.integers(12, 120))
    time = np.ceil(100 * g.weibull(g.uniform(0.6, 2), n)) / 10
    seen = g.random(n) < g.uniform(0.3, 1)
    seen[:4] = True
    return time, seen


def _apart(at: np.ndarray, ours: np.ndarray, theirs: pd.DataFrame) -> float:
    """Largest difference of two step functions at our times."""
    index = np.searchsorted(theirs.index.to_numpy(), at, side="right") - 1
    return float(np.abs(ours - theirs.iloc[:, 0].to_numpy()[index]).max())


def _incidence(g: np.random.Generator, time: np.ndarray, seen: np.ndarray) -> dict[str, float]:
    """Two causes; lifelines moves ties apart at random, so there are none here."""
    time = time + 1e-3 * np.arange(time.size) / time.size
    elsewhere = seen & (g.random(time.size) < 0.4)
    elsewhere[0] = False
    table = escape_times(time, seen)
    status = np.where(elsewhere, "escaped_elsewhere", table.status)
    table = EscapeTimes(replica=table.replica, dataset=table.dataset, steps=table.steps,
                        time=table.time, status=status)  # fmt: skip
    fitter = lifelines.AalenJohansenFitter(calculate_variance=False)
    theirs = fitter.fit(time, np.where(elsewhere, 2, seen.astype(int)), event_of_interest=1)
    ours = cumulative_incidence(table)["escaped"]
    return {"Aalen-Johansen": _apart(ours.time, ours.probability, theirs.cumulative_density_)}


def _weibull(g: np.random.Generator, time: np.ndarray, seen: np.ndarray) -> dict[str, float]:
    """An accelerated-failure model: ln scale linear in one covariate."""
    x = g.random(time.size)
    fitter = lifelines.WeibullAFTFitter()
    fitter._scipy_fit_method = "BFGS"
    frame = pd.DataFrame({"time": time, "seen": seen, "x": x})
    for tolerance in (2e-8, 5e-8, 1e-7):  # rounding stops it before the strictest now and then
        try:
            fitter.fit(frame, "time", "seen", fit_options={"gtol": tolerance})
            break
        except ConvergenceError:
            continue
    ours = weibull_fit(escape_times(time, seen), x=x)
    mine = np.array([ours.slope, ours.log_scale, np.log(ours.shape)])
    names = [("lambda_", "x"), ("lambda_", "Intercept"), ("rho_", "Intercept")]
    theirs = np.array([fitter.params_[name] for name in names])
    excess = fitter.log_likelihood_ - ours.log_likelihood
    return {
        "Weibull AFT: shape, scale, slope": float(np.abs(mine - theirs).max()),
        "Weibull AFT: log-likelihood": abs(excess) / abs(ours.log_likelihood),
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # pandas and lifelines announce their own future
    main()
