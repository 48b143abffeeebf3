"""Audit: at least how much did the released adapter give away of single examples?

Canaries were drawn for each owner and planted on fair coins (`canaries` in the plan). The auditor
guesses from the released adapter alone, by how far each canary's loss fell from the base's, which
were planted, and what is guessed rightly bounds epsilon from below (`discreet.bounds`). Black box:
somebody who saw every noisy step could show more.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import numpy.typing as npt

from discreet.audit.asked import Asking, Audit, OnDone
from discreet.audit.subject import Numbers, Subject
from discreet.bounds import Verdict, judge
from discreet.data import Canary
from discreet.evidence import Evidence, Interval, Intervals
from discreet.federated import PortraitLessons, canaries_of, canary_example
from discreet.types import OwnerId, PrivacyStatement, rounded_up

TITLE = "At least how much was given away (empirical epsilon)"
LEAST = 20
"""Canaries of all owners without which nothing is tried."""
_LIMITS = (
    "A lower bound of this attack, which proves no promise: another attack may find more.",
    "Black box: from the adapter at the end. Who saw each noisy step could show more.",
    "Canaries are questions about invented numbers; what is remembered of other examples can be "
    "less or more.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Planted:
    """The canaries of one owner and what the model says of them."""

    canaries: Sequence[Canary] = field(repr=False)
    lessons: PortraitLessons = field(repr=False)
    """Each as the example that it is, or would have been."""

    @property
    def included(self) -> npt.NDArray[np.bool_]:
        """(m,) whether it is in the data."""
        return np.array([canary.is_planted for canary in self.canaries], dtype=np.bool_)


def planted_of(subject: Subject, owner: OwnerId) -> Planted:
    """Return the canaries of an owner, in the plan's order."""
    lessons = subject.members(owner)
    assert isinstance(lessons, PortraitLessons), "the plan refuses canaries of other kinds"
    canaries = canaries_of(subject.plan, owner)
    examples = [canary_example(one, lessons.visual.pictures) for one in canaries]  # type: ignore[arg-type]
    return Planted(canaries=canaries, lessons=replace(lessons, examples=examples))


def scores_of(subject: Subject, planted: Planted) -> Numbers:
    """Return how far each canary's loss fell below that under the base, (m,); higher: planted."""
    before = subject.losses(planted.lessons, subject.first)
    return before - subject.losses(planted.lessons, subject.state)


def examine(subject: Subject, asking: Asking, on_done: OnDone) -> Evidence:
    """Guess which canaries were planted, and say what that bounds."""
    scores, included = [], []
    for owner in subject.owners[: asking.owners]:
        on_done(f"losses of the canaries of {owner}")
        planted = planted_of(subject, owner)
        scores.append(scores_of(subject, planted))
        included.append(planted.included)
    verdict = judge(np.concatenate(scores), np.concatenate(included), _statement(subject))
    return Evidence(
        audit="epsilon",
        title=TITLE,
        says=(_in_a_sentence(verdict, subject), *verdict.lines()),
        plots=(_plot(verdict),),
        limits=_LIMITS,
        values={
            "canaries": int(sum(map(len, scores))),
            "planted": int(sum(part.sum() for part in included)),
            "bounds": [asdict(bound) for bound in verdict.bounds],
            "estimate": None if verdict.estimate is None else asdict(verdict.estimate),
            "statement": asdict(verdict.statement),
            "contradicted": verdict.is_contradicted,
        },
    )


def _statement(subject: Subject) -> PrivacyStatement:
    """Return what the worst owner was told to have spent."""
    worst = subject.worst
    assert worst is not None, "asked in `_lacks`"
    return worst


def _in_a_sentence(verdict: Verdict, subject: Subject) -> str:
    best = max(bound.epsilon for bound in verdict.bounds)
    stated = rounded_up(verdict.statement.epsilon)
    source = "the ledger" if subject.run.ledger_path.exists() else "card.json, its owners' word,"
    if verdict.is_contradicted:
        return (
            f"The stated epsilon of {stated} is refuted: this run gave away at least {best:.2f} "
            f"({verdict.statement.qualified}). Do not publish the adapter; look for the fault."
        )
    return (
        f"This attack shows that epsilon is at least {best:.2f}; {source} states {stated} "
        f"({verdict.statement.qualified}): nothing here contradicts it."
    )


def _plot(verdict: Verdict) -> Intervals:
    rows = [
        Interval(
            name=bound.method,
            value=bound.epsilon,
            low=bound.epsilon,
            high=verdict.statement.epsilon,
        )
        for bound in verdict.bounds
    ]
    if (one := verdict.estimate) is not None:
        rows.append(
            Interval(
                name=f"estimate: {one.method}",
                value=one.epsilon,
                low=one.epsilon_low,
                high=one.epsilon_high,
            )
        )
    return Intervals(
        title="Empirical epsilon",
        unit=f"epsilon, {verdict.statement.qualified}; from each bound up to what is stated",
        rows=tuple(rows),
        reference=verdict.statement.epsilon,
        reference_name="stated",
    )


def _lacks(subject: Subject) -> str | None:
    count = subject.plan.canaries * len(subject.owners)
    if count < LEAST:
        return (
            f"Expected a run with at least {LEAST} canaries, got {count}: train one with --set "
            "canaries=100."
        )
    if subject.plan.unit != "example":
        return (
            f"Expected a run that hides examples, got unit = '{subject.plan.unit}': a canary is "
            "one example."
        )
    if subject.worst is None:
        return "Expected a run whose ledger says what was spent, got one that does not."
    return None


def _seconds(subject: Subject, asking: Asking) -> float:
    owners = len(subject.owners[: asking.owners])
    return 5 + 2 * owners * subject.plan.canaries * subject.seconds_per_example


AUDIT = Audit(
    name="epsilon",
    question="At least how much was given away? Guesses which canaries were planted.",
    examine=examine,
    seconds=_seconds,
    lacks=_lacks,
)
