"""The package's front door: every name opens, and opening it loads nothing early."""

import subprocess
import sys

import pytest

import spinodal


@pytest.mark.parametrize("name", spinodal.__all__)
def test_every_public_name_resolves_and_is_documented(name):
    assert getattr(spinodal, name).__doc__


def test_the_lists_agree():
    assert sorted(spinodal._HOME) == sorted(spinodal.__all__)
    assert set(spinodal.__all__) <= set(dir(spinodal))


def test_an_unknown_name_is_answered_with_those_that_exist():
    with pytest.raises(AttributeError, match="it offers"):
        _ = spinodal.GausianTask  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_the_package_loads_no_numbers():
    code = (
        "import sys, spinodal; print([m for m in ('numpy','scipy','pydantic') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
