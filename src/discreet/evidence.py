"""What an audit found, in the form in which a run folder keeps it: `audits/<name>.json`.

Sentences, tables and intervals for people, all numbers for machines, and what it does not show.
Reads and writes files; measures nothing. Findings are computed from owners' examples without noise:
they stay with the run, and an export leaves them behind.

    >>> found = Evidence(audit="membership", title="Who was trained on", says=("Nothing found.",))
    >>> evidence_of(as_record(found)) == found
    True
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from discreet.artifacts import RunFolder
from discreet.errors import ArtifactCorrupt

FORMAT = 1
"""Of the file; another one is refused."""
_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of words and numbers in words."""

    __pydantic_config__ = _STRICT

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        """Refuse a row of another length than there are columns."""
        if wrong := [len(row) for row in self.rows if len(row) != len(self.columns)]:
            raise ValueError(f"Expected {len(self.columns)} cells a row, got {wrong[0]}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A number with the interval it lies in, as a line of a plot."""

    __pydantic_config__ = _STRICT

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Intervals:
    """Numbers of one kind below each other, to be drawn."""

    __pydantic_config__ = _STRICT

    title: str
    unit: str
    """What is counted, with the confidence: `share found, 95 % interval`."""
    rows: tuple[Interval, ...]
    reference: float | None = None
    """Where nothing would be found; None: there is no such number."""
    reference_name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What one audit of a run found."""

    __pydantic_config__ = _STRICT

    audit: str
    """Name of the audit and of its file."""
    title: str
    says: tuple[str, ...]
    """Sentences; the first is the verdict."""
    tables: tuple[Table, ...] = ()
    plots: tuple[Intervals, ...] = ()
    limits: tuple[str, ...] = ()
    """What it does not show."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for: the same settings on the same adapter need no second audit."""
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Every number, as JSON can hold it; those that are not finite are refused."""
    run: str = ""
    adapter_sha256: str = ""
    """Of the adapter that was audited."""
    seconds: float | None = None
    made_by: Mapping[str, Any] = field(default_factory=dict)
    """Commit and machine."""

    @property
    def verdict(self) -> str:
        """Return the first sentence."""
        return self.says[0] if self.says else ""


def write_evidence(run: RunFolder, found: Evidence) -> None:
    """Write `audits/<name>.json`, in place of an older one.

    Raises:
        ValueError: if a number is not finite; nothing is written.
    """
    run.audits_dir.mkdir(exist_ok=True)
    run.write_json(f"audits/{found.audit}.json", as_record(found))


def read_evidence(run: RunFolder, audit: str) -> Evidence | None:
    """Return what an audit found; None: it was not asked, or by an older version.

    Raises:
        ArtifactCorrupt: if the file is damaged, or of another version.
    """
    if not (run.audits_dir / f"{audit}.json").is_file():
        return None
    record = run.read_json(f"audits/{audit}.json")
    return evidence_of(record) if isinstance(record, dict) and "audit" in record else None


def read_all_evidence(run: RunFolder) -> tuple[Evidence, ...]:
    """Return what every audit of a run found, by name; other files in its folder are left alone.

    Raises:
        ArtifactCorrupt: if a file is damaged, or of another version.
    """
    names = sorted(path.stem for path in run.audits_dir.glob("*.json"))
    return tuple(found for name in names if (found := read_evidence(run, name)) is not None)


def as_record(found: Evidence) -> dict[str, Any]:
    """Return evidence as JSON holds it."""
    return {"format": FORMAT, **asdict(found)}


def evidence_of(record: Mapping[str, Any]) -> Evidence:
    """Return the evidence that a JSON value holds; whoever had the folder may have written it.

    Raises:
        ArtifactCorrupt: if it is of another form or version.
    """
    fields = {name: value for name, value in record.items() if name != "format"}
    try:
        if record.get("format") != FORMAT:
            raise ValueError(f"Expected format {FORMAT}.")
        return _FORM.validate_json(json.dumps(fields, allow_nan=False))
    except ValueError as error:
        raise ArtifactCorrupt(
            f"Expected evidence of an audit in format {FORMAT}, got another form. Take the file "
            "away, or audit the run again."
        ) from error


_FORM = TypeAdapter(Evidence)
