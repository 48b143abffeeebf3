"""`discreet log`: is an event log as it was written, what is in it, and a copy to hand on."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from discreet.artifacts import write_json
from discreet.cli.options import Json, show_json, talk
from discreet.journal import Entry, Journal, Verdict

app = typer.Typer(
    add_completion=False,
    help="What the assistant decided, without content: verify, show, hand on.",
    no_args_is_help=True,
)
Folder = Annotated[Path, typer.Argument(metavar="PATH", help="Folder of the log.")]
MOST_DAMAGE = 20
"""Lines that are shown of what was found."""


@app.command("verify")
def verify(
    path: Folder,
    head: Annotated[
        str | None,
        typer.Option(
            help="A head that was shown earlier and kept elsewhere: finds a log that was written "
            "anew with its key, or put back to an older state."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find any line or file that was changed, moved, removed or added without the key."""
    verdict = Journal(path).verify(head)
    if as_json:
        show_json({**_plain(verdict), "is_sound": verdict.is_sound})
    else:
        when = f", {verdict.first:%Y-%m-%d} to {verdict.last:%Y-%m-%d}" if verdict.first else ""
        sound = "Sound" if verdict.is_sound else "Not sound"
        talk().print(
            f"{sound}: {verdict.events} events in {verdict.segments} files{when}.", style="bold"
        )
        for damage in verdict.found[:MOST_DAMAGE]:
            talk().print(f"- {damage}")
        if len(verdict.found) > MOST_DAMAGE:
            talk().print(f"- and {len(verdict.found) - MOST_DAMAGE} more: --json")
        talk().print(f"Head {verdict.head}. Keep it elsewhere, and give it to --head next time.")
    if not verdict.is_sound:
        raise typer.Exit(1)


@app.command("show")
def show(
    path: Folder,
    last: Annotated[int, typer.Option(min=1, help="How many events, the newest.")] = 20,
    as_json: Json = False,
) -> None:
    """Show events, oldest first; the log has to be sound."""
    entries = Journal(path).events()[-last:]
    if as_json:
        show_json(_numbered(entries))
        return
    table = Table("time (UTC)", "visit", "what", "why", "with", "attributes", "ms")
    for entry, told in zip(entries, _numbered(entries), strict=True):
        event = entry.event
        used = [f"{name} ({source})" for name, source in event.used]
        withheld = [f"not {name}: {reason}" for name, reason in event.withheld]
        table.add_row(
            f"{entry.time:%Y-%m-%d %H:%M:%S}",
            str(told.get("visit", "")),
            event.kind.value.replace("_", " "),
            escape(" / ".join(filter(None, (event.context, event.purpose)))),
            escape(" ".join(filter(None, (event.adapter, event.mode, event.language)))),
            escape("\n".join(used + withheld)),
            "" if event.milliseconds is None else str(event.milliseconds),
        )
    talk().print(table if entries else "No events.")


@app.command("export")
def export(
    path: Folder,
    out: Annotated[Path, typer.Argument(help="File to write, JSON.")],
) -> None:
    """Copy a sound log for somebody who examines it: visits are numbered, keys stay here."""
    journal = Journal(path)
    verdict = journal.verify()
    write_json(out, {**_plain(verdict), "entries": _numbered(journal.events())})
    typer.echo(str(out))


def _plain(verdict: Verdict) -> dict[str, Any]:
    """Return what a verdict says as plain values."""
    return {
        "events": verdict.events,
        "files": verdict.segments,
        "first": verdict.first and verdict.first.isoformat(),
        "last": verdict.last and verdict.last.isoformat(),
        "head": verdict.head,
        "found": [str(damage) for damage in verdict.found],
    }


def _numbered(entries: list[Entry]) -> list[dict[str, Any]]:
    """Return events as plain values, visits by the order in which they first appear."""
    visits: dict[str, int] = {}
    told = []
    for entry in entries:
        name = entry.pseudonym
        visit = {} if name is None else {"visit": visits.setdefault(name, len(visits) + 1)}
        time = {"number": entry.number, "time": entry.time.isoformat()}
        told.append({**time, **visit, **entry.event.to_record()})
    return told
