"""What documents may say: facts, each with the place that it was read from.

Holds no sentence. A sentence of a template names a key; if nothing was found for the key, there is
nothing to fill it with, and the document says which command would find it.

    >>> way_out("probes.tokens")
    'discreet audit probes --out RUN/audits/probes.json'
    >>> way_out("consent.items") is None        # texts of notices are written by people
    True
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TRAIN = "discreet train --out RUN"
WAYS: dict[str, str | None] = {
    "adapt": "discreet bench adapt RUN --language LANGUAGE --out RUN/audits/adapt.json",
    "card": _TRAIN,
    "consent": None,
    "data": "discreet data check DATA --write --manifest RUN/audits/manifest.toml",
    "ground": "discreet bench ground --out RUN/audits/ground.json",
    "measures": None,
    "membership": "discreet audit membership RUN",
    "people": None,
    "perceiver": "discreet recipe perceive",
    "plan": _TRAIN,
    "policy": "discreet policy check FILE",
    "probes": "discreet audit probes --out RUN/audits/probes.json",
    "rounds": _TRAIN,
    "spent": _TRAIN,
    "twins": "discreet bench twins RUN --out RUN/audits/twins.json",
}
"""First part of a key -> the command that finds what is missing; None: there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """A file that facts were read from."""

    name: str
    """Its name, without the folders of this machine."""
    sha256: str
    """Of its bytes."""
    commit: str = ""
    """Of the code that wrote it, where the file says so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """What one place in one file says."""

    values: Mapping[str, str] | None
    """Name -> words in the language of the document; None: it was looked for, and there is none."""
    origin: Origin
    at: str
    """Where in the file, as `privacy.worst`."""


Findings = Mapping[str, tuple[Fact, ...]]
"""Key -> facts. A key that is not there was not found; no key has an empty tuple."""


def fact(origin: Origin, at: str, **values: str) -> Fact:
    """Return a fact from its place and words."""
    return Fact(values=values, origin=origin, at=at)


def none_there(origin: Origin, at: str) -> tuple[Fact, ...]:
    """Return the finding that a place was read and holds nothing of the kind."""
    return (Fact(values=None, origin=origin, at=at),)


def origin_of(path: Path, *, commit: str = "") -> Origin:
    """Return the origin for facts of a file that is read where it lies."""
    return Origin(
        name=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), commit=commit
    )


def way_out(key: str) -> str | None:
    """Return the command that would find what a key stands for; None: there is none.

    Raises:
        ValueError: if no part of the evidence has keys like this one.
    """
    part = key.partition(".")[0]
    if part not in WAYS:
        raise ValueError(f"Expected a key of {', '.join(WAYS)}, got '{key}'. Correct the template.")
    return WAYS[part]
