"""What sharing out costs: generated rows, partitioned and written, measured in this process.

    python -m discreet.sources.trial ROWS OWNERS ALPHA FOLDER

Prints one JSON object. Run it in a process of its own: peak memory is of the whole process.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from discreet.sources.partition import partition
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


def measure(rows: int, owners: int, alpha: float, folder: Path) -> dict[str, float]:
    """Return seconds, rows a second and peak memory of sharing generated rows out.

    Args:
        rows: How many.
        owners: How many.
        alpha: Concentration of the Dirichlet draw over age; 0 for none.
        folder: For the index, which is written and removed.
    """
    before = _peak_mib()
    started = time.perf_counter()
    mixed = {"alpha": alpha, "label": "age"} if alpha else {}
    shares = write_index(
        partition(generated(rows), owners, **mixed),  # type: ignore[arg-type]
        folder / "index.parquet",
    )
    seconds = time.perf_counter() - started
    size = shares.path.stat().st_size
    shares.path.unlink()
    return {
        "rows": rows,
        "owners": owners,
        "alpha": alpha,
        "owners_with_rows": len(shares.rows),
        "seconds": round(seconds, 2),
        "rows_per_second": round(rows / seconds),
        "peak_mib": round(_peak_mib(), 1),
        "peak_before_mib": round(before, 1),
        "index_mib": round(size / 2**20, 1),
    }


def _peak_mib() -> float:
    """Return the most memory that this process had; of Linux, which counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    count, num_owners, concentration, where = sys.argv[1:]
    print(json.dumps(measure(int(count), int(num_owners), float(concentration), Path(where))))
