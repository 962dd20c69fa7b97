"""What a section may hold, and how its values are printed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinodal.report.section import Figure, Paragraph, Row, Section, Table, plain, shown

EN_DASH, MINUS, TIMES = "\N{EN DASH}", "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, EN_DASH),
        (True, "yes"),
        (False, "no"),
        ("never", "never"),
        (0, "0"),
        (-7, MINUS + "7"),
        (1234, "1234"),
        (160_000, "160,000"),
        (0.0, "0"),
        (0.32, "0.32"),
        (0.49995, "0.5000"),
        (0.1 + 0.2, "0.3"),
        (0.09254518033414291, "0.09255"),
        (-0.0284534617, MINUS + "0.02845"),
        (2.11e-5, f"2.11{TIMES}10⁻⁵"),
        (4e18, f"4{TIMES}10¹⁸"),
        (25474.3, "25,474"),
        (100.0, "100"),
        (math.inf, "inf"),
        ((0.9, None), f"0.9, {EN_DASH}"),
    ],
)
def test_values_are_printed_as_a_paper_would(value, text):
    assert shown(value) == text


@given(st.floats(-1e300, 1e300), st.integers(1, 12))
def test_a_printed_number_is_within_half_a_unit_of_its_last_digit(value, digits):
    text = shown(value, digits).replace(MINUS, "-").replace(",", "")
    powers = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    mantissa, _, power = text.translate(powers).partition(TIMES + "10")
    read = float(f"{mantissa}e{power or 0}")
    # the smallest numbers have fewer bits than that
    assert abs(read - value) <= 0.5000001 * abs(value) * 10.0 ** (1 - digits) + 1e-323


def test_marks_vanish_where_there_is_no_emphasis():
    assert plain("a `b`, **c** and *d*: x_{ij} 10^{-2}, 3 * 4") == (
        "a b, c and d: x_ij 10^-2, 3 * 4"
    )


def test_a_table_whose_rows_do_not_fit_its_columns_is_refused():
    with pytest.raises(ValueError, match="2 columns but a row of 1"):
        Table(name="t", caption="", columns=("a", "b"), rows=((1, 2), (3,)))


@pytest.mark.parametrize("name", ["../x", "a/b", "A", "", "x" * 80, "a b", ".x"])
def test_a_name_that_would_not_make_a_file_is_refused(name):
    with pytest.raises(ValueError, match="cannot name a file"):
        Table(name=name, caption="", columns=(), rows=())


def test_a_figure_says_in_words_what_is_seen():
    with pytest.raises(ValueError, match="say in words"):
        Figure(name="f", caption="", alt=" ", draw=lambda canvas: None)


def test_names_are_used_once_and_rows_are_opened_in_reading_order():
    first, second = (Table(name=name, caption="", columns=(), rows=()) for name in ("a", "b"))
    blocks = (Row((first, Paragraph("x"))), second)
    section = Section(id="s", title="", question="", answer="", blocks=blocks)
    assert section.tables() == [first, second]
    with pytest.raises(ValueError, match=r"twice: \['a'\]"):
        Section(id="s", title="", question="", answer="", blocks=(first, Row((first,))))
