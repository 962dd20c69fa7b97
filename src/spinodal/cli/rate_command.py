"""`spinodal rate`: a settings file in, one escape rate out, by waiting or by splitting."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from spinodal.cli.commands import cores, given, print_json, telling_warnings
from spinodal.errors import InputError


def rate(
    *,
    file: str | None,
    example: bool,
    threads: Any,
    shard_size: Any,
    seed: Any,
    out: str | None,
    as_json: bool,
) -> None:
    """Read, estimate, print; or print the example."""
    if example:
        from spinodal.cli.rate_example import EXAMPLE

        sys.stdout.write(EXAMPLE)
        return
    if not file:
        raise InputError(
            "`spinodal rate` needs a settings file; `spinodal rate --example > rate.toml` makes "
            "one that runs, and `spinodal rate rate.toml` runs it."
        )
    if out is not None and not out.strip():
        raise InputError("--out needs the name of a directory, got an empty one.")
    from spinodal.protocols import rate as protocol
    from spinodal.protocols.escape import EscapeOptions
    from spinodal.report.progress import progress

    options = EscapeOptions.model_validate(given(threads=threads, shard_size=shard_size, seed=seed))
    settings = protocol.load(file)
    directory = Path(out) if out is not None else Path(Path(file).stem + "-rate")
    with telling_warnings(), progress() as tell:
        tell.begin("rate", 1, 1)
        summary = protocol.rate(
            settings,
            out=directory,
            seed=options.seed,
            workers=options.threads or cores(),
            shard_size=options.shard_size,
            progress=tell,
        )
    if as_json:
        print_json(summary.as_dict())
    else:
        _print(summary, directory)


def _print(summary: Any, directory: Path) -> None:
    split = summary.method.startswith("splitting")
    if summary.rate is None:
        print(f"escape rate not found, and no bound: {summary.note}")
    elif summary.events == 0:
        bound = f"< {summary.high:.4g} at {summary.confidence:.0%}, one-sided"
        print(f"escape rate {bound}, per unit time: nothing escaped")
    else:
        high = "unbounded" if summary.high is None else f"{summary.high:.4g}"
        print(
            f"escape rate {summary.rate:.4g} [{summary.low:.4g}, {high}] at "
            f"{summary.confidence:.0%} per unit time ({summary.method})"
        )
        slow = "unbounded" if not summary.low else f"{1 / summary.low:.4g}"
        fast = "0" if summary.high is None else f"{1 / summary.high:.4g}"
        print(f"mean time   {1 / summary.rate:.4g} [{fast}, {slow}]")
    what = "repetitions" if split else "replicas   "
    print(f"{what} {summary.replicas:,}, of which {summary.events:,} with an escape")
    pilot = f", {summary.choice.pilot_updates:.4g} of them for choosing the route"
    print(
        f"updates     {summary.updates:.4g}, of all {'copies' if split else 'replicas'} together"
        f"{pilot if summary.choice.pilot_updates else ''}"
    )
    print(f"route       {summary.choice.why}")
    # What the route says already is not said again.
    note = summary.note.replace(summary.choice.why.rstrip("."), "").strip("; ")
    if note and summary.rate is not None:
        print(f"note        {note}")
    table = "repetitions.csv" if split else Path("brute-force") / "escapes.csv"
    print(f"table       {directory / table}")
