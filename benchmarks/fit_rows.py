"""Time and memory of `spinodal fit` on a table of many rows.

    python benchmarks/fit_rows.py [--rows N]

writes a CSV of that many exponential times at eight temperatures to a temporary file, reads and
fits it in a process of its own, and prints how long that took and the most memory it held.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import numpy as np

from spinodal.protocols.fit import FitSettings, fit
from spinodal.seeding import generator

BARRIER, END, SEED = 0.03, 100.0, 1
TEMPERATURES = np.geomspace(0.005, 0.05, 8)
BLOCK = 500_000


def write(path: Path, rows: int) -> None:
    """A table of Arrhenius times, watched until END."""
    random = generator(SEED, "rows")
    with path.open("w", encoding="utf-8") as file:
        file.write("time,status,temperature\n")
        for begin in range(0, rows, BLOCK):
            heat = TEMPERATURES[np.arange(begin, min(begin + BLOCK, rows)) % TEMPERATURES.size]
            times = np.exp(BARRIER / heat) * random.exponential(size=heat.size)
            file.writelines(
                f"{min(t, END):.9g},{'escaped' if t <= END else 'censored'},{x:.6g}\n"
                for t, x in zip(times.tolist(), heat.tolist(), strict=True)
            )


def measure(path: Path, told: SimpleQueue[tuple[float, float, int, str]]) -> None:
    """(seconds, seconds of processor, peak memory in bytes, the law chosen)."""
    begin, work = time.perf_counter(), time.process_time()
    choice = fit(path, FitSettings()).choice
    spent = time.perf_counter() - begin, time.process_time() - work
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    told.put((*spent, peak, choice))


def main() -> None:
    """Write, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "times.csv"
        write(path, rows)
        size = path.stat().st_size
        context = get_context("spawn")
        told = context.SimpleQueue()
        process = context.Process(target=measure, args=(path, told))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"The fit ended with exit code {process.exitcode}.")
        seconds, work, peak, choice = told.get()
    print(
        f"{rows:,} rows ({size / 1e6:.0f} MB): {seconds:.1f} s ({work:.1f} s of processor), "
        f"peak memory {peak / 1e9:.2f} GB, choice {choice}"
    )


if __name__ == "__main__":
    main()
