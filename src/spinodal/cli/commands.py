"""What the commands do once their words are understood: validate, make one call, print."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from spinodal.cli.printing import Printer
from spinodal.errors import InputError


def reproduce(
    *,
    only: Sequence[str] | None,
    effort: Any,
    seed: Any,
    threads: Any,
    out: str,
    as_json: bool,
) -> None:
    """Recompute sections into a directory and say what was found."""
    from spinodal.report.progress import progress
    from spinodal.report.reproduce import reproduce as run
    from spinodal.report.section import plain
    from spinodal.report.shelf import Task

    task = Task(effort=effort, seed=seed, threads=cores() if threads is None else threads)
    if not out.strip():
        raise InputError("--out needs the name of a directory, got an empty one.")
    outcome = run(
        only=only,
        effort=task.effort,
        seed=task.seed,
        workers=task.threads,
        out=out,
        progress=progress(),
    )
    if as_json:
        return print_json(outcome.summary())
    console = Printer(soft_wrap=True)
    for section in outcome.sections:
        console.print(f"{section.id:<6} {plain(section.answer)}", markup=False)
    if outcome.audit:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in outcome.audit.items())
        console.print(f"audit: {counts}", markup=False)
    for note in outcome.notes:
        console.print(plain(note), markup=False)
    console.print(f"The report is {outcome.out / 'report.html'}", markup=False)
    return None


def atlas(
    *,
    depth: Any,
    width: Any,
    signals: Any,
    weight_decay: Any,
    temperature: Any,
    as_json: bool,
) -> None:
    """Print the modes and phases of a network."""
    from spinodal.cli.atlas_table import print_atlas
    from spinodal.protocols.atlas import AtlasSettings
    from spinodal.protocols.atlas import atlas as compute

    settings = AtlasSettings(
        depth=depth,
        width=width,
        signals=signals,
        weight_decay=weight_decay,
        temperature=temperature,
    )
    found = compute(settings)
    if as_json:
        return print_json(found.as_dict())
    return print_atlas(found)


def print_json(document: Any) -> None:
    """Exactly one document; numbers that are none must have become null before."""
    json.dump(document, sys.stdout, indent=1, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def given(**options: Any) -> dict[str, Any]:
    """The options that were given, by name."""
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def telling_warnings() -> Iterator[None]:
    """What the work warns its user of goes to standard error once it is done."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if issubclass(warning.category, UserWarning):  # the others are for programmers
            print(f"spinodal: {warning.message}", file=sys.stderr)


def cores() -> int:
    """The processor cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS or Windows
        return os.cpu_count() or 1
