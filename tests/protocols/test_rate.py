"""One rate by two routes: they agree, the cheaper is taken, and a second run computes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spinodal.cli import main
from spinodal.cli.rate_example import EXAMPLE
from spinodal.errors import DamagedFileError, InputError
from spinodal.protocols import rate, settings_file
from spinodal.protocols.rate import RateSettings

FILE = """
[task]
signals = [0.8]
[network]
width = 2
[update]
learning_rate = 0.2
weight_decay = 0.32
sampling = "population"
temperature = {temperature}
[start]
kind = "balanced"
[event]
threshold = 0.34
persistence = {persistence}
[run]
replicas = 60
steps = 60000
check_every = 20
datasets = {datasets}
[rate]
method = "{method}"
repetitions = 8
copies = 64
"""


def settings(
    method: str = "auto", temperature: float = 0.0045, persistence: int = 1, datasets: int = 1
) -> RateSettings:
    text = FILE.format(
        method=method, temperature=temperature, persistence=persistence, datasets=datasets
    )
    return settings_file.parse(text, RateSettings, source="test")


def test_waiting_and_splitting_estimate_the_same_rate(tmp_path: Path) -> None:
    waited = rate.rate(settings("brute_force"), out=tmp_path / "w")
    split = rate.rate(settings("splitting"), out=tmp_path / "s")
    assert (waited.method, split.method) == ("likelihood_ratio", "splitting")
    assert waited.rate is not None
    assert split.rate is not None
    assert split.low is not None
    assert split.high is not None
    width = np.log(split.high / split.low) / 2 / 2.36  # Student, 7 degrees of freedom
    error = np.hypot(1 / np.sqrt(waited.events), width)
    assert abs(np.log(split.rate / waited.rate)) < 4 * error


def test_the_cheaper_route_is_taken(tmp_path: Path) -> None:
    hot = rate.rate(settings(temperature=0.008), out=tmp_path / "hot")
    cold = rate.rate(settings(temperature=0.0022), out=tmp_path / "cold")
    assert hot.choice.method == "brute_force"
    assert cold.choice.method == "splitting"
    assert cold.choice.brute_force_updates is not None
    assert cold.choice.splitting_updates is not None
    assert cold.choice.splitting_updates < cold.choice.brute_force_updates
    assert cold.updates < cold.choice.brute_force_updates


def test_waiting_that_would_see_nothing_is_not_chosen(tmp_path: Path) -> None:
    hot = settings(temperature=0.008)
    few = hot.model_copy(update={"run": hot.run.model_copy(update={"replicas": 5, "steps": 100})})
    found = rate.rate(few, out=tmp_path / "few")
    assert found.choice.method == "splitting"
    assert found.choice.expected_escapes is not None
    assert found.choice.expected_escapes < 5
    assert found.rate is not None
    assert "raise replicas" in found.note
    some = hot.model_copy(update={"run": hot.run.model_copy(update={"replicas": 40})})
    waited = rate.rate(some, out=tmp_path / "some")
    assert waited.choice.method == "brute_force"
    assert waited.events >= 20
    assert "about 40 escapes" in waited.note
    # the pilot is part of what it has cost
    exposed = waited.exposure / float(some.update.time(1))
    assert waited.updates == pytest.approx(exposed + waited.choice.pilot_updates)
    assert waited.choice.pilot_updates > 0


def test_when_nobody_arrives_it_is_told_what_to_do_and_can_be_read_again(
    tmp_path: Path, capsys
) -> None:
    path = tmp_path / "cold.toml"
    text = FILE.format(method="splitting", temperature=0.0008, persistence=1, datasets=1)
    path.write_text(
        text.replace("copies = 64", "copies = 8").replace("repetitions = 8", "repetitions = 2")
    )
    for _ in range(2):  # the second time from the record
        assert main(["rate", str(path), "--threads", "1", "--out", str(tmp_path / "o")]) == 0
        said = capsys.readouterr().out
        assert "no bound" in said
        assert "raise copies" in said
    document = json.loads((tmp_path / "o/rate.json").read_text())
    assert document["rate"] is None
    assert document["high"] is None


def test_why_splitting_is_impossible_is_said_once(tmp_path: Path, capsys) -> None:
    path = tmp_path / "zero.toml"
    text = FILE.format(method="auto", temperature=0.0, persistence=1, datasets=1)
    path.write_text(text.replace("60000", "200"))
    assert main(["rate", str(path), "--threads", "1", "--out", str(tmp_path / "o")]) == 0
    assert capsys.readouterr().out.count("splitting is not possible here") == 1


def test_the_same_call_again_computes_nothing_and_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = rate.rate(settings("splitting"), out=tmp_path / "a")
    other = rate.rate(settings("splitting"), out=tmp_path / "b", workers=2)
    assert first == other
    assert (tmp_path / "a/rate.json").read_bytes() == (tmp_path / "b/rate.json").read_bytes()
    monkeypatch.setattr(rate, "training_rate", None)
    assert rate.rate(settings("splitting"), out=tmp_path / "a") == first
    record = tmp_path / "a/records/choice.json"
    record.write_text("{}")
    with pytest.raises(DamagedFileError, match=r"choice\.json"):
        rate.rate(settings("splitting"), out=tmp_path / "a")


def test_where_splitting_is_impossible_waiting_is_done_and_says_so(tmp_path: Path) -> None:
    found = rate.rate(settings(persistence=2, temperature=0.008), out=tmp_path / "x")
    assert found.choice.method == "brute_force"
    assert "persistence" in found.note
    with pytest.raises(InputError, match="persistence 1"):
        rate.rate(settings("splitting", persistence=2), out=tmp_path / "y")
    assert not (tmp_path / "y").exists()


def test_data_sets_are_the_unit_where_there_are_several(tmp_path: Path) -> None:
    found = rate.rate(settings("splitting", datasets=2), out=tmp_path / "d")
    assert found.method == "splitting_across_datasets"
    assert found.replicas == 16
    assert "unit" in found.note


def test_the_json_has_the_keys_of_an_escape_rate(tmp_path: Path, capsys) -> None:
    path = tmp_path / "case.toml"
    path.write_text(FILE.format(method="splitting", temperature=0.0045, persistence=1, datasets=1))
    assert main(["rate", str(path), "--json", "--threads", "1", "--out", str(tmp_path / "o")]) == 0
    document = json.loads(capsys.readouterr().out)
    keys = "rate low high confidence events exposure replicas status_counts method settings_digest"
    assert list(document)[:10] == keys.split()
    assert document == json.loads((tmp_path / "o/rate.json").read_text())
    lines = (tmp_path / "o/repetitions.csv").read_text().splitlines()
    rates = [float(line.split(",")[2]) for line in lines[1:]]
    np.testing.assert_allclose(np.mean(rates), document["rate"], rtol=1e-12)


def test_repetitions_are_grouped_evenly_and_never_alone() -> None:
    for repetitions in range(2, 60):
        sizes = rate._sizes(repetitions)
        assert sum(sizes) == repetitions
        assert min(sizes) >= 2
        assert max(sizes) - min(sizes) <= 1


def test_the_example_is_accepted_and_a_wrong_key_is_named(tmp_path: Path, capsys) -> None:
    assert settings_file.parse(EXAMPLE, RateSettings, source="example").rate.method == "auto"
    path = tmp_path / "bad.toml"
    path.write_text(EXAMPLE.replace("copies =", "copys ="))
    assert main(["rate", str(path)]) == 2
    assert "did you mean 'copies'" in capsys.readouterr().err
    assert main(["rate"]) == 2
    assert "--example" in capsys.readouterr().err
