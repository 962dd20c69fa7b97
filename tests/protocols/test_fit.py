"""`spinodal fit`: anybody's table of escape times becomes laws compared, or one clear sentence."""

from __future__ import annotations

import gzip
import io
import json
import math
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from spinodal.cli import fit_command
from spinodal.errors import DamagedFileError, InputError
from spinodal.protocols import times_table
from spinodal.protocols.fit import Fit, FitSettings, fit
from spinodal.records import STATUSES

HEADER = "time,status,temperature\n"
ROWS = "1.5,escaped,0.1\n2,censored,0.2\n3,escaped,0.2\n"

TEMPERATURE = np.repeat(np.geomspace(0.01, 0.1, 8), 25)
TIME = np.exp(1 + 0.06 / TEMPERATURE) * np.random.default_rng(0).exponential(size=200)
END = float(np.quantile(TIME, 0.9))


def rows(separator: str = ",") -> str:
    lines = [
        separator.join([repr(min(t, END)), "escaped" if t <= END else "censored", repr(x)])
        for t, x in zip(TIME.tolist(), TEMPERATURE.tolist(), strict=True)
    ]
    return "\n".join(lines) + "\n"


def table(folder: Path, text: str | bytes, name: str = "times.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def document(path: Path, **options: Any) -> dict:
    """What the command prints with --json."""
    said = io.StringIO()
    with redirect_stdout(said):
        fit_command.fit(file=str(path), as_json=True, **options)
    return json.loads(said.getvalue(), parse_constant=lambda name: pytest.fail(name))


def sentence(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as problem:
        fit(path, FitSettings(**options))
    said = str(problem.value)
    assert "\n" not in said
    assert len(said) < 400
    return said


# The document


def test_the_document_has_the_promised_keys_and_the_planted_law(tmp_path):
    found = document(table(tmp_path, HEADER + rows()))
    assert list(found)[:4] == ["laws", "choice", "memoryless", "status_counts"]
    assert found["choice"] == "arrhenius"
    assert [law["name"] for law in found["laws"]] == ["arrhenius", "power", "drift", "lag"]
    for law in found["laws"]:
        assert list(law)[:4] == ["name", "parameters", "log_likelihood", "aicc"]
        for value in law["parameters"].values():
            assert list(value) == ["estimate", "low", "high"]
    assert list(found["memoryless"]) == ["statistic", "p_value", "n"]
    assert found["status_counts"] == {
        "escaped": int((TIME <= END).sum()),
        "censored": int((TIME > END).sum()),
        "diverged": 0,
        "escaped_elsewhere": 0,
    }
    barrier = found["laws"][0]["parameters"]["barrier"]
    assert barrier["low"] < 0.06 < barrier["high"]
    assert len(found["settings"]) == 8


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + HEADER + rows(),
        HEADER.replace(",", ";") + rows(";"),
        HEADER.replace(",", "\t") + rows("\t"),
        "\n" + HEADER + "\n\n" + rows() + ",,\n\n",
        (HEADER + rows()).replace("\n", "\r\n"),
        "Time, Status ,TEMPERATURE\n" + rows().replace("escaped", " Escaped"),
        '"time","status","temperature"\n' + rows().replace("escaped", '"escaped"'),
        "time,escaped,temperature\n"
        + rows().replace("escaped", "True").replace("censored", "False"),
        gzip.compress((HEADER + rows()).encode()),
    ],
    ids=["bom", "semicolons", "tabs", "blank lines", "crlf", "case", "quotes", "escaped", "gzip"],
)
def test_a_table_says_the_same_however_it_is_written(tmp_path, text):
    plain = document(table(tmp_path, HEADER + rows(), "plain.csv"))
    assert document(table(tmp_path, text)) == plain


def test_steps_become_times_by_the_learning_rate(tmp_path):
    steps = np.ceil(TIME / TEMPERATURE)
    by_steps = "\n".join(f"{s:.0f},1,{x!r}" for s, x in zip(steps, TEMPERATURE.tolist(),
                                                            strict=True))  # fmt: skip
    by_time = "\n".join(f"{s * x!r},1,{x!r}" for s, x in zip(steps.tolist(), TEMPERATURE.tolist(),
                                                             strict=True))  # fmt: skip
    head = "time,escaped,learning_rate\n"
    first = document(table(tmp_path, head + by_steps), time_unit="steps")
    second = document(table(tmp_path, head + by_time))
    assert first == second
    third = document(table(tmp_path, head.replace("time", "steps") + by_steps))
    assert third["laws"] == first["laws"]


def test_our_own_table_of_escapes_is_read_as_it_is(tmp_path):
    head = (
        "replica,dataset,seed,learning_rate,batch_size,weight_decay,temperature,from_rank,to_rank,"
        "steps,time,status\n"
    )
    body = "".join(
        f"{i},0,42,{x!r},,0.32,0.0,1,2,{math.ceil(t / x)},{t!r},escaped\n"
        for i, (t, x) in enumerate(zip(TIME.tolist(), TEMPERATURE.tolist(), strict=True))
    )
    found = document(table(tmp_path, head + body))
    assert found["choice"] == "arrhenius"
    assert found["noise"] == "learning_rate"
    assert found["datasets"] == 1


def test_a_second_run_gives_the_same_document(tmp_path):
    body = "".join(f"{line},{i % 5}\n" for i, line in enumerate(rows().splitlines()))
    path = table(tmp_path, HEADER.strip() + ",dataset\n" + body)
    first = document(path)
    assert document(path) == first
    assert "5 data sets" in first["intervals"]


def test_diverged_replicas_are_counted_and_enter_nothing(tmp_path):
    plain = document(table(tmp_path, HEADER + rows(), "plain.csv"))
    more = document(table(tmp_path, HEADER + rows() + "7,diverged,0.1\n" * 30))
    assert more["status_counts"]["diverged"] == 30
    assert more["laws"] == plain["laws"]
    assert any("diverged" in note for note in more["notes"])


def test_pooled_rows_have_the_laws_of_single_ones(tmp_path, monkeypatch):
    path = table(tmp_path, HEADER + rows() * 3)
    single = document(path)
    monkeypatch.setattr(times_table, "PILED", 100)
    pooled = document(path)
    assert any("pooled" in note for note in pooled["notes"])
    assert pooled["status_counts"] == single["status_counts"]
    assert pooled["memoryless"] == single["memoryless"]
    for law, other in zip(pooled["laws"][:3], single["laws"][:3], strict=True):
        for name, value in law["parameters"].items():
            assert value == pytest.approx(other["parameters"][name], rel=1e-9)
        assert law["log_likelihood"] == pytest.approx(other["log_likelihood"], abs=1e-3)


# Honest bounds


def test_without_an_escape_there_are_bounds_and_no_law(tmp_path):
    found = document(table(tmp_path, HEADER + "1,censored,0.1\n2,censored,0.2\n"))
    assert (found["laws"], found["choice"]) == ([], "undecided")
    assert found["memoryless"] == {"statistic": None, "p_value": None, "n": 0}
    assert [row["rate"] for row in found["settings"]] == [0, 0]
    assert found["settings"][1]["high"] == pytest.approx(-math.log(0.05) / 2)
    assert any("Nothing escaped" in note for note in found["notes"])


def test_one_temperature_has_a_rate_and_no_slope(tmp_path):
    found = document(table(tmp_path, HEADER + "1,escaped,0.1\n2,escaped,.1\n3,censored,0.10\n"))
    assert found["choice"] == "undecided"
    assert [law["name"] for law in found["laws"]] == ["drift", "lag"]
    (row,) = found["settings"]
    assert (row["rate"], row["events"], row["exposure"]) == (pytest.approx(1 / 3), 2, 6)
    assert row["low"] < 1 / 3 < row["high"]
    assert any("no slope" in note for note in found["notes"])


def test_a_twin_without_noise_is_in_the_settings_and_in_no_law(tmp_path):
    plain = document(table(tmp_path, HEADER + rows(), "plain.csv"))
    found = document(table(tmp_path, HEADER + rows() + "99,censored,0\n"))
    assert found["laws"] == plain["laws"]
    assert found["settings"][0]["temperature"] == 0
    assert any("without noise" in note for note in found["notes"])


@pytest.mark.parametrize(
    "body",
    ["5,escaped,0.1\n" * 30 + "5,escaped,0.2\n" * 30, "0,escaped,0.3\n" + ROWS,
     "1e-90,escaped,1e-90\n2e90,escaped,1e90\n3,escaped,1\n4,censored,1\n",
     "1,escaped,0.3\n9,censored,0.2\n9,censored,0.1\n" * 9, "1,escaped,0.1\n",
     "1,escaped_elsewhere,0.1\n", "1,diverged,0.1\n"],
)  # fmt: skip
def test_strange_times_give_numbers_or_null(tmp_path, body):
    path = table(tmp_path, HEADER + body)
    assert document(path)["choice"] == "undecided"


def test_a_figure_is_drawn_even_of_nothing(tmp_path):
    path = table(tmp_path, "time,status\n1,diverged\n")
    found = document(path, out=str(tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "fit.json").read_text()) == found
    assert (tmp_path / "out" / "fit.svg").exists()


# Refusals


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("t,status\n1,escaped\n", "no column 'time'"),
        ("time,temperature\n1,0.1\n", "neither a column 'status'"),
        (HEADER + ROWS + "-1,escaped,0.1\n", "line 5: time is '-1'"),
        (HEADER + "\n" + ROWS + "nan,escaped,0.1\n", "line 6: time is 'nan'"),
        (HEADER + ROWS + "inf,escaped,0.1\n", "line 5"),
        (HEADER + ROWS + "1e200,escaped,0.1\n", "line 5: time is '1e200'; it must be 0 or lie "),
        (HEADER + ROWS + "1e-308,escaped,0.1\n", "between 1e-100 and 1e+100"),
        (HEADER + ROWS + "1,escaped,1e-300\n", "must lie between 1e-100 and 1e+100, or be 0"),
        ("steps,escaped,learning_rate\n1e-60,1,1e-60\n", "learning_rate * steps is 1e-120; it"),
        (HEADER + ROWS + ",escaped,0.1\n", "line 5: time is blank"),
        (HEADER + ROWS + "1,done,0.1\n", "line 5: status is 'done'; allowed are escaped"),
        (HEADER + ROWS + "1,escaped,hot\n", "line 5: temperature is 'hot'"),
        (HEADER + ROWS + "1,escaped,-1\n", "line 5"),
        (HEADER + ROWS + "1,escaped,\n", "line 5: temperature is blank"),
        (HEADER + ROWS + "1,escaped\n", "line 5: 2 fields"),
        ((HEADER + ROWS).replace(",", ";") + "1;escaped;0,1\n", "decimal points"),
        (HEADER + "1,5,escaped,0,1\n", "no decimal commas"),
        ("time,time,status\n1,2,escaped\n", "2 columns 'time'"),
        ("time,status,escaped\n1,censored,1\n", "line 2: status is 'censored' but escaped"),
        ("time,status,entry\n1,escaped,2\n", "line 2: entry 2 is after time 1"),
        ("time,status,dataset\n1,escaped,\n", "dataset is blank"),
        ("steps,escaped\n3,1\n", "learning_rate"),
        ("time,escaped,learning_rate\n3,1,0\n", "line 2"),
        (HEADER + "0,escaped,0.1\n0,escaped,0.2\n", "All times"),
        (HEADER + '1,escaped,"0.1\n2,escaped,0.2\n3,escaped,.3\n"', "line breaks are not read"),
        (HEADER + '1,escaped,"0.1\n2",escaped,0.2\n', "line 3: a quoted field that began on an"),
        ('"time\n(s)",status\n1,escaped\n', "line 1: a quoted name does not end on its line"),
        (HEADER, "no rows"),
        ("", "is empty"),
        (" \n\n", "is empty"),
        (HEADER + "1,escaped," + "9" * 200_000, "line 2"),
        (HEADER + "9" * 1_100_000, "line 2: more than 1,000,000 characters"),
        (HEADER + '"1,escaped,0.1\n' * 20_000, "line"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "binary"),
        (b"PK\x03\x04 ", "workbook"),
        ((HEADER + ROWS).encode("utf-16"), "UTF-16"),
    ],
)
def test_what_is_no_table_of_times_is_one_sentence_with_the_line(tmp_path, text, words):
    assert words in sentence(table(tmp_path, text))


def test_a_line_is_found_behind_thousands_of_rows(tmp_path):
    text = HEADER + "1,escaped,0.1\n" * 20_000 + "1,escaped,0.1,9\n"
    assert "line 20002:" in sentence(table(tmp_path, text))


def test_files_that_are_not_there_are_named(tmp_path):
    assert "cannot be read" in sentence(tmp_path / "nothing.csv")
    assert "is a directory" in sentence(tmp_path)


def test_a_cut_gzip_file_is_damaged(tmp_path):
    packed = gzip.compress((HEADER + rows()).encode())
    with pytest.raises(DamagedFileError, match="damaged gzip"):
        fit(table(tmp_path, packed[: len(packed) // 2]), FitSettings())


def test_settings_are_validated():
    for wrong in ({"confidence": 1.0}, {"rotations": -1}, {"time_unit": "epochs"}, {"seed": -1}):
        with pytest.raises(ValidationError):
            FitSettings.model_validate(wrong)


NUMBERS = st.one_of(
    st.floats(0, 1e6).map(repr),
    st.sampled_from(
        ["", "nan", "-1", "1e400", "0,5", "0", "1e-99", "9e99", "1e-308", "x", " 2 ", "1_0"]
    ),
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(NUMBERS, st.sampled_from([*STATUSES, "", "done"]), NUMBERS),
        min_size=0,
        max_size=12,
    )
)
def test_any_table_gives_a_finite_document_or_one_sentence(tmp_path_factory, body):
    path = table(tmp_path_factory.mktemp("any"), HEADER + "\n".join(map(",".join, body)) + "\n")
    said = ""
    try:
        said = json.dumps(fit(path, FitSettings()).as_dict(), allow_nan=False)
    except InputError as problem:
        said = str(problem)
    assert said
    assert "\n" not in said


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read_without_a_traceback(tmp_path_factory, content):
    path = table(tmp_path_factory.mktemp("bytes"), content)
    with pytest.raises((InputError, DamagedFileError)):
        fit(path, FitSettings())


# What is said of the choice


def test_one_more_parameter_that_explains_nothing_leaves_the_simplest_law(tmp_path):
    times = 50 * np.random.default_rng(1).exponential(size=1600)
    rates = np.tile([0.01, 0.02, 0.03, 0.05], 400)
    body = "".join(f"{t!r},1,{x!r}\n" for t, x in zip(times.tolist(), rates.tolist(), strict=True))
    found = document(table(tmp_path, "time,escaped,learning_rate\n" + body))
    assert found["choice"] == "drift"
    assert "simplest law that is not rejected: arrhenius, power and lag, which" in found["reason"]


def test_equal_times_at_two_temperatures_are_said_not_to_depend_on_them(tmp_path):
    body = "5,escaped,0.1\n" * 30 + "5,escaped,0.2\n" * 30
    found = document(table(tmp_path, HEADER + body))
    assert "exponent contain 0" in found["reason"]
    assert any("in proportion to 1 / temperature" in note for note in found["notes"])


def test_data_sets_that_differ_are_no_failure_of_memorylessness(tmp_path):
    """Mixed prefactors have a Weibull shape far below 1; each cell by itself is exponential."""
    noise = np.random.default_rng(2)
    body = "".join(
        f"{prefactor * math.exp(0.3 / heat) * noise.exponential()!r},escaped,{heat},{dataset}\n"
        for dataset, prefactor in enumerate((1, 5, 20))
        for heat in (0.1, 0.15, 0.2, 0.3)
        for _ in range(100)
    )
    path = table(tmp_path, HEADER.strip() + ",dataset\n" + body)
    found = fit(path, FitSettings())
    shape = found.laws[0].shape
    assert shape is not None
    assert shape < 0.8
    (own,) = (note for note in found.notes if note.startswith("Differences between data sets"))
    # The shape of 1200 times has a standard error of 0.78 / sqrt(1200) = 0.023.
    assert float(own.split()[-1].rstrip(".")) == pytest.approx(1, abs=0.1)
    x, y = np.array(found.waiting.x), np.array(found.waiting.y)
    np.testing.assert_allclose(np.interp([0.5, 1, 2], x, y), np.exp([-0.5, -1, -2]), atol=0.04)
    assert "12 pairs of setting and data set" in printed(path)


def test_which_escapes_are_tested_is_said_where_it_is_not_all(tmp_path, monkeypatch):
    path = table(tmp_path, HEADER + rows())
    early = f"{END / 50!r},censored,0.1\n"
    assert not any(note.startswith("The test") for note in document(path)["notes"])
    cut = document(table(tmp_path, HEADER + rows() + early, "cut.csv"))
    assert cut["memoryless"]["n"] < cut["status_counts"]["escaped"]
    assert (
        "The test of memorylessness takes escapes up to the earliest cut-off of their setting."
        in cut["notes"]
    )
    monkeypatch.setattr(times_table, "LARGEST", 150)
    (note,) = (note for note in document(path)["notes"] if note.startswith("The test"))
    assert "150 of 200 replicas, drawn at random" in note


def test_columns_that_are_not_read_are_named(tmp_path):
    found = document(table(tmp_path, "time,escaped,Temp,lr,mood\n1,1,2,3,4\n2,1,2,3,4\n"))
    (note,) = (note for note in found["notes"] if note.startswith("Columns"))
    assert note == (
        "Columns that are not read: 'temp' (did you mean 'temperature'?), "
        "'lr' (did you mean 'learning_rate'?), 'mood'."
    )


# Files and people


def printed(path: Path, **options: Any) -> str:
    said = io.StringIO()
    with redirect_stdout(said):
        fit_command.fit(file=str(path), **options)
    return said.getvalue()


def test_people_read_the_choice_the_laws_and_the_rates(tmp_path):
    said = printed(table(tmp_path, HEADER + rows()))
    assert said.startswith("choice      arrhenius")
    for word in ("memoryless", "barrier", "exponent", "lag", "temperature", "interval"):
        assert word in said


def test_a_probability_that_no_simulation_reached_is_a_bound(tmp_path):
    times = np.random.default_rng(3).normal(50, 1, size=100)
    said = printed(
        table(tmp_path, "time,escaped\n" + "".join(f"{t!r},1\n" for t in times.tolist()))
    )
    assert "p <= 0.001 (" in said
    assert "100 escapes in 1 setting, each" in said


def test_figures_are_written_where_asked_and_again_only_over_our_own(tmp_path):
    path, out = table(tmp_path, HEADER + rows()), tmp_path / "out"
    assert "Written: " in printed(path, out=str(out))
    first = (out / "fit.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert "arrhenius" in (out / "fit.svg").read_text()
    assert "Replaced, an earlier fit was there: " in printed(path, out=str(out))
    assert (out / "fit.png").read_bytes() == first
    (out / "fit.json").write_text('{"mine": 1}')
    with pytest.raises(InputError, match="not written by"):
        printed(path, out=str(out))
    with pytest.raises(InputError, match="names the file"):
        printed(path, out=str(path))


def test_a_wrong_table_writes_nothing(tmp_path):
    with pytest.raises(InputError):
        printed(table(tmp_path, "t\n1\n"), out=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_fitting_needs_neither_simulator_nor_drawing_nor_heavy_modules():
    code = (
        "import sys, spinodal.protocols.fit\n"
        "heavy = ('spinodal.dynamics', 'spinodal.rare', 'matplotlib', 'torch', 'scipy.stats')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_record_holds_the_lines_of_the_figure(tmp_path):
    found: Fit = fit(table(tmp_path, HEADER + rows()), FitSettings())
    curves = {curve.name: curve for curve in found.curves}
    line = curves["arrhenius"]
    barrier = found.laws[0].parameters["barrier"].estimate
    assert barrier is not None
    steepness = np.diff(np.log(line.y)) / np.diff(line.x)
    np.testing.assert_allclose(steepness, barrier, rtol=1e-6)
    assert found.waiting.y[0] == 1
    assert np.all(np.diff(found.waiting.y) <= 0)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ([("diverged", 1, 0.1), ("diverged", 2, 0.2)], "all diverged"),
        ([("diverged", 1, 0.1), ("escaped", 2, 0.2)], "replicas were at risk have one temp"),
        ([("escaped", 0, 0.1), ("escaped", 2, 0.2)], "replicas were at risk have one temp"),
        ([("escaped", 1, 0.0), ("escaped", 2, 0.2)], "settings with noise"),
        ([("escaped", 1, 0.0), ("censored", 2, 0.2)], "escapes were at temperature 0"),
        ([("escaped", 1, 0.0)], "All temperatures are 0"),
        ([("escaped", 1, 0.1)], "All replicas that did not diverge have one temperature"),
        ([("censored", 1, 0.1), ("censored", 1, 0.2)], "Nothing escaped, so"),
        (
            [("escaped", 1, 1e-90), ("escaped", 1, 0.1), ("escaped", 1, 1e90)],
            "do not decide between arrhenius and power",
        ),
    ],
)
def test_why_no_law_is_preferred_is_said_as_it_is(
    tmp_path: Path, body: list[tuple[str, float, float]], reason: str
):
    lines = [
        f"{time * (1 + 0.1 * number)},{status},{heat}"
        for status, time, heat in body
        for number in range(20)
    ]
    found = document(table(tmp_path, HEADER + "\n".join(lines) + "\n"))
    assert found["choice"] == "undecided"
    assert reason in found["reason"]
    said = " ".join([found["reason"], *found["notes"]])
    if len({heat for _, _, heat in body}) > 1:
        assert "All replicas" not in said
        assert "All escapes are at one" not in said


def test_a_narrow_terminal_shortens_no_number(tmp_path, monkeypatch):
    path = table(tmp_path, HEADER + rows())
    monkeypatch.setenv("COLUMNS", "200")
    wide = printed(path)
    monkeypatch.setenv("COLUMNS", "40")
    narrow = printed(path)
    assert "\N{HORIZONTAL ELLIPSIS}" not in narrow
    assert narrow.split() == wide.split()
