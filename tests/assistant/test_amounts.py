"""The amounts of a text are those that a reader counts."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.assistant.amounts import UNITS, amounts, are_borne_out, plain_text


def read(text: str) -> set[tuple[str, str | None]]:
    return {(str(one.value), one.unit) for one in amounts(text)}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Wait 1.5 hours, or two days.", {("3/2", "hour"), ("2", "day")}),
        ("1 or 5 ml", {("1", "ml"), ("5", "ml")}),
        ("1,5 ml and 1,000", {("3/2", "ml"), ("1000", None)}),
        ("-20 minutes", {("-20", "minute")}),
        ("5-20 ml", {("5", "ml"), ("20", "ml")}),
        ("VII of Ⅶ, ½ and 二", {("7", None), ("1/2", None), ("2", None)}),
        ("٢٠ minutes", {("20", "minute")}),
        ("twenty-five hundred pills", {("2500", "pill")}),
        ("one of them takes one tablet an hour", {("1", "tablet")}),
        ("4 times 3; 4 times a day", {("4", None), ("3", None), ("4", "time")}),
        ("twice, and a double dose", {("2", "time"), ("2", "fold")}),
        ("vitamin B12", {("b12", None)}),
        ("no number at all", set()),
    ],
)
def test_amounts_are_read_however_they_are_written(
    text: str, found: set[tuple[str, str | None]]
) -> None:
    assert read(text) == found


@given(
    value=st.fractions(0, 1000).map(lambda f: Fraction(round(f * 100), 100)),
    unit=st.sampled_from(sorted(u for u in UNITS if u.isalpha())),
)
def test_a_number_is_read_with_its_unit_and_bears_itself_out(value: Fraction, unit: str) -> None:
    found = amounts(f"Wait {float(value)} {unit}.")
    assert [(one.value, one.unit) for one in found] == [(value, UNITS[unit])]
    assert are_borne_out(found, found)
    assert not are_borne_out(amounts(f"Wait {float(value + 1)} {unit}."), found)


@given(text=st.text(max_size=40))
def test_any_text_bears_itself_out(text: str) -> None:
    assert are_borne_out(amounts(text), amounts(text))
    assert plain_text(plain_text(text)) == plain_text(text)
