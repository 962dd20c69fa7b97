"""The thorough benchmark: every case with all its rivals, in one run; minutes to an hour.

    python benchmarks/lines.py [--quick] [--threads N]

writes results/lines.json, from which figure.py draws. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from spinodal.speed.benchmark import BenchSettings, benchmark

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure, and store what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_args()
    begin = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begin:7.1f} s  {text}", file=sys.stderr, flush=True)

    settings = BenchSettings(quick=given.quick, threads=given.threads)
    found = benchmark(settings, say, rivals_everywhere=True)
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(found, indent=1, allow_nan=False) + "\n"
    (RESULTS / "lines.json").write_text(text, encoding="utf-8")
    say(f"wrote {RESULTS / 'lines.json'}")


if __name__ == "__main__":
    main()
