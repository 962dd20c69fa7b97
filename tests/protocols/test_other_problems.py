"""Other problems: exact barriers, jumps where they belong, and a barrier that sees no escape."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from helpers import assert_consistent
from matplotlib.figure import Figure as Canvas
from pydantic import ValidationError

from spinodal.errors import InputError
from spinodal.plots.style import look
from spinodal.protocols import other_problems
from spinodal.protocols.other_problems_cases import PROBLEMS, case
from spinodal.protocols.other_problems_reading import cold_slope, ratio_z, together, waiting_slope
from spinodal.protocols.other_problems_records import (
    EscapeRecord,
    OtherProblemsSettings,
    ProblemRecord,
    ProblemSetting,
    Record,
)
from spinodal.rare.paths import relax
from spinodal.records import EscapeTimes
from spinodal.report.sections.other_problems import section
from spinodal.theory import modes

SMALL = OtherProblemsSettings(
    problems=(
        ProblemSetting(name="completion", fraction=0.25, barriers=(4.0, 4.5), horizon=25.0),
        ProblemSetting(name="completion, two layers", fraction=0.5),
        ProblemSetting(
            name="regression", fraction=0.5, barriers=(1.2, 1.6), deep=(5.0,), horizon=40.0
        ),
        ProblemSetting(name="regression, correlated", fraction=0.5),
    ),
    sweep=7,
    images=9,
    replicas=64,
    repetitions=3,
    copies=16,
)


@pytest.fixture(scope="module")
def record() -> Record:
    return other_problems.run(SMALL, seed=2)


def of(record: Record, name: str) -> ProblemRecord:
    return next(one for one in record.problems if one.name == name)


def test_the_string_finds_the_barriers_that_are_known_exactly(record: Record):
    for name in ("completion", "regression"):
        path = of(record, name).path
        assert path is not None
        assert path.converged
        assert path.index == 1
        assert path.exact_out is not None
        assert path.barrier_out == pytest.approx(path.exact_out, rel=1e-8)
        assert path.barrier_back == pytest.approx(path.exact_back, rel=1e-8)
    path = of(record, "regression, correlated").path
    assert path is not None
    assert path.converged
    assert path.exact_out is None


def test_hidden_rotations_are_the_zero_modes_that_the_saddle_gains(record: Record):
    for name, zeros in (("completion", 2), ("regression", 0), ("regression, correlated", 0)):
        path = of(record, name).path
        assert path is not None
        assert path.zeros == zeros


def test_features_jump_where_theory_has_the_spinodals_and_two_layers_never_jump(record: Record):
    for one in record.problems:
        sweep = one.sweep
        step = sweep.weight_decays[1] - sweep.weight_decays[0]
        if one.name == "completion, two layers":
            assert sweep.lost is None
            assert sweep.regained is None
            np.testing.assert_allclose(sweep.up, sweep.down, atol=1e-6)
            continue
        assert sweep.lost is not None
        if sweep.spinodal_off is not None:
            assert abs(sweep.lost - sweep.spinodal_off) <= step
        if one.name == "completion":
            # With three layers nothing comes back by itself, at any weight decay.
            assert sweep.regained is None
            assert max(sweep.down) < 1e-6
        else:
            assert sweep.regained is not None
            assert sweep.regained < sweep.lost - 2 * step


def test_two_layers_start_from_a_saddle_and_have_nothing_to_climb(record: Record):
    one = of(record, "completion, two layers")
    assert one.start_index > 0
    assert one.path is None
    assert one.escapes == ()
    assert one.verdict == "no_barrier"
    # Two layers shrink the feature by (weight decay) / (input variance).
    decays = np.array(one.sweep.weight_decays)
    exact = modes.stationary_points(
        depth=2, signal=2.4, weight_decay=decays, input_variance=2 / 3
    ).learned
    np.testing.assert_allclose(one.sweep.up, np.nan_to_num(exact), atol=2e-3)


def test_waiting_agrees_with_exact_passage_times_and_with_splitting(record: Record):
    one = of(record, "regression")
    assert one.exact_time
    for escape in one.escapes[:2]:
        assert escape.rate is not None
        assert escape.predicted is not None
        assert escape.events > 30
        z = np.log(escape.rate / escape.predicted) * np.sqrt(escape.events)
        assert abs(z) < 4
    both = one.escapes[1]
    assert both.split is not None
    assert both.low is not None
    assert both.high is not None
    assert both.split_low is not None
    assert both.split_high is not None
    assert both.split_low < both.high * 1.5
    assert both.low < both.split_high * 1.5
    deep = one.escapes[2]
    assert deep.rate is None
    assert deep.split is not None
    assert deep.predicted is not None
    assert deep.split_low is not None
    assert deep.split_high is not None
    assert deep.split_low / 3 < deep.predicted < deep.split_high * 3


def test_without_noise_the_saddle_parts_what_falls_back_from_what_goes_on(record: Record):
    for name in ("completion", "regression", "regression, correlated"):
        path = of(record, name).path
        assert path is not None
        assert path.fell_back == path.went_on == path.beside > 1


def test_a_point_that_is_no_saddle_parts_nothing(monkeypatch: pytest.MonkeyPatch):
    true = other_problems.string_method

    def shifted(*args: object, **options: object) -> object:
        found = true(*args, **options)  # type: ignore[arg-type]
        saddle = found.saddle + 0.3 * (found.positions[-1] - found.saddle)
        return replace(found, saddle=saddle)

    monkeypatch.setattr(other_problems, "string_method", shifted)
    few = SMALL.model_copy(
        update={
            "problems": (SMALL.problems[2].model_copy(update={"deep": (), "horizon": 40.0}),),
            "sweep": 2,
            "repetitions": 0,
        }
    )
    one = other_problems.run(few, seed=2).problems[0]
    assert one.path is not None
    assert one.path.fell_back < one.path.beside
    assert one.verdict != "noise_activated"


def test_barriers_never_see_escape_times(record: Record, monkeypatch: pytest.MonkeyPatch):
    def forbidden(*args: object, **kwargs: object) -> None:
        raise AssertionError("a barrier asked for an escape")

    for name in ("first_passages", "exponential_rate", "waiting_slope", "rate", "mechanism"):
        monkeypatch.setattr(other_problems, name, forbidden)
    silent = SMALL.model_copy(
        update={
            "sweep": 2,
            "problems": tuple(
                one.model_copy(update={"barriers": (), "deep": ()}) for one in SMALL.problems
            ),
        }
    )
    alone = other_problems.run(silent, seed=77)
    for one, other in zip(alone.problems, record.problems, strict=True):
        if one.path is not None:
            assert other.path is not None
            assert one.path.barrier_out == pytest.approx(other.path.barrier_out, rel=1e-12)
        assert one.slope is None


def test_the_coldest_rates_of_splitting_give_back_the_barrier_they_were_made_with(record: Record):
    template, barrier, zeros = of(record, "regression").escapes[-1], 0.2, 4

    def at(temperature: float) -> EscapeRecord:
        rate = np.exp(-barrier / temperature) * temperature ** (-zeros / 2)
        return replace(
            template, temperature=temperature, split=rate, split_low=rate / 1.1,
            split_high=1.1 * rate,
        )  # fmt: skip

    warm = replace(at(0.03), split=1.0)
    found, low, high = cold_slope((warm, at(0.02), at(0.025)), zeros)
    assert found == pytest.approx(barrier, rel=1e-12)
    assert low is not None
    assert high is not None
    half = np.sqrt(2) * np.log(1.1) / (1 / 0.02 - 1 / 0.025)
    assert (high - low) / 2 == pytest.approx(half, rel=1e-12)
    assert cold_slope((warm,), zeros) == (None, None, None)


def test_waiting_times_give_back_the_barrier_they_were_drawn_with():
    barrier, zeros, rng = 0.2, 4, np.random.default_rng(3)
    waited = []
    for heat in (0.02, 0.025, 0.03):
        mean = np.exp(barrier / heat) * heat ** (zeros / 2)
        count = np.arange(2000)
        waited.append(
            (heat, EscapeTimes(replica=count, dataset=0 * count, steps=count,
                               time=rng.exponential(mean, 2000),
                               status=np.full(2000, "escaped")))
        )  # fmt: skip
    found, low, high = waiting_slope(waited, zeros)
    assert found is not None
    assert low is not None
    assert high is not None
    assert_consistent(found, barrier, (high - low) / 3.92)
    assert high - low < 0.05 * barrier


def test_waiting_and_splitting_are_compared_in_standard_errors(record: Record):
    template = of(record, "regression").escapes[1]

    def z(split: float, wide: float) -> float:
        found = ratio_z(
            replace(
                template, rate=1.0, low=1 / 1.1, high=1.1, split=split, split_low=split / wide,
                split_high=split * wide,
            )
        )  # fmt: skip
        assert found is not None
        return found

    error = np.log(1.1) * np.sqrt(2) / 1.96
    assert z(1.3, 1.1) == pytest.approx(np.log(1.3) / error, rel=1e-4)
    assert z(1 / 1.3, 1.1) == pytest.approx(-np.log(1.3) / error, rel=1e-4)
    assert ratio_z(replace(template, split=None)) is None
    # Intervals that just touch are 2.8 errors apart, and three of these are no agreement.
    touching = z(1.21, 1.1)
    assert touching == pytest.approx(2.77, abs=0.01)
    assert together([touching] * 3) < 0.001 < together([touching])


def test_the_answer_says_agree_only_where_waiting_and_splitting_do(record: Record):
    far = replace(
        record,
        problems=tuple(
            replace(
                one,
                escapes=tuple(
                    replace(e, split=10 * e.rate, split_low=9 * e.rate, split_high=11 * e.rate)
                    if e.rate and e.split
                    else e
                    for e in one.escapes
                ),
            )
            for one in record.problems
        ),
    )
    assert "splitting agree:" in section(record).answer
    assert "splitting do not agree:" in section(far).answer


def test_verdicts_come_with_their_evidence(record: Record):
    for name in ("completion", "regression"):
        one = of(record, name)
        # Barriers of these runs are far below several T.
        assert one.verdict in ("noise_drift", "cannot_tell")
        assert any("either side of the saddle" in sentence for sentence in one.evidence)


def test_the_same_seed_gives_the_same_record():
    few = SMALL.model_copy(
        update={
            "problems": (SMALL.problems[2].model_copy(update={"deep": (), "horizon": 10.0}),),
            "sweep": 2,
            "repetitions": 2,
            "replicas": 16,
        }
    )
    first, second = (other_problems.run(few, seed=5, workers=n) for n in (1, 2))
    assert first == second
    told: list[float] = []
    other = few.model_copy(update={"repetitions": 0})
    assert other_problems.run(other, seed=6, progress=lambda f, _: told.append(f)) != first
    assert told == [0.0]


def test_a_record_is_plain_data_and_a_section_is_drawn_from_it(record: Record):
    assert json.loads(json.dumps(asdict(record), allow_nan=False))["problems"][0]["name"]
    told = section(record)
    assert told.id == "other-problems"
    assert "two layers does not" in told.answer
    assert "string" in told.answer
    with look():
        for figure in told.figures():
            figure.draw(Canvas(figsize=figure.size))
    names = [table.name for table in told.tables()]
    assert names == ["other-problems_jumps", "other-problems_barriers", "other-problems_escapes"]


def test_a_record_in_which_nothing_was_waited_for_is_still_told(record: Record):
    quiet = Record(
        problems=tuple(
            replace(one, escapes=(), slope=None, cold_slope=None) for one in record.problems
        )
    )
    told = section(quiet)
    assert len(told.figures()) == 2


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValidationError, match="no barrier"):
        OtherProblemsSettings(
            problems=(ProblemSetting(name="completion, two layers", fraction=0.5, barriers=(3.0,)),)
        )
    with pytest.raises(ValidationError, match="listed once"):
        OtherProblemsSettings(problems=(SMALL.problems[0], SMALL.problems[0]))
    with pytest.raises(ValidationError, match="to compare with"):
        OtherProblemsSettings(
            problems=(ProblemSetting(name="regression", fraction=0.5, deep=(9.0,)),)
        )
    with pytest.raises(InputError, match="Unknown problem"):
        case("knapsack")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", PROBLEMS)
def test_descent_from_the_learned_side_finds_the_feature(name):
    what = case(name)
    low, high = what.range
    decay = low + 0.3 * (high - low)
    on = relax(what.at(decay).landscape, what.on)
    off = relax(what.at(decay).landscape, np.zeros(on.size))
    scores = what.score(np.stack([off, on]))
    assert scores[1] > scores[0] + 0.4
