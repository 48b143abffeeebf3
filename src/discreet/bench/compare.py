"""What privacy cost: the base, a federation in the clear and a private one, over seeds.

    discreet bench compare --seeds 0,1,2

Each seed gives one adapter of each kind, on the same people, questions, sampling and steps. The
private runs are `reproducible`, so that the table can be made again; a real run is not.
"""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from discreet.artifacts import RunFolder
from discreet.audit import run_without_privacy
from discreet.bench.tasks import HeldOut, Scores, evaluate, load_held_out
from discreet.federated import AssistantTask, TrainConfig, run_federation
from discreet.model import load_adapter_state
from discreet.privacy import PrivacyLedger
from discreet.types import PrivacyStatement

KINDS = ("base", "federated, not private", "federated, private")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """The scores of one adapter."""

    kind: str
    seed: int | None
    """None for the base, which was not trained."""
    scores: Scores
    privacy: PrivacyStatement | None
    """Worst owner's; None where nothing is promised."""


def compare(
    config: TrainConfig,
    seeds: Sequence[int],
    *,
    held_out: HeldOut | None = None,
    cache_dir: Path | None = None,
    on_cell: Callable[[Cell], None] | None = None,
    on_step: Callable[[str], None] | None = None,
) -> list[Cell]:
    """Return one cell for the base and two for each seed.

    Args:
        config: Plan of every run but for the seed.
        seeds: Of adapter, sampling and noise.
        held_out: What to score on; the shipped held-out people and questions by default.
        cache_dir: Of the base model.
        on_cell: Gets each cell when it is done.
        on_step: Called after every step of an owner, with the kind of run.
    """
    held_out = held_out or load_held_out()
    cells: list[Cell] = []

    def keep(cell: Cell) -> None:
        cells.append(cell)
        if on_cell is not None:
            on_cell(cell)

    def count(kind: str) -> None:
        if on_step is not None:
            on_step(kind)

    for seed in seeds:
        settings = replace(config, seed=seed, reproducible=True)
        task = AssistantTask.build(settings, cache_dir=cache_dir)
        if not cells:
            task.initial_state()
            scores = evaluate(task.vlm, held_out)
            keep(Cell(kind=KINDS[0], seed=None, scores=scores, privacy=None))
        load_adapter_state(task.vlm, run_without_privacy(task, on_step=lambda: count(KINDS[1])))
        keep(Cell(kind=KINDS[1], seed=seed, scores=evaluate(task.vlm, held_out), privacy=None))
        statement = _train_privately(task, settings, lambda: count(KINDS[2]))
        scores = evaluate(task.vlm, held_out)
        keep(Cell(kind=KINDS[2], seed=seed, scores=scores, privacy=statement))
    return cells


def _train_privately(
    task: AssistantTask, settings: TrainConfig, count: Callable[[], None]
) -> PrivacyStatement:
    """Leave the private average in the task's model; return the worst owner's spending."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder.create(Path(folder) / "run")
        outcome = run_federation(settings, run, task, on_step=lambda *_: count())
        ledger = PrivacyLedger.open(run.ledger_path)
        spent = [ledger.spent(owner) for owner in ledger.owners()]
    load_adapter_state(task.vlm, outcome.state)
    return max(spent, key=lambda statement: statement.epsilon)


def summarise(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Return a row for each kind: mean and spread (largest less smallest) over seeds."""
    rows = []
    for kind in KINDS:
        own = [cell for cell in cells if cell.kind == kind]
        if not own:
            continue
        row: dict[str, Any] = {"kind": kind, "seeds": len(own)}
        for name in ("gated_loss", "native_loss", "follows_words", "follows_portrait"):
            values = [float(asdict(cell.scores)[name]) for cell in own]
            row[name] = {
                "mean": statistics.fmean(values),
                "spread": max(values) - min(values),
            }
        spent = [cell.privacy for cell in own if cell.privacy]
        worst = max(spent, key=lambda one: one.epsilon, default=None)
        row["privacy"] = "none" if worst is None else str(worst)
        rows.append(row)
    return rows


def as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of `summarise` for a README."""
    head = (
        "| adapter | seeds | loss, gated | loss, native | follows the words | follows the portrait "
        "| privacy of each owner |\n|---|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(
        f"| {row['kind']} | {row['seeds']} | {_cell(row['gated_loss'])} | "
        f"{_cell(row['native_loss'])} | {_cell(row['follows_words'])} | "
        f"{_cell(row['follows_portrait'])} | {row['privacy']} |"
        for row in rows
    )


def _cell(value: dict[str, float]) -> str:
    spread = f" ± {value['spread'] / 2:.3f}" if value["spread"] else ""
    return f"{value['mean']:.3f}{spread}"
