"""What a privacy plan is worth, in words and numbers: the noise, attacks, users, what if shuffled.

    print(as_table(report_on(plan_of(TrainConfig()))))

Calibrates nothing that is promised, and knows no ledger.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.table import Table

from discreet.cli.accounts import FPR, SEEDED, attack, by_accountant
from discreet.federated import TrainConfig, plan_of
from discreet.privacy import (
    CrossCheck,
    Event,
    OutOfRange,
    PrivacyPlan,
    banded_coefficients,
    best_tpr,
    calibrate,
    cross_check,
    epsilon_of,
    prefix_sum_error,
)
from discreet.types import meaning, rounded_up

EXAMPLES_OF_A_USER = (2, 4, 8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Everything that `plan` tells."""

    plan: PrivacyPlan
    past: tuple[Event, ...]
    """What the account has spent before; nothing for a new one."""
    already: float
    """Epsilon of what the account has spent before; 0 for a new one."""
    epsilon: CrossCheck
    """Of that and all planned steps together, by accountant."""
    shuffled_epsilon: float | None
    """With the same noise, if nothing may be claimed for the secrecy of who was drawn: every
    started pass over the data counts in full. None: beyond what can be computed, or something was
    spent before, which was drawn as it was."""
    best_tpr: float
    user_epsilon: dict[int, float | None]
    """By examples of a user, where single examples are hidden. None: beyond what can be computed;
    empty where it is not known."""
    noise_in_the_sum: float | None
    """Noise in the sum of the steps so far, relative to independent noise at the same epsilon; None
    where noise is independent."""
    beware: tuple[str, ...] = ()
    """What makes the plan weaker than it looks."""


def report_on(plan: PrivacyPlan, already: Sequence[Event] = ()) -> Report:
    """Return what a plan promises on top of what is spent already, and what it does not."""
    events = [*already, *plan.events()]
    shuffled = _shuffled(plan).events()
    users = EXAMPLES_OF_A_USER if plan.unit == "example" and plan.bands == 1 else ()
    return Report(
        plan=plan,
        past=tuple(already),
        already=epsilon_of(already, plan.delta, plan.accountant),
        epsilon=cross_check(events, plan.delta),
        shuffled_epsilon=None if already else _epsilon(shuffled, plan.delta),
        best_tpr=best_tpr(events, fpr=FPR),
        user_epsilon={
            count: _epsilon([replace(e, contributions=count) for e in events], plan.delta)
            for count in users
        },
        noise_in_the_sum=_noise_in_the_sum(plan, already) if plan.bands > 1 else None,
        beware=tuple(_doubts(plan)),
    )


def report_on_training(config: TrainConfig) -> Report:
    """Return what a training's plan promises to each of its owners."""
    report = report_on(plan_of(config))
    if not config.reproducible:
        return report
    seeded = f"reproducible = true: {SEEDED.format(steps='all')}"
    return replace(report, beware=(seeded, *report.beware))


def _shuffled(plan: PrivacyPlan) -> PrivacyPlan:
    """Return a plan with the same noise that claims nothing for who is drawn."""
    if plan.unit == "owner":  # to an accountant an owner is one contribution, as an example is
        return replace(
            plan,
            unit="example",
            sampled="example",
            neighbouring_relation="add_or_remove_one",
            sampler="bins",
        )
    return replace(plan, sampler="bins", bands=1)


def _doubts(plan: PrivacyPlan) -> Iterator[str]:
    """Yield what makes a plan weaker than it looks."""
    expected = plan.expected_batch_size / plan.sample_rate
    if plan.delta * expected >= 1 - 1e-9:
        yield (
            f"delta = {plan.delta:g} is no less than 1 / {expected:.0f}, the {plan.sampled}s "
            "expected: publishing one of them whole would keep such a promise. Lower --delta to "
            "well below it"
        )


def as_mapping(report: Report) -> dict[str, Any]:
    """Return a report as plain values; each epsilon stands beside what gives it a meaning."""
    plan = report.plan
    return {
        "plan": plan.to_dict(),
        "gradient_noise_multiplier": plan.gradient_noise_multiplier,
        "is_amplified": plan.is_amplified,
        "delta": plan.delta,
        "unit": plan.unit,
        "neighbouring_relation": plan.neighbouring_relation,
        "already": report.already,
        "epsilon": report.epsilon,
        "shuffled_epsilon": report.shuffled_epsilon,
        "best_attack": {"fpr": FPR, "tpr": report.best_tpr},
        "user_epsilon": report.user_epsilon,
        "noise_in_the_sum": report.noise_in_the_sum,
        "beware": report.beware,
    }


def as_table(report: Report) -> Table:
    """Return a report in words."""
    plan, found = report.plan, report.epsilon
    spent = getattr(found, plan.accountant)
    table = Table(show_header=False, title="What this plan promises", title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column()
    for doubt in report.beware:
        table.add_row("beware", doubt)
    table.add_row("promise", str(plan.state(spent)))
    table.add_row("that is", meaning(plan.unit, plan.state(spent)))
    if report.past:
        table.add_row("of which", f"{plan.state(report.already)} was spent before")
    table.add_section()
    table.add_row("steps", _steps(plan))
    table.add_row("noise", _noise(plan))
    if report.noise_in_the_sum is not None:
        within = "" if plan.steps_per_call is None else " within a call"
        table.add_row(
            "",
            f"correlated over {plan.bands} steps: the running sum of all steps{within} has "
            f"{report.noise_in_the_sum:.2f} times the noise that independent noise leaves in it at "
            "the same epsilon",
        )
    table.add_section()
    events = [*report.past, *plan.events()]
    table.add_row("epsilon by", by_accountant(found, events))
    if not report.past:
        table.add_row("if shuffled", _if_shuffled(report))
    table.add_row("any attack", attack(plan.unit, report.best_tpr))
    table.add_section()
    table.add_row("users", _users(report))
    return table


def _steps(plan: PrivacyPlan) -> str:
    how = {
        "poisson": f"each joins on a coin of its own, chance {plan.sample_rate:g}",
        "cyclic": f"each is in one of {plan.bands} groups that take turns, and joins its group's "
        f"steps on a coin, chance {plan.group_rate:g}",
        "bins": f"each is in one step of every {plan.steps_per_epoch}, at random",
    }[plan.sampler]
    calls = "" if plan.steps_per_call is None else f", {plan.steps_per_call} in a call"
    if plan.sampler == "poisson":
        calls = ""
    each = f"each with {plan.expected_batch_size} {plan.sampled}s on average"
    return f"{plan.steps}{calls}, {each}; {how}"


def _noise(plan: PrivacyPlan) -> str:
    clipped = {
        "example": "gradient of an example",
        "user": "mean gradient of a user",
        "owner": "update of an owner",
    }[plan.sampled]
    text = f"{plan.gradient_noise_multiplier:.3f} x the norm to which the {clipped} is clipped"
    if plan.clip_quantile is None:
        return text
    return (
        f"{text}, which follows the {plan.clip_quantile:.0%} quantile by counts with noise "
        f"{plan.clip_count_noise:g}; together they are as private as {plan.noise_multiplier:.3f}"
    )


def _if_shuffled(report: Report) -> str:
    if not report.plan.is_amplified:
        return "the same: this epsilon claims nothing for who is drawn"
    return (
        f"the same noise over shuffled batches (each once in every {report.plan.steps_per_epoch} "
        f"steps, nothing claimed for who is drawn): epsilon {_number(report.shuffled_epsilon)}"
    )


def _users(report: Report) -> str:
    plan = report.plan
    if plan.unit == "user":
        return f"hidden with all their examples, of which at most {plan.examples_per_user} are used"
    if plan.unit == "owner":
        return "hidden with all that is theirs at one owner; at two owners both epsilons add"
    if not report.user_epsilon:
        return "not hidden: this is no guarantee for who has two examples or more"
    figures = ", ".join(f"{n} examples {_number(e)}" for n, e in report.user_epsilon.items())
    return (
        f"not hidden as such. This is not a user's guarantee; epsilon of a user at delta = "
        f"{plan.delta:g} with {figures}. Use --unit user to hide users"
    )


def _number(epsilon: float | None) -> str:
    return "too large to compute" if epsilon is None else rounded_up(epsilon)


def _epsilon(events: list[Event], delta: float) -> float | None:
    """Return epsilon, or None where it is too large to be computed."""
    try:
        return epsilon_of(events, delta, "pld")
    except OutOfRange:
        return None


def _noise_in_the_sum(plan: PrivacyPlan, already: Sequence[Event]) -> float:
    """Return the root mean squared error of prefix sums over that of independent noise."""
    independent = calibrate(
        target_epsilon=plan.target_epsilon,
        delta=plan.delta,
        sample_rate=plan.sample_rate,
        steps=plan.steps,
        expected_batch_size=plan.expected_batch_size,
        accountant=plan.accountant,
        unit=plan.unit,
        sampled=plan.sampled,
        examples_per_user=plan.examples_per_user,
        already=already,
    )
    steps = min(plan.steps_per_call or plan.steps, plan.steps)
    ours = prefix_sum_error(banded_coefficients(plan.bands), steps) * plan.noise_multiplier**2
    theirs = prefix_sum_error(banded_coefficients(1), steps) * independent.noise_multiplier**2
    return math.sqrt(ours / theirs)
