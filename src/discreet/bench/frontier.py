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
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from discreet.artifacts import read_json, write_json
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
) -> list[FrontierCell]:
    """Measure what is missing, and return every cell that is there, in the order of `specs`.

    Args:
        frontier: What all cells have in common; its folder keeps them.
        specs: Cells that are wanted.
        jobs: Cells at once.
        minutes: No cell is begun that would probably end later, by the longest one so far.
        on_cell: Gets each cell that is new.

    Raises:
        ArtifactError: if the folder holds cells of another plan, other people or other counts, or
            runs of something else.
        ValueError: if a cell asks for what its plan cannot have.
    """
    for spec in specs:
        plan_of_cell(frontier.plan, spec)  # what cannot be trained is refused before anything is
    frontier.folder.mkdir(parents=True, exist_ok=True)
    _require_same(frontier, specs)
    found = {
        spec.name: cell for spec in specs if (cell := _read(frontier.folder, spec)) is not None
    }
    missing = [spec for spec in specs if spec.name not in found]
    frontier = replace(frontier, threads=max(1, (os.cpu_count() or 1) // jobs))
    start, longest = time.monotonic(), 0.0
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=spawn, max_tasks_per_child=1) as pool:
        running: dict[Future[FrontierCell], Spec] = {}
        while missing or running:
            while missing and len(running) < jobs and _has_time(start, longest, minutes):
                spec = missing.pop(0)
                running[pool.submit(measure_cell, frontier, spec)] = spec
            if not running:
                break
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                spec, cell = running.pop(done), done.result()
                longest = max(longest, cell.took)
                write_json(_file(frontier.folder, spec), cell.to_dict())
                found[spec.name] = cell
                on_cell(cell)
    return [found[spec.name] for spec in specs if spec.name in found]


def _has_time(start: float, longest: float, minutes: float | None) -> bool:
    return minutes is None or time.monotonic() - start + longest <= 60 * minutes


def _file(folder: Path, spec: Spec) -> Path:
    return folder / f"{spec.name}.json"


def _read(folder: Path, spec: Spec) -> FrontierCell | None:
    """Return a cell that was measured; None: it was not, or not to its end."""
    try:
        return FrontierCell.from_dict(read_json(_file(folder, spec)))
    except (ArtifactCorrupt, ValueError, KeyError, TypeError):
        return None


def _require_same(frontier: Frontier, specs: Sequence[Spec]) -> None:
    """Refuse a folder with cells that cannot stand in one table with these."""
    path, settings = frontier.folder / _SETTINGS, settings_of(frontier)
    if not path.exists():
        if any((frontier.folder / spec.name).exists() for spec in specs):
            raise ArtifactError(
                "Expected a folder without runs of others, got one that has some, which would be "
                "replaced. Name a new folder with --keep."
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
        "plan": asdict(frontier.plan) | {"base": Path(frontier.plan.base).name},
        "data": None if frontier.data is None else frontier.data.parent.name,
        "counts": asdict(frontier.counts),
        "held_out": frontier.held_out,
        "trios": frontier.trios,
        "questions": frontier.questions,
    }
