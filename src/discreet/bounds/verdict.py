"""What audits found beside what the ledger states: at least, about, at most.

A lower bound below the statement is what a sound mechanism gives; it does not make the statement
true. An audit that finds nothing shows nothing of other attacks. Only a bound that rests on nothing
but fair coins can contradict the statement; others can cast doubt.

>>> import numpy as np
>>> draw = np.random.default_rng(0)
>>> included = draw.random(400) < 0.5
>>> scores = included + draw.normal(0, 0.8, 400)
>>> statement = PrivacyStatement(epsilon=4.97, delta=1e-5, unit="owner",
...                              neighbouring_relation="add_or_remove_one")
>>> verdict = judge(scores, included, statement)
>>> verdict.is_contradicted
False
>>> print(verdict.lines()[-2])
at most 4.97: what was stated, at delta = 1e-05 (unit: owner, neighbours: add_or_remove_one)
"""

from collections.abc import Sequence
from dataclasses import dataclass

from discreet.bounds.curves import Family
from discreet.bounds.f_dp import f_dp_bound
from discreet.bounds.gaussian import Estimate, gaussian_estimate
from discreet.bounds.guessing import Bound, Choice, Flags, Numbers, check_scores
from discreet.bounds.one_run import one_run_bound
from discreet.types import PrivacyStatement

MOST_DELTA = 0.1
"""Of delta times canaries, beyond which the plain bound loses much of what it could show."""
WEAKNESS = (
    "With sampling and a realistic epsilon a correct audit shows a third to a half of it: a bound "
    "far below the statement is no sign of more privacy."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Bounds, an estimate, and the statement, all at one delta."""

    bounds: tuple[Bound, ...]
    """Each is right as often as its confidence says, alone."""
    estimate: Estimate | None
    """Under an assumption; no bound."""
    statement: PrivacyStatement
    """What the ledger says was spent."""
    notes: tuple[str, ...]
    """What a reader has to know of how much this audit could show."""

    @property
    def is_contradicted(self) -> bool:
        """Return whether a bound that assumes nothing is above the statement."""
        return any(b.is_certificate and b.epsilon > self.statement.epsilon for b in self.bounds)

    @property
    def is_doubtful(self) -> bool:
        """Return whether any bound is above the statement, also one that assumes something."""
        return any(bound.epsilon > self.statement.epsilon for bound in self.bounds)

    def lines(self) -> list[str]:
        """Return sentences for a report, none of which stands without delta and unit."""
        said = [_line(bound, self.statement) for bound in self.bounds]
        if self.estimate is not None:
            one = self.estimate
            said.append(
                f"about {one.epsilon:.2f} ({one.epsilon_low:.2f} to {one.epsilon_high:.2f}): "
                f"{one.method}, {self.statement.qualified}; an estimate and no certificate, if "
                f"{one.assumes}"
            )
        stated = str(self.statement).split()[2]
        said.append(f"at most {stated}: what was stated, {self.statement.qualified}")
        return [*said, *self.notes]


def judge(
    scores: Numbers,
    included: Flags,
    statement: PrivacyStatement,
    *,
    confidence: float = 0.95,
    family: Family | None = None,
    choices: Sequence[Choice] | None = None,
) -> Verdict:
    """Return all three numbers from scores of canaries, beside the ledger's statement.

    Args:
        scores: (m,) higher: more likely in the data.
        included: (m,) what fair coins said.
        statement: What the ledger says, for the unit that a canary is.
        confidence: Of each bound.
        family: Curves of the mechanism for the f-DP bound; `gaussian_family` by default.
        choices: How many to guess, fixed before scores were seen; `default_choices` by default.

    Raises:
        ValueError: if there are too few canaries or too many for the delta, or a score is not
            finite.
    """
    check_scores(scores, included)
    delta, count = statement.delta, len(scores)
    _check_count(delta, count)
    bounds = (
        one_run_bound(scores, included, delta=delta, confidence=confidence, choices=choices),
        f_dp_bound(
            scores, included, delta=delta, confidence=confidence, family=family, choices=choices
        ),
    )
    estimate = gaussian_estimate(
        scores[included], scores[~included], delta=delta, confidence=confidence
    )
    return Verdict(
        bounds=bounds,
        estimate=estimate,
        statement=statement,
        notes=_notes(delta, count),
    )


def _check_count(delta: float, count: int) -> None:
    """Refuse so many canaries that delta alone may give each of them away."""
    if delta * count >= 1:
        raise ValueError(
            f"Expected fewer than 1 / delta = {1 / delta:.0f} canaries, got {count}: a mechanism "
            "with this delta may show one of them outright. Take fewer canaries, or a plan with a "
            "smaller delta."
        )


def _notes(delta: float, count: int) -> tuple[str, ...]:
    """Return what limits this audit."""
    if delta * count <= MOST_DELTA:
        return (WEAKNESS,)
    many = (
        f"Delta times canaries is {delta * count:.2g}, above {MOST_DELTA:g}: the plain bound shows "
        f"less than it could. {int(MOST_DELTA / delta)} canaries or fewer would do better."
    )
    return (many, WEAKNESS)


def _line(bound: Bound, statement: PrivacyStatement) -> str:
    """Return one bound in words."""
    rests = "nothing but fair coins" if bound.assumes is None else bound.assumes
    return (
        f"at least {bound.epsilon:.2f}: {bound.method}, {statement.qualified}, at "
        f"{bound.confidence:.0%} confidence, assuming {rests}"
    )
