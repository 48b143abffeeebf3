"""Benchmarks: what privacy costs, on people and questions that no training saw; and drawing."""

from discreet.bench.adaptation import (
    FORMS,
    READERS,
    Adaptation,
    Ask,
    Estimate,
    Form,
    Judged,
    as_rows,
    ask_all,
    fits_reader,
    judge,
    measure_adaptation,
)
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
from discreet.bench.responders import (
    asking_prompt,
    declared,
    gated_prompt,
    repeat_note,
    write_all,
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
    "FORMS",
    "GENERATE_WAYS",
    "MODELS",
    "READERS",
    "WAYS",
    "Adaptation",
    "Adapter",
    "Ask",
    "Cell",
    "DrawingSpeed",
    "Epochs",
    "Estimate",
    "Form",
    "Generation",
    "HeldOut",
    "Judged",
    "Measured",
    "Scores",
    "Setting",
    "Speed",
    "Workload",
    "Writing",
    "as_markdown",
    "as_rows",
    "as_speeds",
    "as_table",
    "ask_all",
    "asking_prompt",
    "audience_of_answer",
    "build_workload",
    "clipped_sum",
    "compare",
    "declared",
    "evaluate",
    "fits_reader",
    "gated_prompt",
    "gradient_norms",
    "hardware",
    "judge",
    "load_held_out",
    "measure",
    "measure_adaptation",
    "measure_drawing",
    "measure_epochs",
    "measure_generation",
    "peak_bytes",
    "repeat_note",
    "run_without_privacy",
    "summarise",
    "write_all",
    "written_for",
]
