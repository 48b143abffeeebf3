"""What was spent, on disk: an append-only account for each data owner.

The file holds the steps that were taken, not epsilons to add up: epsilon is composed again over
all of them, across rounds, processes and restarts. Steps are charged before they are taken, so
that a crash counts too much and never too little. Deleting the file forgets what was spent; keep
it with the data it is about.

>>> import tempfile
>>> from pathlib import Path
>>> from discreet.privacy.plan import calibrate
>>> from discreet.types import OwnerId
>>> plan = calibrate(target_epsilon=8.0, delta=1e-5, sample_rate=0.1, steps=50,
...                  expected_batch_size=8)
>>> clinic = OwnerId("owner-0")
>>> with tempfile.TemporaryDirectory() as folder:
...     ledger = PrivacyLedger.open(Path(folder) / "ledger.json")
...     ledger.open_account(clinic, plan)
...     first, second = ledger.charge(clinic, steps=25), ledger.charge(clinic, steps=25)
>>> first < second <= 8.0
True
"""

import fcntl
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from discreet.artifacts import read_json, write_json
from discreet.errors import ArtifactCorrupt, BudgetExhausted
from discreet.privacy.accounting import epsilon_of
from discreet.privacy.plan import PrivacyPlan, require_count, require_keys
from discreet.types import OwnerId, PrivacyStatement

VERSION = 1
_GUARANTEE = ("target_epsilon", "delta", "unit", "neighbouring_relation")
_MECHANISM = ("noise_multiplier", "sample_rate")


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerEntry:
    """One charge; the first three names are those of Opacus' accountants."""

    noise_multiplier: float
    """Standard deviation of the noise over the clipping norm, above 0."""
    sample_rate: float
    """Chance of each example to be in a step, in (0, 1]."""
    steps: int
    """Steps charged, 1 or more."""
    delta: float
    """Delta at which `epsilon` holds, in (0, 1)."""
    epsilon: float
    """Total of the account after this entry, not the cost of this entry."""
    charged_at: str
    """ISO 8601 time in UTC."""

    def __post_init__(self) -> None:
        """Refuse an entry that no charge can have written."""
        for name in ("noise_multiplier", "sample_rate", "delta", "epsilon"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise ValueError(f"Expected {name} >= 0, got {name}={value!r}.")
        if self.noise_multiplier == 0 or not math.isfinite(self.noise_multiplier):
            raise ValueError("Expected a finite noise_multiplier > 0.")
        if not (0 < self.sample_rate <= 1 and 0 < self.delta < 1 and math.isfinite(self.epsilon)):
            raise ValueError("Expected sample_rate in (0, 1], delta in (0, 1), finite epsilon.")
        require_count("steps", self.steps)
        datetime.fromisoformat(self.charged_at)


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """The plan of an owner and all charges so far, oldest first."""

    plan: PrivacyPlan
    entries: tuple[LedgerEntry, ...] = ()

    def epsilon_after(self, steps: int) -> float:
        """Return the composed epsilon if `steps` more steps of the plan were taken."""
        coming = [replace(self.plan, steps=steps)] if steps else []
        return epsilon_of([*self.entries, *coming], self.plan.delta, self.plan.accountant)


class PrivacyLedger:
    """A file of accounts that several processes may charge.

    Every call reads the file again; a charge holds a lock on `<name>.lock` beside it from reading
    to writing. The new file is complete on disk before it takes the place of the old one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()  # a link must not become a second ledger

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the ledger at `path`; write an empty one if there is none.

        Raises:
            ArtifactCorrupt: if the file is not a ledger of this version.
        """
        ledger = cls(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with ledger._locked():
            if path.exists():
                ledger._read()
            else:
                ledger._write({})
        return ledger

    def open_account(self, owner: OwnerId, plan: PrivacyPlan) -> None:
        """Store the plan of an owner; an open account may only change how, not what, it promises.

        Noise, rate and steps of a later plan apply to later charges; past ones stay as they were.

        Raises:
            ValueError: if the account promises another epsilon, delta, unit or neighbours.
        """
        if not owner:
            raise ValueError("Expected a pseudonym for the owner, got an empty one.")
        with self._locked():
            accounts = self._read()
            known = accounts.get(owner)
            if known is None:
                accounts[owner] = Account(plan=plan)
            elif known.plan == plan:
                return
            else:
                _require_same(known.plan, plan, _GUARANTEE, f"the open account of {owner}")
                accounts[owner] = replace(known, plan=plan)
            self._write(accounts)

    def charge(self, owner: OwnerId, *, steps: int, plan: PrivacyPlan | None = None) -> float:
        """Record `steps` steps of the owner's plan before they are taken; return total epsilon.

        Args:
            owner: Whose account.
            steps: How many steps will follow, 1 or more.
            plan: What will be run; if given, it must be what the account charges for.

        Raises:
            BudgetExhausted: if the total would pass the target. Nothing is written.
            ValueError: if the owner has no account, or `plan` is not the account's.
            OSError: if the file cannot be written. The old file stays; do not train.
        """
        require_count("steps", steps)
        with self._locked():
            accounts = self._read()
            account = _of(accounts, owner)
            if plan is not None:
                what = f"the open account of {owner}"
                _require_same(account.plan, plan, _GUARANTEE + _MECHANISM, what)
            epsilon = account.epsilon_after(steps)
            if epsilon > account.plan.target_epsilon:
                raise BudgetExhausted(_refusal(owner, account, steps, epsilon))
            entry = LedgerEntry(
                noise_multiplier=account.plan.noise_multiplier,
                sample_rate=account.plan.sample_rate,
                steps=steps,
                delta=account.plan.delta,
                epsilon=epsilon,
                charged_at=datetime.now(UTC).isoformat(),
            )
            accounts[owner] = replace(account, entries=(*account.entries, entry))
            self._write(accounts)
        return epsilon

    def spent(self, owner: OwnerId) -> PrivacyStatement:
        """Return what an owner has spent, composed from all entries."""
        account = self.account(owner)
        return account.plan.state(account.epsilon_after(0))

    def account(self, owner: OwnerId) -> Account:
        """Return an owner's plan and entries.

        Raises:
            ValueError: if the owner has no account.
        """
        return _of(self._read(), owner)

    def entries(self, owner: OwnerId) -> tuple[LedgerEntry, ...]:
        """Return an owner's charges, oldest first."""
        return self.account(owner).entries

    def owners(self) -> tuple[OwnerId, ...]:
        """Return the pseudonyms of all accounts, sorted."""
        return tuple(sorted(self._read()))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock file; it is never replaced, so that all processes lock the same inode."""
        with self.path.with_name(f"{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> dict[OwnerId, Account]:
        """Return all accounts, or raise `ArtifactCorrupt`."""
        raw = read_json(self.path)
        try:
            require_keys("a ledger", raw, {"version", "owners"})
            if raw["version"] != VERSION:
                raise ValueError(f"Expected version {VERSION}, got {raw['version']!r}.")
            return {OwnerId(owner): _account_from(one) for owner, one in raw["owners"].items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise ArtifactCorrupt(
                f"Expected a privacy ledger in '{self.path.name}', could not read it ({error}). "
                "Restore it from a backup: without it nobody knows what was spent."
            ) from error

    def _write(self, accounts: dict[OwnerId, Account]) -> None:
        """Replace the file whole; on any failure the old one stays as it was."""
        owners = {owner: _account_to(account) for owner, account in accounts.items()}
        write_json(self.path, {"version": VERSION, "owners": owners})


def _of(accounts: dict[OwnerId, Account], owner: OwnerId) -> Account:
    """Return one account, or say how to get it."""
    if owner not in accounts:
        raise ValueError(
            f"Expected an owner with an account, got {owner}. Call open_account first."
        )
    return accounts[owner]


def _account_to(account: Account) -> dict[str, Any]:
    """Return an account as plain values for JSON."""
    return {"plan": account.plan.to_dict(), "entries": [asdict(e) for e in account.entries]}


def _account_from(raw: dict[str, Any]) -> Account:
    """Return the account that `_account_to` wrote."""
    require_keys("an account", raw, {"plan", "entries"})
    expected = {field.name for field in fields(LedgerEntry)}
    for entry in raw["entries"]:
        require_keys("a ledger entry", entry, expected)
    entries = tuple(LedgerEntry(**entry) for entry in raw["entries"])
    return Account(plan=PrivacyPlan.from_dict(raw["plan"]), entries=entries)


def _require_same(
    known: PrivacyPlan, given: PrivacyPlan, names: tuple[str, ...], what: str
) -> None:
    """Refuse a plan that differs in one of the named fields."""
    for name in names:
        expected, got = getattr(known, name), getattr(given, name)
        if expected != got:
            raise ValueError(
                f"Expected {name}={expected!r} as in {what}, got {name}={got!r}. Open the account "
                "with the plan that you run; another guarantee needs another ledger and new data."
            )


def _refusal(owner: OwnerId, account: Account, steps: int, epsilon: float) -> str:
    """Return why a charge was refused, with all that gives its epsilon a meaning."""
    plan = account.plan
    spent = account.epsilon_after(0)
    return (
        f"Expected {owner} to stay within epsilon = {plan.target_epsilon:g}, got {epsilon:.3f} "
        f"after {steps} more steps; {spent:.3f} is spent (delta = {plan.delta:g}, unit: "
        f"{plan.unit}, neighbours: {plan.neighbouring_relation}). Nothing was charged. Take fewer "
        "steps, or calibrate a plan with more noise for what is left."
    )
