"""What an attacker sees of one example's gradient, and what it makes of it: for `reconstruction`.

The attacker is given much: the first adapter, all text of the example, and pictures of other people
to learn from. What it looks for is the picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from discreet.audit.subject import Subject
from discreet.federated import (
    FIRST_NODE_ID,
    PortraitLessons,
    kept_updates,
    plan_of,
    presentations,
)
from discreet.model import Batch, adapter_parameters, answer_losses, collate
from discreet.privacy import clipped_sum_of
from discreet.reconstruction import (
    Decoder,
    Gradients,
    Search,
    centred_cosine,
    fit_decoder,
    invert,
    psnr,
    rank_in_gallery,
    rank_of,
    ssim,
)
from discreet.types import OwnerId

ONE, BATCH = "one example, no protection", "mean of a batch, no protection"
PLAN = "a step as this plan protects it"
SUM = "sum of all owners' batches, no noise"
KEPT = "an owner's update as it was sent, round 1"
SIDE = 32
"""Of the grey pictures that are compared, in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One example that is attacked."""

    owner: OwnerId
    lessons: PortraitLessons = field(repr=False)
    place: int

    @property
    def tokens(self) -> torch.Tensor:
        """Its visual tokens, (P, D)."""
        return self.lessons.visual.of([self.lessons.examples[self.place].portrait])[0]

    @property
    def picture(self) -> torch.Tensor:
        """(1, SIDE, SIDE) grey, in [0, 1]."""
        return grey(self.lessons, self.lessons.examples[self.place].portrait)


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What the attacker has of people whom no owner holds."""

    gallery: torch.Tensor = field(repr=False)
    """(K - 1, P, D) visual tokens among which the true ones are hidden."""
    mean: torch.Tensor = field(repr=False)
    """(P, D) of the people that the decoder was taught on."""
    spread: float
    """Standard deviation of their numbers around it: the length of a first step."""
    decoder: Decoder = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Attacked:
    """What was made of one example's gradient."""

    cosine: float
    """Of the reconstructed visual tokens with the true ones, both less the mean picture's."""
    found_by_tokens: bool
    """Whether the true picture is the most alike in the gallery."""
    found_by_gradient: bool
    """Whether its gradient is the most alike among those of the gallery."""
    psnr: float
    ssim: float


def grey(lessons: PortraitLessons, place: int) -> torch.Tensor:
    """Return a small grey copy of a picture, (1, SIDE, SIDE) float32 in [0, 1]."""
    small = lessons.visual.pictures[place].image.convert("L").resize((SIDE, SIDE))
    return torch.from_numpy(np.asarray(small, dtype=np.float32) / 255)[None]


def know_others(others: PortraitLessons, *, gallery: int, taught: int) -> Known:
    """Return tokens and a decoder of held-out people: some to hide among, the others to learn from.

    Raises:
        ValueError: if there are too few people.
    """
    by_person: dict[str, int] = {}
    for example in others.examples:
        by_person.setdefault(example.identity_id, example.portrait)
    places = list(by_person.values())
    hidden, rest = places[: gallery - 1], set(by_person)
    shown = set(list(by_person)[: gallery - 1])
    learnt = [e.portrait for e in others.examples if e.identity_id in rest - shown][:taught]
    if len(hidden) < gallery - 1 or len(learnt) < 2:
        raise ValueError(
            f"Expected {gallery + 1} people or more whom no owner holds, got {len(places)}. Ask "
            "with less effort, or give data with more people."
        )
    tokens = others.visual.of(learnt)
    pictures = torch.stack([grey(others, place) for place in learnt])
    return Known(
        gallery=others.visual.of(hidden),
        mean=tokens.mean(0),
        spread=float((tokens - tokens.mean(0)).std()),
        decoder=fit_decoder(tokens, pictures),
    )


def gradients_with(
    subject: Subject, batch: Batch, tokens: torch.Tensor, *, again: bool = False
) -> Gradients:
    """Return an example's gradients if its picture had these visual tokens (P, D).

    Args:
        subject: With its first adapter loaded.
        batch: Both presentations of the example.
        tokens: True or tried.
        again: They are to be differentiated in turn.
    """
    parameters = list(adapter_parameters(subject.task.vlm).values())
    with sdpa_kernel(SDPBackend.MATH):  # the others cannot be differentiated twice
        loss = answer_losses(subject.task.vlm, batch, tokens[None]).mean()
        return torch.autograd.grad(loss, parameters, create_graph=again)


def batch_of(target: Target) -> Batch:
    """Return both presentations of an example."""
    return collate(target.lessons.vlm, presentations(target.lessons.examples[target.place]))


def seen_of(subject: Subject, target: Target, *, size: int, seed: int) -> dict[str, Gradients]:
    """Return what a server sees that holds the target, by how it is protected.

    Args:
        subject: With its first adapter loaded.
        target: Is in every batch.
        size: Of batches without protection.
        seed: Of batches and noise.
    """
    draw = np.random.default_rng([seed, target.place])
    alone = [part.detach() for part in gradients_with(subject, batch_of(target), target.tokens)]
    mean = _mean_gradient(subject, target.lessons, _with(target, size, draw))
    summed = [part.clone() for part in mean]
    for owner in subject.owners:
        if owner == target.owner:
            continue
        lessons = subject.members(owner)
        chosen = draw.permutation(len(lessons))[:size].tolist()
        for total, part in zip(summed, _mean_gradient(subject, lessons, chosen), strict=True):
            total += part
    plan = plan_of(subject.plan)
    drawn = _with(target, plan.expected_batch_size, draw)
    found = {ONE: alone, BATCH: mean, PLAN: _private(subject, target, drawn, seed), SUM: summed}
    return found | _kept(subject, target)


def attack(
    subject: Subject, target: Target, known: Known, seen: Mapping[str, Gradients], search: Search
) -> dict[str, Attacked]:
    """Return what is made of each thing that was seen."""
    batch, true = batch_of(target), target.tokens
    gallery = torch.cat([true[None], known.gallery])
    tried = torch.stack([_flat(gradients_with(subject, batch, one)) for one in gallery])

    def gradients_of(moved: torch.Tensor) -> Gradients:
        return gradients_with(subject, batch, known.mean + known.spread * moved, again=True)

    found = {}
    for name, gradients in seen.items():
        start = torch.zeros_like(known.mean)
        moved = invert(gradients_of, gradients, [start], search).value
        inverted = known.mean + known.spread * moved
        drawn = known.decoder.draw(inverted).float()
        found[name] = Attacked(
            cosine=centred_cosine(inverted, true, known.mean),
            found_by_tokens=rank_in_gallery(inverted, gallery, truth=0) == 1,
            found_by_gradient=rank_of(agreement(tried, _flat(gradients)), truth=0) == 1,
            psnr=psnr(drawn, target.picture),
            ssim=ssim(drawn, target.picture),
        )
    return found


def agreement(tried: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Return the cosine of what was seen with each known picture's gradient, (K,).

    The direction that all of them share, which is that of the text, is taken off both.

    Args:
        tried: (K, N) gradients with each picture in the true one's place.
        seen: (N,).
    """
    shared = torch.nn.functional.normalize(tried.mean(0), dim=0)
    own = tried - (tried @ shared)[:, None] * shared
    return torch.nn.functional.cosine_similarity(own, seen - (seen @ shared) * shared, dim=1)


def _flat(gradients: Gradients) -> torch.Tensor:
    return torch.cat([part.detach().double().flatten() for part in gradients])


def _with(target: Target, size: int, draw: np.random.Generator) -> list[int]:
    """Return the target and others of its owner, `size` in all where there are as many."""
    others = draw.permutation(len(target.lessons)).tolist()
    return [target.place, *[place for place in others if place != target.place][: size - 1]]


def _mean_gradient(subject: Subject, lessons: object, places: Sequence[int]) -> Gradients:
    assert isinstance(lessons, PortraitLessons), "asked in `_lacks`"
    parameters = list(adapter_parameters(subject.task.vlm).values())
    return torch.autograd.grad(lessons.losses(places).mean(), parameters)


def _private(subject: Subject, target: Target, drawn: Sequence[int], seed: int) -> Gradients:
    """Return the noisy sum of clipped gradients, by the code of the private step."""
    plan, vlm = plan_of(subject.plan), subject.task.vlm
    total = clipped_sum_of(
        vlm.model,
        target.lessons.losses,
        max_grad_norm=plan.max_grad_norm,
        rows_per_example=target.lessons.rows_per_example,
        max_physical_batch=subject.plan.max_physical_batch,
    )(drawn)
    noise = torch.Generator().manual_seed(seed * 1_000_003 + target.place)
    scale = plan.gradient_noise_multiplier * plan.max_grad_norm
    noisy = total.cpu() + scale * torch.randn(total.shape, generator=noise, dtype=total.dtype)
    parameters = list(adapter_parameters(vlm).values())
    parts = noisy.float().split([p.numel() for p in parameters])
    return [part.view_as(p) for part, p in zip(parts, parameters, strict=True)]


def _kept(subject: Subject, target: Target) -> dict[str, Gradients]:
    """Return the update that the target's owner sent in the first round, if it was kept."""
    node = FIRST_NODE_ID + subject.owners.index(target.owner)
    update = kept_updates(subject.run, subject.first).get(1, {}).get(node)
    if update is None:
        return {}
    names = list(adapter_parameters(subject.task.vlm))
    return {KEPT: [-update[name].float() for name in names]}
