"""What a visit does for somebody who is young: which protection holds, and what is removed.

Whether somebody is a minor can come out in the middle of a visit, when they say so or look like a
child. What was written of them before is then removed; see `consent.minors` for why.

    >>> protection_for("youth", is_child=False).keeps, protection_for("adult", is_child=True).keeps
    (False, False)
"""

import logging

from discreet.assistant import Conversation
from discreet.consent import ConsentStore, Notice, Protection, Standing, protection_of, standing_of
from discreet.errors import DiscreetError
from discreet.journal import Journal

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

    What a guardian agreed to is in memory alone, and stays.
    """
    try:
        journal.forget(person)
        if GUARDIAN not in consents.active(person):
            consents.erase(person)
    except (DiscreetError, OSError) as error:
        _LOG.error("Records of a minor could not be removed: %s.", type(error).__name__)
        return False
    return True


def use_or_hold(talk: Conversation, unused: dict[str, str], *, is_held: bool) -> None:
    """Keep what a child says of itself in `unused`, but for its age, or use what is there."""
    if is_held:
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
