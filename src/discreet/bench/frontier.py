"""The whole frontier: every cell in a process of its own, as many at once as there are cores.

Cells lie in files of their own as soon as they are done, so that a run that was stopped goes on
with what is missing, and one of few minutes with more of them.

    frontier = Frontier(plan=FRONTIER_PLAN, folder=Path("frontier"))
    cells = measure_frontier(frontier, grid(epsilons=(8, 1), rules=("ffa",), units=("example",),
                                        seeds=(0, 1, 2)), jobs=2)
    print(as_frontier_table(rows_of(cells)))
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from discreet.artifacts import read_json, sha256_of_file, write_json
from discreet.bench.frontier_cells import FrontierCell, Spec
from discreet.bench.frontier_measure import Frontier, measure_cell, plan_of_cell
from discreet.errors import ArtifactCorrupt, ArtifactError
from discreet.federated import TrainConfig

FRONTIER_PLAN = TrainConfig(
    num_owners=4,
    num_rounds=2,
    local_steps=2,
    sample_rate=0.4,
    expected_batch_size=29,
    learning_rate=80.0,
    activations_mib=1024,
    canaries=20,
)
"""Few people, each in most steps: what privacy is hard for, in few large steps, which it likes."""
_SETTINGS = "frontier_settings.json"


def measure_frontier(
    frontier: Frontier,
    specs: Sequence[Spec],
    *,
    jobs: int = 1,
    minutes: float | None = None,
    on_cell: Callable[[FrontierCell], None] = lambda cell: None,
    on_failure: Callable[[Spec, Exception], None] | None = None,
) -> list[FrontierCell]:
    """Measure what is missing, and return every cell that is there, in the order of `specs`.

    A cell that fails takes no other with it, not even if its process is killed.

    Args:
        frontier: What all cells have in common; its folder keeps them.
        specs: Cells that are wanted.
        jobs: Cells at once.
        minutes: No cell is begun that would probably end later, by the longest one so far.
        on_cell: Gets each cell that is new.
        on_failure: Gets each cell that failed, and why; None: the first of these errors is raised
            when all others are measured.

    Raises:
        ArtifactError: if the folder holds cells of another plan, other people or other counts, or
            runs of something else.
        ValueError: if a cell asks for what its plan cannot have.
    """
    for spec in specs:
        plan_of_cell(frontier.plan, spec)  # what cannot be trained is refused before anything is
    frontier.folder.mkdir(parents=True, exist_ok=True)
    _require_same(frontier, specs)
    kept = [(spec, _read(frontier.folder, spec)) for spec in specs]
    found = {spec: cell for spec, cell in kept if cell is not None}
    missing = [spec for spec in specs if spec not in found]
    frontier = replace(frontier, threads=max(1, (os.cpu_count() or 1) // jobs))
    longest = max((cell.took for cell in found.values()), default=0.0)
    start, failed = time.monotonic(), list[Exception]()
    with ThreadPoolExecutor(jobs) as pool:
        running: dict[Future[FrontierCell], Spec] = {}
        while missing or running:
            while missing and len(running) < jobs and _has_time(start, longest, minutes):
                spec = missing.pop(0)
                running[pool.submit(_measure_apart, frontier, spec)] = spec
            if not running:
                break
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                spec, error = running.pop(done), done.exception()
                if isinstance(error, Exception):
                    failed.append(error)
                    if on_failure:
                        on_failure(spec, error)
                    continue
                cell = done.result()
                longest = max(longest, cell.took)
                write_json(_file(frontier.folder, spec), cell.to_dict())
                found[spec] = cell
                on_cell(cell)
    if failed and on_failure is None:
        raise failed[0]
    return [found[spec] for spec in specs if spec in found]


def _measure_apart(frontier: Frontier, spec: Spec) -> FrontierCell:
    """Return a cell that is measured in a process of its own, whose peak memory is the cell's."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(measure_cell, frontier, spec).result()


def _has_time(start: float, longest: float, minutes: float | None) -> bool:
    return minutes is None or time.monotonic() - start + longest <= 60 * minutes


def _file(folder: Path, spec: Spec) -> Path:
    return folder / f"{spec.name}.json"


def _read(folder: Path, spec: Spec) -> FrontierCell | None:
    """Return a cell that was measured; None: it was not, or not to its end, or is another."""
    try:
        cell = FrontierCell.from_dict(read_json(_file(folder, spec)))
    except (ArtifactCorrupt, ValueError, KeyError, TypeError):
        return None
    return cell if (cell.setting, cell.seed) == (spec.setting, spec.seed) else None


def _require_same(frontier: Frontier, specs: Sequence[Spec]) -> None:
    """Refuse a folder with cells that cannot stand in one table with these."""
    path, settings = frontier.folder / _SETTINGS, settings_of(frontier)
    if not path.exists():
        own = [
            name
            for spec in specs
            for name in (frontier.folder / spec.name, _file(frontier.folder, spec))
        ]
        if any(name.exists() for name in own):
            raise ArtifactError(
                "Expected a folder without runs and cells of others, got one that has some, which "
                "would be replaced or taken for these. Name a new folder with --keep."
            )
        write_json(path, settings)
        return
    if read_json(path) != settings:
        raise ArtifactError(
            "Expected a folder with cells of the same plan, people and counts, got one with "
            "others. Name another folder with --keep."
        )


def settings_of(frontier: Frontier) -> dict[str, Any]:
    """Return what makes cells comparable, as plain values."""
    return {
        "plan": asdict(frontier.plan)
        | {"base": Path(frontier.plan.base).name, "reproducible": True},
        "data": None if frontier.data is None else frontier.data.parent.name,
        "data_sha256": None if frontier.data is None else sha256_of_file(frontier.data),
        "counts": asdict(frontier.counts),
        "held_out": frontier.held_out,
        "trios": frontier.trios,
        "questions": frontier.questions,
    }
