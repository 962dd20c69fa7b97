"""Do intervals of splitting hold where a repetition is skewed, and is it told where they may not?

    python benchmarks/calibration/heavy_tails.py [--quick]

Estimates of a small probability are much like log-normal ones, so REPEATS tables of n log-normal
estimates of mean 1 are drawn at every relative variance v and given to `rare.estimates.spread`.
Wanted of all intervals together is a coverage of at least 0.92 at every v. Of those without a
warning it is wanted at v of 0.3 and less only: where v is large, the few tables without a warning
are those that have missed the large values, whatever the level from which is warned. There it is
the part of all tables that miss without a warning which must be small, at most 0.08.
"""

from __future__ import annotations

import math

import numpy as np
from common import Row, arguments, finish

from spinodal.rare.estimates import spread

REPEATS, LEVEL, LEAST, SILENT, SMALL = 4000, 0.95, 0.92, 0.08, 0.3
COUNTS, VARIANCES = (5, 10, 20, 72), (0.1, 0.3, 1.0, 2.0, 4.0, 10.0)


def row(count: int, variance: float, repeats: int) -> Row:
    """One number of repetitions and one relative variance."""
    deviation = math.sqrt(math.log1p(variance))
    rng = np.random.default_rng([count, round(100 * variance)])
    values = np.exp(deviation * rng.normal(size=(repeats, count)) - deviation**2 / 2)
    said = [spread(one.tolist(), LEVEL) for one in values]
    holds = np.array([one.low <= 1 <= one.high for one in said])
    silent = np.array([not one.heavy_tails for one in said])
    missed = float((silent & ~holds).mean())
    alone = float(holds[silent].mean()) if silent.any() else math.nan
    met = holds.mean() >= LEAST and missed <= SILENT and (variance > SMALL or alone >= LEAST)
    return Row(
        test="log-normal estimates",
        case=f"{count} repetitions, relative variance {variance:g}",
        measured=f"coverage {holds.mean():.3f}; {silent.mean():.1%} without a warning, of these "
        f"{f'{alone:.3f}' if silent.any() else 'none'}; missed without a warning {missed:.3f}",
        wanted=f"coverage >= {LEAST}, missed without a warning <= {SILENT}"
        + (f", coverage of these >= {LEAST}" if variance <= SMALL else ""),
        met=bool(met),
    )


if __name__ == "__main__":
    quick = arguments(__doc__).quick
    repeats = 400 if quick else REPEATS
    finish(__file__, [row(n, v, repeats) for n in COUNTS for v in VARIANCES], quick=quick)
