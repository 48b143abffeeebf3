"""Does an answer fit the person who asked, and is it still right? By rules alone, without a judge.

Form is what `discreet.readers.fits_reader` says; content is the key facts that every right answer
says and the claims that none makes. Both are read from the text by rules that know nothing of who
wrote it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from discreet.data import FAULTS, Fault, Question, faults_in
from discreet.intervals import ratio_interval
from discreet.readers import READERS, Reader, fits_reader, reader_of
from discreet.types import AGE_BANDS, AgeBand, Expression

MENTIONS: frozenset[Fault] = frozenset({"attribute_mention", "emotion_inference", "race_inference"})
"""Faults by which an answer says what was taken of the person."""
RESAMPLES = 2000
"""Of the bootstrap over questions: answers to one question are alike."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """A question by somebody of a band, with a face where one may be used."""

    question: Question = field(repr=False)
    band: AgeBand
    expression: Expression | None = None

    @property
    def reader(self) -> Reader:
        """Return for whom the answer should be written."""
        return reader_of(self.question.domain, self.band, self.expression)


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What the rules say of one answer."""

    question_id: str
    reader: Reader
    fits: bool
    """It has the form of its reader."""
    recall: float
    """Share of the key facts that it says."""
    claims_forbidden: bool
    """It says something that the question's note rules out."""
    faults: frozenset[Fault]
    words: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A mean with its 95 % interval, by a bootstrap over whole units, such as questions."""

    value: float
    low: float
    high: float
    n: int
    """Values, such as answers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Adaptation:
    """How well answers fit their readers, and what they say."""

    fits: Mapping[Reader, Estimate]
    recall: Mapping[Reader, Estimate]
    all_recall: Estimate
    """Over all readers."""
    recall_gap: float
    """Largest difference of recall between two age bands."""
    words: Mapping[Reader, float]
    mentions: Estimate
    """Share of answers that say what was taken of the person."""
    claims_forbidden: Estimate
    faults: Mapping[Fault, Estimate]


def ask_all(questions: Iterable[Question]) -> list[Ask]:
    """Return every question asked by each age band, and in healthcare by upset adults."""
    return [
        Ask(question=question, band=band, expression=expression)
        for question in questions
        for band in AGE_BANDS
        for expression in (None, "sad")
        if expression is None or reader_of(question.domain, band, expression) == "distressed"
    ]


def judge(answer: str, ask: Ask) -> Judged:
    """Return what the rules say of an answer."""
    question = ask.question
    found = [bool(re.search(fact.pattern, answer)) for fact in question.key_facts]
    return Judged(
        question_id=question.id,
        reader=ask.reader,
        fits=fits_reader(answer, ask.reader, question.language),
        recall=sum(found) / len(found),
        claims_forbidden=any(re.search(pattern, answer) for pattern in question.forbidden),
        faults=frozenset(faults_in(answer, question.language)),
        words=len(answer.split()),
    )


def measure_adaptation(answers: Sequence[str], asks: Sequence[Ask]) -> Adaptation:
    """Return how well the answers to `asks` fit, and what they say.

    Raises:
        ValueError: if there is no answer, or not one for each ask.
    """
    if not asks or len(answers) != len(asks):
        raise ValueError(f"Expected one answer for each of {len(asks)} asks, got {len(answers)}.")
    judged = [judge(answer, ask) for answer, ask in zip(answers, asks, strict=True)]
    by_reader = {r: [j for j in judged if j.reader == r] for r in READERS}
    by_reader = {reader: own for reader, own in by_reader.items() if own}
    recall = {r: _estimate(own, [j.recall for j in own]) for r, own in by_reader.items()}
    of_bands = [recall[band].value for band in AGE_BANDS if band in recall]
    return Adaptation(
        fits={r: _estimate(own, [float(j.fits) for j in own]) for r, own in by_reader.items()},
        recall=recall,
        all_recall=_estimate(judged, [j.recall for j in judged]),
        recall_gap=max(of_bands, default=0.0) - min(of_bands, default=0.0),
        words={r: float(np.mean([j.words for j in own])) for r, own in by_reader.items()},
        mentions=_estimate(judged, [float(bool(j.faults & MENTIONS)) for j in judged]),
        claims_forbidden=_estimate(judged, [float(j.claims_forbidden) for j in judged]),
        faults={f: _estimate(judged, [float(f in j.faults) for j in judged]) for f in FAULTS},
    )


def as_answers(
    written: Mapping[str, Sequence[str]], asks: Sequence[Ask]
) -> list[dict[str, str | dict[str, str]]]:
    """Return every ask with what each answered, as plain values for people to read."""
    return [
        {
            "question": ask.question.question,
            "reader": ask.reader,
            "note": ask.question.note,
            "answers": {who: own[place] for who, own in written.items()},
        }
        for place, ask in enumerate(asks)
    ]


def _estimate(judged: Sequence[Judged], values: Sequence[float]) -> Estimate:
    """Return the mean of values with a percentile interval; whole questions are drawn."""
    return estimate([one.question_id for one in judged], values)


def estimate(units: Sequence[str], values: Sequence[float]) -> Estimate:
    """Return the mean of values with a percentile interval; whole units are drawn.

    Args:
        units: What each value belongs to.
        values: In the order of `units`.
    """
    of_unit: dict[str, list[float]] = {}
    for unit, value in zip(units, values, strict=True):
        of_unit.setdefault(unit, []).append(value)
    sums = np.array([sum(own) for own in of_unit.values()])
    counts = np.array([float(len(own)) for own in of_unit.values()])
    low, high = ratio_interval(sums, counts, draws=RESAMPLES)
    return Estimate(value=float(np.mean(values)), low=low, high=high, n=len(values))


def as_rows(measured: Mapping[str, Adaptation]) -> str:
    """Return a Markdown table with a line for each who answered."""
    names = ["child", "young adult", "middle aged", "older adult", "upset adult"]
    head = ["answered by", *(f"fits: {n}" for n in names), "key facts", "gap between bands"]
    head += ["says who asks", "says what it must not", "refuses"]
    lines = [head, ["---"] * len(head)]
    for who, found in measured.items():
        fits = [f"{found.fits[r].value:.2f}" if r in found.fits else "" for r in READERS]
        shares = (found.mentions, found.claims_forbidden, found.faults["over_refusal"])
        facts = [_told(found.all_recall), f"{found.recall_gap:.2f}"]
        lines.append([who, *fits, *facts, *(f"{100 * share.value:.1f} %" for share in shares)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _told(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"
