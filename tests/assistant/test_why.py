"""What is said to have shaped an answer is what did: compared with the answer without it."""

import re
from dataclasses import replace
from itertools import chain, combinations, product
from pathlib import Path

import pytest

from discreet import assistant
from discreet.assistant import CHANGES, CONTEXTS, Decision, Reply, gate, load_policy, sight
from discreet.assistant.drafts import reader_told
from discreet.assistant.gate import Withheld
from discreet.assistant.guard import NEVER_GIVEN
from discreet.assistant.policy import EFFECTS, VALUES
from discreet.assistant.session import OTHER_LANGUAGE
from discreet.assistant.sight import NOT_SURE, SEEN
from discreet.assistant.why import Why, _words, changes_of, faded, percent_sure, why_of
from discreet.model import person_line
from discreet.types import Language, Observation

LANGUAGES: tuple[Language, ...] = ("en", "fr")


def said(name: str, value: str) -> Observation:
    return Observation(attribute=name, value=value, source="declared", confidence=1.0)  # type: ignore[arg-type]


EVERYBODY = [
    [said(name, value) for name, value in zip(names, values, strict=True)]
    for names in chain.from_iterable(combinations(VALUES, n) for n in range(1, 4))
    for values in product(*(VALUES[name] for name in names))
]


def reply(decision: Decision, **changes: object) -> Reply:
    fields: dict[str, object] = {
        "text": "Rest.",
        "mode": "gated",
        "note_id": "n",
        "note_text": "Rest.",
        "note_question": "How do I rest?",
        "replaced": None,
        "left_out": None,
        "decision": decision,
        "seconds": 0.1,
        "drafts": 1,
    }
    return Reply(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_changes_nothing_could_be_left_out_and_what_changes_something_could_not(
    language: Language,
) -> None:
    for told in EVERYBODY:
        for seen in told:
            without = [one for one in told if one is not seen]
            same_prompt = person_line(told) == person_line(without)
            same_form = reader_told(told) == reader_told(without)
            changes = changes_of(seen, told, language)
            if seen.attribute in ("text_size", "language"):
                assert changes == (seen.attribute,)
                assert (same_prompt, same_form) == (True, True)
            else:
                assert bool(changes) == (not same_prompt)
            assert set(changes) <= set(CHANGES)


def test_the_table_that_the_gate_reads_is_what_answers_show() -> None:
    """For every value that can pass: beside whatever else is known, in any language."""
    found: dict[tuple[str, str], set[str]] = {}
    for told, language in product(EVERYBODY, LANGUAGES):
        for seen in told:
            changes = changes_of(seen, told, language)
            found.setdefault((seen.attribute, seen.value), set()).update(changes)
    for name, values in EFFECTS.items():
        for value, effect in values.items():
            if effect:
                assert found[name, value] == set(effect), (name, value)


@pytest.mark.parametrize("context", CONTEXTS)
def test_nothing_changes_more_than_a_shipped_policy_lets_it(context: str) -> None:
    policy = load_policy(context)
    for purpose, language, observed in product(policy.purposes.values(), LANGUAGES, EVERYBODY):
        decision = gate(observed, policy, purpose=purpose.name)
        for seen in decision.passed:
            changes = changes_of(seen, decision.told, language)
            assert set(changes) <= set(purpose.attributes[seen.attribute].may_change), seen.value


def test_each_observation_has_its_own_fate_and_none_that_was_held_back_has_a_value() -> None:
    policy = load_policy("healthcare")
    guess = replace(said("age_band", "child"), source="estimated", confidence=0.7)
    observed = [said("expression", "sad"), said("age_band", "older_adult"), guess]
    decision = gate(observed, policy, consented=frozenset({"inform/age_band"}))
    why = why_of(reply(decision), observed, language="en")
    fates = [
        (one.attribute, one.value, one.source, one.confidence, one.passed) for one in why.observed
    ]
    assert fates == [
        ("expression", None, "declared", 1.0, False),
        ("age_band", "older_adult", "declared", 1.0, True),
        ("age_band", None, "estimated", 0.7, False),
    ]
    assert why.person == "an older adult, in numbered steps"
    assert "steps" in why.observed[1].changed
    assert [one.changed for one in why.observed if not one.passed] == [(), ()]


def test_where_no_model_was_asked_nothing_of_the_person_changed_the_answer() -> None:
    observed = [said("age_band", "child"), said("text_size", "large")]
    decision = gate(observed, load_policy("healthcare"))
    why = why_of(reply(decision, drafts=0), observed, language="en")
    assert [one.changed for one in why.observed] == [(), ("text_size",)]
    assert why.person is None
    assert "It changed nothing" in why.in_words("en")


def test_a_turn_that_is_over_keeps_no_value_of_an_estimate() -> None:
    guess = replace(said("age_band", "older_adult"), source="estimated", confidence=0.9)
    observed = [said("reading", "plain"), guess]
    decision = gate(observed, load_policy("healthcare"), consented=frozenset({"inform/age_band"}))
    over = faded(why_of(reply(decision), observed, language="en"))
    assert [one.value for one in over.observed] == ["plain", None]
    assert over.person is None
    assert "What it was is not kept" in over.in_words("en")
    assert "older" not in over.in_words("en")


def rich(language: Language) -> Why:
    guess = replace(said("age_band", "older_adult"), source="estimated", confidence=0.9)
    observed = [said("expression", "sad"), said("text_size", "large"), guess]
    decision = gate(observed, load_policy("healthcare"), consented=frozenset({"inform/age_band"}))
    told = reply(decision, left_out=NOT_SURE, replaced=OTHER_LANGUAGE, drafts=3, added=1)
    return why_of(replace(told, unsaid=2, note_cut=1), observed, language=language)


def test_all_of_it_is_said_in_words() -> None:
    assert rich("en").in_words("en").splitlines() == [
        "Expression of the face: you said it, and it was not used: not allowed for this purpose.",
        "Text size: large. You said so. It changed the text size.",
        "Age group: older adult. Estimated from your picture, 90% sure. It changed how easy the "
        "words are, whether it is in steps and the length.",
        "Your picture was left out: it is not sure that exactly one face is seen.",
        'The facts come from the vetted note "How do I rest?".',
        "The model was told to answer for: an older adult, in numbered steps.",
        "The note speaks for the model: the responder does not write the note's language.",
        "Chosen from 3 drafts.",
        "Sentences of the model that were not shown, because the note does not bear them out: 2.",
        "Sentences of the note that were added, because the model left facts unsaid: 1.",
        "Sentences at the end of the note that the model did not read: 1.",
    ]


def test_no_english_is_left_in_french_words() -> None:
    french = rich("fr").in_words("fr").splitlines()
    assert len(french) == len(rich("en").in_words("en").splitlines())
    quoted = ("How do I rest?", "an older adult, in numbered steps")
    text = "\n".join(french).replace(quoted[0], "").replace(quoted[1], "")
    assert not re.search(r"\b(the|your|was|not|it|model)\b", text)


def test_both_languages_have_the_same_words_and_every_reason_has_its_french() -> None:
    english, french = _words("en"), _words("fr")
    for group in ("attributes", "values", "changes", "says"):
        assert set(english[group]) == set(french[group])
    assert set(english["attributes"]) == set(VALUES)
    assert set(english["changes"]) == set(CHANGES)
    assert set(english["values"]) == {value for values in VALUES.values() for value in values}
    source = (Path(assistant.__file__).parent / "guard.py").read_text()
    guarded = re.findall(r'_reason = "([^"]+)"', source)
    assert len(guarded) >= 4
    reasons = {why for name, why in vars(sight).items() if name.startswith(("NOT_", "NO_"))}
    assert len(reasons) == 11
    reasons |= {*SEEN.values(), *NEVER_GIVEN.values(), *guarded, OTHER_LANGUAGE}
    assert set(french["texts"]) == reasons


def test_a_fixed_text_is_said_to_be_one() -> None:
    nothing = Decision(passed=(), withheld=())
    for changes in ({"drafts": 0, "refused": "dose"}, {"drafts": 0}):
        why = why_of(reply(nothing, **changes), [], language="en", urgent="refused" not in changes)
        assert "no model wrote it" in why.in_words("en")
        assert why.in_words("en").startswith("Nothing about you was used.")


def test_a_gate_that_held_back_in_another_order_would_be_found_out() -> None:
    """The gate keeps the order; were it not so, a value could be shown that was held back."""
    observed = [said("expression", "sad"), said("age_band", "child")]
    decision = gate(observed, load_policy("healthcare"))
    assert [w.attribute for w in decision.withheld] == ["expression"]
    assert isinstance(decision.withheld[0], Withheld)
    assert decision.passed == (observed[1],)


@pytest.mark.parametrize(
    ("confidence", "percent"), [(0.0, 0), (0.504, 50), (0.985, 98), (0.999, 99), (1.0, 99)]
)
def test_no_estimate_is_said_to_be_sure(confidence: float, percent: int) -> None:
    assert percent_sure(confidence) == percent
