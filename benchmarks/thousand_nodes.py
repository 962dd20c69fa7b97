"""What a sweep on a thousand nodes would cost, and where it would saturate.

    python benchmarks/thousand_nodes.py [--write]

computes from results/lines.json and results/cluster.json; with --write the text replaces the
measured part of docs/scaling.md. Nobody has run this on a thousand nodes: the numbers are those of
one machine, extrapolated by the rules that the text states.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
GUIDE = HERE.parent / "docs" / "scaling.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
NODES, CORES = 1000, 64
POINTS, SHARDS, STEPS = 100, 512, 100_000_000
"""A sweep for such a machine: points, shards of 16 replicas at each, updates of each replica."""
REPLICAS = 16


def main() -> None:
    """Print the text, or put it where it belongs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    text = measured_part()
    if parser.parse_args().write:
        GUIDE.write_text(replaced(GUIDE.read_text(encoding="utf-8"), text), encoding="utf-8")
    else:
        print(text)


def measured_part() -> str:
    """The measured part of the guide, from the stored results."""
    lines, cluster = (
        json.loads((HERE / "results" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("lines", "cluster")
    )
    return "\n".join([*_here(lines, cluster), "", *_there(lines, cluster)])


def replaced(guide: str, text: str) -> str:
    """The guide with another measured part."""
    before, _, rest = guide.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}"


def _here(lines: dict[str, Any], cluster: dict[str, Any]) -> list[str]:
    """What was measured."""
    machine, shard, rate = cluster["machine"], cluster["shard"], cluster["scheduler"]
    long = cluster["shards_of_one_second"]
    memory = max(lines["scaling"]["memory"], key=lambda row: row["replicas"])
    gain = long["two_threads_times_one"]
    slower = " (below 1: slower than one)" if gain < 1 else ""
    rows = [
        f"Measured on {machine['cores']} cores of one {machine['processor']} machine "
        f"({machine['clock_ghz']:.2g} GHz), all processes on it, with shards of "
        f"{shard['replicas']} replicas:",
        "",
        "| what | measured |",
        "|---|---|",
        f"| speed-up of two threads over one, shards of one second | {gain:.2f}{slower} |",
        f"| time of two Dask workers over that of two threads, shards of one second | "
        f"{long['dask_over_two_threads']:.2f} |",
    ]
    rows += [
        f"| overhead per shard, {name} | {value:.2g} ms |"
        for name, value in cluster["overhead_ms_per_shard"].items()
    ]
    return [
        *rows,
        f"| to store a shard, synchronised with the disk | {shard['ms_to_store']:.2g} ms |",
        f"| to merge a shard | {shard['ms_to_merge']:.2g} ms |",
        f"| bytes sent, returned, stored per shard | {shard['bytes_sent']:,}, "
        f"{shard['bytes_returned']:,}, {shard['bytes_stored']:,} |",
        f"| CPU time of the scheduler per shard | {rate['scheduler_cpu_ms_per_task']:.2g} ms |",
        f"| CPU time of the process that collects, per shard, unstored | "
        f"{rate['client_cpu_ms_per_task']:.2g} ms |",
        f"| memory of {memory['replicas']:,} replicas, streamed | {memory['peak_mib']:.0f} MiB |",
    ]


def _there(lines: dict[str, Any], cluster: dict[str, Any]) -> list[str]:
    """What follows for many nodes."""
    shard, rate, cores = cluster["shard"], cluster["scheduler"], NODES * CORES
    scheduler = 1e3 / rate["scheduler_cpu_ms_per_task"]
    collector = 1e3 / (rate["client_cpu_ms_per_task"] + shard["ms_to_store"])
    doubt = ""
    if cluster["shards_of_one_second"]["two_threads_times_one"] < 1.8:
        doubt = ", which the two measured here were not"
    rows = [
        f"What follows is arithmetic, not a measurement: nobody has run this on {NODES:,} nodes of "
        f"{CORES} cores, and it takes every core to be as fast as one alone{doubt}. One core "
        f"of the scheduler handles {scheduler:,.0f} shards a second; a process that collects and "
        f"stores them, {collector:,.0f}. Every point of a sweep can have a collector and a run "
        "directory of its own; the scheduler they share. (Its time was measured with two workers; "
        "what thousands of connections cost it beside that was not.) If nothing else were in the "
        "way, the cores that could be kept busy are",
        "",
        "| a shard takes | by one collector | by the scheduler | returned to the collectors |",
        "|---|---|---|---|",
    ]
    for seconds in (1, 10, 60, 600):
        one, all_ = (min(cores, limit * seconds) for limit in (collector, scheduler))
        traffic = all_ / seconds * shard["bytes_returned"] / 1e6
        rows.append(f"| {seconds} s | {one:,.0f} | {all_:,.0f} | {traffic:.0f} MB/s |")
    step = lines["headline"][0]["us_per_replica_step"] * 1e-6
    length, total = REPLICAS * STEPS * step, POINTS * SHARDS
    needed = cores / scheduler
    enough = "long enough" if length > needed else "too short: the scheduler is the limit"
    return [
        *rows,
        "",
        f"By this count all {cores:,} cores would be busy with shards of {needed:.0f} seconds "
        f"and more. A sweep of {POINTS} points of the paper's network with {SHARDS} shards of "
        f"{REPLICAS} replicas each, {STEPS:,} updates per replica at {step * 1e6:.2g} "
        f"microseconds, is {total:,} shards of {length / 60:.1f} minutes, {enough}: "
        f"{total * length / 3600:,.0f} core hours, "
        f"{-(-total // cores) * length / 60:.1f} minutes on that machine if all of it scales. "
        f"It returns {total * shard['bytes_returned'] * REPLICAS / shard['replicas'] / 1e6:,.0f} "
        f"MB; merging a point takes {SHARDS * shard['ms_to_merge'] / 1e3:.1f} seconds.",
    ]


if __name__ == "__main__":
    main()
