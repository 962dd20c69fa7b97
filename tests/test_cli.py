"""The command line: one document or one sentence, and nothing lost."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report import placeholders

from spinodal.cli import main
from spinodal.cli.atlas_table import _MEANING, _cell
from spinodal.report.progress import Lines

TESTS = Path(__file__).parent
ATLAS = ["atlas", "--depth", "3", "--width", "10", "--weight-decay", "0.32"]
NETWORK = [*ATLAS, "--signals", "0.9", "0.8"]


@pytest.fixture
def placed():
    with placeholders.installed() as calls:
        yield calls


def refused(capsys: pytest.CaptureFixture[str], *tokens: str, status: int = 2) -> str:
    """The one sentence with which a command line is refused."""
    assert main(tokens) == status
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("spinodal: ")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    return said.err


def document(capsys: pytest.CaptureFixture[str], *tokens: str) -> dict:
    assert main(tokens) == 0
    return json.loads(capsys.readouterr().out)


# The atlas


def test_the_atlas_holds_the_exact_landscape_of_the_paper(capsys):
    found = document(capsys, *NETWORK, "--json")
    assert list(found) == ["convention", "modes", "phases"]
    strong, weak = found["modes"]
    assert (
        list(weak)
        == (
            "signal spinodal coexistence trivial saddle learned barrier_out barrier_back gap "
            "thermal_spinodal"
        ).split()
    )
    exact = {
        "spinodal": 0.3508821285855439,
        "coexistence": 0.2947225198912309,
        "trivial": 0.0,
        "saddle": 0.09254518033414291,
        "learned": 0.3427428399819870,
        "barrier_out": 0.02845346173057813,
        "barrier_back": 0.008828980096701275,
        "gap": 0.01962448163387686,
    }
    for key, value in exact.items():
        assert weak[key] == pytest.approx(value, rel=1e-12), key
    assert strong["signal"] == 0.9
    assert strong["gap"] == pytest.approx(-0.02262584978496125, rel=1e-12)


def test_rank_one_is_the_global_minimum_at_the_papers_weight_decay(capsys):
    phases = document(capsys, *NETWORK, "--json")["phases"]
    assert [phase["rank"] for phase in phases] == [0, 1, 2]
    assert [phase["local_minimum"] for phase in phases] == [True, True, True]
    assert [phase["global_minimum"] for phase in phases] == [False, True, False]
    # half the output variance where nothing is learned
    assert phases[0]["loss"] == 1.0
    assert phases[1]["loss"] == pytest.approx(1 - 0.02262584978496125, rel=1e-12)


def test_signals_may_come_in_any_order_by_commas_or_blanks_and_are_sorted(capsys):
    ways = [["0.8", "0.9"], ["0.9,0.8"], ["0.8,", "0.9"], ["0.9 0.8"]]
    tables = [document(capsys, *ATLAS, "--json", "--signals", *way) for way in ways]
    assert all(table == document(capsys, *NETWORK, "--json") for table in tables)
    assert "strongest signal first" in tables[0]["convention"]


def test_what_does_not_exist_is_null(capsys):
    weak = document(capsys, *ATLAS, "--json", "--signals", "0.9", "0.5")["modes"][1]
    assert weak["trivial"] == 0
    missing = [key for key, value in weak.items() if value is None]
    assert missing == "saddle learned barrier_out barrier_back gap thermal_spinodal".split()
    last = document(capsys, *ATLAS, "--json", "--signals", "0.9", "0.5")["phases"][2]
    assert last == {"rank": 2, "loss": None, "local_minimum": False, "global_minimum": False}


def test_a_temperature_adds_three_numbers_that_vanish_above_the_thermal_spinodal(capsys):
    at = ["atlas", "--depth", "3", "--width", "10", "--weight-decay", "0.2", "--json"]
    warm = document(capsys, *at, "--signals", "0.9", "0.8", "--temperature", "3e-4")["modes"]
    added = ["free_energy_barrier_out", "free_energy_barrier_back", "first_passage_time_out"]
    assert list(warm[0])[-3:] == added
    assert [warm[0][key] for key in added] == [None, None, None]
    assert warm[0]["thermal_spinodal"] == pytest.approx(2.4566678611504e-4, rel=1e-10)
    assert warm[1]["thermal_spinodal"] == pytest.approx(3.5138799210908e-4, rel=1e-10)
    assert 0 < warm[1]["free_energy_barrier_out"] < warm[1]["barrier_out"]
    assert warm[1]["first_passage_time_out"] > 100


@settings(max_examples=60, deadline=None)
@given(
    depth=st.integers(1, 60),
    width=st.integers(1, 40),
    signals=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=4),
    weight_decay=st.floats(0, 1e6),
)
def test_the_atlas_is_json_without_nan_wherever_it_is_asked(depth, width, signals, weight_decay):
    from spinodal.protocols.atlas import AtlasSettings, atlas

    found = atlas(
        AtlasSettings(depth=depth, width=width, signals=tuple(signals), weight_decay=weight_decay)
    )
    text = json.dumps(found.as_dict(), allow_nan=False)
    phases = json.loads(text)["phases"]
    assert len(phases) == len(signals) + 1
    existing = [phase["loss"] for phase in phases if phase["loss"] is not None]
    lowest = min(range(len(existing)), key=existing.__getitem__)
    assert math.isfinite(existing[lowest])


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_the_table_for_people_fits_the_terminal_and_cuts_no_number(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    assert main([*NETWORK[:-2], "0.9", "0.8", "0.7", "0.6"]) == 0
    table = capsys.readouterr().out
    assert max(len(line) for line in table.splitlines()) <= int(columns)
    assert "…" not in table
    assert "0.0925452" in table
    assert _cell(0.09254518033414291) == "0.0925452"


def told(capsys: pytest.CaptureFixture[str], *tokens: str) -> tuple[dict[str, list[str]], str]:
    """The words in each row of the table, and everything printed."""
    assert main(tokens) == 0
    text = capsys.readouterr().out
    rows = [line.split("  ") for line in text.splitlines() if "  " in line]
    return {row[0]: [word.strip() for word in row[1:] if word.strip()] for row in rows}, text


@pytest.mark.parametrize(
    ("change", "row", "words"),
    [
        (["--width", "10", "--weight-decay", "0.5"], "saddle", ["none"]),
        (["--width", "10", "--weight-decay", "0.5"], "thermal spinodal", ["none"]),
        (["--width", "10", "--weight-decay", "0.2"], "first passage time out", ["drift"]),
        (["--width", "1", "--weight-decay", "0.2"], "thermal spinodal", ["infinite"]),
        (
            ["--width", "10", "--weight-decay", "0.2", "--temperature", "1e-9"],
            "first passage time out",
            ["> 1e300"],
        ),
        (
            ["--width", "1", "--weight-decay", "0.2", "--signals", "0.9", "0.8"],
            "free energy barrier out",
            ["0.00500081", "no room"],
        ),
    ],
)
def test_the_table_says_why_a_number_is_missing(capsys, monkeypatch, change, row, words):
    monkeypatch.setenv("COLUMNS", "100")
    given_ = {"--signals": ["0.9"], "--temperature": ["3e-4"]}
    tokens = [
        word
        for option, values in given_.items()
        if option not in change
        for word in (option, *values)
    ]
    table, text = told(capsys, "atlas", "--depth", "3", *tokens, *change)
    assert table[row] == words
    assert f"{words[-1]}: {_MEANING[words[-1]]}." in text.replace("\n", " ")
    assert "-" not in table[row]


def test_the_notes_below_the_table_say_what_the_network_is_taken_to_be(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    _, text = told(capsys, *ATLAS, "--signals", "1.5", "0.8")
    assert "Each column counts the stronger signals as learned." in text
    assert "A signal above 1 cannot occur in data with outputs of unit variance" in text
    _, text = told(capsys, *ATLAS, "--signals", "0.8")
    assert "stronger signals" not in text
    assert "cannot occur" not in text


@pytest.mark.parametrize("temperature", ["1e-100", "1e-220", "1e-300"])
def test_at_vanishing_temperature_the_barriers_are_those_of_the_loss(capsys, temperature):
    (mode,) = document(capsys, *ATLAS, "--signals", "0.8", "--temperature", temperature, "--json")[
        "modes"
    ]
    assert mode["free_energy_barrier_out"] == pytest.approx(mode["barrier_out"], rel=1e-12)
    assert mode["free_energy_barrier_back"] == pytest.approx(mode["barrier_back"], rel=1e-12)
    assert mode["first_passage_time_out"] is None


# Bad input


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--depth", "0"], "--depth must be at least 1, got '0'"),
        (["--depth", "-3"], "--depth must be at least 1, got '-3'"),
        (["--depth", "3.5"], "--depth must be a whole number, got '3.5'"),
        (["--depth", "nan"], "--depth must be a whole number, got 'nan'"),
        (["--depth", "9" * 5000], "--depth must be a whole number of fewer digits"),
        (["--depth", "10000"], "--depth must be at most 1000"),
        (["--width", "0"], "--width must be at least 1"),
        (["--width", ""], "--width must be a whole number"),
        (["--weight-decay", "-0.1"], "--weight-decay must be at least 0, got '-0.1'"),
        (["--weight-decay", "nan"], "--weight-decay must be a finite number"),
        (["--weight-decay", "1e999"], "--weight-decay must be a finite number"),
        (["--weight-decay", "lots"], "--weight-decay must be a number, got 'lots'"),
        (["--signals", "0.9", "nan"], "--signals (value 2) must be a finite number"),
        (["--signals", "-0.9"], "--signals (value 1) must be greater than 0"),
        (["--signals", "0"], "--signals (value 1) must be greater than 0"),
        (["--signals", "1e300"], "--signals (value 1) must be at most 1e+100"),
        (["--signals", ","], "--signals needs at least 1 value"),
        (["--signals", *["1"] * 101], "--signals takes at most 100 values"),
        (["--temperature", "0"], "--temperature must be greater than 0"),
        (["--temperature", "-inf"], "--temperature must be a finite number"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(capsys, change, words):
    given_ = dict(zip(NETWORK[1:7:2], NETWORK[2:8:2], strict=True)) | {"--signals": "0.9"}
    given_.pop(change[0], None)
    tokens = ["atlas", *(word for pair in given_.items() for word in pair), *change]
    assert words in refused(capsys, *tokens)


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["atals"], "did you mean 'atlas'?"),
        (["--depth", "3"], "no command '--depth'"),
        (["atlas", "--depht", "3"], "did you mean '--depth'?"),
        (["atlas", "--weightdecay=1"], "did you mean '--weight-decay'?"),
        (["reproduce", "--ony", "fig2a"], "did you mean '--only'?"),
        (["reproduce", "--no-json"], "did you mean '--json'?"),
        (["reproduce", "-x"], "no option '-x'"),
        (["reproduce", "fig2a"], "'fig2a' belongs to no option"),
        (["reproduce", "--only", "fig5"], "did you mean 'fig4'?"),
        (["reproduce", "--only", "audti"], "did you mean 'audit'?"),
        (["reproduce", "--only", ""], "at least one section"),
        (["reproduce", "--effort", "quik"], "did you mean 'quick'?"),
        (["reproduce", "--seed", "-1"], "--seed must be at least 0"),
        (["reproduce", "--seed", "1e3"], "--seed must be a whole number"),
        (["reproduce", "--seed", str(2**63)], "--seed must be less than"),
        (["reproduce", "--seed", "1", "--seed", "2"], "--seed was given more than once"),
        (["reproduce", "--threads", "0"], "--threads must be at least 1"),
        (["reproduce", "--threads"], "--threads needs a value"),
        (["reproduce", "--json=maybe"], "--json is a switch and takes no value"),
        (["atlas", "-depth", "3"], "did you mean '--depth'?"),
        ([*ATLAS, "--signals"], "--signals needs at least 1 value."),
        (["reproduce", "--out", ""], "--out needs the name of a directory"),
        ([*ATLAS], "--signals is required and missing"),
    ],
)
def test_wrong_words_are_refused_with_the_nearest_right_one(
    capsys, tmp_path, monkeypatch, tokens, words
):
    monkeypatch.chdir(tmp_path)
    assert words in refused(capsys, *tokens)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(max_size=12) | st.sampled_from(NETWORK), max_size=9))
def test_no_words_whatsoever_make_the_atlas_show_a_traceback(words):
    assert main(["atlas", *words]) in (0, 2)


# Files


def test_reproduce_prints_one_document_and_says_its_progress_elsewhere(capsys, tmp_path, placed):
    out = tmp_path / "a directory"
    tokens = ("reproduce", "--only", "audit,fig3", "--out", str(out), "--json", "--threads", "1")
    assert main(tokens) == 0
    said = capsys.readouterr()
    summary = json.loads(said.out)
    assert summary["report"] == str(out / "report.html")
    assert [section["id"] for section in summary["sections"]] == ["fig3", "fig4", "audit"]
    assert not any(section["reused"] for section in summary["sections"])
    assert sum(summary["audit"].values()) == 46
    assert "audit.json" in summary["files"]
    assert "fig3 (1 of 3)" in said.err
    assert f"--out '{out}'" in (out / "report.html").read_text().replace("&#39;", "'")


def test_without_json_reproduce_tells_the_answers_and_where_the_page_is(capsys, tmp_path, placed):
    assert main(["reproduce", "--only", "fig3 fig4", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "fig3   It does: cos decays by e^-x/4" in said
    assert f"The report is {tmp_path / 'report.html'}" in said


def test_another_runs_directory_and_foreign_files_are_left_alone(capsys, tmp_path, placed):
    run = ["reproduce", "--only", "fig3", "--out", str(tmp_path / "run")]
    assert main(run) == 0
    capsys.readouterr()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    assert "holds another run" in refused(capsys, *run, "--seed", "1")
    assert "holds another run" in refused(capsys, *run, "--effort", "paper")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    sentence = refused(capsys, *run[:-1], str(tmp_path / "mine"))
    assert "notes.txt" in sentence
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_corrupt_or_foreign_file_is_named_and_the_status_is_three(capsys, tmp_path, placed):
    run = ["reproduce", "--only", "fig3", "--out", str(tmp_path)]
    assert main(run) == 0
    capsys.readouterr()
    record, manifest = tmp_path / "records/fig3.json", tmp_path / "manifest.json"
    good = record.read_bytes()
    record.write_bytes(good[:-9])
    assert main(run) == 3
    said = capsys.readouterr().err
    assert str(record) in said
    assert "delete this file" in said
    record.unlink()
    assert main(run) == 0
    capsys.readouterr()
    assert record.read_bytes() == good
    manifest.write_text('{"format": "zarr"}')
    assert str(manifest) in refused(capsys, *run, status=3)
    assert manifest.read_text() == '{"format": "zarr"}'
    assert record.read_bytes() == good


def test_an_unwritable_place_is_one_sentence(capsys, tmp_path, placed):
    (tmp_path / "file").write_text("kept")
    tokens = ["reproduce", "--only", "fig3", "--out", str(tmp_path / "file/run")]
    assert "choose another directory" in refused(capsys, *tokens)
    assert (tmp_path / "file").read_text() == "kept"


# Other processes

DRIVER = """
import sys
sys.path.insert(0, {tests!r})
from report import placeholders
placeholders.install(delay={delay})
from spinodal.cli import main
import resource
if {budget}:
    resource.setrlimit(resource.RLIMIT_FSIZE, ({budget}, {budget}))
sys.exit(main(sys.argv[1:]))
"""


def start(*tokens: str, delay: float = 0.0, budget: int = 0) -> subprocess.Popen[str]:
    script = DRIVER.format(tests=str(TESTS), delay=delay, budget=budget)
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", script, *tokens]
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_ends_it_at_once_and_finished_sections_are_kept(tmp_path, number, status):
    run = ["reproduce", "--only", "fig3,fig4", "--threads", "2", "--out", str(tmp_path / "run")]
    with start(*run, delay=1.0) as process:
        while not (tmp_path / "run/records/fig3.json").exists():
            time.sleep(0.02)
            assert process.poll() is None
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == status
    assert out == ""
    assert "the same command again continues" in err
    assert "Traceback" not in err
    with start(*run, "--json") as process:
        out, _ = process.communicate(timeout=60)
    assert [section["reused"] for section in json.loads(out)["sections"]] == [True, False]


POOL = """
import sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from spinodal.cli import main
from spinodal.report import reproduce

def work(**_):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(time.sleep, seconds) for seconds in (0, 0, 600, 600)]
        waiting[0].result()
        print("working", file=sys.stderr, flush=True)
        waiting[3].result()

if __name__ == "__main__":
    reproduce.reproduce = work
    sys.exit(main(["reproduce", "--threads", "2"]))
"""


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_pool_of_processes_ends_in_one_sentence(tmp_path, number, status):
    (tmp_path / "pool.py").write_text(POOL)
    command = [sys.executable, str(tmp_path / "pool.py")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "working\n"
        process.send_signal(number)
        said = process.stderr.read()
    assert process.returncode == status
    assert said.startswith("spinodal: Interrupted; ")
    assert said.count("\n") == 1


def test_a_second_writer_is_refused_while_the_first_goes_on(tmp_path):
    run = ["reproduce", "--only", "fig3", "--out", str(tmp_path / "run")]
    with start(*run, delay=600.0) as first:
        while not (tmp_path / "run/manifest.json").exists():
            time.sleep(0.02)
        with start(*run) as second:
            _, err = second.communicate(timeout=30)
        assert second.returncode == 2
        assert f"another process (pid {first.pid})" in err
        assert first.poll() is None
        first.kill()


@pytest.mark.parametrize("budget", [300, 1000, 5000])
def test_a_full_disk_is_one_sentence_and_what_was_stored_can_be_continued(tmp_path, budget):
    run = ["reproduce", "--only", "fig3", "--out", str(tmp_path / "run"), "--json"]
    with start(*run, budget=budget) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert out == ""
    assert "file too large" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not list(tmp_path.rglob("*.spinodal-tmp"))
    with start(*run) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["sections"][0]["reused"] is (budget > 1000)


def spinodal(*tokens: str, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spinodal.cli", *tokens]
    return subprocess.run(command, text=True, check=False, timeout=60, **options)


@pytest.mark.parametrize("tokens", [[*NETWORK, "--json"], NETWORK, ["--help"], ["--version"]])
def test_a_reader_that_hangs_up_is_no_error(tokens):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        ended = spinodal(*tokens, stdout=pipe, stderr=subprocess.PIPE)
    assert ended.stderr == ""
    assert ended.returncode == 141


@pytest.mark.parametrize("tokens", [[*NETWORK, "--json"], NETWORK, ["--help"]])
def test_a_closed_standard_output_is_one_sentence(tokens):
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "spinodal.cli", *tokens]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.stderr.startswith("spinodal: Standard output is closed; ")
    assert ended.stderr.count("\n") == 1
    assert ended.returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_standard_output_is_one_sentence():
    with open("/dev/full", "w") as full:
        ended = spinodal(*NETWORK, "--json", stdout=full, stderr=subprocess.PIPE)
    assert ended.stderr == "spinodal: The output cannot be written: no space left on device.\n"
    assert ended.returncode == 2


def test_help_may_be_asked_for_by_a_word(capsys):
    for words in (["help"], ["--help"]):
        assert main(words) == 0
    said = capsys.readouterr().out
    assert said[: len(said) // 2] == said[len(said) // 2 :]


def test_help_and_version_load_nothing_heavy():
    script = (
        "import sys; from spinodal.cli import main\n"
        "assert main(['--help']) == main(['--version']) == main(['atlas', '--help']) == 0\n"
        "heavy = ('numpy', 'scipy', 'scipy.stats', 'matplotlib', 'torch', 'pydantic', 'jinja2')\n"
        "print(*(name for name in heavy if name in sys.modules), file=sys.stderr)"
    )
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == ""
    assert "reproduce" in ended.stdout
    assert "--weight-decay" in ended.stdout


# Progress


def test_lines_of_progress_come_rarely_and_name_the_section(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("spinodal.report.progress.time.monotonic", lambda: now[0])
    lines = Lines(every=5.0)
    lines.begin("fig2b", 1, 2)
    for step in range(100):
        now[0] = 0.2 * step
        lines(step / 100, "temperatures")
    lines.end("fig2b", 20.0, reused=False)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "fig2b (1 of 2)"
    assert said[1:-1] == [f"fig2b {done}% temperatures" for done in (25, 50, 75)]
    assert said[-1] == "fig2b done in 20.0 s"
