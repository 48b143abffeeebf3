"""`discreet data export`: what ships, as JSON lines that other tools read."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from discreet.artifacts import write_bytes
from discreet.cli.options import talk
from discreet.data import (
    LANGUAGES,
    Language,
    Part,
    load_questions,
    preference_pairs,
    reference_answer,
)
from discreet.types import AGE_BANDS

What = Literal["questions", "answers", "pairs"]


def export(
    what: Annotated[
        str,
        typer.Argument(
            help="questions: as their file has them; answers: chat messages, one line a reader; "
            "pairs: preferences, with prompt, chosen and rejected as chat messages."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="JSON lines file.")],
    language: Annotated[str, typer.Option(help="en or fr.")] = "en",
    part: Annotated[
        str | None, typer.Option(help="Only public, private or held_out; all by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of readers and templates of the pairs.")] = 0,
) -> None:
    """Write the shipped questions, answers or preference pairs as JSON lines.

    The lines of `answers` and `pairs` are what trl's trainers take, `messages` and `prompt` /
    `chosen` / `rejected`.
    """
    for value, allowed, name in (
        (what, get_args(What), "WHAT"),
        (language, LANGUAGES, "--language"),
        (part, (None, *get_args(Part)), "--part"),
    ):
        if value not in allowed:
            words = ", ".join(str(word) for word in allowed if word is not None)
            raise typer.BadParameter(f"Expected one of {words}.", param_hint=name)
    lines = list(_LINES[what](language, part, seed))  # type: ignore[arg-type]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_bytes(out, text.encode())
    talk().print(f"{len(lines)} lines in '{out}'", markup=False)


def _questions(language: Language, part: Part | None, seed: int) -> Iterator[dict[str, Any]]:
    for question in load_questions(language=language):
        if part in (None, question.part):
            yield asdict(question)


def _answers(language: Language, part: Part | None, seed: int) -> Iterator[dict[str, Any]]:
    for question in load_questions(language=language):
        if part not in (None, question.part):
            continue
        for reader in (*AGE_BANDS, "distressed"):
            yield {
                "id": f"{question.id}.{reader}",
                "part": question.part,
                "language": language,
                "reader": reader,
                "note": question.note,
                "messages": [
                    {"role": "user", "content": question.question},
                    {"role": "assistant", "content": reference_answer(question, reader)},  # type: ignore[arg-type]
                ],
            }


def _pairs(language: Language, part: Part | None, seed: int) -> Iterator[dict[str, Any]]:
    for pair in preference_pairs(language=language, part=part, seed=seed):
        yield {
            "id": pair.id,
            "part": pair.part,
            "language": language,
            "fault": pair.fault,
            "reader": pair.band,
            "note": pair.note,
            "prompt": [{"role": "user", "content": pair.question}],
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected}],
        }


_LINES = {"questions": _questions, "answers": _answers, "pairs": _pairs}
