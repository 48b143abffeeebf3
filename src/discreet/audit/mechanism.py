"""Audit: does the private step add the noise that the run's plan promises?

Plays two games against the very code that training runs, with the plan's noise and clipping norm
and with everything in each step, so that no sampling hides a fault (`bounds/mechanism.py`): against
the step, or, where whole owners are hidden, against the server's sum of owners. There canary owners
of random directions also give an estimate (`bounds/owners.py`). It tests the installed code and the
plan, and looks at no adapter.
"""

from dataclasses import asdict

import numpy as np

from discreet.audit.asked import Asking, Audit, OnDone
from discreet.audit.subject import Subject
from discreet.bounds import (
    CanaryOwners,
    Estimate,
    MechanismCheck,
    check_mechanism,
    full_participation,
    owner_estimate,
    owners_release,
)
from discreet.evidence import Evidence, Interval, Intervals
from discreet.federated import plan_of
from discreet.privacy import PrivacyPlan

CANARIES = {"quick": 400, "usual": 1000, "thorough": 4000}
PLAYS = {"quick": 80, "usual": 160, "thorough": 800}
OWNERS, NUMBERS = 60, 20_000
"""Canary owners, and numbers of their updates: few enough to be no part of what is released."""
TITLE = "Whether the private step keeps its word"
_LIMITS = (
    "The code that is installed now, which need not be what trained the run: compare commits.",
    "Two games. Other faults need other games: `discreet doctor --private` couples losses and "
    "compares gradients one by one.",
)


def examine(subject: Subject, asking: Asking, on_done: OnDone) -> Evidence:
    """Play both games with the noise and the norm of the run's plan."""
    on_done("playing against what adds the noise")
    planned = plan_of(subject.plan)
    plan = full_participation(
        noise_multiplier=planned.gradient_noise_multiplier,
        max_grad_norm=planned.max_grad_norm,
        unit="owner" if planned.unit == "owner" else "example",
    )
    check = check_mechanism(
        plan, canaries=CANARIES[asking.effort], plays=PLAYS[asking.effort], seed=asking.seed
    )
    estimate = _canary_owners(plan, asking.seed) if plan.unit == "owner" else None
    return Evidence(
        audit="mechanism",
        title=TITLE,
        says=(
            _in_a_sentence(check, plan),
            *(() if estimate is None else (_about(estimate, plan),)),
        ),
        plots=(_plot(check, estimate, plan),),
        limits=_LIMITS,
        values={
            **asdict(check),
            "at_least": check.at_least,
            "refuted": check.is_refuted,
            "plan": plan.to_dict(),
            **({} if estimate is None else {"estimate": asdict(estimate)}),
        },
    )


def _canary_owners(plan: PrivacyPlan, seed: int) -> Estimate:
    """Return what cosines of canary owners, who take part in every round, say of epsilon."""
    canaries = CanaryOwners(count=OWNERS, size=NUMBERS, max_grad_norm=plan.max_grad_norm, seed=seed)
    updates = np.stack([canaries.update_of(place) for place in range(OWNERS)])
    released = owners_release(plan)(updates[:, None], seed).sum(0)
    return owner_estimate(canaries.cosines(released), size=NUMBERS, delta=plan.delta, seed=seed)


def _plot(check: MechanismCheck, estimate: Estimate | None, plan: PrivacyPlan) -> Intervals:
    rows = [Interval(name=b.method, value=b.epsilon, low=0.0, high=b.epsilon) for b in check.bounds]
    if estimate is not None:
        low, high = estimate.epsilon_low, estimate.epsilon_high
        name = f"estimate: {estimate.method}"
        rows.append(Interval(name=name, value=estimate.epsilon, low=low, high=high))
    everything = "every owner in each round" if plan.unit == "owner" else "everything in each step"
    return Intervals(
        title="What each game showed",
        unit=f"epsilon {plan.state(check.at_most).qualified}, with {everything}",
        rows=tuple(rows),
        reference=check.at_most,
        reference_name="what the accountant states for this",
    )


def _in_a_sentence(check: MechanismCheck, plan: PrivacyPlan) -> str:
    pair = (
        f"at least {check.at_least:.2f}, stated {check.at_most:.2f} "
        f"{plan.state(check.at_most).qualified}"
    )
    what = "sum of owners" if plan.unit == "owner" else "private step"
    if check.is_refuted:
        return (
            f"Refuted at {check.confidence:.0%} confidence: the {what} gives away more than it "
            f"states ({pair}). Do not train with this installation."
        )
    if not check.is_sharp:
        return f"Nothing found, and so few plays could not have refuted it ({pair}): try harder."
    return (
        f"Not refuted: with the noise of this plan and no sampling, epsilon is {pair}. A correct "
        f"{what} is refuted in at most {1 - check.confidence:.0%} of such tests."
    )


def _about(estimate: Estimate, plan: PrivacyPlan) -> str:
    return (
        f"{OWNERS} canary owners of random directions: epsilon is about {estimate.epsilon:.2f} "
        f"({estimate.epsilon_low:.2f} to {estimate.epsilon_high:.2f}) "
        f"{plan.state(estimate.epsilon).qualified}; an estimate and no certificate."
    )


def _lacks(subject: Subject) -> str | None:
    if not subject.spent:
        return (
            "Expected a private run, got one trained without clipping and noise: no step to test."
        )
    if subject.plan.unit == "owner" and subject.plan.secure_aggregation:
        return (
            "Expected a run in which one party adds the noise, got shares of noise by each owner: "
            "no game is written for these."
        )
    return None


AUDIT = Audit(
    name="mechanism",
    question="Does what adds the noise keep the plan's promise? Plays two games with it.",
    examine=examine,
    seconds=lambda subject, asking: {"quick": 10.0, "usual": 30.0, "thorough": 120.0}[
        asking.effort
    ],
    lacks=_lacks,
)
