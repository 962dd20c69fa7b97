"""`spinodal escape`: a settings file in, a table of escape times and a rate out."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from spinodal.cli.commands import cores, given, print_json, telling_warnings
from spinodal.errors import InputError


def escape(
    *,
    file: str | None,
    example: bool,
    threads: Any,
    shard_size: Any,
    seed: Any,
    out: str | None,
    as_json: bool,
) -> None:
    """Read, simulate, print; or print the example."""
    if example:
        from spinodal.cli.escape_example import EXAMPLE

        sys.stdout.write(EXAMPLE)
        return
    if not file:
        raise InputError(
            "`spinodal escape` needs a settings file; `spinodal escape --example > escape.toml` "
            "makes one that runs, and `spinodal escape escape.toml` runs it."
        )
    if out is not None and not out.strip():
        raise InputError("--out needs the name of a directory, got an empty one.")
    from spinodal.protocols import escape as protocol
    from spinodal.report.progress import progress

    options = protocol.EscapeOptions.model_validate(
        given(threads=threads, shard_size=shard_size, seed=seed)
    )
    settings = protocol.load(file)
    directory = Path(out) if out is not None else Path(Path(file).stem + "-escapes")
    with telling_warnings(), progress() as tell:
        tell.begin("escape", 1, 1)
        clock = _Clock()
        summary = protocol.escape(
            settings,
            out=directory,
            seed=options.seed,
            workers=options.threads or cores(),
            shard_size=options.shard_size,
            progress=lambda fraction, text: tell(fraction, clock.words(fraction, text)),
        )
        tell.end("escape", clock.seconds, reused=False)
    if as_json:
        print_json(summary.as_dict())
    else:
        _print(summary, directory)


class _Clock:
    """How long it has taken, and how long it may still take."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first: tuple[float, float] | None = None

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def words(self, fraction: float, text: str) -> str:
        """The text, with the time left once there is something to judge it by.

        What was found finished took no time, so the pace is that since the first word. Replicas
        that escape early are not simulated further: the estimate is an upper limit.
        """
        now = time.monotonic()
        if self._first is None:
            self._first = (now, fraction)
        began, before = self._first
        if fraction <= before or now - began < 1.0:
            return text
        left = (now - began) * (1 - fraction) / (fraction - before)
        return f"{text}, at most {_in_words(left)} left"


def _in_words(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 360_000 else f"{seconds / 86400:.0f} days"


def _print(summary: Any, directory: Path) -> None:
    counts = [f"{count:,} {status}" for status, count in summary.status_counts.items() if count]
    diverged = summary.status_counts["diverged"]
    if summary.rate is None:
        print(f"escape rate none: {summary.note}")
    elif summary.events:
        interval = f"[{summary.low:.4g}, {summary.high:.4g}] at {summary.confidence:.0%}"
        print(f"escape rate {summary.rate:.4g} {interval} per unit time ({summary.method})")
        inverse = f"[{1 / summary.high:.4g}, " + (
            f"{1 / summary.low:.4g}]" if summary.low > 0 else "unbounded]"
        )
        print(f"mean time   {1 / summary.rate:.4g} {inverse}")
    else:
        bound = f"< {summary.high:.4g} at {summary.confidence:.0%}, one-sided"
        print(f"escape rate {bound}, per unit time: nothing escaped")
    print(f"replicas    {summary.replicas:,}: {', '.join(counts)}")
    without = f", without the {diverged:,} that diverged" if diverged else ""
    print(f"exposure    {summary.exposure:.6g} time units at risk{without}")
    if summary.note and summary.rate is not None:
        print(f"note        {summary.note}")
    print(f"table       {directory / 'escapes.csv'}")
