"""Invented protocols, sections and requests: they stand in where the real ones are slow."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from spinodal.plots import style
from spinodal.records import Settings
from spinodal.report import registry, shelf
from spinodal.report.page import VERDICTS
from spinodal.report.section import Figure, Heading, Paragraph, Row, Section, Stated, Table

CALLS: list[str] = []
"""Which protocols were run, in order."""


class WaveSettings(Settings):
    name: str
    points: int = 40
    weight_decay: float = 0.32


@dataclass(frozen=True)
class WaveRecord:
    name: str
    seed: int
    x: tuple[float, ...]
    y: tuple[float, ...]
    missing: float | None = None


@dataclass(frozen=True)
class Row46:
    id: str
    where: str
    claim: str
    stated: float | str | None
    recomputed: float | str | None
    verdict: str
    reason: str
    evidence: str


@dataclass(frozen=True)
class AuditRecord:
    rows: tuple[Row46, ...]


@dataclass(frozen=True)
class Request:
    source: str
    where: str
    request: str
    section: str | None
    command: str | None
    answer: str = ""


def wave(name: str, *, delay: float = 0.0) -> tuple[ModuleType, ModuleType]:
    """A protocol that computes a curve, and the section that tells it."""

    def run(settings: WaveSettings, *, seed: int, workers: int, progress: Any) -> WaveRecord:
        CALLS.append(name)
        with ThreadPoolExecutor(workers) as pool:  # as protocols do; it waits for its threads
            pool.submit(time.sleep, delay).result()
        progress(0.5, "half way")
        x = np.linspace(0.1, 10, settings.points)
        y = np.exp(-x / 4) * (2 + np.cos(x + seed))
        return WaveRecord(name, seed, tuple(x.tolist()), tuple(y.tolist()))

    def section(record: WaveRecord) -> Section:
        return wave_section(record)

    def preset(effort: str) -> WaveSettings:
        return WaveSettings(name=name, points=40 if effort == "quick" else 80)

    protocol = module(f"placeholder_{name}", run=run, Record=WaveRecord, preset=preset)
    return protocol, module(f"placeholder_section_{name}", section=section)


CAPTION = "A damped wave: *invented*, with <b>markup</b> that must stay text."


def wave_section(record: WaveRecord) -> Section:
    """One bare figure each; the first section has real ones, and controls beside."""

    def sketch(canvas: Any) -> None:
        canvas.subplots().plot(record.x, record.y)
        canvas.axes[0].set_axis_off()  # ticks and labels take most of the time

    def draw(canvas: Any) -> None:
        ax = canvas.subplots()
        for index in range(3):
            ax.plot(record.x, np.array(record.y) * 2**index, label=f"start of rank {index}")
        style.mark_stated(ax, x=math.pi, label="paper states")
        ax.set(xlabel="time (learning rate * steps)", ylabel="test error", yscale="log")
        ax.legend()

    def figure(place: str, width: float = 5.8) -> Figure:
        words = {"caption": CAPTION, "alt": f'Three "decaying" waves, {place}'}
        return Figure(name=f"{name}_{place}", **words, draw=drawn, size=(width, 3.6))

    name = record.name
    drawn = draw if name == "fig2a" else sketch
    rows = [
        (x, y, None, i, i % 2 == 0) for i, (x, y) in enumerate(zip(record.x, record.y, strict=True))
    ]
    columns = ("time", "test error of the long-winded start", "empty", "index", "even")
    beside = (Heading("Controls"), Row((figure("left", 4.6), figure("right", 4.6))))
    return Section(
        id=name,
        title=f"The placeholder {name}",
        question="Does a wave wave, and does its escape need noise?",
        answer="It does: `cos` decays by e^{-x/4} with weight_decay 0.32, seen in 40 points.",
        stated=(
            Stated(what="saddle", stated=0.41, found=0.0925451803, verdict="wrong"),
            Stated(what="R^{2}", stated=0.991, found=None, verdict="cannot be derived"),
        ),
        blocks=(
            Paragraph("A paragraph with **strong** words & T_{eff} <script>alert(1)</script>."),
            figure("wave"),
            *(beside if name == "fig2a" else ()),
            Table(name=f"{name}_points", columns=columns, rows=rows, shown=6, caption=CAPTION),
            Table(name=f"{name}_hidden", columns=columns, rows=rows, shown=0, caption="All."),
        ),
    )


def audit(*needs: str) -> tuple[ModuleType, ModuleType]:
    """A protocol that needs the records of others, and its section."""

    def run(settings: Any, *, seed: int, workers: int, records: Any, progress: Any) -> AuditRecord:
        CALLS.append("audit")
        assert set(records) == set(needs)
        rows = [
            Row46(
                id=f"row-{number:02}",
                where=f"section 3.{number}, equation ({number})",
                claim=f"The invented statement number {number} about λ_{{saddle}} and barriers",
                stated=0.41 if number % 3 else None,
                recomputed=0.0925451803 if number % 3 else "3 of 140 directions",
                verdict=VERDICTS[(number * number) % len(VERDICTS)],
                reason="The saddle lies below half the signal at every depth and weight decay.",
                evidence="spinodal.theory.modes.saddle(depth=3, signal=0.8, weight_decay=0.32)",
            )
            for number in range(1, 47)
        ]
        return AuditRecord(tuple(rows))

    def preset(effort: str) -> WaveSettings:
        return WaveSettings(name="audit")

    def section(record: AuditRecord) -> Section:
        return Section(
            id="audit",
            title=f"Audit of {len(record.rows)} claims",
            question="Does anything hold?",
            answer="Some of it.",
            blocks=(),
        )

    protocol = module("placeholder_audit", run=run, Record=AuditRecord, NEEDS=needs, preset=preset)
    return protocol, module("placeholder_section_audit", section=section)


def module(name: str, **contents: Any) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(contents)
    sys.modules[name] = made
    return made


REQUESTS = tuple(
    Request(
        source=source,
        where="section 4",
        request="An independent demonstration of bistability: free energy and order parameter",
        section=section,
        command=f"spinodal reproduce --only {section}" if section else None,
        answer="Both branches with their barrier, and the index of every saddle." * (number % 2),
    )
    for number, (source, section) in enumerate(
        [("claim", "fig2a"), ("claim", "fig4"), ("referee", "audit"), ("practitioner", None)]
    )
)


def install(*, delay: float = 0.0) -> None:
    """Put three waves and an audit where the real sections are."""
    CALLS.clear()
    registry.SECTIONS.clear()
    for name in ("fig2a", "fig3", "fig4"):
        protocol, section = wave(name, delay=delay)
        registry.SECTIONS[name] = registry.Entry(protocol.__name__, section.__name__)
    protocol, section = audit("fig3", "fig4")
    registry.SECTIONS["audit"] = registry.Entry(protocol.__name__, section.__name__)
    registry.REQUESTS = module("placeholder_requests", REQUESTS=REQUESTS).__name__
    shelf.fingerprint = lambda: "placeholder"  # the package may be edited while its tests run


@contextmanager
def installed() -> Iterator[list[str]]:
    """Placeholders inside a `with` block; yields the list of protocols that were run."""
    sections, requests = dict(registry.SECTIONS), registry.REQUESTS
    fingerprint = shelf.fingerprint
    try:
        install()
        yield CALLS
    finally:
        registry.SECTIONS.clear()
        registry.SECTIONS.update(sections)
        registry.REQUESTS = requests
        shelf.fingerprint = fingerprint
