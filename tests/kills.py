"""Kill a run of escapes again and again, at random moments, and see it end with the same bytes.

    python tests/kills.py 500

Every chain is a new directory, killed up to five times in a row with SIGKILL and then left to
finish. Prints one JSON document. The processes are forked, because starting Python takes longer
than the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from spinodal.protocols.escape import EscapeSettings, escape

PLAIN = {
    "task": {"signals": (0.9, 0.8), "samples": 64},
    "network": {"width": 4},
    "update": {
        "learning_rate": 0.08,
        "weight_decay": 0.2,
        "batch_size": 16,
        "sampling": "replacement",
        "temperature": 2e-4,
    },
    "start": {"kind": "balanced", "strengths": (0.5,)},
    "event": {"mode": 2, "threshold": 0.2, "persistence": 3},
    "run": {
        "replicas": 30, "steps": 1200, "check_every": 4, "datasets": 3, "seed": 7,
        "record_per_decade": 4, "checkpoints": True,
    },
}  # fmt: skip

STOPPED: dict[str, Any] = {
    **PLAIN,
    "run": {"replicas": 30, "steps": 3000, "check_every": 4, "stop_after_events": 12},
}


def run(document: dict[str, Any], out: Path) -> None:
    """The run that is killed: a few shards, two threads, snapshots all the time."""
    settings = EscapeSettings.model_validate(document)
    escape(settings, out=out, workers=2, shard_size=8, snapshot_every=0.01)


def forked(work: Callable[[], None], kill_after: float) -> int:
    """Do some work in a process of its own, and kill it unless it ends before; its status."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            work()
            os._exit(0)
        os._exit(1)
    end = time.monotonic() + kill_after
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def contents(out: Path) -> dict[str, str]:
    """SHA-256 of every file, and of the manifest what it says about files."""
    found = {
        str(file.relative_to(out)): sha256(file.read_bytes()).hexdigest()
        for file in sorted(out.rglob("*"))
        if file.is_file() and file.name not in ("manifest.json", ".lock")
    }
    files = json.loads((out / "manifest.json").read_text())
    return found | {"manifest": repr((sorted(files["files"].items()), files["pending"]))}


def chains(kills: int, seed: int = 1) -> dict[str, Any]:
    """Chains until `kills` have hit; how many ended with the bytes of an undisturbed run."""
    draw, hit, done, same, failed = random.Random(seed), 0, 0, 0, 0
    place = Path(tempfile.mkdtemp(prefix="spinodal-kills-"))
    try:
        whole, length = {}, {}
        for name, document in (("plain", PLAIN), ("stopped", STOPPED)):
            began = time.monotonic()
            assert forked(lambda d=document, n=name: run(d, place / n), 600) == 0
            whole[name], length[name] = contents(place / name), time.monotonic() - began
        while hit < kills:
            name = draw.choice(list(whole))
            document = {"plain": PLAIN, "stopped": STOPPED}[name]
            out = place / f"chain-{done}"
            for _ in range(draw.randint(1, 5)):
                after = draw.uniform(0, length[name])
                status = forked(lambda d=document, o=out: run(d, o), after)
                hit += os.WIFSIGNALED(status)
                failed += os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0
            failed += forked(lambda d=document, o=out: run(d, o), 600) != 0
            done += 1
            same += contents(out) == whole[name]
            shutil.rmtree(out)
    finally:
        shutil.rmtree(place)
    return {"kills": hit, "chains": done, "identical": same, "failed": failed, "seconds": length}


if __name__ == "__main__":
    print(json.dumps(chains(int(sys.argv[1]) if len(sys.argv) > 1 else 500)))
