"""The assistant in use: what it may know, what it may say, one turn at a time."""

from discreet.assistant.drafts import DRAFTS
from discreet.assistant.gate import Decision, Reason, Withheld, declare, gate, say_reason
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
from discreet.assistant.session import Assistant, Reply, Turn
from discreet.assistant.texts import EMERGENCY, NO_NOTE

__all__ = [
    "CHANGES",
    "CONTEXTS",
    "DRAFTS",
    "EMERGENCY",
    "FINDS",
    "LEAST_FIT",
    "NO_NOTE",
    "VALUES",
    "Assistant",
    "Decision",
    "Find",
    "Match",
    "Note",
    "Notes",
    "Policy",
    "Purpose",
    "Reason",
    "Reply",
    "Rule",
    "Turn",
    "Withheld",
    "declare",
    "gate",
    "load_policy",
    "say_no_note",
    "say_reason",
]
