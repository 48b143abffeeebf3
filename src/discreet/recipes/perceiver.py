"""Train the perceiver on train people, calibrate on validation, score on test people."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from torch.nn.functional import cross_entropy

from discreet.artifacts import code_commit, write_bytes, write_json
from discreet.data import Portrait, load_portraits
from discreet.model import image_processor, load_tower, vision_tokens
from discreet.perception import CLASSES, Head, head_features

COVERAGE = 0.9
"""Share of validation people for whom the perceiver speaks; the least confident tenth is silent."""


def fit_perceiver(out: Path, *, weight_decay: float = 3e-3, seed: int = 0) -> dict[str, object]:
    """Write heads and their scores to `out` (safetensors, JSON beside it); return the scores.

    Multinomial logistic regression on frozen features, so that nothing but the data decides.

    Args:
        out: Path of the safetensors file.
        weight_decay: L2 penalty on the standardised weights.
        seed: Recorded only; the fit is convex and has no chance in it.
    """
    tower, processor = load_tower(), image_processor()
    features, labels = {}, {}
    for split in ("train", "validation", "test"):
        people = load_portraits(split)
        features[split] = head_features(vision_tokens(tower, processor, [p.image for p in people]))
        labels[split] = people
    mean, std = features["train"].mean(0), features["train"].std(0) + 1e-3
    tensors, scores = {}, {}
    for name, classes in CLASSES.items():
        targets = {s: _targets(labels[s], name, classes) for s in labels}
        head = _fit_head(
            (features["train"] - mean) / std, targets["train"], len(classes), weight_decay
        )
        raw = _fold(head, mean, std)
        calibrated = _calibrate(raw, features["validation"], targets["validation"])
        tensors[f"{name}.weight"] = calibrated.weight.half().contiguous()
        tensors[f"{name}.bias"] = calibrated.bias.float().contiguous()
        scores[name] = _score(calibrated, features["test"], targets["test"])
    write_bytes(out, save(tensors))
    card = {
        "heads": scores,
        "seed": seed,
        "commit": code_commit(),
        "weight_decay": weight_decay,
        "coverage": COVERAGE,
    }
    write_json(out.with_suffix(".json"), card)
    return card


def _targets(people: Sequence[Portrait], name: str, classes: tuple[str, ...]) -> torch.Tensor:
    return torch.tensor([classes.index(getattr(person, name)) for person in people])


def _fit_head(x: torch.Tensor, y: torch.Tensor, classes: int, weight_decay: float) -> Head:
    """Return the head with the least penalised cross-entropy on standardised features."""
    weight = torch.zeros(classes, x.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = cross_entropy(x @ weight.T + bias, y) + weight_decay * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return Head(weight=weight.detach(), bias=bias.detach(), temperature=1.0, threshold=0.0)


def _fold(head: Head, mean: torch.Tensor, std: torch.Tensor) -> Head:
    """Return the same head for features that are not standardised."""
    weight = head.weight / std
    return Head(weight=weight, bias=head.bias - weight @ mean, temperature=1.0, threshold=0.0)


def _calibrate(head: Head, x: torch.Tensor, y: torch.Tensor) -> Head:
    """Return the head with the temperature of least loss and the threshold of `COVERAGE`."""
    logits = x @ head.weight.T + head.bias
    grid = torch.logspace(-1, 1, 81)
    best = min(grid, key=lambda t: float(cross_entropy(logits / t, y)))
    scaled = Head(weight=head.weight, bias=head.bias, temperature=float(best), threshold=0.0)
    confidence = scaled.probabilities(x).max(1).values
    return Head(
        weight=head.weight,
        bias=head.bias,
        temperature=float(best),
        threshold=float(confidence.quantile(1 - COVERAGE)),
    )


def _score(head: Head, x: torch.Tensor, y: torch.Tensor) -> dict[str, float]:
    """Return accuracy on all and on answered pictures of held-out people, and calibration."""
    confidence, guess = head.probabilities(x).max(1)
    right = (guess == y).float()
    spoke = confidence >= head.threshold
    return {
        "temperature": head.temperature,
        "threshold": head.threshold,
        "test_accuracy": float(right.mean()),
        "test_accuracy_when_answering": float(right[spoke].mean()),
        "test_coverage": float(spoke.float().mean()),
        "test_calibration_error": _calibration_error(confidence, right),
        "chance": 1 / head.bias.numel(),
    }


def _calibration_error(confidence: torch.Tensor, right: torch.Tensor, bins: int = 10) -> float:
    """Return the expected calibration error over equal-width bins (arXiv:1706.04599, Eq. 3)."""
    place = (confidence * bins).long().clamp(max=bins - 1)
    total = 0.0
    for index in range(bins):
        inside = place == index
        if inside.any():
            gap = float((confidence[inside].mean() - right[inside].mean()).abs())
            total += gap * float(inside.float().mean())
    return total
