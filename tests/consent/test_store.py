"""Given, refused, taken back, shown, exported, erased: by one person and by many."""

import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from discreet.consent import ConsentStore, Notice, load_notice
from discreet.consent.keyring import Keyring
from discreet.consent.records import VALID
from discreet.consent.rows import EPOCH, KEPT
from discreet.errors import NotStored
from tests.nursery import full_disk

from .test_records import SCHEMA
from .working import AGE, LOOK, NOTICE, give, sealed_rows

FOR_GUARDIANS = load_notice("healthcare", "en", guardian=True)
DECLARED = "guardian/declared"


class Clock:
    """The time, which a test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def pass_by(store: ConsentStore, clock: Clock, time: timedelta) -> None:
    """Let time pass in a store that is used every few days."""
    end = clock.now + time
    while clock.now < end:
        clock.now = min(end, clock.now + timedelta(days=5))
        store.active("")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[ConsentStore]:
    store = ConsentStore(tmp_path / "store", clock=clock)
    yield store
    store.close()


@pytest.fixture
def person() -> str:
    return secrets.token_hex()


def refuse(store: ConsentStore, person: str, *names: str) -> None:
    store.refuse(person, names, notice=NOTICE, language="en", method="button")


def give_for_child(store: ConsentStore, person: str) -> None:
    store.give(
        person,
        [DECLARED],
        notice=FOR_GUARDIANS,
        language="en",
        method="button",
        guardian=True,
    )


def test_nobody_consents_to_anything_before_they_say_so(store: ConsentStore, person: str) -> None:
    assert store.active(person) == frozenset()
    assert store.history(person) == ()


def test_each_point_is_answered_on_its_own(store: ConsentStore, person: str) -> None:
    give(store, person, LOOK)
    refuse(store, person, AGE)
    assert store.active(person) == {LOOK}
    give(store, person, AGE)
    assert store.active(person) == {LOOK, AGE}


def test_a_withdrawal_holds_at_the_next_call_in_every_process(
    store: ConsentStore, person: str, tmp_path: Path, clock: Clock
) -> None:
    other = ConsentStore(tmp_path / "store", clock=clock)
    give(store, person, AGE, LOOK)
    assert other.active(person) == {AGE, LOOK}
    assert store.withdraw(person, [AGE]) == 1
    assert other.active(person) == store.active(person) == {LOOK}
    assert store.withdraw(person, [AGE]) == 0
    other.close()


@pytest.mark.parametrize("way", ["withdraw", "refuse", "erase"])
def test_what_is_taken_back_on_a_full_disk_holds_at_once_and_says_that_it_was_not_written(
    store: ConsentStore, person: str, way: str
) -> None:
    give(store, person, AGE, LOOK)
    acts = {
        "withdraw": lambda: store.withdraw(person, [AGE]),
        "refuse": lambda: refuse(store, person, AGE),
        "erase": lambda: store.erase(person),
    }
    with full_disk(0), pytest.raises(NotStored, match="make room and call again"):
        acts[way]()
    left = set() if way == "erase" else {LOOK}
    assert store.active(person) == left
    acts[way]()
    assert store.active(person) == left
    give(store, person, AGE)
    assert store.active(person) == left | {AGE}


def test_a_yes_on_a_full_disk_is_refused(store: ConsentStore, person: str) -> None:
    with full_disk(0), pytest.raises(NotStored):
        give(store, person, AGE)
    assert store.active(person) == frozenset()


def test_a_no_takes_a_yes_back(store: ConsentStore, person: str) -> None:
    give(store, person, AGE, LOOK)
    refuse(store, person, AGE)
    assert store.active(person) == {LOOK}
    assert [record.decision for record in store.history(person)] == ["given", "refused"]
    assert set(store.history(person)[0].withdrawn) == {AGE}


def test_a_yes_ends_by_itself(store: ConsentStore, person: str, clock: Clock) -> None:
    give(store, person, AGE)
    clock.now += VALID - timedelta(seconds=1)
    assert store.active(person) == {AGE}
    clock.now += timedelta(seconds=1)
    assert store.active(person) == frozenset()
    assert len(store.history(person)) == 1, "that there was consent can still be shown"


def test_the_export_is_a_receipt_of_records_as_the_schema_says(
    store: ConsentStore, person: str
) -> None:
    give(store, person, AGE, LOOK)
    store.withdraw(person, [LOOK])
    refuse(store, person, LOOK)
    give(store, secrets.token_hex(), AGE)
    receipt = store.export(person)
    assert receipt == json.loads(json.dumps(receipt))
    records = receipt["dpv:hasRecordOfActivity"]
    assert len(records) == 2
    for record in records:
        jsonschema.validate(record, SCHEMA, jsonschema.Draft202012Validator)
    assert person not in json.dumps(receipt)


def test_a_record_stands_under_another_pseudonym_in_each_epoch_and_is_found_in_all(
    store: ConsentStore, person: str, clock: Clock
) -> None:
    give(store, person, AGE)
    pass_by(store, clock, EPOCH)
    give(store, person, LOOK)
    first, second = store.history(person)
    assert first.pseudonym != second.pseudonym
    assert store.active(person) == {LOOK}
    assert store.erase(person).erased == 2


def test_an_epoch_is_readable_until_its_records_have_been_kept_and_is_dropped_with_its_keys(
    store: ConsentStore, person: str, clock: Clock, tmp_path: Path
) -> None:
    """A copy of the database from before is then noise: its keys are nowhere."""
    give(store, person, AGE)
    copy = (tmp_path / "store" / "consent.keys.json").read_text()
    (old,) = sealed_rows(tmp_path / "store").values()
    pass_by(store, clock, EPOCH + KEPT - timedelta(seconds=1))
    assert len(store.history(person)) == 1
    clock.now += timedelta(seconds=1)
    assert store.history(person) == ()
    assert sealed_rows(tmp_path / "store") == {}
    ConsentStore(tmp_path / "store", clock=clock).close()  # sweeps
    secret = json.loads(copy)[0]
    for path in (tmp_path / "store").iterdir():
        data = path.read_bytes()
        assert secret["pseudonym_key"].encode() not in data
        assert secret["seal_keys"][0].encode() not in data
        assert old[:16] not in data


def test_a_clock_that_jumps_ahead_drops_no_record_and_no_key(
    store: ConsentStore, person: str, clock: Clock, tmp_path: Path
) -> None:
    give(store, person, AGE)
    then = clock.now
    for days in (4000, 4001, 1, 4000, 2):
        clock.now = then + timedelta(days=days)
        store.history(person)
    keys = Keyring(tmp_path / "store" / "consent.keys.json").read()
    assert len(store.history(person)) == 1
    assert [epoch.begun for epoch in keys] == [then.replace(microsecond=0)]


def test_an_id_is_nowhere_on_disk_and_neither_is_what_was_answered(
    store: ConsentStore, person: str, tmp_path: Path
) -> None:
    give(store, person, AGE)
    refuse(store, person, LOOK)
    words = [person, AGE, LOOK, "given", "refused", NOTICE.sha256, "2026-11-22T12", "button"]
    for path in (tmp_path / "store").iterdir():
        if path.suffix != ".json":
            data = path.read_bytes()
            assert not [word for word in words if word.encode() in data], path.name


def test_a_yes_and_a_no_are_as_large_as_each_other(
    store: ConsentStore, person: str, tmp_path: Path
) -> None:
    give(store, person, AGE, LOOK)
    refuse(store, secrets.token_hex(), AGE)
    assert len({len(sealed) for sealed in sealed_rows(tmp_path / "store").values()}) == 1


@pytest.mark.parametrize(
    ("names", "notice", "language", "guardian"),
    [
        (["inform/expression"], NOTICE, "en", False),
        ([AGE, "explain/age_band"], NOTICE, "en", False),
        ([], NOTICE, "en", False),
        ([AGE], NOTICE, "fr", False),
        ([AGE], NOTICE, "en", True),
        ([AGE], FOR_GUARDIANS, "en", True),
        ([DECLARED], FOR_GUARDIANS, "en", False),
        ([AGE], load_notice("workplace", "en"), "en", False),
    ],
)
def test_only_what_was_asked_is_answered_by_whom_it_was_asked(
    store: ConsentStore,
    person: str,
    names: list[str],
    notice: Notice,
    language: str,
    guardian: bool,
) -> None:
    for answer in (store.give, store.refuse):
        with pytest.raises(ValueError, match="Expected"):
            answer(
                person,
                names,
                notice=notice,
                language=language,  # type: ignore[arg-type]
                method="button",
                guardian=guardian,
            )
    assert store.history(person) == ()


def test_of_a_child_nothing_is_on_disk_and_what_was_there_is_erased(
    store: ConsentStore, person: str, tmp_path: Path
) -> None:
    give(store, person, AGE, LOOK)
    rows = sealed_rows(tmp_path / "store")
    give_for_child(store, person)
    assert store.active(person) == {DECLARED}, "nothing may be estimated any more"
    assert sealed_rows(tmp_path / "store") == {}
    assert not left_of(tmp_path / "store", rows)
    assert store.withdraw(person, [DECLARED]) == 1
    assert store.active(person) == frozenset()
    assert store.erase(person).found == 1


def test_a_child_does_not_consent_to_estimates_after_its_guardian_has_answered(
    store: ConsentStore, person: str
) -> None:
    give_for_child(store, person)
    with pytest.raises(ValueError, match="guardian"):
        give(store, person, AGE)
    assert store.active(person) == {DECLARED}


def test_what_guardians_answered_does_not_pile_up_in_memory(
    store: ConsentStore, clock: Clock
) -> None:
    for _ in range(5):
        give_for_child(store, secrets.token_hex())
    clock.now += VALID
    give_for_child(store, secrets.token_hex())
    assert len(store._of_children) == 1


def left_of(folder: Path, rows: dict[str, bytes]) -> list[str]:
    """Return the files in which a pseudonym or 16 bytes in a row of what was sealed still are."""
    wanted = [pseudonym.encode() for pseudonym in rows]
    wanted += [
        sealed[at : at + 16] for sealed in rows.values() for at in range(0, len(sealed) - 16, 16)
    ]
    files = [path for path in folder.iterdir() if path.is_file()]
    return [path.name for path in files if any(part in path.read_bytes() for part in wanted)]


def test_what_is_erased_is_in_no_byte_of_the_folder(
    store: ConsentStore, tmp_path: Path, clock: Clock
) -> None:
    """Among many who stay, so that pages are filled, split, joined and emptied."""
    folder, people = tmp_path / "store", [secrets.token_hex() for _ in range(60)]
    other = ConsentStore(folder, clock=clock)  # keeps log and index open
    for person in people:
        give(store, person, AGE)
    before = sealed_rows(folder)
    for person in people[::3]:
        store.withdraw(person, [AGE])
    gone = [store.history(person)[0].pseudonym for person in people[::2]]
    later = sealed_rows(folder)
    rows = {name: before[name] + later[name] for name in gone}
    assert left_of(folder, rows), "the search finds what is there"
    for person in people[::2]:
        assert store.erase(person).erased == 1
    assert left_of(folder, rows) == []
    assert all(store.history(person) for person in people[1::2])
    other.close()


def test_erasing_twice_finds_nothing_the_second_time(store: ConsentStore, person: str) -> None:
    give(store, person, AGE)
    assert (store.erase(person).found, store.erase(person).found) == (1, 0)


def test_nothing_of_another_person_is_shown_or_erased(store: ConsentStore, person: str) -> None:
    other = secrets.token_hex()
    give(store, person, AGE)
    give(store, other, LOOK)
    store.erase(person)
    assert (store.active(person), store.active(other)) == (frozenset(), {LOOK})


class Visits(RuleBasedStateMachine):
    """The store beside a plain dictionary of sets, over any order of calls."""

    people = st.integers(0, 2)
    points = st.sets(st.sampled_from(NOTICE.names), min_size=1)

    @initialize(folder=st.builds(secrets.token_hex))
    def begin(self, folder: str) -> None:
        self.clock = Clock()
        self.store = ConsentStore(Path(self.base) / folder, clock=self.clock)
        self.ids = [secrets.token_hex() for _ in range(3)]
        self.expected: list[dict[str, datetime]] = [{}, {}, {}]
        """For each person: until when a yes to what holds."""

    base = ""

    @rule(who=people, names=points)
    def give(self, who: int, names: set[str]) -> None:
        give(self.store, self.ids[who], *names)
        self.expected[who] |= dict.fromkeys(names, self.clock.now + VALID)

    @rule(who=people, names=points)
    def refuse(self, who: int, names: set[str]) -> None:
        refuse(self.store, self.ids[who], *names)
        self.drop(who, names)

    @rule(who=people, names=points)
    def withdraw(self, who: int, names: set[str]) -> None:
        self.store.withdraw(self.ids[who], names)
        self.drop(who, names)

    @rule(who=people)
    def erase(self, who: int) -> None:
        self.store.erase(self.ids[who])
        self.expected[who] = {}

    @rule()
    def rotate(self) -> None:
        self.store.rotate()

    @rule(hours=st.sampled_from([1, 11, 24 * 29]))
    def wait(self, hours: int) -> None:
        self.clock.now += timedelta(hours=hours)

    def drop(self, who: int, names: set[str]) -> None:
        self.expected[who] = {k: v for k, v in self.expected[who].items() if k not in names}

    @invariant()
    def all_consent_to_what_they_said(self) -> None:
        for person, yes in zip(self.ids, self.expected, strict=True):
            now = self.clock.now
            assert self.store.active(person) == {name for name, end in yes.items() if now < end}

    def teardown(self) -> None:
        self.store.close()


def test_any_order_of_calls_ends_where_a_plain_dictionary_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Visits, "base", str(tmp_path))
    run_state_machine_as_test(
        Visits, settings=settings(max_examples=10, stateful_step_count=12, deadline=None)
    )


def test_whose_id_a_guardian_answered_for_is_known_until_it_is_erased(store: ConsentStore) -> None:
    give(store, "adult", AGE)
    give_for_child(store, "child")
    store.withdraw("child", [DECLARED])
    assert (store.is_of_child("adult"), store.is_of_child("child")) == (False, True)
    store.erase("child")
    assert not store.is_of_child("child")
