"""Repeatable examples, and one closing line that names what could not run for want of a tool."""

from __future__ import annotations

import os
import re
from collections import Counter

import pytest
from helpers import absent
from hypothesis import settings

# The same examples on every run; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

WANTED = re.compile(r"(?:needs|could not import) '?([\w.+-]+)")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How hard to try where trying is random."""
    parser.addoption("--kills", type=int, default=8, help="how often to kill a run of escapes")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `needs(tool)` where the module or program is absent."""
    for mark in item.iter_markers("needs"):
        for tool in mark.args:
            if absent(tool):
                pytest.skip(f"needs {tool}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name every absent tool, with how many tests or whole files it kept from running."""
    wanted: Counter[tuple[str, str]] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        unit = "test" if isinstance(report, pytest.TestReport) else "file"
        if found := WANTED.search(reason):
            wanted[found.group(1), unit] += 1
    if wanted:
        counts = (
            f"{tool} ({count} {unit}{'s' if count > 1 else ''})"
            for (tool, unit), count in sorted(wanted.items())
        )
        terminalreporter.write_line("not run for want of: " + ", ".join(counts))
