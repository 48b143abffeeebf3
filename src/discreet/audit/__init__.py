"""A run folder in, evidence out: one file for each audit."""

from discreet.audit.asked import (
    EFFORTS,
    Asking,
    Audit,
    Effort,
    Planned,
    ask,
    ask_all,
    plan_audits,
)
from discreet.audit.audits import AUDITS
from discreet.audit.held_out import portraits_like
from discreet.audit.subject import Subject, losses_under, open_subject

__all__ = [
    "AUDITS",
    "EFFORTS",
    "Asking",
    "Audit",
    "Effort",
    "Planned",
    "Subject",
    "ask",
    "ask_all",
    "losses_under",
    "open_subject",
    "plan_audits",
    "portraits_like",
]
