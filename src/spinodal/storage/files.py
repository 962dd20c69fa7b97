"""Files replaced whole or not at all, read whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from spinodal.errors import InputError

TEMPORARY = ".spinodal-tmp"
"""The ending of half-written files; a killed writer may leave one, the next removes it."""


def write_atomically(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Replace `path` by `data` so that every reader sees the old bytes or the new, never half.

    Pieces are asked for one by one, the first of them before any file is made.
    """
    pieces = iter((data,) if isinstance(data, bytes) else data)
    first = next(pieces, b"")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{TEMPORARY}")
    try:
        with temporary.open("xb") as file:
            for piece in chain((first,), pieces):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _flush_directory(path.parent)


def _flush_directory(path: Path) -> None:
    """A rename survives a power cut only once its directory is on disk too."""
    with suppress(OSError):  # some file systems cannot flush directories
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_whole(path: Path, size: int) -> bytes | None:
    """The bytes of a file of exactly `size` bytes, else None; never reads more than that."""
    try:
        with path.open("rb") as file:
            data = file.read(size + 1)
    except OSError:
        return None
    return data if len(data) == size else None


def sha256(data: bytes) -> str:
    """The SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


@contextmanager
def explained(path: Path, *, needed: int = 0, doing: str = "written") -> Iterator[None]:
    """Turn what the file system complains about into one sentence for the user."""
    try:
        yield
    except OSError as problem:
        verb = "written" if doing == "written" else "read"
        need = f" ({needed:,} bytes are needed)" if needed else ""
        raise InputError(
            f"{path} cannot be {verb}: {(problem.strerror or str(problem)).lower()}{need}; "
            f"{_advice(problem.errno) if verb == 'written' else _advice_to_reader(problem.errno)}."
        ) from problem


def _advice_to_reader(number: int | None) -> str:
    """What to do about a file that cannot be read."""
    if number in (errno.EACCES, errno.EPERM):
        return "ask for the permission to read it"
    return "check its name, and that it is a file"


def _advice(number: int | None) -> str:
    """What to do about an error of the file system."""
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            "what was stored before is intact: free some space there and repeat the command, or "
            "choose another directory"
        )
    if number in (errno.EACCES, errno.EPERM):
        return "choose another directory, or ask for the permission to write there"
    return "choose another directory"
