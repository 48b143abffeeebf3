"""`discreet audit NAME RUN` and `discreet audit all RUN`: what can be learnt from a run.

A command for each audit of the table, all with the same options. What is found is written into the
run's folder, where `discreet report` and `discreet docs` read it.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table as RichTable

from discreet.artifacts import write_json
from discreet.audit import (
    AUDITS,
    Asking,
    Audit,
    Effort,
    Planned,
    Subject,
    ask,
    ask_all,
    examine_adapter,
    is_bare_adapter,
    is_outdone,
    open_subject,
    parse_candidates,
    plan_audits,
)
from discreet.bench import made_by
from discreet.cli.options import (
    RUNS,
    Cache,
    Json,
    Runs,
    given_by_hand,
    quiet_logs,
    show_json,
    talk,
)
from discreet.evidence import Evidence, as_record, write_evidence
from discreet.registry import SHIPPED

Reference = Annotated[
    str,
    typer.Argument(
        help="Run id, folder, 'latest', 'reference' or 'federated'; a PEFT folder for attribution."
    ),
]
Owners = Annotated[
    int | None, typer.Option(min=1, help="Ask of so many owners, the first ones; of all.")
]
Data = Annotated[
    Path | None, typer.Option(help="Parquet file that the run was trained on, if one was.")
]
Others = Annotated[
    Path | None,
    typer.Option(help="File of examples that nobody learnt from; by default what is held out."),
]
Candidates = Annotated[
    list[str] | None,
    typer.Option(
        "--candidate",
        metavar="NAME=PATH",
        help="For attribution: data that may have shaped it; a run, a PEFT folder or a file.",
    ),
]
HowMuch = Annotated[
    Effort,
    typer.Option(help="How much is tried: fewer examples and attacks, the usual, or all there is."),
]
Seed = Annotated[int, typer.Option(min=0, help="Of every draw of the auditor.")]


def add_commands(app: typer.Typer) -> None:
    """Add a command for each audit, and `all`."""
    for audit in AUDITS.values():
        app.command(audit.name, help=audit.question)(_command(audit))
    app.command("all")(ask_everything)


def _command(audit: Audit) -> Callable[..., None]:
    def command(
        run: Reference,
        effort: HowMuch = "usual",
        owners: Owners = None,
        data: Data = None,
        others: Others = None,
        candidate: Candidates = None,
        seed: Seed = 0,
        out: Annotated[Path | None, typer.Option(help="JSON file besides the run's own.")] = None,
        runs: Runs = RUNS,
        cache: Cache = None,
        as_json: Json = False,
    ) -> None:
        _require_use_of(candidate, audit)
        if audit.name == "attribution" and is_bare_adapter(Path(run)):
            with talk().status("reading adapters") as status:
                named = parse_candidates(candidate or [])
                found = examine_adapter(Path(run), named, status.update)
            found = replace(found, made_by=made_by())
        else:
            subject = _opened(run, runs, data, others, candidate, cache)
            _require_owners(owners, subject)
            asking = Asking(effort=effort, owners=owners, seed=seed)
            with talk().status("looking") as status:
                found = ask(audit, subject, asking, status.update)
            found = replace(found, made_by=made_by())
            if run not in SHIPPED:
                _keep(found, audit, subject, asking)
        if out is not None:
            write_json(out, as_record(found))
        if as_json:
            show_json(as_record(found))
        else:
            typer.echo(in_words(found))

    return command


def ask_everything(
    ctx: typer.Context,
    run: Reference,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="What fits into so much time is asked; all by default."),
    ] = None,
    effort: HowMuch = "usual",
    again: Annotated[bool, typer.Option(help="Ask also what was asked before.")] = False,
    owners: Owners = None,
    data: Data = None,
    others: Others = None,
    candidate: Candidates = None,
    seed: Seed = 0,
    runs: Runs = RUNS,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Ask every audit of a run, the most telling first; one that was asked before stands."""
    if run in SHIPPED:
        raise typer.BadParameter(
            "Expected a run folder of your own, got one that lies in the installation: nothing is "
            "written there. Copy it with `discreet adapters export`, and audit the copy.",
            param_hint="RUN",
        )
    if minutes is not None and "--effort" in given_by_hand(ctx, but=()):
        raise typer.BadParameter(
            "Expected --minutes or --effort, got both: minutes say how much is tried. Leave one "
            "out.",
            param_hint="--effort",
        )
    subject = _opened(run, runs, data, others, candidate, cache)
    _require_owners(owners, subject)
    asking = Asking(effort=effort, owners=owners, seed=seed)
    plans = plan_audits(AUDITS, subject, asking, minutes=minutes, again=again)
    talk().print(_plan_table(plans))
    told: dict[str, object] = {}
    with talk().status("looking") as status:
        asked = ask_all(plans, subject, asking, made_by=made_by(), on_done=status.update)
        for plan, found in asked:
            told[plan.audit.name] = as_record(found) if found else {"left_out": plan.reason}
            if not as_json and found is not None:
                typer.echo(f"{found.title}: {found.verdict}")
            elif found is None and plan not in plans:
                talk().print(f"{plan.audit.name}: {plan.reason}", markup=False)
    if as_json:
        show_json(told)
    else:
        talk().print("`discreet report` shows all of it on one page.")


def in_words(found: Evidence) -> str:
    """Return evidence as text: sentences, tables in Markdown, limits."""
    parts = [found.title, *found.says]
    for table in found.tables:
        lines = [table.columns, tuple("---" for _ in table.columns), *table.rows]
        rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"\n{table.title}\n\n{rows}\n")
    parts += [f"Not shown: {limit}" for limit in found.limits]
    return "\n".join(parts)


def _opened(
    run: str,
    runs: Path,
    data: Path | None,
    others: Path | None,
    candidates: list[str] | None,
    cache: Path | None,
) -> Subject:
    quiet_logs()
    named = parse_candidates(candidates or [])
    with talk().status("loading the run, its base and its examples"):
        return open_subject(run, runs, data=data, others=others, candidates=named, cache=cache)


def _keep(found: Evidence, audit: Audit, subject: Subject, asking: Asking) -> None:
    """Write what was found into the run's folder, unless more is known there already."""
    if is_outdone(audit, subject, asking):
        talk().print(
            "The run's folder keeps what was found when this was asked more thoroughly; "
            "--out FILE keeps this one."
        )
    else:
        write_evidence(subject.run, found)


def _require_use_of(candidate: list[str] | None, audit: Audit) -> None:
    """Refuse candidates for an audit that asks of none."""
    if candidate and audit.name != "attribution":
        raise typer.BadParameter(
            f"Expected candidates for attribution, got some for {audit.name}, which would be "
            "ignored. Leave --candidate out.",
            param_hint="--candidate",
        )


def _require_owners(owners: int | None, subject: Subject) -> None:
    """Refuse more owners than took part."""
    if owners is not None and owners > len(subject.owners):
        raise typer.BadParameter(
            f"Expected 1 to {len(subject.owners)}, who took part, got {owners}. Name fewer, or "
            "leave it out to ask of all.",
            param_hint="--owners",
        )


def _plan_table(plans: list[Planned]) -> RichTable:
    """Return what is asked, how thoroughly and about how long."""
    table = RichTable("audit", "effort", "about", "", box=None)
    for plan in plans:
        seconds = f"{plan.seconds:.0f} s" if plan.effort else ""
        table.add_row(plan.audit.name, plan.effort or "-", seconds, plan.reason)
    return table
