"""What the fairness audit found, as sentences, tables and plots."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from discreet.audit.pictured_twins import LOSS_MARGIN, WORDS_MARGIN, WrittenFlips
from discreet.audit.served import Seen
from discreet.audit.twin_answers import AnswerFlips
from discreet.audit.twins import TwinFlips, told
from discreet.audit.wording import chance, listed, named, signed
from discreet.evidence import Evidence, Interval, Intervals, Table
from discreet.fairness import MIN_PEOPLE, Equivalence, Gap, adjusted
from discreet.types import PrivacyStatement

TITLE = "Whom it serves worse (fairness)"
LEVEL = 0.05
Question = tuple[str, str, str]
"""What is measured, by which label or of which twins, and of whom."""
PValues = Mapping[Question, float]
_LIMITS = (
    "People are drawn by a program: of real people, other gaps may be found. Labels are those of "
    "the pictures; the assistant has none of them.",
    f"Of a group of fewer than {MIN_PEOPLE} people nothing is told.",
    "Answers of equal likelihood and length may still differ in worth; read some of them.",
)
_GAPS = {
    "loss": ("loss of the right answer", "nats a token"),
    "gain": ("what training gave", "nats a token"),
    "cost": ("what privacy cost", "nats a token"),
    "silent": ("nothing is seen", "share of pictures"),
    "right": ("seen right", "share of pictures"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """All that was measured."""

    people: int
    """Whom nobody trained on."""
    loss: float
    """Mean, in nats a token."""
    gain: float
    loss_gaps: Mapping[str, Gap | None]
    gain_gaps: Mapping[str, Gap | None]
    cost: float | None
    """What privacy took, in nats a token; None: nothing was trained to compare with."""
    cost_gaps: Mapping[str, Gap | None]
    watched: int
    """People of whom the perceiver saw pictures."""
    seen: Seen
    words: Mapping[str, TwinFlips]
    """By context: what the assistant is told of twins."""
    answers: Mapping[str, AnswerFlips]
    twins: int
    """People of whom twins were compared as the model sees pictures."""
    losses: Mapping[str, Equivalence]
    """By kind of twins."""
    written: Mapping[str, WrittenFlips]

    @property
    def gaps(self) -> dict[Question, Gap]:
        """Return every gap that could be measured, by what, label, and of whom."""
        found = {
            (what, label, ""): gap
            for what, own in (
                ("loss", self.loss_gaps),
                ("gain", self.gain_gaps),
                ("cost", self.cost_gaps),
                ("silent", self.seen.silent),
            )
            for label, gap in own.items()
        }
        found |= {
            ("right", label, of): gap
            for label, own in self.seen.right.items()
            for of, gap in own.items()
        }
        return {key: gap for key, gap in found.items() if gap is not None}

    @property
    def p_values(self) -> dict[Question, float]:
        """Return p-values of all questions, corrected together."""
        found = {key: gap.p for key, gap in self.gaps.items()}
        found |= {("twins' loss", kind, ""): one.p_different for kind, one in self.losses.items()}
        for kind, one in self.written.items():
            found["twins' refusals", kind, ""] = one.refusal.p_one_way
            found["twins' facts", kind, ""] = one.facts.p_one_way
            found["twins' words", kind, ""] = one.words.p_different
        return adjusted(found)


def in_words(found: Found, promise: PrivacyStatement | None) -> Evidence:
    """Return evidence."""
    p = found.p_values
    tables = [_gap_table(found, p), *_policy_tables(found), _loss_table(found, p)]
    if found.written:
        tables.append(_written_table(found, p))
    return Evidence(
        audit="fairness",
        title=TITLE,
        says=(
            _verdict(found, p),
            *_of_policies(found),
            _of_pictures(found, p),
            *_of_privacy(found, p, promise),
        ),
        plots=(_gap_plot(found), _loss_plot(found)),
        tables=tuple(tables),
        limits=_LIMITS,
        values=_values(found, p),
    )


def _verdict(found: Found, p: PValues) -> str:
    """Return the first sentence: whether any kind of person is served worse."""
    sure = {key: gap for key, gap in found.gaps.items() if p[key] < LEVEL}
    twins = [key for key in p if key not in found.gaps and p[key] < LEVEL]
    asked = f"{len(p)} questions were asked at once, and corrected for"
    if not (found.gaps or twins):
        return f"No kind of person has {MIN_PEOPLE} people in the data: nothing can be told."
    if not (sure or twins):
        return (
            f"No kind of person is served worse by more than chance explains: {found.people} "
            f"people whom nobody trained on, by {listed({key[1] for key in found.gaps})}; {asked}."
        )
    said = [_of_gaps(found, sure, p)] if sure else []
    if twins:
        differ = listed({f"{what} by {named(kind)}" for what, kind, _ in twins})
        said.append(
            f"Twins who differ in nothing else are answered otherwise, by more than chance "
            f"explains: {differ}."
        )
    return f"{' '.join(said)} {asked[:1].upper()}{asked[1:]}."


def _of_gaps(found: Found, sure: Mapping[Question, Gap], p: PValues) -> str:
    worst = min(sure, key=lambda key: p[key])
    gap, (what, unit) = sure[worst], _GAPS[worst[0]]
    of = f" ({worst[2]})" if worst[2] else ""
    return (
        f"Kinds of people are served differently in {len(sure)} of {len(found.gaps)} measurements. "
        f"The surest: {what}{of}, by {named(worst[1])}, differs by {gap.value:.3f} {unit} "
        f"({gap.low:.3f} to {gap.high:.3f}) between {gap.lowest} and {gap.highest}."
    )


def _of_policies(found: Found) -> list[str]:
    """Return a sentence for each policy: words and answers that differ without a reason."""
    said = []
    for context, flips in found.words.items():
        facts = found.answers[context].parts["facts"].whole
        refusals = found.answers[context].parts["refusal"].whole
        said.append(
            f"Behind the policy for {context}, what the assistant is told differs without a reason "
            f"in {told(flips.unwarranted.whole)} of twins, key facts of answers in {told(facts)}, "
            f"refusals in {told(refusals)}."
        )
    return said


def _of_pictures(found: Found, p: PValues) -> str:
    """Return what a model does that is shown the picture."""
    surely = adjusted({kind: one.p_equivalent for kind, one in found.losses.items()})
    alike = [kind for kind in found.losses if surely[kind] < LEVEL]
    different = [kind for kind in found.losses if p["twins' loss", kind, ""] < LEVEL]
    others = [kind for kind in found.losses if kind not in [*alike, *different]]
    worst = max(found.losses.values(), key=lambda one: abs(one.difference))
    said = (
        f"Shown the picture itself, the model gives twins the same answer with a likelihood that "
        f"is alike within {LOSS_MARGIN:g} nats a token for {len(alike)} of {len(found.losses)} "
        f"kinds ({found.twins} people; the largest difference is {worst.difference:+.4f}, "
        f"{worst.low:+.4f} to {worst.high:+.4f})."
    )
    if different:
        said += f" Surely different, if only by little: {listed(different)}."
    if others:
        said += f" Not shown to be alike: {listed(others)}."
    if found.written:
        differ = max(one.text for one in found.written.values())
        sure = [k for k in found.written if min(p[w, k, ""] for w in _WRITTEN) < LEVEL]
        verdict = f"more than chance explains for {listed(sure)}" if sure else "by chance"
        said += (
            f" What it writes differs in some letter for up to {differ:.0%} of pairs; refusals, "
            f"key facts and length go one way {verdict}."
        )
    return said


_WRITTEN = ("twins' refusals", "twins' facts", "twins' words")


def _of_privacy(found: Found, p: PValues, promise: PrivacyStatement | None) -> list[str]:
    """Return whom privacy costs more, where that was measured."""
    if found.cost is None:
        return []
    name = f"Privacy ({promise})" if promise is not None else "Privacy"
    start = f"{name} cost {found.cost:+.3f} nats a token against the same plan without it"
    gaps = {key: gap for key, gap in found.gaps.items() if key[0] == "cost"}
    if not gaps:
        return [f"{start}; no group is large enough to tell its part."]
    key = max(gaps, key=lambda key: gaps[key].value)
    gap = gaps[key]
    verdict = "chance explains it" if p[key] >= LEVEL else "more than chance explains"
    return [
        f"{start}; by {named(key[1])} it cost {gap.highest} {gap.value:.3f} ({gap.low:.3f} to "
        f"{gap.high:.3f}) more than {gap.lowest}: {verdict}."
    ]


def _gap_table(found: Found, p: PValues) -> Table:
    return Table(
        title="Largest gaps between kinds of people",
        columns=("what", "by", "gap (95 %)", "least", "most", "p, corrected"),
        rows=tuple(
            (
                f"{_GAPS[what][0]}{f' ({of})' if of else ''}",
                named(label),
                f"{gap.value:.3f} ({gap.low:.3f} to {gap.high:.3f})",
                gap.lowest,
                gap.highest,
                chance(p[what, label, of]),
            )
            for (what, label, of), gap in found.gaps.items()
        ),
    )


def _policy_tables(found: Found) -> list[Table]:
    return [
        Table(
            title=f"Twins behind the policy for {context}",
            columns=("what was changed", "may be used", "words differ", "key facts", "refusals"),
            rows=tuple(
                (
                    named(kind),
                    "yes" if kind in flips.warranted.by_kind else "no",
                    told(cell),
                    *(
                        told(found.answers[context].parts[part].by_kind[kind])
                        if kind in found.answers[context].parts[part].by_kind
                        else ""
                        for part in ("facts", "refusal")
                    ),
                )
                for kind, cell in {**flips.unwarranted.by_kind, **flips.warranted.by_kind}.items()
            ),
        )
        for context, flips in found.words.items()
    ]


def _loss_table(found: Found, p: PValues) -> Table:
    return Table(
        title="Twins, shown the picture itself: loss of the same answer",
        columns=("what was changed", "difference (95 %)", "verdict", "p, corrected", "people"),
        rows=tuple(
            (
                named(kind),
                f"{signed(one.difference)} ({signed(one.low)} to {signed(one.high)})",
                one.in_words,
                chance(p["twins' loss", kind, ""]),
                str(one.people),
            )
            for kind, one in found.losses.items()
        ),
    )


def _written_table(found: Found, p: PValues) -> Table:
    return Table(
        title="Twins, shown the picture itself: what is written",
        columns=("what was changed", "text", "refusals flip", "facts flip", "length", "least p"),
        rows=tuple(
            (
                named(kind),
                f"{one.text:.0%}",
                f"{one.refusal.share:.1%} ({one.refusal.low:.1%} to {one.refusal.high:.1%})",
                f"{one.facts.share:.1%} ({one.facts.low:.1%} to {one.facts.high:.1%})",
                f"{one.words.difference:+.2f} words: {one.words.in_words} (margin "
                f"{WORDS_MARGIN:g})",
                chance(min(p[what, kind, ""] for what in _WRITTEN)),
            )
            for kind, one in found.written.items()
        ),
    )


def _gap_plot(found: Found) -> Intervals:
    return Intervals(
        title="Largest gaps in the loss of right answers, and in what training gave",
        unit="nats a token between the two groups that differ most, 95 % interval",
        rows=tuple(
            Interval(
                name=f"{_GAPS[what][0]}, by {named(label)}",
                value=gap.value,
                low=gap.low,
                high=gap.high,
            )
            for (what, label, _), gap in found.gaps.items()
            if what in ("loss", "gain", "cost")
        ),
        reference=0.0,
        reference_name="no gap",
    )


def _loss_plot(found: Found) -> Intervals:
    return Intervals(
        title="Twins, shown the picture itself",
        unit=f"nats a token, 95 % interval; alike within {LOSS_MARGIN:g}",
        rows=tuple(
            Interval(name=named(kind), value=one.difference, low=one.low, high=one.high)
            for kind, one in found.losses.items()
        ),
        reference=0.0,
        reference_name="no difference",
    )


def _values(found: Found, p: PValues) -> dict[str, Any]:
    return {
        "people": found.people,
        "loss": found.loss,
        "gain": found.gain,
        "cost": found.cost,
        "gaps": [
            {"what": what, "by": label, "of": of, **asdict(gap), "p_corrected": p[what, label, of]}
            for (what, label, of), gap in found.gaps.items()
        ],
        "policies": {
            context: {"words": asdict(flips), "answers": asdict(found.answers[context])}
            for context, flips in found.words.items()
        },
        "pictured": {kind: asdict(one) for kind, one in found.losses.items()},
        "written": {kind: asdict(one) for kind, one in found.written.items()},
        "loss_margin": LOSS_MARGIN,
    }
