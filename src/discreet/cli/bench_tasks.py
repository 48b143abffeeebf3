"""`discreet bench tasks`: any model on our tasks, and our tasks for other harnesses."""

from pathlib import Path
from typing import Annotated

import typer

from discreet.bench import made_by
from discreet.cli.options import RUNS, Cache, Json, Runs, given_by_hand, progress, quiet_logs, tell
from discreet.harness import (
    TASKS,
    answerer_of,
    as_task_table,
    items_of,
    score_model,
    write_lmms_tasks,
    write_tables,
)


def tasks(
    ctx: typer.Context,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Run id or folder, 'reference', 'federated', 'none', or a folder with a "
            "checkpoint of transformers. Repeatable; reference by default."
        ),
    ] = None,
    base: Annotated[str, typer.Option(help="With --model none.")] = "small",
    only: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(TASKS)}.")] = None,
    limit: Annotated[int | None, typer.Option(min=2, help="Items of each task, at most.")] = None,
    lmms: Annotated[
        Path | None,
        typer.Option("--export-lmms-eval", help="Folder of tasks for lmms-eval; asks no model."),
    ] = None,
    kit: Annotated[
        Path | None,
        typer.Option("--export-vlmevalkit", help="Folder of tables; asks no model."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file with all numbers.")] = None,
    runs: Runs = RUNS,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Score models on personalised answering, attribute leaks and twins, or export these tasks."""
    if lmms is not None or kit is not None:
        _export(ctx, lmms, kit)
        return
    if unknown := set(only or ()) - set(TASKS):
        raise typer.BadParameter(
            f"Expected tasks of {', '.join(TASKS)}, got {sorted(unknown)[0]!r}.",
            param_hint="--only",
        )
    models = model or ["reference"]
    if "none" not in models and given_by_hand(ctx, but=set(ctx.params) - {"base"}):
        raise typer.BadParameter(
            "Expected --base with --model none, got it without. An adapter brings its own base.",
            param_hint="--base",
        )
    quiet_logs()
    chosen = [task for task in TASKS if not only or task in only]
    if len({Path(name).name for name in models}) < len(models):
        raise typer.BadParameter(
            "Expected models of different names, got two of one. Rename a folder.",
            param_hint="--model",
        )
    total = sum(min(len(items_of(task)), limit or 10**9) for task in chosen) * len(models)
    found = {}
    with progress() as bar:
        row = bar.add_task("load", total=total)
        for name in models:
            bar.update(row, description=Path(name).name)
            answer = answerer_of(name, base=base, runs=runs, cache=cache)
            found[Path(name).name] = score_model(
                answer, chosen, limit=limit, on_done=lambda count: bar.update(row, advance=count)
            )
    tell(made_by() | {"limit": limit, "found": found}, as_task_table(found), out, as_json)


def _export(ctx: typer.Context, lmms: Path | None, kit: Path | None) -> None:
    """Write our tasks for other harnesses."""
    if ignored := given_by_hand(ctx, but={"lmms", "kit"}):
        raise typer.BadParameter(
            f"Expected an export alone, which asks no model, got {', '.join(ignored)}. Leave out "
            "what would be ignored.",
            param_hint=ignored[0],
        )
    if lmms is not None:
        names = write_lmms_tasks(lmms)
        typer.echo(f"python -m lmms_eval --tasks {','.join(names)} --include_path {lmms}")
    if kit is not None:
        for path in write_tables(kit):
            typer.echo(str(path))
