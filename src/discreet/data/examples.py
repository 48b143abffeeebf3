"""A portrait asks a question: the private examples, and which owner holds which."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

import numpy as np
import numpy.typing as npt

from discreet.data.conversations import Part, Question, compose_answer
from discreet.data.portraits import Portrait
from discreet.types import AgeBand, Domain, Expression, OwnerId


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One private example; it is presented twice, as pixels and as gated text."""

    portrait: int
    """Index into the portraits that the examples were built from."""
    identity_id: str = field(repr=False)
    domain: Domain
    question: str = field(repr=False)
    note: str = field(repr=False)
    question_id: str = field(repr=False)
    answer: str = field(repr=False)
    """What is learnt: without the safety line, which nothing that writes has to imitate."""
    age_band: AgeBand = field(repr=False)
    expression: Expression = field(repr=False)


def build_examples(
    portraits: Sequence[Portrait],
    questions: Sequence[Question],
    *,
    indices: Sequence[int] | None = None,
    alpha: float | None = None,
    owner: str = "",
    seed: int = 0,
) -> list[Example]:
    """Return one example a portrait, its question drawn at random; the same for one seed.

    An example follows from its own portrait and public values alone: with one portrait more or
    less, every other example stays as it was. Without that, neighbours would differ in more than
    one example.

    Args:
        portraits: People who ask.
        questions: What they may ask.
        indices: Which portraits; all by default.
        alpha: Concentration of a Dirichlet draw over topics; None draws all questions alike.
        owner: Pseudonym of who holds them; gives each owner topics of their own under `alpha`.
        seed: Public; of every draw.
    """
    chosen = range(len(portraits)) if indices is None else indices
    weights = _question_weights(questions, alpha, _draw(f"{seed}/topics/{owner}".encode()))
    return [_example(index, portraits[index], questions, weights, seed) for index in chosen]


def _draw(key: bytes) -> np.random.Generator:
    """Return a generator that follows from a key."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(key).digest()))


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionSplit:
    """Which questions serve what; a question is in one part only."""

    public: list[Question]
    """A fifth: what the shipped projector learnt to write from."""
    private: list[Question]
    """Three fifths: what data owners learn from."""
    held_out: list[Question]
    """A fifth: never trained on, for evaluation."""


def split_questions(questions: Sequence[Question]) -> QuestionSplit:
    """Return the parts as the question files name them; each has every large topic."""
    return QuestionSplit(
        **{part: [q for q in questions if q.part == part] for part in get_args(Part)}
    )


def _question_weights(
    questions: Sequence[Question], alpha: float | None, draw: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return the probability of each question: uniform, or by a draw over topics."""
    if alpha is None:
        return np.full(len(questions), 1 / len(questions))
    topics = sorted({q.topic for q in questions})
    share = dict(zip(topics, draw.dirichlet(np.full(len(topics), alpha)), strict=True))
    weights = np.array([share[q.topic] for q in questions]) + 1e-12
    total: npt.NDArray[np.float64] = weights / weights.sum()
    return total


def _example(
    index: int,
    portrait: Portrait,
    questions: Sequence[Question],
    weights: npt.NDArray[np.float64],
    seed: int,
) -> Example:
    draw = _draw(f"{seed}/{portrait.identity_id}/".encode() + portrait.jpeg)
    question = questions[int(draw.choice(len(questions), p=weights))]
    return Example(
        portrait=index,
        identity_id=portrait.identity_id,
        domain=question.domain,
        question=question.question,
        note=question.note,
        question_id=question.id,
        answer=compose_answer(
            question,
            portrait.age_band,
            expression=portrait.expression,
            seed=int(draw.integers(2**32)),
            safety=False,
        ),
        age_band=portrait.age_band,
        expression=portrait.expression,
    )


def partition_by_owner(
    portraits: Sequence[Portrait],
    num_owners: int,
    *,
    alpha: float | None = None,
    seed: int = 0,
) -> dict[OwnerId, list[int]]:
    """Return the indices of each owner's portraits; all pictures of a person go to one owner.

    Args:
        portraits: To share out.
        num_owners: 1 or more.
        alpha: Concentration of a Dirichlet draw over owners for each age band: small values give
            each owner a different mix (Hsu et al. 2019, arXiv:1909.06335). None shares people out
            evenly.
        seed: Of the draw.

    Raises:
        ValueError: if there are fewer people than owners, or alpha is not positive.
    """
    group_of = {portrait.identity_id: portrait.age_band for portrait in portraits}
    home = share_people(group_of, num_owners, alpha=alpha, seed=seed)
    return indices_by_owner([home[p.identity_id] for p in portraits], num_owners)


def indices_by_owner(owners: Sequence[int], num_owners: int) -> dict[OwnerId, list[int]]:
    """Return the places at which each owner's number stands, for all owners."""
    return {
        OwnerId(f"owner-{number}"): [place for place, own in enumerate(owners) if own == number]
        for number in range(num_owners)
    }


def share_people(
    group_of: Mapping[str, str], num_owners: int, *, alpha: float | None, seed: int
) -> dict[str, int]:
    """Return the owner of each person, by number; every owner gets at least one.

    Args:
        group_of: People, and the group in which a skew shares them out.
        num_owners: 1 or more.
        alpha: As for `partition_by_owner`.
        seed: Of the draw.

    Raises:
        ValueError: if there are fewer people than owners, or alpha is not positive.
    """
    people = sorted(group_of)
    if not 1 <= num_owners <= len(people):
        raise ValueError(f"Expected 1 <= num_owners <= {len(people)}, got {num_owners}.")
    if alpha is not None and not alpha > 0:
        raise ValueError(f"Expected alpha > 0 or none, got alpha={alpha}.")
    draw = np.random.default_rng([seed, 2])
    draw.shuffle(people)
    return _share_out(people, group_of, num_owners, alpha, draw)


def _share_out(
    people: list[str],
    group_of: Mapping[str, str],
    num_owners: int,
    alpha: float | None,
    draw: np.random.Generator,
) -> dict[str, int]:
    """Return the owner of each person; every owner gets at least one."""
    home = {person: index % num_owners for index, person in enumerate(people)}
    if alpha is not None:
        for group in sorted(set(group_of.values())):
            shares = draw.dirichlet(np.full(num_owners, alpha))
            for person in people:
                if group_of[person] == group:
                    home[person] = int(draw.choice(num_owners, p=shares))
    for owner in range(num_owners):
        if owner not in home.values():
            crowd = max(set(home.values()), key=list(home.values()).count)
            home[next(p for p in people if home[p] == crowd)] = owner
    return home
