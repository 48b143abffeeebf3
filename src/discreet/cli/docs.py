"""`discreet docs`: the papers of a deployment, filled from what was measured."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from discreet.artifacts import write_bytes
from discreet.assistant import load_policy
from discreet.cli.options import RUNS, Runs, talk
from discreet.consent import load_notice
from discreet.documents import KINDS, Document, gather, write_document
from discreet.perception import PERCEIVER_PATH
from discreet.registry import resolve
from discreet.types import Language


def docs(
    run: Annotated[
        str, typer.Argument(help="Run id, folder, 'latest', 'reference' or 'federated'.")
    ],
    context: Annotated[
        str, typer.Option(help="Context whose policy ships, or a TOML file of a policy.")
    ] = "healthcare",
    language: Annotated[Language, typer.Option(help="Of the documents.")] = "en",
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("documents"),
    evidence: Annotated[
        list[Path] | None,
        typer.Option(help="Folder with results, besides audits/ of the run; may come twice."),
    ] = None,
    runs: Runs = RUNS,
) -> None:
    """Write impact assessment, model card, data card, record of processing and notice.

    Every sentence names the file that it rests on. What was not measured says so, and which
    command measures it; what only people know is left for them to fill in. The documents support
    the work of whoever answers for a deployment, and take none of it over.
    """
    policy = load_policy(context)
    found = gather(
        resolve(run, runs).run,
        policy,
        load_notice(policy.context, language),
        language=language,
        folders=[*(evidence or []), PERCEIVER_PATH.parent],
    )
    today = datetime.now(UTC).date()
    written = [write_document(kind, found, today=today) for kind in KINDS]
    for document in written:
        for suffix, text in ((".md", document.markdown), (".html", document.html)):
            path = out / f"{document.kind}{suffix}"
            write_bytes(path, text.encode())
            typer.echo(str(path))
    _tell_missing(written)


def _tell_missing(written: list[Document]) -> None:
    """Tell what was missing, each once, with the command that finds it."""
    gaps = {gap.label: gap.way for document in written for gap in document.missing}
    talk().print(f"{len(gaps)} points are missing; the documents say so.", markup=False)
    for way in dict.fromkeys(way for way in gaps.values() if way):
        talk().print(f"  {way}", markup=False)
