"""A trial of attribution with a known truth: a small denoiser, textures, LoRA on mixtures of them.

The auditor's samples are never the suspects'. Run by hand for more suspects than the tests take:

    PYTHONPATH=src python -m tests.attribution.textures 48
"""

import math
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from discreet.attribution import (
    Judgement,
    Update,
    calibrated_intervals,
    influence_scores,
    judge,
    loss_drop_scores,
    norm_scores,
    overlap,
    random_scores,
    seen_through,
    spectrum_scores,
    tell_apart,
    unmix,
    update_of_gradients,
    update_of_lora,
)

SIDE, WIDTH, SCALE = 8, 64, 1.0
LAWS = ("stripes across", "stripes down", "blob", "checks")
Weights = list[tuple[torch.Tensor, torch.Tensor]]


def sample(law: str, count: int, draw: np.random.Generator) -> torch.Tensor:
    """Return (count, 64) textures of a law, about -1 to 1."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    found = np.zeros((count, SIDE, SIDE))
    for place in range(count):
        tilt, phase = draw.normal(0, 0.25), draw.uniform(0, 2 * np.pi)
        x, y = draw.uniform(-0.25, 0.25, 2)
        pace = 2 * np.pi * draw.uniform(1, 2)
        if law == "stripes down":
            one = np.sin(pace * (columns * np.cos(tilt) + rows * np.sin(tilt)) + phase)
        elif law == "stripes across":
            one = np.sin(pace * (rows * np.cos(tilt) + columns * np.sin(tilt)) + phase)
        elif law == "blob":
            one = 2 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 0.05) - 1
        else:
            one = np.sign(np.sin(pace * columns + phase) * np.sin(pace * rows + phase + x))
        found[place] = one + draw.normal(0, 0.05, one.shape)
    return torch.tensor(found.reshape(count, SIDE**2), dtype=torch.float32)


def noised(x: torch.Tensor, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the denoiser reads, a level of noise beside each picture, and the noise."""
    level = torch.rand((*x.shape[:-1], 1), generator=draw)
    noise = torch.randn(x.shape, generator=draw)
    return torch.cat([torch.sqrt(1 - level**2) * x + level * noise, level], -1), noise


def train_base(seed: int = 0, steps: int = 800) -> Weights:
    """Return a denoiser of all four laws."""
    draw = torch.Generator().manual_seed(seed)
    sizes = [SIDE**2 + 1, WIDTH, WIDTH, SIDE**2]
    weights = [
        (torch.randn(o, i, generator=draw) / math.sqrt(i), torch.zeros(o))
        for i, o in zip(sizes[:-1], sizes[1:], strict=True)
    ]
    flat = [tensor.requires_grad_() for pair in weights for tensor in pair]
    teacher = torch.optim.Adam(flat, 3e-3)
    x = torch.cat([sample(law, 500, np.random.default_rng(50 + n)) for n, law in enumerate(LAWS)])
    for _ in range(steps):
        read, noise = noised(x[torch.randint(len(x), (128,), generator=draw)], draw)
        loss = functional.mse_loss(run(weights, None, read)[0], noise)
        teacher.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        teacher.step()
    return [(w.detach(), b.detach()) for w, b in weights]


def run(
    weights: Weights, factors: Weights | None, z: torch.Tensor
) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
    """Return the prediction, what each layer reads and what it gives; factors are (A, B)."""
    inputs, outputs = [], []
    for place, (weight, bias) in enumerate(weights):
        inputs.append(z)
        y = z @ weight.T + bias
        if factors is not None:
            down, up = factors[place]
            y = y + SCALE * (z @ down.mT) @ up.mT
        outputs.append(y)
        z = functional.silu(y) if place < len(weights) - 1 else y
    return z, inputs, outputs


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How an adapter is trained."""

    rank: int = 8
    steps: int = 300
    rate: float = 0.25
    """Of Poisson sampling."""
    lr: float = 1.0
    start: int | None = 42
    """Seed of A, shared by all; None: one of its own for each."""
    clip: float | None = None
    noise_multiplier: float = 0.0
    learns_a: bool = True


def train(base: Weights, data: torch.Tensor, recipe: Recipe, seed: int) -> list[Update]:
    """Return an update for each suspect, all trained at once by (DP-)SGD on A and B.

    The gradient of an example at B is an outer product, so that its length is known without it.

    Args:
        base: Weights below the adapters.
        data: (S, N, 64) of S suspects.
        recipe: With `clip`, each example's gradient is clipped and noise of `noise_multiplier`
            times the norm added to the sum: DP-SGD, Abadi et al. 2016, Algorithm 1.
        seed: Of batches and noise.
    """
    draw = torch.Generator().manual_seed(seed)
    suspects, examples = data.shape[:2]
    factors = []
    for place, (weight, _) in enumerate(base):
        shape = (suspects, recipe.rank, weight.shape[1])
        down = torch.randn(shape, generator=draw)
        if recipe.start is not None:
            start = torch.Generator().manual_seed(recipe.start + place)
            down = torch.randn((64, weight.shape[1]), generator=start)[: recipe.rank]
            down = down.expand(shape).clone()
        factors.append(
            (down / math.sqrt(weight.shape[1]), torch.zeros(suspects, len(weight), recipe.rank))
        )
    for _ in range(recipe.steps):
        coins = torch.rand((suspects, examples), generator=draw) < recipe.rate
        most = max(1, int(coins.sum(1).max()))
        order = (~coins).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]
        weight = coins.gather(1, order).float()
        batch = data.gather(1, order[:, :, None].expand(-1, -1, data.shape[2]))
        step(base, factors, batch, weight, recipe, recipe.rate * examples, draw)
    return [
        update_of_lora(
            {
                f"{place}.lora_{kind}.weight": tensor[one]
                for place, pair in enumerate(factors)
                for kind, tensor in zip("AB", pair, strict=True)
            },
            scale=SCALE,
        )
        for one in range(suspects)
    ]


def step(
    base: Weights,
    factors: Weights,
    batch: torch.Tensor,
    weight: torch.Tensor,
    recipe: Recipe,
    expected: float,
    draw: torch.Generator,
) -> None:
    """Take one step down the clipped, noised mean gradient, in place."""
    read, noise = noised(batch, draw)
    leaves = [(a.requires_grad_(False), b.requires_grad_()) for a, b in factors]
    predicted, inputs, outputs = run(base, leaves, read)
    slopes = torch.autograd.grad((predicted - noise).pow(2).mean(-1).sum(), outputs)
    pieces = []
    with torch.no_grad():
        for slope, z, (down, up) in zip(slopes, inputs, factors, strict=True):
            pieces.append((SCALE * slope, z @ down.mT))
            if recipe.learns_a:
                pieces.append((SCALE * slope @ up, z))
        square = sum((g.pow(2).sum(-1) * u.pow(2).sum(-1) for g, u in pieces), torch.zeros(()))
        if recipe.clip is not None:
            weight = weight * (recipe.clip / square.sqrt().clamp(min=1e-12)).clamp(max=1)
        sums = [(g * weight[..., None]).mT @ u for g, u in pieces]
        targets = [t for a, b in factors for t in ((b, a) if recipe.learns_a else (b,))]
        for target, total in zip(targets, sums, strict=True):
            if recipe.clip is not None and recipe.noise_multiplier:
                spread = recipe.clip * recipe.noise_multiplier
                total = total + spread * torch.randn(total.shape, generator=draw)
            target -= recipe.lr * total / expected


def gradients(base: Weights, x: torch.Tensor, seed: int, repeats: int = 8) -> Update:
    """Return the step down the mean loss of some examples at the base."""
    draw = torch.Generator().manual_seed(seed)
    leaves = [(weight.clone().requires_grad_(), bias) for weight, bias in base]
    read, noise = noised(x.repeat(repeats, 1), draw)
    loss = functional.mse_loss(run(leaves, None, read)[0], noise)
    found = torch.autograd.grad(loss, [weight for weight, _ in leaves])
    return update_of_gradients({str(place): g for place, g in enumerate(found)})


def mean_loss(base: Weights, update: Update | None, x: torch.Tensor, seed: int = 5) -> float:
    """Return the loss of the base with an update."""
    read, noise = noised(x.repeat(6, 1), torch.Generator().manual_seed(seed))
    weights = base
    if update is not None:
        weights = [
            (w + torch.tensor(c.left if c.right is None else c.left @ c.right, dtype=w.dtype), b)
            for (w, b), c in zip(base, update.changes.values(), strict=True)
        ]
    return float(functional.mse_loss(run(weights, None, read)[0], noise))


def mixtures(count: int, draw: np.random.Generator) -> np.ndarray:
    """Return (count, 4) shares of one to three laws."""
    found = np.zeros((count, len(LAWS)))
    for row in found:
        chosen = draw.choice(len(LAWS), draw.integers(1, 4), replace=False)
        row[chosen] = draw.dirichlet(np.full(len(chosen), 2.0))
    return found


def drawn(shares: np.ndarray, examples: int, seed: int) -> tuple[torch.Tensor, np.ndarray]:
    """Return (S, N, 64) data of mixtures, and the shares that were really drawn."""
    draw = np.random.default_rng(seed)
    counts = np.array([draw.multinomial(examples, row) for row in shares])
    data = [
        torch.cat([sample(law, n, draw) for law, n in zip(LAWS, row, strict=True)])
        for row in counts
    ]
    return torch.stack(data), counts / examples


def left_out_effects(
    base: Weights, data: torch.Tensor, truth: np.ndarray, recipe: Recipe, seed: int
) -> np.ndarray:
    """Return (S, 4): how much less the loss on each law falls if it is left out of training.

    Each suspect is trained again without each law, on as many examples of the rest, with the same
    batches and noise: what data did, by trial and not by a score.
    """
    draw = np.random.default_rng(seed)
    suspects, examples = data.shape[:2]
    rest = np.tile(np.arange(examples), (suspects, len(LAWS), 1))
    for one, shares in enumerate(truth):
        law_of = np.repeat(np.arange(len(LAWS)), np.rint(shares * examples).astype(int))
        for law in range(len(LAWS)):
            places = np.flatnonzero(law_of == law)
            others = np.flatnonzero(law_of != law)
            rest[one, law, places] = draw.choice(others, len(places))
    probes = [sample(law, 400, draw) for law in LAWS]
    having = train(base, data, recipe, seed)
    effects = np.zeros((suspects, len(LAWS)))
    for law, probe in enumerate(probes):
        without = train(
            base, torch.stack([x[r] for x, r in zip(data, rest[:, law], strict=True)]), recipe, seed
        )
        effects[:, law] = [
            mean_loss(base, lacking, probe) - mean_loss(base, whole, probe)
            for whole, lacking in zip(having, without, strict=True)
        ]
    return effects


@dataclass(frozen=True, kw_only=True, slots=True)
class Auditor:
    """What an auditor has: the base, own samples of each law, references and gradients of them."""

    base: Weights
    samples: dict[str, torch.Tensor]
    references: dict[str, list[Update]]
    gradients: dict[str, list[Update]]


def make_auditor(recipe: Recipe, *, references: int = 3, examples: int = 200) -> Auditor:
    """Return an auditor who draws every sample anew."""
    base = train_base()
    draw = np.random.default_rng(900)
    samples = {law: sample(law, references * examples, draw) for law in LAWS}
    parts = torch.cat([x.reshape(references, examples, -1) for x in samples.values()])
    trained = train(base, parts, recipe, seed=77)
    return Auditor(
        base=base,
        samples=samples,
        references={
            law: trained[n * references : (n + 1) * references] for n, law in enumerate(LAWS)
        },
        gradients={
            law: [gradients(base, part, n) for n, part in enumerate(x.chunk(references))]
            for law, x in samples.items()
        },
    )


def judged(auditor: Auditor, suspects: Sequence[Update], truth: np.ndarray) -> dict[str, Judgement]:
    """Return how well each score does on suspects of known mixtures."""
    before = np.array([mean_loss(auditor.base, None, x) for x in auditor.samples.values()])
    coin = np.random.default_rng(0)
    scores: dict[str, list[list[float]]] = {}
    for suspect in suspects:
        after = [mean_loss(auditor.base, suspect, x) for x in auditor.samples.values()]
        drop = loss_drop_scores(before, np.array(after))
        of = {
            "unmixing, references": influence_scores(suspect, auditor.references),
            "unmixing, gradients": influence_scores(suspect, auditor.gradients),
            "loss drop": dict(zip(LAWS, drop, strict=True)),
            "loss drop above least": dict(zip(LAWS, drop - drop.min(), strict=True)),
            "angles, outputs": {
                law: float(np.mean([overlap(suspect, one) for one in auditor.references[law]]))
                for law in LAWS
            },
            "spectrum": spectrum_scores(suspect, auditor.references),
            "norm": norm_scores(suspect, LAWS),
            "random": random_scores(LAWS, coin),
        }
        for name, found in of.items():
            scores.setdefault(name, []).append([found[law] for law in LAWS])
    return {name: judge(np.array(found), truth) for name, found in scores.items()}


SGD = Recipe()
CLIPPED = Recipe(clip=0.3)
DP_SGD = replace(CLIPPED, noise_multiplier=1.0)
TRIALS = {
    "SGD": (SGD, SGD),
    "SGD, rank 4 and 150 steps, references of 8 and 300": (replace(SGD, rank=4, steps=150), SGD),
    "SGD, every adapter with a start of its own": (replace(SGD, start=None), SGD),
    "DP-SGD, references alike": (DP_SGD, DP_SGD),
    "DP-SGD, references clipped without noise": (DP_SGD, CLIPPED),
    "DP-SGD, A frozen, references without noise": (
        replace(DP_SGD, learns_a=False),
        replace(CLIPPED, learns_a=False),
    ),
}
"""How suspects are trained, and the auditor's references."""


def main(count: int) -> Iterator[str]:
    """Yield what a larger trial finds, line by line."""
    began = time.process_time()
    shares = mixtures(count, np.random.default_rng(3))
    for name, (recipe, own) in TRIALS.items():
        auditor = make_auditor(own)
        data, truth = drawn(shares, 200, seed=4)
        suspects = train(auditor.base, data, recipe, seed=5)
        fell = np.mean([mean_loss(auditor.base, None, x) for x in data]) - np.mean(
            [mean_loss(auditor.base, s, x) for s, x in zip(suspects, data, strict=True)]
        )
        yield f"{name}: loss on own data fell by {fell:.3f}; norm {suspects[0].norm:.2f}"
        for score, found in judged(auditor, suspects, truth).items():
            rho = found.spearman.value if found.spearman else math.nan
            yield (
                f"  {score:21} AUC {found.auc.value:.3f} "
                f"[{found.auc.low:.2f}, {found.auc.high:.2f}]"
                f" rho {rho:.2f} MAE {found.error.value:.3f} (uniform {found.uniform:.3f})"
                f" placebo {found.placebo.value:.2f}"
            )
        for kind, candidates in (("refs", auditor.references), ("gradients", auditor.gradients)):
            known = tell_apart(seen_through(candidates, suspects[0]))
            far = min(pair.low for pair in known.pairs)
            yield f"  {kind}: {len(known.groups)} groups, least difference above {far:.2f}"
            found = [unmix(one, candidates, groups=[[law] for law in LAWS]) for one in suspects]
            rows = [place for place, mixture in enumerate(found) if mixture.shares]
            ends = np.array([[(s.share, s.low, s.high) for s in found[i].shares] for i in rows])
            true = truth[rows]
            held = (ends[..., 1] <= true) & (true <= ends[..., 2])
            half = len(rows) // 2
            told = ends[..., 0]
            low, high = calibrated_intervals(told[half:], told[:half], true[:half], confidence=0.9)
            all_held = ((low <= true[half:]) & (true[half:] <= high)).all(1)
            yield (
                f"  {kind}: told of {len(rows)}; shares in their intervals {held.mean():.2f}; all "
                f"of one in calibrated ones (0.9) {all_held.mean():.2f}, "
                f"half width {(high - low).max() / 2:.2f}"
            )
        yield f"  {time.process_time() - began:.0f} s of processor time"


if __name__ == "__main__":
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    for line in main(int(sys.argv[1])):
        print(line, flush=True)
