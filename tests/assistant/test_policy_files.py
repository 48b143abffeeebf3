"""A policy file says what is done, in exact keys; what ships is what its context allows."""

import math
from pathlib import Path

import pytest
import tomli_w

from discreet.assistant import CONTEXTS, Policy, load_policy
from discreet.errors import PolicyError
from discreet.law import cite
from tests.assistant.policies import CHILD, purpose

RULE: dict[str, object] = {
    "sources": ["declared", "estimated"],
    "min_confidence": 0.0,
    "estimated_values": ["child"],
    "ttl_seconds": 0,
    "seen_by": ["person", "responder"],
    "may_change": ["reading_level", "steps", "length"],
}
DECLARED = {**{k: v for k, v in RULE.items() if k != "estimated_values"}, "sources": ["declared"]}


def raw_purpose(**changes: object) -> dict[str, object]:
    fields: dict[str, object] = {
        "description": {"en": "A test.", "fr": "Un essai."},
        "legal_basis": "gdpr-6-1-a",
        "attributes": {"age_band": RULE},
    }
    return {**fields, **changes}


def raw(context: str = "healthcare", **changes: object) -> dict[str, object]:
    """Return a policy; a change named as a part of its purpose changes that."""
    inner = {k: v for k, v in changes.items() if k in raw_purpose()}
    fields: dict[str, object] = {
        "context": context,
        "responder_sees_picture": False,
        "default_purpose": "test",
        "purposes": {"test": raw_purpose(**inner)},
    }
    return {**fields, **{k: v for k, v in changes.items() if k not in inner}}


def load(tmp_path: Path, content: dict[str, object]) -> Policy:
    path = tmp_path / "policy.toml"
    path.write_text(tomli_w.dumps(content))
    return load_policy(path)


def test_the_shipped_policies_are_what_their_contexts_allow() -> None:
    shipped = {context: load_policy(context) for context in CONTEXTS}
    assert {context: one.context for context, one in shipped.items()} == {c: c for c in CONTEXTS}
    allowed = {
        (context, name): {*one.attributes}
        for context, policy in shipped.items()
        for name, one in policy.purposes.items()
    }
    said = {"reading", "text_size", "language"}
    assert allowed == {
        ("healthcare", "inform"): {"age_band", *said},
        ("healthcare", "comfort"): {"age_band", "expression", *said},
        ("education", "explain"): {"age_band", *said},
        ("workplace", "inform"): {"age_band", *said},
        ("research", "study"): {"age_band", "expression", *said},
        ("home", "talk"): {"age_band", *said},
    }
    shows = {context for context, one in shipped.items() if one.responder_sees_picture}
    assert shows == {"healthcare", "research"}


def test_expressions_are_of_no_default_purpose_but_that_of_a_study() -> None:
    by_default = {context: load_policy(context).purpose_of().attributes for context in CONTEXTS}
    assert {context for context, rules in by_default.items() if "expression" in rules} == {
        "research"
    }


def test_a_policy_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    policy = load(tmp_path, raw("research", responder_sees_picture=True))
    assert policy == Policy(
        context="research",
        responder_sees_picture=True,
        purposes={"test": purpose({"age_band": CHILD})},
        default_purpose="test",
    )


@pytest.mark.parametrize("context", ["education", "workplace"])
@pytest.mark.parametrize(
    "change",
    [
        {"attributes": {"expression": {**DECLARED, "may_change": ["tone"]}}},
        {"responder_sees_picture": True},
    ],
    ids=str,
)
def test_emotion_at_school_and_work_does_not_load(
    tmp_path: Path, context: str, change: dict[str, object]
) -> None:
    with pytest.raises(PolicyError) as caught:
        load(tmp_path, raw(context, **change))
    assert cite("ai-act-5-1-f") in str(caught.value)


@pytest.mark.parametrize(
    ("change", "id_"),
    [
        ({"attributes": {"race": RULE}}, "ai-act-5-1-g"),
        ({"attributes": {"identity": RULE}}, "gdpr-9"),
        ({"attributes": {"age_band": {**RULE, "estimate_minors": True}}}, "gdpr-8"),
        ({"estimate_minors": True}, "gdpr-8"),
        ({"face_recognition": True}, "gdpr-9"),
    ],
    ids=str,
)
def test_what_is_prohibited_does_not_load_and_the_article_is_named(
    tmp_path: Path, change: dict[str, object], id_: str
) -> None:
    with pytest.raises(PolicyError) as caught:
        load(tmp_path, raw(**change))
    assert cite(id_) in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"context": "school"},
        {"context": 3},
        {"context": ["healthcare"]},
        {"default_purpose": 3},
        {"default_purpose": "other"},
        {"purposes": {}},
        {"purposes": 3},
        {"purposes": {"test": 3}},
        {"purposes": {"test": {**raw_purpose(), "surprise": 1}}},
        {"purposes": {"test": raw_purpose(), "Bad Name": raw_purpose()}},
        {"description": 3},
        {"description": {"en": "A test."}},
        {"description": {"en": " ", "fr": " "}},
        {"legal_basis": "none"},
        {"legal_basis": 3},
        {"responder_sees_picture": "yes"},
        {"responder_sees_picture": 1},
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
        {"attributes": {"age_band": {**RULE, "min_confidence": math.nan}}},
        {"attributes": {"age_band": {**RULE, "min_confidence": "0.5"}}},
        {"attributes": {"age_band": {**RULE, "ttl_seconds": "long"}}},
        {"attributes": {"age_band": {**RULE, "seen_by": ["responder"]}}},
        {"attributes": {"age_band": {**RULE, "may_change": ["price"]}}},
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


@pytest.mark.parametrize("name", [*raw(), *raw_purpose(), *RULE])
def test_a_policy_that_lacks_a_key_is_refused(tmp_path: Path, name: str) -> None:
    def without(table: dict[str, object]) -> dict[str, object]:
        return {key: value for key, value in table.items() if key != name}

    inner = raw_purpose(attributes={"age_band": without(RULE)})
    content = without({**raw(), "purposes": {"test": without(inner)}})
    with pytest.raises(PolicyError, match="Expected the keys"):
        load(tmp_path, content)


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


@pytest.mark.parametrize("source", ["nowhere", ".", "", "a\0b", "\ud800", "a" * 300])
def test_a_policy_that_does_not_ship_is_refused_with_those_that_do(source: str) -> None:
    with pytest.raises(PolicyError, match="healthcare, education, workplace, research, home"):
        load_policy(source)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({**DECLARED, "sources": []}, "in sources, got none"),
        ({**RULE, "estimated_values": []}, "in vain"),
        ({**RULE, "may_change": []}, "in vain"),
    ],
)
def test_nobody_is_asked_for_what_is_of_no_use(
    tmp_path: Path, rule: dict[str, object], message: str
) -> None:
    with pytest.raises(PolicyError, match=message):
        load(tmp_path, raw(attributes={"age_band": rule}))
