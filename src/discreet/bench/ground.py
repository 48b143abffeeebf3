"""Does a question find the note that answers it, and does a question without one find none?

Three kinds are asked: the shipped questions word for word, what people might say instead, and what
no note answers (`asks.toml`; half of the latter two chooses how well a note has to fit, the other
half is reported). Whoever finds is handed in: this file knows nothing of how. It reads no answer: a
right note is where answers begin.

    >>> asks = load_asks("en")
    >>> asks[0].note, asks[0].chooses, asks[1].chooses
    ('healthcare.medication.missed-dose', False, True)
"""

import math
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from discreet.data import Language, load_questions
from discreet.types import DOMAINS, Domain

ASKS_PATH = Path(__file__).parent / "asks.toml"
WRONG_COSTS = 2
"""Right notes that a wrong one outweighs where a threshold is chosen: a refusal misleads nobody."""
NOTHING_FITS = 2.0
"""A threshold above every fit."""
_Z = 1.959963984540054
"""Of a normal 95 % interval."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asking:
    """A question as somebody might ask it."""

    id: str
    text: str = field(repr=False)
    language: Language
    domain: Domain
    """Whose notes are searched."""
    note: str | None
    """The id of the one note that answers it; None if none does."""

    @property
    def chooses(self) -> bool:
        """Tell whether it is of the half that chooses thresholds: its number is even."""
        return int(self.id[1:]) % 2 == 0


@dataclass(frozen=True, slots=True)
class Best:
    """The note that fits a question best, whether or not that is enough."""

    note: str | None
    """Its id; None if nothing has to do with the question."""
    fit: float


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its 95 % interval (Wilson 1927)."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """Return the share; 0 of nothing."""
        return self.count / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Return the score interval of a binomial share; everything where nothing was asked.

        Source: Wilson 1927, *Probable Inference, the Law of Succession, and Statistical Inference*.
        """
        if not self.of:
            return 0.0, 1.0
        spread = _Z**2 / self.of
        middle = (self.value + spread / 2) / (1 + spread)
        half = math.sqrt(spread * (self.value * (1 - self.value) + spread / 4)) / (1 + spread)
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, kw_only=True, slots=True)
class Grounding:
    """What questions found at one threshold."""

    least_fit: float
    top: Share
    """Questions with a note for which the right one fits best, over questions with a note."""
    right: Share
    """Those that found the right note, over questions with a note."""
    wrong: Share
    """Those that found another, over questions with a note."""
    refused: Share
    """Those that found none, over questions with a note."""
    out_of_scope: Share
    """Those that found a note, over questions without one."""


def load_asks(language: Language, path: Path = ASKS_PATH) -> list[Asking]:
    """Return what people might ask in a language, in file order."""
    groups = tomllib.loads(path.read_text(encoding="utf-8"))[language]
    return [
        Asking(
            id=one["id"],
            text=one["text"],
            language=language,
            domain=domain,
            note=one.get("note"),
        )
        for domain in DOMAINS
        for one in groups[domain]["asked"]
    ]


def verbatim(language: Language) -> list[Asking]:
    """Return the shipped questions, word for word."""
    return [
        Asking(id=q.id, text=q.question, language=language, domain=q.domain, note=q.id)
        for q in load_questions(language=language)
    ]


def choose_least_fit(asks: Sequence[Asking], best: Sequence[Best]) -> float:
    """Return the fit from which a note counts as found.

    Of all that tell these questions apart, the one with most right notes less `WRONG_COSTS` times
    the wrong ones, out of scope or not; the largest of equals. Half way to the next lower fit.
    """
    fits = sorted({one.fit for one in best if one.note is not None})
    chosen, most = NOTHING_FITS, 0
    for lower, fit in zip([0.0, *fits], fits, strict=False):
        found = [(a.note, b.note) for a, b in zip(asks, best, strict=True) if _is_found(b, fit)]
        right = sum(wanted == note for wanted, note in found)
        gain = right - WRONG_COSTS * (len(found) - right)
        if gain >= most and found:
            chosen, most = (lower + fit) / 2, gain
    return chosen


def measure_grounding(asks: Sequence[Asking], best: Sequence[Best], least_fit: float) -> Grounding:
    """Return what was found, refused and mistaken at a threshold.

    Args:
        asks: The questions.
        best: The best note of each, in the same order.
        least_fit: How well a note has to fit.
    """
    pairs = list(zip(asks, best, strict=True))
    inside = [(ask, one) for ask, one in pairs if ask.note is not None]
    found = [(ask, one) for ask, one in inside if _is_found(one, least_fit)]
    outside = [one for ask, one in pairs if ask.note is None]
    return Grounding(
        least_fit=least_fit,
        top=_share((one.note == ask.note for ask, one in inside), len(inside)),
        right=_share((one.note == ask.note for ask, one in found), len(inside)),
        wrong=_share((one.note != ask.note for ask, one in found), len(inside)),
        refused=Share(len(inside) - len(found), len(inside)),
        out_of_scope=_share((_is_found(one, least_fit) for one in outside), len(outside)),
    )


def as_grounding_rows(rows: Sequence[tuple[str, str, Grounding]]) -> str:
    """Return a Markdown table.

    Args:
        rows: Who found, what was asked, and what came of it.
    """
    lines = [
        "| found by | asked | right note fits best | right note | wrong note | refused "
        "| a note, out of scope | least fit |",
        "|" + "---|" * 8,
    ]
    for way, asked, found in rows:
        shares = (found.top, found.right, found.wrong, found.refused, found.out_of_scope)
        cells = [way, asked, *map(_cell, shares), f"{found.least_fit:.3f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(share: Share) -> str:
    if not share.of:
        return "-"
    low, high = share.interval
    return f"{share.count}/{share.of} ({low:.0%} to {high:.0%})"


def _is_found(best: Best, least_fit: float) -> bool:
    return best.note is not None and best.fit >= least_fit


def _share(hits: Iterable[bool], of: int) -> Share:
    return Share(sum(hits), of)
