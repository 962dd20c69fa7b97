"""What the columns of a table of times mean: a design of settings, and the count of statuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spinodal.errors import InputError
from spinodal.protocols.times_csv import Piece, TimesFile, opened, shown
from spinodal.records import STATUSES
from spinodal.statistics.designs import (
    COVARIATES,
    LARGEST_NUMBER,
    Design,
    check_covariate,
    in_range,
)
from spinodal.statistics.memoryless_settings import LARGEST

TimeUnit = Literal["time", "steps"]

MOST_SETTINGS = 100_000
"""Different combinations of covariates and data set; more are no table of settings."""

PILED = 1_000_000
"""Rows that are held before times nearly equal are pooled: what bounds the memory."""

ESCAPED = {"1": 0, "1.0": 0, "true": 0, "0": 1, "0.0": 1, "false": 1}
"""Values of the column `escaped`, as indices of STATUSES."""

RANGE = (
    f"it must be 0 or lie between {1 / LARGEST_NUMBER:g} and {LARGEST_NUMBER:g} (in another unit "
    "of time, if need be)"
)
"""Of times: beyond these limits rates leave the range of arithmetic."""

_STATUS = {name: code for code, name in enumerate(STATUSES)}


@dataclass(frozen=True, kw_only=True, eq=False)
class TimesTable:
    """`design` for likelihoods, `sample` (single replicas, a random part of many) for tests.

    In the sample an escape elsewhere counts as an escape: what is memoryless is leaving at all.
    `notes` say in sentences what was understood where it could have been understood otherwise.
    """

    design: Design
    sample: Design
    rows: int
    status_counts: dict[str, int]
    notes: tuple[str, ...]


def read_times(
    path: Path,
    *,
    time_unit: TimeUnit = "time",
    constants: dict[str, float] | None = None,
    generator: np.random.Generator,
) -> TimesTable:
    """Read `time` with `status` or `escaped`, and whichever covariates, `dataset` and `entry`.

    With `time_unit` 'steps' the times are numbers of steps (those of a column `steps` if there is
    one) and become learning_rate * steps. `constants` are covariates that hold for all rows. Memory
    is bounded by the numbers of settings and data sets, not of rows: beyond a million rows, times
    that differ by less than one part in a thousand are pooled, at no change of the time at risk.
    """
    with opened(path) as file:
        columns = _Columns(file, time_unit, constants or {})
        pile = _Pile(columns, generator)
        for piece in file.pieces(columns.wanted):
            pile.add(piece)
        return pile.table()


class _Columns:
    """Which columns there are, and which of them says what."""

    def __init__(self, file: TimesFile, unit: TimeUnit, constants: dict[str, float]) -> None:
        self.path, self.notes, self.constants = file.path, [], constants
        there = set(file.names)
        self.covariates = [name for name in COVARIATES if name in there and name not in constants]
        self.in_steps = unit == "steps"
        self.time = "time"
        if "steps" in there and (self.in_steps or "time" not in there):
            self.time, self.in_steps = "steps", True
        if self.time not in there:
            raise InputError(
                f"{self.path} has no column 'time'; it has {_listed(file.names)}. Name the column "
                "of escape times 'time', or that of steps 'steps'."
            )
        if "status" not in there and "escaped" not in there:
            raise InputError(
                f"{self.path} has neither a column 'status' ({', '.join(STATUSES)}) nor 'escaped' "
                f"(1 or 0); it has {_listed(file.names)}. Add one: replicas that did not escape "
                "are data too."
            )
        if self.in_steps and "learning_rate" not in there | set(constants):
            raise InputError(
                f"{self.path} has times in steps but no column 'learning_rate', which makes them "
                "times; add it, or give times as learning_rate * steps."
            )
        if self.time == "steps" and unit == "time":
            self.notes.append("There is no column time: it is learning_rate * steps.")
        self.marks = [name for name in ("status", "escaped") if name in there]
        optional = [name for name in ("entry", "dataset") if name in there]
        self.entry, self.dataset = "entry" in there, "dataset" in there
        self.wanted = [self.time, *self.marks, *optional, *self.covariates]
        file.require_single(set(self.wanted))
        unread = [name for name in file.names if name and name not in self.wanted]
        if unread:
            self.notes.append(f"Columns that are not read: {_suggested(unread, there)}.")

    def wrong(self, line: int, what: str) -> InputError:
        """The complaint about a line."""
        return InputError(f"{self.path}, line {line}: {what}.")


class _Pile:
    """Rows as numbers, pooled whenever they become many."""

    def __init__(self, columns: _Columns, generator: np.random.Generator) -> None:
        self.columns, self.generator = columns, generator
        self.counts = np.zeros(len(STATUSES), dtype=np.int64)
        self.keys: dict[tuple[str, ...], int] = {}
        self.settings: dict[tuple[float, ...], int] = {}
        self.first_line: list[int] = []
        self.sets: dict[str, int] = {}
        self.parts: list[tuple[NDArray, ...]] = []
        self.sample: tuple[NDArray, ...] | None = None
        self.piled, self.highest = 0, 1.0

    def add(self, piece: Piece) -> None:
        """Understand some rows, or say which line cannot be."""
        columns, lines = self.columns, piece.lines
        time = self._numbers(piece, columns.time)
        entry = self._numbers(piece, "entry") if columns.entry else np.zeros(time.size)
        if np.any(entry > time):
            row = int(np.argmax(entry > time))
            raise columns.wrong(
                lines[row],
                f"entry {entry[row]:g} is after {columns.time} {time[row]:g}; watching begins "
                "before it ends",
            )
        code = self._codes(piece, columns.marks[0])
        if len(columns.marks) == 2:
            self._agree(piece, code)
        setting = self._settings(piece)
        dataset = self._datasets(piece)
        self.counts += np.bincount(code, minlength=len(STATUSES))
        if columns.in_steps:
            rates = self._rates()[setting]
            time, entry = time * rates, entry * rates
            wrong = ~(in_range(time) & in_range(entry))
            if wrong.any():
                row = int(np.argmax(wrong))
                product = f"learning_rate * {columns.time} is {time[row]:g}"
                raise columns.wrong(lines[row], f"{product}; {RANGE}")
        kept = code != _STATUS["diverged"]
        part = (
            time[kept],
            entry[kept],
            code[kept] == 0,
            np.ones(int(kept.sum())),
            setting[kept].astype(np.int32),
            dataset[kept].astype(np.int32),
        )
        left = (code == 0) | (code == _STATUS["escaped_elsewhere"])
        self._draw((*part[:2], left[kept], *part[3:]))
        self.parts.append(part)
        self.piled += part[0].size
        if self.piled > PILED:
            pooled = self._design(self._joined(), final=False).compressed()
            self.parts = [
                (pooled.time, pooled.entry, pooled.escaped, pooled.weight,
                 pooled.setting.astype(np.int32), pooled.dataset.astype(np.int32))
            ]  # fmt: skip
            self.piled = 0

    def table(self) -> TimesTable:
        """Everything that was read."""
        rows = int(self.counts.sum())
        if rows == 0:
            raise InputError(
                f"{self.columns.path} has a header but no rows; give one row per replica."
            )
        self._drop_blank_covariates()
        notes = list(self.columns.notes)
        if rows > PILED:
            notes.append(
                f"Of {rows:,} rows, times that differ by less than a thousandth were pooled."
            )
        assert self.sample is not None
        design = self._design(self._joined(), final=True)
        if np.all(design.time == 0) and design.time.size:
            raise InputError(
                f"All times in {self.columns.path} are 0, so nothing was at risk; give the time "
                "for which each replica was watched."
            )
        return TimesTable(
            design=design,
            sample=self._design(self.sample[:-1], final=True),
            rows=rows,
            status_counts={
                name: int(count) for name, count in zip(STATUSES, self.counts, strict=True)
            },
            notes=tuple(notes),
        )

    def _numbers(self, piece: Piece, name: str) -> NDArray[np.float64]:
        texts = piece.columns[name]
        try:
            values = np.fromiter(map(float, texts), dtype=float, count=len(texts))
        except ValueError:
            row = next(i for i, text in enumerate(texts) if not _is_number(text))
            raise self._no_number(piece.lines[row], name, texts[row]) from None
        wrong = ~in_range(values)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise self.columns.wrong(piece.lines[row], f"{name} is {shown(texts[row])}; {RANGE}")
        return values

    def _no_number(self, line: int, name: str, text: str) -> InputError:
        if not text.strip():
            return self.columns.wrong(line, f"{name} is blank; fill it or leave the row out")
        hint = "; write decimal points, no commas" if "," in text else ""
        if "\n" in text or "\r" in text:
            hint = "; fields with line breaks are not read, so close the quotes"
        return self.columns.wrong(line, f"{name} is {shown(text)} and no number{hint}")

    def _codes(self, piece: Piece, name: str) -> NDArray[np.int64]:
        texts, words = piece.columns[name], _STATUS if name == "status" else ESCAPED
        codes: list[int | None] = list(map(words.get, texts))
        if None in codes:
            codes = [words.get(text.strip().lower()) for text in texts]
        if None in codes:
            row = codes.index(None)
            allowed = ", ".join(STATUSES) if name == "status" else "1, 0, true, false"
            raise self.columns.wrong(
                piece.lines[row], f"{name} is {shown(texts[row])}; allowed are {allowed}"
            )
        return np.array(codes, dtype=np.int64)

    def _agree(self, piece: Piece, code: NDArray[np.int64]) -> None:
        other = self._codes(piece, "escaped")
        apart = (code == 0) != (other == 0)
        if apart.any():
            row = int(np.argmax(apart))
            raise self.columns.wrong(
                piece.lines[row],
                f"status is {STATUSES[code[row]]!r} but escaped says otherwise; keep one of the "
                "two columns",
            )

    def _settings(self, piece: Piece) -> NDArray[np.int64]:
        texts = [piece.columns[name] for name in self.columns.covariates]
        if not texts:
            self.settings.setdefault((), 0)
            return np.zeros(len(piece.lines), dtype=np.int64)
        keys = list(zip(*texts, strict=True))
        if set(keys).difference(self.keys):
            for line, key in zip(piece.lines, keys, strict=True):
                if key not in self.keys:
                    self.keys[key] = self._new_setting(line, key)
        return np.fromiter(map(self.keys.__getitem__, keys), dtype=np.int64, count=len(keys))

    def _new_setting(self, line: int, key: Sequence[str]) -> int:
        values = []
        for name, text in zip(self.columns.covariates, key, strict=True):
            if not text.strip():
                values.append(np.inf)  # blank: allowed where the whole column is
                continue
            if not _is_number(text):
                raise self._no_number(line, name, text)
            value = float(text)
            try:
                check_covariate(name, np.array([value]))
            except InputError as problem:
                raise self.columns.wrong(line, str(problem).rstrip(".")) from None
            values.append(value)
        number = self.settings.setdefault(tuple(values), len(self.settings))
        if number == len(self.first_line):
            self.first_line.append(line)
        self._check_size(line)
        return number

    def _datasets(self, piece: Piece) -> NDArray[np.int64]:
        if not self.columns.dataset:
            return np.zeros(len(piece.lines), dtype=np.int64)
        texts, sets = piece.columns["dataset"], self.sets
        if set(texts).difference(sets):
            for line, text in zip(piece.lines, texts, strict=True):
                if text in sets:
                    continue
                if not text.strip():
                    raise self.columns.wrong(
                        line, "dataset is blank; name it or leave the column out"
                    )
                sets[text] = len(sets)
                self._check_size(line)
        return np.fromiter(map(sets.__getitem__, texts), dtype=np.int64, count=len(texts))

    def _check_size(self, line: int) -> None:
        if max(1, len(self.settings)) * max(1, len(self.sets)) > 10 * MOST_SETTINGS or (
            max(len(self.settings), len(self.sets)) > MOST_SETTINGS
        ):
            raise self.columns.wrong(
                line,
                f"more than {MOST_SETTINGS:,} settings or data sets; round the covariates, or "
                "leave out the column dataset if it numbers replicas",
            )

    def _rates(self) -> NDArray[np.float64]:
        fixed = self.columns.constants.get("learning_rate")
        if fixed is not None:
            return np.full(len(self.settings), fixed)
        place = self.columns.covariates.index("learning_rate")
        rates = np.array([values[place] for values in self.settings])
        if np.any(np.isinf(rates)):
            line = self.first_line[int(np.argmax(np.isinf(rates)))]
            raise self.columns.wrong(line, "learning_rate is blank, but times are in steps")
        return rates

    def _drop_blank_covariates(self) -> None:
        table = np.array(list(self.settings), dtype=float)
        for place, name in reversed(list(enumerate(self.columns.covariates))):
            blank = np.isinf(table[:, place])
            if blank.any() and not blank.all():
                line = self.first_line[int(np.argmax(blank))]
                raise self.columns.wrong(
                    line, f"{name} is blank, but not in other rows; fill it or leave the column out"
                )
            if blank.all():
                del self.columns.covariates[place]
                table = np.delete(table, place, axis=1)
        self.settings = {tuple(values): i for i, values in enumerate(table.tolist())}

    def _draw(self, part: tuple[NDArray, ...]) -> None:
        """Keep a random part of all rows, every row with the same probability."""
        tickets = self.generator.random(part[0].size)
        joined = (*part, tickets)
        if self.sample is not None:
            drawn = tickets < self.highest
            pairs = zip(self.sample, (column[drawn] for column in joined), strict=True)
            joined = tuple(np.concatenate(pair) for pair in pairs)
        if joined[0].size > LARGEST:
            kept = np.argpartition(joined[-1], LARGEST)[:LARGEST]
            joined = tuple(column[kept] for column in joined)
            self.highest = float(joined[-1].max())
        self.sample = joined

    def _joined(self) -> tuple[NDArray, ...]:
        return tuple(np.concatenate(columns) for columns in zip(*self.parts, strict=True))

    def _design(self, part: tuple[NDArray, ...], *, final: bool) -> Design:
        time, entry, escaped, weight, setting, dataset = part
        values: dict[str, NDArray[np.float64]] = {}
        if final:
            table = np.array(list(self.settings), dtype=float).reshape(len(self.settings), -1)
            values = dict(zip(self.columns.covariates, table.T, strict=True))
            for name, value in self.columns.constants.items():
                values[name] = np.full(len(self.settings), value)
        return Design(
            time=time,
            entry=entry,
            escaped=escaped,
            weight=weight,
            setting=setting.astype(np.int64),
            dataset=dataset.astype(np.int64),
            settings=values,
            datasets=max(1, len(self.sets)),
            count=len(self.settings),
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


COLUMNS = ("time", "status", "escaped", "steps", "entry", "dataset", *COVARIATES)
"""Every name that has a meaning."""


def _suggested(unread: Sequence[str], there: set[str]) -> str:
    """Names in a list, each with the column that it may have been meant for."""
    words = []
    for name in unread[:12]:
        free = [known for known in COLUMNS if known not in there]
        near = [
            known
            for known in free
            if (len(name) > 2 and known.startswith(name))
            or name == "".join(part[0] for part in known.split("_") if "_" in known)
        ]
        near += get_close_matches(name, free, n=1, cutoff=0.75)
        words.append(shown(name) + (f" (did you mean {near[0]!r}?)" if near else ""))
    return ", ".join(words) + (f" and {len(unread) - 12} more" if len(unread) > 12 else "")


def _listed(names: Sequence[str]) -> str:
    some = ", ".join(shown(name) for name in names[:12])
    return some + (f" and {len(names) - 12} more" if len(names) > 12 else "")
