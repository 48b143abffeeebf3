"""What a visit does for somebody who is young: which protection holds, and what is removed.

Whether somebody is a minor can come out in the middle of a visit, when they say so or look like a
child. What was written of them before is then removed; see `consent.minors` for why.

    >>> protection_for("youth", is_child=False).keeps, protection_for("adult", is_child=True).keeps
    (False, False)
"""

import logging
from collections.abc import Mapping

from discreet.assistant import Conversation
from discreet.consent import ConsentStore, Protection, Standing, protection_of, standing_of
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


def take_out(talk: Conversation) -> Mapping[str, str]:
    """Return what a child said of itself, but for its age, and keep it from use."""
    said = {name: value for name, value in talk.declared.items() if name != "age_band"}
    for name in said:
        talk.declare(name, None)
    return said
