"""`discreet bench adapt`: does an answer fit each reader, and does it say the facts?"""

import random
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from discreet.artifacts import write_json
from discreet.assistant import CONTEXT_OF, DRAFTS, WIDEST_OF, Assistant, Turn, load_policy
from discreet.bench import (
    Ask,
    as_answers,
    as_rows,
    ask_all,
    asking_prompt,
    declared,
    gated_prompt,
    made_by,
    measure_adaptation,
    repeat_note,
    write_all,
)
from discreet.cli.chat import adapter_hash, load_responder, notes_of
from discreet.cli.options import (
    RUNS,
    Cache,
    Drafts,
    Guidance,
    Json,
    Runs,
    progress,
    tell,
)
from discreet.data import Language, load_questions, split_questions
from discreet.model import GUIDANCE, Vlm, check_guidance, load
from discreet.registry import REFERENCE
from discreet.types import Domain

Write = Callable[..., list[str]]
"""Writes an answer to every ask; is given `on_done`, which it tells how many are done."""


def adapt(
    adapters: Annotated[
        list[str] | None,
        typer.Argument(help="Run ids, folders, 'latest', 'reference' or 'federated'."),
    ] = None,
    questions: Annotated[
        int | None, typer.Option(min=1, help="How many held-out questions; all by default.")
    ] = None,
    language: Annotated[Language, typer.Option(help="Of questions and notes.")] = "en",
    guidance: Guidance = GUIDANCE,
    drafts: Drafts = DRAFTS,
    out: Annotated[Path | None, typer.Option(help="JSON file with intervals.")] = None,
    answers: Annotated[
        Path | None, typer.Option(help="JSON file with every answer, to be read by people.")
    ] = None,
    runs: Runs = RUNS,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Measure whether answers fit each reader and say the facts, against what needs no training."""
    check_guidance(guidance)
    held_out = split_questions(load_questions(language=language)).held_out
    chosen = random.Random(0).sample(held_out, len(held_out))[:questions]
    asks = ask_all(chosen)
    written = {"the note itself": repeat_note(asks)}
    hashes = {name: adapter_hash(name, runs) for name in adapters or [REFERENCE]}
    with progress() as bar:

        def answer(who: str, write: Write) -> None:
            row = bar.add_task(who, total=len(asks))
            written[who] = write(on_done=lambda count: bar.update(row, advance=count))

        packaged = load("small", cache_dir=cache, projector=None, tuning=None)
        answer(
            "the packaged model, asked to adapt", partial(write_all, packaged, asks, asking_prompt)
        )
        base = load_responder("none", "small", runs=runs, cache=cache)
        answer("the base", partial(write_all, base, asks, gated_prompt))
        for name in hashes:
            vlm = load_responder(name, "small", runs=runs, cache=cache)
            answer(f"adapter {name}", partial(write_all, vlm, asks, guidance=guidance))
            serving = _serving(vlm, language, guidance=guidance, drafts=drafts, cache=cache)
            answer(f"assistant with {name}", partial(_served, serving, asks))
    measured = {who: measure_adaptation(own, asks) for who, own in written.items()}
    record = made_by() | {
        "questions": len(chosen),
        "language": language,
        "guidance": guidance,
        "drafts": drafts,
        "adapter_sha256": hashes,
        "answered_by": {who: asdict(found) for who, found in measured.items()},
    }
    if answers is not None:
        write_json(answers, as_answers(written, asks))
    tell(record, as_rows(measured), out, as_json)


def _serving(
    vlm: Vlm, language: Language, *, guidance: float, drafts: int, cache: Path | None
) -> dict[Domain, Assistant]:
    """Return the assistant of each domain, behind the policy that ships for it."""
    found = {}
    for domain, context in CONTEXT_OF.items():
        policy = load_policy(context)
        notes = notes_of(policy, language=language, cache=cache)
        found[domain] = Assistant(
            vlm=vlm, policy=policy, notes=notes, guidance=guidance, drafts=drafts
        )
    return found


def _served(
    assistants: Mapping[Domain, Assistant], asks: list[Ask], on_done: Callable[[int], None]
) -> list[str]:
    """Return what people would be shown: notes are found, and a guard reads every sentence."""
    answers = []
    for ask in asks:
        said: dict[str, str] = {seen.attribute: seen.value for seen in declared(ask)}
        purpose = WIDEST_OF[ask.question.domain]
        turn = Turn(question=ask.question.question, declared=said, purpose=purpose)
        answers.append(assistants[ask.question.domain].reply(turn).text)
        on_done(1)
    return answers
