"""The package as it is shipped: pinned, complete, built without a compiler, told truthfully."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import spinodal

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def pins(*layers: str) -> dict[str, Requirement]:
    """The lock files of `layers` by canonical package name."""
    lines: list[str] = []
    for layer in layers:
        lines += (ROOT / "requirements" / f"{layer}.txt").read_text(encoding="utf-8").splitlines()
    pinned = (Requirement(line) for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(pin.name): pin for pin in pinned}


def declared() -> list[tuple[str, tuple[str, ...]]]:
    """Every requirement in `pyproject.toml` with the lock files that must hold it."""
    groups = {
        ("core",): PROJECT["project"]["dependencies"],
        ("core", "build"): PROJECT["build-system"]["requires"],
        ("engine",): PROJECT["dependency-groups"]["engine"],
        ("core", "build", "test"): PROJECT["dependency-groups"]["test"],
        ("torch",): PROJECT["dependency-groups"]["torch"],
    }
    return [(name, layers) for layers, names in groups.items() for name in names]


@pytest.mark.parametrize(("name", "layers"), declared(), ids=lambda value: str(value))
def test_every_declared_dependency_is_pinned_to_a_version_it_allows(
    name: str, layers: tuple[str, ...]
):
    wanted = Requirement(name)
    pin = pins(*layers)[canonicalize_name(wanted.name)]
    (version,) = pin.specifier
    assert version.operator == "=="
    assert wanted.specifier.contains(version.version)


@pytest.mark.parametrize("layers", [("core",), ("core", "build", "test"), ("engine",)], ids=str)
def test_the_lock_files_are_complete(layers: tuple[str, ...]):
    pinned = pins(*layers)
    for name in pinned:
        try:
            wanted = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:
            continue  # the lock serves other machines too
        for need in wanted:
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                assert canonicalize_name(need.name) in pinned, f"{name} needs {need}"


def test_reproducing_the_paper_takes_no_torch():
    assert not {"torch", "lightning"} & set(pins("core", "build"))


@pytest.mark.needs("scikit_build_core")
def test_a_wheel_is_built_without_a_compiler_and_holds_every_file(tmp_path: Path):
    for name in ("pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=ignore)
    build = "from scikit_build_core.build import build_wheel; print(build_wheel('.'))"
    environment = os.environ | {"CC": "/bin/false", "CXX": "/bin/false", "PATH": "/nowhere"}
    command = [sys.executable, "-c", build]
    subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info" not in name}
    source = ROOT / "src"
    files = (path for path in (source / "spinodal").rglob("*") if path.is_file())
    left_out = (".pyc", ".cpp", ".hpp")
    kept = {str(path.relative_to(source)) for path in files if path.suffix not in left_out}
    assert shipped == kept
    assert "spinodal/py.typed" in kept


def test_one_version_everywhere():
    version = PROJECT["project"]["version"]
    assert spinodal.__version__ == version
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [version]
    assert version in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_python_lines_in_the_readme_run():
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_every_make_target_that_is_named_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert set(phony.split()) == targets
    for document in ("README.md", "CONTRIBUTING.md", ".ci/run"):
        text = (ROOT / document).read_text(encoding="utf-8")
        named = re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)
        assert set(named) <= targets


def test_links_in_the_documents_lead_to_files():
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
