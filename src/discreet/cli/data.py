"""`discreet data`: see, check, describe and share out a data set that lies on disk."""

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from discreet.cli.data_check import Layout, Source, bars, check
from discreet.cli.data_export import export
from discreet.cli.options import Json, show_json, talk
from discreet.errors import DataError
from discreet.sources import (
    READERS,
    Problems,
    Record,
    find_reader,
    may_be_portrait,
    partition,
    read_source,
    sheet_of,
    write_index,
    write_portrait_shards,
    write_portraits,
    write_shards,
)

app = typer.Typer(
    add_completion=False,
    help="Data sets on disk: see, check, describe, share out.",
    no_args_is_help=True,
)
SHEET_PICTURES = 64


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the layouts that can be read, their labels, and the licence as their page says it."""
    if as_json:
        show_json([_described(name) for name in READERS])
        return
    table = Table("layout")
    for title in ("looks like", "labels", "licence, page"):
        table.add_column(title, overflow="fold")
    for name, reader in READERS.items():
        told = _described(name)
        audit = f" (audits only: {', '.join(told['audit_labels'])})" if reader.audit_labels else ""
        table.add_row(
            name,
            escape(reader.looks_like),
            escape(reader.says or ", ".join(told["labels"]) + audit),
            escape(f"{reader.licence}\n{reader.source}"),
        )
    talk().print(table)


def _described(name: str) -> dict[str, Any]:
    reader = READERS[name]
    return {
        "layout": name,
        "kind": reader.kind,
        "looks_like": reader.looks_like,
        "labels": [label for label in reader.vocabulary if label not in reader.audit_labels],
        "audit_labels": list(reader.audit_labels),
        "says": reader.says,
        "licence": reader.licence,
        "source": reader.source,
    }


@app.command("show")
def show(
    path: Source,
    layout: Layout = None,
    limit: Annotated[int, typer.Option(min=1, help="Records to show.")] = 5,
    text: Annotated[bool, typer.Option(help="Show what conversations say.")] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="PNG file for a contact sheet of the first pictures.")
    ] = None,
    names: Annotated[
        bool, typer.Option("--names", help="Show labels that may name people, as folders do.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the first records: labels, and where each was read; no names, no words by default."""
    reader = find_reader(path, layout=layout)
    problems = Problems()
    wanted = max(limit, SHEET_PICTURES if sheet else 0)
    records = list(islice(read_source(path, layout=reader.name, problems=problems), wanted))
    hidden = () if names else reader.may_be_names
    people: dict[str, int] = {}
    rows = [_shown(record, people, hidden, text=text) for record in records[:limit]]
    if sheet is not None:
        _write_sheet(records, sheet, path)
    if as_json:
        show_json({"layout": reader.name, "records": rows})
        return
    table = Table("read at", "labels", "audits only", "person", "split", "holds")
    for row in rows:
        table.add_row(*(escape(str(value)) for value in _cells(row)))
    talk().print(f"layout: {reader.name}, kind: {reader.kind}", markup=False)
    talk().print(table)
    if problems.total:
        talk().print(f"{problems.total} problems on the way: see `discreet data check`.")
    for row in rows if text else []:
        for said in row["turns"]:
            talk().print(f"{said['role']}: {said['text']}", markup=False)


def _shown(
    record: Record, people: dict[str, int], hidden: Collection[str], *, text: bool
) -> dict[str, Any]:
    """Return a record without names: people, and labels that may name them, are numbered."""
    labels = dict(record.labels)
    for name in labels.keys() & set(hidden):
        value = f"{name}\0{labels[name]}"
        labels[name] = f"number {people.setdefault(value, len(people) + 1)}"
    person = None
    if record.person is not None:
        person = people.setdefault(record.person, len(people) + 1)
    roles = [medium.role for medium in record.media]
    return {
        "origin": str(record.origin),
        "kind": record.kind,
        "labels": labels,
        "audit_labels": dict(record.audit_labels),
        "person": person,
        "split": record.split,
        "media": {role: roles.count(role) for role in dict.fromkeys(roles)},
        "turns": [
            {"role": turn.role, "words": len(turn.text.split())}
            | ({"text": turn.text} if text else {})
            for turn in record.turns
        ],
    }


def _cells(row: dict[str, Any]) -> list[str]:
    turns = [f"{turn['role']} {turn['words']} words" for turn in row["turns"]]
    media = [f"{count} {role}" for role, count in row["media"].items()]
    return [
        row["origin"],
        _named(row["labels"]),
        _named(row["audit_labels"]),
        "" if row["person"] is None else f"number {row['person']}",
        row["split"] or "",
        ", ".join([*media, *turns]),
    ]


def _named(labels: dict[str, str]) -> str:
    shown = [f"{name} = {value}" for name, value in islice(labels.items(), 4)]
    more = len(labels) - len(shown)
    return "\n".join(shown + ([f"and {more} more"] if more else []))


def _write_sheet(records: list[Record], sheet: Path, path: Path) -> None:
    folder = path.resolve() if path.is_dir() else path.resolve().parent
    if sheet.resolve().is_relative_to(folder):
        raise DataError(
            "Expected a path outside the data set for the contact sheet, got one inside: it would "
            "become part of the set. Choose another folder."
        )
    media = [medium for record in records for medium in record.media if medium.role != "video"]
    if not media:
        raise DataError("Expected pictures for a contact sheet, found none in the first records.")
    sheet.parent.mkdir(parents=True, exist_ok=True)
    sheet_of(media[:SHEET_PICTURES]).save(sheet, "PNG")
    talk().print(f"contact sheet: '{sheet}'", markup=False)


app.command("check")(check)
app.command("export")(export)


@app.command("share")
def share(
    path: Source,
    out: Annotated[Path, typer.Argument(help="Parquet file, or with --shards a folder, to make.")],
    owners: Annotated[int, typer.Option(min=1, help="How many owners.")] = 4,
    alpha: Annotated[
        float | None, typer.Option(help="Dirichlet concentration over owners; needs --label.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Label whose values are mixed differently by alpha.")
    ] = None,
    by: Annotated[
        str, typer.Option(help="What stays together: person, record, or a label.")
    ] = "person",
    seed: Annotated[int, typer.Option(help="Public; of every draw.")] = 0,
    shards: Annotated[
        bool, typer.Option("--shards", help="A file for each owner, not one index.")
    ] = False,
    layout: Layout = None,
    as_json: Json = False,
) -> None:
    """Share a data set out over owners: who has which records. Pictures stay where they are."""
    problems = Problems()
    held = _Held()
    shared = partition(
        held.counted(read_source(path, layout=layout, problems=problems)),
        owners,
        alpha=alpha,
        label=label,
        by=by,
        seed=seed,
    )
    with bars() as told:
        count = 0

        def on_row() -> None:
            nonlocal count
            count += 1
            if count % 256 == 0:
                told("sharing", count, None)

        if shards:
            shares = write_shards(shared, out, on_row=on_row)
        else:
            shares = write_index(shared, out, num_owners=owners, on_row=on_row)
        told("sharing", count, count)
    sizes = sorted(shares.rows.values())
    report = {
        "path": str(out),
        "records": sum(sizes),
        "owners": owners,
        "owners_with_records": len(sizes),
        "smallest": sizes[0] if sizes else 0,
        "median": sizes[len(sizes) // 2] if sizes else 0,
        "largest": sizes[-1] if sizes else 0,
        "problems": dict(problems.counts),
    }
    if as_json:
        show_json(report)
        return
    found = f"{problems.total:,}, see `discreet data check`" if problems.total else "none"
    for key, value in (report | {"problems": found}).items():
        talk().print(f"{key.replace('_', ' ')}: {value}", markup=False)
    if held.conversations and not shards:
        talk().print(f"Train on its conversations with: discreet train --data {out}", markup=False)
    elif held.portraits and not held.conversations:
        talk().print(
            f"To train on its pictures: discreet data portraits {path} people.parquet, and then: "
            "discreet train --data people.parquet. A file for each owner's node: --owners.",
            markup=False,
        )


class _Held:
    """Counts what could be trained on, while records pass by."""

    def __init__(self) -> None:
        self.conversations = self.portraits = 0

    def counted(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records."""
        for record in records:
            self.conversations += record.kind == "conversation"
            self.portraits += may_be_portrait(record)
            yield record


@app.command("portraits")
def portraits(
    path: Source,
    out: Annotated[Path, typer.Argument(help="Parquet file, or with --owners a folder, to make.")],
    owners: Annotated[
        int | None, typer.Option(min=1, help="Share people out: a file for each owner's node.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Public; of who gets whom, with --owners.")] = 0,
    layout: Layout = None,
) -> None:
    """Copy pictures that have an age band and an expression into a file to train on.

    With --owners, into a file for each owner, all of a person in one; a node takes it as its data.
    """
    problems = Problems()
    records = read_source(path, layout=layout, problems=problems)
    if owners is None:
        count, files = write_portraits(records, out, problems=problems), "Train on them with"
        way_on = f"discreet train --data {out}"
    else:
        rows = write_portrait_shards(partition(records, owners, seed=seed), out, problems=problems)
        count, files = sum(rows.values()), f"{len(rows)} of {owners} owners have some. Join with"
        way_on = f"discreet federation join ... --data {out / min(rows)}.parquet"
    talk().print(
        f"{count:,} portraits in '{out}', {problems.total:,} problems. {files}: {way_on}",
        markup=False,
    )
