"""Where examples come from: portraits with their truth, questions with vetted notes, owners."""

from discreet.data.conversations import (
    KeyFact,
    Question,
    compose_answer,
    load_questions,
    read_questions,
)
from discreet.data.examples import (
    Example,
    QuestionSplit,
    build_examples,
    partition_by_owner,
    split_questions,
)
from discreet.data.images import open_image
from discreet.data.portraits import SHIPPED_DIR, Portrait, load_portraits

__all__ = [
    "SHIPPED_DIR",
    "Example",
    "KeyFact",
    "Portrait",
    "Question",
    "QuestionSplit",
    "build_examples",
    "compose_answer",
    "load_portraits",
    "load_questions",
    "open_image",
    "partition_by_owner",
    "read_questions",
    "split_questions",
]
