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
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
STAMP = "spinodal-setup.json"
MARK = "made-by-spinodal-setup"
LOG = "setup.log"

# Pip settings that would send packages somewhere else than into the environment.
DIVERTING = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONPATH", "PYTHONHOME")

NO_NETWORK = (
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "SSLError",
    "Connection refused",
    "Network is unreachable",
    "Temporary failure in name resolution",
)


class SetupError(Exception):
    """Set-up cannot go on; the message is one sentence with what to do."""


def digest(*files: Path) -> str:
    """The name of the contents of `files`."""
    content = hashlib.sha256()
    for file in files:
        content.update(file.read_bytes())
    return content.hexdigest()[:16]


class Environment:
    """A virtual environment that belongs to this script, and what has been done in it."""

    def __init__(self, folder: Path, lock: int | None) -> None:
        """`lock` is an open file that every child process inherits, see `exclusive`."""
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.lock = lock

    def read_stamp(self) -> dict[str, str]:
        """What has been finished here; empty when unusable, moved, or never finished."""
        try:
            stamp = json.loads((self.folder / STAMP).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        # The scripts of an environment hold its absolute path: a moved one is of no use.
        usable = stamp.get("where") == str(self.folder) and self.works()
        return stamp if usable else {}

    def write_stamp(self, stamp: dict[str, str]) -> None:
        """Note what is finished, in one step: a torn stamp would pass for finished work."""
        text = json.dumps(stamp | {"where": str(self.folder)}, indent=1)
        draft = self.folder / (STAMP + ".new")
        draft.write_text(text + "\n", encoding="utf-8")
        draft.replace(self.folder / STAMP)

    def forget(self) -> None:
        """From here until the next stamp the environment counts as half-made."""
        (self.folder / STAMP).unlink(missing_ok=True)

    def works(self) -> bool:
        """Does its interpreter start?"""
        return succeeds([str(self.python), "-c", ""])

    def clear(self) -> None:
        """Make room: delete what this script left behind, set aside what somebody else made."""
        if self.folder.is_symlink():
            self.folder.unlink()
        elif (self.folder / MARK).exists() or not self.works():
            shutil.rmtree(self.folder, ignore_errors=True)
        if self.folder.exists():
            aside = self.folder.with_name(f"{self.folder.name}-of-{int(time.time())}")
            self.folder.rename(aside)
            say(f"{self.folder.name} was not made by this script: it is now {aside.name}.")

    def run(self, command: list[str], *, why: str) -> None:
        """Run quietly; on failure raise the one sentence that explains it."""
        with open(self.folder / LOG, "ab") as log:
            log.write(f"\n$ {' '.join(command)}\n".encode())
            log.flush()
            begin = log.tell()
            status = self.spawn(command, log.fileno())
        if status != 0:
            output = (self.folder / LOG).read_bytes()[begin:].decode(errors="replace")
            raise SetupError(explain(output, why, self.folder / LOG))

    def spawn(self, command: list[str], log: int) -> int:
        """Start a child that dies with us and holds the lock for as long as it lives."""
        environment = {k: v for k, v in os.environ.items() if k not in DIVERTING}
        environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=ROOT,
            pass_fds=() if self.lock is None else (self.lock,),
        )
        try:
            return child.wait()
        except BaseException:
            child.terminate()
            child.wait()
            raise

    def pip_install(self, *arguments: str, why: str) -> None:
        """Install into the environment; bytecode is left to the first import."""
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--no-compile"]
        self.run([*pip, *arguments], why=why)


def explain(output: str, why: str, log: Path) -> str:
    """One sentence on why a command failed, and what to do."""
    if any(sign in output for sign in NO_NETWORK):
        return (
            f"{why} failed because the package index cannot be reached: connect to the network, "
            "or point PIP_INDEX_URL or PIP_FIND_LINKS to a mirror, and run make again."
        )
    if "No space left on device" in output:
        return f"{why} failed because the disk is full: free some space and run make again."
    errors = [line.strip() for line in output.splitlines() if "error" in line.lower()]
    last = errors[-1] if errors else "no reason given"
    return f"{why} failed ({last}): see {log} for the whole output, and run make again."


def say(line: str) -> None:
    """Progress, on standard error: standard output belongs to the command that follows."""
    print(line, file=sys.stderr, flush=True)


def succeeds(command: list[str]) -> bool:
    """Does a command exist and end well?"""
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    try:
        return subprocess.run(command, stderr=subprocess.DEVNULL, **quiet).returncode == 0
    except OSError:
        return False


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
    venv = [sys.executable, "-m", "venv"]
    if succeeds([sys.executable, "-c", "import ensurepip"]):
        with contextlib.suppress(SetupError):
            environment.run([*venv, str(folder)], why="Making a virtual environment")
    if succeeds([str(environment.python), "-m", "pip", "--version"]):
        return
    environment.run([*venv, "--without-pip", str(folder)], why="Making a virtual environment")
    for command in pip_elsewhere(environment.python):
        with contextlib.suppress(SetupError):
            environment.run(command, why="Fetching pip")
        if succeeds([str(environment.python), "-m", "pip", "--version"]):
            return
    raise SetupError(
        "This Python has neither ensurepip nor pip, so packages cannot be installed: install one "
        "of them (Debian and Ubuntu call them python3-venv and python3-pip) and run make again."
    )


def pip_elsewhere(python: Path) -> Iterator[list[str]]:
    """Ways to put pip into an environment that lacks it, cheapest first."""
    # Distributions that split ensurepip off keep the wheels it would have unpacked here.
    wheels = Path(sysconfig.get_config_var("WHEEL_PKG_DIR") or "/usr/share/python-wheels")
    for wheel in sorted(wheels.glob("pip-*.whl"), reverse=True):
        yield [str(python), f"{wheel}/pip", "install", "--no-index", str(wheel)]
    interpreters = [sys.executable]
    for name in ("python3", "python3.14", "python3.13", "python3.12", "python3.11", "python"):
        interpreters.append(shutil.which(name) or sys.executable)
    target = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
    ).stdout.strip()
    for interpreter in dict.fromkeys(interpreters):
        pip = [interpreter, "-m", "pip"]
        if succeeds([*pip, "--version"]):
            yield [*pip, "--python", str(python), "install", "pip"]
            yield [*pip, "install", "--target", target, "pip"]
    if uv := shutil.which("uv"):
        yield [uv, "pip", "install", "--python", str(python), "pip"]


def prepare(environment: Environment, profile: str) -> None:
    """Bring the environment to `profile`, doing only what is not done yet."""
    locks = digest(LOCKS / "build.txt", LOCKS / "core.txt")
    project = digest(ROOT / "pyproject.toml")
    tests = digest(LOCKS / "test.txt", LOCKS / "torch.txt")
    stamp = environment.read_stamp()
    stale_tests = stamp.get("tests", tests) != tests
    if stamp.get("locks") != locks or stale_tests:
        stamp = {}
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
        say("set-up: installing spinodal itself")
        # With the build tools already pinned and installed, nothing more need be fetched.
        here = ["--no-build-isolation", "--no-deps", "--editable", str(ROOT)]
        environment.pip_install(*here, why="Installing spinodal")
        stamp["project"] = project
        environment.write_stamp(stamp)
    if profile == "test":
        add_test_tools(environment, stamp, tests)
    say(f"set-up: done in {time.monotonic() - started:.0f} s")


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


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[int | None]:
    """Let one set-up at a time work on `folder`.

    Children inherit the locked file, so a pip that outlives a killed set-up keeps the lock and
    cannot write into an environment that the next set-up is making.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield None
        return
    try:
        handle = open(folder.with_name(folder.name + ".lock"), "w", encoding="utf-8")
    except OSError as problem:
        raise SetupError(
            f"{folder.parent} cannot be written to ({problem.strerror}): "
            "run make in a copy of the project that you may write to."
        ) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say(f"set-up: waiting for another set-up of {folder.name} to end")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle.fileno()


def stop(signum: int, frame: object) -> None:
    """A request to terminate unwinds the stack, so that the child is stopped too."""
    raise SystemExit(128 + signum)


def main() -> int:
    """Parse, set up, say what went wrong in one sentence."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("profile", choices=("core", "test"))
    arguments = parser.parse_args()
    if sys.version_info < (3, 11):
        say(f"spinodal needs Python 3.11 or later, this is {sys.version.split()[0]}.")
        return 1
    signal.signal(signal.SIGTERM, stop)
    folder = ROOT / ".venv"
    try:
        with exclusive(folder) as lock:
            prepare(Environment(folder, lock), arguments.profile)
    except SetupError as problem:
        say(f"spinodal: {problem}")
        return 1
    except KeyboardInterrupt:
        say("spinodal: set-up was interrupted; the next make starts it afresh.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
