"""What the project's work costs beside a yardstick timed in the same breath, and over its history.

Seconds of two days cannot be compared: the machine was another, or busier. A reading is therefore
a ratio: what is read and its yardstick take turns, and each round gives one ratio of their
processor times. Two runs differ where these ratios do, beyond what chance makes of them
(Mann and Whitney 1947, exact; Holm 1979 over all readings).

    before, after = read_history(Path("speed.jsonl"))[-2:]
    print(as_comparison(before, after))
"""

import gc
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scipy.stats import mannwhitneyu

from discreet.artifacts import append_line
from discreet.errors import ArtifactError
from discreet.fairness import adjusted

LEVEL = 0.05
LEAST_ROUNDS = 5
"""Fewer cannot differ for sure: of 4 and 4 the least chance is 0.029, before others are asked."""
Work = Callable[[], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Something whose speed is read, and what it is set beside."""

    name: str
    beside: str
    work: Work
    yardstick: Work


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How long one thing takes beside its yardstick."""

    name: str
    beside: str
    ratios: tuple[float, ...]
    """Of each round: processor time over that of the yardstick, less is faster."""
    cpu_seconds: float
    """Median."""
    wall_seconds: float
    """Median."""

    @property
    def ratio(self) -> float:
        """Return the median ratio."""
        return statistics.median(self.ratios)


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedRun:
    """All readings of one run."""

    commit: str | None
    hardware: Mapping[str, Any]
    at: str
    """When it began, in UTC."""
    base: str
    readings: tuple[Reading, ...]

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "SpeedRun":
        """Return what `dataclasses.asdict` made a record of.

        Raises:
            KeyError: if a field is missing.
            TypeError: if a reading has another.
        """
        readings = [Reading(**one | {"ratios": tuple(one["ratios"])}) for one in record["readings"]]
        return cls(
            commit=record["commit"],
            hardware=record["hardware"],
            at=record["at"],
            base=record["base"],
            readings=tuple(readings),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """How one reading differs between two runs."""

    name: str
    before: float
    after: float
    """Median ratios."""
    times: float
    """After over before; above 1 is slower."""
    p: float
    """Chance of ranks as far apart as these if nothing changed, over all readings (Holm)."""

    @property
    def in_words(self) -> str:
        """Return whether it is slower, faster, or within the noise."""
        if self.p >= LEVEL:
            return "no difference beyond noise"
        return f"{'slower' if self.times > 1 else 'faster'} by {abs(self.times - 1):.0%}"


def read_pairs(
    pairs: Sequence[Pair], *, rounds: int, on_done: Callable[[str], None] = lambda name: None
) -> list[Reading]:
    """Time each pair by turns, after one run of both that is not timed.

    Args:
        pairs: What is read.
        rounds: Of each pair.
        on_done: Told the name after each round.
    """
    found = []
    for pair in pairs:
        pair.work(), pair.yardstick()
        timed = []
        for number in range(rounds):
            order = (pair.work, pair.yardstick) if number % 2 else (pair.yardstick, pair.work)
            both = {one: _time(one) for one in order}
            timed.append((both[pair.work], both[pair.yardstick]))
            on_done(pair.name)
        found.append(
            Reading(
                name=pair.name,
                beside=pair.beside,
                ratios=tuple(own[0] / other[0] for own, other in timed),
                cpu_seconds=statistics.median(own[0] for own, _ in timed),
                wall_seconds=statistics.median(own[1] for own, _ in timed),
            )
        )
    return found


def _time(work: Work) -> tuple[float, float]:
    """Return processor and clock time, in seconds."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return max(time.process_time() - cpu, 1e-9), time.perf_counter() - wall


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def append_run(path: Path, run: SpeedRun) -> None:
    """Add a run to a history, one line of JSON for each."""
    append_line(path, json.dumps(asdict(run)).encode())


def read_history(path: Path) -> list[SpeedRun]:
    """Return the runs of a history, the oldest first.

    Raises:
        ArtifactError: if a line is none of these.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            found.append(SpeedRun.from_dict(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"Expected runs of `discreet bench performance --history` in '{path.name}', could "
                f"not read line {number}. Take the line out, or name another file."
            ) from error
    return found


def compare_runs(before: SpeedRun, after: SpeedRun) -> list[Change]:
    """Return how the readings that both runs have differ, with what of it is noise.

    Raises:
        ValueError: if they have no reading in common, or were made with different bases.
    """
    if before.base != after.base:
        raise ValueError(
            f"Expected runs with one base, got {before.base} and {after.base}. Measure both again."
        )
    own = {one.name: one for one in before.readings}
    pairs = [(own[one.name], one) for one in after.readings if one.name in own]
    if not pairs:
        raise ValueError("Expected runs with a reading in common, got none. Measure both again.")
    chances = [
        float(mannwhitneyu(a.ratios, b.ratios, alternative="two-sided", method="exact").pvalue)
        for a, b in pairs
    ]
    corrected = adjusted(dict(enumerate(chances)))
    return [
        Change(name=b.name, before=a.ratio, after=b.ratio, times=b.ratio / a.ratio, p=p)
        for (a, b), p in zip(pairs, corrected.values(), strict=True)
    ]


def as_readings(readings: Sequence[Reading]) -> str:
    """Return a Markdown table."""
    lines = [
        "| what | beside | processor s | by the clock s | ratio (least to most) |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.name} | {one.beside} | {one.cpu_seconds:.3f} | {one.wall_seconds:.3f} | "
        f"{one.ratio:.2f} ({min(one.ratios):.2f} to {max(one.ratios):.2f}) |"
        for one in readings
    ]
    return "\n".join(lines)


def as_comparison(before: SpeedRun, after: SpeedRun) -> str:
    """Return a Markdown table of what changed, and a warning if machines differ."""
    lines = ["| what | before | after | after / before | |", "|---|---|---|---|---|"]
    lines += [
        f"| {one.name} | {one.before:.2f} | {one.after:.2f} | {one.times:.2f} | {one.in_words} |"
        for one in compare_runs(before, after)
    ]
    said = [f"Before: {before.commit or 'no commit'}, {before.at}. Ratios to a yardstick."]
    if dict(before.hardware) != dict(after.hardware):
        said.append(
            "The machines differ: a ratio can differ with them, and says little of the code."
        )
    few = min(len(one.ratios) for run in (before, after) for one in run.readings)
    if few < LEAST_ROUNDS:
        said.append(f"Fewer than {LEAST_ROUNDS} rounds cannot show a difference: take more.")
    return "\n".join(lines) + "\n\n" + " ".join(said)
