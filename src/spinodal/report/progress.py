"""How far a long command is, told on standard error."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class Silence(AbstractContextManager["Silence"]):
    """Tells nothing; the base of those that do.

    A protocol calls it as `progress(fraction, text)`, with a fraction of its own work done
    (0 to 1) and a few words. It only looks: no result depends on it.
    """

    def __call__(self, fraction: float | None = None, text: str = "") -> None:
        """A protocol has done this fraction of its work."""

    def begin(self, name: str, number: int, total: int) -> None:
        """Section `number` of `total` begins."""

    def end(self, name: str, seconds: float, *, reused: bool) -> None:
        """A section is finished, or was found finished."""

    def note(self, text: str) -> None:
        """Something the user should know."""

    def __exit__(self, *_: object) -> None:
        """Nothing to tidy up."""


class Lines(Silence):
    """A line at the beginning and end of a section, and every few seconds between."""

    def __init__(self, stream: TextIO | None = None, *, every: float = 5.0) -> None:
        """Write to `stream`, at most one line of progress in `every` seconds."""
        self._stream = stream or sys.stderr
        self._every = every
        self._last = time.monotonic()
        self._name = ""

    def __call__(self, fraction: float | None = None, text: str = "") -> None:
        """A line, unless one was written a moment ago."""
        if time.monotonic() - self._last >= self._every:
            done = "" if fraction is None else f" {fraction:.0%}"
            self.note(f"{self._name}{done} {text}".rstrip())

    def begin(self, name: str, number: int, total: int) -> None:
        """Name the section."""
        self._name = name
        self.note(f"{name} ({number} of {total})" if total > 1 else name)

    def end(self, name: str, seconds: float, *, reused: bool) -> None:
        """Say how long it took."""
        self.note(f"{name} found finished" if reused else f"{name} done in {seconds:.1f} s")

    def note(self, text: str) -> None:
        """Write a line."""
        self._last = time.monotonic()
        print(text, file=self._stream, flush=True)


class Bars(Silence):
    """Live bars on a terminal, one per section."""

    def __init__(self) -> None:
        """Nothing is shown before the `with` block."""
        self._bars = Progress(
            TextColumn("{task.fields[name]:<8}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.description}", style="dim"),
            console=Console(stderr=True),
        )
        self._task: Any = None

    def __enter__(self) -> Bars:
        """Take the bottom of the terminal."""
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back."""
        self._bars.stop()

    def __call__(self, fraction: float | None = None, text: str = "") -> None:
        """Move the bar."""
        if self._task is not None:
            self._bars.update(self._task, completed=fraction, description=text)

    def begin(self, name: str, number: int, total: int) -> None:
        """Add a bar."""
        self._task = self._bars.add_task("", name=name, total=1.0)

    def end(self, name: str, seconds: float, *, reused: bool) -> None:
        """Fill the bar."""
        text = "found finished" if reused else ""
        self._bars.update(self._task, completed=1.0, description=text)
        self._bars.stop_task(self._task)

    def note(self, text: str) -> None:
        """Write a line above the bars."""
        self._bars.console.print(text, markup=False, highlight=False)


def progress(*, terminal: bool | None = None) -> Silence:
    """Bars where a person watches, lines where standard error is a file or a pipe."""
    return Bars() if (sys.stderr.isatty() if terminal is None else terminal) else Lines()
