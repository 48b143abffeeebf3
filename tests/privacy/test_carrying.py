"""What was spent goes along to another ledger, and counts once where both are read."""

from pathlib import Path

import pytest

from discreet.errors import ArtifactCorrupt, BudgetExhausted
from discreet.privacy import PrivacyLedger, PrivacyPlan, calibrate, carry_over, spent_together
from discreet.types import OwnerId

ONE, TWO, GONE = map(OwnerId, ("owner-0", "owner-1", "owner-2"))


def plan(epsilon: float = 8.0, **changes: float) -> PrivacyPlan:
    settings = {"delta": 1e-5, "sample_rate": 0.1, "steps": 40, "expected_batch_size": 8, **changes}
    return calibrate(target_epsilon=epsilon, accountant="rdp", **settings)  # type: ignore[arg-type]


@pytest.fixture
def ledger(tmp_path: Path) -> PrivacyLedger:
    """Three owners; of the second, one reservation was never settled, and none of a third."""
    ledger = PrivacyLedger.open(tmp_path / "old" / "ledger.jsonl", run="old")
    for owner in (ONE, TWO, GONE):
        ledger.open_account(owner, plan(), fingerprint="a" * 64)
        ledger.settle(ledger.reserve(owner, steps=20), steps_started=12)
    ledger.reserve(TWO, steps=10, is_private=False)
    return ledger


def test_what_was_spent_goes_along_and_counts_once(ledger: PrivacyLedger, tmp_path: Path) -> None:
    before = ledger.path.read_bytes()
    new = carry_over(ledger, tmp_path / "new.jsonl", without=GONE)
    assert new.owners() == (ONE, TWO)
    for owner in (ONE, TWO):
        assert new.account(owner) == ledger.account(owner)
        assert spent_together([ledger, new], owner=owner) == ledger.spent(owner)
    assert ledger.path.read_bytes() == before
    again = PrivacyLedger.open(tmp_path / "new.jsonl")
    with pytest.raises(BudgetExhausted):
        again.reserve(TWO, steps=40)


def test_a_larger_promise_makes_room_and_forgets_nothing(
    ledger: PrivacyLedger, tmp_path: Path
) -> None:
    larger = plan(16.0, steps=80)
    new = carry_over(ledger, tmp_path / "new.jsonl", without=GONE, plan=larger)
    new.open_account(TWO, larger)
    new.settle(new.reserve(TWO, steps=40, plan=larger), steps_started=40)
    assert ledger.spent(TWO).epsilon < new.spent(TWO).epsilon <= 16.0
    fresh = PrivacyLedger.open(tmp_path / "fresh.jsonl")
    fresh.open_account(TWO, larger)
    fresh.reserve(TWO, steps=40)
    assert fresh.spent(TWO).epsilon < new.spent(TWO).epsilon


def test_promises_of_another_kind_are_refused(ledger: PrivacyLedger, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Expected a plan with delta=1e-05"):
        carry_over(ledger, tmp_path / "new.jsonl", without=GONE, plan=plan(delta=1e-6))
    assert not (tmp_path / "new.jsonl").exists()


def test_a_ledger_that_is_there_or_vanished_is_not_replaced(
    ledger: PrivacyLedger, tmp_path: Path
) -> None:
    carry_over(ledger, tmp_path / "new.jsonl", without=GONE)
    with pytest.raises(ArtifactCorrupt):
        carry_over(ledger, tmp_path / "new.jsonl", without=GONE)
