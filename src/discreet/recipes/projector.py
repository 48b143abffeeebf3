"""Teach the projector to say in visual tokens what the gate would say in words.

Stage 0 (seconds) points every token at the mean word embedding of the person's description, by
regression. Stage 1 lets the frozen language model read the tokens and describe the person, and
trains the projector alone on the description's tokens, as the first stage of LLaVA does (Liu et al.
2023, arXiv:2304.08485). Stage 2 also answers the public questions and pulls the distribution of
each answer token towards the one that the same model has when it reads the words instead:
distillation (Hinton et al. 2015, arXiv:1503.02531, at temperature 1). The picture's truth is the
target, never a person's identity.
"""

from collections.abc import Callable, Iterator, Sequence
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
    load_portraits,
    load_questions,
    split_questions,
)
from discreet.model import (
    IGNORED,
    IMAGE_TOKEN,
    PROJECTOR_PATH,
    Row,
    Vlm,
    answer_logits,
    answer_losses,
    build_prompt,
    collate,
    image_processor,
    load,
    load_tower,
    person_line,
    projector_state,
    vision_tokens,
)
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
    answer_steps: int = 100
    """Updates on descriptions and answers after that."""
    batch_size: int = 16
    """Portraits in an update; each is described and, later, answered."""
    learning_rate: float = 5e-4
    """Of AdamW; falls to zero along a cosine in each of the two stages."""


def align_projector(
    out: Path,
    *,
    settings: AlignSettings | None = None,
    on_step: Callable[[int, int, float], None] | None = None,
) -> dict[str, Any]:
    """Write a projector and its card to `out` (safetensors, JSON beside it); return the card.

    Args:
        out: Path of the safetensors file.
        settings: Seed, lengths and rates.
        on_step: Called with step, steps and loss.
    """
    settings = settings or AlignSettings()
    torch.manual_seed(settings.seed)
    tower, processor = load_tower(), image_processor()
    people = load_portraits("train")
    tokens = vision_tokens(tower, processor, [p.image for p in people]).half()
    vlm = load("small", projector=PROJECTOR_PATH)
    _reset(vlm, tokens)
    tokens = _standardise(vlm, tokens)
    warm = _warm_up(vlm, tokens, people, settings)
    curve = _train(vlm, tokens, people, settings, on_step)
    held_out = load_portraits("test")[::12]
    seen = _standardise(vlm, vision_tokens(tower, processor, [p.image for p in held_out]).half())
    card = {
        "settings": asdict(settings),
        "commit": code_commit(),
        "warm_up_loss": warm,
        "curve": curve,
        "held_out": _score(vlm, seen, held_out),
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


def _reset(vlm: Vlm, tokens: torch.Tensor) -> None:
    """Start from a fresh projector and the standardisation of these tokens."""
    core = vlm.model.model
    flat = tokens.flatten(0, 1).float()
    core.vision_tower.feature_mean.copy_(flat.mean(0))
    core.vision_tower.feature_std.copy_(flat.std(0) + 1e-3)
    for layer in (core.multi_modal_projector.linear_1, core.multi_modal_projector.linear_2):
        layer.reset_parameters()
        layer.requires_grad_(True)


def _standardise(vlm: Vlm, tokens: torch.Tensor) -> torch.Tensor:
    tower = vlm.model.model.vision_tower
    done: torch.Tensor = (tokens.float() - tower.feature_mean) / tower.feature_std
    return done.half()


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
    for _ in range(settings.warm_epochs):
        for index in torch.randperm(len(people)).split(128):
            output = projector(tokens[index].float())
            loss = ((output - targets[index, None]) / scale).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return float(loss.detach())


def _train(
    vlm: Vlm,
    tokens: torch.Tensor,
    people: Sequence[Portrait],
    settings: AlignSettings,
    on_step: Callable[[int, int, float], None] | None,
) -> list[list[float]]:
    """Train the projector through the frozen language model.

    Returns the losses of every tenth update: of the description and, in stage 2, of the answer.
    """
    projector = vlm.model.model.multi_modal_projector
    draw = _endless(len(people), settings.batch_size)
    total, step = settings.describe_steps + settings.answer_steps, 0
    curve = []
    for answers, steps in ((False, settings.describe_steps), (True, settings.answer_steps)):
        optimizer = torch.optim.AdamW(
            projector.parameters(), lr=settings.learning_rate, weight_decay=1e-2
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
        for _ in range(steps):
            index, step = next(draw), step + 1
            optimizer.zero_grad()
            losses = [
                _backward(_description_loss(vlm, projector(tokens[index].float()), index, people))
            ]
            if answers:
                seed = settings.seed + step
                losses.append(
                    _backward(
                        _answer_loss(vlm, projector(tokens[index].float()), index, people, seed)
                    )
                )
            optimizer.step()
            schedule.step()
            if step % 10 == 0:
                curve.append(losses)
            if on_step is not None:
                on_step(step, total, sum(losses))
    return curve


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


def _endless(count: int, batch_size: int) -> Iterator[list[int]]:
    """Yield batches of indices, each index once before any comes again."""
    while True:
        for index in torch.randperm(count).split(batch_size):
            yield index.tolist()


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
        feature = projector(token[None].float()).expand(len(texts), -1, -1)
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
