"""What can still be read from what is handed on, and who is found again in it; concept erasure."""

from discreet.leakage.findings import (
    IDENTITY,
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
from discreet.leakage.leace import Eraser, fit_eraser, one_hot
from discreet.leakage.linkage import (
    ATTACKS,
    Lead,
    Linkage,
    best_linkage,
    label_representation,
    lead_of,
    linkage_records,
    measure_linkage,
)
from discreet.leakage.matching import learn_map, learn_metric
from discreet.leakage.owner_shares import ShareInference, guess_shares, infer_shares
from discreet.leakage.perceived import (
    answer_representation,
    observation_features,
    probability_representation,
    said_representation,
)
from discreet.leakage.probes import (
    PROBES,
    Pictures,
    ProbeName,
    Score,
    prepare,
    score_probe,
    teach,
)
from discreet.leakage.recogniser import Faces, load_recogniser
from discreet.leakage.reidentification import (
    Identification,
    RankShare,
    identify,
    is_first_of_person,
)
from discreet.leakage.representations import erase, portrait_representations
from discreet.leakage.verification import MatchRate, verify

__all__ = [
    "ATTACKS",
    "IDENTITY",
    "LABELS",
    "PROBES",
    "WITHHELD",
    "Eraser",
    "Faces",
    "Finding",
    "Identification",
    "Lead",
    "Linkage",
    "MatchRate",
    "Pictures",
    "ProbeName",
    "RankShare",
    "Representation",
    "Score",
    "ShareInference",
    "Truth",
    "answer_representation",
    "as_records",
    "as_rows",
    "best_linkage",
    "count_steps",
    "erase",
    "fit_eraser",
    "guess_shares",
    "identify",
    "in_words",
    "infer_shares",
    "is_first_of_person",
    "label_representation",
    "lead_of",
    "learn_map",
    "learn_metric",
    "linkage_records",
    "load_recogniser",
    "measure_leakage",
    "measure_linkage",
    "observation_features",
    "one_hot",
    "portrait_representations",
    "prepare",
    "probability_representation",
    "said_representation",
    "score_probe",
    "teach",
    "truth_of",
    "verify",
]
