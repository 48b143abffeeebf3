"""An event has no place for a text, and tells no value of anybody."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.assistant import Reason, load_policy
from discreet.assistant.policy import CONTEXTS, VALUES
from discreet.journal import NAMES, Entry, Event, Kind
from discreet.journal.events import MOST_MILLISECONDS, TELLING
from discreet.model import BASE_ADAPTER
from discreet.registry import SHIPPED
from tests.journal.logs import EVENT

SAID = "My mother's chest hurts"


@pytest.mark.parametrize("name", [field.name for field in fields(Event)])
@pytest.mark.parametrize(
    "said", [SAID, SAID.encode(), {"text": SAID}, [SAID], (("age_band", SAID),)]
)
def test_no_field_takes_a_sentence_and_no_error_repeats_it(name: str, said: Any) -> None:
    with pytest.raises(ValueError, match="Expected") as refused:
        replace(EVENT, **{name: said})
    assert "mother" not in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "answered"},
        {"person": "A" * 32},
        {"person": "a" * 15},
        {"policy_sha256": "1" * 63},
        {"model_sha256": "1" * 64 + "\n"},
        {"language": "de"},
        {"mode": "open"},
        {"used": (("age_band", "guessed"),)},
        {"used": [("age_band", "declared")]},
        {"withheld": (("age_band", "minor", "child"),)},
        {"milliseconds": -1},
        {"milliseconds": True},
        {"milliseconds": 1.5},
        {"milliseconds": MOST_MILLISECONDS + 1},
        {"purpose": "../" + "a" * 62},
    ],
)
def test_what_has_not_the_form_of_its_field_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        replace(EVENT, **changes)


@given(st.integers(0, MOST_MILLISECONDS))
def test_a_duration_is_rounded_up_to_one_of_few(milliseconds: int) -> None:
    steps = [step * 10**power for power in range(9) for step in (1, 2, 5)]
    found = Event(kind=Kind.ANSWERED, milliseconds=milliseconds).milliseconds
    assert found == (0 if milliseconds == 0 else min(s for s in steps if s >= milliseconds))


def test_the_person_is_neither_written_nor_shown() -> None:
    assert EVENT.person is not None
    assert EVENT.person not in repr(EVENT)
    assert "person" not in EVENT.to_record()


def test_an_event_reads_back_as_it_was_without_its_person() -> None:
    record = {**EVENT.to_record(), "number": 3, "time": "2026-03-01T12:00:00Z", "person": "0f"}
    entry = Entry.from_record(record)
    assert entry.event == replace(EVENT, person=None)
    assert (entry.number, entry.pseudonym, entry.time.tzname()) == (3, "0f", "UTC")


@pytest.mark.parametrize("reason", sorted(TELLING))
def test_a_reason_from_which_a_value_follows_is_not_told(reason: str) -> None:
    """That a face was too neutral, or somebody too young, is a value."""
    event = replace(EVENT, withheld=(("expression", reason), ("age_band", "unsure")))
    assert event.withheld == (("expression", "for_its_value"), ("age_band", "unsure"))
    assert reason not in str(event.to_record())


def test_every_name_of_what_ships_is_known() -> None:
    """Contexts and attributes, purposes of the policies, reasons to hold back, adapters."""
    assert {*CONTEXTS, *VALUES} <= NAMES
    assert {purpose for context in CONTEXTS for purpose in load_policy(context).purposes} <= NAMES
    assert set(Reason) <= NAMES
    assert {BASE_ADAPTER, *SHIPPED} <= NAMES


def test_each_reason_may_stand_in_an_event_and_those_that_tell_a_value_are_reasons() -> None:
    for reason in Reason:
        event = Event(kind=Kind.ANSWERED, withheld=(("expression", str(reason)),))
        assert event.names <= NAMES
    assert set(Reason) >= TELLING
