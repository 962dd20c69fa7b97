"""Write `requirements/*.txt` anew: the exact versions that a clean environment gets today.

Every package is installed into a fresh environment from the names in `pyproject.toml`, and what
pip then lists is written down, in layers: the package's dependencies, build tools, what tests
add, what PyTorch adds. Run it with the oldest Python that the project supports.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAYERS = {
    "core": "What the package needs",
    "build": "What building the package adds to core.txt",
    "engine": "What compiling the engine adds to build.txt",
    "test": "What the tests add to core.txt",
    "torch": "What the tests of PyTorch tools add to test.txt",
}


def wanted() -> dict[str, list[str]]:
    """The requirements of each layer as `pyproject.toml` names them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {
        "build": project["build-system"]["requires"],
        "engine": project["dependency-groups"]["engine"],
        "core": project["project"]["dependencies"],
        "test": project["dependency-groups"]["test"],
        "torch": project["dependency-groups"]["torch"],
    }


def main() -> None:
    """Install layer by layer, and write what each layer added."""
    requirements = wanted()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [str(Path(folder) / "bin" / "python"), "-m", "pip"]
        # All of them at once, so that one set of versions suits every layer.
        everything = [name for names in requirements.values() for name in names]
        subprocess.run([*pip, "install", "--quiet", "--upgrade", "pip"], check=True)
        subprocess.run([*pip, "install", "--quiet", *everything], check=True)
        pins = freeze(pip)
        version = subprocess.run([*pip, "--version"], check=True, capture_output=True, text=True)
        write("pip", "What installs everything else", [f"pip=={version.stdout.split()[1]}"])
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", *pins], check=True)
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(pins.values()), encoding="utf-8")
        seen: set[str] = set()
        for layer, title in LAYERS.items():
            arguments = ["--quiet", "--constraint", str(constraints), *requirements[layer]]
            subprocess.run([*pip, "install", *arguments], check=True)
            added = {name: pin for name, pin in freeze(pip).items() if name not in seen}
            seen |= set(added)
            write(layer, title, list(added.values()))


def write(layer: str, title: str, pins: list[str]) -> None:
    """One file of `requirements`."""
    lines = [f"# {title}. Written by tools/lock.py.", *pins]
    target = ROOT / "requirements" / f"{layer}.txt"
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def freeze(pip: list[str]) -> dict[str, str]:
    """Installed packages as `name: name==version`; local build labels such as +cpu are dropped."""
    listing = subprocess.run([*pip, "freeze"], check=True, capture_output=True, text=True).stdout
    pins = [line.partition("+")[0] for line in listing.splitlines() if "==" in line]
    return {pin.partition("==")[0]: pin for pin in pins}


if __name__ == "__main__":
    main()
