"""How often is the right law of the escape time chosen?

    python benchmarks/calibration/model_choice.py [--quick]

200 synthetic sweeps of each law on a design that anybody could run: eight noise
strengths, evenly spaced in their logarithm over one decade; 40 replicas each; mean times over 2.5
decades where they depend on the noise (one time constant of 30 elsewhere); everything watched until
85 % have escaped, so that censoring falls on the slow settings. The strength is a learning rate; as
a temperature it gives the same but for `drift`, which then means tau ~ 1 / T. Waiting is
exponential but for `narrow` drift, whose times are deterministic but for a spread of 8 %. `lag` is
a fixed time and exponential waiting of 2/3 of it. Two more designs have ten data sets whose rates
differ by a log-normal factor (sd 0.5), each at every strength, and the data set as unit.

`drift` over a temperature is the hard one: its times vary over the one decade of the strength only,
and an Arrhenius law with a small barrier lies close to it. How close is measured beside it. With
m the mean of ln(likelihood ratio) of drift to the nearest Arrhenius law, the logarithm being nearly
normal with mean m (-m where that Arrhenius law holds) and variance 2 m, a rule that is wrong in 1 %
where that law holds can be right in Phi(sqrt(2 m) - 2.33) at most (Neyman and Pearson). One more
row has twice as many replicas.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from common import Row, arguments, finish
from numpy.typing import NDArray
from scipy import special

from spinodal.seeding import generator
from spinodal.statistics.designs import design
from spinodal.statistics.fitted_laws import LawFits
from spinodal.statistics.law_choice import UNDECIDED, choose
from spinodal.statistics.laws import fit_laws

STRENGTHS, REPLICAS = np.geomspace(0.01, 0.1, 8), 40
DECADES, TIME, ESCAPED = 2.5, 30.0, 0.85

KINDS = ("arrhenius", "power", "lag", "drift", "narrow drift")


def times(
    kind: str, covariate: str, x: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float64]:
    """Escape times of one sweep at the strengths `x`, shape (replicas,)."""
    waits = random.exponential(size=x.size)
    if kind == "arrhenius":
        along = (1 / x - 1 / x.max()) / (1 / x.min() - 1 / x.max())
        return 3 * 10 ** (DECADES * along) * waits
    if kind == "power":
        return 3 * (x / x.max()) ** -DECADES * waits
    if kind == "lag":
        return TIME * (1 + 2 / 3 * waits)
    mean = TIME if covariate == "learning_rate" else TIME * x.max() / x
    if kind == "drift":
        return mean * waits
    return mean * (1 + 0.08 * random.normal(size=x.size))


def fitted(kind: str, covariate: str, number: int, *, nested: bool, replicas: int) -> LawFits:
    """All laws on one sweep."""
    random = generator(1, f"model choice {kind} {covariate} {nested}", number)
    strengths = np.repeat(STRENGTHS, replicas)
    found = times(kind, covariate, strengths, random)
    columns: dict[str, NDArray[Any]] = {covariate: strengths}
    if nested:
        dataset = np.arange(strengths.size) % 10
        found = found * np.exp(0.5 * random.normal(size=10))[dataset]
        columns["dataset"] = dataset
    end = float(np.quantile(found, ESCAPED))
    status = np.where(found <= end, "escaped", "censored")
    sweep = design(np.minimum(found, end), status, **columns)
    return fit_laws(sweep, generator=random if nested else None)


def most_right(fits: list[LawFits]) -> float:
    """Largest share right of a rule that is wrong in 1 % under the Arrhenius law nearest to drift.

    Arrhenius's law has a barrier to fit, which adds 1/2 to its log-likelihood on average.
    """
    leads = [one["drift"].log_likelihood - one["arrhenius"].log_likelihood for one in fits]
    mean = float(np.mean(leads)) + 0.5
    return float(special.ndtr(np.sqrt(2 * max(mean, 0.0)) + special.ndtri(0.01)))


def main() -> None:
    """Count the choices."""
    quick = arguments(__doc__).quick
    sweeps = 10 if quick else 200
    rows = []
    designs = [
        ("learning_rate", False, REPLICAS, KINDS),
        ("temperature", False, REPLICAS, ("drift", "narrow drift")),
        ("temperature", False, 2 * REPLICAS, ("drift",)),
        ("temperature", True, REPLICAS, ("arrhenius", "power")),
    ]
    for covariate, nested, replicas, kinds in designs:
        for kind in kinds:
            law = kind.split()[-1]
            fits = [
                fitted(kind, covariate, number, nested=nested, replicas=replicas)
                for number in range(sweeps)
            ]
            counts = Counter(choose(one).law for one in fits)
            wrong = (sweeps - counts[law] - counts[UNDECIDED]) / sweeps
            right, undecided = counts[law] / sweeps, counts[UNDECIDED] / sweeps
            case = f"{kind} over {covariate}{', ten data sets' if nested else ''}"
            if replicas != REPLICAS:
                case += f", {replicas} replicas each"
            rows.append(
                Row(
                    test="S6",
                    case=f"{case}, {sweeps} sweeps",
                    measured=f"right {right:.1%}, undecided {undecided:.1%}, wrong {wrong:.1%}",
                    wanted="right >= 95 %, undecided <= 5 %, wrong <= 1 %",
                    met=right >= 0.95 and undecided <= 0.05 and wrong <= 0.01,
                )
            )
            if kind == "drift" and covariate == "temperature":
                rows.append(
                    Row(
                        test="S6",
                        case=f"{case}: a rule wrong in 1 % under the nearest arrhenius",
                        measured=f"is right in {most_right(fits):.1%} at most",
                        wanted="",
                        met=None,
                    )
                )
    finish(__file__, rows, quick=quick)


if __name__ == "__main__":
    main()
