"""The gate denies by default: what passes follows from policy, purpose, consent and age alone."""

import json
import math
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.assistant import Decision, Policy, Reason, Rule, gate, load_policy, say_reason
from discreet.assistant.policy import CONTEXTS, DECLARED_ONLY, EFFECTS, PAGE_ONLY, SOURCES, VALUES
from discreet.errors import PolicyError
from discreet.types import AGE_BANDS, EXPRESSIONS, Attribute, Language, Observation
from tests.assistant.policies import policy, purpose

PROHIBITED = {"education", "workplace"}


def test_attributes_and_values_are_those_of_the_types() -> None:
    assert tuple(VALUES) == get_args(Attribute)
    assert VALUES["age_band"] == AGE_BANDS
    assert VALUES["expression"] == EXPRESSIONS
    assert VALUES["language"] == get_args(Language)


confidences = st.floats(0, 1) | st.sampled_from([math.nan, math.inf, -1.0, 1.0001, 2.0])
values = st.sampled_from([v for known in VALUES.values() for v in known]) | st.text(max_size=8)
observations = st.builds(
    Observation,
    attribute=st.sampled_from([*VALUES, "race", "gender"]),
    value=values,
    source=st.sampled_from(SOURCES),
    confidence=confidences,
)
NAMES = [f"test/{name}" for name in (*VALUES, "picture", "race")]
consents = st.frozensets(st.sampled_from(NAMES) | st.text(max_size=8))


@st.composite
def rules(draw: st.DrawFn, name: str) -> Rule:
    known = SOURCES[:1] if name in DECLARED_ONLY else SOURCES
    sources = draw(st.lists(st.sampled_from(known), unique=True))
    said = draw(st.lists(st.sampled_from(VALUES[name]))) if "estimated" in sources else []
    changes = sorted({change for effect in EFFECTS[name].values() for change in effect})
    seers = ("person",) if name in PAGE_ONLY or draw(st.booleans()) else ("person", "responder")
    return Rule(
        sources=tuple(sources),
        min_confidence=draw(st.floats(0, 1)),
        estimated_values=tuple(said),
        may_change=tuple(draw(st.lists(st.sampled_from(changes)))),
        seen_by=seers,
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    context = draw(st.sampled_from(CONTEXTS))
    is_open = context not in PROHIBITED
    known = [name for name in VALUES if is_open or name != "expression"]
    names = draw(st.sets(st.sampled_from(known)))
    return policy(
        context,
        {name: draw(rules(name)) for name in sorted(names)},
        responder_sees_picture=is_open and draw(st.booleans()),
    )


def may_pass(
    one: Observation,
    seen: list[Observation],
    rules: dict[str, Rule],
    consented: frozenset[str],
    minor: bool,
) -> bool:
    """Tell it a second time, as the sentences of the design say it."""
    rule = rules.get(one.attribute)
    if rule is None or one.value not in VALUES.get(one.attribute, ()):
        return False
    children = [o for o in seen if o.attribute == "age_band" and o.value == "child"]
    is_minor = minor or any(o.source == "declared" for o in children)
    could_be = bool(children) and one.attribute != "age_band"
    was_said = any(o.source == "declared" and o.attribute == one.attribute for o in seen)
    as_estimate = (
        one.value in rule.estimated_values
        and f"test/{one.attribute}" in consented
        and not (is_minor or could_be or was_said)
    )
    changes = EFFECTS[one.attribute][one.value]
    return (
        one.source in rule.sources
        and (one.source == "declared" or as_estimate)
        and rule.min_confidence <= one.confidence <= 1
        and bool(changes)
        and all(change in rule.may_change for change in changes)
    )


@given(
    seen=st.lists(observations, max_size=8),
    one=policies(),
    consented=consents,
    minor=st.booleans(),
)
def test_what_passes_is_what_the_policy_allows_and_nothing_else(
    seen: list[Observation], one: Policy, consented: frozenset[str], minor: bool
) -> None:
    decision = gate(seen, one, consented=consented, minor=minor)
    allowed = dict(one.purpose_of().attributes)
    expected = [o for o in seen if may_pass(o, seen, allowed, consented, minor)]
    # NaN equals nothing, so that observations are told apart by identity.
    assert [id(o) for o in decision.passed] == [id(o) for o in expected]
    assert len(decision.passed) + len(decision.withheld) == len(seen), "each has a decision"
    for passed in decision.passed:
        rule = allowed[passed.attribute]
        assert passed.attribute != "expression" or one.context not in PROHIBITED
        assert (passed in decision.told) == ("responder" in rule.seen_by)
        assert set(decision.may_change[passed.attribute]) <= set(rule.may_change)
    assert all(told in decision.passed for told in decision.told)
    assert {*decision.may_change} == {o.attribute for o in decision.passed}


@given(seen=st.lists(observations, max_size=8), one=policies(), consented=consents)
def test_of_a_minor_no_estimate_passes_whatever_was_consented_to(
    seen: list[Observation], one: Policy, consented: frozenset[str]
) -> None:
    decision = gate(seen, one, consented=consented | {*NAMES}, minor=True)
    assert all(passed.source == "declared" for passed in decision.passed)


@given(seen=st.lists(observations, max_size=8), one=policies())
def test_without_consent_no_estimate_passes(seen: list[Observation], one: Policy) -> None:
    assert all(passed.source == "declared" for passed in gate(seen, one).passed)


@given(seen=st.lists(observations, max_size=8))
def test_an_empty_purpose_lets_nothing_through(seen: list[Observation]) -> None:
    assert gate(seen, policy("research", {}), consented=frozenset(NAMES)).passed == ()


def seen(attribute: str, value: str, source: str, confidence: float = 1.0) -> Observation:
    return Observation(
        attribute=attribute,  # type: ignore[arg-type]
        value=value,
        source=source,  # type: ignore[arg-type]
        confidence=confidence,
    )


def age(value: str, source: str, confidence: float = 1.0) -> Observation:
    return seen("age_band", value, source, confidence)


SAD = seen("expression", "sad", "estimated", 0.9)


def asked(context: str, *observations: Observation, purpose: str | None = None) -> Decision:
    """Return the decision for somebody who consented to everything."""
    one = load_policy(context)
    consented = frozenset(one.consentable(purpose))
    return gate(list(observations), one, purpose=purpose, consented=consented)


def reasons(decision: Decision) -> list[str]:
    return [str(held.reason) for held in decision.withheld]


def test_what_a_person_declares_replaces_what_was_estimated() -> None:
    decision = asked("healthcare", age("older_adult", "estimated"), age("young_adult", "declared"))
    assert [one.value for one in decision.passed] == ["young_adult"]
    assert reasons(decision) == ["replaced"]


@pytest.mark.parametrize("context", ["healthcare", "education", "research", "home"])
@pytest.mark.parametrize("band", AGE_BANDS)
def test_an_estimate_is_coarser_than_what_a_person_says(context: str, band: str) -> None:
    assert asked(context, age(band, "declared")).passed
    decision = asked(context, age(band, "estimated"))
    passes = band in ("child", "older_adult")
    assert (bool(decision.passed), reasons(decision)) == (passes, [] if passes else ["too_fine"])


def test_at_work_nothing_is_estimated() -> None:
    everything = frozenset({"inform/age_band", "inform/expression", "inform/picture"})
    decision = gate(
        [age("child", "estimated"), SAD], load_policy("workplace"), consented=everything
    )
    assert reasons(decision) == ["source_not_allowed", "not_allowed"]


@pytest.mark.parametrize(
    ("confidence", "passes"),
    [
        *((0.49, False), (0.5, True), (0.51, True), (1, True), (math.nan, False)),
        *((1.0001, False), (2.0, False), (math.inf, False), (True, False), ("1", False)),
    ],
)
def test_an_estimate_needs_the_minimum_of_confidence(confidence: float, passes: bool) -> None:
    decision = asked("healthcare", age("older_adult", "estimated", confidence))
    assert bool(decision.passed) == passes


@pytest.mark.parametrize(
    "consented",
    [
        *((), ("comfort/age_band",), ("age_band",), ("inform",), ("inform/*",), ("*",)),
        *(
            ("Inform/age_band",),
            ("inform/age_band ",),
            ("inform/age_band\n",),
            ("inform//age_band",),
        ),
    ],
)
def test_consent_is_to_one_attribute_for_one_purpose_by_its_exact_name(
    consented: tuple[str, ...],
) -> None:
    face, healthcare = age("older_adult", "estimated"), load_policy("healthcare")
    assert reasons(gate([face], healthcare, consented=frozenset(consented))) == ["no_consent"]
    assert gate([face], healthcare, consented=frozenset({"inform/age_band"})).passed


def test_an_expression_passes_for_comfort_and_for_no_other_purpose() -> None:
    assert reasons(asked("healthcare", SAD)) == ["not_allowed"]
    assert asked("healthcare", SAD, purpose="comfort").told == (SAD,)


def test_an_unknown_purpose_is_refused() -> None:
    with pytest.raises(PolicyError, match="inform, comfort"):
        gate([], load_policy("healthcare"), purpose="marketing")


def test_of_who_says_to_be_a_child_nothing_is_estimated() -> None:
    decision = asked("healthcare", age("child", "declared"), SAD, purpose="comfort")
    assert [one.attribute for one in decision.passed] == ["age_band"]
    assert reasons(decision) == ["minor"]


@pytest.mark.parametrize("confidence", [0.1, 0.99])
def test_who_looks_like_a_child_is_protected_and_nothing_else_is_read(confidence: float) -> None:
    """Also where it is not sure: the estimate itself may then not be used."""
    decision = asked("healthcare", SAD, age("child", "estimated", confidence), purpose="comfort")
    assert [one.value for one in decision.passed] == (["child"] if confidence > 0.5 else [])
    assert "minor" in reasons(decision)


def test_a_neutral_face_is_not_spoken_of() -> None:
    """There is nothing to fit to, and a small model answers the word instead of the question."""
    face = seen("expression", "neutral", "declared")
    decision = asked("healthcare", face, age("child", "declared"), purpose="comfort")
    assert [one.attribute for one in decision.passed] == ["age_band"]
    assert reasons(decision) == ["no_effect"]


def test_a_value_that_changes_more_than_it_may_is_withheld() -> None:
    rule = load_policy("home").purpose_of().attributes["age_band"]
    steps = policy("home", {"age_band": replace(rule, may_change=("steps", "length"))})
    assert gate([age("older_adult", "declared")], steps).may_change == {
        "age_band": ("steps", "length")
    }
    assert reasons(gate([age("child", "declared")], steps)) == ["may_not_change"]


def test_preferences_of_the_page_are_not_told_to_the_responder() -> None:
    said = [
        seen("text_size", "large", "declared"),
        seen("language", "fr", "declared"),
        seen("reading", "plain", "declared"),
    ]
    decision = asked("education", *said)
    assert decision.passed == tuple(said)
    assert [one.attribute for one in decision.told] == ["reading"]


def test_a_withheld_observation_keeps_no_value() -> None:
    decision = asked("education", SAD)
    (withheld,) = decision.withheld
    assert withheld.reason is Reason.NOT_ALLOWED
    assert json.dumps(withheld.reason) == '"not_allowed"'
    assert "sad" not in repr(decision)


@pytest.mark.parametrize("language", get_args(Language))
def test_every_reason_has_words_of_its_own(language: Language) -> None:
    words = [say_reason(reason, language) for reason in Reason]
    assert len({*words}) == len(words)
    assert all(words)


def test_purposes_do_not_leak_into_each_other() -> None:
    rule = load_policy("home").purpose_of().attributes["age_band"]
    two = policy(
        "home", purposes={"test": purpose({}), "more": purpose({"age_band": rule}, name="more")}
    )
    said = [age("child", "declared")]
    assert gate(said, two).passed == ()
    assert gate(said, two, purpose="more").passed == tuple(said)
