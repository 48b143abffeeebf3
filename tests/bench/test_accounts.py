"""A filled ledger is one that owners made, and what it costs is measured on the whole of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from discreet.bench import AccountsCost, as_accounts_table, measure_accounts
from discreet.bench.accounts import VISITS, _fill, _measure_here
from discreet.privacy import PrivacyLedger, PrivacyPlan, calibrate
from discreet.types import OwnerId

OWNERS = 30


@pytest.fixture(scope="module")
def plan() -> PrivacyPlan:
    return calibrate(
        target_epsilon=8.0, delta=1e-5, sample_rate=0.5, steps=2, expected_batch_size=4
    )


def spent_by_all(path: Path) -> list[float]:
    return [account.spent().epsilon for account in PrivacyLedger.open(path).accounts().values()]


def test_a_filled_ledger_is_that_of_owners_who_took_part_one_by_one(
    tmp_path: Path, plan: PrivacyPlan
) -> None:
    filled, lived = tmp_path / "filled.jsonl", tmp_path / "lived.jsonl"
    _fill(filled, OWNERS, plan)
    ledger = PrivacyLedger.open(lived)
    for turn in range(OWNERS):
        owner = OwnerId(f"owner-{turn}")
        ledger.open_account(owner, plan)
        ledger.settle(ledger.reserve(owner, steps=1), steps_started=1)
    assert spent_by_all(filled) == spent_by_all(lived)
    assert filled.stat().st_size == pytest.approx(lived.stat().st_size, rel=0.01)
    ids = [json.loads(line).get("id") for line in filled.read_text().splitlines()]
    assert len(set(ids) - {None}) == OWNERS + 1  # and that of the ledger


def test_visits_are_charged_as_rounds_of_their_owners(tmp_path: Path, plan: PrivacyPlan) -> None:
    path = tmp_path / "ledger.jsonl"
    _fill(path, OWNERS, plan)
    first = spent_by_all(path)[0]
    cost = _measure_here(path, OWNERS, plan)
    spent = PrivacyLedger.open(path).accounts()
    more = [owner for owner, account in spent.items() if account.spent().epsilon > first]
    assert sorted(more) == sorted(f"owner-{turn}" for turn in range(VISITS))
    assert cost.ledger_bytes + VISITS * cost.visit_bytes == pytest.approx(
        path.stat().st_size, abs=VISITS
    )
    assert cost.visit_cpu_ms > 0 < cost.statements_seconds


def test_a_row_says_what_was_measured() -> None:
    cost = AccountsCost(
        accounts=5000,
        ledger_bytes=6_652_933,
        visit_bytes=682,
        first_reading_seconds=0.98,
        statements_seconds=0.561,
        visit_cpu_ms=9.894,
        mib=26.1,
    )
    rows = as_accounts_table([cost, replace(cost, accounts=7)]).splitlines()
    assert rows[2] == "| 5,000 | 6.7 | 9.9 | 0.56 | 1.0 | 26 |"
    assert rows[3].startswith("| 7 |")


@pytest.mark.slow
def test_another_process_measures_the_same_sizes() -> None:
    one, other = (measure_accounts(OWNERS) for _ in range(2))
    assert one.ledger_bytes == pytest.approx(other.ledger_bytes, abs=200)  # times differ in length
