"""What sharing out costs: generated rows, partitioned and written in a process of their own.

>>> found = measure_sharing(1000, 10)
>>> found.rows, found.owners, found.peak_mib < 1000
(1000, 10, True)
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from discreet.sources.owners import partition
from discreet.sources.problems import Origin
from discreet.sources.records import Medium, Record
from discreet.sources.shares import write_index

ROWS_PER_PERSON = 5
_AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70")


def generated(rows: int) -> Iterator[Record]:
    """Yield rows like FairFace's, several of each person; no file stands behind them."""
    root = Path("/generated")
    for number in range(rows):
        person = number // ROWS_PER_PERSON
        yield Record(
            kind="picture",
            media=(Medium(role="picture", path=root / f"train/{number:08}.jpg", root=root),),
            labels={"age": _AGES[person % len(_AGES)]},
            audit_labels={"gender": ("Male", "Female")[person % 2]},
            person=f"p{person:07}",
            split="train",
            origin=Origin(file="list.csv", line=number + 2),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sharing:
    """What it cost to share rows out."""

    rows: int
    owners: int
    alpha: float
    """Concentration over owners; 0 for none."""
    owners_with_rows: int
    seconds: float
    rows_per_second: float
    peak_mib: float
    """The most memory that the process had, interpreter and libraries included."""
    peak_before_mib: float
    """The same before the first row."""
    index_mib: float
    """Size of the file written."""


def measure_sharing(rows: int, owners: int, *, alpha: float = 0.5) -> Sharing:
    """Return the cost of sharing generated rows out, measured in a fresh process.

    Args:
        rows: How many.
        owners: How many.
        alpha: Concentration of the Dirichlet draw over owners for each age; 0 for none.

    Raises:
        ValueError: if there is no row or owner, or alpha is negative.
    """
    if rows < 1 or owners < 1 or not 0 <= alpha <= 1e6:
        raise ValueError(f"Expected rows and owners of 1 or more, got {rows} and {owners}.")
    code = "from discreet.sources import trial; trial.main()"
    with tempfile.TemporaryDirectory(prefix="discreet.") as folder:
        done = subprocess.run(
            [sys.executable, "-c", code, str(rows), str(owners), str(alpha), folder],
            capture_output=True,
            text=True,
            check=True,
        )
    return Sharing(**json.loads(done.stdout))


def main() -> None:
    """Share rows out as the arguments say and print what it cost as JSON."""
    rows, owners, alpha, folder = sys.argv[1:]
    sys.stdout.write(json.dumps(asdict(_measure(int(rows), int(owners), float(alpha), folder))))


def _measure(rows: int, owners: int, alpha: float, folder: str) -> Sharing:
    before = _peak_mib()
    started = time.perf_counter()
    mixed = {"alpha": alpha, "label": "age"} if alpha else {}
    shared = partition(generated(rows), owners, **mixed)  # type: ignore[arg-type]
    shares = write_index(shared, Path(folder) / "index.parquet")
    seconds = time.perf_counter() - started
    return Sharing(
        rows=sum(shares.rows.values()),
        owners=owners,
        alpha=alpha,
        owners_with_rows=len(shares.rows),
        seconds=round(seconds, 2),
        rows_per_second=round(rows / seconds),
        peak_mib=round(_peak_mib(), 1),
        peak_before_mib=round(before, 1),
        index_mib=round(shares.path.stat().st_size / 2**20, 1),
    )


def _peak_mib() -> float:
    """Return the most memory that this process had.

    On Linux from `VmHWM`: what `getrusage` says is carried over from the process that started this
    one, which may hold far more.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes, and KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
