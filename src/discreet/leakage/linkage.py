"""Who is in a picture, found again from what was handed on about it: every attack, the best counts.

The attacker has one earlier picture of each test person, and pictures of train people to learn
from. Where only what was handed on is kept, both pictures are seen that way: as it is, or in a
metric learned from train people. Where the attacker has photographs and a face recogniser, what was
handed on is translated into what the recogniser would say. Against them stands what an age band
alone tells (`label_representation`), which is meant to be handed on and narrows a gallery down: a
finding above chance is not yet one above that.

>>> people = {"train": np.repeat(np.arange(40), 3), "test": np.repeat(np.arange(20), 3)}
>>> shown = {"who": Representation(features=lambda split: np.eye(40)[people[split]])}
>>> found = measure_linkage(shown, people)
>>> {one.attack for one in found} == set(ATTACKS), best_linkage(found).identification.first.share
(True, 1.0)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import t

from discreet.leakage.findings import Representation, Truth
from discreet.leakage.leace import one_hot
from discreet.leakage.matching import Matcher, learn_map, learn_metric
from discreet.leakage.probes import prepare
from discreet.leakage.reidentification import (
    Identification,
    Metric,
    People,
    Vectors,
    identify,
    is_first_of_person,
)
from discreet.leakage.verification import MatchRate, verify
from discreet.types import Split

Attack = Literal["cosine", "euclidean", "learned metric", "face recogniser"]
ATTACKS: tuple[Attack, ...] = ("cosine", "euclidean", "learned metric")
"""What needs nothing but what was handed on; the fourth needs a recogniser's vectors."""
LASTING = ("age_band",)
"""Labels that are meant to be handed on and that a person keeps from picture to picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Linkage:
    """How well one attack finds people of the test split again in one representation."""

    representation: str
    attack: Attack
    identification: Identification
    rates: tuple[MatchRate, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Lead:
    """How much more often one attack names the right person first than another."""

    advantage: float
    """Difference of the two shares, a mean over people."""
    low: float
    high: float
    """95 % interval over people, who are looked for by both."""

    @property
    def is_ahead(self) -> bool:
        """Tell whether the whole interval is above 0."""
        return self.low > 0


def measure_linkage(
    representations: Mapping[str, Representation],
    people: Mapping[Split, People],
    *,
    recognised: Mapping[Split, Vectors] | None = None,
    on_done: Callable[[str], None] = lambda name: None,
) -> list[Linkage]:
    """Return how well each attack finds test people again in each representation.

    The first picture of each test person is the gallery, the others are looked up.

    Args:
        representations: By the name they are shown under; of `train` and `test`.
        people: (N,) who is in each picture of both splits, which share nobody.
        recognised: (N, K) what a face recogniser says of the same pictures; without them it does
            not attack.
        on_done: Told the representation when an attack is done.

    Raises:
        ValueError: if lengths differ, a number is not finite, or there are too few people.
    """
    found = []
    first = is_first_of_person(people["test"])
    own, looked_for = people["test"][first], people["test"][~first]
    for name, representation in representations.items():
        train, test = representation.features("train"), representation.features("test")
        _check(name, train, test, people)
        for attack, gallery, probes, metric in _vectors(train, test, people, recognised):
            compared = (gallery[first], own, probes[~first], looked_for)
            found.append(
                Linkage(
                    representation=name,
                    attack=attack,
                    identification=identify(*compared, metric=metric),
                    rates=verify(*compared, metric=metric),
                )
            )
            on_done(name)
    return found


def best_linkage(found: Sequence[Linkage]) -> Linkage:
    """Return the attack that names the right person first most often."""
    return max(found, key=lambda one: one.identification.first.share)


def lead_of(one: Linkage, other: Linkage) -> Lead:
    """Return how far an attack is ahead of another one on the same pictures, age alone for example.

    The interval is Student's for the differences of people.

    Raises:
        ValueError: if the two looked for other people or in another gallery.
    """
    own, theirs = one.identification, other.identification
    shape = (own.gallery, own.people, own.pictures)
    if shape != (theirs.gallery, theirs.people, theirs.pictures):
        raise ValueError(
            "Expected two attacks on the same pictures, got other numbers of them. Measure both "
            "at once."
        )
    difference = own.first_of_people - theirs.first_of_people
    spread = float(difference.std(ddof=1)) / np.sqrt(len(difference))
    margin = float(t.ppf(0.975, len(difference) - 1)) * spread
    advantage = float(difference.mean())
    return Lead(advantage=advantage, low=advantage - margin, high=advantage + margin)


def linkage_records(found: Sequence[Linkage]) -> list[dict[str, Any]]:
    """Return findings as plain values for JSON, nothing of single people among them."""
    return [
        {
            "representation": one.representation,
            "attack": one.attack,
            "gallery": one.identification.gallery,
            "people": one.identification.people,
            "pictures": one.identification.pictures,
            "ranks": [asdict(rank) for rank in one.identification.ranks],
            "by_gallery": dict(one.identification.by_gallery),
            "cumulative": one.identification.cumulative.tolist(),
            "rates": [asdict(rate) for rate in one.rates],
        }
        for one in found
    ]


def label_representation(
    truth: Mapping[Split, Truth], labels: Sequence[str] = LASTING
) -> Representation:
    """Return labels as features: what finds people again where these are read without an error."""
    splits = list(truth)
    values = [
        [value for split in splits for value in truth[split].labels[name].tolist()]
        for name in labels
    ]
    whole = one_hot(*values)
    ends = np.cumsum([len(truth[split].people) for split in splits])[:-1]
    parts = dict(zip(splits, np.split(whole, ends), strict=True))
    return Representation(features=lambda split: parts[split])


def _vectors(
    train: Vectors,
    test: Vectors,
    people: Mapping[Split, People],
    recognised: Mapping[Split, Vectors] | None,
) -> list[tuple[Attack, Vectors, Vectors, Metric]]:
    """Return attacks: name, test pictures as in the gallery and as looked up, and metric."""
    scaled = prepare(train, test)[1].whole
    learned: Matcher = learn_metric(train, people["train"])
    turned = learned(test)
    attacks: list[tuple[Attack, Vectors, Vectors, Metric]] = [
        ("cosine", scaled, scaled, "cosine"),
        ("euclidean", test, test, "euclidean"),
        ("learned metric", turned, turned, "euclidean"),
    ]
    if recognised is not None:
        mean = recognised["train"].mean(0)
        told = learn_map(train, recognised["train"], people["train"])(test)
        attacks.append(("face recogniser", recognised["test"] - mean, told - mean, "cosine"))
    return attacks


def _check(name: str, train: Vectors, test: Vectors, people: Mapping[Split, People]) -> None:
    """Refuse features that are of other pictures, and people whom the attacker has learned from."""
    if (len(train), len(test)) != (len(people["train"]), len(people["test"])):
        raise ValueError(
            f"Expected features of {len(people['train'])} train and {len(people['test'])} test "
            f"pictures of '{name}', got {len(train)} and {len(test)}. Give those of the same "
            "portraits."
        )
