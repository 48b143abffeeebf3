"""`discreet privacy plan`: what a guarantee costs, and what it is worth, before it is given."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from discreet.cli.options import RUNS, Json, Runs, show_json, talk
from discreet.cli.spent import (
    FPR,
    SEEDED,
    attack,
    by_accountant,
    ledger_of,
    seeded_steps,
)
from discreet.federated import TrainConfig, plan_of
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
from discreet.types import OwnerId, meaning, rounded_up

QUICKSTART = TrainConfig()
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


def plan_(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Argument(help="TOML file of a training."),
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="Budget: 8, or the target of --ledger.")
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(
            help="What is added to the bound, a probability: well below 1 / people. 1e-5, or that "
            "of --ledger."
        ),
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
    clip_count_noise: Annotated[
        float | None,
        typer.Option(help="Noise of its counts; a twentieth of --expected-batch-size by default."),
    ] = None,
    ledger: Annotated[
        str | None,
        typer.Option(help="Run, run folder or ledger: plan for what is left of its target."),
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Whose account in --ledger.")] = None,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Find the noise for a budget, and say in words what that budget is worth.

    With CONFIG, the TOML file of a training, tell of exactly its plan, without other options.
    """
    if config is not None:
        _refuse_beside(ctx)
        _tell(_report_on_config(TrainConfig.load(config)), as_json)
        return
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
    }
    if settings["unit"] == "user" and examples_per_user is None:
        raise typer.BadParameter(
            "Expected --examples-per-user where users are hidden, got none. Say how many examples "
            "of one user may be used; the rest are left out.",
            param_hint="--unit",
        )
    already = () if account is None else account.events
    plan = calibrate(**settings, already=already)
    report = report_on(_with_quantile(plan, clip_quantile, clip_count_noise), already)
    if account is not None and (seeded := seeded_steps(account)):
        report = replace(report, beware=(SEEDED.format(steps=seeded), *report.beware))
    _tell(report, as_json)


def _refuse_beside(ctx: typer.Context) -> None:
    """Refuse options beside CONFIG, which would be ignored."""
    given = [
        parameter.opts[0]
        for parameter in ctx.command.params
        if parameter.name not in ("config", "as_json")
        and parameter.name is not None
        and getattr(ctx.get_parameter_source(parameter.name), "name", "") == "COMMANDLINE"
    ]
    if given:
        raise typer.BadParameter(
            f"Expected nothing but --json beside a file, got {', '.join(given)}. The file has the "
            "whole plan: change it there, or leave it out.",
            param_hint="CONFIG",
        )


def _report_on_config(config: TrainConfig) -> Report:
    """Return what a training's plan promises to each of its owners."""
    report = report_on(plan_of(config))
    if not config.reproducible:
        return report
    seeded = f"reproducible = true: {SEEDED.format(steps='all')}"
    return replace(report, beware=(seeded, *report.beware))


def _tell(report: Report, as_json: bool) -> None:
    """Print a report, for machines or for people."""
    if as_json:
        show_json(as_mapping(report))
    else:
        talk().print(as_table(report))


def _with_quantile(
    plan: PrivacyPlan, quantile: float | None, count_noise: float | None
) -> PrivacyPlan:
    """Return the plan with a clipping norm that follows a quantile, if one is given."""
    if quantile is None:
        if count_noise is not None:
            raise typer.BadParameter(
                "Expected --clip-quantile beside it, got none. Leave it out for a norm that stays.",
                param_hint="--clip-count-noise",
            )
        return plan
    usual = plan.expected_batch_size / 20
    noise = usual if count_noise is None else count_noise
    if not 2 * noise > plan.noise_multiplier:
        raise typer.BadParameter(
            f"Expected more than {rounded_up(plan.noise_multiplier / 2)}, half of the noise "
            f"multiplier, got {noise:g}{' by default' if count_noise is None else ''}: the count "
            f"alone would spend the budget. Give --clip-count-noise, or raise "
            "--expected-batch-size.",
            param_hint="--clip-count-noise",
        )
    return replace(plan, clip_quantile=quantile, clip_count_noise=noise)


def _account(ref: str | None, owner: str | None, runs: Path) -> Account | None:
    """Return the account that is to be spent from; None for a new one."""
    if (ref is None) != (owner is None):
        raise typer.BadParameter("Expected --ledger and --owner together, got one of them.")
    if ref is None:
        return None
    accounts = ledger_of(ref, runs).accounts()
    if owner not in accounts:
        raise typer.BadParameter(
            f"Expected an owner of '{ref}', which are {', '.join(accounts) or 'none'}; got "
            f"{owner}. Without --ledger a plan is for a new account.",
            param_hint="--owner",
        )
    return accounts[OwnerId(str(owner))]


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
    shuffled = replace(plan, sampler="bins", bands=1).events()
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
    thing = "examples" if plan.sampled == "example" else "users"
    how = {
        "poisson": f"each joins on a coin of its own, chance {plan.sample_rate:g}",
        "cyclic": f"each is in one of {plan.bands} groups that take turns, and joins its group's "
        f"steps on a coin, chance {plan.group_rate:g}",
        "bins": f"each is in one step of every {plan.steps_per_epoch}, at random",
    }[plan.sampler]
    calls = "" if plan.steps_per_call is None else f", {plan.steps_per_call} in a call"
    if plan.sampler == "poisson":
        calls = ""
    return f"{plan.steps}{calls}, each with {plan.expected_batch_size} {thing} on average; {how}"


def _noise(plan: PrivacyPlan) -> str:
    clipped = "gradient of an example" if plan.sampled == "example" else "mean gradient of a user"
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
