"""Teach the language model of `small` which of two answers respects the reader, on public pairs.

The third public stage, on top of the tuning (`instruct`): direct preference optimisation of LoRA on
every linear layer, on the pairs of the public fifth of the questions. What comes out is a tuning
that holds both: ranks of the first and of this one stand beside each other. Nobody's data is used;
owners' pairs are learnt from in private (`federated/preferences.py`).

    load("small", tuning=PREFERENCES_PATH)
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from discreet.artifacts import code_commit, write_bytes, write_json
from discreet.data import FAULTS, Fault, Part, PreferencePair, preference_pairs
from discreet.model import (
    TUNING_PATH,
    Comparisons,
    LoraSpec,
    Vlm,
    adapter_parameters,
    answer_pair,
    attach_lora,
    join_tunings,
    load,
    preference_losses,
    preference_margins,
    tuning_state,
)
from discreet.recipes.instruct import LINEAR_LAYERS
from discreet.recipes.stages import (
    Course,
    OnStep,
    batch_of,
    checkpoint_beside,
    generator_of,
    run_stage,
)

_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class PreferSettings:
    """What decides the preferences, besides the public pairs."""

    seed: int = 0
    base: str = "small"
    """Whose language model; `tiny` to try the stage."""
    epochs: int = 2
    """Times that each pair is seen."""
    batch_size: int = 8
    """Pairs in an update."""
    learning_rate: float = 5e-5
    """Of AdamW at its height."""
    beta: float = 0.1
    """How dearly it costs to leave the base."""
    rank: int = 8
    alpha: int = 8
    public: int = 10_000
    """Pairs that are learnt from, at most; drawn by the seed."""
    held_out: int = 200
    """Held-out pairs that are scored, at most; drawn by the seed."""


def teach_preferences(
    out: Path,
    *,
    settings: PreferSettings | None = None,
    tuning: Path | None = TUNING_PATH,
    on_step: OnStep = lambda *_: None,
) -> dict[str, Any]:
    """Write a tuning that holds `tuning` and preferences, and its card (safetensors, JSON).

    An interrupted run goes on from the checkpoint beside `out`.

    Args:
        out: Path of the safetensors file.
        settings: Seed, base, length and rates.
        tuning: What `small` has learnt before; None for its language model as packaged.
        on_step: Told step, steps and loss.

    Returns:
        The card. Before the stage an adapter says what the base says: each accuracy is a tie, 0.5.
    """
    settings, commit = settings or PreferSettings(), code_commit()
    vlm = attach_lora(load(settings.base, projector=None, tuning=tuning), _spec(settings))
    public = draw_pairs("public", settings.public, settings.seed)
    held_out = draw_pairs("held_out", settings.held_out, settings.seed)
    pairs = compare(vlm, public, beta=settings.beta)
    judged = compare(vlm, held_out, beta=settings.beta)
    faults = [pair.fault for pair in held_out]
    course = Course(
        steps=max(1, settings.epochs * len(public) // settings.batch_size),
        learning_rate=settings.learning_rate,
    )

    def descend(step: int) -> list[float]:
        batch = batch_of(len(public), size=settings.batch_size, seed=settings.seed, step=step)
        return _descend(pairs, [place for _, place in batch])

    curve = run_stage(
        adapter_parameters(vlm),
        descend,
        course,
        checkpoint=checkpoint_beside(out),
        settings=settings,
        on_step=on_step,
    )
    base = log_probs_of(judged, judged.reference)
    after = log_probs_of(judged, judged.log_probs)
    card = {
        "settings": asdict(settings),
        "steps": course.steps,
        "base_sha256": vlm.base_hash,
        "public_pairs": len(public),
        "commit": commit,
        "curve": curve,
        "held_out": {
            "before": score_pairs(base, base, faults, beta=settings.beta),
            "after": score_pairs(after, base, faults, beta=settings.beta),
        },
    }
    write_bytes(out, save(_joined(vlm, settings.base, tuning)))
    write_json(out.with_suffix(".json"), card)
    return card


def draw_pairs(part: Part, most: int, seed: int) -> list[PreferencePair]:
    """Return English pairs of a part without safety lines, at most so many, in a drawn order."""
    pairs = preference_pairs(part=part, seed=seed, safety=False)
    order = torch.randperm(len(pairs), generator=generator_of(seed, len(pairs))).tolist()
    return [pairs[place] for place in order[:most]]


def compare(vlm: Vlm, pairs: Sequence[PreferencePair], *, beta: float) -> Comparisons:
    """Return pairs as a model with an adapter compares them."""
    rows = [
        answer_pair(p.question, note=p.note, band=p.band, chosen=p.chosen, rejected=p.rejected)
        for p in pairs
    ]
    return Comparisons(vlm, rows, beta=beta)


@torch.no_grad()
def log_probs_of(pairs: Comparisons, say: Callable[[Sequence[int]], torch.Tensor]) -> torch.Tensor:
    """Return what a model or its base says of all pairs, (P, 2) float32, some at a time.

    Args:
        pairs: To say it of.
        say: `pairs.log_probs` or `pairs.reference`.
    """
    places = range(len(pairs))
    return torch.cat([say(places[start : start + _AT_ONCE]) for start in places[::_AT_ONCE]])


def score_pairs(
    log_probs: torch.Tensor, reference: torch.Tensor, faults: Sequence[Fault], *, beta: float
) -> dict[str, dict[str, float]]:
    """Return scores of all pairs and of each fault: pairs, accuracy and loss.

    Accuracy is the share of pairs whose chosen answer has the higher implicit reward; a tie is half
    a pair.

    Args:
        log_probs: (P, 2) of chosen and rejected answers under the model.
        reference: (P, 2), the same under the base.
        faults: What each rejected answer does.
        beta: As for the losses.
    """
    margins = preference_margins(log_probs, reference, beta=beta)
    losses = preference_losses(log_probs, reference, beta=beta)
    right = (margins.sign() + 1) / 2
    chosen = {"all": list(range(len(faults)))}
    for fault in FAULTS:
        if places := [place for place, own in enumerate(faults) if own == fault]:
            chosen[fault] = places
    return {
        name: {
            "pairs": float(len(places)),
            "accuracy": round(float(right[places].mean()), 4),
            "loss": round(float(losses[places].mean()), 4),
        }
        for name, places in chosen.items()
    }


def _descend(pairs: Comparisons, places: Sequence[int]) -> list[float]:
    """Add the gradients of a batch, some pairs at a time; return its mean loss."""
    whole = 0.0
    for start in range(0, len(places), _AT_ONCE):
        loss = pairs.losses(places[start : start + _AT_ONCE]).sum() / len(places)
        loss.backward()
        whole += float(loss.detach())
    return [whole]


def _spec(settings: PreferSettings) -> LoraSpec:
    return LoraSpec(
        r=settings.rank,
        alpha=settings.alpha,
        layers=10_000,
        target_modules=LINEAR_LAYERS,
        freeze_a=False,
        seed=settings.seed,
    )


def _joined(vlm: Vlm, base: str, tuning: Path | None) -> dict[str, torch.Tensor]:
    """Return the factors of what was learnt, with those of the tuning below them if there is one.

    A tuning belongs to `small`; no other base has taken it in.
    """
    learnt = tuning_state(vlm)
    if base != "small" or tuning is None:
        return learnt
    return join_tunings(load_file(tuning), learnt)
