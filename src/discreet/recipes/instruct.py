"""Teach the language model of `small` to fit a note to a person, on the public questions.

The second public stage: LoRA on every linear layer of the language model, trained on text alone,
with what the person is said in words. It is merged into the base, so that the adapters of owners
start from a base that can already write for five readers. Nobody's data is used: questions, notes
and answers are the public fifth of those that ship. Safety lines are no part of it; the assistant
adds them word for word.
"""

from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from discreet.artifacts import code_commit, write_bytes, write_json
from discreet.data import (
    Question,
    compose_answer,
    load_questions,
    reference_answer,
    split_questions,
)
from discreet.model import (
    CALM,
    LoraSpec,
    Row,
    Vlm,
    adapter_parameters,
    answer_losses,
    attach_lora,
    build_prompt,
    collate,
    load,
    person_line,
    styled,
    tuning_state,
)
from discreet.readers import Reader, reader_of
from discreet.recipes.stages import (
    Course,
    OnStep,
    batch_of,
    checkpoint_beside,
    generator_of,
    run_stage,
)
from discreet.types import AGE_BANDS, EXPRESSIONS, AgeBand, Expression, Observation

LINEAR_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_AT_ONCE = 8
_UPSET: tuple[Expression, ...] = ("sad", "angry")
_ADULTS: tuple[AgeBand | None, ...] = ("young_adult", "middle_aged", None)


@dataclass(frozen=True, kw_only=True, slots=True)
class InstructSettings:
    """What decides the tuning, besides the public questions."""

    seed: int = 0
    epochs: int = 5
    """Times that each reader of each question is seen."""
    batch_size: int = 8
    """Answers in an update."""
    learning_rate: float = 1e-3
    """Of AdamW at its height."""
    rank: int = 16
    alpha: int = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Asker:
    """Who asks a public question, as far as the gate may let it through."""

    question: Question
    seed: int
    """Of openings and closings."""
    band: AgeBand | None = None
    expression: Expression | None = None
    wants_calm: bool = False
    """Nothing is known of them but that they want short calm sentences."""

    @property
    def reader(self) -> Reader:
        """Return for whom the answer is written; somebody unknown gets the point first."""
        if self.wants_calm:
            return "distressed"
        return reader_of(self.question.domain, self.band or "young_adult", self.expression)

    @property
    def person(self) -> str:
        """Return how the responder is told of them."""
        values = {"age_band": self.band, "expression": self.expression}
        told = [
            Observation(attribute=name, value=value, source="declared", confidence=1)  # type: ignore[arg-type]
            for name, value in values.items()
            if value is not None
        ]
        return styled(CALM) if self.wants_calm else person_line(told)

    @property
    def answer(self) -> str:
        """Return what they are told, without its safety line."""
        if self.wants_calm:
            return reference_answer(self.question, "distressed", safety=False)
        return compose_answer(
            self.question,
            self.band or "young_adult",
            expression=self.expression or "neutral",
            seed=self.seed,
            safety=False,
        )


def tune_language(
    out: Path, *, settings: InstructSettings | None = None, on_step: OnStep = lambda *_: None
) -> dict[str, Any]:
    """Write a tuning of the language model and its card (safetensors, JSON beside it).

    An interrupted run goes on from the checkpoint beside `out`.

    Args:
        out: Path of the safetensors file.
        settings: Seed, length and rates.
        on_step: Told step, steps and loss.

    Returns:
        The card.
    """
    settings, commit = settings or InstructSettings(), code_commit()
    spec = LoraSpec(
        r=settings.rank,
        alpha=settings.alpha,
        layers=10_000,
        target_modules=LINEAR_LAYERS,
        freeze_a=False,
        seed=settings.seed,
    )
    questions = split_questions(load_questions())
    vlm = attach_lora(load("small", projector=None, tuning=None), spec)
    before = held_out_loss(vlm, questions.held_out)
    people = [askers(questions.public, epoch) for epoch in range(settings.epochs)]
    course = Course(
        steps=settings.epochs * len(people[0]) // settings.batch_size,
        learning_rate=settings.learning_rate,
        warm_steps=20,
    )

    def descend(step: int) -> list[float]:
        batch = batch_of(len(people[0]), size=settings.batch_size, seed=settings.seed, step=step)
        rows = [row_of(people[epoch][place]) for epoch, place in batch]
        loss = answer_losses(vlm, collate(vlm, rows), None).mean()
        loss.backward()
        return [float(loss.detach())]

    curve = run_stage(
        adapter_parameters(vlm),
        descend,
        course,
        checkpoint=checkpoint_beside(out),
        settings=settings,
        on_step=on_step,
    )
    card = {
        "settings": asdict(settings),
        "steps": course.steps,
        "public_questions": len(questions.public),
        "commit": commit,
        "curve": curve,
        "held_out_questions": len(questions.held_out),
        "held_out_loss": {"before": before, "after": held_out_loss(vlm, questions.held_out)},
    }
    write_bytes(out, save(tuning_state(vlm)))
    write_json(out.with_suffix(".json"), card)
    return card


def askers(questions: list[Question], epoch: int) -> list[Asker]:
    """Return who asks each question in an epoch: every band, somebody upset, and somebody.

    Short calm sentences are asked for in words, too, and in both domains: nobody's face decides
    that in tutoring, but how such sentences are made of a note is the same there.
    """
    found: list[Asker] = []
    for question in questions:
        draw = generator_of(epoch, len(found))
        seeds = torch.randint(2**20, (7,), generator=draw).tolist()
        care = question.domain == "healthcare"
        for band, seed in zip(AGE_BANDS, seeds, strict=False):
            face = (None, *EXPRESSIONS)[seed % (1 + len(EXPRESSIONS))] if care else None
            face = None if face == "neutral" else face
            found.append(Asker(question=question, band=band, expression=face, seed=seed))
        if care:
            adult = _ADULTS[seeds[4] % len(_ADULTS)]
            upset = _UPSET[seeds[4] // len(_ADULTS) % len(_UPSET)]
            found.append(Asker(question=question, band=adult, expression=upset, seed=seeds[4]))
        found.append(Asker(question=question, seed=seeds[5]))
        found.append(Asker(question=question, seed=seeds[6], wants_calm=True))
    return found


def row_of(who: Asker) -> Row:
    """Return the prompt of who asks, and what they are told, without its safety line."""
    question = who.question
    return Row(
        messages=build_prompt(question.question, note=question.note, person=who.person),
        answer=who.answer,
    )


@torch.no_grad()
def held_out_loss(vlm: Vlm, questions: list[Question]) -> float:
    """Return the mean loss over every second answer to the held-out questions."""
    rows = iter([row_of(who) for who in askers(questions, 0)][::2])
    losses: list[float] = []
    while chunk := list(islice(rows, _AT_ONCE)):
        losses += answer_losses(vlm, collate(vlm, chunk), None).tolist()
    return sum(losses) / len(losses)
