"""What attacks on membership say, in sentences, plots and tables.

A finding is an area above a coin's, or members found where few others are accused: either is enough
to harm somebody, and both are corrected for how many attacks were tried.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping

from discreet.audit.subject import Subject
from discreet.evidence import Interval, Intervals, Table
from discreet.membership import FPRS, Membership, Tail, most_tpr, promise_of_group

PEOPLE_NEEDED = 10
"""Of each kind: intervals that draw fewer whole people are too short."""


def strongest(found: Mapping[str, Membership]) -> str:
    """Return the attack whose area is largest at the lower end of its interval."""
    return max(found, key=lambda attack: found[attack].low)


def verdict_of(found: Mapping[str, Membership]) -> str:
    """Return the first sentence: the largest area, and where few are accused wrongly."""
    attack = strongest(found)
    one = found[attack]
    said = f"the strongest attack ({attack}) has an area of {_area(one)}{_of_tail(found, one)}"
    if min(one.people) < PEOPLE_NEEDED:
        return (
            f"Cannot be told: {min(one.people)} people are too few, {PEOPLE_NEEDED} of each kind "
            f"are needed; {said}."
        )
    if one.low > 0.5 or any(is_sure(each.tails[0]) for each in found.values()):
        return f"Members can be told from others: {said}."
    return f"No attack tells members from others better than a coin: {said}."


def is_sure(tail: Tail) -> bool:
    """Return whether more members are found than the rate of false alarms can explain."""
    return tail.tpr is not None and tail.low > tail.fpr_high


def beside_the_promise(
    subject: Subject, found: Mapping[str, Membership], *, most_each: int
) -> list[str]:
    """Return what the statement of what was spent allows at the same rates.

    A threshold's true rate of false alarms may be higher than it was on the others in hand, so that
    a promise is called broken only where more is found than it allows at the highest rate. Examples
    of one person are in or out together, so that a promise of one example is weakened to as many.

    Args:
        subject: The run.
        found: By attack.
        most_each: Examples of the person who has most.
    """
    worst = subject.worst
    if worst is None:
        return ["There is no promise to compare with: none was made, or it cannot be computed."]
    count = most_each if worst.unit == "example" else 1
    epsilon, delta = promise_of_group(worst.epsilon, worst.delta, count)
    said = []
    for place, fpr in enumerate(FPRS):
        most = most_tpr(epsilon, delta, fpr=fpr)
        tails = {name: one.tails[place] for name, one in found.items()}
        whom = f"{count} examples of one person" if count > 1 else f"one {worst.unit}"
        start = f"At {fpr:.1%} false alarms the promise ({worst}) allows"
        if most > 0.995:
            said.append(f"{start} all members to be found of {whom}: it says nothing here.")
            continue
        beyond = [
            name
            for name, tail in tails.items()
            if tail.is_beyond(most_tpr(epsilon, delta, fpr=tail.fpr_high))
        ]
        known = any(tail.tpr is not None for tail in tails.values())
        verdict = f"passed by {', '.join(beyond)}: the promise is broken" if beyond else "kept"
        said.append(
            f"{start} at most {most:.1%} of members to be found of {whom}: "
            f"{verdict if known else 'too few others to see'}."
        )
    return said


def most_of_one(people: Iterable[Hashable]) -> int:
    """Return how many examples the person has who has most."""
    return max(Counter(people).values())


def plot_of(title: str, found: Mapping[str, Membership]) -> Intervals:
    """Return the area of each attack."""
    return Intervals(
        title=title,
        unit="area under the ROC curve; 95 % intervals of all attacks at once, whole people drawn",
        rows=tuple(
            Interval(name=name, value=one.auc, low=one.low, high=one.high)
            for name, one in found.items()
        ),
        reference=0.5,
        reference_name="a coin",
    )


def table_of(title: str, found: Mapping[str, Membership], *, first: str = "attack") -> Table:
    """Return areas and rates, a row for each attack, or for whatever `first` says."""
    return Table(
        title=title,
        columns=(
            first,
            "area (95 %)",
            "found at 1 % false alarms",
            "at 0.1 %",
            "members",
            "others",
        ),
        rows=tuple(
            (
                name,
                f"{one.auc:.3f} ({one.low:.3f} to {one.high:.3f})",
                *(_found(one, place) for place in range(len(FPRS))),
                str(one.members),
                str(one.others),
            )
            for name, one in found.items()
        ),
    )


def _found(one: Membership, place: int) -> str:
    tail = one.tails[place]
    if tail.tpr is None:
        return f"needs {tail.needed} others"
    return f"{tail.tpr:.1%} ({tail.low:.1%} to {tail.high:.1%})"


def _area(one: Membership) -> str:
    return f"{one.auc:.2f} ({one.low:.2f} to {one.high:.2f}; a coin: 0.5)"


def _of_tail(found: Mapping[str, Membership], strong: Membership) -> str:
    """Return what the attack finds that is surest at few false alarms."""
    known = {name: one.tails[0] for name, one in found.items() if one.tails[0].tpr is not None}
    if not known:
        needed = strong.tails[0].needed
        return f"; {strong.others} others are too few for 1 % false alarms, {needed} are needed"
    name = max(known, key=lambda attack: (known[attack].low, found[attack].low))
    tail = known[name]
    start = ", and" if found[name] is strong else f"; {name}"
    return (
        f"{start} finds {tail.tpr:.1%} ({tail.low:.1%} to {tail.high:.1%}) of members at 1 % false "
        f"alarms, {tail.times_chance:.1f} times chance"
    )
