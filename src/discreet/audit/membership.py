"""Audit: can losses tell which examples, people and owners an adapter was trained on?

For each owner, their examples against those of people whom nobody holds, made in the same way. The
attacks need no training (a threshold on the loss; the loss less that of the base, which costs
nothing; RMIA with the base as its reference; single tokens, `tokens.py`), or, with more effort,
shadow adapters (`shadows.py`: LiRA). What the strongest finds is set beside what the promise
allows: at a rate of false alarms no attack on one unit finds more.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from scipy.special import expit

from discreet.audit.asked import Asking, Audit, OnDone
from discreet.audit.held_out import NO_CONVERSATIONS
from discreet.audit.membership_words import (
    beside_the_promise,
    most_of_one,
    plot_of,
    table_of,
    verdict_of,
)
from discreet.audit.pools import Part, Pool, halves_of, members_and_others
from discreet.audit.shadows import train_shadows
from discreet.audit.subject import Numbers, Subject
from discreet.audit.tokens import token_scores
from discreet.evidence import Evidence
from discreet.membership import (
    Membership,
    likelihood_scores,
    measure_membership,
    membership_scores,
    relative_scores,
    scores_of_units,
)
from discreet.types import OwnerId

MOST_EXAMPLES = {"quick": 150, "usual": 1000, "thorough": 1_000_000}
"""Members, and others, of each owner."""
SHADOWS = {"quick": 0, "usual": 0, "thorough": 8}
"""Reference adapters that are trained."""
TITLE = "Who was trained on (membership)"
PLACEBO = "placebo: loss before training"
_LIMITS = (
    "These attacks on the adapter as it was released; others may find more. Nothing found is no "
    "proof.",
    "Others are held-out people, made in the same way; of people who differ more, more is told.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """Members and others of one owner, with what they lose."""

    people: tuple[Sequence[Hashable], Sequence[Hashable]]
    losses: tuple[Numbers, Numbers] = field(repr=False)
    """Under the trained adapter: of members, of others."""
    before: tuple[Numbers, Numbers] = field(repr=False)
    """Under the base."""
    shadows: tuple[Numbers, Numbers] | None = field(default=None, repr=False)
    """Scores by likelihood ratio, where shadow adapters were trained."""
    tokens: Mapping[str, tuple[Numbers, Numbers]] = field(default_factory=dict, repr=False)
    """Scores of single tokens, where they were asked for."""

    def scores(self) -> dict[str, tuple[Numbers, Numbers]]:
        """Return what each attack says of members and of others; higher: a member."""
        found = {
            "loss": (-self.losses[0], -self.losses[1]),
            "loss less the base's": tuple(
                membership_scores(b, a) for b, a in zip(self.before, self.losses, strict=True)
            ),
            "RMIA, the base as reference": self._relative(),
        }
        if self.shadows is not None:
            found["LiRA, shadow adapters"] = self.shadows
        return found | dict(self.tokens)  # type: ignore[return-value]

    def _relative(self) -> tuple[Numbers, Numbers]:
        """Return RMIA's scores; halves of the other people are the population of either half.

        Many dominate the whole population, and would tie at 1: among such as tie, the one whose
        loss fell further comes first.
        """
        halves = [halves_of(people) for people in self.people]
        scores = [np.empty(len(half)) for half in halves]
        for kind, half in enumerate(halves):
            for own, rest in ((half, ~halves[1]), (~half, halves[1])):
                scores[kind][own] = relative_scores(
                    self.losses[kind][own],
                    self.before[kind][own],
                    self.losses[1][rest],
                    self.before[1][rest],
                )
            fell = self.before[kind] - self.losses[kind]
            scores[kind] += expit(fell) / (len(halves[1]) + 1)
        return scores[0], scores[1]

    def placebo(self) -> tuple[Numbers, Numbers]:
        """Return minus the losses of before training: what tells these people apart anyway."""
        return -self.before[0], -self.before[1]


def examine(subject: Subject, asking: Asking, on_done: OnDone) -> Evidence:
    """Try every attack on each owner, and on all of them together, by example and by person."""
    owners = subject.owners[: asking.owners]
    pairs = {
        owner: members_and_others(
            subject, owner, most=MOST_EXAMPLES[asking.effort], seed=asking.seed
        )
        for owner in owners
    }
    shadows = _shadow_scores(subject, pairs, asking, on_done)
    compared = {}
    for owner, (members, others) in pairs.items():
        on_done(f"losses of {owner}")
        compared[owner] = Compared(
            people=(members.users, others.users),
            losses=tuple(subject.losses(one, subject.state) for one in (members, others)),  # type: ignore[arg-type]
            before=tuple(subject.losses(one, subject.first) for one in (members, others)),  # type: ignore[arg-type]
            shadows=shadows.get(owner),
            tokens=_token_scores(subject, members, others) if asking.effort != "quick" else {},
        )
    by_owner = {owner: _measured(one) for owner, one in compared.items()}
    together = _together(list(compared.values()))
    by_person = _by_person(list(compared.values()))
    placebo = _placebo(list(compared.values()))
    most_each = max(most_of_one(one.people[0]) for one in compared.values())
    return _evidence(subject, by_owner, together, by_person, placebo, most_each)


def _token_scores(
    subject: Subject, members: Part, others: Part
) -> dict[str, tuple[Numbers, Numbers]]:
    """Return what single tokens say of members and of others."""
    first, second = (token_scores(subject, one, subject.state) for one in (members, others))
    return {attack: (first[attack], second[attack]) for attack in first}


def _shadow_scores(
    subject: Subject,
    pairs: Mapping[OwnerId, tuple[Part, Part]],
    asking: Asking,
    on_done: OnDone,
) -> dict[OwnerId, tuple[Numbers, Numbers]]:
    """Return LiRA's scores of members and others for each owner; none without shadows."""
    count = SHADOWS[asking.effort]
    if not count:
        return {}
    pools = {owner: Pool(pair) for owner, pair in pairs.items()}
    trained = train_shadows(subject, pools, count, seed=asking.seed, on_done=on_done)
    found = {}
    for owner, pool in pools.items():
        shadows, target = trained[owner], subject.losses(pool, subject.state)
        mixed = shadows.inside.any(0) & (~shadows.inside).any(0)
        scores = np.empty(len(target))
        scores[mixed] = likelihood_scores(
            target[mixed], shadows.losses[:, mixed], shadows.inside[:, mixed]
        )
        scores[~mixed] = np.median(scores[mixed]) if mixed.any() else 0.0
        cut = len(pairs[owner][0])
        found[owner] = (scores[:cut], scores[cut:])
    return found


def _measured(one: Compared) -> dict[str, Membership]:
    """Return how well each attack tells one owner's members from others."""
    found = one.scores()
    return {
        attack: measure_membership(members, others, *one.people, attacks=len(found))
        for attack, (members, others) in found.items()
    }


def _together(every: Sequence[Compared]) -> dict[str, Membership]:
    """Return the same of all owners: scores of members of all against others of all."""
    scores = [one.scores() for one in every]
    members = [person for one in every for person in one.people[0]]
    others = [person for one in every for person in one.people[1]]
    return {
        attack: measure_membership(
            np.concatenate([own[attack][0] for own in scores]),
            np.concatenate([own[attack][1] for own in scores]),
            members,
            others,
            attacks=len(scores[0]),
        )
        for attack in scores[0]
    }


def _by_person(every: Sequence[Compared]) -> dict[str, Membership]:
    """Return the same where a person's scores are added up: who, and not which example?"""
    found, attacks = {}, every[0].scores()
    for attack in attacks:
        kinds: tuple[dict[Hashable, float], dict[Hashable, float]] = ({}, {})
        for one in every:
            for kind, scores, people in zip(kinds, one.scores()[attack], one.people, strict=True):
                kind |= scores_of_units(scores, list(people))
        members, others = (np.array(list(kind.values())) for kind in kinds)
        found[attack] = measure_membership(
            members, others, list(kinds[0]), list(kinds[1]), attacks=len(attacks)
        )
    return found


def _placebo(every: Sequence[Compared]) -> Membership:
    """Return how well losses of before training tell members: what is not of training."""
    parts = [one.placebo() for one in every]
    return measure_membership(
        np.concatenate([own[0] for own in parts]),
        np.concatenate([own[1] for own in parts]),
        [person for one in every for person in one.people[0]],
        [person for one in every for person in one.people[1]],
    )


def _evidence(
    subject: Subject,
    by_owner: Mapping[OwnerId, Mapping[str, Membership]],
    together: Mapping[str, Membership],
    by_person: Mapping[str, Membership],
    placebo: Membership,
    most_each: int,
) -> Evidence:
    calibrated = "loss less the base's"
    plots = (plot_of("By example", together), plot_of("By person", by_person))
    return Evidence(
        audit="membership",
        title=TITLE,
        says=(verdict_of(together), *beside_the_promise(subject, together, most_each=most_each)),
        plots=plots,
        tables=(
            table_of("All owners, by example", {**together, PLACEBO: placebo}),
            table_of("All owners, by person", by_person),
            table_of(
                f"Each owner, by example ({calibrated})",
                {owner: found[calibrated] for owner, found in by_owner.items()},
                first="owner",
            ),
        ),
        limits=_LIMITS,
        values={
            "attacks": {name: asdict(one) for name, one in together.items()},
            "placebo": asdict(placebo),
            "people": {name: asdict(one) for name, one in by_person.items()},
            "owners": {o: asdict(found[calibrated]) for o, found in by_owner.items()},
            "every_owner": {
                o: {name: asdict(one) for name, one in found.items()}
                for o, found in by_owner.items()
            },
        },
    )


def _seconds(subject: Subject, asking: Asking) -> float:
    most = MOST_EXAMPLES[asking.effort]
    examples = sum(min(most, len(subject.members(o))) for o in subject.owners[: asking.owners])
    ways = 4 if asking.effort == "quick" else 6
    passes = ways * (1 + SHADOWS[asking.effort]) * examples * subject.seconds_per_example
    return 5 + passes + SHADOWS[asking.effort] * subject.seconds_of_training


def _lacks(subject: Subject) -> str | None:
    if subject.plan.examples == "conversations" and subject.others_data is None:
        return NO_CONVERSATIONS
    return None


AUDIT = Audit(
    name="membership",
    question="Who was trained on? Tries to tell owners' examples from others, by their losses.",
    examine=examine,
    seconds=_seconds,
    lacks=_lacks,
)
