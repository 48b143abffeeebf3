"""What an erasure found, erased and kept, store by store, as JSON and in words.

A receipt claims what was done and nothing else: a store that failed is told as failed, and a store
that nobody can reach is told as kept.

>>> done, left = Line(store="adapter", found=3, erased=3), Line.kept("copies", "copies")
>>> receipt = Receipt(lines=(done, left))
>>> receipt.is_complete, receipt.lines[1].state
(True, 'kept')
>>> print(receipt.in_words("en").splitlines()[1])
- the adapter: erased (3).
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

from discreet.artifacts import read_toml
from discreet.errors import DiscreetError
from discreet.membership import OTHERS_NEEDED, Membership
from discreet.types import Language

State = Literal["absent", "erased", "kept", "failed"]
_FAILED = "failed: "


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """What became of one store."""

    store: str
    """Code of the store, a key of `words.toml`."""
    found: int
    """Things of the person or owner that were there."""
    erased: int
    """How many of them are gone."""
    kept_because: str = ""
    """Code of the reason, a key of `words.toml`, or `failed: ` with the name of an error."""

    @classmethod
    def kept(cls, store: str, because: str, *, found: int = 0) -> "Line":
        """Return the line of a store that is left as it is; `found` 0: nobody knows."""
        return cls(store=store, found=found, erased=0, kept_because=because)

    @property
    def state(self) -> State:
        """Return what the line says in a word."""
        if self.kept_because.startswith(_FAILED):
            return "failed"
        if self.kept_because:
            return "kept"
        return "erased" if self.found else "absent"

    def after(self, earlier: "Line | None") -> "Line":
        """Return the line of a store of which an earlier attempt erased a part."""
        if earlier is None or self.state in ("kept", "failed"):
            return self
        return replace(self, found=self.found + earlier.erased, erased=self.erased + earlier.erased)


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What one erasure did."""

    lines: tuple[Line, ...]
    retraining: str = ""
    """Of an owner's removal: a key of `words.toml`, or `failed: ` with the name of an error."""
    before: Membership | None = None
    """Of an owner's removal: what losses of the older adapter tell."""
    after: Membership | None = None
    """The same of the adapter that took its place."""
    spent: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Epsilon of each account that retraining was charged to, before and after."""
    guarantee: Mapping[str, object] = field(default_factory=dict)
    """Delta, unit and neighbouring relation of these."""
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """When it was written: ISO 8601, UTC."""

    @property
    def is_complete(self) -> bool:
        """Return whether nothing failed; what is kept is told with its reason."""
        failed = [line for line in self.lines if line.state == "failed"]
        return not failed and not self.retraining.startswith(_FAILED)

    def to_dict(self) -> dict[str, Any]:
        """Return the receipt as JSON holds it."""
        lines = [{**asdict(line), "state": line.state} for line in self.lines]
        return {**asdict(self), "lines": lines, "is_complete": self.is_complete}

    def rows(self, language: Language) -> tuple[tuple[str, str], ...]:
        """Return each store by name, and what became of it in words."""
        words = _words()[language]
        return tuple(_line_in_words(line, words) for line in self.lines)

    def in_words(self, language: Language) -> str:
        """Return the receipt as a person reads it, a store a line."""
        words = _words()[language]
        told = [words["title" if self.is_complete else "title_failed"]]
        told += [f"- {name}{words['colon']} {says}" for name, says in self.rows(language)]
        if self.retraining:
            told += ["", _reason(self.retraining, words)]
        for epsilons in sorted(self.spent.items()):
            told.append("- " + words["spent"].format(epsilons, **self.guarantee))
        for name in ("before", "after"):
            if self.retraining:
                told.append(_membership(words[name], getattr(self, name), words))
        if self.before or self.after:
            told.append(words["one_attack"])
        return "\n".join([*told, "", words["footer"]])


def attempt(store: str, erase: Callable[[], Line]) -> Line:
    """Return what a store did; one that fails is told as failed, and keeps no other from going on.

    The line has the error's name and not its text, which may name a file.
    """
    try:
        return erase()
    except (OSError, DiscreetError) as error:
        return Line.kept(store, failure(error))


def failure(error: BaseException) -> str:
    """Return the code that stands for an error."""
    return f"{_FAILED}{type(error).__name__}"


def _line_in_words(line: Line, words: Mapping[str, str]) -> tuple[str, str]:
    name = words.get(f"store_{line.store}", line.store)
    counts = {"found": line.found, "erased": line.erased}
    text = words[f"state_{line.state}"].format(**counts)
    if line.state in ("kept", "failed"):
        text = f"{text} {_reason(line.kept_because, words)}"
    return name, text


def _reason(code: str, words: Mapping[str, str]) -> str:
    """Return the words of a code."""
    if code.startswith(_FAILED):
        return words["failed"].format(code.removeprefix(_FAILED))
    return words.get(f"because_{code}", code)


def _membership(name: str, found: Membership | None, words: Mapping[str, str]) -> str:
    if found is None:
        return f"- {name}{words['colon']} {words['not_measured']}"
    verdict = words["chance" if found.is_chance else "found_out"]
    text = words["area"].format(**asdict(found), name=name, verdict=verdict)
    if found.tpr is None:
        return f"- {text} {words['needs'].format(needed=OTHERS_NEEDED, others=found.others)}"
    return f"- {text} {words['tail'].format(tpr=found.tpr)}"


@cache
def _words() -> dict[Language, dict[str, str]]:
    """Return the words of each language."""
    tables: dict[Language, dict[str, str]] = read_toml(Path(__file__).with_name("words.toml"))  # type: ignore[assignment]
    return tables
