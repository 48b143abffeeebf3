"""The public questions are asked by every reader, and only words that may pass are learnt."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from discreet.data import compose_answer, load_questions, split_questions
from discreet.errors import ArtifactCorrupt
from discreet.model import LoraSpec, Vlm, attach_lora, base_of, load, tuning_state
from discreet.model.small import add_tuning
from discreet.recipes.instruct import LINEAR_LAYERS, askers, held_out_loss, row_of
from discreet.types import AGE_BANDS

PUBLIC = split_questions(load_questions()).public
SPEC = LoraSpec(r=4, alpha=8, layers=99, target_modules=LINEAR_LAYERS, freeze_a=False)


def test_every_reader_asks_every_public_question_and_nobody_another() -> None:
    who = askers(PUBLIC, 0)
    readers = Counter((a.question.id, a.reader) for a in who if a.band)
    for question in PUBLIC:
        wanted = {*AGE_BANDS} if question.domain == "tutoring" else {"child", "older_adult"}
        assert wanted <= {reader for name, reader in readers if name == question.id}
    assert {a.question.part for a in who} == {"public"}
    assert sum(a.reader == "distressed" for a in who) >= sum(
        q.domain == "healthcare" for q in PUBLIC
    )
    for wants_calm in (False, True):
        nobody = [
            a for a in who if (a.band, a.expression, a.wants_calm) == (None, None, wants_calm)
        ]
        assert [a.question for a in nobody] == PUBLIC
    assert {a.reader for a in nobody} == {"distressed"}


def test_no_expression_reaches_a_tutoring_prompt_and_neutral_reaches_none() -> None:
    who = [a for epoch in range(4) for a in askers(PUBLIC, epoch)]
    assert all(a.expression is None for a in who if a.question.domain == "tutoring")
    assert {a.expression for a in who} == {None, "happy", "sad", "angry", "surprised"}
    for one in who[:40]:
        text = row_of(one).messages[-1]["content"]
        assert ("expression" in text.split("Answer for")[-1]) == (one.expression is not None)


def test_answers_are_those_of_the_file_without_their_safety_line() -> None:
    for one in askers(PUBLIC, 1)[::7]:
        row = row_of(one)
        assert not one.question.safety or one.question.safety not in row.answer
        note, question = row.messages[-1]["content"].split("\n")[:2]
        assert note.split() == ["Note:", *one.question.note.split()]
        assert question.split() == ["Question:", *one.question.question.split()]
        assert all(line in row.answer for line in getattr(one.question, one.reader))
        assert one.wants_calm or row.answer == compose_answer(
            one.question,
            one.band or "young_adult",
            expression=one.expression or "neutral",
            seed=one.seed,
            safety=False,
        )


def test_what_is_learnt_of_a_person_is_how_to_write_for_their_reader() -> None:
    """One way to write for each reader, and it is said in words."""
    styles: dict[str, set[str]] = {}
    for one in askers(PUBLIC, 2):
        styles.setdefault(one.reader, set()).add(one.person.rsplit(", ", 1)[1])
    assert {len(found) for found in styles.values()} == {1}
    assert len({*map(str, styles.values())}) == len(styles) == 5


def test_epochs_differ_and_are_the_same_each_time() -> None:
    assert askers(PUBLIC, 0) == askers(PUBLIC, 0)
    assert askers(PUBLIC, 0) != askers(PUBLIC, 1)
    assert len(askers(PUBLIC, 0)) == len(askers(PUBLIC, 1))


def adapted(tiny: Vlm) -> Vlm:
    """`tiny` with an adapter that changes what it says."""
    vlm = attach_lora(tiny, SPEC)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in vlm.model.named_parameters():
            if "lora_" in name:
                parameter.copy_((0.2 * torch.randn(parameter.shape, generator=draw)).half())
    return vlm


class Language:
    """The language model of `tiny` as `small` adds a tuning to it."""

    def __init__(self, vlm: Vlm) -> None:
        self.model = base_of(vlm).model.language_model


def test_a_merged_tuning_says_what_the_adapter_said(tiny: Vlm, tmp_path: Path) -> None:
    questions, tiny_again = PUBLIC[:2], load("tiny")
    plain = held_out_loss(tiny_again, questions)
    vlm = adapted(tiny)
    expected = held_out_loss(vlm, questions)
    path = tmp_path / "tuning.safetensors"
    save_file(tuning_state(vlm), path)
    add_tuning(Language(tiny_again), path)
    found = held_out_loss(tiny_again, questions)
    assert abs(expected - plain) > 1e-3
    assert found == pytest.approx(expected, abs=1e-4)


def test_a_tuning_that_does_not_fit_changes_nothing(tiny: Vlm, tmp_path: Path) -> None:
    path, tiny_again = tmp_path / "tuning.safetensors", load("tiny")
    save_file(tuning_state(adapted(tiny)), path)
    tensors = load_file(path)
    before = {k: v.clone() for k, v in tiny_again.model.state_dict().items()}
    name = next(n for n in tensors if n.endswith(".A"))
    extra = {f"layers.99.x.{part}": torch.ones(4, 4) for part in "AB"}
    damaged = {
        "one is missing": {k: v for k, v in tensors.items() if k != name},
        "one too many": {**tensors, **extra},
        "another shape": {**tensors, name: tensors[name][:, :-1].contiguous()},
        "no number": {**tensors, name: tensors[name] * float("nan")},
    }
    for state in damaged.values():
        save_file(state, path)
        with pytest.raises(ArtifactCorrupt, match="recipe instruct"):
            add_tuning(Language(tiny_again), path)
    path.write_bytes(b"x")
    with pytest.raises(ArtifactCorrupt):
        add_tuning(Language(tiny_again), path)
    after = tiny_again.model.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())
