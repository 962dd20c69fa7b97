"""The atlas for people: a table that says why a number is missing, and notes below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from spinodal.cli.printing import Printer
from spinodal.protocols.atlas import CONVENTION, Atlas, Mode

_MEANING = {
    "none": "it does not exist here: no such point, barrier, transition or phase",
    "no room": "the stronger signals already take all hidden units",
    "infinite": "this mode gains no rotations, so heat alone never removes the barrier",
    "drift": "at or above the thermal spinodal no barrier is left to cross",
    "> 1e300": "the mean time, about exp(barrier / temperature), exceeds 1e300",
}
"""What stands in the table in place of a number, and what it means."""

_THERMAL = (
    "thermal_spinodal",
    "free_energy_barrier_out",
    "free_energy_barrier_back",
    "first_passage_time_out",
)


def print_atlas(found: Atlas) -> None:
    """Modes side by side as far as there is room, phases, and what the words mean."""
    console, told = Printer(), found.as_dict()
    modes = [
        {key: _cell(row[key], _missing(key, mode, found)) for key in row}
        for mode, row in zip(found.modes, told["modes"], strict=True)
    ]
    phases = [{key: _cell(row[key]) for key in row} for row in told["phases"]]
    # Names take 25 columns and a number 13.
    beside = max(1, (console.width - 25) // 13)
    for start in range(0, len(modes), beside):
        console.print(_sideways(modes[start : start + beside]))
    console.print(_upright(phases))
    used = {text for row in [*modes, *phases] for text in row.values()}
    for note in _notes(found, used):
        console.print(note, style="dim", markup=False)


def _missing(key: str, mode: Mode, found: Atlas) -> str:
    """Why a mode has no number under this key."""
    stronger = sum(other.signal > mode.signal for other in found.modes)
    if key not in _THERMAL:
        return "none"
    if stronger >= found.settings.width:
        return "no room"
    if mode.saddle is None:
        return "none"
    if key == "thermal_spinodal":
        return "infinite"
    return "drift" if mode.free_energy_barrier_out is None else "> 1e300"


def _notes(found: Atlas, used: set[str]) -> Iterator[str]:
    for word, meaning in _MEANING.items():
        if word in used:
            yield f"{word}: {meaning}."
    if len(found.modes) > 1:
        yield "Each column counts the stronger signals as learned."
    if max(mode.signal for mode in found.modes) > 1:
        yield (
            "A signal above 1 cannot occur in data with outputs of unit variance; the loss may "
            "then be below 0."
        )
    yield CONVENTION + "."


def _sideways(rows: Sequence[dict[str, str]]) -> Table:
    """One column for each row, one line for each key."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    for _ in rows:
        table.add_column(justify="right")
    for key in rows[0]:
        table.add_row(key.replace("_", " "), *(row[key] for row in rows))
    return table


def _upright(rows: Sequence[dict[str, str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for key in rows[0]:
        table.add_column(key.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*row.values())
    return table


def _cell(value: Any, missing: str = "none") -> str:
    if value is None:
        return missing
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int) else f"{value:.6g}"
