"""Downward jumps of SGD: the measured exponent is that of SGD, and nothing goes up."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from spinodal.protocols import downward_jumps
from spinodal.protocols.downward_jumps_reading import _told
from spinodal.protocols.downward_jumps_records import (
    DownwardJumpsSettings,
    JumpNetwork,
    Record,
    SamplingArms,
)
from spinodal.report.section import shown
from spinodal.report.sections.downward_jumps import _course, _sampling_text, _verdict, section

TINY = DownwardJumpsSettings(
    networks=(
        JumpNetwork(
            name="one feature",
            width=1,
            signals=(0.9,),
            weight_decay=0.32,
            learning_rate=0.2,
            batch_sizes=(3, 5),
            replicas=(300, 120),
            collapse=((0.1, 2),),
            collapse_replicas=60,
            check_every=16,
        ),
        JumpNetwork(
            name="2-2 network",
            width=3,
            signals=(0.9, 0.8),
            weight_decay=0.28,
            learning_rate=0.3,
            batch_sizes=(4, 5),
            replicas=(24, 16),
            horizon=0.6,
        ),
    ),
    samplings=SamplingArms(replicas=32, datasets=8, steps=40_000),
)


@pytest.fixture(scope="module")
def record() -> Any:
    return downward_jumps.run(TINY, seed=5)


def test_the_measured_exponent_is_that_of_sgd_and_not_that_of_its_diffusion(record):
    one = record.networks[0]
    assert one.diffusion_exponent == pytest.approx(0.2324281851346533, rel=1e-12)
    assert one.exact_exponent == pytest.approx(0.292670607801, rel=1e-11)
    assert one.told == "exact"
    assert one.low < one.finite < one.high
    # A planted bug, the diffusion's exponent in place of that of SGD, would show.
    assert _told(one.low, one.high, 0.15, one.diffusion_exponent) == "neither"


def test_mean_times_are_those_of_the_chain_without_a_free_parameter(record):
    points = record.networks[0].points
    assert [p.fitted for p in points] == [True, True, False]
    for p in points:
        # The chain's time agrees within four standard errors of the logarithm.
        assert abs(np.log(p.ratio_to_chain)) < 4 / np.sqrt(p.jumps), p
        assert p.noise == p.learning_rate / p.batch_size
        assert p.corrected == pytest.approx(
            p.diffusion * np.exp((0.292670607801 - 0.2324281851346533) / p.noise), rel=1e-8
        )


def test_everything_goes_down_and_nothing_up(record):
    for one in record.networks:
        assert one.quiet_jumps == 0
        for p in one.points:
            assert p.jumps > 0
            assert p.up_escapes == 0
            # From beside the lower rank escape is possible; the drift leads back to it.
            assert p.near_escapes < 0.5 * p.near_replicas
            assert p.up_rate_bound > 0
            assert sum(p.jumped) == p.jumps


def test_a_training_set_has_its_own_exponent_and_shuffling_it_silences_the_noise(record):
    fresh, replacement, shuffled = record.samplings
    for one in (fresh, replacement):
        assert one.jumps > 5
        assert abs(np.log(one.ratio)) < 4 / np.sqrt(one.jumps)
    assert shuffled.jumps == 0
    assert shuffled.rate_high < 0.2 * replacement.rate
    assert shuffled.expected is None
    assert len(record.sample_exponents) == 8
    assert record.shuffled_noise_ratio < 0.01


def test_the_record_survives_json_and_the_same_seed_gives_it_again(record):
    kind = TypeAdapter(Record)
    text = kind.dump_json(record)
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} in the record"))
    assert kind.validate_json(text) == record
    few = SamplingArms(replicas=2, datasets=2, steps=100)
    small = DownwardJumpsSettings(networks=TINY.networks[1:], samplings=few)
    assert downward_jumps.run(small, seed=5).networks[0] == record.networks[1]


def test_the_section_says_which_exponent_was_measured(record):
    told = section(record)
    assert told.id == "downward-jumps"
    assert "tells for that of SGD and against that of its diffusion" in told.answer
    assert "0 by construction" in told.answer
    assert {t.name for t in told.tables()} >= {"downward-jumps_points", "downward-jumps_fits"}


def test_a_network_of_more_modes_is_no_test_and_says_what_it_excludes(record):
    one = record.networks[1]
    assert one.told == "no_test"
    exact, diffusion = one.exact_exponent, one.diffusion_exponent
    between = (exact + diffusion) / 2
    for low, high, words in (
        (0.9 * diffusion, 1.1 * exact, "contain both"),
        (0.1 * diffusion, 0.2 * diffusion, "exclude both"),
        (between, 1.1 * exact, "contain the one-mode exponent of SGD and exclude that"),
        (0.9 * diffusion, between, "exclude the one-mode exponent of SGD and contain that"),
        (None, None, "contain both"),
    ):
        assert words in _verdict(replace(one, low=low, high=high))
    fits = {"ratio_to_chain": 1.0, "ratio_low": 0.9, "ratio_high": 1.1}
    good = tuple(replace(p, **fits) for p in one.points)
    wide = replace(one, low=0.9 * diffusion, high=1.1 * exact)
    assert "nothing here contradicts" in _verdict(replace(wide, points=good))
    bad = tuple(replace(p, ratio_high=0.95) for p in good)
    assert "why is open" in _verdict(replace(wide, points=bad))
    assert "why is open" in _verdict(replace(one, low=0.01, high=0.02, points=good))


def test_the_course_of_the_ratio_to_the_chain_is_that_of_the_slopes(record):
    one = record.networks[1]
    assert _course(replace(one, low=one.finite * 1.1, high=one.finite * 1.2)) == "grows"
    assert _course(replace(one, low=one.finite * 0.8, high=one.finite * 0.9)) == "falls"
    assert "not change" in _course(replace(one, low=one.finite * 0.8, high=one.finite * 1.2))


def test_shuffling_is_called_rarer_only_beyond_the_limits(record):
    fresh, replacement, shuffled = record.samplings

    def told(low, high):
        rates = replace(shuffled, jumps=3, rate=(low + high) / 2, rate_low=low, rate_high=high)
        return section(replace(record, samplings=(fresh, replacement, rates))).answer

    least, most = replacement.rate_low, replacement.rate_high
    assert "make jumps rarer than" in told(0.1 * least, 0.5 * least)
    assert "cannot be told to make jumps rarer" in told(0.5 * least, 1.1 * least)
    assert "make jumps commoner" in told(2 * most, 3 * most)
    factor = replacement.rate_low / shuffled.rate_high
    assert f"at least {shown(factor, 2)} times less" in _sampling_text(record)


def test_limits_decide_which_exponent_is_told():
    assert _told(0.9, 1.1, 0.5, 1.0) == "exact"
    assert _told(0.4, 0.6, 0.5, 1.0) == "diffusion"
    assert _told(0.4, 1.1, 0.5, 1.0) == "both"
    assert _told(0.6, 0.9, 0.5, 1.0) == "neither"
    assert _told(0.6, None, 0.5, 1.0) == "exact"


def test_presets_are_valid_and_the_paper_watches_more():
    quick, paper = (downward_jumps.preset(effort) for effort in ("quick", "paper"))
    assert paper.samplings.replicas > quick.samplings.replicas
    assert [one.name for one in quick.networks] == [one.name for one in paper.networks]


def test_settings_that_cannot_be_are_refused():
    good = TINY.networks[0].model_dump()
    with pytest.raises(ValueError, match="as many counts of replicas"):
        JumpNetwork.model_validate(good | {"replicas": (3,)})
    with pytest.raises(ValueError, match="needs weight_decay below the spinodal"):
        JumpNetwork.model_validate(good | {"weight_decay": 0.5})
    with pytest.raises(ValueError, match="a name of its own"):
        DownwardJumpsSettings(networks=(TINY.networks[0], TINY.networks[0]))
