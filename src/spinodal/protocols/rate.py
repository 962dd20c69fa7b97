"""One escape rate by the cheaper of two routes: waiting, or splitting where waiting is hopeless.

Both routes estimate the same number, one over the mean time from the start until the event is seen
at a look. Which is cheaper is judged by a small pilot of splitting: it tells about how long the
waiting would be, how many escapes the replicas and steps of [run] would see, and what splitting
costs here.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, PositiveInt, TypeAdapter

from spinodal.errors import DamagedFileError, InputError
from spinodal.protocols import settings_file
from spinodal.protocols.escape import EscapeSettings, EscapeSummary, escape
from spinodal.protocols.side_by_side import own_seed
from spinodal.rare.estimates import SplittingRate, spread
from spinodal.rare.training import checked_event, training_rate
from spinodal.records import STATUSES, Settings
from spinodal.storage import RunDirectory

Method = Literal["brute_force", "splitting"]

GROUP = 5
"""Repetitions that are computed and stored together: what an interruption can cost."""

PILOT_REPETITIONS, PILOT_COPIES = 4, 64
"""How much splitting is done to judge the costs."""

ENOUGH = 10
"""Escapes with which waiting is worth while, where `aim` does not ask for fewer."""

IMPOSSIBLE = "splitting is not possible here"

UNBOUNDED = (
    "splitting in which nobody arrives bounds no rate: raise copies in [rate], or wait with "
    'method = "brute_force", where nothing escaping gives a bound'
)

Tell = Callable[[float, str], Any] | None


class RateTable(Settings):
    """The section [rate]: by which route, and how much splitting.

    `auto` compares expected costs at the relative error `aim`: 1 / aim^2 mean times of waiting
    against splitting as a pilot of it went. Waiting is not chosen where the section [run] lets too
    few escapes be expected. Splitting makes `repetitions` independent estimates of
    `copies` trajectories each. Waiting follows the section [run].
    """

    method: Literal["auto", "brute_force", "splitting"] = "auto"
    aim: float = Field(default=0.1, gt=0, lt=1)
    repetitions: int = Field(default=20, ge=2, le=10_000)
    copies: int = Field(default=256, ge=8, le=100_000)
    look_every: PositiveInt | None = None


class RateSettings(EscapeSettings):
    """What `spinodal rate` does: the sections of `spinodal escape`, and [rate]."""

    rate: RateTable = RateTable()


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which route was taken and why; updates are of all replicas or copies together.

    `expected_escapes` are those of waiting as [run] has it, by the pilot; `note` tells what to
    raise where they are too few.
    """

    method: Method
    why: str
    mean_updates: float | None = None
    brute_force_updates: float | None = None
    splitting_updates: float | None = None
    expected_escapes: float | None = None
    pilot_updates: float = 0.0
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class RateSummary(EscapeSummary):
    """An escape rate per unit time, with its interval, by which route, and why by that one.

    With the method `splitting` the `replicas` are independent repetitions, `events` those in which
    somebody arrived, and `exposure` is the time that all copies were simulated: the rate is not
    events / exposure then. `updates` is what the estimate has cost, the pilot of the choice
    included; without it the exposure.
    """

    updates: float
    choice: Choice


def load(path: str | Path) -> RateSettings:
    """Settings from a TOML file; whatever is wrong with it is one `InputError`."""
    return settings_file.load(path, RateSettings)


def rate(
    settings: RateSettings,
    *,
    out: str | os.PathLike[str],
    seed: int | None = None,
    workers: int = 1,
    shard_size: int | None = None,
    executor: Executor | None = None,
    progress: Tell = None,
) -> RateSummary:
    """Choose, estimate and store; the same call again goes on where it was interrupted.

    Writes `rate.json` into `out`; `repetitions.csv` beside it after splitting, the directory
    `brute-force`, as `escape` writes it, after waiting. No number depends on `workers`.
    """
    seed = settings.run.seed if seed is None else seed
    if settings.rate.method == "splitting":
        checked_event(settings.ensemble)
    about = {"method": settings.rate.method}
    with RunDirectory(
        out, kind="rate", digest=settings.digest, seed=seed, about=about
    ) as directory:
        plain = json.dumps(settings.model_dump(mode="json"), indent=1) + "\n"
        directory.write_output("settings.json", plain.encode())
        if progress is not None and settings.rate.method == "auto":
            progress(0.0, "a pilot of splitting judges the costs")
        choice = _stored(directory, "choice.json", Choice, lambda: _choose(settings, seed, workers))
        if choice.method == "splitting":
            summary = _split(settings, choice, directory, seed, workers, progress)
        else:
            waited = escape(
                settings, out=Path(out) / "brute-force", seed=seed, workers=workers,
                shard_size=shard_size, executor=executor, progress=progress,
            )  # fmt: skip
            summary = _waited(settings, choice, waited)
        text = json.dumps(summary.as_dict(), indent=1, allow_nan=False) + "\n"
        directory.write_output("rate.json", text.encode())
    return summary


def _choose(settings: RateSettings, seed: int, workers: int) -> Choice:
    """The route asked for, or the cheaper one."""
    wanted, table = settings.rate.method, settings.rate
    if wanted != "auto":
        return Choice(method=wanted, why="asked for")
    try:
        checked_event(settings.ensemble)
        pilot = _repetitions(
            settings, own_seed(seed, "rate", "pilot"), 0, workers,
            repetitions=PILOT_REPETITIONS, copies=PILOT_COPIES,
        )  # fmt: skip
    except InputError as problem:
        return Choice(method="brute_force", why=f"{IMPOSSIBLE}: {problem}")
    used = float(pilot.steps)
    share = table.repetitions * table.copies / (PILOT_REPETITIONS * PILOT_COPIES)
    splitting = used * share * settings.run.datasets
    if pilot.rate == 0:
        return Choice(
            method="splitting",
            why="in a pilot of splitting nobody arrived, so waiting is hopeless",
            splitting_updates=splitting,
            pilot_updates=used,
        )
    mean = pilot.mean_time / pilot.time_per_step
    # Splitting of the size asked for may miss the aim: it would have to be repeated.
    error = pilot.relative_error / math.sqrt(share)
    fair = splitting * max(1.0, (error / table.aim) ** 2)
    waiting = mean / table.aim**2 * settings.run.datasets
    run = settings.run
    escapes = run.replicas * -math.expm1(-run.steps / mean)
    if run.stop_after_events is not None:
        escapes = min(escapes, run.stop_after_events)
    wanted_escapes = 1 / table.aim**2 * run.datasets
    method: Method = "splitting" if fair < waiting else "brute_force"
    why = (
        f"at a relative error of {table.aim:g} waiting would take about {waiting:.2g} updates and "
        f"splitting {fair:.2g}"
    )
    note = ""
    if method == "brute_force" and escapes < wanted_escapes:
        raised = "raise replicas, steps or stop_after_events in [run]"
        if escapes < min(ENOUGH, wanted_escapes):
            method = "splitting"
            why += f", but waiting as [run] has it would see about {escapes:.2g} escapes"
            note = f"waiting would be cheaper if it were allowed to: {raised}"
        else:
            note = (
                f"about {escapes:.2g} escapes were to be expected, a relative error of "
                f"{math.sqrt(run.datasets / escapes):.2g} rather than {table.aim:g}: {raised}"
            )
    return Choice(
        method=method,
        why=why,
        mean_updates=mean,
        brute_force_updates=waiting,
        splitting_updates=fair,
        expected_escapes=escapes,
        pilot_updates=used,
        note=note,
    )


def _repetitions(
    settings: RateSettings, seed: int, dataset: int, workers: int, *, repetitions: int, copies: int
) -> SplittingRate:
    return training_rate(
        settings.ensemble, seed=seed, repetitions=repetitions, copies=copies, dataset=dataset,
        look_every=settings.rate.look_every, workers=workers,
    )  # fmt: skip


def _split(
    settings: RateSettings,
    choice: Choice,
    directory: RunDirectory,
    seed: int,
    workers: int,
    progress: Tell,
) -> RateSummary:
    """Groups of repetitions, each a record; with several data sets these are the unit."""
    table, run = settings.rate, settings.run
    sizes = _sizes(table.repetitions)
    groups: list[list[SplittingRate]] = []
    for dataset in range(run.datasets):
        own: list[SplittingRate] = []
        for number, size in enumerate(sizes):
            own.append(
                _stored(
                    directory, f"splitting-{dataset}-{number}.json", SplittingRate,
                    lambda dataset=dataset, number=number, size=size: _repetitions(
                        settings, own_seed(seed, "rate", dataset, number), dataset, workers,
                        repetitions=size, copies=table.copies,
                    ),
                )
            )  # fmt: skip
            if progress is not None:
                done = (dataset * len(sizes) + number + 1) / (run.datasets * len(sizes))
                progress(done, f"splitting, {done:.0%} of the repetitions")
        groups.append(own)
    directory.write_output("repetitions.csv", _table(groups).encode())
    return _summary(settings, choice, groups)


def _sizes(repetitions: int) -> list[int]:
    """Even groups of about `GROUP`, none of them a single repetition."""
    count = max(1, repetitions // GROUP)
    return [repetitions // count + (n < repetitions % count) for n in range(count)]


def _summary(
    settings: RateSettings, choice: Choice, groups: list[list[SplittingRate]]
) -> RateSummary:
    every = [one for own in groups for part in own for one in part.repetitions]
    arrived = sum(not one.extinct for one in every)
    extinct = len(every) - arrived
    per_set = [[one.rate for part in own for one in part.repetitions] for own in groups]
    values = per_set[0] if len(groups) == 1 else [float(np.mean(own)) for own in per_set]
    said = spread(
        values, settings.run.confidence, extinct=extinct if len(groups) == 1 else 0,
        ancestors=sum(one.ancestors for one in every), copies=settings.rate.copies,
    )  # fmt: skip
    per_step = groups[0][0].time_per_step
    updates = float(sum(part.steps for own in groups for part in own))
    counts = dict.fromkeys(STATUSES, 0) | {"escaped": arrived, "censored": extinct}
    notes = [choice.note] if choice.note else []
    if arrived == 0:
        notes.append(UNBOUNDED)
    elif said.warning:
        notes.append(said.warning)
    if len(groups) > 1:
        notes.append(f"the {len(groups)} data sets are the unit of the interval")
    found = arrived > 0
    return RateSummary(
        rate=said.mean if found else None,
        low=said.low if found else None,
        high=said.high if found and math.isfinite(said.high) else None,
        confidence=settings.run.confidence,
        events=arrived,
        exposure=updates * per_step,
        replicas=len(every),
        status_counts=counts,
        method="splitting" if len(groups) == 1 else "splitting_across_datasets",
        settings_digest=settings.digest,
        updates=updates + choice.pilot_updates,
        choice=choice,
        note="; ".join(part.rstrip(".") for part in notes),
    )


def _waited(settings: RateSettings, choice: Choice, waited: EscapeSummary) -> RateSummary:
    plain: dict[str, Any] = {f.name: getattr(waited, f.name) for f in dataclasses.fields(waited)}
    why = choice.why if choice.why.startswith(IMPOSSIBLE) else ""
    note = "; ".join(part.rstrip(".") for part in (waited.note, why, choice.note) if part)
    updates = waited.exposure / float(settings.update.time(1)) + choice.pilot_updates
    plain |= {"settings_digest": settings.digest, "note": note}
    return RateSummary(**plain, updates=updates, choice=choice)


def _table(groups: list[list[SplittingRate]]) -> str:
    lines = ["dataset,group,rate,flux,probability,crossings,arrivals,rounds,ancestors,extinct"]
    for dataset, own in enumerate(groups):
        for number, part in enumerate(own):
            lines += [
                f"{dataset},{number},{one.rate!r},{one.flux!r},{one.probability!r},"
                f"{one.crossings},{one.arrivals},{one.rounds},{one.ancestors},{int(one.extinct)}"
                for one in part.repetitions
            ]
    return "\n".join(lines) + "\n"


def _stored(directory: RunDirectory, name: str, kind: type, compute: Callable[[], Any]) -> Any:
    """The record of this name, computed and stored where it is not there."""
    adapter = TypeAdapter(kind, config=None)
    if name in directory.names():
        try:
            return adapter.validate_json(directory.read_record(name))
        except ValueError:
            raise DamagedFileError(
                f"{directory.path / 'records' / name} is no record of this version; delete it, "
                "and the same command again computes it anew."
            ) from None
    found = compute()
    directory.write_record(name, adapter.dump_json(found) + b"\n")
    return found
