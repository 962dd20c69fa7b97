"""Time to answer: how long `spinodal reproduce --effort paper` takes here.

    python benchmarks/reproduction.py [--effort quick] [--threads N]

writes results/reproduction-EFFORT.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from spinodal.speed.core import machine

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Run the command in a new directory, and store what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--effort", choices=("quick", "paper"), default="paper")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_args()
    about = machine()
    with tempfile.TemporaryDirectory() as folder:
        options = ["--effort", given.effort, "--threads", str(given.threads), "--out"]
        begin = time.monotonic()
        command = [sys.executable, "-m", "spinodal.cli", "reproduce", *options, f"{folder}/out"]
        subprocess.run(command, check=True)
        seconds = time.monotonic() - begin
    found = {"machine": about, "threads": given.threads, "minutes": seconds / 60}
    text = json.dumps(found, indent=1) + "\n"
    (RESULTS / f"reproduction-{given.effort}.json").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
