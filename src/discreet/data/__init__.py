"""Where examples come from: portraits with their truth, questions with vetted notes, owners."""

from discreet.data.canaries import (
    Canary,
    CanaryManifest,
    draw_canaries,
    load_manifest,
    plant,
    save_manifest,
)
from discreet.data.conversations import (
    LANGUAGES,
    Part,
    Question,
    compose_answer,
    load_questions,
    read_questions,
    reference_answer,
)
from discreet.data.examples import (
    Example,
    QuestionSplit,
    build_examples,
    partition_by_owner,
    split_questions,
)
from discreet.data.images import open_image
from discreet.data.portraits import (
    REQUIRED_COLUMNS,
    SHIPPED_DIR,
    Portrait,
    TwinPortraits,
    load_portraits,
    load_twins,
)
from discreet.data.preferences import (
    FAULTS,
    Fault,
    PreferencePair,
    faults_in,
    partition_pairs,
    preference_pairs,
)
from discreet.data.sheet import contact_sheet, save_contact_sheet
from discreet.types import KeyFact, Language

__all__ = [
    "FAULTS",
    "LANGUAGES",
    "REQUIRED_COLUMNS",
    "SHIPPED_DIR",
    "Canary",
    "CanaryManifest",
    "Example",
    "Fault",
    "KeyFact",
    "Language",
    "Part",
    "Portrait",
    "PreferencePair",
    "Question",
    "QuestionSplit",
    "TwinPortraits",
    "build_examples",
    "compose_answer",
    "contact_sheet",
    "draw_canaries",
    "faults_in",
    "load_manifest",
    "load_portraits",
    "load_questions",
    "load_twins",
    "open_image",
    "partition_by_owner",
    "partition_pairs",
    "plant",
    "preference_pairs",
    "read_questions",
    "reference_answer",
    "save_contact_sheet",
    "save_manifest",
    "split_questions",
]
