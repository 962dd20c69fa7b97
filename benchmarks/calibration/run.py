"""All calibrations of this folder, one after the other, and one table of what they found.

    python benchmarks/calibration/run.py [--quick] [--only NAME ...] [--table]

runs every script beside this one, each in a process of its own, and writes `results/table.md`
(`results/table-quick.md` with `--quick`) from their `results/NAME.json`. `--table` writes the table
from the results that are there and runs nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from common import RESULTS, Row, as_table

FOLDER = Path(__file__).parent
HELPERS = {"common", "run"}


def main() -> int:
    """Run the scripts, then write their table; 1 if one failed or a figure is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--table", action="store_true", help="only write the table")
    parser.add_argument("--only", nargs="*", help="names of scripts, without .py")
    given = parser.parse_args()
    names = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in HELPERS)
    failed = []
    for name in [] if given.table else [n for n in names if not given.only or n in given.only]:
        print(f"\n## {name}", flush=True)
        command = [sys.executable, str(FOLDER / f"{name}.py"), *["--quick"] * given.quick]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    suffix = "-quick" if given.quick else ""
    table, met = summary(names, suffix)
    (RESULTS / f"table{suffix}.md").write_text(table, encoding="utf-8")
    for name in failed:
        print(f"{name} failed", file=sys.stderr)
    return 0 if met and not failed else 1


def summary(names: list[str], suffix: str) -> tuple[str, bool]:
    """One table for each script that has results; True if every figure is met."""
    parts, met = (
        ["# Calibration\n", f"`python benchmarks/calibration/run.py{suffix and ' --quick'}`"],
        True,
    )
    for name in names:
        path = RESULTS / f"{name}{suffix}.json"
        if not path.exists():
            continue
        found = json.loads(path.read_text(encoding="utf-8"))
        if not ({"command", "rows"} <= found.keys() and "measured" in found["rows"][0]):
            parts += [f"\n## {name}\n", f"[{path.name}]({path.name})"]
            continue
        rows = [Row(**row) for row in found["rows"]]
        met &= all(row.met is not False for row in rows)
        parts += [f"\n## {name}\n", f"`{found['command']}`\n", *as_table(rows)]
    return "\n".join(parts) + "\n", met


if __name__ == "__main__":
    sys.exit(main())
