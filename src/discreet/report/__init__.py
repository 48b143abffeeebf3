"""A run folder as one page that a person reads."""

from discreet.report.record import (
    NAMES,
    OwnerRecord,
    RoundRecord,
    RunRecord,
    kind_of,
    read_run,
)
from discreet.report.run_page import page_of

__all__ = [
    "NAMES",
    "OwnerRecord",
    "RoundRecord",
    "RunRecord",
    "kind_of",
    "page_of",
    "read_run",
]
