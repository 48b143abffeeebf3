import json
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from discreet.errors import ArtifactCorrupt, BudgetExhausted
from discreet.privacy import PrivacyLedger, PrivacyPlan, calibrate, epsilon_of
from discreet.types import OwnerId

CLINIC, SCHOOL = OwnerId("owner-0"), OwnerId("owner-1")
FORK = multiprocessing.get_context("fork")


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
    ledger = PrivacyLedger.open(tmp_path / "ledger.json")
    ledger.open_account(CLINIC, plan)
    return ledger


def test_the_target_is_spent_step_by_step_and_not_passed(
    ledger: PrivacyLedger, plan: PrivacyPlan
) -> None:
    totals = [ledger.charge(CLINIC, steps=10) for _ in range(4)]
    assert totals == sorted(totals)
    assert totals[-1] == pytest.approx(plan.epsilon)
    before = ledger.path.read_bytes()
    with pytest.raises(BudgetExhausted):
        ledger.charge(CLINIC, steps=10)
    assert ledger.path.read_bytes() == before


def test_a_refusal_says_all_that_gives_epsilon_a_meaning(ledger: PrivacyLedger) -> None:
    ledger.charge(CLINIC, steps=20)
    spent = ledger.spent(CLINIC).epsilon
    with pytest.raises(BudgetExhausted) as caught:
        ledger.charge(CLINIC, steps=100)
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
    ledger.charge(CLINIC, steps=20)
    again = PrivacyLedger.open(ledger.path)
    again.open_account(CLINIC, plan)
    again.charge(CLINIC, steps=10)
    assert again.spent(CLINIC).epsilon == epsilon_of(again.entries(CLINIC), plan.delta, "rdp")
    assert [entry.steps for entry in ledger.entries(CLINIC)] == [20, 10]
    with pytest.raises(BudgetExhausted):
        again.charge(CLINIC, steps=20)


def test_entries_bear_the_names_of_opacus(ledger: PrivacyLedger, plan: PrivacyPlan) -> None:
    total = ledger.charge(CLINIC, steps=5)
    raw = json.loads(ledger.path.read_text())
    entry = raw["owners"]["owner-0"]["entries"][0]
    charged_at = entry.pop("charged_at")
    assert raw["version"] == 1
    assert charged_at.endswith("+00:00")
    assert entry == {
        "noise_multiplier": plan.noise_multiplier,
        "sample_rate": plan.sample_rate,
        "steps": 5,
        "delta": plan.delta,
        "epsilon": total,
    }


def test_a_plan_with_other_noise_composes_with_the_past(
    ledger: PrivacyLedger, plan: PrivacyPlan, make_plan: Callable[..., PrivacyPlan]
) -> None:
    ledger.charge(CLINIC, steps=20)
    quieter = make_plan(
        target_epsilon=3.0, noise_multiplier=6.0, sample_rate=0.05, accountant="prv"
    )
    ledger.open_account(CLINIC, quieter)
    total = ledger.charge(CLINIC, steps=30, plan=quieter)
    first, second = ledger.entries(CLINIC)
    assert (first.noise_multiplier, second.noise_multiplier) == (plan.noise_multiplier, 6.0)
    assert total == epsilon_of([first, second], 1e-5, "prv")


def test_owners_are_charged_apart(ledger: PrivacyLedger, plan: PrivacyPlan) -> None:
    ledger.open_account(SCHOOL, plan)
    ledger.charge(SCHOOL, steps=10)
    assert ledger.owners() == (CLINIC, SCHOOL)
    assert ledger.spent(CLINIC).epsilon == 0
    assert ledger.spent(SCHOOL).epsilon > 0


@pytest.mark.parametrize(("name", "value"), [("target_epsilon", 4.0), ("delta", 1e-6)])
def test_an_account_keeps_its_promise(
    ledger: PrivacyLedger, plan: PrivacyPlan, name: str, value: float
) -> None:
    other = PrivacyPlan.from_dict({**plan.to_dict(), name: value})
    with pytest.raises(ValueError, match=f"Expected {name}="):
        ledger.open_account(CLINIC, other)
    assert ledger.account(CLINIC).plan == plan


def test_a_charge_for_another_mechanism_is_refused(
    ledger: PrivacyLedger, plan: PrivacyPlan
) -> None:
    less_noise = PrivacyPlan.from_dict({**plan.to_dict(), "noise_multiplier": 0.5})
    with pytest.raises(ValueError, match=r"got noise_multiplier=0\.5"):
        ledger.charge(CLINIC, steps=1, plan=less_noise)
    assert ledger.entries(CLINIC) == ()


@pytest.mark.parametrize("steps", [0, -1, 1.5, True])
def test_steps_are_a_whole_number(ledger: PrivacyLedger, steps: int) -> None:
    with pytest.raises(ValueError, match="steps >= 1"):
        ledger.charge(CLINIC, steps=steps)


def test_an_owner_without_an_account_is_named(ledger: PrivacyLedger) -> None:
    with pytest.raises(ValueError, match="owner-1"):
        ledger.charge(SCHOOL, steps=1)


def _as_text(change: Callable[[dict], object]) -> Callable[[str], str]:
    def damage(text: str) -> str:
        raw = json.loads(text)
        change(raw)
        return json.dumps(raw)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: "\udc80",
        _as_text(lambda raw: raw.update(version=2)),
        _as_text(lambda raw: raw.update(note="")),
        _as_text(lambda raw: raw.update(owners=[])),
        _as_text(lambda raw: raw["owners"]["owner-0"].pop("plan")),
        _as_text(lambda raw: raw["owners"]["owner-0"]["plan"].update(delta=2)),
        _as_text(lambda raw: raw["owners"]["owner-0"]["entries"][0].update(steps=0)),
        _as_text(lambda raw: raw["owners"]["owner-0"]["entries"][0].pop("sample_rate")),
        _as_text(lambda raw: raw["owners"]["owner-0"]["entries"][0].update(epsilon=float("nan"))),
        _as_text(lambda raw: raw["owners"]["owner-0"]["entries"][0].update(charged_at="today")),
    ],
)
def test_a_damaged_ledger_is_never_read_as_unspent(
    ledger: PrivacyLedger, damage: Callable[[str], str]
) -> None:
    ledger.charge(CLINIC, steps=1)
    damaged = damage(ledger.path.read_text()).encode("utf-8", "surrogateescape")
    ledger.path.write_bytes(damaged)
    for use in (
        lambda: PrivacyLedger.open(ledger.path),
        lambda: ledger.charge(CLINIC, steps=1),
        lambda: ledger.spent(CLINIC),
    ):
        with pytest.raises(ArtifactCorrupt, match=r"ledger\.json"):
            use()
    assert ledger.path.read_bytes() == damaged


def test_a_ledger_that_vanished_is_not_taken_for_an_empty_one(ledger: PrivacyLedger) -> None:
    ledger.path.unlink()
    with pytest.raises(ArtifactCorrupt, match=r"ledger\.json"):
        ledger.charge(CLINIC, steps=1)


@contextmanager
def full_disk(size_bytes: int) -> Iterator[None]:
    """Let the kernel refuse to write any file beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _charge_on_a_full_disk(ledger: PrivacyLedger, answer: Connection) -> None:
    with full_disk(64):
        try:
            ledger.charge(CLINIC, steps=1)
        except OSError as error:
            answer.send(type(error).__name__)
        else:
            answer.send("charged")


def test_a_full_disk_stops_the_charge_and_keeps_the_old_ledger(ledger: PrivacyLedger) -> None:
    ledger.charge(CLINIC, steps=1)
    before = ledger.path.read_bytes()
    answer, child_end = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_charge_on_a_full_disk, args=(ledger, child_end))
    child.start()
    child.join(timeout=60)
    assert answer.recv() == "OSError"
    assert ledger.path.read_bytes() == before
    assert sorted(os.listdir(ledger.path.parent)) == ["ledger.json", "ledger.json.lock"]


def _charge_until_refused(path: Path, answer: Connection) -> None:
    ledger = PrivacyLedger.open(path)
    charged = 0
    try:
        while True:
            ledger.charge(CLINIC, steps=2)
            charged += 1
            answer.send(charged)
    except BudgetExhausted:
        answer.send(charged)
        answer.close()


def _last(answer: Connection) -> int:
    """Return the last number that a child sent before it ended."""
    last = 0
    try:
        while True:
            last = answer.recv()
    except EOFError:
        return last


def _start(path: Path) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    answer, child_end = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_charge_until_refused, args=(path, child_end))
    child.start()
    child_end.close()
    return child, answer


def test_processes_that_charge_at_once_do_not_overrun(
    ledger: PrivacyLedger, plan: PrivacyPlan
) -> None:
    children = [_start(ledger.path) for _ in range(3)]
    counts = [_last(answer) for _, answer in children]
    for child, _ in children:
        child.join(timeout=60)
        assert child.exitcode == 0
    entries = ledger.entries(CLINIC)
    assert len(entries) == sum(counts)
    assert sum(entry.steps for entry in entries) == plan.steps
    assert ledger.spent(CLINIC).epsilon <= plan.target_epsilon
    assert [e.epsilon for e in entries] == sorted(e.epsilon for e in entries)


def test_a_killed_process_forgets_no_charge_that_returned(ledger: PrivacyLedger) -> None:
    child, answer = _start(ledger.path)
    answer.recv()
    os.kill(child.pid, signal.SIGKILL)
    child.join(timeout=60)
    returned = max(1, _last(answer))
    assert returned <= len(ledger.entries(CLINIC)) <= returned + 1
    ledger.charge(CLINIC, steps=1)


def test_a_link_leads_to_the_same_account(tmp_path: Path, plan: PrivacyPlan) -> None:
    """Two paths to one ledger must not become two ledgers."""
    (tmp_path / "home").mkdir()
    real = PrivacyLedger.open(tmp_path / "home" / "ledger.json")
    (tmp_path / "ledger.json").symlink_to(real.path)
    linked = PrivacyLedger.open(tmp_path / "ledger.json")
    linked.open_account(CLINIC, plan)
    linked.charge(CLINIC, steps=1)
    assert (tmp_path / "ledger.json").is_symlink()
    assert [entry.steps for entry in real.entries(CLINIC)] == [1]
