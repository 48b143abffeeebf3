"""The assistant in use: what it may know, what it may say, one turn at a time."""

from discreet.assistant.conversation import Conversation, Keep
from discreet.assistant.domains import CONTEXT_OF, WIDEST_OF, Gate, gate_of
from discreet.assistant.drafts import DRAFTS
from discreet.assistant.emergency import is_emergency
from discreet.assistant.exchange import Exchange
from discreet.assistant.gate import Decision, Reason, Withheld, declare, gate, say_reason
from discreet.assistant.handover import PARTS, Card, Contact, Part, hand_over
from discreet.assistant.notes import (
    FINDS,
    LEAST_FIT,
    Find,
    Match,
    Note,
    Notes,
    say_no_note,
)
from discreet.assistant.policy import (
    CHANGES,
    CONTEXTS,
    VALUES,
    Policy,
    Purpose,
    Rule,
)
from discreet.assistant.policy_files import load_policy
from discreet.assistant.safety_numbers import (
    Numbers,
    countries,
    emergency_text,
    numbers_of,
    whom_to_call,
)
from discreet.assistant.session import Assistant
from discreet.assistant.sight import Sight, only_pixels
from discreet.assistant.texts import EMERGENCY, NO_NOTE
from discreet.assistant.turn import Reply, Turn
from discreet.assistant.why import Observed, Why, percent_sure

__all__ = [
    "CHANGES",
    "CONTEXTS",
    "CONTEXT_OF",
    "DRAFTS",
    "EMERGENCY",
    "FINDS",
    "LEAST_FIT",
    "NO_NOTE",
    "PARTS",
    "VALUES",
    "WIDEST_OF",
    "Assistant",
    "Card",
    "Contact",
    "Conversation",
    "Decision",
    "Exchange",
    "Find",
    "Gate",
    "Keep",
    "Match",
    "Note",
    "Notes",
    "Numbers",
    "Observed",
    "Part",
    "Policy",
    "Purpose",
    "Reason",
    "Reply",
    "Rule",
    "Sight",
    "Turn",
    "Why",
    "Withheld",
    "countries",
    "declare",
    "emergency_text",
    "gate",
    "gate_of",
    "hand_over",
    "is_emergency",
    "load_policy",
    "numbers_of",
    "only_pixels",
    "percent_sure",
    "say_no_note",
    "say_reason",
    "whom_to_call",
]
