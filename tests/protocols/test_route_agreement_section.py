"""What the section on routes says of trends follows the record, errors included."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from spinodal.protocols.route_agreement_records import Estimate, RoutePoint, RouteRecord
from spinodal.report.sections import route_agreement as section

MEANS = (1e3, 1e4, 1e5)


def planted(
    langer: Sequence[float],
    generator: Sequence[float] = MEANS,
    *,
    means: Sequence[float] = MEANS,
    error: float = 1.05,
    warned: Sequence[int] = (),
) -> RouteRecord:
    """Three temperatures, the warmest first; limits are a factor `error` from the mean."""
    points = []
    for i, (mean, one, two) in enumerate(zip(means, langer, generator, strict=True)):
        found = Estimate(
            mean=mean,
            low=mean / error,
            high=mean * error,
            updates=1e6,
            events=100,
            relative_error=0.1,
            warning="heavy tails" if i in warned else "",
        )
        points.append(
            RoutePoint(
                ratio=0.7 - 0.1 * i,
                temperature=0.07 - 0.01 * i,
                energy_barrier=10.0,
                free_barrier=5.0,
                expansion=0.1,
                valid=False,
                langer=one,
                corrected=one,
                reduced=one,
                generator=two,
                step_factor=1.0,
                waiting=None,
                splitting=found,
                gain=2.0,
            )
        )
    return RouteRecord(
        depth=3, width=2, weights=12, signals=(0.9, 0.8), weight_decay=0.32, rank=0,
        learning_rate=0.2, thermal_spinodal=0.1, rotations=2, repetitions=10, copies=64,
        confidence=0.95, points=tuple(points), agreement=(), chi_square=0.0, chi_square_p=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("langer", "words"),
    [
        ((1e2, 2e3, 5e4), "it falls from 10 [9.52, 10.5] to 2 [1.90, 2.1]"),
        ((5e2, 2e3, 1e4), "it rises from"),
        ((1e2, 5e2, 5e4), "it falls, not at every step, from"),
        ((5e2, 5e3, 5e4), "it does not change beyond the errors, from"),
    ],
)
def test_the_course_of_the_ratio_to_leading_order_is_computed(
    langer: Sequence[float], words: str
) -> None:
    told = section.section(planted(langer))
    assert words in told.answer
    assert words in told.figures()[0].alt
    assert words in section._theory_text(planted(langer))


def test_large_errors_leave_the_course_open() -> None:
    record = planted((1e2, 2e3, 5e4), error=20.0)
    assert "it does not change beyond the errors" in section._answer(record)


def test_a_point_that_splitting_warns_of_carries_the_warning_and_is_no_end() -> None:
    record = planted((1e2, 2e3, 5e4), warned=(2,))
    answer = section._answer(record)
    assert "updates (warned: its interval may be too narrow)" in answer
    assert "as the temperature falls from 0.7 to 0.6 of" in answer
    assert "too narrow, and not compared: 0.5 T_{sp}" in section._falsifier(record)
    assert "too narrow" not in section._answer(planted((1e2, 2e3, 5e4)))


def test_limits_that_miss_the_generator_are_counted() -> None:
    record = planted(MEANS, (1e3, 2e4, 5e4))
    text = section._answer(record)
    assert "0.5 [0.476, 0.525] to 2 [1.90, 2.1]; the limits contain 1 at 1 of 3" in text


def test_falsification_is_seen_not_seen_or_could_not_have_been_seen() -> None:
    good = section._falsifier(planted(MEANS))
    assert "Neither is seen" in good
    assert "Times grow at every step" in good
    assert "would have been seen" in good
    away = section._falsifier(planted(MEANS, (1e3, 1e4, 3e4)))
    assert "Seen: the ratio to theory moves away from 1" in away
    flat = section._falsifier(planted(MEANS, means=(1e3, 1e4, 9e3)))
    assert "Seen: the time does not grow from 0.6 to 0.5 T_{sp}" in flat
    blind = section._falsifier(planted(MEANS, (1e3, 1e4, 3e4), error=3.0))
    assert "could not have been seen unless by a factor beyond" in blind
    unsure = section._falsifier(planted(MEANS, means=(1e3, 1.1e3, 1e5), error=1.5))
    assert "The errors leave open whether the time grows from 0.7 to 0.6 T_{sp}" in unsure
