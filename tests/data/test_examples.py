"""Examples and owners: deterministic, complete, and no person on two sides."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.data import (
    Portrait,
    Question,
    build_examples,
    compose_answer,
    load_questions,
    partition_by_owner,
    split_questions,
)
from discreet.types import AGE_BANDS

bands = st.sampled_from(AGE_BANDS)
alphas = st.none() | st.floats(1e-3, 1e3)


@st.composite
def populations(draw: st.DrawFn) -> list[Portrait]:
    """People with an age band each and one to three pictures, in any order."""
    people = draw(st.lists(st.tuples(bands, st.integers(1, 3)), min_size=1, max_size=25))
    pictures = [
        Portrait(
            jpeg=b"",
            identity_id=f"p{person}",
            age_band=band,
            expression="neutral",
            audit_labels={},
        )
        for person, (band, shots) in enumerate(people)
        for _ in range(shots)
    ]
    return draw(st.permutations(pictures))


@given(people=populations(), alpha=alphas, seed=st.integers(0, 99), data=st.data())
def test_every_picture_has_one_owner_and_every_person_too(
    people: list[Portrait], alpha: float | None, seed: int, data: st.DataObject
) -> None:
    num_people = len({p.identity_id for p in people})
    num_owners = data.draw(st.integers(1, num_people))
    parts = partition_by_owner(people, num_owners, alpha=alpha, seed=seed)
    assert list(parts) == [f"owner-{number}" for number in range(num_owners)]
    assert sorted(i for indices in parts.values() for i in indices) == list(range(len(people)))
    assert all(parts.values()), "no owner is empty"
    held = [{people[i].identity_id for i in indices} for indices in parts.values()]
    assert sum(map(len, held)) == num_people, "no person has two owners"
    assert partition_by_owner(people, num_owners, alpha=alpha, seed=seed) == parts


@given(people=populations(), num_owners=st.integers(1, 8), seed=st.integers(0, 99))
def test_people_are_shared_out_evenly_without_alpha(
    people: list[Portrait], num_owners: int, seed: int
) -> None:
    num_people = len({p.identity_id for p in people})
    parts = partition_by_owner(people, min(num_owners, num_people), seed=seed)
    sizes = [len({people[i].identity_id for i in indices}) for indices in parts.values()]
    assert max(sizes) - min(sizes) <= 1


def crowd(size: int = 400) -> list[Portrait]:
    return [
        Portrait(
            jpeg=b"",
            identity_id=f"p{person}",
            age_band=AGE_BANDS[person % 4],
            expression="neutral",
            audit_labels={},
        )
        for person in range(size)
    ]


def skew(alpha: float | None, seed: int) -> float:
    """Return the mean distance in total variation of an owner's age mix from the whole's."""
    people = crowd()
    parts = partition_by_owner(people, 4, alpha=alpha, seed=seed)
    distances = []
    for indices in parts.values():
        counts = Counter(people[i].age_band for i in indices)
        shares = np.array([counts[band] / len(indices) for band in AGE_BANDS])
        distances.append(np.abs(shares - 0.25).sum() / 2)
    return float(np.mean(distances))


def test_a_small_alpha_skews_the_mix_of_ages() -> None:
    """A seeded draw: it has no chance of failing that is not already decided."""
    mild, strong = ([skew(alpha, seed) for seed in range(10)] for alpha in (100.0, 0.1))
    assert np.mean([skew(None, seed) for seed in range(10)]) < 0.1
    assert np.mean(mild) < 0.15
    assert np.mean(strong) > 0.4


@pytest.mark.parametrize("num_owners", [0, -1, 26])
def test_owners_that_cannot_all_have_somebody_are_refused(num_owners: int) -> None:
    with pytest.raises(ValueError, match="1 <= num_owners <= 25"):
        partition_by_owner(crowd(25), num_owners)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan")])
def test_an_alpha_that_is_not_positive_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha > 0"):
        partition_by_owner(crowd(25), 2, alpha=alpha)


@given(parts=st.lists(st.sampled_from(["public", "private", "held_out"]), max_size=50))
def test_a_question_serves_the_purpose_that_its_file_names(
    make_question: Callable[..., Question], parts: list[str]
) -> None:
    questions = [make_question(id=f"q{n}", part=part) for n, part in enumerate(parts)]
    split = split_questions(questions)
    dealt = {"public": split.public, "private": split.private, "held_out": split.held_out}
    for name, own in dealt.items():
        assert [q.id for q in own] == [f"q{n}" for n, part in enumerate(parts) if part == name]


def test_examples_follow_from_their_seed(
    portraits: list[Portrait], questions: list[Question]
) -> None:
    first = build_examples(portraits, questions, alpha=0.5, seed=3)
    assert build_examples(portraits, questions, alpha=0.5, seed=3) == first
    assert build_examples(portraits, questions, alpha=0.5, seed=4) != first


def test_an_example_joins_a_portrait_with_the_answer_for_its_age(
    portraits: list[Portrait], questions: list[Question]
) -> None:
    by_id = {question.id: question for question in questions}
    examples = build_examples(portraits, questions)
    assert [example.portrait for example in examples] == list(range(len(portraits)))
    assert {example.question_id for example in examples} == set(by_id)
    for example in examples:
        portrait, question = portraits[example.portrait], by_id[example.question_id]
        for name in ("identity_id", "age_band", "expression"):
            assert getattr(example, name) == getattr(portrait, name)
        for name in ("question", "note", "domain"):
            assert getattr(example, name) == getattr(question, name)
        band, face = portrait.age_band, portrait.expression
        assert example.answer in {
            compose_answer(question, band, expression=face, seed=seed, safety=False)
            for seed in range(200)
        }


def test_no_example_teaches_a_safety_line(portraits: list[Portrait]) -> None:
    """Every shipped question, and the line is there where a person reads it."""
    shipped = {question.id: question for question in load_questions()}
    examples = [e for s in range(9) for e in build_examples(portraits, [*shipped.values()], seed=s)]
    lines = {example.question_id: shipped[example.question_id].safety for example in examples}
    assert sum(map(bool, lines.values())) > 100
    assert not [e for e in examples if lines[e.question_id] and lines[e.question_id] in e.answer]


@given(gone=st.integers(0, 71), seed=st.integers(0, 3), alpha=st.sampled_from([None, 0.5]))
def test_neighbours_differ_in_one_example(
    portraits: list[Portrait],
    questions: list[Question],
    gone: int,
    seed: int,
    alpha: float | None,
) -> None:
    """One portrait less leaves every other example as it was: the unit of privacy."""
    settings = {"alpha": alpha, "owner": "owner-1", "seed": seed}
    all_of_them = build_examples(portraits, questions, **settings)
    without = build_examples(portraits[:gone] + portraits[gone + 1 :], questions, **settings)
    wanted = [replace(example, portrait=0) for example in all_of_them]
    del wanted[gone]
    assert [replace(example, portrait=0) for example in without] == wanted


def test_a_face_in_tutoring_never_changes_the_answer(
    portraits: list[Portrait], questions: list[Question]
) -> None:
    """The same people with other expressions learn the same tutoring answers."""
    happy, sad = (
        build_examples([replace(p, expression=face) for p in portraits], questions)
        for face in ("happy", "sad")
    )
    for left, right in zip(happy, sad, strict=True):
        assert (left.answer == right.answer) == (left.domain == "tutoring")


def test_owners_draw_different_questions(
    portraits: list[Portrait], questions: list[Question]
) -> None:
    parts = partition_by_owner(portraits, 3)
    drawn = [
        Counter(
            e.question_id
            for e in build_examples(portraits, questions, indices=indices, alpha=0.1, owner=owner)
        ).most_common(1)
        for owner, indices in parts.items()
    ]
    assert len({tuple(most) for most in drawn}) > 1
    for indices in parts.values():
        examples = build_examples(portraits, questions, indices=indices)
        assert [example.portrait for example in examples] == indices


def test_a_small_alpha_gives_an_owner_few_topics(make_question: Callable[..., Question]) -> None:
    questions = [make_question(id=f"q{n}", topic=f"topic {n % 10}") for n in range(40)]
    topic_of = {q.id: q.topic for q in questions}

    def largest_share(alpha: float | None) -> float:
        examples = build_examples(crowd(), questions, alpha=alpha)
        return max(Counter(topic_of[e.question_id] for e in examples).values()) / len(examples)

    assert largest_share(None) < 0.2
    assert largest_share(0.05) > 0.4


def test_an_example_says_nothing_of_the_person_in_its_repr(
    portraits: list[Portrait], questions: list[Question]
) -> None:
    example = build_examples(portraits, questions)[0]
    text = repr(example)
    hidden = (example.identity_id, example.question, example.note, example.answer)
    hidden += (example.age_band, example.expression, example.question_id)
    assert not [value for value in hidden if value in text]
