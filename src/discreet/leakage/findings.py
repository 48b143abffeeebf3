"""What an attacker reads from what is handed on about portraits, for each label and representation.

Two questions, for two attackers. Of people whom the attacker has never seen: what kind of person is
this? Of people whom the attacker knows: who is it, and what kind of person? Every probe tries, and
the best one counts. The people are those of the three splits, which share nobody.

>>> shown = {"grey": Representation(features=lambda split: grey[split])}  # doctest: +SKIP
>>> print(as_rows(measure_leakage(shown, truth)))  # doctest: +SKIP
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from discreet.data import Portrait
from discreet.leakage.probes import (
    PROBES,
    Features,
    Labels,
    Pictures,
    Score,
    prepare,
    score_probe,
    teach,
)
from discreet.types import Split

WITHHELD = ("ethnicity", "gender_presentation", "skin_tone")
"""Labels that audits may read, and that nothing that answers may."""
IDENTITY = "identity"
LABELS = (*WITHHELD, "age_band", "expression", IDENTITY)
Familiarity = Literal["unseen", "known"]
FAMILIARITIES: tuple[Familiarity, ...] = ("unseen", "known")


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """What is true of the pictures of a split."""

    labels: Mapping[str, Labels] = field(repr=False)
    """(N,) text for each of `LABELS` but identity."""
    people: Labels = field(repr=False)
    """(N,) who is in each picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Representation:
    """What somebody sees of pictures."""

    features: Callable[[Split], Features] = field(repr=False)
    """(N, D) of a split, in the order of its truth; asked for once at a time and not kept."""
    fitted_to: Labels | None = field(default=None, repr=False)
    """People to whom something was fitted that made it, an eraser for example. A probe that is
    taught on these alone finds nothing even where there is something, so another one is taught on
    the train people without them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What probes read of one label from one representation."""

    representation: str
    label: str
    people: Familiarity
    """`unseen`: the attacker was taught on others; `known`: on other pictures of the same."""
    attacks: tuple[Score, ...]

    @property
    def best(self) -> Score:
        """Return the attack that is right most often."""
        return max(self.attacks, key=lambda score: score.accuracy)


def truth_of(portraits: Sequence[Portrait]) -> Truth:
    """Return what is true of portraits."""
    told = {name: [p.audit_labels.get(name, "") for p in portraits] for name in WITHHELD}
    told["age_band"] = [p.age_band for p in portraits]
    told["expression"] = [p.expression for p in portraits]
    return Truth(
        labels={name: np.array(values) for name, values in told.items()},
        people=np.array([p.identity_id for p in portraits]),
    )


def measure_leakage(
    representations: Mapping[str, Representation],
    truth: Mapping[Split, Truth],
    *,
    labels: Sequence[str] = LABELS,
    familiarities: Sequence[Familiarity] = FAMILIARITIES,
    on_done: Callable[[str], None] = lambda name: None,
) -> list[Finding]:
    """Return what every probe reads of every label, of people unseen and known.

    Unseen people are those of the test split; probes are taught on the train split. Known people
    are also those of the test split: probes are taught on every other picture of each and read the
    rest. Identity is asked of known people only. Labels of which there is one value are left out.

    Args:
        representations: By the name they are shown under.
        truth: Of `train` and `test`, in the order of the features.
        labels: Which of `LABELS`.
        familiarities: Of which people: unseen, known, or both.
        on_done: Told the representation when a label is done; `count_steps` says how often.

    Raises:
        ValueError: if a label is unknown, or features and truth differ in length.
    """
    if unknown := set(labels) - set(LABELS):
        raise ValueError(
            f"Expected labels among {', '.join(LABELS)}, got {len(unknown)} other. Correct them."
        )
    found = []
    for name, representation in representations.items():
        test = _features(representation, truth, "test")
        for people in familiarities:
            lessons = _LESSONS[people](representation, test, truth)
            for label in labels:
                if attacks := _attack(label, lessons, known=people == "known"):
                    found.append(
                        Finding(representation=name, label=label, people=people, attacks=attacks)
                    )
                on_done(name)
    return found


def count_steps(representations: int, labels: int) -> int:
    """Return how often `measure_leakage` tells that something is done."""
    return representations * labels * len(FAMILIARITIES)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Lesson:
    """Pictures to teach on and pictures to read."""

    suffix: str
    taught: Pictures
    read: Pictures
    taught_truth: Truth
    read_truth: Truth


def _features(
    representation: Representation, truth: Mapping[Split, Truth], split: Split
) -> Features:
    """Return a split's features, which must fit its truth."""
    features = representation.features(split)
    if len(features) != len(truth[split].people):
        raise ValueError(
            f"Expected {len(truth[split].people)} rows of features of split '{split}', got "
            f"{len(features)}. Give features and truth of the same portraits."
        )
    return features


def _unseen(
    representation: Representation, test: Features, truth: Mapping[Split, Truth]
) -> list[_Lesson]:
    """Return lessons of train people, and of those of them to whom nothing was fitted."""
    train = _features(representation, truth, "train")
    lessons = [_lesson("", train, test, truth["train"], truth["test"])]
    if representation.fitted_to is not None:
        rest = ~np.isin(truth["train"].people, representation.fitted_to)
        if rest.any():
            own = _part(truth["train"], rest)
            lessons.append(_lesson(", other people", train[rest], test, own, truth["test"]))
    return lessons


def _known(
    representation: Representation, test: Features, truth: Mapping[Split, Truth]
) -> list[_Lesson]:
    """Return the lesson of every other picture of each test person."""
    even = every_other(truth["test"].people)
    own, rest = _part(truth["test"], even), _part(truth["test"], ~even)
    return [_lesson("", test[even], test[~even], own, rest)]


_LESSONS: dict[
    Familiarity, Callable[[Representation, Features, Mapping[Split, Truth]], list[_Lesson]]
] = {"unseen": _unseen, "known": _known}


def every_other(people: Labels) -> npt.NDArray[np.bool_]:
    """Return (N,) bool: the first, third, ... picture of each person."""
    seen: dict[str, int] = {}
    place = []
    for person in people:
        place.append(seen.get(person, 0) % 2 == 0)
        seen[person] = seen.get(person, 0) + 1
    return np.array(place, dtype=np.bool_)


def _lesson(
    suffix: str, taught: Features, read: Features, taught_truth: Truth, read_truth: Truth
) -> _Lesson:
    seen, others = prepare(taught, read)
    return _Lesson(
        suffix=suffix, taught=seen, read=others, taught_truth=taught_truth, read_truth=read_truth
    )


def _part(truth: Truth, inside: npt.NDArray[np.bool_]) -> Truth:
    return Truth(
        labels={name: values[inside] for name, values in truth.labels.items()},
        people=truth.people[inside],
    )


def _attack(label: str, lessons: Sequence[_Lesson], *, known: bool) -> tuple[Score, ...]:
    """Return the score of every probe on every lesson; none where there is nothing to tell apart.

    Where the same people are read, groups that stay together are single pictures.
    """
    if label == IDENTITY and not known:
        return ()
    scores = []
    for lesson in lessons:
        taught, read = _values(label, lesson.taught_truth), _values(label, lesson.read_truth)
        if len(np.unique(taught)) < 2:
            continue
        groups = np.arange(len(taught)) if known else lesson.taught_truth.people
        for probe in PROBES:
            said = teach(probe, lesson.taught, taught, groups)(lesson.read)
            scores.append(score_probe(probe + lesson.suffix, said, read, lesson.read_truth.people))
    return tuple(scores)


def _values(label: str, truth: Truth) -> Labels:
    return truth.people if label == IDENTITY else truth.labels[label]


def in_words(findings: Sequence[Finding]) -> str:
    """Return a sentence for each representation, about the withheld label that is read best.

    It is the one furthest above guessing, of people unseen; of whatever was asked if there is none.
    """
    lines = []
    for name in dict.fromkeys(finding.representation for finding in findings):
        own = [f for f in findings if f.representation == name]
        asked = [f for f in own if f.people == "unseen" and f.label in WITHHELD] or own
        worst = max(asked, key=lambda f: f.best.accuracy - f.best.chance)
        whom = "it has not seen" if worst.people == "unseen" else "it knows"
        lines.append(
            f"From {name}, the best of {len(worst.attacks)} probes reads {worst.label} in "
            f"{worst.best.accuracy:.2f} of portraits of people {whom}; guessing gives "
            f"{worst.best.chance:.2f}."
        )
    return "\n".join(lines)


def as_rows(findings: Sequence[Finding]) -> str:
    """Return findings as a Markdown table; a bold share lies above chance with its interval."""
    head = (
        "| representation | label | people | best probe | read rightly (95 % interval) | guessing "
        "| mean over classes |\n|---|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(_line(finding) for finding in findings)


def _line(finding: Finding) -> str:
    best = finding.best
    share = f"**{best.accuracy:.3f}**" if best.is_above_chance else f"{best.accuracy:.3f}"
    return (
        f"| {finding.representation} | {finding.label} | {finding.people} | {best.probe} | {share} "
        f"({best.low:.3f} to {best.high:.3f}) | {best.chance:.3f} | {best.balanced_accuracy:.3f} |"
    )


def as_records(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return findings as plain values for JSON, with the name of the best probe of each."""
    return [{**asdict(finding), "best": finding.best.probe} for finding in findings]
