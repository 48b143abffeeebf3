"""A record says what was asked, how it was answered and what became of it, and nothing else."""

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.consent import NOTICE_CONTEXTS, ConsentRecord, Notice, load_notice, records
from discreet.consent.records import GIVEN, REFUSED, VALID, Decision, whole_seconds

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SCHEMA = json.loads(Path(records.__file__).with_name("record.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
NOTICES = [
    load_notice(context, language, guardian=guardian)
    for context in NOTICE_CONTEXTS
    for language in ("en", "fr")
    for guardian in (False, True)
]


def record_of(
    notice: Notice, decision: Decision = GIVEN, names: tuple[str, ...] | None = None
) -> ConsentRecord:
    return ConsentRecord.answering(
        notice,
        names or notice.names,
        decision=decision,
        pseudonym="ab" * 32,
        method="button",
        time=NOON,
    )


@st.composite
def answered(draw: st.DrawFn) -> ConsentRecord:
    """Draw a record, parts of which were perhaps taken back at several times."""
    notice = draw(st.sampled_from([notice for notice in NOTICES if notice.items]))
    names = draw(st.lists(st.sampled_from(notice.names), min_size=1, unique=True))
    record = record_of(notice, draw(st.sampled_from([GIVEN, REFUSED])), tuple(names))
    for minutes in draw(st.lists(st.integers(1, 1000), max_size=3)):
        taken = frozenset(draw(st.sets(st.sampled_from(notice.names))))
        record = record.without(taken, NOON + timedelta(minutes=minutes))
    return record


@given(answered())
def test_a_record_comes_back_from_its_bytes(record: ConsentRecord) -> None:
    assert ConsentRecord.from_bytes(record.to_bytes()) == record


@given(answered())
def test_every_record_is_as_the_schema_says(record: ConsentRecord) -> None:
    VALIDATOR.validate(record.to_jsonld("Clinic"))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each entry of each object, those of the list of prefixes left out."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in entries:
        if isinstance(value, dict):
            yield (*path, key)
        if isinstance(inner, dict | list) and key != "@context":
            yield from paths_of(inner, (*path, key))


def changed(document: dict[str, Any], path: tuple[Any, ...], *, add: bool) -> dict[str, Any]:
    """Return a copy without an entry, or with one more beside it."""
    document = copy.deepcopy(document)
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    if add:
        place["dct:description"] = "what somebody said"
    else:
        del place[path[-1]]
    return document


def test_a_record_that_lacks_an_entry_or_has_one_too_many_is_refused_by_the_schema() -> None:
    notice = load_notice("healthcare", "en")
    record = record_of(notice).without(frozenset(notice.names[:1]), NOON).to_jsonld("Clinic")
    for path in paths_of(record):
        assert not VALIDATOR.is_valid(changed(record, path, add=False)), path
        assert not VALIDATOR.is_valid(changed(record, path, add=True)), path


def test_each_event_says_when_who_how_and_for_what() -> None:
    """The four sections of the specification, on one example that is written out."""
    notice, later = load_notice("healthcare", "fr"), NOON + timedelta(minutes=5)
    asked = ("inform/age_band", "comfort/expression")
    record = record_of(notice, names=asked).without(frozenset({"comfort/expression"}), later)
    said = record.to_jsonld("Clinic")
    assert said["dpv:hasConsentStatus"] == [
        {
            "@type": "dpv:ConsentGiven",
            "dpv:isIndicatedAtTime": "2026-11-22T12:00:00+00:00",
            "dpv:isIndicatedBy": "dpv:DataSubject",
            "dpv:hasIndicationMethod": "button",
            "dpv:hasProcess": [
                {"@id": "urn:discreet:consent:inform/age_band"},
                {"@id": "urn:discreet:consent:comfort/expression"},
            ],
            "dpv:hasDuration": {
                "@type": "dpv:UntilTimeDuration",
                "rdf:value": "2026-11-23T00:00:00+00:00",
            },
        },
        {
            "@type": "dpv:ConsentWithdrawn",
            "dpv:isIndicatedAtTime": "2026-11-22T12:05:00+00:00",
            "dpv:isIndicatedBy": "dpv:DataSubject",
            "dpv:hasIndicationMethod": "button",
            "dpv:hasProcess": [{"@id": "urn:discreet:consent:comfort/expression"}],
        },
    ]
    assert said["dpv:hasNotice"]["@id"] == f"urn:sha256:{notice.sha256}"
    assert said["dpv:hasDataController"] == "Clinic"


def test_a_guardian_and_the_child_answer_together() -> None:
    said = record_of(load_notice("education", "en", guardian=True)).to_jsonld()
    assert said["dpv:hasDataSubject"]["@type"] == "dpv:Child"
    (event,) = said["dpv:hasConsentStatus"]
    assert event["dpv:isIndicatedBy"] == ["dpv:DataSubject", "dpv:GuardianOfDataSubject"]
    (process,) = said["dpv:hasProcess"]
    assert process["dpv:hasProcessing"] == "dpv:Use", "nothing is inferred of a child"


def test_a_yes_holds_until_it_expires_and_a_no_never() -> None:
    notice = load_notice("education", "en")
    record = record_of(notice)
    assert record.active(NOON + VALID - timedelta(seconds=1)) == set(notice.names)
    assert record.active(NOON + VALID) == frozenset()
    assert record_of(notice, REFUSED).active(NOON) == frozenset()


@given(answered(), st.integers(0, 2000))
def test_what_was_taken_back_stays_so(record: ConsentRecord, minutes: int) -> None:
    now = NOON + timedelta(minutes=minutes)
    assert record.active(now).isdisjoint(record.withdrawn)
    assert record.without(frozenset(record.names), now).active(now) == frozenset()


def test_a_record_does_not_show_its_pseudonym() -> None:
    assert "abab" not in repr(record_of(load_notice("home", "en")))


def test_times_have_whole_seconds_in_utc() -> None:
    there = datetime.fromisoformat("2026-11-22T13:00:00.654321+01:00")
    assert whole_seconds(there).isoformat() == "2026-11-22T12:00:00+00:00"


@pytest.mark.parametrize(
    ("name", "basis"),
    [("inform/age_band", "eu-gdpr:A6-1-a"), ("comfort/expression", "eu-gdpr:A9-2-a")],
)
def test_an_upset_face_is_treated_as_if_it_told_of_health(name: str, basis: str) -> None:
    said = record_of(load_notice("healthcare", "en"), names=(name,)).to_jsonld()
    assert [process["dpv:hasLegalBasis"] for process in said["dpv:hasProcess"]] == [basis]
