"""What was decided, under which policy and model, without a word or picture of anybody.

No field of an event takes free text, each line is bound by a key to all before it, and what links
a line to a person can be dropped without touching the lines. What the events are about is decided
in other rooms; this one knows names and numbers only.
"""

from discreet.journal.events import NAMES, Entry, Event, Kind
from discreet.journal.journal import KEEP_DAYS, Journal
from discreet.journal.verdict import Damage, Harm, Verdict

__all__ = [
    "KEEP_DAYS",
    "NAMES",
    "Damage",
    "Entry",
    "Event",
    "Harm",
    "Journal",
    "Kind",
    "Verdict",
]
