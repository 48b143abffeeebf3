"""Whom to call: each number with a source and a day, and said in each language."""

import re
from datetime import UTC, datetime

import pytest

from discreet.assistant.safety_numbers import (
    _numbers,
    countries,
    emergency_text,
    numbers_of,
    whom_to_call,
)
from discreet.assistant.texts import TEXTS
from discreet.types import Language

PAIN, SELF_HARM, POISON = "I have chest pain", "I want to kill myself", "my son drank bleach"
# The members of the European Union, where 112 is answered (service-public.fr).
MEMBERS = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"


def test_every_number_has_a_source_and_the_day_it_was_checked_on() -> None:
    for country, numbers in _numbers().items():
        assert re.fullmatch(r"[A-Z]{2}", country)
        assert len(numbers.source) > 10
        assert numbers.checked_on <= datetime.now(UTC).date()
        lines = [line.number for line in (numbers.listen, numbers.poison) if line]
        for number in (*numbers.emergency, *lines, *([numbers.write] if numbers.write else [])):
            assert re.fullmatch(r"[0-9][0-9 -]{1,16}", number), country


def test_the_european_number_is_among_those_of_every_member() -> None:
    assert len(MEMBERS.split()) == 27
    for country in MEMBERS.split():
        numbers = numbers_of(country)
        assert numbers is not None
        assert "112" in numbers.emergency


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_numbers_are_said_first_and_lines_where_the_danger_has_one(language: Language) -> None:
    for country, numbers in _numbers().items():
        said = emergency_text(language, country, PAIN)
        first = said.split(".")[1]
        assert all(number in first for number in numbers.emergency), country
        for danger, line in ((SELF_HARM, numbers.listen), (POISON, numbers.poison)):
            if line is not None:
                assert line.number in emergency_text(language, country, danger)
                assert line.name not in said


@pytest.mark.parametrize("country", [None, "XX", "be", ""])
def test_where_no_number_is_known_the_text_is_right_anywhere(country: str | None) -> None:
    assert numbers_of(country) is None
    assert emergency_text("fr", country, SELF_HARM) == TEXTS["fr"].emergency


def test_a_deployment_in_france_says_15_and_who_listens() -> None:
    assert emergency_text("fr", "FR", "j'ai envie de mourir") == (
        "C'est peut-être une urgence. Appelez tout de suite le 15 ou le 112, ou demandez à "
        "quelqu'un près de vous d'appeler. Si vous pensez à vous faire du mal, il y a de l'aide : "
        "appelez maintenant, et restez avec quelqu'un. Vous pouvez aussi appeler Numéro national "
        "de prévention du suicide : 3114. Si vous ne pouvez pas parler, envoyez un SMS au 114."
    )


@pytest.mark.parametrize("language", ["en", "fr"])
def test_whom_to_call_is_said_as_the_emergency_text_says_it(language: Language) -> None:
    assert set(MEMBERS.split()) < set(countries())
    for country in (*countries(), None):
        called = whom_to_call(language, country)
        assert f" {called}" in emergency_text(language, country, PAIN)
        assert (country is None) == (called == TEXTS[language].any_number)
