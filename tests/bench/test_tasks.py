"""Held-out scores, judged without a judge."""

from collections.abc import Callable

import pytest
import torch

from discreet.bench import audience_of_answer, evaluate, load_held_out, tasks, written_for
from discreet.bench.tasks import _BANDS as BANDS
from discreet.bench.tasks import audience_losses, followed
from discreet.data import compose_answer, load_portraits, load_questions, split_questions
from discreet.model import (
    IMAGE_TOKEN,
    Row,
    Vlm,
    answer_losses,
    build_prompt,
    collate,
    encode_images,
    person_line,
)
from discreet.types import AUDIENCES, Audience, Mode, Observation, audience_of


def test_the_form_of_reference_answers_tells_their_audience() -> None:
    """The rule knows nothing of the writer; it is right for at least 19 in 20 of them."""
    questions = load_questions()
    for audience in AUDIENCES:
        right = sum(
            audience_of_answer(compose_answer(q, BANDS[audience])) == audience for q in questions
        )
        assert right / len(questions) >= 0.95, audience


@pytest.mark.parametrize(
    ("answer", "audience"),
    [
        ("1. Sit down. 2. Breathe slowly. 3. Call someone.", "older_adult"),
        ("Your bones need milk. Milk is good. Ask a grown-up.", "child"),
        ("Regular physical activity strengthens the cardiovascular system considerably.", "adult"),
    ],
)
def test_the_form_of_an_answer_is_read(answer: str, audience: str) -> None:
    assert audience_of_answer(answer) == audience


def test_held_out_people_and_questions_were_never_trained_on() -> None:
    held_out = load_held_out(examples=40, trios=30)
    known_people = {p.identity_id for p in load_portraits("train")}
    split = split_questions(load_questions())
    known_questions = {q.id for q in [*split.private, *split.public]}
    for example in held_out.examples:
        assert example.identity_id not in known_people
        assert example.question_id not in known_questions
    for trio in held_out.trios:
        seen = [held_out.portraits[portrait] for portrait in trio.portraits]
        assert [audience_of(p.age_band) for p in seen] == list(AUDIENCES)
        assert not known_people & {p.identity_id for p in seen}
        assert trio.question.id not in known_questions
    asked = [portrait for trio in held_out.trios for portrait in trio.portraits]
    assert len(set(asked)) == 90


def test_a_model_that_hears_nobody_follows_a_third_by_chance() -> None:
    """Losses that depend on answer and question only, plus noise of persons."""
    noise = torch.randn(4000, 3, 3, generator=torch.Generator().manual_seed(0)) * 1e-3
    shares = [followed(torch.tensor([3.0, 1.0, 2.0]) + n).float().mean() for n in noise]
    assert float(torch.stack(shares).mean()) == pytest.approx(1 / 3, abs=0.02)


def test_following_is_read_through_easy_answers_and_easy_people() -> None:
    """Any sum of an answer's and a person's own ease changes nothing."""
    draw = torch.Generator().manual_seed(1)
    losses = torch.ones(3, 3) - 0.1 * torch.eye(3)
    for _ in range(50):
        easy = torch.randn(1, 3, generator=draw) + torch.randn(3, 1, generator=draw)
        assert followed(losses + easy).all()
        assert not followed(losses.roll(1, 0) + easy).any()


@pytest.mark.parametrize("mode", ["gated", "native"])
def test_losses_of_a_trio_are_those_of_its_nine_rows(tiny: Vlm, mode: Mode) -> None:
    """Against one row at a time, with the words of the gate or the picture put in by hand."""
    held_out = load_held_out(examples=1, trios=2)
    trio = held_out.trios[1]
    found = audience_losses(tiny, held_out, trio, mode)
    for person, index in enumerate(trio.portraits):
        portrait = held_out.portraits[index]
        for answer, audience in enumerate(AUDIENCES):
            words = person_line(
                [
                    Observation(
                        attribute="age_band",
                        value=portrait.age_band,
                        source="declared",
                        confidence=1.0,
                    )
                ]
            )
            row = Row(
                messages=build_prompt(
                    trio.question.question,
                    note=trio.question.note,
                    person=IMAGE_TOKEN if mode == "native" else words,
                ),
                answer=compose_answer(trio.question, BANDS[audience], safety=False),
            )
            seen = encode_images(tiny, [portrait.image]) if mode == "native" else None
            alone = answer_losses(tiny, collate(tiny, [row]), seen)
            assert float(found[person, answer]) == pytest.approx(float(alone), abs=1e-4)


def test_what_was_written_is_counted_from_the_answers(
    tiny: Vlm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With answers that are known: the reference answers, of the audience that asks or of one."""
    held_out = load_held_out(examples=1, trios=4)
    asked: list[tuple[float, int]] = []

    def answer(audience: Audience | None) -> Callable[..., str]:
        def say(vlm: Vlm, messages: object, *, guidance: float, **rest: object) -> str:
            trio, person = divmod(len(asked), len(AUDIENCES))
            asked.append((guidance, person))
            return compose_answer(
                held_out.trios[trio].question, BANDS[audience or AUDIENCES[person]]
            )

        return say

    monkeypatch.setattr(tasks, "generate", answer(None))
    fitting = written_for(tiny, held_out, "gated", guidance=2.0, limit=4)
    assert (fitting.right, fitting.of) == (12, 12)
    assert fitting.added == 0
    assert {guidance for guidance, _ in asked} == {2.0}

    asked.clear()
    monkeypatch.setattr(tasks, "generate", answer("older_adult"))
    steps = written_for(tiny, held_out, "native", limit=4)
    assert (steps.right, steps.of) == (4, 12)
    assert [row["older_adult"] for row in steps.read_as.values()] == [4, 4, 4]

    monkeypatch.setattr(tasks, "generate", lambda *_, **__: "Zebras juggle cheerfully.")
    foreign = written_for(tiny, held_out, "gated", limit=1)
    assert (foreign.added, foreign.note_kept) == (1, 0)
    monkeypatch.setattr(tasks, "generate", lambda *_, **__: held_out.trios[0].question.note)
    copied = written_for(tiny, held_out, "gated", limit=1)
    assert (copied.added, copied.note_kept) == (0, 1)


def test_scores_of_a_model_are_shares_and_finite(tiny: Vlm) -> None:
    scores = evaluate(tiny, load_held_out(examples=3, trios=2))
    assert (scores.examples, scores.ranked) == (3, 6)
    assert 0 < scores.gated_loss < 20
    assert 0 < scores.native_loss < 20
    assert {scores.follows_words, scores.follows_portrait} <= {n / 6 for n in range(7)}
