"""What many owners cost a federation whose accounts lie in one ledger: file, time and memory.

A file is filled with accounts that have taken part in one round, as a real ledger says it of one.
Then a process that knows nothing of it reads it, states what all owners spent, and does what an
owner's round does with its account: open, `open_account`, `reserve`, `settle`, `spent`. The file
lies in memory where the system has a folder for that: how fast a disk is, is not measured.

    print(as_accounts_table([measure_accounts(1000)]))
"""

import json
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from discreet.bench.memory import memory_bytes
from discreet.bench.scale import keep_quiet, plan_for
from discreet.chain import RecordChain
from discreet.federated import plan_of
from discreet.privacy import PrivacyLedger, PrivacyPlan
from discreet.types import OwnerId

VISITS = 20
"""Visits that are measured, of as many owners."""
_IN_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountsCost:
    """What one ledger with some number of accounts costs."""

    accounts: int
    ledger_bytes: int
    """Of the file once every owner took part in one round."""
    visit_bytes: int
    """By which the file grows with each further round of an owner."""
    first_reading_seconds: float
    """Of a process that knows nothing of the file."""
    statements_seconds: float
    """To say what each owner spent."""
    visit_cpu_ms: float
    """Processor time of an owner's account in a round; mean of `VISITS`."""
    mib: float
    """By which the process grew when it read the file and said what each owner spent."""


def measure_accounts(accounts: int) -> AccountsCost:
    """Return what a ledger of so many accounts costs a process that has done nothing else."""
    context = multiprocessing.get_context("spawn")
    folder = str(_IN_MEMORY) if _IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / "ledger.jsonl"
        plan = plan_of(plan_for(2, per_round=2, rounds=2))  # of which accounts spend one round
        _fill(path, accounts, plan)
        with ProcessPoolExecutor(1, mp_context=context, initializer=keep_quiet) as pool:
            return pool.submit(_measure_here, path, accounts, plan).result()


def _fill(path: Path, accounts: int, plan: PrivacyPlan) -> None:
    """Write a ledger in which every owner took part in one round."""
    first = OwnerId("owner-0")
    ledger = PrivacyLedger.open(path)
    ledger.open_account(first, plan)
    ledger.settle(ledger.reserve(first, steps=1), steps_started=1)
    records = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    chain: RecordChain[list[dict[str, Any]]] = RecordChain(path, list)
    with chain.locked() as file:
        for turn in range(1, accounts):
            of_owner = {"owner": f"owner-{turn}", "id": f"{turn:032x}"}
            for record in records:
                own = {name: of_owner.get(name, value) for name, value in record.items()}
                file.append({name: value for name, value in own.items() if name != "sha256"})


def _measure_here(path: Path, accounts: int, plan: PrivacyPlan) -> AccountsCost:
    """Return the costs in this process."""
    ledger_bytes, mib = path.stat().st_size, memory_bytes("VmRSS") / 2**20
    started = time.perf_counter()
    ledger = PrivacyLedger.open(path)
    read = time.perf_counter()
    for account in ledger.accounts().values():
        account.spent()
    stated = time.perf_counter()
    mib = memory_bytes("VmRSS") / 2**20 - mib
    count = min(VISITS, accounts)
    cpu_started = time.process_time()
    for turn in range(count):
        _visit(path, OwnerId(f"owner-{turn}"), plan)
    return AccountsCost(
        accounts=accounts,
        ledger_bytes=ledger_bytes,
        visit_bytes=round((path.stat().st_size - ledger_bytes) / count),
        first_reading_seconds=read - started,
        statements_seconds=stated - read,
        visit_cpu_ms=1000 * (time.process_time() - cpu_started) / count,
        mib=mib,
    )


def _visit(path: Path, owner: OwnerId, plan: PrivacyPlan) -> None:
    """Do what a round does with an owner's account."""
    ledger = PrivacyLedger.open(path)
    ledger.open_account(owner, plan)
    ledger.settle(ledger.reserve(owner, steps=1), steps_started=1)
    ledger.spent(owner)


def as_accounts_table(measured: Sequence[AccountsCost]) -> str:
    """Return a Markdown table."""
    lines = [
        "| accounts in one file | file, MB | accounts of a visit, ms of the processor "
        "| all statements, s | first reading, s | memory, MiB |",
        "|" + "---|" * 6,
    ]
    lines += [
        f"| {one.accounts:,} | {one.ledger_bytes / 1e6:.1f} | {one.visit_cpu_ms:.1f} "
        f"| {one.statements_seconds:.2f} | {one.first_reading_seconds:.1f} | {one.mib:,.0f} |"
        for one in measured
    ]
    return "\n".join(lines)
