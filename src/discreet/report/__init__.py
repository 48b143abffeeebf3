"""A run folder, and a frontier, as one page that a person reads."""

from discreet.report.frontier import frontier_page
from discreet.report.record import (
    NAMES,
    OwnerRecord,
    RoundRecord,
    RunRecord,
    kind_of,
    read_run,
)
from discreet.report.run_page import page_of
from discreet.report.together import page_of_runs

__all__ = [
    "NAMES",
    "OwnerRecord",
    "RoundRecord",
    "RunRecord",
    "frontier_page",
    "kind_of",
    "page_of",
    "page_of_runs",
    "read_run",
]
