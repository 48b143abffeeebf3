"""The assistant in use: what it may know, what it may say, one turn at a time."""

from discreet.assistant.notes import Note, Notes
from discreet.assistant.policy import Decision, Policy, gate, load_policy
from discreet.assistant.session import Assistant, Reply, Turn, declare
from discreet.assistant.texts import EMERGENCY, NO_NOTE

__all__ = [
    "EMERGENCY",
    "NO_NOTE",
    "Assistant",
    "Decision",
    "Note",
    "Notes",
    "Policy",
    "Reply",
    "Turn",
    "declare",
    "gate",
    "load_policy",
]
