"""Set-up tells finished from half-made, keeps what is not its own, and refuses in one sentence."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import setup
from environment import MARK, STAMP, CommandFailed, Environment, SetupError, exclusive, explain

TOOLS = Path(__file__).resolve().parent.parent / "tools"


@pytest.fixture
def made(tmp_path: Path) -> Environment:
    """An environment that set-up finished."""
    environment = Environment(tmp_path / "venv", None)
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    (environment.folder / MARK).touch()
    environment.write_stamp({"locks": "a"})
    return environment


def test_finished_work_is_remembered(made: Environment):
    assert made.read_stamp()["locks"] == "a"


def test_changed_sources_of_the_engine_are_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for path in setup.ENGINE.glob("*.?pp"):
        shutil.copy(path, tmp_path)
    before = setup.built_from()
    monkeypatch.setattr(setup, "ENGINE", tmp_path)
    assert setup.built_from() == before
    with (tmp_path / "lanes.hpp").open("a") as source:
        source.write("\n")
    changed = setup.built_from()
    assert changed != before
    monkeypatch.setenv("CXX", "another-compiler")
    assert setup.built_from() not in (before, changed)


@pytest.mark.parametrize(
    ("sources", "compiler", "engine", "kept"),
    [
        ("same", "/nowhere/c++", True, True),
        ("same", "/nowhere/c++", False, False),
        ("changed", "/nowhere/c++", True, False),
        ("same", sys.executable, True, True),
        ("same", "working", True, False),
    ],
)
def test_a_bad_compiler_throws_no_working_engine_of_the_same_sources_away(
    made: Environment, monkeypatch: pytest.MonkeyPatch, sources, compiler, engine, kept
):
    monkeypatch.setattr(setup, "has_engine", lambda _: engine)
    monkeypatch.setattr(setup, "add_spinodal", lambda _: built.append(True))
    monkeypatch.setattr(setup, "digest", lambda *_: "same")
    monkeypatch.setenv("CXX", compiler)
    if compiler == "working":
        monkeypatch.setattr(setup, "compiles", lambda _: True)
    built: list[bool] = []
    made.write_stamp({"locks": "same", "project": f"{sources} g++"})
    setup.prepare(made, "core")
    assert built == ([] if kept else [True])
    assert made.read_stamp()["project"] == ("same g++" if kept else f"same {compiler}")


def test_a_compiler_that_is_named_and_missing_is_named_in_the_complaint(
    made: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(setup, "has_engine", lambda _: False)
    monkeypatch.setattr(Environment, "pip_install", lambda *_, **__: None)
    monkeypatch.setenv("CXX", "/nowhere/c++ -O1")
    monkeypatch.setenv("CC", sys.executable)
    setup.add_spinodal(made)
    said = capsys.readouterr().err
    assert "about a minute" in said
    assert "CXX=/nowhere/c++ -O1 (no such program)" in said
    assert f"CC={sys.executable} ({sys.executable})" in said
    monkeypatch.delenv("CXX")
    monkeypatch.delenv("CC")
    setup.add_spinodal(made)
    assert "CXX" not in capsys.readouterr().err


@pytest.mark.needs("g++")
def test_a_compiler_is_one_that_compiles():
    assert setup.compiles("g++ -O1")
    assert not setup.compiles("/nowhere/g++")
    assert not setup.compiles(sys.executable)
    assert not setup.compiles("unbalanced '")
    assert not setup.compiles("none")


def test_an_interrupted_environment_is_not_finished(made: Environment):
    made.forget()
    assert made.read_stamp() == {}


def test_a_torn_stamp_is_no_stamp(made: Environment):
    text = (made.folder / STAMP).read_text(encoding="utf-8")
    for length in range(len(text) - 2):
        (made.folder / STAMP).write_text(text[:length], encoding="utf-8")
        assert made.read_stamp() == {}


def test_an_environment_that_moved_or_lost_its_interpreter_is_made_afresh(made: Environment):
    moved = made.folder.with_name("elsewhere")
    shutil.copytree(made.folder, moved, symlinks=True)
    assert Environment(moved, None).read_stamp() == {}
    made.python.unlink()
    assert made.read_stamp() == {}


def test_what_set_up_made_is_deleted_and_what_others_made_is_set_aside(made: Environment):
    made.clear()
    assert not made.folder.exists()
    made.python.parent.mkdir(parents=True)
    made.python.symlink_to(sys.executable)
    (made.folder / "precious").touch()
    made.clear()
    assert not made.folder.exists()
    (aside,) = made.folder.parent.glob("venv-of-*")
    assert (aside / "precious").exists()


def test_only_one_set_up_works_at_a_time(tmp_path: Path):
    code = (
        "import fcntl, sys\n"
        "try: fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except OSError: print('held')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "venv.lock")]
    with exclusive(tmp_path / "venv"):
        held = subprocess.run(command, capture_output=True, text=True, check=True)
    free = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (held.stdout, free.stdout) == ("held\n", "")


@pytest.mark.parametrize(
    ("output", "word", "kind"),
    [
        ("WARNING: Retrying after NewConnectionError(...)", "network", SetupError),
        ("OSError: [Errno 28] No space left on device", "disk is full", SetupError),
        ("ERROR: No matching distribution found for x==1", "No matching", CommandFailed),
        ("", "no reason", CommandFailed),
    ],
)
def test_a_failure_is_explained_in_one_sentence(output: str, word: str, kind: type[SetupError]):
    problem = explain(output, "Installing", Path("log"))
    assert type(problem) is kind
    assert word in str(problem)
    assert "\n" not in str(problem)


def test_a_failing_command_leaves_its_output_in_the_log(made: Environment):
    with pytest.raises(CommandFailed, match="error: planted"):
        made.run([str(made.python), "-c", "raise SystemExit('error: planted')"], why="Planting")
    assert "error: planted" in (made.folder / "setup.log").read_text(encoding="utf-8")


@pytest.mark.parametrize("version", ["3.10.1", None])
def test_a_machine_without_a_new_enough_python_is_told_so_in_one_line(
    tmp_path: Path, version: str | None
):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "dirname"):
        (programs / name).symlink_to(shutil.which(name) or name)
    if version:
        old = programs / "python3"
        old.write_text(
            f'#!/bin/sh\ncase "$2" in *version_info*) exit 1;; esac\necho Python {version}\n'
        )
        old.chmod(0o755)
    result = subprocess.run(
        [shutil.which("sh") or "sh", str(TOOLS / "setup"), "core"],
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert f"has Python {version}" in result.stderr if version else "has none" in result.stderr
    assert "install Python 3.11 or later" in result.stderr


def test_the_stamp_is_plain_json(made: Environment):
    stamp = json.loads((made.folder / STAMP).read_text(encoding="utf-8"))
    assert stamp == {"locks": "a", "where": str(made.folder)}


def test_a_stopped_set_up_stops_its_children_and_their_children(made: Environment):
    # The child starts a helper that would leave a file behind, then set-up is interrupted.
    late = made.folder / "written-late"
    helper = f"import time; time.sleep(2); open({str(late)!r}, 'w')"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {helper!r}])"
    setup = (
        "import signal, sys; from pathlib import Path; from environment import Environment\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\n"
        "environment = Environment(Path(sys.argv[1]), None)\n"
        "print('ready', flush=True)\n"
        "environment.run([sys.executable, '-c', sys.argv[2]], why='Waiting')\n"
    )
    command = [sys.executable, "-c", setup, str(made.folder), child]
    with subprocess.Popen(command, cwd=TOOLS, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        time.sleep(0.5)
        running.terminate()
        running.wait()
    time.sleep(2.5)
    assert not late.exists()
