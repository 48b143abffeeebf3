"""What the lines of a run folder's `metrics.jsonl` say, once they are read.

A line has `round`, `name`, `value` and `visibility`: `released`, or `local` for what stays on the
machine. What is said of one node has `node`, of an owner in this process `owner`. Touches no file.

    >>> lines = [{"round": 1, "name": "replies", "value": 4, "visibility": "released"}]
    >>> rounds_done(lines), last_number(lines, "replies")
    (1, 4)
"""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from discreet.types import PrivacyStatement

Line = Mapping[str, Any]
"""A line; anybody may have written the file."""


def released(lines: Iterable[Line]) -> list[Line]:
    """Return the lines that may leave the machine."""
    return [line for line in lines if line["visibility"] == "released"]


def number_of(line: Line, key: str = "value") -> float:
    """Return a number of a line.

    Raises:
        TypeError: if it is none, or infinite.
    """
    value = line[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise TypeError(f"Expected a finite number as {key}.")
    return value


def last_number(lines: Iterable[Line], name: str) -> float | None:
    """Return the number of a name that was said last of no node; None: none was."""
    found = [line for line in lines if line["name"] == name and "node" not in line]
    return number_of(found[-1]) if found else None


def statement_of(line: Line) -> PrivacyStatement:
    """Return the privacy statement that a line named `epsilon` makes."""
    return PrivacyStatement(
        epsilon=number_of(line),
        delta=number_of(line, "delta"),
        unit=str(line["unit"]),
        neighbouring_relation=str(line["neighbouring_relation"]),
    )


def rounds_done(lines: Iterable[Line]) -> int:
    """Return the last round that made a new average; the lines of a round come together."""
    done = (line["round"] for line in lines if line["name"] == "replies" and line["value"])
    return max(done, default=0)


def reason_of_end(lines: Iterable[Line]) -> str | None:
    """Return why the run ended before its last round, unless it was resumed and went on since."""
    known = list(lines)
    done = rounds_done(known)
    said = [line for line in known if line["name"] == "ended" and line["round"] > done]
    return str(said[-1]["reason"]) if said else None
