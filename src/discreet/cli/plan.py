"""`discreet privacy plan`: what a guarantee costs, and what it is worth, before it is given."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from discreet.cli.options import RUNS, Json, Runs, show_json, talk
from discreet.cli.spent import ledger_of
from discreet.federated import TrainConfig
from discreet.privacy import (
    Account,
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
from discreet.types import OwnerId

QUICKSTART = TrainConfig()
FPR = 0.01
"""False-positive rate at which an attacker's best true-positive rate is told."""
EXAMPLES_OF_A_USER = (2, 4, 8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Everything that `plan` tells."""

    plan: PrivacyPlan
    already: float
    """Epsilon of what the account has spent before; 0 for a new one."""
    epsilon: CrossCheck
    """Of that and all planned steps together, by accountant."""
    shuffled_epsilon: float | None
    """With the same noise, if nothing may be claimed for the secrecy of who was drawn: every
    started pass over the data counts in full. None: beyond what can be computed."""
    best_tpr: float
    user_epsilon: dict[int, float | None]
    """By examples of a user, where single examples are hidden. None: beyond what can be computed;
    empty where it is not known."""
    noise_in_the_sum: float | None
    """Noise in the sum of the steps so far, relative to independent noise at the same epsilon; None
    where noise is independent."""


def plan_(
    epsilon: Annotated[
        float | None, typer.Option(help="Budget: 8, or the target of --ledger.")
    ] = None,
    delta: Annotated[
        float | None, typer.Option(help="Chance that it fails: 1e-5, or that of --ledger.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Private steps in all.")] = QUICKSTART.steps_total,
    expected_batch_size: Annotated[
        int, typer.Option(help="Examples, or users, a step on average: the public divisor.")
    ] = QUICKSTART.expected_batch_size,
    examples_expected: Annotated[
        int | None,
        typer.Option(help="Examples, or users, in the data, about: a public guess, not a count."),
    ] = None,
    sample_rate: Annotated[
        float | None, typer.Option(help="Chance to be in a step, instead of --examples-expected.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="What is hidden: example (default) or user.")
    ] = None,
    sampled: Annotated[str, typer.Option(help="What is drawn: example or user.")] = "example",
    examples_per_user: Annotated[
        int | None, typer.Option(help="Most examples of one user, for --unit user.")
    ] = None,
    sampler: Annotated[str, typer.Option(help="poisson, cyclic or bins.")] = "poisson",
    bands: Annotated[int, typer.Option(help="Steps that share noise, for cyclic.")] = 1,
    steps_per_call: Annotated[
        int | None, typer.Option(help="Steps taken at a time, for cyclic and bins.")
    ] = None,
    accountant: Annotated[str, typer.Option(help="pld, prv or rdp.")] = "pld",
    clip_quantile: Annotated[
        float | None, typer.Option(help="Let the clipping norm follow this quantile.")
    ] = None,
    ledger: Annotated[
        str | None,
        typer.Option(help="Run, run folder or ledger: plan for what is left of its target."),
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Whose account in --ledger.")] = None,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Find the noise for a budget, and say in words what that budget is worth."""
    if sample_rate is not None and examples_expected is not None:
        raise typer.BadParameter("Expected --sample-rate or --examples-expected, got both.")
    if examples_expected is not None:
        if examples_expected < expected_batch_size:
            raise typer.BadParameter(
                f"Expected at least {expected_batch_size} examples, as many as a step takes on "
                f"average, got {examples_expected}. Lower --expected-batch-size.",
                param_hint="--examples-expected",
            )
        sample_rate = expected_batch_size / examples_expected
    account = _account(ledger, owner, runs)
    settings: dict[str, Any] = {
        **_promise(account, target_epsilon=epsilon, delta=delta, unit=unit),
        "sample_rate": QUICKSTART.sample_rate if sample_rate is None else sample_rate,
        "steps": steps,
        "expected_batch_size": expected_batch_size,
        "sampled": sampled,
        "examples_per_user": examples_per_user,
        "sampler": sampler,
        "bands": bands,
        "steps_per_call": steps_per_call,
        "accountant": accountant,
        "clip_quantile": clip_quantile,
        "clip_count_noise": 0.0 if clip_quantile is None else expected_batch_size / 20,
    }
    already = () if account is None else account.events
    report = report_on(calibrate(**settings, already=already), already)
    if as_json:
        show_json(as_mapping(report))
    else:
        talk().print(as_table(report))


def _account(ref: str | None, owner: str | None, runs: Path) -> Account | None:
    """Return the account that is to be spent from; None for a new one."""
    if (ref is None) != (owner is None):
        raise typer.BadParameter("Expected --ledger and --owner together, got one of them.")
    return None if ref is None else ledger_of(ref, runs).account(OwnerId(str(owner)))


def _promise(account: Account | None, **given: object) -> dict[str, object]:
    """Return target, delta and unit: as given, or as the account promises already.

    Raises:
        typer.BadParameter: if what is given is not what the account promises.
    """
    usual = {"target_epsilon": QUICKSTART.target_epsilon, "delta": QUICKSTART.delta}
    promised = {**usual, "unit": "example"}
    if account is not None:
        promised = {name: getattr(account.plan, name) for name in promised}
    for name, value in given.items():
        if account is not None and value not in (None, promised[name]):
            raise typer.BadParameter(
                f"Expected {name}={promised[name]} as the account promises, got {value}. Leave it "
                "out; another guarantee needs another ledger and new data.",
                param_hint="--ledger",
            )
    return {name: promised[name] if given[name] is None else given[name] for name in promised}


def report_on(plan: PrivacyPlan, already: Sequence[Event] = ()) -> Report:
    """Return what a plan promises on top of what is spent already, and what it does not."""
    events = [*already, *plan.events()]
    shuffled = replace(plan, sampler="bins", bands=1)
    users = EXAMPLES_OF_A_USER if plan.unit == "example" and plan.bands == 1 else ()
    return Report(
        plan=plan,
        already=epsilon_of(already, plan.delta, plan.accountant),
        epsilon=cross_check(events, plan.delta),
        shuffled_epsilon=_epsilon([*already, *shuffled.events()], plan.delta),
        best_tpr=best_tpr(events, fpr=FPR),
        user_epsilon={
            count: _epsilon([replace(e, contributions=count) for e in events], plan.delta)
            for count in users
        },
        noise_in_the_sum=_noise_in_the_sum(plan) if plan.bands > 1 else None,
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
    }


def as_table(report: Report) -> Table:
    """Return a report in words."""
    plan, found = report.plan, report.epsilon
    spent = getattr(found, plan.accountant)
    table = Table(show_header=False, title="What this plan promises", title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_row("promise", str(plan.state(spent)))
    table.add_row("that is", _meaning(plan, spent))
    if report.already:
        table.add_row("of which", f"{plan.state(report.already)} was spent before")
    table.add_section()
    table.add_row("steps", _steps(plan))
    table.add_row("noise", _noise(plan))
    if report.noise_in_the_sum is not None:
        table.add_row(
            "",
            f"correlated over {plan.bands} steps: the running sum of all steps has "
            f"{report.noise_in_the_sum:.2f} times the noise that independent noise leaves in it at "
            "the same epsilon",
        )
    table.add_section()
    prv = "none" if found.prv is None else f"{found.prv:.2f}"
    table.add_row("epsilon by", f"pld {found.pld:.2f}, prv {prv}, rdp {found.rdp:.2f} (a check)")
    table.add_row("without", _without_amplification(report))
    table.add_row("any attack", _attack(report))
    table.add_section()
    table.add_row("users", _users(report))
    return table


def _meaning(plan: PrivacyPlan, epsilon: float) -> str:
    if epsilon < 20:
        factor = f"by a factor of {math.exp(epsilon):,.{1 if epsilon < 3 else 0}f} at most"
    else:
        factor = "by any factor: so large an epsilon means nothing"
    return (
        f"what is released moves the odds of a guess, whether any one {plan.unit} was in the data, "
        f"{factor}, save with a chance of {plan.delta:g}"
    )


def _steps(plan: PrivacyPlan) -> str:
    thing = "examples" if plan.sampled == "example" else "users"
    how = {
        "poisson": f"each joins on a coin of its own, chance {plan.sample_rate:g}",
        "cyclic": f"each is in one of {plan.bands} groups that take turns, and joins its group's "
        f"steps on a coin, chance {plan.group_rate:g}",
        "bins": f"each is in one step of every {plan.steps_per_epoch}, at random",
    }[plan.sampler]
    return f"{plan.steps}, each with {plan.expected_batch_size} {thing} on average; {how}"


def _noise(plan: PrivacyPlan) -> str:
    clipped = "gradient of an example" if plan.sampled == "example" else "mean gradient of a user"
    text = f"{plan.gradient_noise_multiplier:.3f} x the norm to which the {clipped} is clipped"
    if plan.clip_quantile is None:
        return text
    return (
        f"{text}, which follows the {plan.clip_quantile:.0%} quantile by counts with noise "
        f"{plan.clip_count_noise:g}; together they are as private as {plan.noise_multiplier:.3f}"
    )


def _without_amplification(report: Report) -> str:
    if not report.plan.is_amplified:
        return "this is the epsilon without amplification: it claims nothing for who is drawn"
    shuffled = _number(report.shuffled_epsilon)
    return (
        f"amplification by sampling, that is for shuffled batches with each in one step of every "
        f"{report.plan.steps_per_epoch}, the same noise would be worth {shuffled}"
    )


def _attack(report: Report) -> str:
    whom = "examples" if report.plan.unit == "example" else "users"
    return (
        f"finds {report.best_tpr:.1%} of the {whom} in the data at most, if it may falsely accuse "
        f"{FPR:.0%} of the others (a guess finds {FPR:.0%})"
    )


def _users(report: Report) -> str:
    plan = report.plan
    if plan.unit == "user":
        return f"hidden with all their examples, of which at most {plan.examples_per_user} are used"
    if not report.user_epsilon:
        return "not hidden: this is no guarantee for who has two examples or more"
    figures = ", ".join(f"{n} examples {_number(e)}" for n, e in report.user_epsilon.items())
    return (
        f"not hidden as such. This is not a user's guarantee; epsilon of a user at delta = "
        f"{plan.delta:g} with {figures}. Use --unit user to hide users"
    )


def _number(epsilon: float | None) -> str:
    return "above 200" if epsilon is None else f"{epsilon:.2f}"


def _epsilon(events: list[Event], delta: float) -> float | None:
    """Return epsilon, or None where it is too large to be computed."""
    try:
        return epsilon_of(events, delta, "pld")
    except OutOfRange:
        return None


def _noise_in_the_sum(plan: PrivacyPlan) -> float:
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
    )
    steps = plan.steps_per_call or plan.steps
    ours = prefix_sum_error(banded_coefficients(plan.bands), steps) * plan.noise_multiplier**2
    theirs = prefix_sum_error(banded_coefficients(1), steps) * independent.noise_multiplier**2
    return math.sqrt(ours / theirs)
