"""`discreet bench twins`: does what the assistant is told change with what it may not use?"""

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from discreet.assistant import CONTEXT_OF, WIDEST_OF, Gate, gate_of, load_policy
from discreet.audit import (
    AnswerFlips,
    TwinFlips,
    as_flips,
    is_warranted,
    lines_of,
    measure_answers,
    measure_twins,
    represent,
    told,
    write_for_lines,
)
from discreet.bench import made_by
from discreet.cli.chat import adapter_hash, load_responder
from discreet.cli.options import RUNS, Cache, Guidance, Json, Runs, progress, tell
from discreet.data import Question, TwinPortraits, load_questions, load_twins, split_questions
from discreet.model import GUIDANCE, check_guidance
from discreet.perception import CLASSES, PERCEIVER_PATH, Perceiver
from discreet.registry import REFERENCE
from discreet.types import Domain, Observation

Seen = list[tuple[Sequence[Observation], Sequence[Observation]]]


def twins(
    adapter: Annotated[
        str, typer.Argument(help="Run id, folder, 'latest', 'reference', 'federated' or 'none'.")
    ] = REFERENCE,
    kind: Annotated[
        str | None, typer.Option(help="Only twins that differ in this; all kinds by default.")
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="Parquet file or folder of twins; the shipped ones.")
    ] = None,
    people: Annotated[
        int | None, typer.Option(min=1, help="Twins of so many people; of all by default.")
    ] = None,
    heads: Annotated[
        Path, typer.Option(help="Perceiver to measure.", show_default="the one in the package")
    ] = PERCEIVER_PATH,
    questions: Annotated[
        int, typer.Option(min=0, help="Held-out questions that a model answers; 0 asks none.")
    ] = 4,
    guidance: Guidance = GUIDANCE,
    out: Annotated[Path | None, typer.Option(help="JSON file with every group.")] = None,
    runs: Runs = RUNS,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Measure what changes for two pictures of a person in which one attribute was changed."""
    check_guidance(guidance)
    chosen = _of_people(load_twins(kind=kind, path=pairs), people)
    perceiver = Perceiver.load(heads)
    policies = {domain: load_policy(context) for domain, context in CONTEXT_OF.items()}
    with progress() as bar:
        row = bar.add_task("looking", total=len(chosen))
        percepts = represent(
            partial(perceiver.perceive, attributes=tuple(CLASSES)),
            chosen,
            on_done=lambda count: bar.update(row, advance=count),
        )
        seen: Seen = [(first.observations, second.observations) for first, second in percepts]
        lines = {
            policy.context: measure_twins(chosen, seen, gate_of(policy, WIDEST_OF[domain]))
            for domain, policy in policies.items()
        }
        answers: dict[str, AnswerFlips] = {}
        if questions:
            vlm = load_responder(adapter, "small", runs=runs, cache=cache)
            for domain, policy in policies.items():
                row = bar.add_task(f"answers, {domain}", total=None)
                write = partial(
                    write_for_lines,
                    vlm,
                    guidance=guidance,
                    on_done=lambda count, row=row: bar.update(row, advance=count),  # type: ignore[misc]
                )
                asked = _held_out(domain, questions)
                answers[policy.context] = _answers(
                    chosen, seen, gate_of(policy, WIDEST_OF[domain]), asked, write
                )
    record = made_by() | {
        "pairs": len(chosen),
        "adapter": adapter if questions else None,
        "adapter_sha256": adapter_hash(adapter, runs) if questions else None,
        "guidance": guidance,
        "lines": {context: _with_worst(found) for context, found in lines.items()},
        "answers": {context: asdict(found) for context, found in answers.items()},
    }
    tell(record, "\n".join([as_flips(lines), *_summary(lines, answers)]), out, as_json)


def _of_people(pairs: list[TwinPortraits], people: int | None) -> list[TwinPortraits]:
    """Return the pairs of the first people in the file."""
    first = set(list(dict.fromkeys(pair.identity_id for pair in pairs))[:people])
    return [pair for pair in pairs if pair.identity_id in first]


def _held_out(domain: Domain, count: int) -> list[Question]:
    held_out = [q for q in split_questions(load_questions()).held_out if q.domain == domain]
    return random.Random(0).sample(held_out, len(held_out))[:count]


def _answers(
    pairs: list[TwinPortraits],
    seen: Seen,
    through: Gate,
    questions: list[Question],
    write: Callable[..., list[str]],
) -> AnswerFlips:
    """Return how often answers differ where the change may not be used."""
    unwarranted = [not is_warranted(pair.kind, through) for pair in pairs]
    kept = [pair for pair, is_kept in zip(pairs, unwarranted, strict=True) if is_kept]
    own = [both for both, is_kept in zip(seen, unwarranted, strict=True) if is_kept]
    return measure_answers(kept, lines_of(own, through), questions, write)


def _with_worst(found: TwinFlips) -> dict[str, Any]:
    flips = found.unwarranted
    worst = {"worst_kind": flips.worst_kind, "worst_group": flips.worst_group}
    return {**asdict(found), **worst}


def _summary(lines: dict[str, TwinFlips], answers: dict[str, AnswerFlips]) -> list[str]:
    told_lines = []
    for context, found in lines.items():
        flips = found.unwarranted
        told_lines.append(
            f"{context}: words differ without a reason in {told(flips.whole)} of pairs; worst kind "
            f"{flips.worst_kind}, worst group {flips.worst_group}; with everything declared "
            f"{told(found.declared.whole)}"
        )
        told_lines += [f"  {name}: {100 * share:.1f} %" for name, share in found.causes.items()]
        if context in answers:
            parts = answers[context].parts.items()
            shares = ", ".join(f"{name} {told(part.whole)}" for name, part in parts)
            told_lines.append(f"  answers differ without a reason in {shares}")
    return told_lines
