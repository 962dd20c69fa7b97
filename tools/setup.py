"""Make the virtual environment that `make` runs in, once; standard library only.

`python tools/setup.py core` installs the package with the exact versions of its dependencies;
`test` adds what the tests need. Finished work is noted in a stamp inside the environment, so a
second call returns at once, and an environment without a stamp (made half-way, then interrupted)
is made afresh. Progress and problems go to standard error, one line each.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from environment import MARK, CommandFailed, Environment, SetupError, exclusive, say, succeeds

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
ENGINE = ROOT / "src" / "spinodal" / "dynamics" / "_engine"


def digest(*files: Path) -> str:
    """The name of the contents of `files`."""
    content = hashlib.sha256()
    for file in files:
        content.update(file.read_bytes())
    return content.hexdigest()[:16]


def built_from() -> str:
    """The name of all that the installed package depends on, the compiler that is found included.

    Python files are not in it: the environment reads them where they are.
    """
    sources = sorted(path for path in ENGINE.iterdir() if path.suffix in (".cpp", ".hpp"))
    return f"{digest(ROOT / 'pyproject.toml', ROOT / 'CMakeLists.txt', *sources)} {compiler()}"


def compiler() -> str:
    """The C++ compiler that a build would take, "none" where there is none."""
    candidates = [os.environ.get("CXX"), *map(shutil.which, ("c++", "g++", "clang++"))]
    return next((str(name) for name in candidates if name), "none")


def compiles(name: str) -> bool:
    """Can this compiler, with the words that may follow it, compile nothing at all?"""
    try:
        words = shlex.split(name)
    except ValueError:
        return False
    flags = ["-std=c++17", "-x", "c++", "-S", os.devnull, "-o", "-"]
    return bool(words) and succeeds([*words, *flags])


def chosen_compilers() -> str:
    """What CC and CXX are set to and where that leads, in words; empty where neither is set."""
    told = []
    for variable in ("CC", "CXX"):
        if value := os.environ.get(variable):
            program = shutil.which(value.split()[0]) if value.split() else None
            told.append(f"{variable}={value} ({program or 'no such program'})")
    return " and ".join(told)


def has_engine(environment: Environment) -> bool:
    """Does the engine that is installed here start?"""
    return succeeds([str(environment.python), "-c", "import spinodal.dynamics.compiled"])


def worth_keeping(environment: Environment, was: str, project: str) -> bool:
    """Was a working engine built of the same sources, and could no other be built now?"""
    same = was.partition(" ")[0] == project.partition(" ")[0]
    if not same or compiles(compiler()) or not has_engine(environment):
        return False
    say(
        "set-up: keeping the compiled engine of the same sources, because "
        f"{chosen_compilers() or 'what is on the PATH'} is no working compiler."
    )
    return True


def create(environment: Environment) -> None:
    """A new virtual environment with pip in it, also where Python came without ensurepip."""
    folder = environment.folder
    environment.clear()
    try:
        folder.mkdir(parents=True)
        (folder / MARK).touch()
    except OSError as problem:
        raise SetupError(
            f"{folder} cannot be made ({problem.strerror}): "
            "run make in a copy of the project that you may write to."
        ) from None
    venv = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    environment.run(venv, why="Making a virtual environment")
    with tempfile.TemporaryDirectory() as scratch:
        for command in ways_to_pip(environment.python, Path(scratch)):
            with contextlib.suppress(CommandFailed):
                environment.run(command, why="Fetching pip")
            if environment.has_pip():
                return
    raise SetupError(
        "Without pip no packages can be installed, and this machine has neither pip nor ensurepip: "
        "install one (Debian and Ubuntu call them python3-pip and python3-venv) and run make again."
    )


def ways_to_pip(python: Path, scratch: Path) -> Iterator[list[str]]:
    """Commands that put pip into the environment of `python`, the usual ones first."""
    pin = (LOCKS / "pip.txt").read_text(encoding="utf-8").split()[-1]
    mine = [sys.executable, "-m", "pip"]
    if succeeds([*mine, "--version"]):
        yield [*mine, "--python", str(python), "install", "--no-compile", pin]
    # Debian splits ensurepip off, so it may be missing, or there and unable to run.
    yield [str(python), "-m", "ensurepip"]
    purelib = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    target = subprocess.run(purelib, capture_output=True, text=True).stdout.strip()
    names = ("python3", "python3.14", "python3.13", "python3.12", "python3.11", "python")
    others = [path for path in map(shutil.which, names) if path]
    for interpreter in dict.fromkeys([sys.executable, *others]):
        pip = [interpreter, "-m", "pip"]
        if succeeds([*pip, "--version"]):
            yield [*pip, "--python", str(python), "install", pin]
            yield [*pip, "install", "--target", target, pin]
    if uv := shutil.which("uv"):
        yield [uv, "pip", "install", "--python", str(python), pin]
    # What ensurepip would unpack lies in a package of its own, which needs no root to be read.
    with contextlib.suppress(OSError):
        fetch = ["apt-get", "download", "python3-pip-whl"]
        subprocess.run(fetch, cwd=scratch, capture_output=True)
        for package in scratch.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, scratch], capture_output=True)
    shipped = Path(sysconfig.get_config_var("WHEEL_PKG_DIR") or "/usr/share/python-wheels")
    for folder in (shipped, scratch / "usr/share/python-wheels"):
        for wheel in folder.glob("pip-*.whl"):
            yield [str(python), f"{wheel}/pip", "install", "--no-index", str(wheel)]


def prepare(environment: Environment, profile: str) -> None:
    """Bring the environment to `profile`, doing only what is not done yet."""
    locks = digest(*(LOCKS / f"{name}.txt" for name in ("pip", "build", "core", "engine")))
    project = built_from()
    tests = digest(LOCKS / "test.txt", LOCKS / "torch.txt")
    stamp = environment.read_stamp()
    stale_tests = stamp.get("tests", tests) != tests
    if stamp.get("locks") != locks or stale_tests:
        stamp = {}
    was = stamp.get("project", project)
    if was != project and worth_keeping(environment, was, project):
        project = was
    if stamp.get("project") == project and (profile == "core" or "torch" in stamp):
        return

    started = time.monotonic()
    if not stamp:
        version = ".".join(map(str, sys.version_info[:3]))
        say(f"set-up: making {environment.folder.name} with Python {version}")
        create(environment)
        say("set-up: installing the pinned dependencies")
        pins = ["-r", str(LOCKS / "build.txt"), "-r", str(LOCKS / "core.txt")]
        environment.pip_install(*pins, why="Installing the dependencies")
        stamp = {"locks": locks}
    environment.forget()
    if stamp.get("project") != project:
        add_spinodal(environment)
        stamp["project"] = project
        environment.write_stamp(stamp)
    if profile == "test":
        add_test_tools(environment, stamp, tests)
    say(f"set-up: done in {time.monotonic() - started:.0f} s")


def add_spinodal(environment: Environment) -> None:
    """The package itself, with its engine where there is a compiler."""
    # Where these wheels do not exist the machine's own programs may do.
    with contextlib.suppress(SetupError):
        pins = str(LOCKS / "engine.txt")
        environment.pip_install("-r", pins, why="Installing the compiler's tools")
    say("set-up: compiling and installing spinodal itself, which takes about a minute")
    # With the build tools already pinned and installed, nothing more need be fetched.
    here = ["--no-build-isolation", "--no-deps", "--editable", str(ROOT)]
    environment.pip_install(*here, why="Installing spinodal")
    if not has_engine(environment):
        advice = "install a C++17 compiler (Debian and Ubuntu call it g++) and run make again."
        if named := chosen_compilers():
            advice = (
                f"the build was told to use {named}: unset that, name one that works, or "
                "install a C++17 compiler (Debian and Ubuntu call it g++), and run make again."
            )
        say(
            "set-up: going on without the compiled engine, so that simulations take much longer; "
            + advice
        )


def add_test_tools(environment: Environment, stamp: dict[str, str], tests: str) -> None:
    """What `make test` needs beyond `make reproduce`; only PyTorch may fail to come."""
    if "tests" not in stamp:
        environment.forget()
        say("set-up: installing the pinned test tools")
        environment.pip_install("-r", str(LOCKS / "test.txt"), why="Installing the test tools")
        stamp["tests"] = tests
        environment.write_stamp(stamp)
    environment.forget()
    say("set-up: installing PyTorch, which only tests need")
    try:
        environment.pip_install("-r", str(LOCKS / "torch.txt"), why="Installing PyTorch")
        stamp["torch"] = tests
    except SetupError as problem:
        # Not every platform has a build of it; the next call tries again.
        say(f"set-up: going on without PyTorch, tests that need it will not run. {problem}")
    environment.write_stamp(stamp)


def stop(signum: int, frame: object) -> None:
    """A request to terminate unwinds the stack, so that the child is stopped too."""
    raise SystemExit(128 + signum)


def main() -> int:
    """Parse, set up, say what went wrong in one sentence."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("profile", choices=("core", "test"))
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    folder = ROOT / ".venv"
    try:
        with exclusive(folder) as lock:
            prepare(Environment(folder, lock), arguments.profile)
    except SetupError as problem:
        say(f"spinodal: {problem}")
        return 1
    except (KeyboardInterrupt, SystemExit) as ending:
        say("spinodal: set-up was interrupted; the next make starts it afresh.")
        return 130 if isinstance(ending, KeyboardInterrupt) else int(ending.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
