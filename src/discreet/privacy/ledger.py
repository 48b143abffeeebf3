"""What was spent, on disk: an append-only account for each data owner.

Steps are reserved before they are taken and settled after: what was reserved and not settled,
because the process was killed, counts whole. The file holds the steps as events of an accountant,
not epsilons to add up: epsilon is composed again over all of them, across plans, rounds, runs,
processes and restarts. Deleting the file forgets what was spent; keep it with the data it is about.

>>> import tempfile
>>> from pathlib import Path
>>> from discreet.privacy.plan import calibrate
>>> from discreet.types import OwnerId
>>> plan = calibrate(target_epsilon=8.0, delta=1e-5, sample_rate=0.1, steps=50,
...                  expected_batch_size=8)
>>> clinic = OwnerId("owner-0")
>>> with tempfile.TemporaryDirectory() as folder:
...     ledger = PrivacyLedger.open(Path(folder) / "ledger.jsonl")
...     ledger.open_account(clinic, plan)
...     reservation = ledger.reserve(clinic, steps=50)
...     before = ledger.spent(clinic).epsilon
...     ledger.settle(reservation, steps_started=20)
...     ledger.spent(clinic).epsilon < before <= 8.0
True

Guarantee:
    A step that was started after `reserve` returned is counted by `spent`, whatever happens to
    the process later; also after a power cut, if the disk keeps what it said it had written.
"""

import fcntl
import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

from discreet.chain import RecordChain
from discreet.errors import ArtifactCorrupt, ArtifactError, BudgetExhausted, LedgerInUse
from discreet.privacy.account import (
    Account,
    Accounts,
    Reservation,
    events_of,
    first_record,
    open_record,
    require_fingerprint,
    require_started,
    reserve_record,
    settle_record,
    user_level,
)
from discreet.privacy.accounting import Event, epsilon_of
from discreet.privacy.plan import PrivacyPlan, require_count
from discreet.types import OwnerId, PrivacyStatement

_GUARANTEE = ("target_epsilon", "delta", "unit", "neighbouring_relation")
_MECHANISM = (
    *("noise_multiplier", "sample_rate", "sampler", "bands", "sampled", "examples_per_user"),
    *("clip_quantile", "clip_count_noise", "loss_noise"),
)
"""Fields that decide what steps are to an accountant, or what is run for them."""


class PrivacyLedger:
    """A file of accounts that several processes may spend from.

    Every call compares the file with what this process read of it before, and parses what is new.
    What adds to it holds a lock on `<name>.lock` beside it from reading to writing, and returns
    once the new record is on disk.
    """

    def __init__(self, path: Path, *, run: str = "", keeps_plans: bool = False) -> None:
        self._chain = _chain_at(path.resolve())
        self._run = run
        self._keeps_plans = keeps_plans

    @property
    def path(self) -> Path:
        """The file, links resolved."""
        return self._chain.path

    @classmethod
    def open(cls, path: Path, *, run: str = "", keeps_plans: bool = False) -> Self:
        """Return the ledger at `path`; write an empty one if there is none.

        Args:
            path: The file.
            run: Label for what this process reserves.
            keeps_plans: Refuse another mechanism for an account that has spent: for owners whose
                plans come from somebody who sees what they released.

        Raises:
            ArtifactCorrupt: if the file is not a ledger as it was written, or vanished.
            ArtifactError: if there is a ledger of the older form.
        """
        ledger = cls(path, run=run, keeps_plans=keeps_plans)
        ledger.path.parent.mkdir(parents=True, exist_ok=True)
        with ledger._chain.locked() as file:
            if ledger.path.exists():
                ledger._accounts(file.read)
            else:
                _refuse_older_form(ledger.path)
                file.refuse_vanished()
                file.create(first_record(secrets.token_hex(16)))
        return ledger

    def open_account(
        self, owner: OwnerId, plan: PrivacyPlan, *, fingerprint: str | None = None
    ) -> None:
        """Store the plan of an owner; an open account may only change how, not what, it promises.

        Noise, rate and steps of a later plan apply to later steps; past ones stay as they were.
        Choose them without a look at what was released: accountants compose mechanisms that were
        fixed beforehand, and adaptive choices can cost more than they say.

        Args:
            owner: Pseudonym of the owner.
            plan: The public settings from here on.
            fingerprint: Hash of the owner's data, 64 hexadecimal digits, by which what several
                ledgers spent on the same data is found (`spent_together`). It is stored: a plain
                hash lets whoever reads the ledger confirm a guess of the data, a keyed one does
                not. None: as before.

        Raises:
            ValueError: if the account promises another epsilon, delta, unit or neighbours.
        """
        if not owner:
            raise ValueError("Expected a pseudonym for the owner, got an empty one.")
        require_fingerprint(fingerprint)
        with self._chain.locked() as file:
            known = self._accounts(file.read).get(owner)
            if known is not None:
                promised = _GUARANTEE + (_MECHANISM if self._keeps_plans and known.entries else ())
                _require_same(known.plan, plan, promised, f"the open account of {owner}")
                fingerprint = fingerprint or known.fingerprint
                if (known.plan, known.fingerprint) == (plan, fingerprint):
                    return
            file.append(open_record(owner, plan, fingerprint, _today()))

    def reserve(
        self,
        owner: OwnerId,
        *,
        steps: int,
        plan: PrivacyPlan | None = None,
        is_private: bool = True,
    ) -> Reservation:
        """Set `steps` steps of the owner's plan aside; until they are settled, all of them count.

        Args:
            owner: Whose account.
            steps: How many steps will follow, 1 or more.
            plan: What will be run; if given, it must be what the account counts.
            is_private: False if the noise comes from a public seed; it is recorded.

        Raises:
            BudgetExhausted: if the total would pass the target. Nothing is written.
            ValueError: if the owner has no account, or `plan` is not the account's.
            OSError: if the file cannot be written. The file stays as it was; do not train.
        """
        require_count("steps", steps)
        with self._chain.locked() as file:
            account = _of(self._accounts(file.read), owner)
            if plan is not None:
                _require_mechanism(account.plan, plan, f"the open account of {owner}")
            epsilon = account.epsilon_after(steps)
            if epsilon > account.plan.target_epsilon:
                raise BudgetExhausted(_refusal(owner, account, steps, epsilon))
            reservation = Reservation(
                owner=owner,
                id=secrets.token_hex(16),
                plan=account.plan,
                steps=steps,
                event=account.plan.event(steps),
                run=self._run,
                fingerprint=account.fingerprint,
                reserved_at=_today(),
                is_private=is_private,
            )
            file.append(reserve_record(reservation))
        return reservation

    def settle(self, reservation: Reservation, steps_started: int) -> None:
        """Record how many of the reserved steps were started; from here on only they count.

        Args:
            reservation: What `reserve` returned.
            steps_started: Steps in which a batch was drawn, also one that failed; 0 or more.

        Raises:
            ValueError: if the ledger has no such reservation, it was settled before, or more
                steps were started than reserved.
            OSError: if the file cannot be written. All reserved steps count.
        """
        with self._chain.locked() as file:
            account = _of(self._accounts(file.read), reservation.owner)
            known = {entry.id: entry for entry in account.entries}
            if reservation.id not in known:
                raise ValueError(
                    f"Expected a reservation of {reservation.owner} in '{self.path.name}', got "
                    f"{reservation.id}. Settle in the ledger that reserved."
                )
            require_started(known[reservation.id], steps_started)
            file.append(settle_record(known[reservation.id], steps_started, _today()))

    @contextmanager
    def held_for(self, owner: OwnerId) -> Iterator[None]:
        """Keep every other process from training on this owner's budget inside the block.

        Each of two would be counted, but the second would train from an adapter that the first is
        about to replace. Other owners of the ledger may train at the same time. The kernel lets go
        of a process that dies.

        Raises:
            LedgerInUse: at once, if another process is inside.
        """
        name = hashlib.sha256(owner.encode()).hexdigest()[:16]  # a pseudonym may hold a slash
        with self.path.with_name(f"{self.path.name}.{name}.lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LedgerInUse(
                    f"Expected to be alone in spending for {owner} from '{self.path.name}', but "
                    "another process trains. Wait until it ends, or end it; nothing was spent."
                ) from error
            yield

    def spent(
        self,
        owner: OwnerId,
        *,
        unit: Literal["user"] | None = None,
        examples_per_user: int | None = None,
    ) -> PrivacyStatement:
        """Return what an owner has spent, composed from all steps that count.

        Args:
            owner: Whose account.
            unit: `user`: what the same steps promise a person; None: the unit of the plan.
            examples_per_user: With `user`, most examples that one person has in the data.

        Raises:
            ValueError: if the owner has no account, or `unit` and `examples_per_user` do not fit
                the plan.
        """
        account = self.account(owner)
        if unit is None and examples_per_user is None:
            return account.spent()
        return user_level(account.plan, account.entries, examples_per_user)

    def account(self, owner: OwnerId) -> Account:
        """Return an owner's plan and reservations.

        Raises:
            ValueError: if the owner has no account.
        """
        return _of(self._accounts(self._chain.read), owner)

    def accounts(self) -> dict[OwnerId, Account]:
        """Return all accounts, sorted by pseudonym."""
        accounts = self._accounts(self._chain.read)
        return {owner: _of(accounts, owner) for owner in accounts.owners()}

    def entries(self, owner: OwnerId) -> tuple[Reservation, ...]:
        """Return an owner's reservations, oldest first."""
        return self.account(owner).entries

    def events(self, owner: OwnerId) -> tuple[Event, ...]:
        """Return all steps of an owner that count; with them a plan for what is left is made."""
        return self.account(owner).events

    def owners(self) -> tuple[OwnerId, ...]:
        """Return the pseudonyms of all accounts, sorted."""
        return tuple(self._accounts(self._chain.read).owners())

    def _accounts(self, read: Callable[[], Accounts]) -> Accounts:
        """Return all accounts, or raise `ArtifactCorrupt`."""
        try:
            return read()
        except ArtifactCorrupt:
            _refuse_older_form(self.path)
            raise
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise ArtifactCorrupt(
                f"Expected a privacy ledger in '{self.path.name}', could not read it ({error}) "
                "Restore it from a backup: without it nobody knows what was spent."
            ) from error


def spent_together(
    ledgers: Sequence[PrivacyLedger],
    *,
    owner: OwnerId | None = None,
    fingerprint: str | None = None,
    examples_per_user: int | None = None,
) -> PrivacyStatement:
    """Return what several ledgers spent on the same data, composed as one history.

    A reservation that is in several of them, because one is a copy of another, counts once.

    Args:
        ledgers: One or more.
        owner: Take the steps of this owner, whose data are the same in all of them.
        fingerprint: Or take all steps on data with this fingerprint, whoever owns them.
        examples_per_user: If given, what the steps promise a person with so many examples.

    Returns:
        The statement, at the smallest delta of the accounts.

    Raises:
        ValueError: if not exactly one of `owner` and `fingerprint` is given, no account has it, or
            the accounts protect different units.
    """
    if (owner is None) == (fingerprint is None):
        raise ValueError("Expected an owner or a fingerprint, got none or both. Give one.")
    plans: list[PrivacyPlan] = []
    found: dict[str, Reservation] = {}
    for ledger in ledgers:
        for name, account in ledger.accounts().items():
            ours = owner is None and account.fingerprint == fingerprint  # named later, or not yet
            same = [
                e
                for e in account.entries
                if fingerprint in (None, e.fingerprint) or (ours and e.fingerprint is None)
            ]
            if name == owner or ours or (owner is None and same):
                plans.append(account.plan)
                found |= {e.id: e for e in same if e.is_settled or e.id not in found}
    return _state_together(plans, list(found.values()), examples_per_user)


def _state_together(
    plans: Sequence[PrivacyPlan],
    entries: Sequence[Reservation],
    examples_per_user: int | None,
) -> PrivacyStatement:
    """Return the statement of steps that several plans made."""
    if not plans:
        raise ValueError("Expected an account with this owner or fingerprint, got none.")
    strictest = min(plans, key=lambda plan: plan.delta)
    for plan in plans:
        _require_same(strictest, plan, ("unit", "neighbouring_relation"), "the other accounts")
    if examples_per_user is not None:
        return user_level(strictest, entries, examples_per_user)
    return strictest.state(epsilon_of(events_of(entries), strictest.delta, strictest.accountant))


@lru_cache(maxsize=8)
def _chain_at(path: Path) -> RecordChain[Accounts]:
    """Return the file at a path, the same for all ledgers of this process that lie there.

    A round opens its owner's ledger anew; what was verified for the last one need not be again.
    """
    return RecordChain(path, Accounts)


def _of(accounts: Accounts, owner: OwnerId) -> Account:
    """Return one account, or say how to get it."""
    account = accounts.get(owner)
    if account is None:
        raise ValueError(
            f"Expected an owner with an account, got {owner}. Call open_account first."
        )
    return account


def _require_same(known: PrivacyPlan, given: PrivacyPlan, names: Sequence[str], what: str) -> None:
    """Refuse a plan that differs in one of the named fields."""
    for name in names:
        expected, got = getattr(known, name), getattr(given, name)
        if expected != got:
            raise ValueError(
                f"Expected {name}={expected!r} as in {what}, got {name}={got!r}. Open the account "
                "with the plan that you run; another guarantee needs another ledger and new data."
            )


def _require_mechanism(known: PrivacyPlan, given: PrivacyPlan, what: str) -> None:
    """Refuse a plan with another guarantee, or whose steps are something else to an accountant.

    Each field is compared, because plans may agree on some number of steps and differ on fewer.
    """
    _require_same(known, given, _GUARANTEE + _MECHANISM, what)


def _refuse_older_form(path: Path) -> None:
    """Refuse a ledger that is one JSON object, at this path or beside it as `.json`."""
    for file in (path, path.with_suffix(".json")):
        try:
            raw = json.loads(file.read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(raw, dict) and "owners" in raw:
            raise ArtifactError(
                f"Expected a ledger of JSON lines, got '{file.name}' of an older form, which is "
                "not read. It says what was spent on its data, so keep it: go on with the version "
                "of discreet that wrote it, or begin a new run in another folder and count both."
            )


def _today() -> str:
    """Return the day: how long steps took tells how many examples, or owners, were drawn."""
    return datetime.now(UTC).date().isoformat()


def _refusal(owner: OwnerId, account: Account, steps: int, epsilon: float) -> str:
    """Return why steps were refused, with all that gives their epsilon a meaning."""
    plan = account.plan
    return (
        f"Expected {owner} to stay within epsilon = {plan.target_epsilon:g}, got {epsilon:.3f} "
        f"after {steps} more steps; {account.epsilon_after(0):.3f} is spent (delta = "
        f"{plan.delta:g}, unit: {plan.unit}, neighbours: {plan.neighbouring_relation}). Nothing "
        "was reserved. Take fewer steps, or calibrate a plan with more noise for what is left."
    )
