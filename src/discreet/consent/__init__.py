"""What a person is asked before anything is estimated of them, and what they answered."""

from discreet.consent.minors import (
    AgeQuestion,
    Protection,
    Span,
    Standing,
    ask_age,
    notice_for,
    protection_of,
    standing_of,
)
from discreet.consent.notices import NOTICE_CONTEXTS, Item, Notice, load_notice
from discreet.consent.records import ConsentRecord, Method
from discreet.consent.store import ConsentStore, Erased

__all__ = [
    "NOTICE_CONTEXTS",
    "AgeQuestion",
    "ConsentRecord",
    "ConsentStore",
    "Erased",
    "Item",
    "Method",
    "Notice",
    "Protection",
    "Span",
    "Standing",
    "ask_age",
    "load_notice",
    "notice_for",
    "protection_of",
    "standing_of",
]
