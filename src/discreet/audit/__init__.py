"""What can still be read from what a vision tower hands on, what losses tell, concept erasure."""

from discreet.audit.leace import Eraser, fit_eraser, one_hot
from discreet.audit.leakage import (
    LABELS,
    WITHHELD,
    Finding,
    Representation,
    Truth,
    as_records,
    as_rows,
    count_steps,
    in_words,
    measure_leakage,
    truth_of,
)
from discreet.audit.membership import (
    OTHERS_NEEDED,
    Membership,
    measure_membership,
    membership_scores,
)
from discreet.audit.probes import (
    PROBES,
    Pictures,
    ProbeName,
    Score,
    prepare,
    score_probe,
    teach,
)
from discreet.audit.representations import erase, portrait_representations

__all__ = [
    "LABELS",
    "OTHERS_NEEDED",
    "PROBES",
    "WITHHELD",
    "Eraser",
    "Finding",
    "Membership",
    "Pictures",
    "ProbeName",
    "Representation",
    "Score",
    "Truth",
    "as_records",
    "as_rows",
    "count_steps",
    "erase",
    "fit_eraser",
    "in_words",
    "measure_leakage",
    "measure_membership",
    "membership_scores",
    "one_hot",
    "portrait_representations",
    "prepare",
    "score_probe",
    "teach",
    "truth_of",
]
