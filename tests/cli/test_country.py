"""Where a deployment is, as each command that answers people takes it."""

import json

import pytest

from discreet.assistant import Turn, countries, emergency_text, load_policy, numbers_of
from discreet.cli.serve import assistants
from discreet.model import load
from discreet.perception import estimator
from tests.cli.conftest import Run

CHAT = ("chat", "--adapter", "none", "--base", "tiny", "--find", "words", "--json", "--once")
DANGERS = ("I have chest pain", "I want to kill myself", "my son drank bleach")


@pytest.mark.parametrize("country", ["FR", "BE", "LU", "CH", "CA", "US", "GB", "IE", "de"])
def test_danger_in_a_chat_is_answered_with_the_numbers_of_its_country(
    discreet: Run, country: str
) -> None:
    status, out, err = discreet(*CHAT, DANGERS[1], "--country", country)
    assert status == 0, err
    said = json.loads(out)["answer"]
    assert emergency_text("en", country.upper(), DANGERS[1]) in said
    numbers = numbers_of(country.upper())
    assert numbers is not None
    assert all(number in said for number in numbers.emergency)
    assert numbers.listen is None or numbers.listen.number in said


def test_without_a_country_a_chat_supposes_none(discreet: Run) -> None:
    _, out, _ = discreet(*CHAT, DANGERS[0], "--language", "fr")
    assert emergency_text("fr", None, DANGERS[0]) in json.loads(out)["answer"]


def test_who_answers_for_pages_and_http_says_the_numbers_of_each_country() -> None:
    vlm, policy, eyes = load("tiny"), load_policy("healthcare"), estimator("small")
    for country in (*countries(), None):
        both = assistants(vlm, policy, eyes, find="words", country=country, drafts=1, cache=None)
        for answers, language in zip(both, ("en", "fr"), strict=True):
            for danger in DANGERS:
                said = answers.reply(Turn(question=danger)).text
                assert emergency_text(language, country, danger) in said  # type: ignore[arg-type]


@pytest.mark.parametrize("command", [("chat",), ("serve",), ("demo", "healthcare")])
def test_a_country_without_known_numbers_is_refused_with_those_there_are(
    discreet: Run, command: tuple[str, ...]
) -> None:
    status, _, err = discreet(*command, "--country", "Zebrapox")
    plain = " ".join(err.replace("│", " ").split())
    assert status == 2
    assert "AT, BE, BG, CA, CH" in plain
    assert "Leave it out" in plain
    assert "zebrapox" not in plain.lower()
