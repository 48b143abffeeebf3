"""`discreet bench performance`: speed and memory, as ratios within one run."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter

from discreet.artifacts import read_json, write_json
from discreet.bench import (
    GENERATE_WAYS,
    MODELS,
    WAYS,
    Epochs,
    Measured,
    Setting,
    SpeedRun,
    append_run,
    as_comparison,
    as_readings,
    as_speeds,
    as_table,
    code_sha256,
    made_by,
    measure,
    measure_epochs,
    measure_generation,
    now,
    read_history,
    read_pairs,
    speed_pairs,
)
from discreet.cli.options import (
    Cache,
    Json,
    given_by_hand,
    parse_counts,
    progress,
    quiet_logs,
    show_json,
    tell,
)
from discreet.errors import ArtifactError

_COUNT_FOR = {
    "--compare": {"earlier"},
    "--private": {"private", "models", "batch", "rounds", "threads", "device", "memory", "epochs"},
    "--generate": {"generate", "new_tokens", "rounds", "threads"},
    "neither --private nor --generate": {"base", "rounds", "history"},
}
"""Options that count for each part; where something is measured, those for its file do, too."""


def performance(
    ctx: typer.Context,
    private: Annotated[
        bool, typer.Option("--private", help="Measure the private training step.")
    ] = False,
    generate: Annotated[
        bool, typer.Option("--generate", help="Measure how fast answers are written.")
    ] = False,
    new_tokens: Annotated[
        int, typer.Option(min=2, help="With --generate: length of every answer, in tokens.")
    ] = 48,
    models: Annotated[
        str, typer.Option(help="Comma-separated: small, and families, which show structure.")
    ] = ",".join(MODELS),
    batch: Annotated[str, typer.Option(help="Comma-separated examples of a step.")] = "8,32",
    rounds: Annotated[int, typer.Option(min=1, help="Timed turns of each way.")] = 5,
    base: Annotated[str, typer.Option(help="With neither: small, or tiny, for its structure.")] = (
        "small"
    ),
    history: Annotated[
        Path | None, typer.Option(help="With neither: file of earlier runs, which gets this one.")
    ] = None,
    earlier: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--compare", help="Measure nothing: set the last runs of two such files."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Of PyTorch.")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda; on cuda the base is bfloat16.")] = "cpu",
    memory: Annotated[bool, typer.Option(help="Measure peak memory too.")] = True,
    epochs: Annotated[bool, typer.Option(help="Measure epochs with kept states too.")] = True,
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file for everything measured; an interrupted run goes on with it."),
    ] = None,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Measure speed and memory: everything in a few minutes, or one part of it closely.

    With neither --private nor --generate: a step, answers, what is seen, a round and an audit, each
    beside what it is compared with; --history keeps it, and says what changed since the last run.
    --private: a private step beside a plain one and Opacus'. --generate: answers beside
    transformers' own.
    """
    _refuse_beside(ctx, private=private, generate=generate, compare=earlier is not None)
    if earlier is not None:
        before, after = (_last(path) for path in earlier)
        typer.echo(as_comparison(before, after))
        return
    if not private and not generate:
        _everything(base, rounds, history, out=out, cache=cache, as_json=as_json)
        return
    if generate:
        _generation(rounds, new_tokens, threads=threads, out=out, cache=cache, as_json=as_json)
        return
    settings = _settings(models, batch, threads=threads, device=device)
    with_epochs = epochs and device == "cpu" and any(one.model == "small" for one in settings)
    _private(
        settings,
        rounds,
        memory=memory,
        threads=threads if with_epochs else None,
        out=out,
        cache=cache,
        as_json=as_json,
    )


def _refuse_beside(ctx: typer.Context, *, private: bool, generate: bool, compare: bool) -> None:
    """Refuse options that would be ignored."""
    if private and generate:
        raise typer.BadParameter(
            "Expected one part to measure closely: --private or --generate.", param_hint="--private"
        )
    parts = {"--compare": compare, "--private": private, "--generate": generate}
    part = next((name for name, given in parts.items() if given), [*_COUNT_FOR][-1])
    files = set() if compare else {"out", "cache", "as_json"}
    if given := given_by_hand(ctx, but=_COUNT_FOR[part] | files):
        raise typer.BadParameter(
            f"Expected options that count with {part}, got {', '.join(given)}. Leave out what "
            "would be ignored.",
            param_hint=given[0],
        )


def _private(
    settings: list[Setting],
    rounds: int,
    *,
    memory: bool,
    threads: int | None,
    out: Path | None,
    cache: Path | None,
    as_json: bool,
) -> None:
    """Measure a private step beside others; what is in the file already is not measured again.

    `threads` are those of the epochs; None measures none.
    """
    quiet_logs()
    record: dict[str, Any] = {
        **made_by(),
        "code_sha256": code_sha256(),
        "rounds": rounds,
        "memory": memory,
    }
    tables, epochs = ([], None) if out is None else _measured_before(out, record)
    if epochs is not None and threads in (None, epochs.threads):
        record["epochs"] = asdict(epochs)
    record["steps"] = [asdict(measured) for measured in tables]
    settings = [s for s in settings if s not in {measured.setting for measured in tables}]
    with progress() as bar:
        each = len(WAYS) * (rounds + 1 + memory)
        row = bar.add_task("load", total=len(settings) * each)

        def told(way: str) -> None:
            bar.update(row, advance=1, description=way)

        for setting in settings:
            found = measure(setting, rounds=rounds, memory=memory, cache_dir=cache, on_step=told)
            record["steps"] += [asdict(measured) for measured in found]
            tables += found
            if out is not None:
                write_json(out, record)
        if threads is not None and "epochs" not in record:
            bar.update(row, description="epochs")
            record["epochs"] = asdict(measure_epochs(threads=threads, cache_dir=cache))
    if out is not None:
        write_json(out, record)
    if as_json:
        show_json(record)
        return
    typer.echo(as_table(tables))
    if "epochs" in record:
        show_json(record["epochs"])


def _generation(
    rounds: int,
    new_tokens: int,
    *,
    threads: int,
    out: Path | None,
    cache: Path | None,
    as_json: bool,
) -> None:
    """Measure how fast answers are written."""
    quiet_logs()
    with progress() as bar:
        row = bar.add_task("load", total=(rounds + 1) * len(GENERATE_WAYS))
        found = measure_generation(
            rounds=rounds,
            new_tokens=new_tokens,
            threads=threads,
            cache_dir=cache,
            on_step=lambda way: bar.update(row, advance=1, description=way),
        )
    record = {
        **made_by(),
        "rounds": rounds,
        "threads": threads,
        **asdict(found),
    }
    tell(record, as_speeds(found), out, as_json)


def _measured_before(out: Path, record: dict[str, Any]) -> tuple[list[Measured], Epochs | None]:
    """Return what an interrupted run of the same code on the same machine has in its file.

    Raises:
        ArtifactError: if the file is of something else, which would be replaced.
    """
    if not out.exists():
        return [], None
    before = read_json(out)
    try:
        if all(before[name] == value for name, value in record.items()):
            steps = TypeAdapter(list[Measured]).validate_python(before["steps"])
            return steps, TypeAdapter(Epochs | None).validate_python(before.get("epochs"))
    except (KeyError, TypeError, ValueError):
        pass
    raise ArtifactError(
        f"Expected a new file, or one of the same code, machine, rounds and memory to go on with, "
        f"got another in '{out.name}'. Name a new file with --out, or move this one."
    )


def _everything(
    base: str,
    rounds: int,
    history: Path | None,
    *,
    out: Path | None,
    cache: Path | None,
    as_json: bool,
) -> None:
    """Read every pair, keep the run, and say what changed."""
    quiet_logs()
    began, readings = now(), []
    with progress() as bar:
        row = bar.add_task("load", total=None)
        for pair in speed_pairs(base, cache_dir=cache):
            bar.update(row, description=pair.name)
            readings += read_pairs([pair], rounds=rounds)
            del pair  # and the model that it holds, before the next one is loaded
    made = made_by()
    run = SpeedRun(
        commit=made["commit"],
        hardware=made["hardware"],
        at=began,
        base=Path(base).name,
        readings=tuple(readings),
    )
    said = as_readings(readings)
    if history is not None:
        if history.exists() and (runs := read_history(history)):
            said += f"\n\n{as_comparison(runs[-1], run)}"
        append_run(history, run)
    tell(asdict(run) | {"rounds": rounds}, said, out, as_json)


def _last(path: Path) -> SpeedRun:
    """Return the last run of a history.

    Raises:
        typer.BadParameter: if there is none.
    """
    runs = read_history(path) if path.is_file() else []
    if not runs:
        raise typer.BadParameter(
            f"Expected a run in '{path.name}', got none. Make one: discreet bench performance "
            "--history FILE.",
            param_hint="--compare",
        )
    return runs[-1]


def _settings(models: str, batch: str, *, threads: int, device: str) -> list[Setting]:
    """Return what to measure: families, which show structure only, at the first batch size."""
    sizes = parse_counts(batch, "--batch")
    return [
        Setting(
            model=model,
            adapter=adapter,
            batch=size,
            threads=threads,
            device=device,
            dtype="float32" if device == "cpu" else "bfloat16",
        )
        for model in filter(None, (name.strip() for name in models.split(",")))
        for size in (sizes if model == "small" else sizes[:1])
        for adapter in (("all_linear", "shipped") if model == "small" else ("all_linear",))
    ]
