"""What the scripts here share: rows of figures, their table, and tables of escape times.

A script ends with `finish(__file__, rows, quick=...)`. A row is one figure beside what is wanted of
it; `run.py` gathers the rows of all scripts into `results/table.md`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from spinodal.records import EscapeTimes

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure: what was measured in which case, what is wanted, and whether it is so.

    `met` is None for figures that are reported without a limit.
    """

    test: str
    case: str
    measured: str
    wanted: str
    met: bool | None


def arguments(about: str | None) -> argparse.Namespace:
    """The command line of every script: `--quick` only shows that it works."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few repeats: does it work at all?")
    return parser.parse_args()


def finish(script: str, rows: list[Row], *, quick: bool, **more: object) -> None:
    """Print the rows; store them in results/ under the script's name, quick ones beside.

    `more` is stored before the rows: figures from which the program can make the rows again.
    """
    name = Path(script).stem
    print("\n".join(as_table(rows)))
    RESULTS.mkdir(exist_ok=True)
    command = f"python benchmarks/calibration/{name}.py" + (" --quick" if quick else "")
    found = {"command": command, **more, "rows": [asdict(row) for row in rows]}
    path = RESULTS / (f"{name}-quick.json" if quick else f"{name}.json")
    path.write_text(json.dumps(found, indent=1, default=bool) + "\n", encoding="utf-8")


def as_table(rows: list[Row]) -> list[str]:
    """Rows in Markdown."""
    words = {True: "yes", False: "**no**", None: ""}
    return [
        "| test | case | measured | wanted | met |",
        "|---|---|---|---|---|",
        *(f"| {r.test} | {r.case} | {r.measured} | {r.wanted} | {words[r.met]} |" for r in rows),
    ]


def escape_times(time: ArrayLike, escaped: ArrayLike, dataset: ArrayLike = 0) -> EscapeTimes:
    """A table of escape times from times and what was seen: True for escaped, else censored."""
    time = np.asarray(time, dtype=float)
    return EscapeTimes(
        replica=np.arange(time.size),
        dataset=np.broadcast_to(np.asarray(dataset, dtype=np.int64), time.shape),
        steps=np.arange(time.size),
        time=time,
        status=np.where(np.asarray(escaped, dtype=bool), "escaped", "censored"),
    )
