"""The assistant in use: what it may know, what it may say, one turn at a time."""

from discreet.assistant.guard import EMERGENCY
from discreet.assistant.notes import Note, Notes
from discreet.assistant.policy import Decision, Policy, gate, load_policy
from discreet.assistant.session import NO_NOTE, Assistant, Reply, Turn, declare

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
