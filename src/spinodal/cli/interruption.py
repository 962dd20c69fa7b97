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


class Interrupted(BaseException):
    """A signal asked us to stop; the exit status is 128 + its number."""

    def __init__(self, number: int) -> None:
        """Remember the signal."""
        super().__init__(number)
        self.status = 128 + number

    def leave(self) -> int:
        """Say how to go on, and end the process at once: files are whole at every moment."""
        sentence = "finished sections are stored, and the same command again continues."
        cursor = "\x1b[?25h\r\n" if os.isatty(2) else ""  # progress bars hide it
        with suppress(OSError):
            # Straight to the file: whatever is drawing on standard error may be half way.
            os.write(2, f"{cursor}spinodal: Interrupted; {sentence}\n".encode())
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(self.status)


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into Interrupted, and insist where it is not heard."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

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
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
