"""A table of text in pieces: any separator, gzip or not, clear words about what is no table."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from spinodal.errors import DamagedFileError, InputError
from spinodal.storage.files import explained

PIECE = 8_000
"""Rows that are held as text at a time."""

LONGEST_LINE = 1_000_000
"""Characters; a longer line is no row of a table of times."""

SEPARATORS = (",", ";", "\t")


@dataclass(frozen=True)
class Piece:
    """Some rows: the line each ends on, and the text of each wanted column."""

    lines: list[int]
    columns: dict[str, list[str]]


class TimesFile:
    """An open table: `names` of its header in lower case, then its `pieces`."""

    def __init__(self, path: Path, stream: IO[str]) -> None:
        """Read the header."""
        self.path = path
        lines = self._lines(stream)
        self._first = 0
        header = ""
        for header in lines:
            self._first += 1
            if header.strip(" \t\r\n,;"):
                break
        else:
            raise InputError(f"{path} holds no header; its first line must name the columns.")
        counts = [header.count(separator) for separator in SEPARATORS]
        separator = SEPARATORS[counts.index(max(counts))]
        self._reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        try:
            named = next(csv.reader([header], delimiter=separator, skipinitialspace=True))
        except (csv.Error, StopIteration) as problem:
            raise InputError(f"{path}, line {self._first}: no header ({problem}).") from problem
        if header.count('"') % 2:
            raise InputError(
                f"{path}, line {self._first}: a quoted name does not end on its line; names and "
                "fields with line breaks are not read."
            )
        self.names = [name.strip().lower() for name in named]

    def require_single(self, wanted: set[str]) -> None:
        """Refuse a wanted column that is there more than once."""
        for name in sorted(wanted):
            if self.names.count(name) > 1:
                raise InputError(
                    f"{self.path} has {self.names.count(name)} columns {name!r}; keep one of them."
                )

    def pieces(self, wanted: list[str]) -> Iterator[Piece]:
        """The wanted columns, some rows at a time; blank lines are passed over."""
        places, width = [self.names.index(name) for name in wanted], len(self.names)
        rows: list[list[str]] = []
        lines: list[int] = []
        reader, before = self._reader, self._first
        try:
            for row in reader:
                if len(row) != width:
                    if not any(field.strip() for field in row):
                        continue
                    if any("\n" in field or "\r" in field for field in row):
                        raise InputError(
                            f"{self.path}, line {before + reader.line_num}: a quoted field that "
                            "began on an earlier line ends here; fields with line breaks are not "
                            "read, so close the quotes or remove the break."
                        )
                    raise InputError(
                        f"{self.path}, line {before + reader.line_num}: {len(row)} fields where "
                        f"the header has {width}; give every row one field per column (decimal "
                        "points, no decimal commas)."
                    )
                rows.append(row)
                lines.append(before + reader.line_num)
                if len(rows) == PIECE:
                    yield from self._piece(rows, lines, wanted, places)
                    rows, lines = [], []
        except csv.Error as problem:
            raise InputError(
                f"{self.path}, line {before + reader.line_num}: {problem}; this is no table of "
                "times."
            ) from problem
        yield from self._piece(rows, lines, wanted, places)

    @staticmethod
    def _piece(
        rows: list[list[str]], lines: list[int], wanted: list[str], places: list[int]
    ) -> Iterator[Piece]:
        if not rows:
            return
        columns = {name: [row[i] for row in rows] for name, i in zip(wanted, places, strict=True)}
        if "" in columns[wanted[0]]:  # rows of separators only, as spreadsheets write them
            full = [i for i, row in enumerate(rows) if any(field.strip() for field in row)]
            lines = [lines[i] for i in full]
            columns = {name: [column[i] for i in full] for name, column in columns.items()}
        if lines:
            yield Piece(lines, columns)

    def _lines(self, stream: IO[str]) -> Iterator[str]:
        number, path = 0, self.path
        while line := stream.readline(LONGEST_LINE):
            number += 1
            if len(line) == LONGEST_LINE:
                raise InputError(
                    f"{path}, line {number}: more than {LONGEST_LINE:,} characters; this is no "
                    "table of times."
                )
            yield line


@contextmanager
def opened(path: Path) -> Iterator[TimesFile]:
    """The table in a file, plain or compressed by gzip, or a sentence about why it is none."""
    with explained(path, doing="read"), path.open("rb") as file:
        start = file.read(4)
        file.seek(0)
        packed = start.startswith(b"\x1f\x8b")
        try:
            raw = gzip.open(file) if packed else file
            _check_text(path, raw.read(65536))
            raw.seek(0)
            text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")  # type: ignore[arg-type]
            yield TimesFile(path, text)
        except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
            raise DamagedFileError(
                f"{path} is a damaged gzip file ({problem}); make it again."
            ) from problem


def _check_text(path: Path, block: bytes) -> None:
    if not block.strip():
        raise InputError(
            f"{path} is empty; give a table with a header, such as time,status,learning_rate."
        )
    if block.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path} is text in UTF-16; save it as CSV in UTF-8.")
    if block.startswith(b"PK\x03\x04"):
        raise InputError(
            f"{path} is an archive or a workbook and no table of text; save the sheet as CSV."
        )
    if b"\x00" in block:
        raise InputError(f"{path} is a binary file and no table of text; give a CSV file.")


def shown(text: str) -> str:
    """A field in a sentence, shortened."""
    quoted = repr(text)
    return quoted if len(quoted) <= 40 else quoted[:30] + "..." + quoted[-5:]
