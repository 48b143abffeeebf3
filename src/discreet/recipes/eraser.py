"""Teach the tower which 24 bits of a picture to hand on: those that tell age band and expression.

A linear map makes 24 numbers of the views; each is squashed, noise is added, and its sign is a bit
(an information bottleneck: Tishby et al. 1999, arXiv:physics/0004057; the gradient goes straight
through the sign, Bengio et al. 2013, arXiv:1308.3432). Linear heads read age band and expression
from the bits. Whatever is to survive the noise has to be said by several bits at once, so that the
two wanted attributes use the code up. In use there is no noise: bits follow from the picture.

Adversaries that guess audit labels can be added with gradient reversal (Ganin and Lempitsky 2015,
arXiv:1409.7495); they are off, because noise and bits alone left less to be read
(`discreet audit probes`). No audit label is read unless they are on.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn
from torch.nn.functional import cross_entropy

from discreet.artifacts import code_commit, write_bytes, write_json
from discreet.data import Portrait
from discreet.model import (
    CODE,
    VIEWS,
    as_bits,
    eraser_state,
    load_tower,
)
from discreet.perception import CLASSES
from discreet.recipes.scores import AUDITED
from discreet.recipes.stages import (
    Course,
    OnStep,
    batch_of,
    checkpoint_beside,
    generator_of,
    run_stage,
)
from discreet.recipes.views import portraits_and_views


@dataclass(frozen=True, kw_only=True, slots=True)
class EraserSettings:
    """What decides the bits, besides the portraits."""

    seed: int = 0
    epochs: int = 40
    """Passes over the train portraits."""
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.3
    """Of AdamW, on the map and the heads."""
    noise: float = 1.0
    """Standard deviation of what is added to numbers in (-1, 1) before the sign is taken."""
    reversal: float = 0.0
    """Weight of the reversed gradient of adversaries that guess audit labels; 0 leaves them out."""


def teach_eraser(
    out: Path, *, settings: EraserSettings | None = None, on_step: OnStep = lambda *_: None
) -> dict[str, Any]:
    """Write the map from views to bits and its card (safetensors, JSON beside it).

    Args:
        out: Path of the safetensors file.
        settings: Seed, length and rates.
        on_step: Told step, steps and loss.

    Returns:
        The card.
    """
    return fit_eraser(
        out,
        portraits_and_views("train"),
        portraits_and_views("test"),
        settings=settings,
        on_step=on_step,
    )


def fit_eraser(
    out: Path,
    train: tuple[Sequence[Portrait], torch.Tensor],
    test: tuple[Sequence[Portrait], torch.Tensor],
    *,
    settings: EraserSettings | None = None,
    on_step: OnStep = lambda *_: None,
) -> dict[str, Any]:
    """Do what `teach_eraser` does, on portraits with their views, (N, VIEWS)."""
    settings, commit = settings or EraserSettings(), code_commit()
    people, views = train
    mean, std = views.mean(0), views.std(0) + 1e-3
    course = Course(
        steps=settings.epochs * len(people) // settings.batch_size,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
    learner = _Learner((views - mean) / std, _targets(people, settings.reversal), settings)
    curve = run_stage(
        dict(learner.named_parameters()),
        learner.descend,
        course,
        checkpoint=checkpoint_beside(out),
        settings=settings,
        on_step=on_step,
    )
    weight = learner.map.weight.detach() / std
    tower = load_tower(eraser=None)
    tower.eraser_weight.copy_(weight)
    tower.eraser_bias.copy_(learner.map.bias.detach() - weight @ mean)
    state = eraser_state(tower)
    card = {
        "settings": asdict(settings),
        "bits": CODE,
        "commit": commit,
        "curve": curve,
        "held_out": _score(learner, state, *test),
    }
    write_bytes(out, save(state))
    write_json(out.with_suffix(".json"), card)
    return card


class _Learner(nn.Module):
    """The map, the heads that read its noisy bits, and the loss of a step."""

    def __init__(
        self, views: torch.Tensor, targets: dict[str, torch.Tensor], settings: EraserSettings
    ) -> None:
        super().__init__()
        self.views, self.targets, self.settings = views, targets, settings
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            self.map = nn.Linear(VIEWS, CODE)
            self.heads = nn.ModuleDict(
                {name: self._head(name, int(value.max()) + 1) for name, value in targets.items()}
            )

    @staticmethod
    def _head(name: str, classes: int) -> nn.Module:
        """Return a linear head for what is wanted, and a small network for an adversary."""
        if name in CLASSES:
            return nn.Linear(CODE, classes)
        return nn.Sequential(nn.Linear(CODE, 128), nn.ReLU(), nn.Linear(128, classes))

    def descend(self, step: int) -> list[float]:
        """Add the gradients of a step; return the loss of each head."""
        own = self.settings
        batch = batch_of(len(self.views), size=own.batch_size, seed=own.seed, step=step)
        index = torch.tensor([place for _, place in batch])
        squashed = torch.tanh(self.map(self.views[index]))
        draw = torch.randn(squashed.shape, generator=generator_of(own.seed, step, 1))
        noisy = squashed + own.noise * draw
        bits = as_bits(noisy).detach() + squashed - squashed.detach()
        losses = []
        for name, head in self.heads.items():
            read = bits if name in CLASSES else _reverse(bits, own.reversal)
            losses.append(cross_entropy(head(read), self.targets[name][index]))
        torch.stack(losses).sum().backward()
        return [float(loss.detach()) for loss in losses]


def _reverse(bits: torch.Tensor, weight: float) -> torch.Tensor:
    """Return the same values with a gradient turned round and weighted."""
    turned = -weight * bits
    return turned + (bits - turned).detach()


def _targets(people: Sequence[Portrait], reversal: float) -> dict[str, torch.Tensor]:
    targets: dict[str, torch.Tensor] = {
        str(name): torch.tensor([classes.index(getattr(p, name)) for p in people])
        for name, classes in CLASSES.items()
    }
    for label in AUDITED if reversal else ():
        names = sorted({p.audit_labels[label] for p in people})
        targets[label] = torch.tensor([names.index(p.audit_labels[label]) for p in people])
    return targets


@torch.no_grad()
def _score(
    learner: _Learner,
    state: dict[str, torch.Tensor],
    people: Sequence[Portrait],
    views: torch.Tensor,
) -> dict[str, float]:
    """Return how often the heads read held-out people right from the bits as they are stored."""
    bits = as_bits(views @ state["eraser_weight"].float().T + state["eraser_bias"].float())
    targets = _targets(people, 0.0)
    return {
        "portraits": len(people),
        **{
            f"{name}_accuracy": float((learner.heads[name](bits).argmax(1) == own).float().mean())
            for name, own in targets.items()
        },
    }
