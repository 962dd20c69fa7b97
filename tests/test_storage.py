"""A run directory loses nothing: not to kills, not to full disks, not to other runs."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import spinodal
from spinodal.errors import DamagedFileError, InputError
from spinodal.storage import MANIFEST, RunDirectory
from spinodal.storage.files import explained, sha256

RUN = {"kind": "test", "digest": "0123456789ab", "seed": 7, "about": {"effort": "quick"}}


def run_directory(path: Path, **changes) -> RunDirectory:
    return RunDirectory(path, **(RUN | changes))


def tree(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    with run_directory(tmp_path / "run") as run:
        run.write_record("a.json", b'{"value": 1}', about={"seconds": 1.5})
        run.write_record("b.json", bytes(range(256)) * 8)
    return tmp_path / "run"


def test_what_was_written_is_read_back_in_a_later_session(stored):
    with run_directory(stored) as run:
        assert run.names() == ["a.json", "b.json"]
        assert run.read_record("a.json") == b'{"value": 1}'
        assert run.about("a.json") == {"seconds": 1.5}
        assert run.about("missing.json") == {}
        run.write_record("a.json", b"newer")
        assert run.read_record("a.json") == b"newer"


def test_an_existing_empty_directory_becomes_a_run(tmp_path):
    with run_directory(tmp_path) as run:
        run.write_output("data/table.csv", b"a,b\n")
    assert (tmp_path / "data/table.csv").read_bytes() == b"a,b\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 8}, "seed 7, you asked for seed 8"),
        ({"kind": "other"}, "kind test, you asked for kind other"),
        ({"about": {"effort": "paper"}}, "effort quick, you asked for effort paper"),
        ({"digest": "ba9876543210"}, "settings digest"),
    ],
)
def test_the_directory_of_another_run_is_refused_and_left_as_it_was(stored, change, words):
    before = tree(stored)
    with pytest.raises(InputError, match=words), run_directory(stored, **change):
        pass
    assert tree(stored) == before


def test_a_directory_with_other_files_is_refused_and_left_as_it_was(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.tex"), run_directory(tmp_path):
        pass
    assert tree(tmp_path) == {"thesis.tex": b"years of work"}


def test_a_file_of_the_same_name_that_is_not_ours_is_not_overwritten(stored):
    (stored / "records/mine.json").write_text("mine")
    with run_directory(stored) as run, pytest.raises(InputError, match="not written by this run"):
        run.write_record("mine.json", b"other")
    assert (stored / "records/mine.json").read_text() == "mine"


def test_a_record_can_be_removed_and_written_anew(stored):
    with run_directory(stored) as run:
        run.remove_record("a.json")
        run.remove_record("never.json")
        assert run.names() == ["b.json"]
    assert not (stored / "records/a.json").exists()
    with run_directory(stored) as run:
        assert run.missing() == []
        run.write_record("a.json", b"anew")
        assert run.read_record("a.json") == b"anew"


def test_a_long_output_is_written_in_pieces_or_not_at_all(tmp_path):
    def pieces(fail: bool):
        yield b"one,"
        if fail:
            raise KeyboardInterrupt
        yield b"two"

    with run_directory(tmp_path) as run:
        run.write_output("table.csv", pieces(False))
        with pytest.raises(KeyboardInterrupt):
            run.write_output("table.csv", pieces(True))
    assert (tmp_path / "table.csv").read_bytes() == b"one,two"
    assert not list(tmp_path.rglob("*.spinodal-tmp"))


@pytest.mark.parametrize("name", ["../a.json", "/etc/a.json", "a/b.json", "", ".json", "a"])
def test_a_record_name_cannot_leave_the_directory(tmp_path, name):
    with run_directory(tmp_path) as run, pytest.raises(InputError, match="plain file name"):
        run.write_record(name, b"")


def test_every_flipped_bit_of_a_record_is_found_and_the_file_named(stored):
    path, draw = stored / "records/b.json", random.Random(1)
    good = path.read_bytes()
    with run_directory(stored) as run:
        for _ in range(200):
            bad = bytearray(good)
            bad[draw.randrange(len(bad))] ^= 1 << draw.randrange(8)
            path.write_bytes(bad)
            with pytest.raises(DamagedFileError, match=r"b\.json"):
                run.read_record("b.json")


def test_every_truncated_or_lengthened_record_is_found(stored):
    path = stored / "records/b.json"
    good = path.read_bytes()
    with run_directory(stored) as run:
        for bad in [good[:size] for size in range(0, len(good), 37)] + [good + b"\0"]:
            path.write_bytes(bad)
            with pytest.raises(DamagedFileError, match=r"b\.json"):
                run.read_record("b.json")


def test_deleting_a_damaged_record_costs_that_record_alone(stored):
    path = stored / "records/b.json"
    path.write_bytes(b"damaged")
    with run_directory(stored) as run, pytest.raises(DamagedFileError, match="delete this file"):
        run.verify()
    path.unlink()
    with run_directory(stored) as run:
        run.verify()
        assert (run.names(), run.missing()) == (["a.json"], ["b.json"])
        assert run.about("b.json") == {}
        with pytest.raises(InputError, match=r"holds no record b\.json"):
            run.read_record("b.json")
        run.write_record("b.json", b"anew")
    with run_directory(stored) as run:
        assert (run.names(), run.missing()) == (["a.json", "b.json"], [])
        assert run.read_record("b.json") == b"anew"


def test_something_else_in_the_place_of_a_record_or_the_manifest_is_named(stored):
    (stored / "records/b.json").unlink()
    (stored / "records/b.json").mkdir()
    with run_directory(stored) as run, pytest.raises(DamagedFileError, match=r"b\.json"):
        run.verify()
    (stored / MANIFEST).unlink()
    (stored / MANIFEST).mkdir()
    with pytest.raises(InputError, match="choose another directory"), run_directory(stored):
        pass


@pytest.mark.parametrize(
    ("number", "advice", "wrong"),
    [
        (errno.ENOSPC, "free some space", "permission"),
        (errno.EFBIG, "free some space", "permission"),
        (errno.EDQUOT, "free some space", "permission"),
        (errno.EACCES, "permission", "space"),
        (errno.EPERM, "permission", "space"),
        (errno.EROFS, "choose another directory", "space"),
        (errno.ENOENT, "choose another directory", "permission"),
        (errno.ENOTDIR, "choose another directory", "stored before"),
    ],
)
def test_the_advice_fits_what_the_file_system_says(number, advice, wrong):
    with pytest.raises(InputError, match=advice) as refusal, explained(Path("place")):
        raise OSError(number, os.strerror(number))
    assert wrong not in str(refusal.value)


def test_no_flipped_bit_of_the_manifest_goes_unnoticed(stored):
    path, draw = stored / MANIFEST, random.Random(2)
    good = path.read_bytes()
    meaning, complaints = json.loads(good), []
    for _ in range(300):
        bad = bytearray(good)
        bad[draw.randrange(len(bad))] ^= 1 << draw.randrange(8)
        path.write_bytes(bad)
        try:
            with run_directory(stored) as run:
                assert run.read_record("a.json") == b'{"value": 1}'
            # a changed blank between two words is the only harmless flip
            assert json.loads(bad) == meaning
        except DamagedFileError as problem:
            complaints.append(str(problem))
    assert len(complaints) > 290
    assert all(MANIFEST in complaint for complaint in complaints)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"format": "zarr"}', "[" * 100_000, "\xff\xfe", "1" * 5000]
)
def test_a_foreign_or_cut_manifest_is_named_and_nothing_is_written(stored, text):
    (stored / MANIFEST).write_text(text, encoding="latin-1")
    before = tree(stored)
    with pytest.raises(DamagedFileError, match=MANIFEST), run_directory(stored):
        pass
    assert tree(stored) == before


def test_a_newer_format_says_which_version_reads_it(stored):
    manifest = json.loads((stored / MANIFEST).read_text()) | {"version": 2, "package": "9.9"}
    (stored / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(DamagedFileError, match=r"version 2, newer than 1.*9\.9"):
        run_directory(stored).__enter__()


def test_results_of_another_version_of_the_package_are_not_mixed_in(stored, monkeypatch):
    monkeypatch.setattr(spinodal, "__version__", "99.0")
    with pytest.raises(InputError, match=r"spinodal version .*99\.0"), run_directory(stored):
        pass


@pytest.mark.parametrize("below", ["file/run", "file"])
def test_a_path_that_cannot_be_a_directory_is_refused_in_one_sentence(tmp_path, below):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(InputError, match="directory"), run_directory(tmp_path / below):
        pass
    assert tree(tmp_path) == {"file": b"kept"}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system without room")
def test_an_unwritable_place_is_refused_in_one_sentence():
    with pytest.raises(InputError, match="cannot be written"), run_directory(Path("/proc/run")):
        pass


# Other processes


WRITER = """
import sys
from spinodal.storage import RunDirectory
about = {{"effort": "quick"}}
run = RunDirectory({path!r}, kind="test", digest="0123456789ab", seed=7, about=about)
"""


def writer(path: Path, code: str, **options) -> subprocess.Popen[str]:
    script = WRITER.format(path=str(path)) + code
    return subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, **options
    )


def test_a_second_writer_is_refused_and_let_in_after_a_kill(tmp_path):
    code = "with run:\n    print('held', flush=True)\n    sys.stdin.read()\n"
    with writer(tmp_path / "run", code, stdin=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=rf"another process \(pid {first.pid}\)"):
            run_directory(tmp_path / "run").__enter__()
        first.kill()
    with run_directory(tmp_path / "run") as run:
        run.write_record("a.json", b"after")


def test_a_lock_left_by_a_dead_process_or_an_earlier_boot_is_no_obstacle(stored):
    for holder in ('{"pid": 1, "boot": "another", "started": 1}', '{"pid": 999999999}', "junk"):
        (stored / ".lock").write_text(holder)
        with run_directory(stored) as run:
            assert run.names() == ["a.json", "b.json"]


def test_where_the_kernel_has_no_locks_the_process_named_in_the_file_decides(stored, monkeypatch):
    monkeypatch.setattr("spinodal.storage.lock.fcntl", None)
    with run_directory(stored), pytest.raises(InputError, match=f"pid {os.getpid()}"):
        run_directory(stored).__enter__()
    (stored / ".lock").write_text('{"pid": 999999999, "boot": "another"}')
    with run_directory(stored) as run:
        assert run.names()


ENDLESS = """
import itertools
with run:
    for count in itertools.count():
        for name in ("a.json", "b.json", "c.json"):
            text = f"{name} {count} " + "x" * (count * 997 % 20_000)
            run.write_record(name, text.encode(), about={"size": len(text)})
            print(name, count, flush=True)
"""


def test_nothing_acknowledged_is_lost_and_nothing_is_torn_by_kills(tmp_path):
    draw = random.Random(3)
    for _ in range(30):
        with writer(tmp_path / "run", ENDLESS) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(draw.uniform(0, 0.05))
            process.kill()
            said = [line.split() for line in process.stdout.read().splitlines()]
        acknowledged = {
            name: int(count) for name, count in (pair for pair in said if len(pair) == 2)
        }
        with run_directory(tmp_path / "run") as run:
            for name in run.names():
                text = run.read_record(name).decode()
                word, count, body = text.split(" ")
                assert word == name
                assert len(body) == int(count) * 997 % 20_000
                assert int(count) >= acknowledged.get(name, 0)
                assert run.about(name)["size"] == len(text)
        assert not list((tmp_path / "run").rglob("*.spinodal-tmp"))


def test_a_full_disk_is_one_sentence_and_what_was_stored_stays_readable(stored):
    before, draw = tree(stored), random.Random(4)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    complaints = []
    for _ in range(50):
        budget = draw.randrange(0, 6000)
        with run_directory(stored) as run:
            resource.setrlimit(resource.RLIMIT_FSIZE, (budget, limits[1]))
            try:
                run.write_record("a.json", b"z" * 5000)
            except InputError as problem:
                complaints.append(str(problem))
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            assert run.read_record("b.json") == before["records/b.json"]
        with run_directory(stored) as run:
            assert run.read_record("b.json") == before["records/b.json"]
            assert sha256(run.read_record("a.json")) in {
                sha256(before["records/a.json"]),
                sha256(b"z" * 5000),
            }
            run.write_record("a.json", before["records/a.json"])
    assert len(complaints) > 30
    assert all("cannot be written: file too large" in complaint for complaint in complaints)
    assert all("bytes are needed" in complaint for complaint in complaints)
    assert not list(stored.rglob("*.spinodal-tmp"))


def test_a_disk_full_from_the_start_leaves_no_directory_behind(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(InputError, match="cannot be written"):
            run_directory(tmp_path / "new/run").__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "new").exists()


def test_the_entry_of_a_snapshot_whose_file_is_gone_is_forgotten(tmp_path: Path):
    from spinodal.dynamics.snapshots import Store

    about = {"kind": "test", "digest": "0" * 12, "seed": 1}
    with RunDirectory(tmp_path / "run", **about) as run:
        Store(run).write_state(range(3), {"weights": np.zeros(3)})
    (tmp_path / "run" / "records" / "state-000000000-000000003.npz").unlink()
    with RunDirectory(tmp_path / "run", **about) as run:
        assert run.missing()
        Store(run)
        assert not run.missing()
