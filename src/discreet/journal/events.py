"""What may stand in the log: kinds, names, hashes and numbers; there is no place for a text.

An `Event` refuses what has not the form of its field, and `Journal.add` every name that the
journal was not opened with. What an event says of a person is which attributes were used or
withheld, never their values. Knows nothing of files.

>>> Event(kind=Kind.ANSWERED, used=(("age_band", "declared"),), milliseconds=812).milliseconds
1000
"""

import re
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, get_args

from discreet.types import Language, Mode, Source

NAMES = frozenset(
    {"healthcare", "education", "workplace", "research", "home"}  # contexts
    | {"inform", "comfort", "explain", "study", "talk"}  # purposes
    | {"age_band", "expression", "reading", "text_size", "language"}  # attributes
    | {"base", "private", "reference", "federated"}  # adapters
    | {"replaced", "not_allowed", "unknown_value", "source_not_allowed", "no_consent"}  # reasons
    | {"no_confidence", "unsure", "may_not_change"}
    | {"for_its_value", "minor", "no_effect", "too_fine"}
)
"""The names of what ships. A journal for other policies or adapters is opened with theirs added."""
TELLING = frozenset({"minor", "no_effect", "too_fine"})
"""Reasons from which a value follows (a child, a neutral face, an age between two bands); of each
is written `for_its_value`."""
MOST_MILLISECONDS = 86_400_000
"""A day."""
_SUBJECT = re.compile(r"[0-9a-f]{16,128}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")


class Kind(StrEnum):
    """What happened."""

    STARTED = "started"
    DISCLOSED = "disclosed"
    CONSENT_GIVEN = "consent_given"
    CONSENT_REFUSED = "consent_refused"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    ANSWERED = "answered"
    EMERGENCY = "emergency"
    STOPPED = "stopped"
    REFUSED = "refused"
    CORRECTED = "corrected"
    REJECTED = "rejected"
    PERSONALISED = "personalised"
    NOT_PERSONALISED = "not_personalised"
    EXPORTED = "exported"
    HANDED_OVER = "handed_over"
    FORGOTTEN = "forgotten"
    ERASED = "erased"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One thing that happened, as its reasons and not as its content.

    Guarantee:
        No field holds a text of a person's: what is not an enumeration, a number or a hash is a
        name, and a journal writes no name but those it was opened with.
    """

    kind: Kind
    person: str | None = field(default=None, repr=False)
    """Random id of the visit, 16 to 128 hex digits; never written. None: nobody's."""
    context: str | None = None
    purpose: str | None = None
    policy_sha256: str | None = None
    model_sha256: str | None = None
    adapter: str | None = None
    language: Language | None = None
    mode: Mode | None = None
    used: tuple[tuple[str, Source], ...] = ()
    """Attributes that passed the gate, and where each came from."""
    withheld: tuple[tuple[str, str], ...] = ()
    """Attributes that did not, and the code of the reason; `TELLING` ones are not told apart."""
    milliseconds: int | None = None
    """How long it took, rounded up to 1, 2 or 5 times a power of ten: how long an answer took to
    the millisecond tells how many words it had, and with it which."""

    def __post_init__(self) -> None:
        """Refuse what has not the form of its field; no error repeats it."""
        _check(self.person, _SUBJECT, "person as 16 to 128 hex digits")
        for name in ("policy_sha256", "model_sha256"):
            _check(getattr(self, name), _SHA256, f"{name} as 64 hex digits")
        if not isinstance(self.kind, Kind):
            raise ValueError(f"Expected kind among {', '.join(Kind)}, got something else.")
        for name, known in (("language", get_args(Language)), ("mode", get_args(Mode))):
            if getattr(self, name) not in (None, *known):
                raise ValueError(f"Expected {name} among {', '.join(known)}, got something else.")
        if not _are_pairs(self.used) or not _are_pairs(self.withheld):
            raise ValueError("Expected used and withheld as tuples of pairs of names.")
        paired = (name for pair in (*self.used, *self.withheld) for name in pair)
        for named in (self.context, self.purpose, self.adapter, *paired):
            _check(named, _NAME, "names as up to 64 letters, digits and ._/-")
        if not {source for _, source in self.used} <= set(get_args(Source)):
            raise ValueError(f"Expected sources among {', '.join(get_args(Source))}, got another.")
        told = ((name, "for_its_value" if why in TELLING else why) for name, why in self.withheld)
        object.__setattr__(self, "withheld", tuple(told))
        if self.milliseconds is not None:
            object.__setattr__(self, "milliseconds", _coarse(self.milliseconds))

    @property
    def names(self) -> frozenset[str]:
        """The names in it, which have to be among those of the journal."""
        one = {self.context, self.purpose, self.adapter} - {None}
        attributes = {attribute for attribute, _ in (*self.used, *self.withheld)}
        return frozenset(one | attributes | {reason for _, reason in self.withheld})  # type: ignore[arg-type]

    def to_record(self) -> dict[str, Any]:
        """Return what is written of it: all but the person, and nothing that is empty."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "person"}
        return {name: value for name, value in found.items() if value not in (None, ())}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An event as it was read back."""

    number: int
    """Of its line, counted over all files; those that open a file count, too."""
    time: datetime
    """UTC, whole seconds."""
    pseudonym: str | None
    """Of one visit on one day, drawn at random; None for what is nobody's."""
    event: Event
    """Without its person."""

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Entry":
        """Return what a record says.

        Raises:
            ValueError: if it has not the form of an event; so do `KeyError` and `TypeError`.
        """
        rest = dict(record)
        number, time = rest.pop("number"), datetime.fromisoformat(rest.pop("time"))
        pseudonym = rest.pop("person", None)
        for name in ("used", "withheld"):
            rest[name] = tuple((attribute, why) for attribute, why in rest.get(name, ()))
        event = Event(**{**rest, "kind": Kind(rest["kind"])})
        return cls(number=number, time=time, pseudonym=pseudonym, event=event)


def _check(value: object, form: re.Pattern[str], expected: str) -> None:
    """Refuse what is neither None nor of a form."""
    if value is not None and not (isinstance(value, str) and form.fullmatch(value)):
        raise ValueError(f"Expected {expected}, got something else.")


def _are_pairs(value: object) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(name, str) for name in pair)
        for pair in value
    )


def _coarse(milliseconds: object) -> int:
    """Return the least of 1, 2, 5, 10, 20, ... that is not below a duration."""
    if type(milliseconds) is not int or not 0 <= milliseconds <= MOST_MILLISECONDS:
        raise ValueError("Expected milliseconds as a whole number of 0 or more, within a day.")
    power = int("1" + "0" * (len(str(milliseconds)) - 1))
    return next(step * power for step in (0, 1, 2, 5, 10) if milliseconds <= step * power)
