"""Escapes from a settings file: refused settings, equal bytes, exact counts, plain tables."""

import csv
import hashlib
import io
import json
import math
import re
import tomllib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinodal.cli.escape_example import EXAMPLE
from spinodal.dynamics.files import ArraysTask
from spinodal.errors import DamagedFileError, InputError
from spinodal.protocols.escape import EscapeSettings, escape
from spinodal.protocols.escape_table import ESCAPES, in_force
from spinodal.protocols.settings_file import load, parse
from spinodal.records import EscapeTimes
from spinodal.statistics.bootstrap import rate_across_datasets
from spinodal.statistics.survival import DivergedWarning

FILE = """
[task]
signals = [0.9, 0.8]
samples = 64
[network]
width = 4
[update]
learning_rate = 0.08
weight_decay = 0.2
sampling = "replacement"
batch_size = 16
temperature = 4e-3
[start]
kind = "balanced"
strengths = [0.5]
[event]
mode = 2
threshold = 0.2
[run]
replicas = 20
steps = 600
check_every = 4
datasets = 2
"""


def read(text: str) -> EscapeSettings:
    return parse(text, EscapeSettings, source="escape.toml")


def changed(old: str, new: str, text: str = FILE) -> str:
    assert old in text
    return text.replace(old, new, 1)


def files(out) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def rows(out, name: str = "escapes.csv") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((out / name).read_text())))


# Settings


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no settings; it needs the sections [task], [network]"),
        ("[task", "no valid TOML"),
        ("\0", "no valid TOML"),
        ("a = " + "[" * 5000, "nested too deeply"),
        (changed("[run]", "[rum]"), "no key rum (did you mean 'run'?)"),
        (changed("width", "widht"), "no key network.widht (did you mean 'width'?)"),
        (changed("replicas = 20", "replicas = '20'"), "run.replicas must be a whole number, got"),
        (changed("replicas = 20", "replicas = true"), "run.replicas must be a whole number, got"),
        (changed("steps = 600", "steps = 1e5"), "run.steps must be a whole number, got 100000.0"),
        (changed("steps = 600", "steps = 0"), "run.steps must be at least 1, got 0"),
        (changed("steps = 600", "steps = " + "9" * 5000), "thousands of digits"),
        (changed("steps = 600", "steps = " + "9" * 50), "run.steps must be at most"),
        (changed("4e-3", "nan"), "update.temperature must be a finite number, got nan"),
        (changed("4e-3", "-inf"), "update.temperature must be"),
        (changed("0.8]", "'x']"), "task.signals[1] must be a number, got 'x'"),
        (changed("[0.9, 0.8]", "0.9"), "task.signals must be a list, got 0.9"),
        (changed("width = 4", "width = 4\nwidth = 5"), "at key network.width"),
        (changed("width = 4", "width = 1000000000000"), "at most 8192 are simulated"),
        (changed("rate = 0.08", "rate = 1e-320"), "use another learning_rate"),
        (changed("rate = 0.08", "rate = 1e300"), "use another learning_rate"),
        (
            changed("replicas = 20", "replicas = 9000000\ncheckpoints = true"),
            "checkpoints of 9,000,000 replicas would have",
        ),
        (changed("[network]", "[network]\ndepth = 1000000000"), "in [network]: at most"),
        (changed("samples = 64", "samples = 64\ninputs = 99999"), "inputs must be at most 4096"),
        (changed("0.2\n[run]", "'midpont'\n[run]"), "event[0].threshold must be a number or"),
        (changed("mode = 2", "mode = 3"), "There are 2 strengths"),
        (changed("[task]", "[task]\nkind = 'gausian'"), "task.kind must be 'gaussian', "),
        (changed("[task]", "[task]\nkind = 'arrays'\npath = 'a'"), "a cannot be read"),
        (changed("[run]", "[run]\nseed = 1979-05-27"), "run.seed must be a whole number"),
        (changed("[run]", "[run]\nstop_after_events = 21"), "at least as many replicas"),
        (changed("[run]", "[run]\nrecord_every = 6"), "multiple of check_every = 4"),
        (changed("[network]", "[[network]]"), "network must be a table"),
        (changed('"replacement"', '"replacment"'), "did you mean 'replacement'?"),
        ("event = 3\n" + changed("[event]\nmode = 2\nthreshold = 0.2\n", ""), "must be a list"),
        (changed("[update]", '[update]\nloss = "cross_entropy"'), "Cross-entropy needs classes"),
        (changed('"replacement"', '"wishart"'), "sampling"),
        (changed('"replacement"', '"population"\ngaussian = "lokal"'), "did you mean 'local'?"),
        (
            changed("[start]", "[[update.schedule]]\nat = 5\ntemperatur = 1\n[start]"),
            "no key update.schedule[0].temperatur (did you mean 'temperature'?)",
        ),
    ],
)  # fmt: skip
def test_wrong_settings_are_one_sentence_that_names_the_key(text, words):
    with pytest.raises(InputError) as refused:
        read(text)
    assert words in str(refused.value)
    assert str(refused.value).startswith("escape.toml")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1200


LEAVES = [
    (section, key)
    for section, table in tomllib.loads(FILE).items()
    for key in table
    if isinstance(table, dict)
]
NUMBERS = ("learning_rate", "weight_decay", "temperature")
WRONG = st.one_of(
    st.text(max_size=20),
    st.booleans(),
    st.floats(max_value=-1e-3),
    st.just(float("nan")),
    st.just(float("inf")),
    st.integers(max_value=-1),
    st.integers(min_value=10**20),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
    st.lists(st.text(max_size=3), min_size=1, max_size=3),
)


def toml(value: object) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items())
        return "{" + inner + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value).replace("\x7f", "\\u007f")


def document(tables: dict) -> str:
    return "".join(
        f"[{name}]\n" + "".join(f"{json.dumps(k)} = {toml(v)}\n" for k, v in table.items())
        for name, table in tables.items()
    )


@settings(max_examples=300)
@given(st.sampled_from(LEAVES), WRONG)
def test_no_wrong_value_passes_and_its_key_is_named(leaf, value):
    section, key = leaf
    if (key, type(value)) in {("kind", str), ("sampling", str)} or leaf == ("event", "threshold"):
        return  # some texts are right there, and so is every finite number
    tables = tomllib.loads(FILE)
    tables[section][key] = value
    if key in NUMBERS and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return
    with pytest.raises(InputError) as refused:
        read(document(tables))
    assert key in str(refused.value)
    assert "\n" not in str(refused.value)


@settings(max_examples=300)
@given(
    st.sampled_from([None, *tomllib.loads(FILE)]),
    st.text(min_size=1, max_size=12).filter(
        lambda name: "\ud800" > max(name) or max(name) > "\udfff"
    ),
)
def test_no_unknown_key_passes(section, name):
    known = EscapeSettings.model_fields if section is None else {}
    tables = tomllib.loads(FILE)
    if section is None:
        if name in known:
            return
        tables[name] = {}
        text = "".join(
            f"[{json.dumps(table)}]\n" + "".join(f"{key} = {toml(v)}\n" for key, v in rows.items())
            for table, rows in tables.items()
        )
    else:
        model = EscapeSettings.model_fields[section].annotation
        own = getattr(model, "model_fields", None)
        if name in tables[section] or own is None or name in own:
            return
        tables[section][name] = 1
        text = document(tables)
    with pytest.raises(InputError):
        read(text)


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_no_bytes_whatsoever_make_a_traceback(tmp_path_factory, raw):
    path = tmp_path_factory.getbasetemp() / "noise.toml"
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"noise\.toml"):
        load(path, EscapeSettings)


@settings(max_examples=100)
@given(
    rate=st.floats(1e-6, 1),
    decay=st.floats(0, 10),
    temperature=st.floats(0, 1),
    batch=st.integers(1, 64),
    replicas=st.integers(1, 10**6),
    steps=st.integers(4, 10**9),
    seed=st.integers(0, 2**63 - 1),
    activation=st.sampled_from(["identity", "tanh", "relu", "gelu"]),
)
def test_valid_settings_survive_the_round_trip(
    rate, decay, temperature, batch, replicas, steps, seed, activation
):
    tables = tomllib.loads(FILE)
    tables["update"] |= {
        "learning_rate": rate, "weight_decay": decay, "temperature": temperature,
        "batch_size": batch,
    }  # fmt: skip
    tables["network"]["activation"] = activation
    tables["task"]["test_samples"] = 10
    tables["start"] = {"kind": "random"}
    tables["run"] |= {"replicas": replicas, "steps": steps, "seed": seed}
    found = read(document(tables))
    assert found.update.learning_rate == rate
    assert EscapeSettings.model_validate_json(found.model_dump_json()) == found


def test_a_file_that_is_not_there_or_no_text_is_one_sentence(tmp_path):
    (tmp_path / "latin.toml").write_bytes("[task]\nname = 'größe'\n".encode("latin-1"))
    (tmp_path / "large.toml").write_bytes(b"#" * (2**20 + 1))
    for name, words in (
        ("none.toml", "cannot be read"),
        (".", "cannot be read"),
        ("latin.toml", "UTF-8"),
        ("large.toml", "larger than"),
    ):
        with pytest.raises(InputError, match=words):
            load(tmp_path / name, EscapeSettings)


def test_a_byte_order_mark_and_foreign_line_ends_are_no_mistake(tmp_path):
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbf" + FILE.replace("\n", "\r\n").encode())
    assert load(tmp_path / "a.toml", EscapeSettings) == read(FILE)


def test_the_digest_leaves_out_the_seed_and_nothing_else():
    assert read(FILE).digest == read(FILE + "seed = 9\n").digest
    others = [changed("steps = 600", "steps = 604"), changed("0.8]", "0.81]")]
    assert len({read(text).digest for text in [FILE, *others]}) == 3


def test_the_example_is_valid_and_every_key_in_its_comments_exists():
    example = read(EXAMPLE)
    assert example.event[0].mode == 2
    wide = EXAMPLE.replace("# samples", "samples").replace("# activation", "activation")
    wide = wide.replace("# biases", "biases").replace("# optimizer", "optimizer")
    wide = re.sub(r"# (\[\[update.schedule|at = |learning_rate)", r"\1", wide)
    wide = wide.replace("sampling", "# sampling").replace("[update]", "[update]\nsampling = 'full'")
    assert read(wide).update.schedule[0].at == 5000


# Runs


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("escape") / "whole"
    return out, escape(read(FILE), out=out)


def test_the_table_has_the_promised_columns_and_one_row_per_replica(whole):
    out, summary = whole
    assert (out / "escapes.csv").read_text().startswith(ESCAPES)
    table = rows(out)
    assert [int(row["replica"]) for row in table] == list(range(20))
    assert [int(row["dataset"]) for row in table] == [i % 2 for i in range(20)]
    for row in table:
        assert float(row["time"]) == 0.08 * int(row["steps"])
        assert (row["from_rank"], row["seed"]) == ("1", "1")
        assert row["to_rank"] == ("2" if row["status"] == "escaped" else "1")
        assert (row["learning_rate"], row["batch_size"]) == ("0.08", "16")
    assert summary.events == sum(row["status"] == "escaped" for row in table) > 5
    assert summary.exposure == pytest.approx(sum(float(row["time"]) for row in table), rel=1e-14)


def test_the_summary_is_what_the_file_says(whole):
    out, summary = whole
    found = json.loads((out / "summary.json").read_text())
    assert found == summary.as_dict()
    assert (
        list(found)
        == (
            "rate low high confidence events exposure replicas status_counts method settings_digest"
        ).split()
    )
    assert found["rate"] == found["events"] / found["exposure"]
    assert found["low"] < found["rate"] < found["high"]
    assert found["method"] == "across_datasets"
    assert found["settings_digest"] == read(FILE).digest


@pytest.mark.parametrize(("workers", "size"), [(1, 7), (2, 1), (2, 20), (3, 6)])
def test_any_partition_writes_the_same_bytes(whole, tmp_path, workers, size):
    escape(read(FILE), out=tmp_path, workers=workers, shard_size=size)
    ours = files(tmp_path)
    del ours["manifest.json"]
    assert ours == {name: data for name, data in files(whole[0]).items() if name in ours}


def test_a_finished_run_is_found_and_another_is_refused(whole):
    out, summary = whole
    before = files(out)
    assert escape(read(FILE), out=out, shard_size=3) == summary
    assert files(out) == before
    with pytest.raises(InputError, match="seed 1, you asked for seed 2"):
        escape(read(FILE), out=out, seed=2)
    with pytest.raises(InputError, match="settings digest"):
        escape(read(changed("4e-3", "5e-3")), out=out)


def test_a_damaged_shard_is_named_and_deleting_it_mends_the_run(tmp_path):
    escape(read(FILE), out=tmp_path, shard_size=5)
    before, shard = files(tmp_path), next((tmp_path / "records").glob("shard-000000005*"))
    raw = bytearray(shard.read_bytes())
    raw[len(raw) // 2] ^= 1
    shard.write_bytes(raw)
    with pytest.raises(DamagedFileError, match=shard.name):
        escape(read(FILE), out=tmp_path, shard_size=5)
    shard.unlink()
    escape(read(FILE), out=tmp_path, shard_size=5)
    after = files(tmp_path)
    del before["manifest.json"], after["manifest.json"]
    assert after == before


def test_stopping_at_events_cuts_all_replicas_at_the_same_moment(tmp_path):
    text = changed("[run]", "[run]\nstop_after_events = 6")
    text = changed("datasets = 2", "datasets = 1", text)
    summaries = [
        escape(read(text), out=tmp_path / str(size), workers=2, shard_size=size)
        for size in (20, 3, 1)
    ]
    assert summaries[0] == summaries[1] == summaries[2]
    assert summaries[0].method == "fixed_events"
    assert summaries[0].events == 6
    table = rows(tmp_path / "3")
    last = max(int(row["steps"]) for row in table if row["status"] == "escaped")
    assert {int(row["steps"]) for row in table if row["status"] == "censored"} == {last}
    # also of those who escape between the cut and the end of the round
    assert all(row["to_rank"] == "1" for row in table if row["status"] == "censored")
    escape(read(changed("datasets = 2", "datasets = 1")), out=tmp_path / "full")
    full = {row["replica"]: row for row in rows(tmp_path / "full")}
    for row in table:
        if row["status"] == "escaped":
            assert row["steps"] == full[row["replica"]]["steps"]


def test_the_stop_at_an_event_is_not_called_exact_where_replicas_share_data_sets(tmp_path):
    summary = escape(read(changed("[run]", "[run]\nstop_after_events = 6")), out=tmp_path)
    table = rows(tmp_path)
    times = EscapeTimes(
        **{name: np.array([int(row[name]) for row in table]) for name in ("replica", "dataset")},
        steps=np.array([int(row["steps"]) for row in table]),
        time=np.array([float(row["time"]) for row in table]),
        status=np.array([row["status"] for row in table]),
    )
    across = rate_across_datasets(times)
    assert (summary.method, summary.events) == ("across_datasets", 6)
    assert (summary.low, summary.high) == (across.low, across.high)
    assert "conditional on the stop after 6 escapes" in summary.note


def test_a_rival_event_is_an_escape_elsewhere_with_its_own_rank(tmp_path):
    text = changed("[event]", "[[event]]") + "[[event]]\nmode = 1\nthreshold = 0.3\n"
    text += 'direction = "below"\n'
    hot = changed("4e-3", "2e-2", text)
    summary = escape(read(hot), out=tmp_path)
    assert summary.status_counts["escaped_elsewhere"] > 0
    assert summary.status_counts["escaped"] > 0
    for row in rows(tmp_path):
        if row["status"] == "escaped":
            assert row["to_rank"] == "2"


def test_a_schedule_counts_time_by_its_learning_rates(tmp_path):
    text = changed("[start]", "[[update.schedule]]\nat = 40\nlearning_rate = 0.04\n[start]")
    text = changed("4e-3", "2e-4", text)
    escape(read(text), out=tmp_path)
    for row in rows(tmp_path):
        steps = int(row["steps"])
        assert float(row["time"]) == pytest.approx(
            0.08 * min(steps, 40) + 0.04 * max(steps - 40, 0)
        )
        assert row["learning_rate"] == ("0.04" if steps > 40 else "0.08")


def test_the_coefficients_of_a_row_are_those_of_its_last_update():
    stages = "[[update.schedule]]\nat = 40\nbatch_size = 8\n[[update.schedule]]\nat = 60\n"
    update = read(changed("[start]", stages + "temperature = 0.5\n[start]")).update
    steps = np.array([0, 40, 41, 60, 61])
    assert in_force(update, "batch_size", steps).tolist() == [16, 16, 8, 8, 8]
    assert in_force(update, "temperature", steps).tolist() == [4e-3] * 4 + [0.5]


def test_divergence_is_counted_told_and_kept_out_of_the_escapes(tmp_path):
    text = changed("learning_rate = 0.08", "learning_rate = 1.15", changed("4e-3", "0.05"))
    text = changed("datasets = 2", "datasets = 1", text)
    with pytest.warns(DivergedWarning):
        summary = escape(read(changed("= 0.2\n[run]", "= 50.0\n[run]", text)), out=tmp_path)
    table = rows(tmp_path, "diverged.csv")
    assert len(table) == summary.status_counts["diverged"] > 0
    for row in table:
        assert np.isfinite(float(row["last_weight_norm"]))
        assert float(row["last_weight_norm"]) > 1
    others = [row for row in rows(tmp_path) if row["status"] != "diverged"]
    assert summary.exposure == math.fsum(1.15 * int(row["steps"]) for row in others)
    assert np.array([summary.rate, summary.low, summary.high], dtype=float).all() >= 0


def test_where_all_diverged_there_is_no_rate_and_the_reason_is_said(tmp_path):
    text = changed("learning_rate = 0.08", "learning_rate = 1e100")
    summary = escape(read(text), out=tmp_path)
    assert summary.status_counts["diverged"] == 20
    assert (summary.rate, summary.low, summary.high, summary.exposure) == (None, None, None, 0.0)
    found = json.loads((tmp_path / "summary.json").read_text())
    assert found["rate"] is None
    assert found["note"] == "all 20 replicas diverged: use a smaller learning rate"


def test_trajectories_and_checkpoints_come_out_and_go_in_again(tmp_path):
    text = changed("[run]", "[run]\nrecord_every = 100\ncheckpoints = true")
    text = changed("datasets = 2", "datasets = 1", text)
    escape(read(text), out=tmp_path / "a", workers=2, shard_size=7)
    table = rows(tmp_path / "a", "trajectories.csv")
    assert [int(row["steps"]) for row in table[:7]] == [0, 100, 200, 300, 400, 500, 600]
    assert float(table[0]["strength_1"]) == pytest.approx(0.5)
    held = (tmp_path / "a/checkpoint.npz").resolve()
    about = json.loads((tmp_path / "a/records/checkpoint.json").read_text())
    assert about["sha256"] == hashlib.sha256(held.read_bytes()).hexdigest()
    assert "checkpoint.json" in (tmp_path / "a/manifest.json").read_text()
    again = changed('kind = "balanced"\nstrengths = [0.5]', f'kind = "checkpoint"\npath = "{held}"')
    again = changed("datasets = 2", "datasets = 1\nrecord_every = 100", again)
    escape(read(again), out=tmp_path / "b")
    follow = rows(tmp_path / "b", "trajectories.csv")
    starts = [row for row in follow if row["steps"] == "0"]
    for last, first in zip(table[6::7], starts, strict=True):
        assert first["strength_1"] == last["strength_1"]
        assert first["train_error"] == last["train_error"]


def test_a_nonlinear_network_escapes_from_the_users_own_arrays(tmp_path):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(32, 2))
    np.savez(tmp_path / "data.npz", x=x, y=np.tanh(x @ [[1.0], [0.5]]))
    text = f"""
[task]
kind = "arrays"
path = "{tmp_path}/data.npz"
[network]
depth = 2
width = 4
activation = "tanh"
biases = true
[update]
learning_rate = 0.2
weight_decay = 1e-3
batch_size = 8
optimizer = "momentum"
momentum = 0.5
[event]
observable = "test_error"
threshold = 0.02
direction = "below"
[run]
replicas = 6
steps = 400
check_every = 10
"""
    summary = escape(read(text), out=tmp_path / "run", workers=2, shard_size=4)
    assert summary.events == 6
    assert isinstance(read(text).task, ArraysTask)


def test_a_start_beyond_a_threshold_is_refused_before_anything_is_written(tmp_path):
    rival = '[[event]]\nmode = 1\nthreshold = 0.7\ndirection = "below"\n'
    for text, words in (
        (changed("mode = 2\nthreshold = 0.2", "mode = 1\nthreshold = 0.2"), "event[0]: the start"),
        (changed("[event]", "[[event]]") + rival, "strength 1 = 0.5 already, which is below the"),
    ):
        with pytest.raises(InputError) as refused:
            escape(read(text), out=tmp_path / "run")
        assert words in str(refused.value)
        assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="never negative"):
        read(changed("threshold = 0.2", "threshold = -0.2"))


def test_random_starts_beyond_a_threshold_are_kept_out_of_the_rate(tmp_path):
    text = changed('"balanced"\nstrengths = [0.5]', '"random"')
    text = changed("[run]", "[run]\nrecord_every = 100\ncheckpoints = true", text)
    text = changed("datasets = 2", "datasets = 1", text)
    text = changed("mode = 2\nthreshold = 0.2", "mode = 1\nthreshold = 0.5", text)
    whole = escape(read(text), out=tmp_path / "a")
    assert whole == escape(read(text), out=tmp_path / "b", shard_size=1)
    table = rows(tmp_path / "a")
    lost = [row for row in table if row["steps"] == "0"]
    assert 0 < len(lost) < len(table)
    assert {row["status"] for row in lost} == {"censored"}
    others = [row for row in table if row["steps"] != "0"]
    assert whole.events == sum(row["status"] == "escaped" for row in others) > 0
    assert whole.exposure == math.fsum(float(row["time"]) for row in others)
    assert f"{len(lost)} of 20 replicas start beyond a threshold" in whole.note


def test_trajectories_end_where_watching_ended(tmp_path):
    text = changed("[run]", "[run]\nstop_after_events = 3\nrecord_every = 4")
    text = changed("datasets = 2", "datasets = 1", text)
    for size in (20, 3):
        escape(read(text), out=tmp_path / str(size), shard_size=size)
    cut = max(int(row["steps"]) for row in rows(tmp_path / "3"))
    assert cut < 600
    assert max(int(row["steps"]) for row in rows(tmp_path / "3", "trajectories.csv")) == cut
    same = [(tmp_path / size / "trajectories.csv").read_bytes() for size in ("20", "3")]
    assert same[0] == same[1]


def test_trajectories_of_replicas_that_diverged_end_with_them(tmp_path):
    text = changed("learning_rate = 0.08", "learning_rate = 1.15", changed("4e-3", "0.05"))
    text = changed("= 0.2\n[run]", "= 50.0\n[run]\nrecord_every = 4", text)
    with pytest.warns(DivergedWarning):
        escape(read(changed("datasets = 2", "datasets = 1", text)), out=tmp_path)
    end = {row["replica"]: int(row["steps"]) for row in rows(tmp_path, "diverged.csv")}
    table = rows(tmp_path, "trajectories.csv")
    for replica, last in end.items():
        steps = [int(row["steps"]) for row in table if row["replica"] == replica]
        assert max(steps) < last


def test_looks_too_rare_to_confirm_are_refused_and_coarse_ones_are_told(tmp_path):
    tables = tomllib.loads(FILE)
    tables["run"] |= {"steps": 40, "check_every": 30}
    tables["event"]["persistence"] = 2
    with pytest.raises(InputError, match="confirmed after 2 looks"):
        read(document(tables))
    hot = changed("temperature = 4e-3", "temperature = 2e-2")
    coarse = read(changed("check_every = 4", "check_every = 300", hot))
    assert "rounded up to looks" in escape(coarse, out=tmp_path / "coarse").note
    assert "rounded up to looks" not in escape(read(hot), out=tmp_path / "fine").note


def test_an_event_beyond_the_narrowest_layer_is_refused():
    with pytest.raises(InputError, match="narrowest layer"):
        read(changed("width = 4", "width = 1"))


def test_a_batch_size_without_batches_is_refused():
    tables = tomllib.loads(FILE)
    tables["update"] |= {"sampling": "population", "batch_size": 16}
    with pytest.raises(InputError, match="batch_size = 16 has no effect"):
        read(document(tables))
