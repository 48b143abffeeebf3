"""Benchmarks: what privacy costs, on people and questions that no training saw; and drawing."""

from discreet.bench.baseline import run_without_privacy
from discreet.bench.compare import Cell, as_markdown, compare, summarise
from discreet.bench.epochs import Epochs, measure_epochs
from discreet.bench.generation import (
    GENERATE_WAYS,
    Generation,
    Speed,
    as_speeds,
    measure_generation,
)
from discreet.bench.norms import gradient_norms
from discreet.bench.people import DrawingSpeed, measure_drawing
from discreet.bench.performance import (
    WAYS,
    Measured,
    as_table,
    clipped_sum,
    hardware,
    measure,
    peak_bytes,
)
from discreet.bench.tasks import (
    HeldOut,
    Scores,
    Writing,
    audience_of_answer,
    evaluate,
    load_held_out,
    written_for,
)
from discreet.bench.workloads import MODELS, Adapter, Setting, Workload, build_workload

__all__ = [
    "GENERATE_WAYS",
    "MODELS",
    "WAYS",
    "Adapter",
    "Cell",
    "DrawingSpeed",
    "Epochs",
    "Generation",
    "HeldOut",
    "Measured",
    "Scores",
    "Setting",
    "Speed",
    "Workload",
    "Writing",
    "as_markdown",
    "as_speeds",
    "as_table",
    "audience_of_answer",
    "build_workload",
    "clipped_sum",
    "compare",
    "evaluate",
    "gradient_norms",
    "hardware",
    "load_held_out",
    "measure",
    "measure_drawing",
    "measure_epochs",
    "measure_generation",
    "peak_bytes",
    "run_without_privacy",
    "summarise",
    "written_for",
]
