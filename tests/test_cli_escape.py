"""`spinodal escape` as a process: one document, one sentence, nothing lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from spinodal.cli import main

TESTS = Path(__file__).parent
FILE = """
[task]
signals = [0.9, 0.8]
[network]
width = 4
[update]
learning_rate = 0.05
weight_decay = 0.32
sampling = "population"
temperature = {temperature}
[start]
kind = "balanced"
[event]
threshold = 0.2
[run]
replicas = 12
steps = {steps}
check_every = 20
"""

DRIVER = """
import sys, resource
from spinodal.cli import main
from spinodal.dynamics import ensemble
ensemble.SNAPSHOT_EVERY = 0.1
if {budget}:
    resource.setrlimit(resource.RLIMIT_FSIZE, ({budget}, {budget}))
sys.exit(main(sys.argv[1:]))
"""


def settings_file(tmp_path: Path, steps: int = 200, temperature: float = 1e-5) -> str:
    path = tmp_path / "case.toml"
    path.write_text(FILE.format(steps=steps, temperature=temperature))
    return str(path)


def start(*tokens: str, budget: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", DRIVER.format(budget=budget), "escape", *tokens]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def results(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in ("escapes.csv", "summary.json")}


def refused(capsys: pytest.CaptureFixture[str], *tokens: str, status: int = 2) -> str:
    assert main(["escape", *tokens]) == status
    said = capsys.readouterr()
    assert said.out == ""
    sentence = said.err.splitlines()[-1]
    assert sentence.startswith("spinodal: ")
    assert "Traceback" not in said.err
    return sentence


def test_the_example_is_printed_and_nothing_else(capsys):
    assert main(["escape", "--example"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("# Thermal escape")
    assert said.err == ""


def test_it_prints_one_document_and_says_its_progress_elsewhere(capsys, tmp_path):
    tokens = ["escape", settings_file(tmp_path), "--out", str(tmp_path / "run"), "--json"]
    assert main([*tokens, "--threads", "2", "--shard-size", "5", "--seed", "4"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == json.loads((tmp_path / "run/summary.json").read_text())
    assert "escape done in" in said.err
    assert (tmp_path / "run/escapes.csv").read_text().count("\n") == 13


def test_without_json_it_tells_the_rate_and_where_the_table_is(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["escape", settings_file(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("escape rate < ")
    assert "one-sided" in said
    assert "12 censored" in said
    assert str(Path("case-escapes/escapes.csv")) in said
    assert (tmp_path / "case-escapes/escapes.csv").exists()


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ([], "needs a settings file; `spinodal escape --example"),
        (["nowhere.toml"], "nowhere.toml cannot be read: no such file"),
        (["FILE", "more"], "'more' belongs to no option"),
        (["FILE", "--threads", "0"], "--threads must be at least 1, got '0'"),
        (["FILE", "--shard-size", "x"], "--shard-size must be a whole number"),
        (["FILE", "--seed", "-1"], "--seed must be at least 0"),
        (["FILE", "--sed", "1"], "did you mean '--seed'?"),
        (["FILE", "--out", " "], "--out needs the name of a directory"),
    ],
)
def test_wrong_words_leave_no_trace(capsys, tmp_path, monkeypatch, tokens, words):
    monkeypatch.chdir(tmp_path)
    file = settings_file(tmp_path)
    assert words in refused(capsys, *(file if token == "FILE" else token for token in tokens))
    assert [path.name for path in tmp_path.iterdir()] == ["case.toml"]


def test_wrong_settings_leave_no_trace(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text(FILE.format(steps=200, temperature=0).replace("width", "widht"))
    assert "no key network.widht (did you mean 'width'?)" in refused(capsys, "bad.toml")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.toml"]


def test_another_run_and_damaged_files_are_named(capsys, tmp_path):
    file, out = settings_file(tmp_path), tmp_path / "run"
    run = [file, "--out", str(out)]
    assert main(["escape", *run]) == 0
    capsys.readouterr()
    assert "seed 1, you asked for seed 5" in refused(capsys, *run, "--seed", "5")
    draw = random.Random(1)
    shard = next((out / "records").iterdir())
    for path in (shard, out / "manifest.json"):
        good = path.read_bytes()
        for _ in range(20):
            bad = bytearray(good)
            bad[draw.randrange(len(bad))] ^= 1 << draw.randrange(8)
            path.write_bytes(bad)
            assert str(path) in refused(capsys, *run, status=3)
        path.write_bytes(good)
    assert main(["escape", *run]) == 0


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_ends_it_with_its_state_on_disk(tmp_path, number, status):
    run = [settings_file(tmp_path, steps=10**9), "--out", str(tmp_path / "run"), "--threads", "2"]
    with start(*run) as process:
        while not list(tmp_path.glob("run/records/state-*.npz")):
            time.sleep(0.02)
            assert process.poll() is None
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == status
    assert out == ""
    assert "the same command again continues" in err
    assert "Traceback" not in err
    assert not list(tmp_path.rglob("*.spinodal-tmp"))


def test_a_signal_within_one_endless_look_leaves_fresh_states_of_all_shards(tmp_path):
    """Snapshots come every 20 s and legs take half a second: here every 0.1 s, and one look."""
    file = Path(settings_file(tmp_path, steps=10**9))
    file.write_text(file.read_text().replace("check_every = 20", "check_every = 1000000000"))
    run = [str(file), "--out", str(tmp_path / "run"), "--threads", "2", "--shard-size", "6"]
    with start(*run) as process:
        while len(list(tmp_path.glob("run/records/state-*.npz"))) < 2:
            time.sleep(0.02)
            assert process.poll() is None
        time.sleep(1.0)
        signalled = time.time()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 143
    states = list(tmp_path.glob("run/records/state-*.npz"))
    assert len(states) == 2
    for state in states:
        assert signalled - state.stat().st_mtime < 5.0
        with np.load(state) as arrays:
            assert 0 < arrays["step"] < 10**9


def test_an_interrupted_run_ends_like_an_undisturbed_one(tmp_path):
    file = settings_file(tmp_path, steps=40_000, temperature=3e-3)
    with start(file, "--out", str(tmp_path / "whole"), "--threads", "1") as process:
        process.communicate(timeout=120)
    run = [file, "--out", str(tmp_path / "run"), "--threads", "2", "--shard-size", "4"]
    with start(*run) as process:
        while process.poll() is None and not list(tmp_path.glob("run/records/*.npz")):
            time.sleep(0.01)
        process.kill()
        process.communicate()
    with start(*run) as process:
        process.communicate(timeout=120)
    assert process.returncode == 0
    assert results(tmp_path / "run") == results(tmp_path / "whole")


def test_a_second_writer_is_refused_while_the_first_goes_on(tmp_path):
    run = [settings_file(tmp_path, steps=10**9), "--out", str(tmp_path / "run")]
    with start(*run) as first:
        while not (tmp_path / "run/manifest.json").exists():
            time.sleep(0.02)
        with start(*run) as second:
            _, err = second.communicate(timeout=60)
        assert second.returncode == 2
        assert f"another process (pid {first.pid})" in err
        assert first.poll() is None
        first.kill()


@pytest.mark.parametrize("budget", [300, 1200, 3000, 6000])
def test_a_full_disk_is_one_sentence_and_what_was_stored_can_be_continued(tmp_path, budget):
    run = [settings_file(tmp_path), "--out", str(tmp_path / "run"), "--shard-size", "3"]
    with start(*run, "--json", budget=budget) as process:
        out, err = process.communicate(timeout=60)
    if process.returncode != 0:
        assert process.returncode == 2
        assert out == ""
        assert "file too large" in err.splitlines()[-1]
        assert "Traceback" not in err
    assert not list(tmp_path.rglob("*.spinodal-tmp"))
    with start(*run) as process:
        process.communicate(timeout=60)
    assert process.returncode == 0
    with start(*run[:1], "--out", str(tmp_path / "whole")) as process:
        process.communicate(timeout=60)
    assert results(tmp_path / "run") == results(tmp_path / "whole")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kills_at_random_moments_change_no_byte(request):
    """`pytest --kills 500` kills 500 times."""
    kills = request.config.getoption("--kills")
    command = [sys.executable, str(TESTS / "kills.py"), str(kills)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(ended.stdout)
    assert found["kills"] >= kills
    assert found["failed"] == 0
    assert found["identical"] == found["chains"]


def test_an_interrupted_benchmark_does_not_claim_to_have_stored_anything(monkeypatch):
    from spinodal.cli import bench, interruption

    def interrupted(settings, say):
        raise interruption.Interrupted(signal.SIGINT)

    said = []
    monkeypatch.setattr(bench, "benchmark", interrupted)
    monkeypatch.setattr(os, "write", lambda number, text: said.append(text.decode()))
    monkeypatch.setattr(interruption.multiprocessing, "active_children", list)
    monkeypatch.setattr(os, "dup2", lambda *numbers: None)
    monkeypatch.setattr(os, "_exit", lambda status: said.append(str(status)))
    main(["bench", "--quick"])
    assert "Interrupted; a benchmark stores nothing" in said[0]
    assert said[1] == "130"
