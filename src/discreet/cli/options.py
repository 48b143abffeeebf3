"""Options that several commands share, and how results are shown."""

import json
import logging
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.segment import Segment

from discreet.artifacts import write_json
from discreet.quiet import QUIET, quiet_warnings

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Runs = Annotated[
    Path, typer.Option("--runs", envvar="DISCREET_RUNS", help="Folder that holds run folders.")
]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        envvar="DISCREET_CACHE",
        help="Folder for converted models and vectors of notes; the user's cache by default.",
    ),
]
Drafts = Annotated[
    int,
    typer.Option(
        min=1,
        help="Answers written where the first falls short; the best is shown. 1 shows an answer "
        "while it is written.",
    ),
]
Guidance = Annotated[
    float,
    typer.Option(help="How far answers lean towards the person, 1 or more; 1 turns it off."),
]
RUNS = Path("runs")


class _Printable(Console):
    """A console on which what data say moves no cursor and gives no command to the terminal."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield what is drawn; styles are this program's own, words may be anybody's."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


_ACTED_ON = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters but the end of a line, what turns the order of letters, half surrogates."""


def talk() -> Console:
    """Return the console for people, on stderr; no line is broken where that is no terminal."""
    console = _Printable(stderr=True, highlight=False)
    console.soft_wrap = not console.is_terminal
    return console


def printable(text: str) -> str:
    r"""Return a text in which a replacement character stands for each that a terminal acts on.

    >>> printable("a\x1b[2Jb\n")
    'a\ufffd[2Jb\n'
    """
    return _ACTED_ON.sub("\ufffd", text)


def progress() -> Progress:
    """Return a progress bar on stderr that leaves no line behind when output is not a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=talk(),
        transient=False,
    )


def given_by_hand(ctx: typer.Context, *, but: Collection[str]) -> list[str]:
    """Return how the arguments and options are called that were typed, but for some."""
    return [
        parameter.opts[0] if parameter.param_type_name == "option" else name.upper()
        for parameter in ctx.command.params
        if (name := parameter.name or "") not in but
        and getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]


def show_json(value: Any) -> None:
    """Print a value as JSON on stdout."""
    typer.echo(json.dumps(value, indent=2, default=_plain, ensure_ascii=False))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of a comma-separated list.

    Raises:
        typer.BadParameter: if there is none, if one is no whole number, or if one comes twice.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words) or len({int(w) for w in words}) < len(words):
        raise typer.BadParameter(
            f"Expected different whole numbers of 0 or more, as in 0,1,2, got '{text}'.",
            param_hint="--seeds",
        )
    return [int(word) for word in words]


def parse_counts(text: str, option: str, *, example: str = "8,32") -> list[int]:
    """Return the whole numbers of a comma-separated list, 1 or more each.

    Raises:
        typer.BadParameter: if one is not.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) for word in words):
        raise typer.BadParameter(
            f"Expected whole numbers of 1 or more, as in {example}, got '{text}'.",
            param_hint=option,
        )
    return [int(word) for word in words]


def quiet_libraries() -> None:
    """Turn off the progress bars, telemetry and hub look-ups of libraries; for the CLI only."""
    for name, value in {**QUIET, "TOKENIZERS_PARALLELISM": "false"}.items():
        os.environ.setdefault(name, value)
    quiet_warnings()


def quiet_logs() -> None:
    """Keep Flower and transformers from writing between the lines of a progress bar."""
    from transformers.utils import logging as transformers_logging

    logging.getLogger("flwr").setLevel(logging.WARNING)
    transformers_logging.disable_progress_bar()


def tell(record: dict[str, Any], table: str, out: Path | None, as_json: bool) -> None:
    """Write a record if asked to, and print it, or the table for people."""
    if out is not None:
        write_json(out, record)
    if as_json:
        show_json(record)
    else:
        typer.echo(table)
