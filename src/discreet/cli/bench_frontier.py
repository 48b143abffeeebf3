"""`discreet bench frontier`: what privacy costs in utility, leakage, fairness and time."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from discreet.artifacts import write_json
from discreet.audit import Counts
from discreet.bench import (
    FRONTIER_PLAN,
    METRICS,
    Frontier,
    FrontierCell,
    FrontierRow,
    Spec,
    as_csv,
    as_frontier_record,
    as_frontier_table,
    as_latex,
    few_people,
    grid,
    in_sentences,
    legend_of,
    made_by,
    measure_frontier,
    rows_of,
    settings_of,
)
from discreet.cli.options import Cache, Json, given_by_hand, parse_seeds, progress, quiet_logs, tell
from discreet.cli.train_plan import read_plan
from discreet.errors import MeasurementFailed
from discreet.federated import TrainConfig
from discreet.report import frontier_page

OTHERS = 300
"""People whom nobody trains on, a third of them for choosing."""
_TINY = Counts(members=100, portraits=70, people=90, twins=8, written=2)
"""Of everything that is looked at with the tiny base, which says little anyway."""


def frontier(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Argument(help="TOML file of the plan; few large steps by default.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="Base model.")] = None,
    epsilons: Annotated[
        str, typer.Option(help="Budgets; what is not private is there in any case.")
    ] = "8,4,2,1,0.5",
    rules: Annotated[str, typer.Option(help="Of aggregation, as `ffa,fedit`.")] = "ffa",
    units: Annotated[
        str,
        typer.Option(help="Of privacy: example, user; owner with a plan that has max_update_norm."),
    ] = "example,user",
    seeds: Annotated[str, typer.Option(help="Of everything that is trained.")] = "0,1,2",
    people: Annotated[
        int, typer.Option(min=0, help="Shipped people to train on; 0: all of them.")
    ] = 96,
    pictures: Annotated[int, typer.Option(min=1, help="Of each of these, at most.")] = 3,
    jobs: Annotated[int, typer.Option(min=0, help="Cells at once; 0: one for each core.")] = 0,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Begin no cell that would end later.")
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(help="Folder of cells, page and tables; one that has cells goes on."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file with all cells and rows.")] = None,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Measure what privacy costs: budgets, rules and units over seeds, beside what is not private.

    Baselines in the same table: the base, the base asked to adapt, one owner alone, all data in one
    place, the federation in the clear. With --keep, a page, CSV and LaTeX lie in the folder.
    """
    if not people and given_by_hand(ctx, but=set(ctx.params) - {"pictures"}):
        raise typer.BadParameter(
            "Expected --pictures with a number of people, got it with all, whose pictures are all "
            "taken. Leave it out, or name --people.",
            param_hint="--pictures",
        )
    quiet_logs()
    plan = _plan_for(people * pictures) if config is None else read_plan(config)
    plan = plan if base is None else replace(plan, base=base)
    specs = grid(
        epsilons=_numbers(epsilons),
        rules=_words(rules),
        units=_words(units),
        seeds=parse_seeds(seeds),
    )
    place = tempfile.TemporaryDirectory() if keep is None else nullcontext(str(keep))
    with place as folder:
        frontier = _frontier(plan, Path(folder), people, pictures, cache)
        failed: dict[Spec, Exception] = {}
        cells = _measured(frontier, specs, jobs or os.cpu_count() or 1, minutes, failed)
        rows = rows_of(cells)
        record = _record(frontier, specs, cells, rows)
        if keep is not None:
            _write(keep, record, rows)
    tell(record, as_frontier_table(rows), out, as_json)
    _require_all(failed)


def _plan_for(examples: int) -> TrainConfig:
    """Return the plan for so many examples of all owners, which is the quickstart's for all."""
    if not examples:
        return replace(TrainConfig(), canaries=FRONTIER_PLAN.canaries)
    plan = FRONTIER_PLAN
    of_one = examples / plan.num_owners + plan.canaries / 2
    return replace(plan, expected_batch_size=max(1, round(plan.sample_rate * of_one)))


def _frontier(
    plan: TrainConfig, folder: Path, people: int, pictures: int, cache: Path | None
) -> Frontier:
    data = folder / f"people-{people}-{pictures}" / "people.parquet"
    if people and not data.exists():
        data.parent.mkdir(parents=True, exist_ok=True)
        few_people(data.parent, train=people, others=OTHERS, pictures=pictures)
    is_tiny = plan.base == "tiny"
    return Frontier(
        plan=plan,
        folder=folder,
        data=data if people else None,
        cache=cache,
        counts=_TINY if is_tiny else Counts(),
        held_out=16 if is_tiny else 48,
        trios=4 if is_tiny else 12,
        questions=2 if is_tiny else 5,
    )


def _measured(
    frontier: Frontier,
    specs: Sequence[Spec],
    jobs: int,
    minutes: float | None,
    failed: dict[Spec, Exception],
) -> list[FrontierCell]:
    """Return the cells that are there; `failed` gets those that could not be measured."""
    with progress() as bar:
        task = bar.add_task(f"cells, {jobs} at once", total=len(specs))

        def tell_of(cell: FrontierCell) -> None:
            bar.update(task, advance=1, description=f"done: {cell.setting.in_words}")

        return measure_frontier(
            frontier,
            specs,
            jobs=jobs,
            minutes=minutes,
            on_cell=tell_of,
            on_failure=failed.__setitem__,
        )


def _require_all(failed: Mapping[Spec, Exception]) -> None:
    """Raise what the first of the failed cells raised, if there is any.

    Raises:
        MeasurementFailed: and how many did.
    """
    for spec, error in failed.items():
        raise MeasurementFailed(
            f"Expected every cell to be measured, got {len(failed)} that failed, the first "
            f"'{spec.name}' by {type(error).__name__}. The others are kept: run the same command "
            "with the same --keep to try it again."
        ) from error


def _record(
    frontier: Frontier,
    specs: Sequence[Spec],
    cells: Sequence[FrontierCell],
    rows: Sequence[FrontierRow],
) -> dict[str, Any]:
    return made_by() | {
        "kind": "frontier",
        "settings": settings_of(frontier),
        "cells_wanted": len(specs),
        "minutes": round(sum(cell.took for cell in cells) / 60, 1),
        "metrics": [asdict(one) for one in METRICS],
        "says": in_sentences(rows),
        "legend": legend_of(rows),
        "rows": as_frontier_record(rows),
        "cells": [cell.to_dict() for cell in cells],
    }


def _write(folder: Path, record: dict[str, Any], rows: Sequence[FrontierRow]) -> None:
    write_json(folder / "frontier.json", record)
    texts = {
        "frontier.md": as_frontier_table(rows) + "\n",
        "frontier.csv": as_csv(rows),
        "frontier.tex": as_latex(rows),
        "frontier.html": frontier_page(record),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in _words(text)]
    except ValueError:
        raise typer.BadParameter(
            f"Expected numbers above 0, as in 8,4,2,1,0.5, got '{text}'.", param_hint="--epsilons"
        ) from None
