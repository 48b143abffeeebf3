"""Audit: does the private step add the noise that the run's plan promises?

Plays two games against the very code that training runs, with the plan's noise and clipping norm
and with everything in each step, so that no sampling hides a fault (`bounds/mechanism.py`). It
tests the installed code and the plan, and looks at no adapter.
"""

from dataclasses import asdict

from discreet.audit.asked import Asking, Audit, OnDone
from discreet.audit.subject import Subject
from discreet.bounds import MechanismCheck, check_mechanism, full_participation
from discreet.evidence import Evidence, Interval, Intervals
from discreet.federated import plan_of

CANARIES = {"quick": 400, "usual": 1000, "thorough": 4000}
PLAYS = {"quick": 80, "usual": 160, "thorough": 800}
_LIMITS = (
    "The code that is installed now, which need not be what trained the run: compare commits.",
    "Two games. Other faults need other games: `discreet doctor --private` couples losses and "
    "compares gradients one by one.",
)


def examine(subject: Subject, asking: Asking, on_done: OnDone) -> Evidence:
    """Play both games with the noise and the norm of the run's plan."""
    on_done("playing against the private step")
    plan = plan_of(subject.plan)
    check = check_mechanism(
        full_participation(
            noise_multiplier=plan.gradient_noise_multiplier, max_grad_norm=plan.max_grad_norm
        ),
        canaries=CANARIES[asking.effort],
        plays=PLAYS[asking.effort],
        seed=asking.seed,
    )
    return Evidence(
        audit="mechanism",
        title="Whether the private step keeps its word",
        says=(_in_a_sentence(check),),
        plots=(
            Intervals(
                title="What each game showed",
                unit=f"epsilon at delta = {check.delta:g}, with everything in each step",
                rows=tuple(
                    Interval(name=b.method, value=b.epsilon, low=0.0, high=b.epsilon)
                    for b in check.bounds
                ),
                reference=check.at_most,
                reference_name="what the accountant states for these steps",
            ),
        ),
        limits=_LIMITS,
        values={**asdict(check), "at_least": check.at_least, "refuted": check.is_refuted},
    )


def _in_a_sentence(check: MechanismCheck) -> str:
    pair = f"at least {check.at_least:.2f}, stated {check.at_most:.2f} at delta = {check.delta:g}"
    if check.is_refuted:
        return (
            f"Refuted at {check.confidence:.0%} confidence: the private step gives away more than "
            f"it states ({pair}). Do not train with this installation."
        )
    if not check.is_sharp:
        return f"Nothing found, and so few plays could not have refuted it ({pair}): try harder."
    return (
        f"Not refuted: with the noise of this plan and no sampling, epsilon is {pair}. A correct "
        f"step is refuted in at most {1 - check.confidence:.0%} of such tests."
    )


def _lacks(subject: Subject) -> str | None:
    if not subject.spent:
        return (
            "Expected a private run, got one trained without clipping and noise: no step to test."
        )
    if subject.plan.unit == "owner":
        return (
            "Expected a run that adds noise to gradients, got unit = 'owner': there the noise is "
            "on updates."
        )
    return None


AUDIT = Audit(
    name="mechanism",
    question="Does the private step add the noise that the plan promises? Plays two games with it.",
    examine=examine,
    seconds=lambda subject, asking: {"quick": 10.0, "usual": 30.0, "thorough": 120.0}[
        asking.effort
    ],
    lacks=_lacks,
)
