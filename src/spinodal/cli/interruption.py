"""Ctrl-C and SIGTERM end a command within two seconds; what is finished is on disk."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

PATIENCE = 1.0
"""Seconds between the signal and the end by force, should a thread not give way."""


USUALLY = "what is finished is stored, and the same command again continues."

_KEPT = [USUALLY]


def say_when_interrupted(kept: str) -> None:
    """What the command in progress leaves behind when it is interrupted, half a sentence."""
    _KEPT[:] = [kept]


class Interrupted(BaseException):
    """A signal asked us to stop; the exit status is 128 + its number."""

    def __init__(self, number: int) -> None:
        """Remember the signal."""
        super().__init__(number)
        self.status = 128 + number

    def leave(self) -> int:
        """Say how to go on, and end the process at once: files are whole at every moment."""
        sentence = _KEPT[0]
        cursor = "\x1b[?25h\r\n" if os.isatty(2) else ""  # progress bars hide it
        with suppress(OSError):
            # Straight to the file: whatever is drawing on standard error may be half way.
            os.write(2, f"{cursor}spinodal: Interrupted; {sentence}\n".encode())
        with suppress(OSError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)  # what now loses its partner has nothing to tell
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(self.status)


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into Interrupted, and insist where it is not heard."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    say_when_interrupted(USUALLY)

    def stop(number: int, _: FrameType | None) -> None:
        interrupt = Interrupted(number)
        # A pool waits for its running tasks before it lets an exception through.
        insist = threading.Timer(PATIENCE, interrupt.leave)
        insist.daemon = True
        insist.start()
        raise interrupt

    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop) for number in signals]
    try:
        with _tidying_up_in_silence():
            yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def _tidying_up_in_silence() -> Iterator[None]:
    """The helper that removes the semaphores of a killed pool of processes does not boast of it.

    It is a Python of its own, started with the first pool, and takes its filters from here.
    """
    before = os.environ.get("PYTHONWARNINGS")
    quiet = "ignore:resource_tracker:UserWarning"
    os.environ["PYTHONWARNINGS"] = f"{before},{quiet}" if before else quiet
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("PYTHONWARNINGS", None)
        else:
            os.environ["PYTHONWARNINGS"] = before
