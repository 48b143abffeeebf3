"""`discreet bench ground`: whether a question finds the note that answers it, by each way."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from discreet.assistant import CONTEXT_OF, FINDS, LEAST_FIT, Find, Notes
from discreet.bench import (
    Asking,
    Best,
    Grounding,
    as_grounding_rows,
    choose_least_fit,
    load_asks,
    made_by,
    measure_grounding,
    verbatim,
)
from discreet.cli.chat import shipped_notes
from discreet.cli.options import Json, progress, quiet_logs, tell
from discreet.data import LANGUAGES, Language


def ground(
    find: Annotated[
        Find | None, typer.Option(help="One way of finding notes; all by default.")
    ] = None,
    language: Annotated[
        Language | None, typer.Option(help="Of notes and questions; all by default.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file with counts and intervals.")] = None,
    as_json: Json = False,
) -> None:
    """Measure which questions find their note, find another, or are refused; no model answers."""
    quiet_logs()
    ways = FINDS if find is None else (find,)
    languages = LANGUAGES if language is None else (language,)
    rows: list[tuple[str, str, Grounding]] = []
    records: list[dict[str, Any]] = []
    with progress() as bar:
        row = bar.add_task("ground", total=len(ways) * len(languages))
        for spoken in languages:
            for way in ways:
                found = ground_by(way, spoken)
                rows += [(f"{way}, {spoken}", asked, what) for asked, what in found.items()]
                records.append(_record(way, spoken, found))
                bar.update(row, advance=1)
    tell(made_by() | {"found_by": records}, as_grounding_rows(rows), out, as_json)


def ground_by(find: Find, language: Language) -> dict[str, Grounding]:
    """Return what one way finds, at the threshold that the choosing half chooses."""
    notes = Notes.build(shipped_notes(language), find=find)
    asks = load_asks(language)
    choosing = [ask for ask in asks if ask.chooses]
    reported = [ask for ask in asks if not ask.chooses]
    own = verbatim(language)
    least_fit = choose_least_fit(choosing, best_notes(notes, choosing))
    return {
        "word for word": measure_grounding(own, best_notes(notes, own), least_fit),
        "in other words": measure_grounding(reported, best_notes(notes, reported), least_fit),
    }


def best_notes(notes: Notes, asks: Sequence[Asking]) -> list[Best]:
    """Return the note that fits each question best, of those of its context."""
    ranked = [notes.rank(ask.text, CONTEXT_OF[ask.domain]) for ask in asks]
    return [Best(r[0].note.id, r[0].fit) if r else Best(None, 0.0) for r in ranked]


def _record(find: Find, language: Language, found: dict[str, Grounding]) -> dict[str, Any]:
    """Return counts with their intervals, and the threshold that ships."""
    return {
        "find": find,
        "language": language,
        "shipped_least_fit": LEAST_FIT[find][language],
        "asked": {
            asked: {
                name: value
                if isinstance(value, float)
                else {**value, "interval": getattr(what, name).interval}
                for name, value in asdict(what).items()
            }
            for asked, what in found.items()
        },
    }
