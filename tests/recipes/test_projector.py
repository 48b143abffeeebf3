"""The projector learns to say what the gate would say, and nothing else in the model moves."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import mean

import pytest
import torch
from safetensors.torch import load_file

from discreet.data import Portrait, build_examples, load_questions, split_questions
from discreet.model import (
    CODE,
    IMAGE_TOKEN,
    Row,
    Vlm,
    answer_logits,
    answer_losses,
    as_tokens,
    build_prompt,
    collate,
    person_line,
    projector_state,
)
from discreet.model.small import load_projector, state_hash
from discreet.model.vision import TOKENS
from discreet.recipes.projector import (
    AlignSettings,
    _Alignment,
    _answer_loss,
    _row,
    _score,
    _warm_up,
    _write,
    describe,
)
from discreet.recipes.stages import Course, run_stage
from discreet.types import AGE_BANDS, EXPRESSIONS, Observation

SETTINGS = AlignSettings(
    warm_epochs=20, describe_steps=40, answer_steps=20, batch_size=8, learning_rate=1e-2
)


@pytest.fixture
def learner(tiny: Vlm) -> Vlm:
    """`tiny` with a projector that may learn, and weights large enough to hear it."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in tiny.model.model.language_model.parameters():
            parameter.normal_(std=0.4, generator=draw)
    projector = tiny.model.model.multi_modal_projector
    projector.linear_1 = torch.nn.Linear(CODE + TOKENS, projector.linear_1.out_features)
    projector.requires_grad_(True)
    return tiny


@pytest.fixture
def bits(portraits: list[Portrait]) -> torch.Tensor:
    """Bits in which the labels can be read, as an eraser that was taught would give them."""
    found = torch.full((len(portraits), CODE), -1.0)
    for row, portrait in enumerate(portraits):
        found[row, AGE_BANDS.index(portrait.age_band)] = 1
        found[row, 8 + EXPRESSIONS.index(portrait.expression)] = 1
    return found


def frozen_hash(vlm: Vlm) -> str:
    state = vlm.model.state_dict()
    return state_hash({name: value for name, value in state.items() if "projector" not in name})


def test_a_portrait_is_described_in_the_words_of_the_gate(portraits: list[Portrait]) -> None:
    for portrait in portraits:
        seen = [
            Observation(attribute=name, value=value, source="estimated", confidence=0.9)
            for name, value in (
                ("expression", portrait.expression),
                ("age_band", portrait.age_band),
            )
        ]
        assert describe(portrait) == person_line(seen)
        assert portrait.identity_id not in describe(portrait)


def test_alignment_learns_in_the_projector_alone(
    learner: Vlm, bits: torch.Tensor, portraits: list[Portrait], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    before = frozen_hash(learner)
    projector = {name: value.clone() for name, value in projector_state(learner.model).items()}
    first = _warm_up(learner, as_tokens(bits), portraits, AlignSettings(warm_epochs=1))
    last = _warm_up(learner, as_tokens(bits), portraits, SETTINGS)
    assert last < first
    stage = _Alignment(learner, bits, portraits, SETTINGS)
    steps: list[float] = []
    curve = run_stage(
        dict(learner.model.model.multi_modal_projector.named_parameters()),
        stage.descend,
        Course(steps=60, learning_rate=1e-2),
        checkpoint=tmp_path / "a",
        settings=SETTINGS,
        on_step=lambda step, of, loss: steps.append(loss),
    )
    assert [len(losses) for losses in curve] == [1, 1, 1, 1, 2, 2]
    assert mean(steps[31:40]) < mean(steps[:9]) - 0.02
    assert mean(steps[51:]) < mean(steps[40:49])
    assert frozen_hash(learner) == before
    changed = projector_state(learner.model)
    assert all(not torch.equal(changed[name], projector[name]) for name in projector)


def test_some_bits_are_turned_and_follow_from_the_seed(
    learner: Vlm, bits: torch.Tensor, portraits: list[Portrait]
) -> None:
    index = list(range(len(portraits)))
    still = _Alignment(learner, bits, portraits, AlignSettings(flip=0.0))
    assert torch.equal(still._noisy(index, 0), bits)
    noisy = _Alignment(learner, bits, portraits, AlignSettings(flip=0.2))
    turned = (noisy._noisy(index, 0) != bits).float().mean()
    assert 0.15 < float(turned) < 0.25
    assert torch.equal(noisy._noisy(index, 3), noisy._noisy(index, 3))
    assert not torch.equal(noisy._noisy(index, 3), noisy._noisy(index, 4))


def test_the_score_counts_the_likeliest_of_all_descriptions(
    learner: Vlm, bits: torch.Tensor, portraits: list[Portrait]
) -> None:
    """Against one description at a time, and one person at a time."""
    tokens, people = as_tokens(bits[:6]), portraits[:6]
    hits, total = {"age_band": 0, "expression": 0}, 0.0
    for portrait, token in zip(people, tokens, strict=True):
        feature = learner.model.model.multi_modal_projector(token[None])
        losses = {}
        for age, face in product(AGE_BANDS, EXPRESSIONS):
            words = describe(replace(portrait, age_band=age, expression=face))
            batch = collate(learner, [_row(words)])
            with torch.no_grad():
                losses[age, face] = float(answer_losses(learner, batch, feature)[0])
        likeliest = min(losses, key=losses.__getitem__)
        hits["age_band"] += likeliest[0] == portrait.age_band
        hits["expression"] += likeliest[1] == portrait.expression
        total += losses[portrait.age_band, portrait.expression]
    score = _score(learner, tokens, people)
    for name, count in hits.items():
        assert score[f"{name}_accuracy"] == pytest.approx(count / 6)
    assert score["description_loss"] == pytest.approx(total / 6, rel=1e-4)
    assert (score["portraits"], score["age_band_chance"]) == (6, 1 / len(AGE_BANDS))


def test_a_projector_is_written_as_the_base_reads_it(learner: Vlm, tmp_path: Path) -> None:
    path = tmp_path / "new" / "projector.safetensors"
    _write(learner, path, {"held_out": {}})
    assert {value.dtype for value in load_file(path).values()} == {torch.float16}
    expected = {name: v.half().float() for name, v in projector_state(learner.model).items()}
    with torch.no_grad():
        for parameter in learner.model.model.multi_modal_projector.parameters():
            parameter.zero_()
        load_projector(learner.model, path)
    found = projector_state(learner.model)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_answer_loss_is_the_divergence_of_seen_from_told(
    learner: Vlm, bits: torch.Tensor, portraits: list[Portrait]
) -> None:
    """Against one row at a time, summed over the vocabulary by hand."""
    index, seed = [3, 5, 6], 4
    features = learner.model.model.multi_modal_projector(as_tokens(bits[index])).detach()
    public = split_questions(load_questions()).public
    examples = build_examples(portraits, public, indices=index, seed=seed)
    total, count = 0.0, 0
    for example, feature in zip(examples, features, strict=True):
        words = describe(portraits[example.portrait], example.domain)
        logs = []
        for person, picture in ((words, None), (IMAGE_TOKEN, feature[None])):
            messages = build_prompt(example.question, note=example.note, person=person)
            batch = collate(learner, [Row(messages=messages, answer=example.answer)])
            logs.append(answer_logits(learner, batch, picture)[0][0].detach().log_softmax(1))
        told, seen = logs
        total += float((told.exp() * (told - seen)).sum())
        count += len(told)
    found = _answer_loss(learner, features, index, portraits, seed)
    assert float(found) == pytest.approx(total / count, rel=1e-3)


def test_expressions_are_not_told_in_tutoring(portraits: list[Portrait]) -> None:
    for portrait in portraits:
        assert "expression" in describe(portrait, "healthcare")
        assert "expression" not in describe(portrait, "tutoring")


def test_the_question_of_the_recipe_holds_one_picture(tiny: Vlm) -> None:
    assert _row("a child").messages[0]["content"].count("<image>") == 1
