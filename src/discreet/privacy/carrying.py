"""A ledger for another run of the same owners: what they spent goes along, perhaps a new promise.

Reads one ledger and writes another. Reservations keep their ids, so that `spent_together` counts
each once; the ledger that is read stays as it is.

>>> import tempfile
>>> from discreet.privacy.plan import calibrate
>>> plan = calibrate(target_epsilon=8.0, delta=1e-5, sample_rate=0.1, steps=50,
...                  expected_batch_size=8)
>>> with tempfile.TemporaryDirectory() as folder:
...     ledger = PrivacyLedger.open(Path(folder) / "first.jsonl")
...     for owner in ("owner-0", "owner-1"):
...         ledger.open_account(OwnerId(owner), plan)
...     next_one = carry_over(ledger, Path(folder) / "next.jsonl", without=OwnerId("owner-0"))
...     list(next_one.accounts())
['owner-1']
"""

import secrets
from datetime import UTC, datetime
from pathlib import Path

from discreet.privacy.account import (
    first_record,
    open_record,
    reserve_record,
    settle_record,
)
from discreet.privacy.ledger import PrivacyLedger
from discreet.privacy.plan import PrivacyPlan
from discreet.types import OwnerId


def carry_over(
    ledger: PrivacyLedger, path: Path, *, without: OwnerId, plan: PrivacyPlan | None = None
) -> PrivacyLedger:
    """Return a new ledger with the accounts of an older one, but for one owner's.

    Args:
        ledger: Whose accounts go along, with all that was reserved and settled.
        path: Of the new file; nothing is there.
        without: Whose account stays behind.
        plan: What every account promises from here on; None: as before. A promise of more than the
            one before is a new one, which owners have to agree to beforehand.

    Raises:
        ArtifactCorrupt: if the older ledger is damaged, or something was at `path`.
        ValueError: if `plan` is about another delta, unit or neighbours: what was spent would be
            told as something else.
    """
    accounts = {owner: one for owner, one in ledger.accounts().items() if owner != without}
    for account in accounts.values():
        _require_same_kind(account.plan, plan)
    new, day = PrivacyLedger(path), datetime.now(UTC).date().isoformat()
    with new._chain.locked() as file:
        file.refuse_vanished()
        file.create(first_record(secrets.token_hex(16)))
        for owner, account in accounts.items():
            for entry in account.entries:
                file.append(open_record(owner, entry.plan, entry.fingerprint, entry.reserved_at))
                file.append(reserve_record(entry))
                if entry.steps_started is not None and entry.settled_at is not None:
                    file.append(settle_record(entry, entry.steps_started, entry.settled_at))
            file.append(open_record(owner, plan or account.plan, account.fingerprint, day))
    return new


def _require_same_kind(known: PrivacyPlan, plan: PrivacyPlan | None) -> None:
    """Refuse a promise about something else than what was spent."""
    for name in ("delta", "unit", "neighbouring_relation"):
        if plan is not None and getattr(plan, name) != getattr(known, name):
            raise ValueError(
                f"Expected a plan with {name}={getattr(known, name)!r} as in the accounts, got "
                f"{getattr(plan, name)!r}. Steps of both could not be told as one."
            )
