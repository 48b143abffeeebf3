"""A run folder in, evidence out: one file for each audit."""

from discreet.audit.asked import (
    EFFORTS,
    Asking,
    Audit,
    Effort,
    Planned,
    ask,
    ask_all,
    is_outdone,
    plan_audits,
)
from discreet.audit.attribution import examine_adapter
from discreet.audit.audits import AUDITS
from discreet.audit.baseline import run_without_privacy
from discreet.audit.candidates import is_bare_adapter, parse_candidates
from discreet.audit.contribution import in_common, steps_down, update_of
from discreet.audit.gist import Counts, Gist, gist_of
from discreet.audit.held_out import portraits_like
from discreet.audit.pools import Part
from discreet.audit.shadows import rehearse
from discreet.audit.subject import Subject, losses_under, open_subject
from discreet.audit.twin_answers import (
    MAX_NEW_TOKENS,
    AnswerFlips,
    measure_answers,
    write_for_lines,
)
from discreet.audit.twins import (
    ATTRIBUTE_OF,
    Compared,
    Flips,
    PairShare,
    TwinFlips,
    as_flips,
    compare_twins,
    count_flips,
    differing_bits,
    is_warranted,
    lines_of,
    measure_twins,
    represent,
    told,
)

__all__ = [
    "ATTRIBUTE_OF",
    "AUDITS",
    "EFFORTS",
    "MAX_NEW_TOKENS",
    "AnswerFlips",
    "Asking",
    "Audit",
    "Compared",
    "Counts",
    "Effort",
    "Flips",
    "Gist",
    "PairShare",
    "Part",
    "Planned",
    "Subject",
    "TwinFlips",
    "as_flips",
    "ask",
    "ask_all",
    "compare_twins",
    "count_flips",
    "differing_bits",
    "examine_adapter",
    "gist_of",
    "in_common",
    "is_bare_adapter",
    "is_outdone",
    "is_warranted",
    "lines_of",
    "losses_under",
    "measure_answers",
    "measure_twins",
    "open_subject",
    "parse_candidates",
    "plan_audits",
    "portraits_like",
    "rehearse",
    "represent",
    "run_without_privacy",
    "steps_down",
    "told",
    "update_of",
    "write_for_lines",
]
