"""Differences that are not warranted, on twins: two pictures in which one attribute was changed.

What a responder is told of the first picture is compared with what it is told of the second. In
`gated` mode its prompt is question, note and the words that passed the gate; with greedy decoding
equal words give equal answers, so that a pair whose words are equal cannot be answered differently,
and the share of pairs whose words differ bounds that of answers from above. Any other
representation can be compared too, a code of the picture for example, with a difference of its own.

A change is warranted where a policy lets its attribute pass. Groups are by audit labels, which only
audits read. It does not ask a model (`twin_answers.py`) and tells nothing of real people.

    >>> ignores = lambda image: "somebody"
    >>> compare_twins([], represent(ignores, []))
    []
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import TypeVar

import numpy as np
import torch
from PIL.Image import Image

from discreet.assistant import Gate
from discreet.data import TwinPortraits
from discreet.fairness import MIN_PEOPLE
from discreet.intervals import ratio_interval
from discreet.leakage import WITHHELD
from discreet.model import person_line
from discreet.perception import CLASSES, Attribute
from discreet.types import Observation

RESAMPLES = 2000
"""Of the bootstrap over people: pairs of one person are alike."""
ATTRIBUTE_OF: Mapping[str, Attribute] = {"age": "age_band", "expression": "expression"}
"""The attribute that a kind of twins changes; of the other kinds none is ever observed."""
_GROUPED = ("age_band", *WITHHELD)
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One pair of twins, and whether what is made of them differs."""

    kind: str
    person: str = field(repr=False)
    groups: Mapping[str, str] = field(repr=False)
    difference: float
    """In [0, 1]; 0 if both pictures give the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairShare:
    """A mean over pairs with its 95 % interval, by a bootstrap over people."""

    value: float
    low: float
    high: float
    pairs: int
    people: int


Cell = PairShare | None
"""None where fewer than `MIN_PEOPLE` people are in it: nothing is told of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flips:
    """How often pairs differ: all, by kind and by group."""

    whole: Cell
    by_kind: Mapping[str, Cell]
    by_group: Mapping[str, Mapping[str, Cell]]
    """For each audit label each of its values."""

    @property
    def worst_kind(self) -> str | None:
        """Return the kind that differs most often, or None if none was measured."""
        return _worst(self.by_kind)

    @property
    def worst_group(self) -> str | None:
        """Return the group that differs most often, as `label: value`."""
        return _worst(
            {
                f"{label}: {v}": cell
                for label, own in self.by_group.items()
                for v, cell in own.items()
            }
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TwinFlips:
    """What one policy lets through of twins."""

    unwarranted: Flips
    """Pairs whose words differ though their attribute may not be used."""
    causes: Mapping[str, float]
    """By which attribute, as shares of those pairs; one pair can differ by two."""
    warranted: Flips
    """Pairs whose words differ as their attribute may be used."""
    followed: Flips
    """Pairs whose attribute may be used and is passed on, of both pictures, as if it had been seen
    without error: as coarse as the policy wants it."""
    declared: Flips
    """Pairs whose words differ though the person declared everything; there should be none."""


def represent(
    see: Callable[[Image], _T],
    pairs: Sequence[TwinPortraits],
    *,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[tuple[_T, _T]]:
    """Return what is made of both pictures of each pair.

    Args:
        see: From a picture to anything: a percept, words, a code.
        pairs: The twins.
        on_done: Told after each pair.
    """
    seen = []
    for pair in pairs:
        first, second = pair.images
        seen.append((see(first), see(second)))
        on_done(1)
    return seen


def differs(first: object, second: object) -> float:
    """Return 1 if two things differ, 0 if they are equal."""
    return float(first != second)


def differing_bits(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the share of places in which two codes of the same shape differ.

    >>> differing_bits(torch.tensor([1, 0, 1, 1]), torch.tensor([1, 1, 1, 1]))
    0.25
    """
    if first.shape != second.shape:
        raise ValueError(f"Expected codes of one shape, got {first.shape} and {second.shape}.")
    return float((first != second).double().mean())


def compare_twins(
    pairs: Sequence[TwinPortraits],
    seen: Sequence[tuple[_T, _T]],
    difference: Callable[[_T, _T], float] = differs,
) -> list[Compared]:
    """Return how far what was made of each pair differs.

    Args:
        pairs: The twins.
        seen: What was made of each pair, as `represent` returns it.
        difference: In [0, 1], 0 for equal.
    """
    return [_compared(pair, difference(*both)) for pair, both in zip(pairs, seen, strict=True)]


def count_flips(compared: Sequence[Compared]) -> Flips:
    """Return how often pairs differ, where enough people are to say so."""
    kinds = sorted({pair.kind for pair in compared})
    labels = [label for label in _GROUPED if any(pair.groups[label] for pair in compared)]
    return Flips(
        whole=_cell(compared),
        by_kind={kind: _cell([p for p in compared if p.kind == kind]) for kind in kinds},
        by_group={
            label: {
                value: _cell([p for p in compared if p.groups[label] == value])
                for value in sorted({p.groups[label] for p in compared})
            }
            for label in labels
        },
    )


def lines_of(
    seen: Sequence[tuple[Sequence[Observation], Sequence[Observation]]], gate: Gate
) -> list[tuple[str, str]]:
    """Return the words that a responder is told of both pictures of each pair."""
    return [(person_line(gate(first)), person_line(gate(second))) for first, second in seen]


def is_warranted(kind: str, gate: Gate) -> bool:
    """Tell whether a gate lets pass what is seen of the attribute that a kind of twins changes."""
    attribute = ATTRIBUTE_OF.get(kind)
    if attribute is None:
        return False
    return any(gate([_seen(attribute, value)]) for value in CLASSES[attribute])


def is_followed(
    pair: TwinPortraits, seen: tuple[Sequence[Observation], Sequence[Observation]], gate: Gate
) -> bool:
    """Tell whether what passes of both pictures is what would pass of estimates without error."""
    attribute = ATTRIBUTE_OF[pair.kind]
    return all(
        _values(gate(one)).get(attribute) == _values(gate(_right(pair, value))).get(attribute)
        for one, value in zip(seen, pair.values, strict=True)
    )


def measure_twins(
    pairs: Sequence[TwinPortraits],
    seen: Sequence[tuple[Sequence[Observation], Sequence[Observation]]],
    gate: Gate,
) -> TwinFlips:
    """Return how often the words differ that a gate lets through, by what was changed.

    Args:
        pairs: The twins.
        seen: What was observed in both pictures of each.
        gate: What of observations may be used; `assistant.gate` behind a policy, for example.

    Raises:
        ValueError: if there are not observations of each pair of twins.
    """
    if len(pairs) != len(seen):
        raise ValueError(f"Expected observations of {len(pairs)} pairs, got {len(seen)}.")
    compared = compare_twins(pairs, lines_of(seen, gate))
    wanted = [is_warranted(pair.kind, gate) for pair in pairs]
    followed = [
        _compared(pair, float(is_followed(pair, both, gate)))
        for pair, both, want in zip(pairs, seen, wanted, strict=True)
        if want
    ]
    told = [
        ([*_truth(pair), *first], [*_truth(pair), *second])
        for pair, (first, second) in zip(pairs, seen, strict=True)
    ]
    unwanted = [not want for want in wanted]
    return TwinFlips(
        unwarranted=count_flips(list(compress(compared, unwanted))),
        causes=_causes(list(compress(seen, unwanted)), gate),
        warranted=count_flips(list(compress(compared, wanted))),
        followed=count_flips(followed),
        declared=count_flips(compare_twins(pairs, lines_of(told, gate))),
    )


def as_flips(measured: Mapping[str, TwinFlips]) -> str:
    """Return a Markdown table with a line for each policy and kind of twins."""
    lines = [["policy", "what was changed", "people", "pairs", "words differ", "followed"]]
    lines.append(["---"] * len(lines[0]))
    for policy, found in measured.items():
        for name, flips in (("any that may not be used", found.unwarranted), ("", found.warranted)):
            rows = {name: flips.whole} if name else {}
            for kind, cell in {**rows, **flips.by_kind}.items():
                follows = found.followed.by_kind.get(kind) if not name else None
                counts = ["", ""] if cell is None else [str(cell.people), str(cell.pairs)]
                lines.append([policy, kind, *counts, told(cell), told(follows) if not name else ""])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def told(cell: Cell) -> str:
    """Return a share in percent with its interval, or why there is none."""
    if cell is None:
        return f"fewer than {MIN_PEOPLE} people"
    return f"{100 * cell.value:.1f} % ({100 * cell.low:.1f} to {100 * cell.high:.1f})"


def _compared(pair: TwinPortraits, difference: float) -> Compared:
    groups = {label: pair.audit_labels.get(label, "") for label in _GROUPED}
    return Compared(kind=pair.kind, person=pair.identity_id, groups=groups, difference=difference)


def _cell(compared: Sequence[Compared]) -> Cell:
    sums: dict[str, float] = defaultdict(float)
    counts: dict[str, float] = defaultdict(float)
    for pair in compared:
        sums[pair.person] += pair.difference
        counts[pair.person] += 1
    if len(counts) < MIN_PEOPLE:
        return None
    above, below = np.array(list(sums.values())), np.array(list(counts.values()))
    low, high = ratio_interval(above, below, draws=RESAMPLES)
    return PairShare(
        value=float(above.sum() / below.sum()),
        low=low,
        high=high,
        pairs=len(compared),
        people=len(counts),
    )


def _worst(cells: Mapping[str, Cell]) -> str | None:
    known = {name: cell.value for name, cell in cells.items() if cell is not None}
    return max(known, key=lambda name: known[name]) if known else None


def _causes(
    seen: Sequence[tuple[Sequence[Observation], Sequence[Observation]]], gate: Gate
) -> dict[str, float]:
    """Return for each attribute the share of pairs in which it changes, or is said of one only."""
    counts: dict[str, int] = defaultdict(int)
    for first, second in seen:
        one, other = _values(gate(first)), _values(gate(second))
        for name in sorted({*one, *other}):
            if one.get(name) != other.get(name):
                both = name in one and name in other
                counts[f"{name} {'is another' if both else 'passes of one only'}"] += 1
    return {name: count / len(seen) for name, count in counts.items()}


def _values(observations: Sequence[Observation]) -> dict[str, str]:
    return {seen.attribute: seen.value for seen in observations}


def _right(pair: TwinPortraits, value: str) -> list[Observation]:
    """Return estimates without error of the picture that has a value of what was changed."""
    known = [one for one in _truth(pair) if one.attribute != ATTRIBUTE_OF[pair.kind]]
    estimates = [replace(one, source="estimated") for one in known]
    return [*estimates, _seen(ATTRIBUTE_OF[pair.kind], value)]


def _truth(pair: TwinPortraits) -> list[Observation]:
    """Return what the person of the first picture would declare of themselves."""
    labels = {name: pair.audit_labels.get(name) for name in CLASSES}
    if pair.kind in ATTRIBUTE_OF:
        labels[ATTRIBUTE_OF[pair.kind]] = pair.values[0]
    return [_observed(name, value) for name, value in labels.items() if value]


def _observed(attribute: Attribute, value: str) -> Observation:
    return Observation(attribute=attribute, value=value, source="declared", confidence=1.0)


def _seen(attribute: Attribute, value: str) -> Observation:
    return replace(_observed(attribute, value), source="estimated")
