"""What could not run for want of a tool is named in one closing line, and agreement is measured."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import assert_consistent, assert_covers

HERE = Path(__file__).resolve().parent

WANTING = """
import pytest

@pytest.mark.needs("no_such_module")
@pytest.mark.parametrize("i", [1, 2])
def test_marked(i): raise AssertionError

@pytest.mark.needs("math", "sh")
def test_present(): pass

def test_importing(): pytest.importorskip("no_such_oracle")

@pytest.mark.skip(reason="of its own accord")
def test_skipped(): pass
"""

WHOLE_FILE = """
from helpers import import_or_skip
import_or_skip("no_such_package")
def test_never(): pass
"""


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    for name in ("conftest.py", "helpers.py"):
        shutil.copy(HERE / name, folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = needs\npythonpath = .\n")
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("workers", ["0", "2"])
def test_absent_tools_are_named_with_their_counts(tmp_path: Path, workers: str):
    (tmp_path / "test_wanting.py").write_text(WANTING)
    (tmp_path / "test_whole_file.py").write_text(WHOLE_FILE)
    lines = run_pytest(tmp_path, "-n", workers).stdout.splitlines()
    expected = (
        "not run for want of: "
        "no_such_module (2 tests), no_such_oracle (1 test), no_such_package (1 file)"
    )
    assert lines[-2] == expected
    assert lines[-1].startswith("1 passed, 5 skipped")


def test_nothing_is_said_when_everything_ran(tmp_path: Path):
    (tmp_path / "test_fine.py").write_text("def test_fine(): pass\n")
    assert "want of" not in run_pytest(tmp_path).stdout


def test_agreement_is_measured_in_standard_errors():
    assert_consistent(1.3, 1.0, 0.1)
    with pytest.raises(AssertionError, match=r"\+5\.0 standard errors"):
        assert_consistent(1.5, 1.0, 0.1)


def test_intervals_may_cover_too_much_but_not_too_little():
    assert_covers(1000, 1000, 0.95)
    with pytest.raises(AssertionError, match="promised"):
        assert_covers(900, 1000, 0.95)
