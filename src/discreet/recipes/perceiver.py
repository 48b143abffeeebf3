"""Train the perceiver on train people, certify it on validation people, score it on test people.

Three parts, three uses. Train people are fitted to; a quarter of them, left out of a first fit,
give the temperature and the order in which thresholds are tried. Validation people decide by a test
how far down that order a head may go (`recipes/selection.py`). Test people are looked at once, at
the end.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from PIL.Image import Image
from safetensors.torch import save
from torch.nn.functional import cross_entropy

from discreet.artifacts import code_commit, write_bytes, write_json
from discreet.data import Portrait, load_portraits
from discreet.model import image_processor, load_tower, picture_views
from discreet.perception import (
    CLASSES,
    HEADS,
    Head,
    HeadName,
)
from discreet.recipes.crowds import Crowd, draw_crowds
from discreet.recipes.scores import AUDITED, scores_by_group, scores_of
from discreet.recipes.selection import (
    NEVER,
    certified,
    evidence,
    is_said,
    risk_by_unit,
    thresholds_for,
)
from discreet.recipes.views import views_of
from discreet.types import FACES, Split

LEVELS: dict[HeadName, float] = {
    "age_band": 0.15,
    "expression": 0.05,
    "face_present": 0.05,
    "faces": 0.1,
}
"""The error promised among what a head says; chosen so that it can answer `COVERAGE`."""
COVERAGE = 0.9
"""Share of validation pictures answered that is enough; a head that can promise less says less."""
DELTA = 0.1
"""Probability that validation people are such that a promise is broken; for each head."""
PICTURES = 12
"""Pictures with no, one or several faces that each group of four people gets."""
_SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_CAREFUL = [step / 20 for step in range(4, 61)]
"""Errors on the people left out of the first fit, as shares of the promise, from low to high."""
_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Album:
    """Pictures as a head sees them, with what is true of them."""

    features: torch.Tensor
    """(N, features)."""
    targets: dict[HeadName, torch.Tensor]
    """(N,) int64 for each head that these pictures are for."""
    units: torch.Tensor
    """(N,) int64: who is in a picture. Two pictures of different units show different people."""
    groups: dict[str, list[str]]
    """Audit labels, read by `recipes/scores.py` alone; empty where several people are shown."""


Albums = Mapping[Split, Album]


def fit_perceiver(out: Path, *, weight_decay: float = 3e-3, seed: int = 0) -> dict[str, object]:
    """Write heads and their scores to `out` (safetensors, JSON beside it); return the scores.

    Multinomial logistic regression on frozen features, so that nothing but the data decides.

    Args:
        out: Path of the safetensors file.
        weight_decay: L2 penalty on the standardised weights.
        seed: Of the pictures with several faces; the fit is convex and has no chance in it.
    """
    people = {split: load_portraits(split) for split in _SPLITS}
    portraits = {split: portrait_album(own, views_of(own)) for split, own in people.items()}
    crowds = {}
    for number, split in enumerate(_SPLITS):
        drawn: list[Crowd] = []
        features = features_of(draw_crowds_of(people[split], seed + number, drawn))
        crowds[split] = crowd_album(drawn, features, portraits[split])
    return fit_heads(out, portraits, lend(crowds), weight_decay=weight_decay, seed=seed)


def fit_heads(
    out: Path, portraits: Albums, crowds: Albums, *, weight_decay: float, seed: int
) -> dict[str, object]:
    """Write heads fitted to albums; return what `fit_perceiver` returns."""
    tensors, scores = {}, {}
    for name, classes in HEADS.items():
        albums = portraits if name in CLASSES else crowds
        head = fit_and_certify(name, albums, len(classes), weight_decay)
        tensors[f"{name}.weight"] = head.weight.half().contiguous()
        tensors[f"{name}.bias"] = head.bias.float().contiguous()
        scores[name] = _score(name, head, albums["test"])
        if name == "faces":
            scores[name]["portraits_seen_as_one"] = _seen_as_one(head, portraits["test"])
    write_bytes(out, save(tensors))
    card = {
        "heads": scores,
        "seed": seed,
        "commit": code_commit(),
        "weight_decay": weight_decay,
        "coverage": COVERAGE,
        "delta": DELTA,
    }
    write_json(out.with_suffix(".json"), card)
    return card


def features_of(pictures: Iterable[Image]) -> torch.Tensor:
    """Return what the heads read of pictures, (N, features), holding few of them at a time."""
    tower, processor = load_tower(), image_processor()
    rest, done = iter(pictures), []
    while chunk := list(islice(rest, _AT_ONCE)):
        done.append(picture_views(tower, processor, chunk))
    return torch.cat(done)


def portrait_album(people: Sequence[Portrait], features: torch.Tensor) -> Album:
    """Return portraits as an album; its units are persons."""
    persons = {identity: n for n, identity in enumerate(_persons(people))}
    return Album(
        features=features,
        targets={name: _targets(people, name, classes) for name, classes in CLASSES.items()},
        units=torch.tensor([persons[p.identity_id] for p in people]),
        groups={label: [p.audit_labels.get(label, "") for p in people] for label in AUDITED},
    )


def crowd_album(drawn: Sequence[Crowd], features: torch.Tensor, portraits: Album) -> Album:
    """Return pictures of groups, and a portrait of each of their people; units are groups."""
    members = {crowd.group: crowd.members for crowd in drawn}
    first = {int(unit): n for n, unit in reversed(list(enumerate(portraits.units)))}
    alone = [(group, first[person]) for group, own in members.items() for person in own]
    faces = torch.tensor([crowd.faces for crowd in drawn] + [1] * len(alone))
    return Album(
        features=torch.cat([features, portraits.features[[place for _, place in alone]]]),
        targets={"face_present": (faces > 0).long(), "faces": faces.clamp(max=len(FACES) - 1)},
        units=torch.tensor([crowd.group for crowd in drawn] + [group for group, _ in alone]),
        groups={},
    )


def draw_crowds_of(people: Sequence[Portrait], seed: int, drawn: list[Crowd]) -> Iterator[Image]:
    """Yield the pictures of groups that people give; add to `drawn` what is true of each."""
    own = [[p.image for p in people if p.identity_id == one] for one in _persons(people)]
    for image, crowd in draw_crowds(own, pictures=PICTURES, seed=seed):
        drawn.append(crowd)
        yield image


def lend(crowds: Albums) -> Albums:
    """Return crowds with every fourth group of train people moved to validation.

    A unit is a group here. The validation people alone are too few groups to prove anything by.
    """
    train, held = crowds["train"], crowds["validation"]
    away = train.units % 4 == 1
    lent = _part(train, away)
    joined = Album(
        features=torch.cat([lent.features, held.features]),
        targets={n: torch.cat([lent.targets[n], held.targets[n]]) for n in held.targets},
        units=torch.cat([lent.units, held.units + int(train.units.max()) + 1]),
        groups={},
    )
    return {**crowds, "train": _part(train, ~away), "validation": joined}


def _part(album: Album, inside: torch.Tensor) -> Album:
    """Return the pictures for which `inside`, (N,) bool, is true."""
    places = inside.nonzero()[:, 0].tolist()
    return Album(
        features=album.features[inside],
        targets={name: target[inside] for name, target in album.targets.items()},
        units=album.units[inside],
        groups={label: [values[n] for n in places] for label, values in album.groups.items()},
    )


def _persons(people: Sequence[Portrait]) -> list[str]:
    return list(dict.fromkeys(p.identity_id for p in people))


def _targets(people: Sequence[Portrait], name: str, classes: tuple[str, ...]) -> torch.Tensor:
    return torch.tensor([classes.index(getattr(person, name)) for person in people])


def fit_and_certify(name: HeadName, albums: Albums, classes: int, weight_decay: float) -> Head:
    """Return a head that speaks where the promise of `LEVELS` was tested to hold."""
    train, held, level = albums["train"], albums["validation"], LEVELS[name]
    aside = train.units % 4 == 0
    tuning, rest = _part(train, aside), _part(train, ~aside)
    first = _fit_raw(rest.features, rest.targets[name], classes, weight_decay)
    temperature = _temperature(first, tuning.features, tuning.targets[name])
    order = _order(name, replace(first, temperature=temperature), tuning)
    head = _fit_raw(train.features, train.targets[name], classes, weight_decay)
    head = replace(head, weight=head.weight.half().float(), temperature=temperature)
    confidence, guess = _guesses(head, held.features)
    wrong = guess != held.targets[name]
    thresholds = certified(
        order, confidence, guess, wrong, held.units, level=level, delta=DELTA, coverage=COVERAGE
    )
    return replace(head, thresholds=thresholds or (NEVER,) * classes)


def _order(name: HeadName, head: Head, tuning: Album) -> list[tuple[float, ...]]:
    """Return thresholds from careful to bold, from where the tuning people prove most on."""
    target, level = tuning.targets[name], LEVELS[name]
    confidence, guess = _guesses(head, tuning.features)
    order, proofs = [], []
    for share in _CAREFUL:
        found = thresholds_for(
            confidence, guess, target, classes=head.bias.numel(), error=level * share
        )
        said = is_said(confidence, guess, found)
        order.append(found)
        proofs.append(
            evidence(risk_by_unit(said, guess != target, tuning.units, level=level), level=level)
        )
    return order[proofs.index(max(proofs)) :]


def _fit_raw(x: torch.Tensor, y: torch.Tensor, classes: int, weight_decay: float) -> Head:
    """Return a head for features as they are, fitted to standardised ones."""
    mean, std = x.mean(0), x.std(0) + 1e-3
    return _fold(_fit_head((x - mean) / std, y, classes, weight_decay), mean, std)


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
    return _silent(weight.detach(), bias.detach())


def _fold(head: Head, mean: torch.Tensor, std: torch.Tensor) -> Head:
    """Return the same head for features that are not standardised."""
    weight = head.weight / std
    return _silent(weight, head.bias - weight @ mean)


def _silent(weight: torch.Tensor, bias: torch.Tensor) -> Head:
    """Return a head that may say nothing yet."""
    return Head(weight=weight, bias=bias, temperature=1.0, thresholds=(NEVER,) * bias.numel())


def _temperature(head: Head, x: torch.Tensor, y: torch.Tensor) -> float:
    """Return the temperature of least loss; 1 without an error, where the least has no end."""
    logits = x @ head.weight.T + head.bias
    if bool((logits.argmax(1) == y).all()):
        return 1.0
    grid = torch.logspace(-1, 1, 81)
    return float(min(grid, key=lambda t: float(cross_entropy(logits / t, y))))


def _guesses(head: Head, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return confidence and likeliest class, (N,) each."""
    confidence, guess = head.probabilities(x).max(1)
    return confidence, guess


def _score(name: HeadName, head: Head, album: Album) -> dict[str, object]:
    """Return what a head promises and what it does on held-out people."""
    target, level = album.targets[name], LEVELS[name]
    confidence, guess = _guesses(head, album.features)
    wrong = guess != target
    said = is_said(confidence, guess, head.thresholds)
    whole = scores_of(said, wrong, album.units, level=level)
    groups = {
        "true_value": [HEADS[name][int(value)] for value in target],
        "value_said": [HEADS[name][int(value)] for value in guess],
    }
    if name == "expression":
        groups["age_band"] = [CLASSES["age_band"][int(v)] for v in album.targets["age_band"]]
    groups |= album.groups
    return {
        "temperature": head.temperature,
        "thresholds": list(head.thresholds),
        "promised_error": level,
        "test_accuracy": float((~wrong).float().mean()),
        "test_accuracy_when_answering": 1 - whole["error_when_answering"],
        "test_coverage": whole["coverage"],
        "test_calibration_error": _calibration_error(confidence, (~wrong).float()),
        "chance": 1 / head.bias.numel(),
        "test": whole,
        "test_by_group": scores_by_group(said, wrong, album.units, groups, level=level),
    }


def _seen_as_one(head: Head, portraits: Album) -> dict[str, object]:
    """Return how often a whole portrait, which shows one face, is said to; by group, too."""
    confidence, guess = _guesses(head, portraits.features)
    said = is_said(confidence, guess, head.thresholds)
    seen = said & (guess == FACES.index("one"))
    bands = [CLASSES["age_band"][int(v)] for v in portraits.targets["age_band"]]
    groups = {"age_band": bands, **portraits.groups}
    return {
        "share": float(seen.float().mean()),
        "by_group": {
            label: {
                value: float(seen[torch.tensor([v == value for v in values])].float().mean())
                for value in sorted(set(values))
            }
            for label, values in groups.items()
        },
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
