"""No dose and no diagnosis, asked for or given; and who says that they are not well."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.assistant import load_policy, safety
from discreet.assistant.emergency import HEARD
from discreet.assistant.policy import CONTEXTS
from discreet.assistant.safety import REFUSED, asks_for, gives, hears_distress, says_distress
from discreet.data import load_questions
from discreet.types import AGE_BANDS, Language

HERE = Path(__file__).parent
KINDS = [("asks", kind) for kind in REFUSED] + [("says", kind) for kind in REFUSED]
KINDS += [("person", "distress")]


def heard(group: str, text: str) -> str:
    """Return which kind of a group a text is taken for."""
    if group == "asks":
        return asks_for(text) or "none"
    if group == "says":
        return gives(text, note="") or "none"
    return "distress" if says_distress(text) else "none"


def shares(file: str) -> tuple[float, float]:
    """Return how much of what is meant is heard, and how much of the rest is heard falsely."""
    found = {True: [], False: []}  # type: dict[bool, list[bool]]
    for groups in tomllib.loads((HERE / file).read_text(encoding="utf-8")).values():
        for group, kinds in groups.items():
            for kind, texts in kinds.items():
                is_meant = kind != "none"
                got = [heard(group, text) for text in texts]
                found[is_meant] += [kind == one if is_meant else one != "none" for one in got]
    return tuple(sum(found[meant]) / len(found[meant]) for meant in (True, False))  # type: ignore[return-value]


def test_words_that_were_tried_are_all_heard_and_none_falsely() -> None:
    assert shares("safety.tuned.toml") == (1.0, 0.0)


def test_most_of_what_was_never_tried_is_heard_and_hardly_any_falsely() -> None:
    """37 of 51 and 1 of 28 when the words were chosen: rules miss what they have no words for."""
    meant, falsely = shares("safety.held_out.toml")
    assert meant >= 37 / 51
    assert falsely <= 1 / 28


@pytest.mark.parametrize("language", ["en", "fr"])
def test_no_shipped_question_note_or_answer_asks_for_or_gives_either(language: Language) -> None:
    for question in load_questions(language=language):
        assert asks_for(question.question) is None, question.id
        assert gives(f"{question.note} {question.safety}", note="") is None, question.id
        for reader in (*AGE_BANDS, "distressed"):
            answer = " ".join(getattr(question, reader))
            assert gives(answer, note=question.note) is None, (question.id, reader)


def test_a_note_with_a_dose_may_be_told_and_one_without_may_not() -> None:
    dose = "Children take 5 ml."
    assert gives("Take 5 ml.", note=dose) is None
    assert gives("Take 5 ml.", note="Ask a pharmacist.") == "dose"
    assert gives("You have asthma.", note=dose) == "diagnosis"


@pytest.mark.parametrize("context", CONTEXTS)
def test_distress_matters_where_a_purpose_has_expressions(context: str) -> None:
    policy = load_policy(context)
    ruled = {name for purpose in policy.purposes.values() for name in purpose.attributes}
    assert hears_distress(policy) == ("expression" in ruled)
    assert not hears_distress(load_policy("education"))
    assert not hears_distress(load_policy("workplace"))


def test_no_pattern_repeats_without_bound() -> None:
    for group, kind in [*KINDS, ("person", "supposed")]:
        pattern = safety._words(group, kind).pattern
        assert not re.search(r"(?<!\\)[*+]|\{\d*,\}", pattern), (group, kind)
        assert "<" not in re.sub(r"\(\?<[!=]", "", pattern), "every list has its place"


@given(st.text(st.characters(), max_size=200), st.integers(1, HEARD // 10))
def test_any_text_is_read(text: str, times: int) -> None:
    for group, _ in KINDS:
        heard(group, text * times)
