"""Attribution of adapters that were really trained, with SGD and with DP-SGD, on known mixtures."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from discreet.attribution import (
    Judgement,
    Update,
    influence_scores,
    seen_through,
    tell_apart,
    unmix,
)
from tests.attribution.textures import (
    CLIPPED,
    DP_SGD,
    LAWS,
    SGD,
    Auditor,
    Recipe,
    drawn,
    gradients,
    judged,
    left_out_effects,
    make_auditor,
    mixtures,
    noised,
    run,
    sample,
    step,
    train,
    train_base,
)

SUSPECTS = 20
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _one_core() -> None:
    torch.set_num_threads(1)


def trial(recipe: Recipe, own: Recipe) -> tuple[Auditor, list[Update], dict[str, Judgement]]:
    auditor = make_auditor(own)
    data, truth = drawn(mixtures(SUSPECTS, np.random.default_rng(3)), 200, seed=4)
    suspects = train(auditor.base, data, recipe, seed=5)
    return auditor, suspects, judged(auditor, suspects, truth)


@pytest.fixture(scope="module")
def plain() -> tuple[Auditor, list[Update], dict[str, Judgement]]:
    return trial(SGD, SGD)


def test_unmixing_finds_what_was_used_and_how_much(
    plain: tuple[Auditor, list[Update], dict[str, Judgement]],
) -> None:
    _, _, found = plain
    for name, error in (("unmixing, references", 0.05), ("unmixing, gradients", 0.1)):
        assert found[name].auc.low > 0.8
        assert found[name].auc.value > found[name].placebo.high
        assert found[name].error.value < error < found[name].uniform / 2
        assert found[name].gain.low > 0
    ours, drop = found["unmixing, references"].error, found["loss drop above least"].error
    assert ours.high < drop.low
    assert ours.high < found["loss drop"].error.low


def test_placebos_are_a_coin(plain: tuple[Auditor, list[Update], dict[str, Judgement]]) -> None:
    _, _, found = plain
    for judgement in found.values():
        assert judgement.placebo.value == pytest.approx(0.5, abs=0.02)
        assert judgement.placebo.low <= 0.5 <= judgement.placebo.high
    for name in ("norm", "random"):
        assert found[name].auc.low <= 0.5 <= found[name].auc.high


def test_other_samples_of_one_law_cannot_be_told_apart(
    plain: tuple[Auditor, list[Update], dict[str, Judgement]],
) -> None:
    """A hard negative: the owner of other blobs is one with the owner of blobs."""
    auditor, suspects, _ = plain
    others = sample("blob", 600, np.random.default_rng(901))
    twins = {
        "references": auditor.references
        | {"other blobs": train(auditor.base, others.reshape(3, 200, -1), SGD, seed=78)},
        "gradients": auditor.gradients
        | {
            "other blobs": [
                gradients(auditor.base, x, 9 + n) for n, x in enumerate(others.chunk(3))
            ]
        },
    }
    for candidates in twins.values():
        known = tell_apart(seen_through(candidates, suspects[0]))
        assert set(known.groups) == {
            ("stripes across",),
            ("stripes down",),
            ("blob", "other blobs"),
            ("checks",),
        }
        assert [*unmix(suspects[0], candidates).shares][2].candidates == ("blob", "other blobs")


@pytest.mark.parametrize(
    ("recipe", "own", "error"),
    [
        (replace(SGD, rank=4, steps=150), SGD, 0.08),
        (replace(SGD, start=None), SGD, 0.1),
        (DP_SGD, CLIPPED, 0.1),
        (replace(DP_SGD, learns_a=False), replace(CLIPPED, learns_a=False), 0.1),
    ],
    ids=["other rank and steps", "own starts", "DP-SGD", "DP-SGD, A frozen"],
)
def test_it_works_elsewhere_and_under_private_training(
    recipe: Recipe, own: Recipe, error: float
) -> None:
    """Private suspects have a norm that is mostly noise; the auditor's references have none."""
    _, _, found = trial(recipe, own)
    for name in ("unmixing, references", "unmixing, gradients"):
        assert found[name].auc.low > 0.75
        assert found[name].auc.value > found[name].placebo.high
        assert found[name].error.value < error
        assert found[name].gain.low > 0


@pytest.mark.parametrize("recipe", [SGD, DP_SGD], ids=["SGD", "DP-SGD"])
def test_shares_follow_what_leaving_a_law_out_does(recipe: Recipe) -> None:
    """Ground truth by training again without each law, for suspects of two laws or more."""
    auditor = make_auditor(replace(recipe, noise_multiplier=0.0))
    shares = mixtures(16, np.random.default_rng(8))
    data, truth = drawn(shares[(shares > 0).sum(1) > 1], 200, seed=9)
    effects = left_out_effects(auditor.base, data, truth, recipe, seed=10)
    suspects = train(auditor.base, data, recipe, seed=10)
    for candidates in (auditor.references, auditor.gradients):
        told = [[*influence_scores(suspect, candidates).values()] for suspect in suspects]
        orders = [spearmanr(ours, true)[0] for ours, true in zip(told, effects, strict=True)]
        assert np.mean(orders) > 0.6
        largest = np.mean(
            [np.argmax(a) == np.argmax(b) for a, b in zip(told, effects, strict=True)]
        )
        assert largest > 0.5  # a coin: 0.25


@pytest.mark.parametrize("clip", [None, 0.2])
def test_a_step_is_that_of_a_loop_over_examples(clip: float | None) -> None:
    base = train_base(steps=1)
    draw = torch.Generator().manual_seed(0)
    shapes = [((1, 3, w.shape[1]), (1, len(w), 3)) for w, _ in base]
    factors = [tuple(torch.randn(s, generator=draw) / 4 for s in pair) for pair in shapes]
    batch = sample(LAWS[0], 5, np.random.default_rng(0))[None]
    weight = torch.tensor([[1.0, 1, 1, 1, 0]])
    read, noise = noised(batch, torch.Generator().manual_seed(7))
    total = [torch.zeros_like(t) for pair in factors for t in pair]
    for place in range(4):
        leaves = [tuple(t.clone().requires_grad_() for t in pair) for pair in factors]
        loss = (run(base, leaves, read[:, place : place + 1])[0] - noise[:, place]).pow(2).mean()
        found = torch.autograd.grad(loss, [t for pair in leaves for t in pair])
        length = torch.cat([g.ravel() for g in found]).norm()
        assert length > 0.2
        scale = 1.0 if clip is None else clip / length
        total = [t + scale * g for t, g in zip(total, found, strict=True)]
    expected = [
        t - g / 4 for t, g in zip([t for pair in factors for t in pair], total, strict=True)
    ]
    moved = [tuple(t.clone() for t in pair) for pair in factors]
    step(base, moved, batch, weight, Recipe(clip=clip), 4.0, torch.Generator().manual_seed(7))
    for ours, slow in zip([t for pair in moved for t in pair], expected, strict=True):
        assert ours.detach().numpy() == pytest.approx(slow.numpy(), abs=1e-5)


def test_noise_is_as_large_as_it_says() -> None:
    base = train_base(steps=1)
    data = sample(LAWS[0], 6, np.random.default_rng(0))[None]
    recipe = Recipe(steps=1, rate=1.0, clip=1.0, noise_multiplier=50.0)
    (blurred,) = train(base, data, recipe, seed=1)
    spread = np.concatenate([c.left.ravel() for c in blurred.changes.values()]).std()
    assert spread == pytest.approx(50 / 6, rel=0.1)
