"""A virtual environment that knows whether it is finished, and can say why it is not.

Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

STAMP = "spinodal-setup.json"
MARK = "made-by-spinodal-setup"
LOG = "setup.log"

# Pip settings that would send packages somewhere else than into the environment.
DIVERTING = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONPATH", "PYTHONHOME")

NO_NETWORK = (
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "SSLError",
    "Connection refused",
    "Network is unreachable",
    "Temporary failure in name resolution",
)


class SetupError(Exception):
    """Set-up cannot go on; the message is one sentence with what to do."""


class CommandFailed(SetupError):
    """A command failed for a reason of its own: another way may succeed."""


class Environment:
    """A virtual environment that belongs to this script, and what has been done in it."""

    def __init__(self, folder: Path, lock: int | None) -> None:
        """`lock` is an open file that every child process inherits, see `exclusive`."""
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.lock = lock

    def read_stamp(self) -> dict[str, str]:
        """What has been finished here; empty when unusable, moved, or never finished."""
        try:
            stamp = json.loads((self.folder / STAMP).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        # The scripts of an environment hold its absolute path: a moved one is of no use.
        usable = stamp.get("where") == str(self.folder) and self.works()
        return stamp if usable else {}

    def write_stamp(self, stamp: dict[str, str]) -> None:
        """Note what is finished, in one step: a torn stamp would pass for finished work."""
        text = json.dumps(stamp | {"where": str(self.folder)}, indent=1)
        draft = self.folder / (STAMP + ".new")
        draft.write_text(text + "\n", encoding="utf-8")
        draft.replace(self.folder / STAMP)

    def forget(self) -> None:
        """From here until the next stamp the environment counts as half-made."""
        (self.folder / STAMP).unlink(missing_ok=True)

    def works(self) -> bool:
        """Does its interpreter start?"""
        return succeeds([str(self.python), "-c", ""])

    def has_pip(self) -> bool:
        """Can packages be installed here?"""
        return succeeds([str(self.python), "-m", "pip", "--version"])

    def clear(self) -> None:
        """Make room: delete what this script left behind, set aside what somebody else made."""
        if self.folder.is_symlink():
            self.folder.unlink()
        elif (self.folder / MARK).exists() or not self.works():
            shutil.rmtree(self.folder, ignore_errors=True)
        if self.folder.exists():
            aside = self.folder.with_name(f"{self.folder.name}-of-{int(time.time())}")
            self.folder.rename(aside)
            say(f"{self.folder.name} was not made by this script: it is now {aside.name}.")

    def run(self, command: list[str], *, why: str) -> None:
        """Run quietly; on failure raise the one sentence that explains it."""
        with open(self.folder / LOG, "ab") as log:
            log.write(f"\n$ {' '.join(command)}\n".encode())
            log.flush()
            begin = log.tell()
            status = self.spawn(command, log.fileno())
        if status != 0:
            output = (self.folder / LOG).read_bytes()[begin:].decode(errors="replace")
            raise explain(output, why, self.folder / LOG)

    def spawn(self, command: list[str], log: int) -> int:
        """Start a child that holds the lock as long as it lives, and is stopped when we are.

        It leads a process group of its own, so that the helpers that pip starts go with it.
        """
        environment = {k: v for k, v in os.environ.items() if k not in DIVERTING}
        environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            pass_fds=() if self.lock is None else (self.lock,),
            process_group=0,
        )
        try:
            return child.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
            child.wait()
            raise

    def pip_install(self, *arguments: str, why: str) -> None:
        """Install into the environment; bytecode is left to the first import."""
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--no-compile"]
        self.run([*pip, *arguments], why=why)


def explain(output: str, why: str, log: Path) -> SetupError:
    """Why a command failed, and what to do."""
    if any(sign in output for sign in NO_NETWORK):
        return SetupError(
            f"{why} failed because the package index cannot be reached: connect to the network, "
            "or point PIP_INDEX_URL or PIP_FIND_LINKS to a mirror, and run make again."
        )
    if "No space left on device" in output:
        return SetupError(f"{why} failed because the disk is full: free some and run make again.")
    errors = [line.strip() for line in output.splitlines() if "error" in line.lower()]
    last = errors[-1] if errors else "no reason given"
    return CommandFailed(f"{why} failed ({last}): see {log} for the whole output, then make again.")


def say(line: str) -> None:
    """Progress, on standard error: standard output belongs to the command that follows."""
    print(line, file=sys.stderr, flush=True)


def succeeds(command: list[str]) -> bool:
    """Does a command exist and end well?"""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[int | None]:
    """Let one set-up at a time work on `folder`.

    Children inherit the locked file, so a pip that outlives a killed set-up keeps the lock and
    cannot write into an environment that the next set-up is making.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield None
        return
    try:
        handle = open(folder.with_name(folder.name + ".lock"), "w", encoding="utf-8")
    except OSError as problem:
        raise SetupError(
            f"{folder.parent} cannot be written to ({problem.strerror}): "
            "run make in a copy of the project that you may write to."
        ) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say(f"set-up: waiting for another set-up of {folder.name} to end")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle.fileno()
