"""What an adapter is worth on people and questions it never saw.

Two numbers need no judge: the loss of the reference answer, and whether the answer's form follows
the person. `audience_of_answer` reads the form from the text alone.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from discreet.data import (
    Example,
    Portrait,
    build_examples,
    compose_answer,
    load_portraits,
    load_questions,
    split_questions,
)
from discreet.federated import VisualTokens, example_losses
from discreet.model import IMAGE_TOKEN, Row, Vlm, answer_losses, build_prompt, collate, generate
from discreet.types import AUDIENCES, Audience, Split, audience_of

_STEPS = re.compile(r"\b1[.)].*\b2[.)]", re.DOTALL)
CHILD_GRADE = 4.5
"""Flesch-Kincaid grade up to which an answer counts as written for a child."""
CHILD_SENTENCE_WORDS = 9.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Held-out results of one adapter; losses are mean nats per answer token."""

    examples: int
    gated_loss: float
    native_loss: float
    ranked_examples: int
    follows_portrait_score: float
    """Native mode: share of portraits whose own audience's reference answer is the likeliest of
    three; chance is 1/3 by construction, the audiences are balanced."""
    follows_other_portrait_score: float
    """The same with another audience's portrait in its place: below chance if pixels decide."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """People and questions that no training saw."""

    portraits: Sequence[Portrait]
    examples: Sequence[Example]
    ranked: Sequence[Example]
    """A subset with as many examples for each audience."""


def load_held_out(split: Split = "test", *, examples: int = 64, ranked: int = 36) -> HeldOut:
    """Return held-out examples, spread over all people of the split, the same at every call."""
    portraits = load_portraits(split)
    questions = split_questions(load_questions()).held_out
    built = build_examples(portraits, questions, seed=1)
    stride = max(1, len(built) // examples)
    by_audience = {
        audience: [e for e in built if audience_of(e.age_band) == audience]
        for audience in AUDIENCES
    }
    share = ranked // len(AUDIENCES)
    balanced = [
        e for found in by_audience.values() for e in found[:: max(1, len(found) // share)][:share]
    ]
    return HeldOut(portraits=portraits, examples=built[::stride][:examples], ranked=balanced)


@torch.no_grad()
def evaluate(vlm: Vlm, held_out: HeldOut, *, chunk: int = 8) -> Scores:
    """Return the scores of a model, with or without an adapter."""
    visual = VisualTokens(vlm, held_out.portraits)
    gated, native = [], []
    for start in range(0, len(held_out.examples), chunk):
        both = example_losses(vlm, visual, held_out.examples[start : start + chunk])
        gated.append(both[0])
        native.append(both[1])
    right, wrong = rank_audiences(vlm, visual, held_out.ranked)
    return Scores(
        examples=len(held_out.examples),
        gated_loss=float(torch.cat(gated).mean()),
        native_loss=float(torch.cat(native).mean()),
        ranked_examples=len(held_out.ranked),
        follows_portrait_score=right,
        follows_other_portrait_score=wrong,
    )


@torch.no_grad()
def rank_audiences(
    vlm: Vlm, visual: VisualTokens, examples: Sequence[Example]
) -> tuple[float, float]:
    """Return how often the likeliest audience is the portrait's, and with another's portrait.

    The score of an audience is the loss of its reference answer less its mean over all portraits
    of the set, so that an answer that is easy for everybody wins nowhere.
    """
    questions = {q.id: q for q in load_questions()}
    losses = torch.zeros(2, len(examples), len(AUDIENCES))
    for index, example in enumerate(examples):
        other = examples[(index + len(examples) // len(AUDIENCES)) % len(examples)]
        messages = build_prompt(example.question, note=example.note, person=IMAGE_TOKEN)
        rows = [
            Row(messages=messages, answer=compose_answer(questions[example.question_id], audience))
            for audience in AUDIENCES
        ]
        batch = collate(vlm, rows)
        for place, shown in enumerate((example, other)):
            feature = visual.of([shown.portrait]).expand(len(AUDIENCES), -1, -1)
            losses[place, index] = answer_losses(vlm, batch, feature)
    guess = (losses - losses.mean(1, keepdim=True)).argmin(2)
    truth = torch.tensor([AUDIENCES.index(audience_of(e.age_band)) for e in examples])
    shares = (guess == truth).float().mean(1)
    return float(shares[0]), float(shares[1])


@torch.no_grad()
def written_for(
    vlm: Vlm, held_out: HeldOut, *, limit: int = 30
) -> dict[Audience, dict[Audience, int]]:
    """Return for each audience how the answers generated from its portraits read (native mode)."""
    visual = VisualTokens(vlm, held_out.portraits)
    table: dict[Audience, dict[Audience, int]] = {
        audience: dict.fromkeys(AUDIENCES, 0) for audience in AUDIENCES
    }
    for example in held_out.ranked[:: max(1, len(held_out.ranked) // limit)]:
        answer = generate(
            vlm,
            build_prompt(example.question, note=example.note, person=IMAGE_TOKEN),
            image_features=visual.of([example.portrait]),
            max_new_tokens=72,
        )
        table[audience_of(example.age_band)][audience_of_answer(answer)] += 1
    return table


def audience_of_answer(answer: str) -> Audience:
    """Return whom an answer reads as written for, from its form alone."""
    if _STEPS.search(answer):
        return "older_adult"
    sentences = [s for s in re.split(r"(?<=[.!?])\s+", answer.strip()) if s]
    words = len(answer.split()) / max(1, len(sentences))
    easy = reading_grade(answer) <= CHILD_GRADE
    return "child" if easy and words <= CHILD_SENTENCE_WORDS else "adult"


def reading_grade(text: str) -> float:
    """Return the Flesch-Kincaid grade (Kincaid et al. 1975): US school years needed to read it."""
    with warnings.catch_warnings():
        # textstat 0.7.4 reads its word list through pkg_resources, which announces its own end.
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
        import textstat
    return float(textstat.flesch_kincaid_grade(text))
