"""No policy can be made that is prohibited, and a lawful one does not become another."""

import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.assistant import Policy, Rule, load_policy
from discreet.assistant.policy import CONTEXTS, DECLARED_ONLY, EFFECTS, VALUES
from discreet.errors import PolicyError
from discreet.law import cite
from tests.assistant.policies import CHILD, SAD, policy, purpose

PROHIBITED = {"education", "workplace"}
"""Where inferring emotion is prohibited, written down a second time."""


def naming(id_: str) -> str:
    return cite(id_).replace("(", r"\(").replace(")", r"\)").replace(".", r"\.")


@pytest.mark.parametrize("context", sorted(PROHIBITED))
@pytest.mark.parametrize(
    "make",
    [
        lambda context: policy(context, {"expression": SAD}),
        lambda context: policy(
            context, {"expression": replace(SAD, sources=("declared",), estimated_values=())}
        ),
        lambda context: policy(context, {}, responder_sees_picture=True),
    ],
)
def test_emotion_at_school_and_work_is_prohibited(
    context: str, make: Callable[[str], Policy]
) -> None:
    with pytest.raises(PolicyError, match=naming("ai-act-5-1-f")):
        make(context)


def test_an_expression_in_any_purpose_of_a_school_is_prohibited() -> None:
    purposes = {"test": purpose({}), "more": purpose({"expression": SAD}, name="more")}
    with pytest.raises(PolicyError, match=naming("ai-act-5-1-f")):
        policy("education", purposes=purposes)
    assert policy("research", purposes=purposes)


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("race", "ai-act-5-1-g"),
        ("ethnicity", "ai-act-5-1-g"),
        ("skin_tone", "ai-act-5-1-g"),
        ("political_opinion", "ai-act-5-1-g"),
        ("gender", "ai-act-annex-3-1-b"),
        ("sex", "ai-act-annex-3-1-b"),
        ("identity", "gdpr-9"),
        ("face_recognition", "gdpr-9"),
        ("face-embedding", "gdpr-9"),
        ("Name", "gdpr-9"),
        ("emotion", "ai-act-5-1-f"),
        ("age", "gdpr-5-1-c"),
        ("age_in_years", "gdpr-5-1-c"),
        ("minor", "gdpr-8"),
        ("shoe size", "gdpr-5-1-c"),
        ("", "gdpr-5-1-c"),
    ],
)
@pytest.mark.parametrize("context", CONTEXTS)
def test_what_is_never_inferred_has_no_rule_and_the_article_is_named(
    context: str, name: str, id_: str
) -> None:
    with pytest.raises(PolicyError, match=naming(id_)):
        policy(context, {name: CHILD})


@given(name=st.text().filter(lambda text: text not in VALUES))
def test_no_other_attribute_has_a_rule_whatever_it_is_called(name: str) -> None:
    with pytest.raises(PolicyError, match="Expected attributes among"):
        policy("research", {name: CHILD})


@pytest.mark.parametrize("name", DECLARED_ONLY)
def test_a_preference_is_said_and_never_estimated(name: str) -> None:
    change = next(iter(EFFECTS[name].values()))
    rule = Rule(sources=("declared", "estimated"), min_confidence=0.5, may_change=change)
    with pytest.raises(PolicyError, match=naming("gdpr-5-1-c")):
        policy("home", {name: rule})
    assert policy("home", {name: replace(rule, sources=("declared",))})


RULES = {"age_band": CHILD, "expression": SAD, "race": CHILD, "emotion": SAD}


def test_no_policy_can_be_made_that_is_prohibited() -> None:
    """Every context, set of attributes and mode; the loader is not asked."""
    subsets = [names for size in range(len(RULES) + 1) for names in combinations(RULES, size)]
    made = 0
    for context, names, shows in product([*CONTEXTS, "school"], subsets, (False, True)):
        lawful = context != "school" and {*names} <= {"age_band", "expression"}
        lawful = lawful and not (context in PROHIBITED and ("expression" in names or shows))
        rules = {name: RULES[name] for name in names}
        try:
            one = policy(context, rules, responder_sees_picture=shows)
        except PolicyError:
            assert not lawful, (context, names, shows)
            continue
        assert lawful, (context, names, shows)
        assert one.may_show_picture() == (shows and "expression" in names)
        assert {*one.purpose_of().attributes} == {*names}
        made += 1
    assert made == 3 * 4 * 2 + 2 * 2, "three open contexts, two with an age band at most"


def test_a_lawful_policy_does_not_become_another() -> None:
    rules = {"age_band": CHILD}
    one = policy("education", rules)
    before = one.sha256
    rules["expression"] = SAD
    assert set(one.purpose_of().attributes) == {"age_band"}
    with pytest.raises(TypeError):
        one.purpose_of().attributes["expression"] = SAD  # type: ignore[index]
    with pytest.raises(TypeError):
        one.purposes["test"] = purpose({"expression": SAD})  # type: ignore[index]
    with pytest.raises(TypeError):
        one.purpose_of().description["en"] = "Another."  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        one.context = "research"  # type: ignore[misc]
    with pytest.raises(PolicyError, match=naming("ai-act-5-1-f")):
        replace(one, responder_sees_picture=True)
    with pytest.raises(PolicyError, match=naming("ai-act-5-1-f")):
        replace(load_policy("healthcare"), context="workplace")
    assert one.sha256 == before


def test_the_hash_follows_everything_that_a_policy_says() -> None:
    one = policy("research", {"age_band": CHILD, "expression": SAD})
    changed = [
        one,
        replace(one, context="home"),
        replace(one, responder_sees_picture=True),
        policy("research", {"age_band": CHILD}),
        policy("research", {"age_band": replace(CHILD, min_confidence=0.1), "expression": SAD}),
        policy("research", {"age_band": replace(CHILD, ttl_seconds=1), "expression": SAD}),
        policy("research", {"age_band": replace(CHILD, seen_by=("person",)), "expression": SAD}),
        policy("research", {"age_band": replace(CHILD, may_change=("steps",)), "expression": SAD}),
        *(
            replace(one, purposes={"test": purpose(one.purpose_of().attributes, **change)})
            for change in (
                {"description": {"en": "B.", "fr": "B."}},
                {"legal_basis": "gdpr-9-2-a"},
            )
        ),
    ]
    assert len({other.sha256 for other in changed}) == len(changed)
    assert all(len(other.sha256) == 64 for other in changed)
    turned = policy("research", {"expression": SAD, "age_band": CHILD})
    assert turned.sha256 == one.sha256, "the order in a file does not count"


def test_the_hash_is_the_same_in_every_process() -> None:
    """Journals and records of consent hold it: a new form of it is a change to say aloud."""
    assert policy().sha256.startswith("ab32e100c586119d"), "the canonical form changed"


def test_an_unknown_purpose_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(PolicyError, match=r"inform, comfort.* no purpose") as caught:
        load_policy("healthcare").purpose_of("zebrafinch")
    assert "zebrafinch" not in str(caught.value)
    with pytest.raises(PolicyError):
        load_policy("healthcare").purpose_of("")


def test_consent_is_asked_for_what_is_estimated_and_for_the_picture_only() -> None:
    healthcare = load_policy("healthcare")
    assert healthcare.consentable() == ("inform/age_band",)
    assert healthcare.consentable("comfort") == (
        *("comfort/age_band", "comfort/expression", "comfort/picture"),
    )
    assert load_policy("workplace").consentable() == ()
    assert load_policy("home").consentable() == ("talk/age_band",)


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
        {"ttl_seconds": -1},
        {"ttl_seconds": True},
        {"ttl_seconds": 1.5},
        {"ttl_seconds": math.inf},
        {"ttl_seconds": 24 * 3600 + 1},
        {"seen_by": ()},
        {"seen_by": ("responder",)},
        {"seen_by": ("person", "advertiser")},
        {"seen_by": "person"},
        {"may_change": ("price",)},
        {"may_change": "length"},
    ],
    ids=str,
)
def test_a_rule_that_means_nothing_cannot_be_made(change: dict[str, object]) -> None:
    with pytest.raises(PolicyError, match="Expected"):
        replace(CHILD, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Test"},
        {"name": "a/b"},
        {"name": ""},
        {"name": 3},
        {"name": "a" * 33},
        {"description": {}},
        {"description": {"en": "A test."}},
        {"description": {"en": "A test.", "fr": " "}},
        {"description": {"en": "A test.", "fr": 3}},
        {"description": {"en": "A.", "fr": "A.", "de": "A."}},
        {"description": "A test."},
        {"legal_basis": "because"},
        {"legal_basis": "ai-act-5-1-f"},
        {"legal_basis": "gdpr-9"},
        {"legal_basis": ["gdpr-6-1-a"]},
        {"attributes": [CHILD]},
        {"attributes": {"age_band": {"sources": ["declared"]}}},
        {"attributes": {"age_band": SAD}},
        {"attributes": {"age_band": replace(CHILD, may_change=("tone",))}},
        {"attributes": {"reading": replace(CHILD, sources=("declared",), estimated_values=())}},
    ],
    ids=str,
)
def test_a_purpose_that_means_nothing_cannot_be_made(change: dict[str, object]) -> None:
    fields = {"attributes": {"age_band": CHILD}, **change}
    with pytest.raises(PolicyError, match="Expected"):
        purpose(**fields)  # type: ignore[arg-type]


def test_what_is_of_use_to_the_page_only_is_not_shown_to_the_responder() -> None:
    rule = Rule(sources=("declared",), min_confidence=0.5, may_change=("text_size",))
    assert policy("home", {"text_size": rule})
    with pytest.raises(PolicyError, match="seen by the person only"):
        policy("home", {"text_size": replace(rule, seen_by=("person", "responder"))})


@pytest.mark.parametrize(
    "change",
    [
        {"context": "Education"},
        {"context": ["education"]},
        {"responder_sees_picture": 1},
        {"responder_sees_picture": "yes"},
        {"purposes": {}},
        {"purposes": [purpose({})]},
        {"purposes": {"other": purpose({})}},
        {"purposes": {"test": {}}},
        {"default_purpose": "other"},
        {"default_purpose": ["test"]},
        {"default_purpose": None},
    ],
    ids=str,
)
def test_a_policy_that_means_nothing_cannot_be_made(change: dict[str, object]) -> None:
    with pytest.raises(PolicyError, match="Expected"):
        replace(policy(), **change)  # type: ignore[arg-type]
