"""Teach the projector to say in visual tokens what the gate would say in words.

It reads the 24 bits that leave the tower and nothing else of a picture.

Stage 0 (seconds) points every token at the mean word embedding of the person's description, by
regression. Stage 1 lets the frozen language model read the tokens and describe the person, and
trains the projector alone on the description's tokens, as the first stage of LLaVA does (Liu et al.
2023, arXiv:2304.08485). Stage 2 also answers the public questions and pulls the distribution of
each answer token towards the one that the same model has when it reads the words instead:
distillation (Hinton et al. 2015, arXiv:1503.02531, at temperature 1). The picture's truth is the
target, never a person's identity.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch.nn.functional import kl_div

from discreet.artifacts import code_commit, write_bytes, write_json
from discreet.data import (
    Example,
    Portrait,
    build_examples,
    load_questions,
    split_questions,
)
from discreet.model import (
    IGNORED,
    IMAGE_TOKEN,
    Row,
    Vlm,
    answer_logits,
    answer_losses,
    as_tokens,
    base_of,
    build_prompt,
    collate,
    load,
    person_line,
    projector_state,
)
from discreet.recipes.stages import (
    Course,
    OnStep,
    batch_of,
    checkpoint_beside,
    generator_of,
    run_stage,
)
from discreet.recipes.views import portraits_and_views
from discreet.types import AGE_BANDS, EXPRESSIONS, Domain, Observation

QUESTION = "Who is asking?"


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignSettings:
    """What decides the projector, besides the portraits."""

    seed: int = 0
    warm_epochs: int = 30
    """Passes of the regression."""
    describe_steps: int = 240
    """Updates on descriptions alone."""
    answer_steps: int = 80
    """Updates on descriptions and answers after that."""
    batch_size: int = 16
    """Portraits in an update; each is described."""
    answer_batch_size: int = 8
    """Of them, how many are answered, too."""
    learning_rate: float = 5e-4
    """Of AdamW at its height."""
    flip: float = 0.05
    """Share of a portrait's bits that are turned: of people not seen, some bits are wrong."""


def align_projector(
    out: Path, *, settings: AlignSettings | None = None, on_step: OnStep = lambda *_: None
) -> dict[str, Any]:
    """Write a projector and its card to `out` (safetensors, JSON beside it); return the card.

    An interrupted run goes on from the checkpoint beside `out`.

    Args:
        out: Path of the safetensors file.
        settings: Seed, lengths and rates.
        on_step: Told step, steps and loss.
    """
    settings, commit = settings or AlignSettings(), code_commit()
    people, views = portraits_and_views("train")
    vlm = load("small", projector=None)
    tower = base_of(vlm).model.vision_tower
    projector = _fresh_projector(vlm, settings.seed)
    bits = tower.code(views)
    warm = _warm_up(vlm, as_tokens(bits), people, settings)
    stage = _Alignment(vlm, bits, people, settings)
    course = Course(
        steps=settings.describe_steps + settings.answer_steps, learning_rate=settings.learning_rate
    )
    curve = run_stage(
        dict(projector.named_parameters()),
        stage.descend,
        course,
        checkpoint=checkpoint_beside(out),
        settings=settings,
        on_step=on_step,
    )
    held_out, seen = portraits_and_views("test")
    card = {
        "settings": asdict(settings),
        "commit": commit,
        "warm_up_loss": warm,
        "curve": curve,
        "held_out": _score(vlm, as_tokens(tower.code(seen[::12])), held_out[::12]),
    }
    _write(vlm, out, card)
    return card


def describe(portrait: Portrait, domain: Domain = "healthcare") -> str:
    """Return the words that the gate would let through: no expression in tutoring."""
    values = {"age_band": portrait.age_band, "expression": portrait.expression}
    return person_line(
        [
            Observation(attribute=name, value=value, source="declared", confidence=1)  # type: ignore[arg-type]
            for name, value in values.items()
            if domain == "healthcare" or name == "age_band"
        ]
    )


def _row(answer: str) -> Row:
    text = f"Person: {IMAGE_TOKEN}\nQuestion: {QUESTION}"
    return Row(messages=[{"role": "user", "content": text}], answer=answer)


def _fresh_projector(vlm: Vlm, seed: int) -> Any:
    """Return the model's projector, drawn anew and free to learn."""
    projector = base_of(vlm).model.multi_modal_projector
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for layer in (projector.linear_1, projector.linear_2):
            layer.reset_parameters()
    return projector.requires_grad_(True)


def _warm_up(
    vlm: Vlm, tokens: torch.Tensor, people: Sequence[Portrait], settings: AlignSettings
) -> float:
    """Point each token at the mean embedding of the description; return the last loss."""
    projector = vlm.model.model.multi_modal_projector
    table = vlm.model.get_input_embeddings().weight
    targets = torch.stack(
        [
            table[vlm.tokenizer(describe(p), add_special_tokens=False)["input_ids"]].mean(0)
            for p in people
        ]
    )
    scale = targets.std()
    optimizer = torch.optim.AdamW(projector.parameters(), lr=1e-3, weight_decay=1e-2)
    loss = torch.zeros(())
    for epoch in range(settings.warm_epochs):
        order = torch.randperm(len(people), generator=generator_of(settings.seed, epoch))
        for index in order.split(128):
            output = projector(tokens[index])
            loss = ((output - targets[index, None]) / scale).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return float(loss.detach())


@dataclass(frozen=True, slots=True)
class _Alignment:
    """The loss of a step, through the frozen language model."""

    vlm: Vlm
    bits: torch.Tensor
    people: Sequence[Portrait]
    settings: AlignSettings

    def descend(self, step: int) -> list[float]:
        """Add the gradients of a step; return the losses of descriptions and, later, of answers."""
        own = self.settings
        batch = batch_of(len(self.people), size=own.batch_size, seed=own.seed, step=step)
        index = [place for _, place in batch]
        tokens = as_tokens(self._noisy(index, step))
        projector = base_of(self.vlm).model.multi_modal_projector
        losses = [_backward(_description_loss(self.vlm, projector(tokens), index, self.people))]
        if step >= own.describe_steps:
            few = own.answer_batch_size
            features = projector(tokens[:few])
            loss = _answer_loss(self.vlm, features, index[:few], self.people, own.seed + step)
            losses.append(_backward(loss))
        return losses

    def _noisy(self, index: list[int], step: int) -> torch.Tensor:
        """Return the bits of portraits, a few of them turned."""
        bits = self.bits[index]
        draw = torch.rand(bits.shape, generator=generator_of(self.settings.seed, step, 2))
        return torch.where(draw < self.settings.flip, -bits, bits)


def _backward(loss: torch.Tensor) -> float:
    loss.backward()
    return round(float(loss.detach()), 4)


def _description_loss(
    vlm: Vlm, features: torch.Tensor, index: list[int], people: Sequence[Portrait]
) -> torch.Tensor:
    """Return the mean loss of describing each person from the visual tokens."""
    rows = [_row(describe(people[i])) for i in index]
    return answer_losses(vlm, collate(vlm, rows), features).mean()


def _answer_loss(
    vlm: Vlm, features: torch.Tensor, index: list[int], people: Sequence[Portrait], seed: int
) -> torch.Tensor:
    """Return the mean divergence, in nats per token, of answers to a seen from a described person.

    The questions are the public ones; owners learn from others.
    """
    questions = split_questions(load_questions()).public
    examples = build_examples(people, questions, indices=index, seed=seed)
    told = [_asked(e, describe(people[e.portrait], e.domain)) for e in examples]
    seen = [_asked(e, IMAGE_TOKEN) for e in examples]
    with torch.no_grad():
        target, labels = answer_logits(vlm, collate(vlm, told), None)
        target = target.log_softmax(2)
    logits, _ = answer_logits(vlm, collate(vlm, seen), features)
    divergence = kl_div(logits.log_softmax(2), target, log_target=True, reduction="none").sum(2)
    counted = labels != IGNORED
    return (divergence * counted).sum() / counted.sum()


def _asked(example: Example, person: str) -> Row:
    return Row(
        messages=build_prompt(example.question, note=example.note, person=person),
        answer=example.answer,
    )


@torch.no_grad()
def _score(vlm: Vlm, tokens: torch.Tensor, people: Sequence[Portrait]) -> dict[str, float]:
    """Return how often the likeliest description of a held-out person is the true one."""
    projector = vlm.model.model.multi_modal_projector
    candidates = [(age, face) for age in AGE_BANDS for face in EXPRESSIONS]
    texts = [
        person_line(
            [
                Observation(attribute="age_band", value=age, source="declared", confidence=1),
                Observation(attribute="expression", value=face, source="declared", confidence=1),
            ]
        )
        for age, face in candidates
    ]
    ages = faces = 0
    total = 0.0
    batch = collate(vlm, [_row(text) for text in texts])
    for portrait, token in zip(people, tokens, strict=True):
        feature = projector(token[None]).expand(len(texts), -1, -1)
        losses = answer_losses(vlm, batch, feature)
        age, face = candidates[int(losses.argmin())]
        ages += age == portrait.age_band
        faces += face == portrait.expression
        total += float(losses[candidates.index((portrait.age_band, portrait.expression))])
    count = len(people)
    return {
        "portraits": count,
        "description_loss": total / count,
        "age_band_accuracy": ages / count,
        "age_band_chance": 1 / len(AGE_BANDS),
        "expression_accuracy": faces / count,
        "expression_chance": 1 / len(EXPRESSIONS),
    }


def _write(vlm: Vlm, out: Path, card: dict[str, Any]) -> None:
    state = {name: value.half() for name, value in projector_state(vlm.model).items()}
    write_bytes(out, save(state))
    write_json(out.with_suffix(".json"), card)
