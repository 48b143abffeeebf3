import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from discreet.artifacts import write_json
from discreet.chain import RecordChain
from discreet.errors import ArtifactCorrupt, ArtifactError, BudgetExhausted, LedgerInUse
from discreet.privacy import (
    Event,
    PrivacyLedger,
    PrivacyPlan,
    calibrate,
    epsilon_of,
    spent_together,
)
from discreet.types import OwnerId

from .crashing import full_disk

CLINIC, SCHOOL = OwnerId("owner-0"), OwnerId("owner-1")
FORK = multiprocessing.get_context("fork")
HASH, OTHER_HASH = "ab" * 32, "cd" * 32


@pytest.fixture(scope="module")
def plan() -> PrivacyPlan:
    return calibrate(
        target_epsilon=3.0,
        delta=1e-5,
        sample_rate=0.1,
        steps=40,
        expected_batch_size=8,
        accountant="rdp",
    )


@pytest.fixture
def ledger(tmp_path: Path, plan: PrivacyPlan) -> PrivacyLedger:
    ledger = PrivacyLedger.open(tmp_path / "ledger.jsonl", run="first")
    ledger.open_account(CLINIC, plan)
    return ledger


def counted(ledger: PrivacyLedger, owner: OwnerId = CLINIC) -> list[int]:
    return [entry.steps_counted for entry in ledger.entries(owner)]


# Reserving and settling


@pytest.mark.parametrize(
    ("account", "run"),
    [
        (
            {"sampler": "cyclic", "bands": 3, "sample_rate": 0.25},
            {"bands": 2, "sample_rate": 0.375},
        ),
        ({"sampler": "bins", "sample_rate": 1 / 3}, {"sample_rate": 0.5}),
    ],
    ids=["cyclic", "bins"],
)
def test_a_plan_that_agrees_on_the_reserved_steps_only_is_refused(
    tmp_path: Path, account: dict[str, object], run: dict[str, object]
) -> None:
    """Of four steps both are two compositions or one; of three they differ, and one is settled."""
    common = {
        "target_epsilon": 50.0,
        "delta": 1e-5,
        "max_grad_norm": 1.0,
        "noise_multiplier": 1.0,
        "steps": 40,
        "expected_batch_size": 8,
    }
    known = PrivacyPlan(**{**common, **account})  # type: ignore[arg-type]
    other = replace(known, **run)  # type: ignore[arg-type]
    ledger = PrivacyLedger.open(tmp_path / "ledger.jsonl")
    ledger.open_account(CLINIC, known)
    with pytest.raises(ValueError, match="as in the open account"):
        ledger.reserve(CLINIC, steps=4, plan=other)
    assert counted(ledger) == []


def test_an_owner_may_insist_on_the_plan_that_was_begun(tmp_path: Path, plan: PrivacyPlan) -> None:
    """Who sees what was released must not choose by it what comes next."""
    path = tmp_path / "ledger.jsonl"
    ledger = PrivacyLedger.open(path, keeps_plans=True)
    ledger.open_account(CLINIC, plan)
    ledger.open_account(CLINIC, replace(plan, noise_multiplier=9.0))  # nothing is released yet
    ledger.open_account(CLINIC, plan)
    ledger.reserve(CLINIC, steps=1)
    with pytest.raises(ValueError, match="noise_multiplier"):
        ledger.open_account(CLINIC, replace(plan, noise_multiplier=9.0))
    with pytest.raises(ValueError, match="loss_noise"):
        ledger.open_account(CLINIC, replace(plan, loss_noise=9.0))
    PrivacyLedger.open(path).open_account(CLINIC, replace(plan, noise_multiplier=9.0))


def test_a_ledger_that_vanished_beside_its_lock_is_not_begun_anew(ledger: PrivacyLedger) -> None:
    ledger.path.unlink()
    with pytest.raises(ArtifactCorrupt, match="it is gone"):
        PrivacyLedger.open(ledger.path)
    assert not ledger.path.exists()


def test_steps_before_a_fingerprint_was_named_count_for_it(
    ledger: PrivacyLedger, plan: PrivacyPlan
) -> None:
    ledger.reserve(CLINIC, steps=10)
    ledger.open_account(CLINIC, plan, fingerprint=HASH)
    ledger.reserve(CLINIC, steps=10)
    assert spent_together([ledger], fingerprint=HASH) == ledger.spent(CLINIC)


def test_what_is_reserved_counts_whole_until_it_is_settled(
    ledger: PrivacyLedger, plan: PrivacyPlan
) -> None:
    """The oracle is the accountant, asked for the steps directly."""
    for settled, steps in [(None, 20), (20, 20), (7, 7)]:
        other = PrivacyLedger.open(ledger.path.with_name(f"{settled}.jsonl"))
        other.open_account(CLINIC, plan)
        reservation = other.reserve(CLINIC, steps=20)
        if settled is not None:
            other.settle(reservation, settled)
        assert other.spent(CLINIC).epsilon == epsilon_of([plan.event(steps)], plan.delta, "rdp")
        assert other.events(CLINIC) == (plan.event(steps),)


def test_steps_that_never_began_cost_nothing(ledger: PrivacyLedger) -> None:
    ledger.settle(ledger.reserve(CLINIC, steps=20), 0)
    assert ledger.events(CLINIC) == ()
    assert ledger.spent(CLINIC).epsilon == 0
    assert [entry.steps for entry in ledger.entries(CLINIC)] == [20]


def test_what_was_not_used_can_be_reserved_again(ledger: PrivacyLedger, plan: PrivacyPlan) -> None:
    reservation = ledger.reserve(CLINIC, steps=40)
    with pytest.raises(BudgetExhausted):
        ledger.reserve(CLINIC, steps=10)
    ledger.settle(reservation, 15)
    ledger.reserve(CLINIC, steps=25)
    assert ledger.spent(CLINIC).epsilon == pytest.approx(plan.epsilon)


@pytest.mark.parametrize("steps", [-1, 21, 3.5, True])
def test_no_more_is_settled_than_was_reserved(ledger: PrivacyLedger, steps: int) -> None:
    reservation = ledger.reserve(CLINIC, steps=20)
    before = ledger.path.read_bytes()
    with pytest.raises(ValueError, match="0 <= steps_started <= 20"):
        ledger.settle(reservation, steps)
    assert ledger.path.read_bytes() == before


def test_a_reservation_is_settled_once(ledger: PrivacyLedger) -> None:
    reservation = ledger.reserve(CLINIC, steps=20)
    ledger.settle(reservation, 20)
    with pytest.raises(ValueError, match="settled with 20 steps"):
        ledger.settle(reservation, 0)
    assert counted(ledger) == [20]


def test_a_reservation_of_another_ledger_is_not_settled(
    ledger: PrivacyLedger, plan: PrivacyPlan, tmp_path: Path
) -> None:
    other = PrivacyLedger.open(tmp_path / "other.jsonl")
    other.open_account(CLINIC, plan)
    with pytest.raises(ValueError, match="Settle in the ledger that reserved"):
        other.settle(ledger.reserve(CLINIC, steps=1), 0)


def test_a_part_of_a_reservation_is_what_its_plan_says_of_so_many_steps(
    ledger: PrivacyLedger, plan: PrivacyPlan, make_plan: Callable[..., PrivacyPlan]
) -> None:
    """Settled after the account got another plan: the steps were those of the first."""
    reservation = ledger.reserve(CLINIC, steps=20)
    ledger.open_account(CLINIC, make_plan(target_epsilon=3.0, noise_multiplier=9.0))
    ledger.settle(reservation, 5)
    assert ledger.events(CLINIC) == (plan.event(5),)


def test_the_target_is_spent_step_by_step_and_not_passed(
    ledger: PrivacyLedger, plan: PrivacyPlan
) -> None:
    totals = []
    for _ in range(4):
        ledger.settle(ledger.reserve(CLINIC, steps=10), 10)
        totals.append(ledger.spent(CLINIC).epsilon)
    assert totals == sorted(totals)
    assert totals[-1] == pytest.approx(plan.epsilon)
    before = ledger.path.read_bytes()
    with pytest.raises(BudgetExhausted):
        ledger.reserve(CLINIC, steps=10)
    assert ledger.path.read_bytes() == before


def test_a_refusal_says_all_that_gives_epsilon_a_meaning(ledger: PrivacyLedger) -> None:
    ledger.reserve(CLINIC, steps=20)
    spent = ledger.spent(CLINIC).epsilon
    with pytest.raises(BudgetExhausted) as caught:
        ledger.reserve(CLINIC, steps=100)
    for words in (
        "owner-0",
        "epsilon = 3,",
        f"{spent:.3f} is spent",
        "100 more steps",
        "delta = 1e-05",
        "unit: example",
        "add_or_remove_one",
        "fewer steps",
    ):
        assert words in str(caught.value)


def test_spending_survives_a_restart(ledger: PrivacyLedger, plan: PrivacyPlan) -> None:
    ledger.reserve(CLINIC, steps=20)
    again = PrivacyLedger.open(ledger.path, run="second")
    again.open_account(CLINIC, plan)
    again.reserve(CLINIC, steps=10)
    assert again.spent(CLINIC).epsilon == epsilon_of([plan.event(30)], plan.delta, "rdp")
    assert counted(ledger) == [20, 10]
    assert [entry.run for entry in ledger.entries(CLINIC)] == ["first", "second"]
    with pytest.raises(BudgetExhausted):
        again.reserve(CLINIC, steps=20)


def test_the_file_holds_events_and_no_epsilon(ledger: PrivacyLedger, plan: PrivacyPlan) -> None:
    today = datetime.now(UTC).date()
    ledger.settle(ledger.reserve(CLINIC, steps=5), 4)
    begun, opened, reserved, settled = RecordChain(ledger.path, list).read()
    assert [r["kind"] for r in (begun, opened, reserved, settled)] == [
        "ledger",
        "open",
        "reserve",
        "settle",
    ]
    mechanism = {
        "noise_multiplier": plan.noise_multiplier,
        "sample_rate": plan.sample_rate,
        "contributions": 1,
    }
    assert (reserved["steps"], reserved["event"]) == (5, {**mechanism, "steps": 5})
    assert (settled["steps"], settled["event"]) == (4, {**mechanism, "steps": 4})
    assert settled["id"] == reserved["id"]
    for record in (opened, reserved, settled):
        assert abs(date.fromisoformat(record["at"]) - today) <= timedelta(days=1)
        assert len(record["at"]) == len("2026-11-22"), "a time would tell how long steps took"
    assert '"epsilon"' not in ledger.path.read_text()


def test_plans_with_other_noise_rate_and_steps_compose(
    ledger: PrivacyLedger, plan: PrivacyPlan, make_plan: Callable[..., PrivacyPlan]
) -> None:
    ledger.reserve(CLINIC, steps=20)
    quieter = make_plan(
        target_epsilon=3.0, noise_multiplier=6.0, sample_rate=0.05, accountant="prv"
    )
    ledger.open_account(CLINIC, quieter)
    ledger.reserve(CLINIC, steps=30, plan=quieter)
    expected = (
        plan.event(20),
        Event(noise_multiplier=6.0, sample_rate=0.05, steps=30),
    )
    assert ledger.events(CLINIC) == expected
    assert ledger.spent(CLINIC).epsilon == epsilon_of(expected, 1e-5, "prv")


def test_the_steps_left_are_the_most_that_can_be_reserved(ledger: PrivacyLedger) -> None:
    ledger.settle(ledger.reserve(CLINIC, steps=20), 13)
    left = ledger.account(CLINIC).steps_left()
    assert left >= 27
    with pytest.raises(BudgetExhausted):
        ledger.reserve(CLINIC, steps=left + 1)
    ledger.reserve(CLINIC, steps=left)
    assert ledger.account(CLINIC).steps_left() == 0


def test_owners_are_counted_apart(ledger: PrivacyLedger, plan: PrivacyPlan) -> None:
    ledger.open_account(SCHOOL, plan)
    ledger.reserve(SCHOOL, steps=10)
    assert ledger.owners() == (CLINIC, SCHOOL)
    assert ledger.spent(CLINIC).epsilon == 0
    assert ledger.spent(SCHOOL).epsilon > 0


@pytest.mark.parametrize(("name", "value"), [("target_epsilon", 4.0), ("delta", 1e-6)])
def test_an_account_keeps_its_promise(
    ledger: PrivacyLedger, plan: PrivacyPlan, name: str, value: float
) -> None:
    other = replace(plan, **{name: value})
    with pytest.raises(ValueError, match=f"Expected {name}="):
        ledger.open_account(CLINIC, other)
    assert ledger.account(CLINIC).plan == plan


@pytest.mark.parametrize(("name", "value"), [("noise_multiplier", 0.5), ("sample_rate", 0.01)])
def test_a_reservation_for_another_mechanism_is_refused(
    ledger: PrivacyLedger, plan: PrivacyPlan, name: str, value: float
) -> None:
    with pytest.raises(ValueError, match=f"got {name}={value}"):
        ledger.reserve(CLINIC, steps=1, plan=replace(plan, **{name: value}))
    assert ledger.entries(CLINIC) == ()


@pytest.mark.parametrize("steps", [0, -1, 1.5, True])
def test_steps_are_a_whole_number(ledger: PrivacyLedger, steps: int) -> None:
    with pytest.raises(ValueError, match="steps >= 1"):
        ledger.reserve(CLINIC, steps=steps)


def test_an_owner_without_an_account_is_named(ledger: PrivacyLedger, plan: PrivacyPlan) -> None:
    with pytest.raises(ValueError, match="owner-1"):
        ledger.reserve(SCHOOL, steps=1)
    with pytest.raises(ValueError, match="pseudonym"):
        ledger.open_account(OwnerId(""), plan)


# The same data in several ledgers


@pytest.fixture
def two(tmp_path: Path, plan: PrivacyPlan) -> tuple[PrivacyLedger, PrivacyLedger]:
    """Two runs on the same data, whose owner has another pseudonym in each."""
    ledgers = []
    for name, owner, steps in (("a", CLINIC, 10), ("b", SCHOOL, 25)):
        ledger = PrivacyLedger.open(tmp_path / f"{name}.jsonl")
        ledger.open_account(owner, plan, fingerprint=HASH)
        ledger.reserve(owner, steps=steps)
        ledgers.append(ledger)
    return ledgers[0], ledgers[1]


def test_runs_on_one_fingerprint_compose(
    two: tuple[PrivacyLedger, PrivacyLedger], plan: PrivacyPlan
) -> None:
    together = spent_together(two, fingerprint=HASH)
    assert together.epsilon == epsilon_of([plan.event(35)], plan.delta, "rdp")
    assert together.epsilon > max(two[0].spent(CLINIC).epsilon, two[1].spent(SCHOOL).epsilon)
    assert spent_together(two, owner=SCHOOL) == two[1].spent(SCHOOL)


def test_a_copy_of_a_ledger_is_not_counted_twice(
    two: tuple[PrivacyLedger, PrivacyLedger], tmp_path: Path, plan: PrivacyPlan
) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(two[0].path.read_bytes())
    two[0].settle(two[0].entries(CLINIC)[0], 4)
    for ledgers in ([two[0], PrivacyLedger(copy)], [PrivacyLedger(copy), two[0]]):
        together = spent_together(ledgers, owner=CLINIC)
        assert together.epsilon == epsilon_of([plan.event(4)], plan.delta, "rdp")


def test_steps_on_other_data_are_left_out(
    two: tuple[PrivacyLedger, PrivacyLedger], plan: PrivacyPlan
) -> None:
    """The owner's data changed between two runs of one account."""
    two[0].open_account(CLINIC, plan, fingerprint=OTHER_HASH)
    two[0].reserve(CLINIC, steps=5)
    assert spent_together(two, fingerprint=OTHER_HASH).epsilon == epsilon_of(
        [plan.event(5)], plan.delta, "rdp"
    )
    assert two[0].spent(CLINIC).epsilon == epsilon_of([plan.event(15)], plan.delta, "rdp")


def test_together_they_are_stated_at_the_smallest_delta(
    two: tuple[PrivacyLedger, PrivacyLedger], plan: PrivacyPlan, tmp_path: Path
) -> None:
    strict = PrivacyLedger.open(tmp_path / "strict.jsonl")
    strict.open_account(CLINIC, replace(plan, delta=1e-7), fingerprint=HASH)
    together = spent_together([*two, strict], fingerprint=HASH)
    assert together.delta == 1e-7
    assert together.epsilon == epsilon_of([plan.event(35)], 1e-7, "rdp")


def test_a_fingerprint_is_a_hash_and_is_not_shown(ledger: PrivacyLedger, plan: PrivacyPlan) -> None:
    for wrong in ("", "children.parquet", HASH.upper(), HASH[:-1]):
        with pytest.raises(ValueError, match="64 hexadecimal digits") as caught:
            ledger.open_account(CLINIC, plan, fingerprint=wrong)
        assert "children" not in str(caught.value)
    ledger.open_account(CLINIC, plan, fingerprint=HASH)
    ledger.open_account(CLINIC, plan)
    entry = ledger.reserve(CLINIC, steps=1)
    assert entry.fingerprint == HASH, "who does not say keeps what was said"
    assert HASH not in repr((entry, ledger.account(CLINIC)))


@pytest.mark.parametrize("given", [{}, {"owner": CLINIC, "fingerprint": HASH}])
def test_one_of_owner_and_fingerprint_is_needed(
    two: tuple[PrivacyLedger, PrivacyLedger], given: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match="Give one"):
        spent_together(two, **given)
    with pytest.raises(ValueError, match="got none"):
        spent_together(two, fingerprint=OTHER_HASH)


# A person instead of an example


@pytest.mark.parametrize(("examples", "epsilon"), [(1, 3.05), (2, 6.93), (8, 41.5)])
def test_the_same_steps_cost_a_person_with_several_examples_more(
    ledger: PrivacyLedger, make_plan: Callable[..., PrivacyPlan], examples: int, epsilon: float
) -> None:
    """Ten rounds of 31 steps at noise 1 and rate 0.032; by dp-accounting's mixture of Gaussians."""
    run = make_plan(noise_multiplier=1.0, sample_rate=0.032, delta=1e-4, target_epsilon=8.0)
    ledger.open_account(SCHOOL, run)
    for _ in range(10):
        ledger.settle(ledger.reserve(SCHOOL, steps=31), 31)
    spent = ledger.spent(SCHOOL, unit="user", examples_per_user=examples)
    assert spent.epsilon == pytest.approx(epsilon, rel=0.01)
    assert (spent.unit, spent.delta, ledger.spent(SCHOOL).unit) == ("user", 1e-4, "example")
    assert spent == spent_together([ledger], owner=SCHOOL, examples_per_user=examples)


def test_no_figure_is_made_up_for_a_person(
    ledger: PrivacyLedger, make_plan: Callable[..., PrivacyPlan]
) -> None:
    users = {"unit": "user", "examples_per_user": 4, "accountant": "pld"}
    ledger.open_account(SCHOOL, make_plan(noise_multiplier=50.0, **users))
    ledger.reserve(SCHOOL, steps=1)
    with pytest.raises(ValueError, match="accounted for as it is"):
        ledger.spent(SCHOOL, unit="user", examples_per_user=4)
    assert ledger.spent(SCHOOL).unit == "user"
    banded = {"sampler": "cyclic", "bands": 4, "sample_rate": 0.1, "accountant": "pld"}
    ledger.open_account(OwnerId("banded"), make_plan(noise_multiplier=5.0, **banded))
    ledger.reserve(OwnerId("banded"), steps=8)
    with pytest.raises(ValueError, match="noise that several steps share"):
        ledger.spent(OwnerId("banded"), unit="user", examples_per_user=2)


def test_a_part_of_a_call_with_shared_noise_is_counted_as_such_a_call(
    ledger: PrivacyLedger, make_plan: Callable[..., PrivacyPlan]
) -> None:
    """Nobody is in more than one of four steps: 9 of 40 are 3 compositions and not 9."""
    banded = {"sampler": "cyclic", "bands": 4, "sample_rate": 0.1, "accountant": "pld"}
    plan = make_plan(noise_multiplier=5.0, **banded)
    ledger.open_account(SCHOOL, plan)
    ledger.settle(ledger.reserve(SCHOOL, steps=40), 9)
    (event,) = ledger.events(SCHOOL)
    assert (event.steps, event) == (3, plan.event(9))


@pytest.mark.parametrize("examples", [None, 0, 1.5])
def test_a_person_has_a_number_of_examples(ledger: PrivacyLedger, examples: int | None) -> None:
    with pytest.raises(ValueError, match="examples_per_user >= 1"):
        ledger.spent(CLINIC, unit="user", examples_per_user=examples)


# A damaged file


def settled_ledger(ledger: PrivacyLedger) -> list[bytes]:
    """Add six lines, and return all eight."""
    for steps in (3, 2, 0):
        ledger.settle(ledger.reserve(CLINIC, steps=4), steps)
    return ledger.path.read_bytes().splitlines(keepends=True)


def all_refuse(ledger: PrivacyLedger, plan: PrivacyPlan) -> None:
    damaged = ledger.path.read_bytes()
    for use in (
        lambda: PrivacyLedger.open(ledger.path),
        lambda: ledger.open_account(SCHOOL, plan),
        lambda: ledger.reserve(CLINIC, steps=1),
        lambda: ledger.spent(CLINIC),
        lambda: ledger.entries(CLINIC),
    ):
        with pytest.raises(ArtifactCorrupt, match=r"ledger\.jsonl"):
            use()
    assert ledger.path.read_bytes() == damaged


@pytest.mark.parametrize("number", range(8))
def test_a_line_that_was_removed_is_missed(
    ledger: PrivacyLedger, plan: PrivacyPlan, number: int
) -> None:
    lines = settled_ledger(ledger)
    ledger.path.write_bytes(b"".join(lines[:number] + lines[number + 1 :]))
    all_refuse(ledger, plan)


@pytest.mark.parametrize("number", range(7))
def test_lines_that_changed_places_are_found(
    ledger: PrivacyLedger, plan: PrivacyPlan, number: int
) -> None:
    lines = settled_ledger(ledger)
    lines[number : number + 2] = reversed(lines[number : number + 2])
    ledger.path.write_bytes(b"".join(lines))
    all_refuse(ledger, plan)


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("old", [b"2026", b"0", b"1", b'"kind"', b"{", b"}"])
def test_a_line_that_was_changed_is_found(
    ledger: PrivacyLedger, plan: PrivacyPlan, number: int, old: bytes
) -> None:
    lines = settled_ledger(ledger)
    changed = lines[number].replace(old, b"3", 1)
    if changed == lines[number]:
        changed = b"x" + changed
    lines[number] = changed
    ledger.path.write_bytes(b"".join(lines))
    all_refuse(ledger, plan)


@pytest.mark.parametrize("data", [b"", b"\n", b"[]\n", b"\xff\n", b"null\n", b'{"sha256": ""}\n'])
def test_other_files_are_never_read_as_unspent(
    ledger: PrivacyLedger, plan: PrivacyPlan, data: bytes
) -> None:
    ledger.path.write_bytes(data)
    all_refuse(ledger, plan)


def test_a_ledger_put_back_to_an_older_state_is_found(
    ledger: PrivacyLedger, plan: PrivacyPlan
) -> None:
    """A chain alone cannot miss its own end: the lock file remembers it."""
    older = ledger.path.read_bytes()
    settled_ledger(ledger)
    ledger.path.write_bytes(older)
    all_refuse(ledger, plan)


def test_a_copy_without_its_lock_is_read_and_leaves_nothing_behind(
    ledger: PrivacyLedger, tmp_path: Path
) -> None:
    settled_ledger(ledger)
    copy = tmp_path / "handed-on" / "ledger.jsonl"
    copy.parent.mkdir()
    copy.write_bytes(ledger.path.read_bytes())
    copy.parent.chmod(0o555)
    assert PrivacyLedger(copy).spent(CLINIC) == ledger.spent(CLINIC)
    assert os.listdir(copy.parent) == ["ledger.jsonl"]
    copy.parent.chmod(0o755)


def test_a_ledger_that_vanished_is_not_taken_for_an_empty_one(ledger: PrivacyLedger) -> None:
    ledger.path.unlink()
    with pytest.raises(ArtifactCorrupt, match=r"ledger\.jsonl"):
        ledger.reserve(CLINIC, steps=1)


@pytest.mark.parametrize("size", [1, 40, 200])
def test_a_line_torn_while_it_was_added_never_counts(
    ledger: PrivacyLedger, plan: PrivacyPlan, size: int
) -> None:
    """Who wrote it was killed before `reserve` returned, so that nothing was trained."""
    ledger.reserve(CLINIC, steps=3)
    whole = ledger.path.read_bytes()
    ledger.reserve(CLINIC, steps=4)
    line = ledger.path.read_bytes()[len(whole) :]
    ledger.path.write_bytes(whole + line[:size])
    with ledger._chain.lock_path.open("r+b") as lock:
        lock.truncate(0)  # its writer came no further than the line
    assert counted(ledger) == [3]
    ledger.reserve(CLINIC, steps=5)
    assert counted(ledger) == [3, 5]
    assert ledger.path.read_bytes().startswith(whole)
    assert ledger.path.read_bytes().count(b"\n") == whole.count(b"\n") + 1


def test_a_torn_line_in_the_middle_is_damage(ledger: PrivacyLedger, plan: PrivacyPlan) -> None:
    lines = settled_ledger(ledger)
    lines[3] = lines[3][:50] + b"\n"
    ledger.path.write_bytes(b"".join(lines))
    all_refuse(ledger, plan)


def forged(ledger: PrivacyLedger, change: dict[str, object], number: int) -> None:
    """Write the ledger anew with one record changed and all hashes right."""
    records = RecordChain(ledger.path, list).read()
    records[number] = {**records[number], **change}
    with RecordChain(ledger.path, list).locked() as file:
        file.create(records[0])
        for record in records[1:]:
            file.append(record)


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (0, {"version": 1}),
        (0, {"kind": "open"}),
        (1, {"plan": {}}),
        (1, {"note": ""}),
        (1, {"at": "today"}),
        (1, {"fingerprint": "anna.parquet"}),
        (2, {"kind": "charge"}),
        (2, {"owner": "owner-9"}),
        (2, {"steps": 0}),
        (2, {"event": None}),
        (
            2,
            {
                "event": {
                    "noise_multiplier": 1.0,
                    "sample_rate": 2.0,
                    "steps": 1,
                    "contributions": 1,
                }
            },
        ),
        (2, {"event": {"noise_multiplier": 0, "sample_rate": 1.0, "steps": 1, "contributions": 1}}),
        (3, {"id": "unknown"}),
        (3, {"id": []}),
        (3, {"steps": 5}),
        (3, {"event": None}),
    ],
)
def test_records_that_no_ledger_makes_are_refused(
    ledger: PrivacyLedger, plan: PrivacyPlan, number: int, change: dict[str, object]
) -> None:
    settled_ledger(ledger)
    forged(ledger, change, number)
    all_refuse(ledger, plan)


@pytest.mark.parametrize("name", ["ledger.jsonl", "ledger.json"])
def test_a_ledger_of_the_older_form_is_refused_with_a_way_out(tmp_path: Path, name: str) -> None:
    write_json(tmp_path / name, {"version": 1, "owners": {"owner-0": {}}})
    path = tmp_path / "ledger.jsonl"
    for use in (lambda: PrivacyLedger.open(path), lambda: PrivacyLedger(path).owners()):
        with pytest.raises(ArtifactError, match=rf"'{name}' of an older form.* keep it"):
            use()
    assert [p.name for p in tmp_path.glob("*.json*") if p.suffix != ".lock"] == [name]


# Several processes, and a disk that is full


def _reserve_on_a_full_disk(ledger: PrivacyLedger, room: int, answer: Connection) -> None:
    with full_disk(ledger.path.stat().st_size + room):
        try:
            ledger.reserve(CLINIC, steps=1)
        except OSError as error:
            answer.send(type(error).__name__)
        else:
            answer.send("reserved")


@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_full_disk_stops_the_reservation_and_keeps_the_ledger(
    ledger: PrivacyLedger, room: int
) -> None:
    ledger.reserve(CLINIC, steps=1)
    before = ledger.path.read_bytes()
    answer, child_end = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_reserve_on_a_full_disk, args=(ledger, room, child_end))
    child.start()
    child.join(timeout=60)
    assert answer.recv() == "OSError"
    assert ledger.path.read_bytes() == before
    assert sorted(os.listdir(ledger.path.parent)) == ["ledger.jsonl", "ledger.jsonl.lock"]
    ledger.reserve(CLINIC, steps=1)


def _reserve_until_refused(path: Path, answer: Connection) -> None:
    ledger = PrivacyLedger.open(path)
    reserved = 0
    try:
        while True:
            ledger.reserve(CLINIC, steps=2)
            reserved += 1
            answer.send(reserved)
    except BudgetExhausted:
        answer.send(reserved)
        answer.close()


def _last(answer: Connection) -> int:
    """Return the last number that a child sent before it ended."""
    last = 0
    try:
        while True:
            last = answer.recv()
    except EOFError:
        return last


def _start(
    work: Callable[..., None], *arguments: object
) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    answer, child_end = FORK.Pipe(duplex=False)
    child = FORK.Process(target=work, args=(*arguments, child_end))
    child.start()
    child_end.close()
    return child, answer


def test_processes_that_reserve_at_once_do_not_overrun(
    ledger: PrivacyLedger, plan: PrivacyPlan
) -> None:
    children = [_start(_reserve_until_refused, ledger.path) for _ in range(3)]
    counts = [_last(answer) for _, answer in children]
    for child, _ in children:
        child.join(timeout=60)
        assert child.exitcode == 0
    assert len(ledger.entries(CLINIC)) == sum(counts)
    assert sum(counted(ledger)) == plan.steps
    assert ledger.spent(CLINIC).epsilon <= plan.target_epsilon


def test_a_killed_process_forgets_no_reservation_that_returned(ledger: PrivacyLedger) -> None:
    child, answer = _start(_reserve_until_refused, ledger.path)
    answer.recv()
    os.kill(child.pid, signal.SIGKILL)
    child.join(timeout=60)
    returned = max(1, _last(answer))
    assert returned <= len(ledger.entries(CLINIC)) <= returned + 1
    ledger.reserve(CLINIC, steps=1)


def _hold(path: Path, answer: Connection) -> None:
    with PrivacyLedger(path).held_for(CLINIC):
        answer.send("held")
        signal.pause()


def test_two_processes_do_not_train_for_one_owner_at_once(
    ledger: PrivacyLedger, plan: PrivacyPlan
) -> None:
    ledger.open_account(SCHOOL, plan)
    child, answer = _start(_hold, ledger.path)
    assert answer.recv() == "held"
    began = time.monotonic()
    with (
        pytest.raises(LedgerInUse, match=r"owner-0 from 'ledger\.jsonl'.*nothing was spent"),
        ledger.held_for(CLINIC),
    ):
        pass
    assert time.monotonic() - began < 1, "it does not wait"
    with ledger.held_for(SCHOOL):
        ledger.reserve(SCHOOL, steps=1)
    os.kill(child.pid, signal.SIGKILL)
    child.join(timeout=60)
    with ledger.held_for(CLINIC):
        pass


def test_a_pseudonym_cannot_name_a_file(ledger: PrivacyLedger) -> None:
    with ledger.held_for(OwnerId("../../ward 7")):
        names = os.listdir(ledger.path.parent)
    assert all(name.startswith("ledger.jsonl") for name in names)
    assert not any("ward" in name for name in names)


def test_a_link_leads_to_the_same_account(tmp_path: Path, plan: PrivacyPlan) -> None:
    """Two paths to one ledger must not become two ledgers."""
    (tmp_path / "home").mkdir()
    real = PrivacyLedger.open(tmp_path / "home" / "ledger.jsonl")
    (tmp_path / "ledger.jsonl").symlink_to(real.path)
    linked = PrivacyLedger.open(tmp_path / "ledger.jsonl")
    linked.open_account(CLINIC, plan)
    linked.reserve(CLINIC, steps=1)
    assert (tmp_path / "ledger.jsonl").is_symlink()
    assert counted(real) == [1]
    with linked.held_for(CLINIC), pytest.raises(LedgerInUse), real.held_for(CLINIC):
        pass
