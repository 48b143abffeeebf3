"""The gate denies by default, and no policy file can ask for what is prohibited."""

import math
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from discreet.assistant import Policy, gate, load_policy
from discreet.assistant.policy import CONTEXTS, SOURCES, VALUES, Rule
from discreet.errors import PolicyError
from discreet.types import AGE_BANDS, Observation

RULE: dict[str, object] = {
    "sources": ["declared", "estimated"],
    "min_confidence": 0.5,
    "estimated_values": ["child"],
}
DECLARED: dict[str, object] = {"sources": ["declared"], "min_confidence": 0.5}


def raw(context: str = "healthcare", **changes: object) -> dict[str, object]:
    policy: dict[str, object] = {
        "context": context,
        "purpose": "a test",
        "native": False,
        "attributes": {"age_band": RULE},
    }
    return {**policy, **changes}


def load(tmp_path: Path, content: dict[str, object]) -> Policy:
    path = tmp_path / "policy.toml"
    path.write_text(tomli_w.dumps(content))
    return load_policy(path)


def test_the_shipped_policies_are_what_their_contexts_allow() -> None:
    healthcare, education = load_policy("healthcare"), load_policy("education")
    assert set(healthcare.attributes) == {"age_band", "expression"}
    assert set(education.attributes) == {"age_band"}
    assert not education.native
    assert (healthcare.context, education.context) == ("healthcare", "education")


def test_a_policy_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    rule = {"sources": ["declared"], "min_confidence": 1}
    policy = load(tmp_path, raw("research", native=True, attributes={"expression": rule}))
    assert policy == Policy(
        context="research",
        purpose="a test",
        native=True,
        attributes={"expression": Rule(sources=("declared",), min_confidence=1.0)},
    )


@pytest.mark.parametrize("context", ["education", "workplace"])
@pytest.mark.parametrize(
    "change",
    [
        {"attributes": {"expression": RULE}},
        {"attributes": {"expression": {"sources": ["declared"], "min_confidence": 1.0}}},
        {"native": True},
    ],
)
def test_emotion_at_school_and_work_is_prohibited(
    tmp_path: Path, context: str, change: dict[str, object]
) -> None:
    with pytest.raises(PolicyError, match=r"EU AI Act, Art\. 5\(1\)\(f\)"):
        load(tmp_path, raw(context, **change))


@pytest.mark.parametrize(
    "name", ["race", "ethnicity", "gender", "identity", "skin_tone", "emotion"]
)
@pytest.mark.parametrize("context", CONTEXTS)
def test_attributes_that_are_never_inferred_have_no_rule(
    tmp_path: Path, context: str, name: str
) -> None:
    with pytest.raises(PolicyError, match=r"Art\. 5\(1\)\(g\)"):
        load(tmp_path, raw(context, attributes={name: RULE}))


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"context": "school"},
        {"context": 3},
        {"context": ["healthcare"]},
        {"purpose": 3},
        {"purpose": ["care"]},
        {"purpose": " "},
        {"native": "yes"},
        {"native": 1},
        {"attributes": ["age_band"]},
        {"attributes": {"age_band": True}},
        {"attributes": {"age_band": {}}},
        {"attributes": {"age_band": {"sources": ["declared"]}}},
        {"attributes": {"age_band": {**RULE, "surprise": 1}}},
        {"attributes": {"age_band": {**DECLARED, "estimated_values": ["child"]}}},
        {"attributes": {"age_band": {**DECLARED, "sources": ["declared", "estimated"]}}},
        {"attributes": {"age_band": {**RULE, "estimated_values": "child"}}},
        {"attributes": {"age_band": {**RULE, "estimated_values": ["sad"]}}},
        {"attributes": {"age_band": {**RULE, "estimated_values": [["child"]]}}},
        {"attributes": {"age_band": {**RULE, "min_confidence": -0.1}}},
        {"attributes": {"age_band": {**RULE, "min_confidence": 1.1}}},
        {"attributes": {"age_band": {**RULE, "min_confidence": math.nan}}},
        {"attributes": {"age_band": {**RULE, "min_confidence": True}}},
        {"attributes": {"age_band": {**RULE, "min_confidence": "0.5"}}},
        {"attributes": {"age_band": {**RULE, "sources": "declared"}}},
        {"attributes": {"age_band": {**RULE, "sources": ["guessed"]}}},
        {"attributes": {"age_band": {**RULE, "sources": [["declared"]]}}},
        {"attributes": {"age_band": {**RULE, "sources": [{"a": 1}]}}},
    ],
    ids=str,
)
def test_a_policy_with_a_wrong_key_or_type_is_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    with pytest.raises(PolicyError):
        load(tmp_path, raw(**change))


@pytest.mark.parametrize("name", raw())
def test_a_policy_that_lacks_a_key_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PolicyError, match="Expected the keys"):
        load(tmp_path, {key: value for key, value in raw().items() if key != name})


@pytest.mark.parametrize(
    "content",
    [None, b"context = ", b"\xff\xfe", b"", b"a = " + b"9" * 5000, b"a = " + b"[" * 5000],
    ids=["missing", "cut", "no text", "empty", "digits", "brackets"],
)
def test_what_is_no_policy_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "policy.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PolicyError):
        load_policy(path)


@pytest.mark.parametrize(
    "source", ["workplace", "research", "nowhere", ".", "", "a\0b", "\ud800", "a" * 300]
)
def test_a_policy_that_does_not_ship_is_refused_with_those_that_do(source: str) -> None:
    with pytest.raises(PolicyError, match="education, healthcare"):
        load_policy(source)


PROHIBITED = {"education", "workplace"}
"""Where EU AI Act, Art. 5(1)(f) prohibits inferring emotion, written down a second time."""
SAD = Rule(sources=("declared", "estimated"), min_confidence=0.0, estimated_values=("sad",))
CHILD = Rule(sources=("declared", "estimated"), min_confidence=0.0, estimated_values=("child",))
RULES = {"age_band": CHILD, "expression": SAD, "race": CHILD, "emotion": SAD}


def test_no_policy_can_be_made_that_is_prohibited() -> None:
    """Every context, set of attributes and mode; the loader is not asked."""
    subsets = [names for size in range(len(RULES) + 1) for names in combinations(RULES, size)]
    made = 0
    for context, names, native in product([*CONTEXTS, "school"], subsets, (False, True)):
        lawful = context != "school" and {*names} <= {"age_band", "expression"}
        lawful = lawful and not (context in PROHIBITED and ("expression" in names or native))
        try:
            policy = Policy(
                context=context,
                purpose="a test",
                native=native,
                attributes={name: RULES[name] for name in names},
            )
        except PolicyError:
            assert not lawful, (context, names, native)
            continue
        assert lawful, (context, names, native)
        assert policy.native == native
        assert {*policy.attributes} == {*names}
        made += 1
    assert made == 2 * 4 * 2 + 2 * 2, "two open contexts, two with an age band at most"


def test_a_lawful_policy_does_not_become_another() -> None:
    rules = {"age_band": CHILD}
    policy = Policy(context="education", purpose="a test", native=False, attributes=rules)
    rules["expression"] = SAD
    assert set(policy.attributes) == {"age_band"}
    with pytest.raises(TypeError):
        policy.attributes["expression"] = SAD  # type: ignore[index]
    with pytest.raises(PolicyError, match=r"Art\. 5\(1\)\(f\)"):
        replace(policy, native=True)
    with pytest.raises(PolicyError, match=r"Art\. 5\(1\)\(f\)"):
        replace(load_policy("healthcare"), context="workplace")


@pytest.mark.parametrize(
    "change",
    [
        {"sources": ("guessed",)},
        {"sources": ["declared"]},
        {"sources": "declared"},
        {"sources": ("declared",)},
        {"min_confidence": math.nan},
        {"min_confidence": math.inf},
        {"min_confidence": 1.1},
        {"min_confidence": -0.1},
        {"min_confidence": True},
        {"min_confidence": "0.5"},
        {"estimated_values": ("ill",)},
        {"estimated_values": ["child"]},
        {"estimated_values": "child"},
    ],
    ids=str,
)
def test_a_rule_that_means_nothing_cannot_be_made(change: dict[str, object]) -> None:
    with pytest.raises(PolicyError, match="Expected"):
        replace(CHILD, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"context": "Education"},
        {"context": ["education"]},
        {"purpose": ""},
        {"purpose": 3},
        {"native": 1},
        {"attributes": [CHILD]},
        {"attributes": {"age_band": RULE}},
        {"attributes": {"age_band": SAD}},
    ],
    ids=str,
)
def test_a_policy_that_means_nothing_cannot_be_made(change: dict[str, object]) -> None:
    with pytest.raises(PolicyError, match="Expected"):
        replace(load_policy("healthcare"), **change)


confidences = st.floats(0, 1) | st.sampled_from([math.nan, math.inf, -1.0, 1.0001, 2.0])
values = st.sampled_from([v for known in VALUES.values() for v in known]) | st.text(max_size=8)
observations = st.builds(
    Observation,
    attribute=st.sampled_from([*VALUES, "race", "gender"]),
    value=values,
    source=st.sampled_from(SOURCES),
    confidence=confidences,
)


@st.composite
def rules(draw: st.DrawFn, name: str) -> Rule:
    sources = draw(st.lists(st.sampled_from(SOURCES), unique=True))
    said = draw(st.lists(st.sampled_from(VALUES[name]))) if "estimated" in sources else []
    return Rule(
        sources=tuple(sources),
        min_confidence=draw(st.floats(0, 1)),
        estimated_values=tuple(said),
    )


@st.composite
def lawful(draw: st.DrawFn) -> Policy:
    context = draw(st.sampled_from(CONTEXTS))
    is_open = context not in PROHIBITED
    names = draw(st.sets(st.sampled_from(list(VALUES) if is_open else ["age_band"])))
    return Policy(
        context=context,
        purpose="a test",
        native=is_open and draw(st.booleans()),
        attributes={name: draw(rules(name)) for name in sorted(names)},
    )


policies = lawful()


@given(seen=st.lists(observations, max_size=8), policy=policies)
def test_nothing_passes_that_the_policy_does_not_name(
    seen: list[Observation], policy: Policy
) -> None:
    decision = gate(seen, policy)
    for passed in decision.passed:
        rule = policy.attributes[passed.attribute]
        assert passed.value in VALUES[passed.attribute]
        assert passed.source in rule.sources
        assert rule.min_confidence <= passed.confidence <= 1
        assert passed.attribute != "expression" or policy.context not in PROHIBITED
        assert passed.source == "declared" or passed.value in rule.estimated_values
        assert passed in seen
    assert len(decision.passed) + len(decision.withheld) == len(seen), "each has a decision"
    declared = {o.attribute for o in seen if o.source == "declared"}
    assert not [o for o in decision.passed if o.source == "estimated" and o.attribute in declared]


@given(seen=st.lists(observations, max_size=8), policy=policies)
def test_nothing_is_withheld_that_the_policy_allows(
    seen: list[Observation], policy: Policy
) -> None:
    declared = {o.attribute for o in seen if o.source == "declared"}
    for one in seen:
        rule = policy.attributes.get(one.attribute)
        replaced = one.source == "estimated" and one.attribute in declared
        if rule is None or replaced or one.value not in VALUES.get(one.attribute, ()):
            continue
        if one.value == "neutral":
            continue
        if one.source == "estimated" and one.value not in rule.estimated_values:
            continue
        if one.source in rule.sources and rule.min_confidence <= one.confidence <= 1:
            assert one in gate(seen, policy).passed


@given(seen=st.lists(observations, max_size=8))
def test_an_empty_policy_lets_nothing_through(seen: list[Observation]) -> None:
    empty = Policy(context="research", purpose="a test", native=False, attributes={})
    assert gate(seen, empty).passed == ()


def age(value: str, source: str, confidence: float = 1.0) -> Observation:
    return Observation(attribute="age_band", value=value, source=source, confidence=confidence)


def test_what_a_person_declares_replaces_what_was_estimated() -> None:
    decision = gate(
        [age("child", "estimated", 0.99), age("older_adult", "declared")], load_policy("healthcare")
    )
    assert [seen.value for seen in decision.passed] == ["older_adult"]
    assert [held.reason for held in decision.withheld] == ["replaced by what the person declared"]


@pytest.mark.parametrize("context", ["healthcare", "education"])
@pytest.mark.parametrize("band", AGE_BANDS)
def test_an_estimate_is_coarser_than_what_a_person_says(context: str, band: str) -> None:
    policy = load_policy(context)
    assert gate([age(band, "declared")], policy).passed
    decision = gate([age(band, "estimated")], policy)
    assert bool(decision.passed) == (band in ("child", "older_adult"))
    assert decision.passed or decision.withheld[0].reason.startswith("finer than")


@pytest.mark.parametrize(
    ("confidence", "passes"),
    [
        *((0.49, False), (0.5, True), (0.51, True), (1, True), (math.nan, False)),
        *((1.0001, False), (2.0, False), (math.inf, False), (True, False), ("1", False)),
    ],
)
def test_an_estimate_needs_the_minimum_of_confidence(confidence: float, passes: bool) -> None:
    decision = gate([age("child", "estimated", confidence)], load_policy("healthcare"))
    assert bool(decision.passed) == passes


def test_a_neutral_face_is_not_spoken_of() -> None:
    """There is nothing to fit to, and a small model answers the word instead of the question."""
    face = Observation(attribute="expression", value="neutral", source="declared", confidence=1.0)
    decision = gate([face, age("child", "declared")], load_policy("healthcare"))
    assert [seen.attribute for seen in decision.passed] == ["age_band"]
    assert [held.reason for held in decision.withheld] == ["nothing to fit an answer to"]


def test_a_withheld_observation_keeps_no_value() -> None:
    face = Observation(attribute="expression", value="sad", source="estimated", confidence=0.9)
    (withheld,) = gate([face], load_policy("education")).withheld
    assert withheld.reason == "not allowed in education"
    assert "sad" not in repr(withheld)
