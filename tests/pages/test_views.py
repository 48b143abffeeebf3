import re
from dataclasses import replace
from html import unescape
from typing import Any, Literal, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL.Image import new

from discreet.assistant import (
    Assistant,
    Conversation,
    Note,
    Notes,
    countries,
    load_policy,
    numbers_of,
)
from discreet.erasure import Line, Receipt
from discreet.model import load
from discreet.pages.texts import load_texts
from discreet.pages.views import Now, View
from discreet.service import Visit
from discreet.types import Domain, Language

NOTE = Note(id="n", question="Why rest?", text="Rest helps a lot.", context="healthcare")


def view(language: Language = "en") -> View:
    return View(context="healthcare", language=language, texts=load_texts(language), people=())


@pytest.fixture(scope="module")
def talk() -> Conversation:
    assistant = Assistant(
        vlm=load("tiny"), policy=load_policy("healthcare"), notes=Notes.build([NOTE])
    )
    return Conversation(assistant, language="en", consents=frozenset)


def shown(html: str) -> str:
    """Return what a person reads of it."""
    return unescape(re.sub(r"<[^>]*>", "", html))


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1))
def test_words_of_a_person_stay_words(words: str) -> None:
    html = view().talk(None, Now(question=words, text=words, place=0))
    plain = view().talk(None, Now(question="x", text="x", place=0))
    assert re.findall(r"<[^>]*>", html) == re.findall(r"<[^>]*>", plain)


@pytest.mark.parametrize(
    "words", ["{{value}}", "${1 + 1}", "`${alert(1)}`", "<img src=x onerror=alert(1)>"]
)
def test_nothing_that_gradio_or_a_browser_acts_on_is_left(words: str) -> None:
    html = view().talk(None, Now(question=words, text="", place=0))
    assert not set("{}$`") & set(html)
    assert "<img" not in html
    assert words in shown(html)


def test_an_answer_says_for_whom_it_was_written(talk: Conversation) -> None:
    talk.forget()
    talk.ask("Why rest?")
    talk.declare("age_band", "older_adult")
    talk.ask("Why rest?")
    html = shown(view().talk(cast(Visit, talk)))
    assert "Written for anybody: nothing about you was used." in html
    assert "Written for an older adult, as you said." in html


@pytest.mark.parametrize("language", ["en", "fr"])
def test_why_says_what_was_known_and_held_back_in_words(
    talk: Conversation, language: Language
) -> None:
    talk.forget()
    talk.declare("age_band", "child")
    talk.declare("expression", "sad")
    html = shown(view(language).why(talk.ask("Why rest?")))
    texts = load_texts(language)
    assert texts["about.child"] in html
    assert texts["why.withheld"] in html
    assert "sad" not in html  # what was held back has no value to show
    assert "Why rest?" in html


def test_what_changed_an_answer_is_said(talk: Conversation) -> None:
    talk.forget()
    talk.declare("age_band", "older_adult")
    html = shown(view().why(talk.ask("Why rest?")))
    assert "It changed: how easy the words are, that it comes in steps, how long it is." in html


def test_an_answer_that_nothing_changed_does_not_say_it_was_written_for_somebody(
    talk: Conversation,
) -> None:
    talk.forget()
    talk.declare("age_band", "older_adult")
    talk.ask("What is the capital of Peru?")  # no note, so the same words for everybody
    html = shown(view().talk(cast(Visit, talk)))
    assert "Written for" not in html
    assert "The same for everybody" in html


def test_each_step_has_a_line_of_its_own() -> None:
    now = Now(question="x", text="Step by step: 1. Sit. 2. Wait 3.5 hours. 3. Rise.", place=0)
    assert now.paragraphs == ["Step by step:", "1. Sit.", "2. Wait 3.5 hours.", "3. Rise."]


def test_the_place_in_the_line_is_said() -> None:
    assert "number 3 in line" in shown(view().talk(None, Now(question="x", text="", place=3)))


def test_a_copy_of_the_data_is_whole_and_readable() -> None:
    record: dict[str, Any] = {"provided": {"questions": ["Où ? <b>{x}</b>"]}, "inferred": []}
    assert '"Où ? <b>{x}</b>"' in shown(view().export(record))


@pytest.mark.parametrize("context", ["healthcare", "tutoring"])
@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_numbers_of_each_country_are_said_and_no_others(
    language: Language, context: Domain
) -> None:
    for country in countries():
        page = replace(view(language), country=country, context=context)
        numbers = numbers_of(country)
        assert numbers is not None
        assert re.findall(r"\d+", shown(page.person())) == list(numbers.emergency)


def test_without_a_country_the_page_names_none_of_its_own() -> None:
    said = shown(view("fr").person())
    assert "appelez le numéro d'urgence." in said
    assert re.findall(r"\d+", said) == ["112"]
    assert "your local emergency number" in shown(view().person())


def test_each_country_asks_for_its_own_spans() -> None:
    french = replace(view("fr"), country="FR").ages
    assert french[:2] == (("Moins de 15 ans", "child"), ("De 15 à 17 ans", "youth"))
    assert replace(view(), country="BE").ages[1] == ("13 to 17", "youth")
    assert view().ages[1] == ("16 to 17", "youth")
    assert [value for _, value in french[2:]] == ["young_adult", "middle_aged", "older_adult"]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_receipt_says_what_failed_and_the_way_out(language: Language) -> None:
    gone, broken = Line(store="consent", found=2, erased=2), Line.kept("files", "failed: OSError")
    texts = load_texts(language)
    whole = shown(view(language).receipt(Receipt(lines=(gone, Line.kept("events", "events")))))
    assert texts["privacy.forgotten"] in whole
    assert texts["privacy.not_forgotten"] not in whole
    part = shown(view(language).receipt(Receipt(lines=(gone, broken))))
    assert texts["privacy.not_forgotten_out"] in part
    assert texts["privacy.forgotten"] not in part
    for name, says in Receipt(lines=(gone, broken)).rows(language):
        assert name in part
        assert says in part


def test_large_text_is_offered_to_whoever_was_guessed_to_be_an_older_adult() -> None:
    texts = load_texts("en")
    offers = {
        source: texts["talk.offer"] in view().talk(cast(Visit, Talk(source)), offers=True)
        for source in ("estimated", "declared")
    }
    assert offers == {"estimated": True, "declared": False}
    assert texts["talk.offer"] not in view().talk(cast(Visit, Talk("estimated")))


class Talk:
    """One exchange in which an older adult is known from a source."""

    def __init__(self, source: Literal["estimated", "declared"]) -> None:
        assistant = Assistant(
            vlm=load("tiny"), policy=load_policy("healthcare"), notes=Notes.build([NOTE])
        )
        said = Conversation(assistant, language="en", consents=frozenset)
        said.declare("age_band", "older_adult")
        done = said.ask("Why rest?")
        seen = tuple(replace(one, source=source) for one in done.why.observed)
        self.exchanges = (replace(done, why=replace(done.why, observed=seen)),)


@pytest.mark.parametrize("language", ["en", "fr"])
def test_an_answer_says_why_nobody_looked_at_a_picture(
    talk: Conversation, language: Language
) -> None:
    talk.forget()
    done = talk.ask("Why rest?", new("RGB", (1, 1)))
    said = done.why.picture_in_words(language)
    assert said is not None
    assert said in shown(view(language).why(done))
    assert said in shown(view(language).talk(cast(Visit, talk)))
    assert talk.ask("Why rest?").why.picture_in_words(language) is None
