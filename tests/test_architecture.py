"""Imports go down only, and a planted import that goes up is caught."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "spinodal"
MODULES = sorted(SOURCE.rglob("*.py"))
LINT = "import sys; from importlinter.cli import lint_imports_command as c; c(sys.argv[1:])"


def lint_copy(folder: Path, **planted: str) -> subprocess.CompletedProcess[str]:
    """Check the contracts on a copy of the package with the lines in `planted` added to files.

    The copy bears another name, since the installed package would be found first otherwise.
    """
    package = folder / "planted"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, line in planted.items():
        target = package / (name.replace("__", "/") + ".py")
        with target.open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    for file in package.rglob("*.py"):
        file.write_text(file.read_text(encoding="utf-8").replace("spinodal", "planted"), "utf-8")
    config = (ROOT / "pyproject.toml").read_text(encoding="utf-8").replace("spinodal", "planted")
    (folder / "pyproject.toml").write_text(config, encoding="utf-8")
    command = [sys.executable, "-c", LINT, "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_package_keeps_its_contracts(tmp_path: Path):
    result = lint_copy(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("theory__modes", "import spinodal.dynamics"),
        ("theory__modes", "import spinodal.statistics"),
        ("theory__modes", "import spinodal.seeding"),
        ("statistics__survival", "import spinodal.theory"),
        ("dynamics__updates", "import spinodal.protocols"),
        ("plots__style", "import spinodal.protocols"),
        ("errors", "import spinodal.records"),
        ("records", "import spinodal.seeding"),
        ("dynamics__updates", "import matplotlib"),
        ("records", "import torch"),
        ("speed__contest", "import torch"),
        ("speed__measure", "import jax"),
        ("speed__case", "import spinodal.protocols"),
        ("stray", "'''A module that no layer knows.'''"),
    ],
)
def test_an_import_that_breaks_a_contract_is_caught(tmp_path: Path, module: str, line: str):
    result = lint_copy(tmp_path, **{module: line})
    assert result.returncode == 1, result.stdout + result.stderr
    assert "BROKEN" in result.stdout or "stray" in result.stdout


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_file_says_in_its_first_line_what_it_is(path: Path):
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", "?", "!"))


@pytest.mark.parametrize("path", sorted((SOURCE / "theory").glob("*.py")), ids=lambda p: p.name)
def test_theory_opens_no_file_reads_no_clock_and_throws_no_dice(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    allowed = {
        "__future__",
        "collections",
        "dataclasses",
        "functools",
        "itertools",
        "math",
        "operator",
    }
    allowed |= {"numpy", "scipy", "spinodal", "typing"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {name.name.partition(".")[0] for name in node.names} <= allowed
        elif isinstance(node, ast.ImportFrom):
            assert node.level > 0 or (node.module or "").partition(".")[0] in allowed
        elif isinstance(node, ast.Attribute):
            assert node.attr not in {"random", "load", "save", "loadtxt", "savetxt"}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_file_that_is_read_as_data_can_run_code(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        names = [alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")]
        names.append(getattr(node, "module", None) or "")
        assert not {"pickle", "shelve", "marshal", "joblib", "dill"} & set(names)
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False


def test_the_help_text_waits_for_no_heavy_library():
    program = (
        "import contextlib, io, json, sys\n"
        "from spinodal.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main(['--help'])\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(result.stdout.splitlines()[-1]))
    assert not {"scipy.stats", "matplotlib", "torch"} & loaded
