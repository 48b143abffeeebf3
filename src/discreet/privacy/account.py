"""What a ledger says of an owner, and the records that say it.

Reads and makes records; touches no file and no clock. Four kinds, each with exactly these keys:

    ledger   version, id                              once, first
    open     owner, plan, fingerprint, at             a plan for an owner, perhaps another one
    reserve  owner, id, run, steps, event, at         steps that will follow
    settle   id, steps, event, at                     how many of them were started

`event` is what the steps are to an accountant, `at` the day in UTC (older ledgers: the time).
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import cast

from discreet.chain import Record
from discreet.privacy.accounting import Event, OutOfRange, epsilon_of
from discreet.privacy.plan import PrivacyPlan, require_count, require_keys
from discreet.types import OwnerId, PrivacyStatement

VERSION = 2
"""Version of the records that this code reads and writes."""

_KEYS = {
    "ledger": {"kind", "version", "id"},
    "open": {"kind", "owner", "plan", "fingerprint", "at"},
    "reserve": {"kind", "owner", "id", "run", "steps", "event", "is_private", "at"},
    "settle": {"kind", "id", "steps", "event", "at"},
}
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """Steps that were set aside before they were taken, and what became of them."""

    owner: OwnerId
    """Whose budget."""
    id: str
    """Random name that no other reservation has, in any ledger."""
    plan: PrivacyPlan = field(repr=False)
    """The plan of the account at that time."""
    steps: int
    """Steps set aside, 1 or more."""
    event: Event
    """What all of them are to an accountant."""
    run: str
    """Label of the run that asked; may be empty."""
    fingerprint: str | None = field(repr=False)
    """Fingerprint of the data, if the account has one."""
    reserved_at: str
    """Day in UTC, ISO 8601."""
    is_private: bool = True
    """Whether nobody can draw the noise again; False: it came from a public seed."""
    steps_started: int | None = None
    """Steps that were started; None: not settled, so that all may have been."""
    event_started: Event | None = None
    """What the steps that were started are to an accountant; None: not settled, or none."""
    settled_at: str | None = None
    """Day in UTC, ISO 8601."""

    @property
    def is_settled(self) -> bool:
        """Return whether the process lived to say how many steps were started."""
        return self.steps_started is not None

    @property
    def steps_counted(self) -> int:
        """Return the steps started, or all where nobody knows."""
        return self.steps if self.steps_started is None else self.steps_started

    @property
    def events(self) -> tuple[Event, ...]:
        """Return what counts: one event, or none if no step was started."""
        counted = self.event_started if self.is_settled else self.event
        return () if counted is None else (counted,)


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """The plan of an owner and all reservations so far, oldest first."""

    plan: PrivacyPlan
    entries: tuple[Reservation, ...] = ()
    fingerprint: str | None = field(default=None, repr=False)
    """Hash of the owner's data, if the account was opened with one."""

    @property
    def events(self) -> tuple[Event, ...]:
        """Return all steps that count, oldest first."""
        return events_of(self.entries)

    def epsilon_after(self, steps: int) -> float:
        """Return the composed epsilon if `steps` more steps of the plan were taken."""
        coming = [self.plan.event(steps)] if steps else []
        return epsilon_of([*self.events, *coming], self.plan.delta, self.plan.accountant)

    def steps_left(self) -> int:
        """Return how many steps of the plan one more reservation may hold, at most `plan.steps`."""
        low, high = 0, self.plan.steps
        while low < high:
            middle = (low + high + 1) // 2
            if self._fits(middle):
                low = middle
            else:
                high = middle - 1
        return low

    def _fits(self, steps: int) -> bool:
        try:
            return self.epsilon_after(steps) <= self.plan.target_epsilon
        except OutOfRange:
            return False

    def spent(self) -> PrivacyStatement:
        """Return what was spent, as the plan accounts for it."""
        return self.plan.state(self.epsilon_after(0))


def events_of(entries: Sequence[Reservation]) -> tuple[Event, ...]:
    """Return the events of reservations that count, in their order."""
    return tuple(event for entry in entries for event in entry.events)


def user_level(
    plan: PrivacyPlan, entries: Sequence[Reservation], examples_per_user: int | None
) -> PrivacyStatement:
    """Return what steps of an example-level plan promise a person with several examples.

    Source: Charles et al. 2024 (arXiv:2407.07737), sampling of examples.
    """
    if plan.unit != "example":
        raise ValueError(
            f"Expected steps whose unit is an example, got unit={plan.unit!r}, which is accounted "
            "for as it is. Leave examples_per_user out."
        )
    require_count("examples_per_user", examples_per_user)
    if examples_per_user != 1 and any(getattr(e.plan, "bands", 1) > 1 for e in entries):
        raise ValueError(
            "Expected independent noise in every step, got noise that several steps share: a "
            "person's examples may meet in it, and no figure for them is known. Train with "
            "unit='user'."
        )
    of_user = [
        replace(event, contributions=cast(int, examples_per_user)) for event in events_of(entries)
    ]
    return PrivacyStatement(
        epsilon=epsilon_of(of_user, plan.delta, "pld"),
        delta=plan.delta,
        unit="user",
        neighbouring_relation=plan.neighbouring_relation,
    )


def first_record(ledger_id: str) -> Record:
    """Return the record that begins a ledger."""
    return {"kind": "ledger", "version": VERSION, "id": ledger_id}


def open_record(owner: OwnerId, plan: PrivacyPlan, fingerprint: str | None, at: str) -> Record:
    """Return the record that gives an owner a plan."""
    return {
        "kind": "open",
        "owner": owner,
        "plan": plan.to_dict(),
        "fingerprint": fingerprint,
        "at": at,
    }


def reserve_record(reservation: Reservation) -> Record:
    """Return the record that sets steps aside."""
    return {
        "kind": "reserve",
        "owner": reservation.owner,
        "id": reservation.id,
        "run": reservation.run,
        "steps": reservation.steps,
        "event": asdict(reservation.event),
        "is_private": reservation.is_private,
        "at": reservation.reserved_at,
    }


def settle_record(reservation: Reservation, steps_started: int, at: str) -> Record:
    """Return the record that says how many of the steps were started."""
    event = reservation.plan.event(steps_started) if steps_started else None
    return {
        "kind": "settle",
        "id": reservation.id,
        "steps": steps_started,
        "event": None if event is None else asdict(event),
        "at": at,
    }


def require_started(reservation: Reservation, steps_started: int) -> None:
    """Refuse to settle twice, or more than was reserved."""
    if reservation.is_settled:
        raise ValueError(
            f"Expected a reservation that is not settled, got {reservation.id} of "
            f"{reservation.owner}, settled with {reservation.steps_started} steps. Settle once."
        )
    if isinstance(steps_started, bool) or steps_started not in range(reservation.steps + 1):
        raise ValueError(
            f"Expected 0 <= steps_started <= {reservation.steps} as reserved, got "
            f"{steps_started!r}. Reserve steps before they are taken."
        )


class Accounts:
    """All accounts that the records of a ledger describe, taken in one by one."""

    def __init__(self) -> None:
        self._is_begun = False
        self._opened: dict[OwnerId, Account] = {}
        self._entries: dict[str, Reservation] = {}
        self._ids: dict[OwnerId, list[str]] = {}

    def owners(self) -> list[OwnerId]:
        """Return the pseudonyms of all accounts, sorted."""
        return sorted(self._opened)

    def get(self, owner: OwnerId) -> Account | None:
        """Return one account; None if the owner has none."""
        if owner not in self._opened:
            return None
        entries = tuple(self._entries[entry] for entry in tuple(self._ids[owner]))
        return replace(self._opened[owner], entries=entries)

    def append(self, record: Record) -> None:
        """Take in the next record.

        Raises:
            ValueError, TypeError: if it is not one that this file makes, or comes out of order.
        """
        kind = record.get("kind")
        if not self._is_begun:
            _require_first(record)
            self._is_begun = True
            return
        if kind not in _KEYS or kind == "ledger":
            raise ValueError(f"Expected open, reserve or settle, got {kind!r}.")
        if kind == "reserve":  # before it was written, every ledger of this form was private
            record = {"is_private": True, **record}
        require_keys(f"a record of kind {kind}", record, _KEYS[kind])
        datetime.fromisoformat(record["at"])
        if kind == "open":
            self._open(record)
        elif kind == "reserve":
            self._reserve(_reserved(record, self._opened))
        else:
            self._entries[record["id"]] = _settled(record, self._entries)

    def _open(self, record: Record) -> None:
        """Give an owner a plan; reservations of an earlier one stay."""
        require_fingerprint(record["fingerprint"])
        owner = OwnerId(record["owner"])
        plan = PrivacyPlan.from_dict(record["plan"])
        self._ids.setdefault(owner, [])
        self._opened[owner] = Account(plan=plan, fingerprint=record["fingerprint"])

    def _reserve(self, entry: Reservation) -> None:
        """Add a reservation, whose id has to be new."""
        if entry.id in self._entries:
            raise ValueError(f"Expected an id of its own, got {entry.id} twice.")
        self._entries[entry.id] = entry
        self._ids[entry.owner].append(entry.id)


def _require_first(record: Record) -> None:
    """Refuse a first record that does not begin a ledger of this form."""
    require_keys("the first record", record, _KEYS["ledger"])
    if record["kind"] != "ledger" or record["version"] != VERSION:
        raise ValueError(f"Expected version {VERSION}, got {record['version']!r}.")


def _reserved(record: Record, accounts: dict[OwnerId, Account]) -> Reservation:
    """Return the reservation that a record tells of."""
    owner = OwnerId(record["owner"])
    if owner not in accounts:
        raise ValueError(f"Expected a reservation of an open account, got one of {owner}.")
    require_count("steps", record["steps"])
    if not isinstance(record["id"], str) or not isinstance(record["run"], str):
        raise TypeError("Expected id and run as text.")
    if not isinstance(record["is_private"], bool):
        raise TypeError("Expected is_private as true or false.")
    return Reservation(
        owner=owner,
        id=record["id"],
        plan=accounts[owner].plan,
        steps=record["steps"],
        event=Event(**record["event"]),
        run=record["run"],
        fingerprint=accounts[owner].fingerprint,
        reserved_at=record["at"],
        is_private=record["is_private"],
    )


def _settled(record: Record, entries: dict[str, Reservation]) -> Reservation:
    """Return the reservation that a record settles."""
    if record["id"] not in entries:
        raise ValueError(f"Expected a reservation before it is settled, got {record['id']!r}.")
    entry, steps = entries[record["id"]], record["steps"]
    require_started(entry, steps)
    if (record["event"] is None) != (steps == 0):
        raise ValueError("Expected an event for steps that were started, and none for none.")
    event = None if record["event"] is None else Event(**record["event"])
    return replace(entry, steps_started=steps, event_started=event, settled_at=record["at"])


def require_fingerprint(fingerprint: object) -> None:
    """Refuse anything but None or a SHA-256: a name or a path would say what the data are."""
    if fingerprint is None:
        return
    if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
        raise ValueError(
            "Expected a fingerprint of 64 hexadecimal digits, got something else. Use SHA-256, "
            "better HMAC-SHA-256 with a key that stays with the owner."
        )
