"""Gradient inversion: the input whose gradient is most like the one that was seen.

>>> weight = torch.eye(3, requires_grad=True)
>>> def gradients_of(x):
...     loss = (weight @ x).square().sum()
...     return torch.autograd.grad(loss, [weight], create_graph=True)
>>> seen = [g.detach() for g in gradients_of(torch.tensor([1.0, -2.0, 0.5]))]
>>> start = torch.tensor([0.4, -0.1, 0.2])
>>> found = invert(gradients_of, seen, [start], Search(steps=200))
>>> found.distance < 1e-3
True
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

Gradients = Sequence[torch.Tensor]
GradientsOf = Callable[[torch.Tensor], Gradients]
"""A dummy input -> gradients of what learns, differentiable (`create_graph=True`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """How an input is looked for."""

    steps: int = 200
    """At most, of each start; 1 or more."""
    learning_rate: float = 0.1
    """Of Adam on signs of gradients, falling to a tenth at the end."""
    total_variation: float = 0.0
    """Weight of the prior that neighbouring pixels are alike; for pictures only."""
    patience: int = 50
    """Steps without a better match after which a start is given up."""

    def __post_init__(self) -> None:
        """Refuse settings that search nothing."""
        if (
            min(self.steps, self.patience) < 1
            or self.learning_rate <= 0
            or self.total_variation < 0
        ):
            raise ValueError(
                "Expected steps and patience of 1 or more, a learning rate above 0 and a prior of "
                f"0 or more, got {self}. Correct them."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Inverted:
    """The best input of all starts."""

    value: torch.Tensor = field(repr=False)
    distance: float
    """1 less the cosine of its gradient with the one that was seen: 0 to 2."""
    steps: int
    """Of all starts together."""


def invert(
    gradients_of: GradientsOf, seen: Gradients, starts: Sequence[torch.Tensor], search: Search
) -> Inverted:
    """Return the input whose gradient points most nearly where the seen one does.

    Args:
        gradients_of: The attacker's model.
        seen: What a client sent, in the same order.
        starts: Dummy inputs, each followed on its own; one or more.
        search: How.

    Raises:
        ValueError: if there is no start, or what was seen is zero.

    Source: Geiping et al. 2020 (arXiv:2003.14053): cosine distance, signed steps, total variation;
        after Zhu et al. 2019 (arXiv:1906.08935), who match by squared distance.
    """
    if not starts or not any(bool(part.any()) for part in seen):
        raise ValueError(
            f"Expected one start or more and a gradient that is not zero, got {len(starts)} starts."
        )
    tries = [_follow(gradients_of, seen, start, search) for start in starts]
    best = min(tries, key=lambda found: found.distance)
    return Inverted(
        value=best.value, distance=best.distance, steps=sum(found.steps for found in tries)
    )


def cosine_distance(gradients: Gradients, seen: Gradients) -> torch.Tensor:
    """Return 1 less the cosine of two gradients over all their tensors, differentiable, ()."""
    pairs = list(zip(gradients, seen, strict=True))
    inner = torch.stack([(a * b).sum() for a, b in pairs]).sum()
    lengths = [
        torch.stack([part.square().sum() for part in side]).sum()
        for side in zip(*pairs, strict=True)
    ]
    return 1 - inner / (lengths[0] * lengths[1]).clamp(min=1e-30).sqrt()


def total_variation(picture: torch.Tensor) -> torch.Tensor:
    """Return the mean absolute difference of neighbours in (..., H, W), ()."""
    down = (picture[..., 1:, :] - picture[..., :-1, :]).abs().mean()
    return down + (picture[..., :, 1:] - picture[..., :, :-1]).abs().mean()


def _follow(
    gradients_of: GradientsOf, seen: Gradients, start: torch.Tensor, search: Search
) -> Inverted:
    """Return the best input on the way from one start."""
    dummy = start.detach().clone().requires_grad_(True)
    optimizer = torch.optim.Adam([dummy], lr=search.learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(
        optimizer, start_factor=1.0, end_factor=0.1, total_iters=search.steps
    )
    best, best_distance, since, taken = dummy.detach().clone(), float("inf"), 0, 0
    while taken < search.steps and since < search.patience:
        taken += 1
        distance = cosine_distance(gradients_of(dummy), seen)
        reached = float(distance.detach())
        if reached < best_distance:
            best, best_distance, since = dummy.detach().clone(), reached, 0
        else:
            since += 1
        prior = search.total_variation * total_variation(dummy) if search.total_variation else 0.0
        (slope,) = torch.autograd.grad(distance + prior, [dummy])
        dummy.grad = slope.sign()
        optimizer.step()
        schedule.step()
    return Inverted(value=best, distance=best_distance, steps=taken)
