"""`discreet adapters`: what is on the shelf, and what each adapter cost."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from discreet.cli.options import RUNS, Json, Runs, show_json, talk
from discreet.registry import export, list_adapters, resolve

app = typer.Typer(
    add_completion=False, help="What is on the shelf, and what it cost.", no_args_is_help=True
)


@app.command("list")
def list_(runs: Runs = RUNS, as_json: Json = False) -> None:
    """List the adapters of a folder of runs, oldest first."""
    shelf = list_adapters(runs)
    if as_json:
        show_json(
            [s.card.to_dict() if s.card else {"run": s.run.id, "problem": s.problem} for s in shelf]
        )
        return
    table = Table("run", "base", "rounds", "privacy of the worst owner", "created")
    for shelved in shelf:
        card = shelved.card
        if card is None:
            table.add_row(escape(shelved.run.id), "", "", escape(shelved.problem or ""), "")
        else:
            table.add_row(
                escape(card.run),
                escape(card.base_name),
                str(card.rounds_done),
                str(card.worst or "none: trained without privacy"),
                escape(card.created),
            )
    nothing = escape(
        f"No adapters in '{runs}'. Make one with: discreet train. Two ship: 'reference' and, "
        "without privacy, 'federated'."
    )
    talk().print(table if shelf else nothing)


@app.command("show")
def show(
    ref: Annotated[
        str, typer.Argument(help="Run id, folder, 'latest', 'reference' or 'federated'.")
    ],
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Check an adapter's files against its card and show the card."""
    found = resolve(ref, runs)
    if as_json:
        show_json({**found.card.to_dict(), "folder": str(found.run.path)})
        return
    card = found.card
    table = Table("", "", show_header=False)
    table.add_row("run", escape(card.run))
    table.add_row("folder", escape(str(found.run.path)))
    table.add_row("base", escape(f"{card.base_name} ({card.base_sha256[:12]})"))
    table.add_row("adapter", card.adapter_sha256[:12])
    table.add_row("rounds", str(card.rounds_done))
    for owner, statement in sorted(card.per_owner.items()):
        table.add_row(escape(owner), escape(str(statement)))
    if card.per_owner:
        table.add_row("randomness", escape(card.randomness))
    else:
        table.add_row("privacy", "none: trained without privacy")
    if card.reproducible:
        table.add_row("beware", "whoever knows the seed can remove the noise")
    table.add_row("data", escape(f"{card.examples}; {card.data_licence}"))
    table.add_row("code", escape(card.commit or "unknown"))
    table.add_row("created", escape(card.created))
    talk().print(table)


@app.command("export")
def export_(
    ref: Annotated[
        str, typer.Argument(help="Run id, folder, 'latest', 'reference' or 'federated'.")
    ],
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Copy an adapter with its evidence, without what must stay local, to hand it on."""
    copy = export(resolve(ref, runs), out)
    if as_json:
        show_json({"folder": str(copy.path)})
    else:
        typer.echo(str(copy.path))
