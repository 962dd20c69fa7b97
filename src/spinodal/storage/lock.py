"""One writer at a time, by a lock that frees itself when its holder dies."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from spinodal.errors import InputError

try:
    import fcntl
except ImportError:  # not on Windows; there the lock file's text decides
    fcntl = None


def acquire(path: Path) -> int:
    """Take the lock file at `path`, or raise InputError naming the live process that holds it.

    The kernel frees the lock when its holder dies, however it dies; where a file system has
    no such locks, the holder's process id, boot id and start time tell a live one from a
    dead one.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _claim(handle, path)
            # Its last holder may have removed the file between our opening and our locking.
            if _same_file(handle, path):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def release(handle: int) -> None:
    """Give the lock back."""
    with suppress(OSError):
        os.truncate(handle, 0)
    os.close(handle)


def _claim(handle: int, path: Path) -> None:
    text = os.pread(handle, 4096, 0)
    if not _kernel_lock(handle, otherwise=not _alive(text)):
        holder = _holder(text).get("pid")
        raise InputError(
            f"{path.parent} is being written by another process"
            + (f" (pid {holder})" if holder else "")
            + "; wait until it ends, or choose another directory."
        )
    os.truncate(handle, 0)
    os.pwrite(handle, json.dumps(_identity(os.getpid())).encode(), 0)


def _same_file(handle: int, path: Path) -> bool:
    with suppress(OSError):
        return os.path.samestat(os.fstat(handle), os.stat(path))
    return False


def _kernel_lock(handle: int, *, otherwise: bool) -> bool:
    if fcntl is None:
        return otherwise
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return otherwise
    return True


def _identity(pid: int) -> dict[str, Any]:
    """What tells a process from a later one that got the same number."""
    return {"pid": pid, "boot": _boot(), "started": _started(pid)}


def _holder(text: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        holder = json.loads(text)
        if isinstance(holder, dict):
            return holder
    return {}


def _alive(text: bytes) -> bool:
    holder = _holder(text)
    pid = holder.get("pid")
    if not isinstance(pid, int) or holder.get("boot") != _boot():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return holder.get("started") == _started(pid)


def _boot() -> str | None:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None


def _started(pid: int) -> int | None:
    """Clock ticks from boot to the start of a process (field 22 of its stat file)."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return None
