"""What the journal is told of a visit: names, hashes and numbers, no word and no value.

>>> from discreet.assistant import load_policy
>>> sorted(names_of([load_policy("education")], ["base", "clinic-7"]) - NAMES)
['clinic-7']
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from discreet.assistant import Assistant, Policy, Reason, Reply
from discreet.errors import DiscreetError, NotLogged
from discreet.journal import NAMES, Event, Journal, Kind
from discreet.types import Mode

_LOG = logging.getLogger(__name__)


def new_person() -> str:
    """Return a random id for somebody; it links what is kept of them, and is in no file."""
    return secrets.token_hex(16)


def names_of(policies: Iterable[Policy], adapters: Iterable[str]) -> frozenset[str]:
    """Return the names of all that may happen under some policies, to open a journal with."""
    names = NAMES | {*adapters, *map(str, Reason)}
    for policy in policies:
        names |= {policy.context, *policy.purposes}
        names |= {name for purpose in policy.purposes.values() for name in purpose.attributes}
    return frozenset(names)


def require_log(journal: Journal) -> None:
    """Refuse an answer that could not be written down, before anybody hears of it.

    Raises:
        NotLogged: if the end of the log is damaged, or cannot be read.
    """
    try:
        journal.check_end()
    except (DiscreetError, OSError) as error:
        raise not_logged() from error


def not_logged() -> NotLogged:
    """Return what is said where an answer is refused because it cannot be written down."""
    return NotLogged(
        "Expected an event log that can be written, got a damaged or a full one: no answer is "
        "kept without it, but to danger to life. Whoever runs this service: `discreet log verify`."
    )


class Pen:
    """Writes down what happens in one visit, and that it began, with what happened first."""

    def __init__(self, journal: Journal, *, is_new: bool) -> None:
        """Begin; nothing is written before it is known of whom."""
        self._journal, self._is_new = journal, is_new

    def write(
        self,
        kind: Kind,
        *,
        reply: Reply | None = None,
        started: float | None = None,
        **facts: Any,
    ) -> bool:
        """Write an event down, with the facts of `event_of`; return whether it could be."""
        is_new, self._is_new = self._is_new, False
        if is_new and not write_down(self._journal, partial(event_of, Kind.STARTED, **facts)):
            return False
        event = partial(event_of, kind, reply=reply, started=started, **facts)
        return write_down(self._journal, event)


def write_down(journal: Journal, event: Callable[[], Event]) -> bool:
    """Add an event to a journal; return whether it could be, and log if it could not."""
    try:
        journal.add(event())
    except (DiscreetError, OSError, ValueError) as error:
        _LOG.error("An event could not be written down: %s.", type(error).__name__)
        return False
    return True


def event_of(
    kind: Kind,
    *,
    person: str | None,
    assistant: Assistant,
    purpose: str,
    adapter: str,
    mode: Mode | None = None,
    reply: Reply | None = None,
    started: float | None = None,
) -> Event:
    """Return what happened, as the journal keeps it.

    Args:
        kind: What.
        person: The visit's random id; None for what may not be linked to one.
        assistant: Who answers.
        purpose: What for.
        adapter: Which one of the responder.
        mode: That was asked for; the reply says which one it was.
        reply: The answer, of which nothing but its decision is read.
        started: When the turn began, by `time.perf_counter`.
    """
    passed, withheld = (reply.decision.passed, reply.decision.withheld) if reply else ((), ())
    return Event(
        kind=kind,
        person=person,
        context=assistant.policy.context,
        purpose=purpose,
        policy_sha256=assistant.policy.sha256,
        model_sha256=assistant.vlm.base_hash,
        adapter=adapter,
        language=assistant.notes.language,
        mode=reply.mode if reply else mode,
        used=tuple((seen.attribute, seen.source) for seen in passed),
        withheld=tuple((held.attribute, str(held.reason)) for held in withheld),
        milliseconds=None if started is None else round(1000 * (time.perf_counter() - started)),
    )
