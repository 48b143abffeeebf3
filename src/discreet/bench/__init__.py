"""Benchmarks: what privacy costs, on people and questions that no training saw."""

from discreet.bench.baseline import run_without_privacy
from discreet.bench.compare import Cell, as_markdown, compare, summarise
from discreet.bench.norms import gradient_norms
from discreet.bench.tasks import (
    HeldOut,
    Scores,
    Writing,
    audience_of_answer,
    evaluate,
    load_held_out,
    written_for,
)

__all__ = [
    "Cell",
    "HeldOut",
    "Scores",
    "Writing",
    "as_markdown",
    "audience_of_answer",
    "compare",
    "evaluate",
    "gradient_norms",
    "load_held_out",
    "run_without_privacy",
    "summarise",
    "written_for",
]
