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
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from common import Row, arguments, finish
from numpy.typing import NDArray

from spinodal.seeding import generator
from spinodal.statistics.designs import design
from spinodal.statistics.law_choice import UNDECIDED, choose
from spinodal.statistics.laws import fit_laws

STRENGTHS = np.repeat(np.geomspace(0.01, 0.1, 8), 40)
DECADES, TIME, ESCAPED = 2.5, 30.0, 0.85

KINDS = ("arrhenius", "power", "lag", "drift", "narrow drift")


def times(kind: str, covariate: str, random: np.random.Generator) -> NDArray[np.float64]:
    """Escape times of one sweep, shape (replicas,)."""
    x = STRENGTHS
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


def chosen(kind: str, covariate: str, number: int, *, nested: bool) -> str:
    """The law that was chosen in one sweep."""
    random = generator(1, f"model choice {kind} {covariate} {nested}", number)
    found = times(kind, covariate, random)
    columns = {covariate: STRENGTHS}
    if nested:
        dataset = np.arange(STRENGTHS.size) % 10
        found = found * np.exp(0.5 * random.normal(size=10))[dataset]
        columns["dataset"] = dataset
    end = float(np.quantile(found, ESCAPED))
    status = np.where(found <= end, "escaped", "censored")
    sweep = design(np.minimum(found, end), status, **columns)
    return choose(fit_laws(sweep, generator=random if nested else None)).law


def main() -> None:
    """Count the choices."""
    quick = arguments(__doc__).quick
    sweeps = 10 if quick else 200
    rows = []
    designs = [
        ("learning_rate", False, KINDS),
        ("temperature", False, ("drift", "narrow drift")),
        ("temperature", True, ("arrhenius", "power")),
    ]
    for covariate, nested, kinds in designs:
        for kind in kinds:
            law = kind.split()[-1]
            counts = Counter(
                chosen(kind, covariate, number, nested=nested) for number in range(sweeps)
            )
            right, undecided = counts[law] / sweeps, counts[UNDECIDED] / sweeps
            wrong = 1 - right - undecided
            rows.append(
                Row(
                    test="S6",
                    case=f"{kind} over {covariate}{', ten data sets' if nested else ''}, "
                    f"{sweeps} sweeps",
                    measured=f"right {right:.1%}, undecided {undecided:.1%}, wrong {wrong:.1%}",
                    wanted="right >= 95 %, undecided <= 5 %, wrong <= 1 %",
                    met=right >= 0.95 and undecided <= 0.05 and wrong <= 0.0100001,
                )
            )
    finish(__file__, rows, quick=quick)


if __name__ == "__main__":
    main()
