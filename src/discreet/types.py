"""Value types that cross rooms.

They hold plain values, know nothing of files or models, and never change once made.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Literal, NewType

AgeBand = Literal["child", "young_adult", "middle_aged", "older_adult"]
"""Coarse age: under 13, 18 to 39, 40 to 64, 65 and more years."""

Attribute = Literal["age_band", "expression", "reading", "text_size", "language"]
"""What may be known of a person; the last three are preferences, which nobody estimates."""

Audience = Literal["child", "adult", "older_adult"]
"""The three ways an answer is written; both middle age bands read the `adult` one."""

Expression = Literal["neutral", "happy", "sad", "angry", "surprised"]
"""What a face shows, a descriptor of its shape; not a claim about what somebody feels."""

Faces = Literal["none", "one", "two", "three_or_more"]
"""How many faces a picture shows; said of the picture and never of a person."""

Domain = Literal["healthcare", "tutoring"]
"""What an assistant talks about."""

Language = Literal["en", "fr"]
"""What questions, notes and answers are written in."""

Mode = Literal["gated", "native"]
"""`gated`: the responder reads text that passed the gate; `native`: it sees the visual tokens."""

Source = Literal["declared", "estimated"]
"""Where an attribute comes from; a declared one wins."""

Split = Literal["train", "validation", "test"]
"""Identity-disjoint parts of a portrait set."""

OwnerId = NewType("OwnerId", str)
"""Pseudonym of a data owner (a clinic, a school, a home), for example `owner-0`."""

AGE_BANDS: tuple[AgeBand, ...] = ("child", "young_adult", "middle_aged", "older_adult")
ADULTS: frozenset[AgeBand | None] = frozenset({"young_adult", "middle_aged", None})
"""For whom an answer is calmer where they are upset; somebody unknown is taken for an adult."""
DISTRESSED: frozenset[str] = frozenset({"sad", "angry"})
"""Expressions of somebody upset."""
AUDIENCES: tuple[Audience, ...] = ("child", "adult", "older_adult")
EXPRESSIONS: tuple[Expression, ...] = ("neutral", "happy", "sad", "angry", "surprised")
FACES: tuple[Faces, ...] = ("none", "one", "two", "three_or_more")
DOMAINS: tuple[Domain, ...] = ("healthcare", "tutoring")

_AUDIENCE_OF: dict[AgeBand, Audience] = {
    "child": "child",
    "young_adult": "adult",
    "middle_aged": "adult",
    "older_adult": "older_adult",
}


def audience_of(age_band: AgeBand | None) -> Audience:
    """Return how to write for an age band; an unknown band reads as `adult`."""
    return "adult" if age_band is None else _AUDIENCE_OF[age_band]


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyFact:
    """Something every right answer says."""

    name: str
    pattern: str
    """Regular expression that finds it in an answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """One attribute of the person in front of the assistant.

    `confidence` is a calibrated probability in [0, 1]; 1 for what a person declared.
    """

    attribute: Attribute
    value: str = field(repr=False)
    source: Source
    confidence: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceCount:
    """How many faces a picture shows."""

    value: Faces
    confidence: float | None
    """A calibrated probability in [0, 1]; None if nobody calibrated it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FacePresence:
    """Whether a picture shows a face at all."""

    value: bool
    confidence: float | None
    """A calibrated probability in [0, 1]; None if nobody calibrated it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Percept:
    """What a perceiver makes of one picture.

    How many faces there are is no attribute of a person: a gate never sees it, and no prompt has a
    place for it. Of a picture that does not show exactly one face nothing is said of a person.
    """

    present: FacePresence | None
    """None if it is not sure."""
    faces: FaceCount | None
    """None if it is not sure."""
    observations: tuple[Observation, ...] = ()

    def __post_init__(self) -> None:
        """Refuse observations of nobody in particular."""
        if self.observations and not self.shows_one_face:
            raise ValueError(
                "Expected observations of a picture with exactly one face, got some of another. "
                "Leave them out: nobody knows whom they are of."
            )

    @property
    def shows_one_face(self) -> bool:
        """Tell whether exactly one face is seen, with enough confidence to say so."""
        return self.faces is not None and self.faces.value == "one"


FLOWERTUNE_MIB = 200_000
"""What FlowerTune's leaderboard lets a run send, array bytes both ways; here to compare with.
Source: `CommunicationTracker` of Flower's template, which divides by 1024**2 and says MB."""


def rounded_up(number: float) -> str:
    """Return a number with two decimals, more if it is tiny; never less than it is.

    >>> rounded_up(7.941), rounded_up(0.00091), rounded_up(0.0)
    ('7.95', '0.00091', '0.00')
    """
    decimals = 2 if number >= 0.1 or number <= 0 else 1 - math.floor(math.log10(number))
    above = math.ceil(number * 10.0**decimals - 1e-9) / 10.0**decimals
    return f"{above:.2f}" if decimals == 2 else f"{above:#.2g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PrivacyStatement:
    """What was spent, complete: epsilon is never shown without the other three.

    >>> print(PrivacyStatement(epsilon=8.0, delta=1e-5, unit="example",
    ...                        neighbouring_relation="add_or_remove_one"))
    epsilon = 8.00 at delta = 1e-05 (unit: example, neighbours: add_or_remove_one)
    """

    epsilon: float
    delta: float
    unit: str
    neighbouring_relation: str

    def __str__(self) -> str:
        """Return the statement as one line; epsilon is rounded up, never to less than was spent."""
        return f"epsilon = {rounded_up(self.epsilon)} {self.qualified}"

    @property
    def qualified(self) -> str:
        """What an epsilon that stands elsewhere means nothing without."""
        return (
            f"at delta = {self.delta:g} (unit: {self.unit}, neighbours: "
            f"{self.neighbouring_relation})"
        )


def with_numbers(name: str) -> list[str | int]:
    """Return a key by which owner-2 comes before owner-10.

    >>> sorted(["owner-10", "owner-2"], key=with_numbers)
    ['owner-2', 'owner-10']
    """
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def times_as_likely(spent: PrivacyStatement) -> str | None:
    """Return by how many times anything can become likelier, or None where that promises nothing.

    >>> times_as_likely(PrivacyStatement(epsilon=1.0, delta=1e-5, unit="user",
    ...                                  neighbouring_relation="add_or_remove_one"))
    '2.72'
    """
    if spent.epsilon >= 20:
        return None
    more = math.expm1(spent.epsilon)
    return f"{math.ceil(more + 1):,}" if more >= 19 else f"{1 + float(rounded_up(more)):.10g}"


def meaning(whom: str, spent: PrivacyStatement) -> str:
    """Return what an epsilon and its delta bound: not the chance that the loss is above epsilon."""
    times = times_as_likely(spent)
    if times is None:
        article = "an" if whom in ("example", "owner") else "a"
        return f"so large an epsilon promises nothing to {article} {whom}"
    pronoun = "it" if whom == "example" else "them"
    return (
        f"whatever somebody looks for in what is released is at most {times} times as likely with "
        f"any one {whom} in the data as without {pronoun} (or without as with), plus "
        f"{spent.delta:g}"
    )
