"""What a visit does for somebody who is young: which protection holds, and what is removed.

Whether somebody is a minor can come out in the middle of a visit, when they say so; how somebody
looks makes nobody one. What was written of them before is then removed; see `consent.minors` for
why. An id for which a guardian answered is a child's, whatever is said of it later.

    >>> protection_for("youth", is_child=False).keeps, protection_for("adult", is_child=True).keeps
    (False, False)
"""

import logging
from collections.abc import Mapping
from typing import Any

from discreet.assistant import Conversation
from discreet.consent import ConsentStore, Notice, Protection, Standing, protection_of, standing_of
from discreet.errors import DiscreetError
from discreet.journal import Journal
from discreet.service.events import new_person

GUARDIAN = "guardian/declared"
"""The consent under which what a child says of itself is used, but for that it is a child."""
_PROTECTION: tuple[Standing, ...] = ("adult", "youth", "child")
"""The more protective, the later."""
_LOG = logging.getLogger(__name__)


def protection_for(standing: Standing, *, is_child: bool) -> Protection:
    """Return the more protective of what somebody said and of what is known."""
    told = standing_of("child" if is_child else None)
    return protection_of(max(standing, told, key=_PROTECTION.index))


def remove_written(person: str, *, consents: ConsentStore, journal: Journal) -> bool:
    """Remove links and consent records of a minor; return whether that could be done.

    What a guardian answered is in memory alone, and stays.
    """
    try:
        journal.forget(person)
        if not consents.is_of_child(person):
            consents.erase(person)
    except (DiscreetError, OSError) as error:
        _LOG.error("Records of a minor could not be removed: %s.", type(error).__name__)
        return False
    return True


def id_of_adult(person: str, *, consents: ConsentStore) -> str:
    """Return an id for somebody who is no child after all: another one where a guardian answered.

    What was answered for the child is dropped with its id.
    """
    if not consents.is_of_child(person):
        return person
    try:
        consents.erase(person)
    except (DiscreetError, OSError) as error:
        _LOG.error("A guardian's answer could not be dropped: %s.", type(error).__name__)
    return new_person()


def agreed(person: str, protection: Protection, *, consents: ConsentStore) -> frozenset[str]:
    """Return what somebody agrees to at this moment; a guardian's yes is for a minor alone."""
    active = consents.active(person)
    return active - {GUARDIAN} if protection.estimates else active & {GUARDIAN}


def provided(
    standing: Standing, protection: Protection, unused: Mapping[str, str]
) -> dict[str, Any]:
    """Return what an export adds to what somebody said: how old, and what waits for a guardian."""
    return {"standing": standing, "minor": not protection.keeps, "held_back": dict(unused)}


def use_or_hold(
    talk: Conversation,
    unused: dict[str, str],
    person: str,
    protection: Protection,
    *,
    consents: ConsentStore,
) -> None:
    """Keep what a child says of itself in `unused`, but for its age, or use what is there."""
    if protection.guardian and GUARDIAN not in consents.active(person):
        unused |= {name: value for name, value in talk.declared.items() if name != "age_band"}
        for name in unused:
            talk.declare(name, None)
        return
    for name, value in unused.items():
        talk.declare(name, value)
    unused.clear()


def require_asked(notice: Notice | None) -> Notice:
    """Return the notice that is answered; there is none for a youth.

    Raises:
        ValueError: if there is none.
    """
    if notice is None:
        raise ValueError(
            "Expected somebody of whom something may be estimated, got a minor: nothing is "
            "asked of them. Go on without."
        )
    return notice
