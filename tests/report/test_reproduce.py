"""The driver: what is finished is reused, what is asked for is added, bytes are repeatable."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from report import placeholders

from spinodal.errors import DamagedFileError, InputError
from spinodal.report import registry, shelf
from spinodal.report.progress import Lines
from spinodal.report.reproduce import reproduce


@pytest.fixture
def calls():
    with placeholders.installed() as ran:
        yield ran


def files(out: Path, *folders: str) -> dict[str, bytes]:
    paths = [path for folder in folders for path in sorted((out / folder).rglob("*"))]
    return {str(path.relative_to(out)): path.read_bytes() for path in paths if path.is_file()}


def test_the_same_seed_gives_the_same_bytes_on_one_thread_or_two(tmp_path, calls):
    for name, workers in (("one", 1), ("two", 2)):
        reproduce(out=tmp_path / name, workers=workers)
    first, second = (
        files(tmp_path / name, "data", "figures", "records") for name in ("one", "two")
    )
    assert first == second
    assert len(first) == 4 + 6 + 10
    audits = {(tmp_path / name / "audit.json").read_bytes() for name in ("one", "two")}
    assert len(audits) == 1


def test_another_seed_gives_other_data(tmp_path, calls):
    for seed in (1, 2):
        reproduce(out=tmp_path / str(seed), seed=seed, only=["fig3"])
    assert files(tmp_path / "1", "data") != files(tmp_path / "2", "data")


def test_a_second_run_reuses_everything_and_gives_the_same_page(tmp_path, calls):
    first = reproduce(out=tmp_path, only=["fig3", "fig4"])
    page = (tmp_path / "report.html").read_bytes()
    second = reproduce(out=tmp_path, only=["fig3", "fig4"])
    assert calls == ["fig3", "fig4"]
    assert second.reused == ["fig3", "fig4"]
    assert first.reused == []
    assert (tmp_path / "report.html").read_bytes() == page


def test_only_adds_to_what_is_there_and_the_page_holds_both(tmp_path, calls):
    reproduce(out=tmp_path, only=["fig3"])
    outcome = reproduce(out=tmp_path, only=["fig4"])
    assert calls == ["fig3", "fig4"]
    assert [section.id for section in outcome.sections] == ["fig3", "fig4"]
    assert {f"figures/{name}_wave.png" for name in ("fig3", "fig4")} <= set(outcome.files)
    page = (tmp_path / "report.html").read_text()
    assert '<section id="fig4">' in page
    assert '<section id="fig3">' in page
    assert "The audit of the paper's claims is not part of it yet" in page


def test_the_audit_computes_what_it_needs_and_no_more(tmp_path, calls):
    outcome = reproduce(out=tmp_path, only=["audit"])
    assert calls == ["fig3", "fig4", "audit"]
    assert sum(outcome.audit.values()) == 46
    rows = json.loads((tmp_path / "audit.json").read_text())
    keys = ["id", "where", "claim", "stated", "recomputed", "verdict", "reason", "evidence"]
    assert all(list(row) == keys for row in rows)
    assert rows[2]["stated"] is None


def test_every_file_named_in_the_outcome_exists_and_tables_have_all_rows(tmp_path, calls):
    outcome = reproduce(out=tmp_path, only=["fig3"])
    assert all((tmp_path / name).is_file() for name in outcome.files)
    with (tmp_path / "data/fig3_points.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 41
    assert float(rows[1][1]) == json.loads((tmp_path / "records/fig3.json").read_text())["y"][0]


def test_what_other_code_computed_is_computed_again_or_left_out_and_said(
    tmp_path, calls, monkeypatch
):
    reproduce(out=tmp_path, only=["fig3", "fig4"])
    monkeypatch.setattr(shelf, "fingerprint", lambda: "other code")
    outcome = reproduce(out=tmp_path, only=["fig3"])
    assert calls == ["fig3", "fig4", "fig3"]
    assert [section.id for section in outcome.sections] == ["fig3"]
    assert "The fig4 found here was computed by other code" in outcome.notes[0]


def test_a_renewed_record_renews_the_audit_that_needs_it(tmp_path, calls, monkeypatch):
    reproduce(out=tmp_path, only=["audit"])
    monkeypatch.setattr(shelf, "fingerprint", lambda: "other code")
    reproduce(out=tmp_path, only=["audit"])
    assert calls == ["fig3", "fig4", "audit"] * 2


def test_interrupted_after_a_section_it_continues_with_the_next(tmp_path, calls, monkeypatch):
    entry = registry.SECTIONS["fig4"]
    run = entry.computes.run
    monkeypatch.setattr(
        entry.computes, "run", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        reproduce(out=tmp_path, only=["audit"])
    monkeypatch.setattr(entry.computes, "run", run)
    outcome = reproduce(out=tmp_path, only=["audit"])
    assert outcome.reused == ["fig3"]
    assert calls == ["fig3", "fig4", "audit"]


@pytest.mark.parametrize("change", [{"seed": 1}, {"effort": "paper"}])
def test_the_directory_of_another_run_is_refused(tmp_path, calls, change):
    reproduce(out=tmp_path, only=["fig3"])
    before = files(tmp_path, ".")
    with pytest.raises(InputError, match="holds another run"):
        reproduce(out=tmp_path, only=["fig3"], **change)
    assert files(tmp_path, ".") == before


def test_a_damaged_record_is_told_before_anything_is_computed(tmp_path, calls):
    reproduce(out=tmp_path, only=["fig3"])
    record = tmp_path / "records/fig3.json"
    record.write_bytes(record.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(DamagedFileError, match=r"fig3\.json"):
        reproduce(out=tmp_path, only=["fig2a"])
    assert calls == ["fig3"]


def test_a_deleted_record_costs_its_own_section_only(tmp_path, calls, capsys):
    reproduce(out=tmp_path, only=["audit"])
    before = files(tmp_path, "records", "data")
    (tmp_path / "records/fig3.json").unlink()
    outcome = reproduce(out=tmp_path, only=["audit"], progress=Lines())
    assert calls == ["fig3", "fig4", "audit", "fig3"]
    assert outcome.reused == ["fig4", "audit"]
    assert files(tmp_path, "records", "data") == before
    said = capsys.readouterr().err
    assert "the record of fig3 was removed; computing it again" in said
    assert "audit needs fig3, fig4: computing those not found" in said


@pytest.mark.parametrize(
    ("only", "words"),
    [(["fig5"], "did you mean 'fig4'"), (["FIG3"], "did you mean 'fig3'"), ([], "at least one")],
)
def test_unknown_sections_are_refused_with_the_nearest_name(tmp_path, calls, only, words):
    with pytest.raises(InputError, match=words):
        reproduce(out=tmp_path / "out", only=only)
    assert not (tmp_path / "out").exists()


def test_a_record_that_json_would_change_is_our_mistake(tmp_path, calls, monkeypatch):
    entry = registry.SECTIONS["fig3"]
    bad = placeholders.WaveRecord("fig3", 0, (), (), missing=float("nan"))
    monkeypatch.setattr(entry.computes, "run", lambda *_, **__: bad)
    with pytest.raises(AssertionError, match="does not survive"):
        reproduce(out=tmp_path, only=["fig3"])


def test_the_real_registry_names_every_figure_of_the_paper_in_order():
    assert list(registry.SECTIONS) == [
        "fig1a",
        "fig1b",
        "fig2a",
        "fig2b",
        "fig3",
        "fig4",
        "noise-arms",
        "route-agreement",
        "balance",
        "downward-jumps",
        "other-problems",
        "audit",
    ]
