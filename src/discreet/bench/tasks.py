"""What an adapter is worth on people and questions it never saw.

Two numbers need no judge: the loss of the reference answer, and whether the answer that a person
makes likelier is the one written for them. `audience_of_answer` reads the form from the text alone.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from discreet.data import (
    Example,
    Portrait,
    Question,
    build_examples,
    compose_answer,
    load_portraits,
    load_questions,
    split_questions,
)
from discreet.federated import VisualTokens, example_losses
from discreet.model import (
    GUIDANCE,
    IMAGE_TOKEN,
    Row,
    Vlm,
    answer_losses,
    build_prompt,
    collate,
    encode_images,
    generate,
    person_line,
)
from discreet.readers import reading_grade
from discreet.types import AUDIENCES, AgeBand, Audience, Mode, Observation, Split, audience_of

_WORD = re.compile(r"[^\W\d_]{4,}")
_BANDS: dict[Audience, AgeBand] = {
    "child": "child",
    "adult": "middle_aged",
    "older_adult": "older_adult",
}
"""Whose reference answer stands for each audience."""
_STEPS = re.compile(r"\b1[.)].*\b2[.)]", re.DOTALL)
CHILD_GRADE = 4.5
"""Flesch-Kincaid grade up to which an answer counts as written for a child."""
CHILD_SENTENCE_WORDS = 9.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Held-out results of one adapter; losses are mean nats per answer token.

    The shares are over `ranked` portraits: how often the answer that becomes likeliest when this
    person asks, and not another, is the one written for their audience. Chance is 1/3.
    """

    examples: int
    gated_loss: float
    native_loss: float
    ranked: int
    follows_words: float
    """Gated mode: the person is told in the words of their true age band."""
    follows_portrait: float
    """Native mode: the person is seen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Writing:
    """How greedy answers read to held-out people, by rules that know nothing of the writer."""

    read_as: dict[Audience, dict[Audience, int]]
    """For each audience, how many of its answers read as written for each audience."""
    right: int
    """Answers that read as written for their own audience."""
    of: int
    note_kept: float
    """Mean share of the note's words that the answer has; words of 4 letters or more."""
    added: float
    """Share of the answers' words that neither note, question nor any reference answer has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trio:
    """One question, asked by one held-out person of each audience."""

    question: Question = field(repr=False)
    portraits: tuple[int, ...] = field(repr=False)
    """Index of a portrait for each of `AUDIENCES`, in order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """People and questions that no training saw."""

    portraits: Sequence[Portrait] = field(repr=False)
    examples: Sequence[Example] = field(repr=False)
    trios: Sequence[Trio] = field(repr=False)


def load_held_out(split: Split = "test", *, examples: int = 64, trios: int = 24) -> HeldOut:
    """Return held-out examples, spread over all people of the split, the same at every call.

    Args:
        split: Of the shipped people.
        examples: How many for the losses.
        trios: How many questions for the shares; each question comes once before any comes again,
            and no portrait comes twice.
    """
    portraits = load_portraits(split)
    questions = split_questions(load_questions()).held_out
    built = build_examples(portraits, questions, seed=1)
    stride = max(1, len(built) // examples)
    draw = random.Random(1)
    asking = draw.sample(questions, len(questions))
    people = {
        audience: draw.sample(found, len(found))
        for audience in AUDIENCES
        for found in [[i for i, p in enumerate(portraits) if audience_of(p.age_band) == audience]]
    }
    return HeldOut(
        portraits=portraits,
        examples=built[::stride][:examples],
        trios=[
            Trio(
                question=asking[place % len(asking)],
                portraits=tuple(people[audience][place] for audience in AUDIENCES),
            )
            for place in range(trios)
        ],
    )


@torch.no_grad()
def evaluate(
    vlm: Vlm,
    held_out: HeldOut,
    *,
    chunk: int = 8,
    on_done: Callable[[int], None] = lambda count: None,
) -> Scores:
    """Return the scores of a model, with or without an adapter.

    Args:
        vlm: The model.
        held_out: Whom to score on.
        chunk: Examples in memory at once.
        on_done: Told after a while how many of all examples, and twice the trios, were done since.
    """
    visual = VisualTokens(vlm, held_out.portraits)
    gated, native = [], []
    for start in range(0, len(held_out.examples), chunk):
        both = example_losses(vlm, visual, held_out.examples[start : start + chunk])
        gated.append(both[0])
        native.append(both[1])
        on_done(len(both[0]))
    return Scores(
        examples=len(held_out.examples),
        gated_loss=float(torch.cat(gated).mean()),
        native_loss=float(torch.cat(native).mean()),
        ranked=len(held_out.trios) * len(AUDIENCES),
        follows_words=_share_followed(vlm, held_out, "gated", on_done),
        follows_portrait=_share_followed(vlm, held_out, "native", on_done),
    )


def _share_followed(
    vlm: Vlm, held_out: HeldOut, mode: Mode, on_done: Callable[[int], None]
) -> float:
    """Return how often the answer that a person makes likelier is the one for their audience."""
    right = []
    for trio in held_out.trios:
        right.append(followed(audience_losses(vlm, held_out, trio, mode)))
        on_done(1)
    return int(torch.cat(right).sum()) / (len(right) * len(AUDIENCES))


@torch.no_grad()
def audience_losses(vlm: Vlm, held_out: HeldOut, trio: Trio, mode: Mode) -> torch.Tensor:
    """Return (person, answer): the loss of each audience's reference answer for each person."""
    prompts = [_prompt(held_out, trio, portrait, mode) for portrait in trio.portraits]
    answers = [
        compose_answer(trio.question, _BANDS[audience], safety=False) for audience in AUDIENCES
    ]
    rows = [Row(messages=prompt, answer=answer) for prompt in prompts for answer in answers]
    seen = None
    if mode == "native":
        images = [held_out.portraits[portrait].image for portrait in trio.portraits]
        seen = encode_images(vlm, images).repeat_interleave(len(answers), dim=0)
    return answer_losses(vlm, collate(vlm, rows), seen).view(len(prompts), len(answers))


def followed(losses: torch.Tensor) -> torch.Tensor:
    """Return for each person whether their own answer is the one that their asking favours.

    An answer that is easy for everybody wins nowhere: its mean over the three people is taken away.

    >>> followed(torch.tensor([[1.0, 0.1, 3.0], [2.0, 0.0, 3.0], [2.0, 0.1, 2.0]]))
    tensor([True, True, True])

    Args:
        losses: (person, answer), people and answers in the order of `AUDIENCES`.
    """
    favoured = (losses - losses.mean(0, keepdim=True)).argmin(1)
    return favoured == torch.arange(len(losses))


@torch.no_grad()
def written_for(
    vlm: Vlm,
    held_out: HeldOut,
    mode: Mode,
    *,
    guidance: float = GUIDANCE,
    limit: int = 8,
    on_done: Callable[[int], None] = lambda count: None,
) -> Writing:
    """Return how the answers that held-out people got read, over `limit` trios.

    `on_done` is told of each answer.
    """
    table: dict[Audience, dict[Audience, int]] = {
        audience: dict.fromkeys(AUDIENCES, 0) for audience in AUDIENCES
    }
    kept, said, added = [], 0, 0
    for trio in held_out.trios[:limit]:
        question, note = trio.question.question, _words(trio.question.note)
        answers = [compose_answer(trio.question, _BANDS[audience]) for audience in AUDIENCES]
        known = note.union(_words(question), *map(_words, answers))
        for audience, portrait in zip(AUDIENCES, trio.portraits, strict=True):
            seen = encode_images(vlm, [held_out.portraits[portrait].image])
            answer = generate(
                vlm,
                _prompt(held_out, trio, portrait, mode),
                image_features=seen if mode == "native" else None,
                contrast=build_prompt(question, note=trio.question.note, person=person_line([])),
                guidance=guidance,
                max_new_tokens=72,
            )
            table[audience][audience_of_answer(answer)] += 1
            words = _words(answer)
            kept.append(len(words & note) / len(note))
            said, added = said + len(words), added + len(words - known)
            on_done(1)
    return Writing(
        read_as=table,
        right=sum(table[audience][audience] for audience in AUDIENCES),
        of=len(kept),
        note_kept=sum(kept) / len(kept),
        added=added / max(1, said),
    )


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _prompt(held_out: HeldOut, trio: Trio, portrait: int, mode: Mode) -> list[dict[str, str]]:
    """Return the prompt of one person of a trio; in gated mode with the truth about their age."""
    age = Observation(
        attribute="age_band",
        value=held_out.portraits[portrait].age_band,
        source="declared",
        confidence=1.0,
    )
    person = IMAGE_TOKEN if mode == "native" else person_line([age])
    return build_prompt(trio.question.question, note=trio.question.note, person=person)


def audience_of_answer(answer: str) -> Audience:
    """Return whom an answer reads as written for, from its form alone."""
    if _STEPS.search(answer):
        return "older_adult"
    sentences = [s for s in re.split(r"(?<=[.!?])\s+", answer.strip()) if s]
    words = len(answer.split()) / max(1, len(sentences))
    easy = reading_grade(answer) <= CHILD_GRADE
    return "child" if easy and words <= CHILD_SENTENCE_WORDS else "adult"
