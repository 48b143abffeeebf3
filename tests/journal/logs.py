"""Small real logs to break, and clocks to make them with."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from discreet.journal import Event, Journal, Kind

ANNA, BILAL = "a" * 32, "b" * 32
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
DAY = 86_400
EVENT = Event(
    kind=Kind.ANSWERED,
    person=ANNA,
    context="healthcare",
    purpose="inform",
    policy_sha256="1" * 64,
    model_sha256="2" * 64,
    adapter="reference",
    language="fr",
    mode="gated",
    used=(("age_band", "declared"),),
    withheld=(("expression", "no_consent"),),
    milliseconds=812,
)


class Clock:
    """Stands still until it is set."""

    def __init__(self, days: float = 0) -> None:
        self.days = days

    def __call__(self) -> float:
        return NOON + self.days * DAY


def log_at(folder: Path, clock: Clock | None = None, keep_days: int = 183) -> Journal:
    return Journal(folder, keep_days=keep_days, clock=clock or Clock())


def three_days(folder: Path) -> Journal:
    """Return a log of four days of which three files are kept, with three events in each."""
    clock = Clock()
    journal = log_at(folder, clock, keep_days=2)
    for day in range(4):
        clock.days = day
        for kind in (Kind.STARTED, Kind.DISCLOSED, Kind.ANSWERED):
            journal.add(replace(EVENT, kind=kind, person=ANNA if day % 2 else BILAL))
    return journal


def content(folder: Path) -> dict[str, bytes]:
    """Return every file of a log, by its path in it."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def restore(folder: Path, files: dict[str, bytes]) -> Path:
    """Return a folder that holds these files and nothing else."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o600)
    return folder
