"""A card tells what somebody chose to tell, and whom to show it to."""

import re
from itertools import product

import pytest

from discreet.assistant import PARTS, Contact, hand_over
from discreet.assistant.handover import _tables
from discreet.assistant.policy import CONTEXTS
from discreet.types import Language

LANGUAGES: tuple[Language, ...] = ("en", "fr")


@pytest.mark.parametrize(("context", "language"), list(product(CONTEXTS, LANGUAGES)))
def test_every_context_names_somebody_in_every_language(context: str, language: Language) -> None:
    card = hand_over(context, language, country="FR")
    said = card.in_words()
    assert card.contact.who in said
    assert card.contact.reach in said
    assert "15" in said
    assert "112" in said
    assert card.told == {}
    assert _tables()["words"][language]["nothing"] in said


def test_no_number_is_made_up_for_an_unknown_country() -> None:
    assert hand_over("home", "en").emergency == ()
    assert "call" not in hand_over("home", "en").in_words()


def test_the_deployment_names_whom_it_has() -> None:
    desk = Contact(who="the night desk", reach="Press the red button.")
    assert hand_over("healthcare", "en", contact=desk).in_words().startswith("To: the night desk\n")


def test_parts_are_said_in_their_order_and_others_are_refused() -> None:
    told = {part: f"text of {part}" for part in reversed(PARTS)}
    card = hand_over("healthcare", "en", told=told)
    assert tuple(card.told) == PARTS
    places = [card.in_words().index(text) for text in card.told.values()]
    assert places == sorted(places)
    assert "text of" not in repr(card)
    with pytest.raises(ValueError, match="Expected parts among question"):
        hand_over("healthcare", "en", told={"expression": "sad"})  # type: ignore[dict-item]


def test_both_languages_have_the_same_words() -> None:
    words = _tables()["words"]
    assert set(words["en"]) == set(words["fr"])


@pytest.mark.parametrize("context", CONTEXTS)
def test_french_cards_speak_to_everybody_in_one_form(context: str) -> None:
    words = set(re.findall(r"\w+", hand_over(context, "fr").in_words().lower()))
    assert words & {"montrez", "lisez"}
    assert not words & {"tu", "te", "toi", "ton", "ta", "tes", "montre", "parle", "parles", "lis"}
