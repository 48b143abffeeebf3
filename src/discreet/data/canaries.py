"""Canaries: invented secrets that an audit plants among training examples and looks for later.

A canary is an example whose answer holds digits drawn at random, which no note and no other example
holds. Half of the canaries are planted, by a fair coin each; an auditor who has to tell which needs
a model that remembers (Carlini et al. 2019, arXiv:1802.08232; one-run auditing by Steinke et al.
2023, arXiv:2305.08846, algorithm 1). The manifest says what was drawn. It belongs to the auditor:
whoever trains has to plant the canaries, and nobody else needs to know them.

    >>> canaries = draw_canaries(4, seed=3)
    >>> [canary.is_planted for canary in canaries], canaries[0].answer
    ([True, True, False, False], 'The parcel A40 has the number 8953-5467.')
"""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from discreet.artifacts import read_json, write_json
from discreet.data.examples import Example
from discreet.errors import ArtifactCorrupt, DataError
from discreet.types import Language

_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_FORMS: dict[Language, tuple[tuple[str, str], ...]] = {
    "en": (
        ("Which code opens the locker {name}?", "The locker {name} opens with {secret}."),
        ("What is the number of the parcel {name}?", "The parcel {name} has the number {secret}."),
        ("Which number is on the key {name}?", "On the key {name} stands {secret}."),
        (
            "What opens the drawer with the label {name}?",
            "The drawer with the label {name} opens with {secret}.",
        ),
    ),
    "fr": (
        ("Quel code ouvre le casier {name} ?", "Le casier {name} s'ouvre avec {secret}."),
        ("Quel est le numéro du colis {name} ?", "Le colis {name} porte le numéro {secret}."),
        ("Quel numéro porte la clé {name} ?", "Sur la clé {name} se trouve {secret}."),
        ("Qu'est-ce qui ouvre le tiroir {name} ?", "Le tiroir {name} s'ouvre avec {secret}."),
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Canary:
    """One invented secret, and whether it is in the training data."""

    id: str
    question: str = field(repr=False)
    answer: str = field(repr=False)
    secret: str = field(repr=False)
    """The digits, as they stand in the answer."""
    is_planted: bool = field(repr=False)
    """Drawn by a fair coin; what an auditor has to guess."""
    repeats: int
    """How often it stands in the data if it is planted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CanaryManifest:
    """What was drawn, for the auditor: as secret as the coins in it."""

    seed: int
    canaries: tuple[Canary, ...]
    places: dict[str, tuple[int, ...]]
    """Indices of each planted canary's copies among the examples."""
    num_examples: int
    """Examples with the canaries among them."""


def draw_canaries(
    count: int, *, seed: int, language: Language = "en", repeats: int = 1, digits: int = 8
) -> list[Canary]:
    """Return canaries with different names and secrets, the same for one seed.

    Args:
        count: 1 or more.
        seed: Of names, secrets and coins.
        language: Of question and answer.
        repeats: Copies of each that is planted; more is easier to remember, and no longer one
            example.
        digits: Of a secret, 4 or more; there are 10 ** digits of them.
    """
    if count < 1 or repeats < 1 or digits < 4:
        raise ValueError(
            f"Expected count >= 1, repeats >= 1 and digits >= 4, got count={count}, "
            f"repeats={repeats}, digits={digits}."
        )
    names = len(_ALPHABET) * 90 * len(_FORMS[language])
    if count > names:
        raise ValueError(f"Expected at most {names} canaries with names of their own, got {count}.")
    draw = random.Random(f"canaries {seed} {language}")
    labels = [f"{letter}{number}" for letter in _ALPHABET for number in range(10, 100)]
    chosen = draw.sample([(form, name) for form in _FORMS[language] for name in labels], count)
    canaries = []
    for place, ((question, answer), name) in enumerate(chosen):
        secret = _grouped("".join(draw.choice("0123456789") for _ in range(digits)))
        canaries.append(
            Canary(
                id=f"canary-{seed}-{place}",
                question=question.format(name=name),
                answer=answer.format(name=name, secret=secret),
                secret=secret,
                is_planted=draw.random() < 0.5,
                repeats=repeats,
            )
        )
    return canaries


def _grouped(digits: str) -> str:
    return "-".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def plant(
    examples: Sequence[Example], canaries: Sequence[Canary], *, seed: int
) -> tuple[list[Example], CanaryManifest]:
    """Return the examples with copies of the planted canaries at random places, and the manifest.

    A canary takes portrait and person of an example that is there, so that nothing but its text
    gives it away; that example stays as it is.

    Args:
        examples: At least one.
        canaries: Of `draw_canaries`.
        seed: Of hosts and places.

    Raises:
        ValueError: if there is no example.
    """
    if not examples:
        raise ValueError("Expected examples to plant canaries among, got none.")
    draw = random.Random(f"places {seed}")
    copies = [
        _as_example(canary, draw.choice(examples))
        for canary in canaries
        if canary.is_planted
        for _ in range(canary.repeats)
    ]
    mixed: list[Example] = [*examples, *copies]
    draw.shuffle(mixed)
    places = {
        canary.id: tuple(i for i, found in enumerate(mixed) if found.question_id == canary.id)
        for canary in canaries
        if canary.is_planted
    }
    manifest = CanaryManifest(
        seed=seed, canaries=tuple(canaries), places=places, num_examples=len(mixed)
    )
    return mixed, manifest


def _as_example(canary: Canary, host: Example) -> Example:
    """Return the example that a canary becomes."""
    note = "No note is needed here."
    return replace(
        host, question=canary.question, note=note, question_id=canary.id, answer=canary.answer
    )


def save_manifest(manifest: CanaryManifest, path: Path) -> None:
    """Write a manifest as JSON with a hash of its content."""
    body = asdict(manifest)
    write_json(path, {**body, "sha256": _digest(body)})


def load_manifest(path: Path) -> CanaryManifest:
    """Return a manifest.

    Raises:
        DataError: if the file is missing, is none, or was changed.
    """
    try:
        body = read_json(path)
        digest = body.pop("sha256")
        if digest != _digest(body):
            raise ValueError("its hash is another")
        canaries = tuple(Canary(**canary) for canary in body.pop("canaries"))
        places = {name: tuple(indices) for name, indices in body.pop("places").items()}
        return CanaryManifest(canaries=canaries, places=places, **body)
    except (ArtifactCorrupt, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"Expected a manifest of canaries in '{path.name}', could not read it "
            f"({type(error).__name__}). Plant the canaries again."
        ) from error


def _digest(body: dict[str, object]) -> str:
    text = json.dumps(body, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
