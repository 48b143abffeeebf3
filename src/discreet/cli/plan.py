"""`discreet privacy plan`: what a guarantee costs, and what it is worth, before it is given."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from discreet.cli.accounts import SEEDED, ledger_of, seeded_steps
from discreet.cli.options import RUNS, Json, Runs, given_by_hand, show_json, talk
from discreet.cli.plan_report import Report, as_mapping, as_table, report_on, report_on_training
from discreet.cli.train_plan import read_plan
from discreet.federated import TrainConfig
from discreet.privacy import Account, PrivacyPlan, calibrate
from discreet.types import OwnerId, rounded_up

QUICKSTART = TrainConfig()


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
        int, typer.Option(help="Examples, users or owners a step on average: the public divisor.")
    ] = QUICKSTART.expected_batch_size,
    examples_expected: Annotated[
        int | None,
        typer.Option(
            help="Examples, users or owners that there are, about: a public guess, not a count."
        ),
    ] = None,
    sample_rate: Annotated[
        float | None, typer.Option(help="Chance to be in a step, instead of --examples-expected.")
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            help="What is hidden: example (default), user, or owner: all of a federation's round "
            "that one owner contributes; a step is a round."
        ),
    ] = None,
    neighbours: Annotated[
        str | None,
        typer.Option(
            help="add_or_remove_one (default), or zero_out_one: owners who add the noise "
            "themselves, with --accountant rdp and --sample-rate 1."
        ),
    ] = None,
    sampled: Annotated[
        str | None, typer.Option(help="What is drawn: example (default), user or owner.")
    ] = None,
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
        _refuse_beside(given_by_hand(ctx, but=("config", "as_json")))
        _tell(report_on_training(read_plan(config)), as_json)
        return
    account = _account(ledger, owner, runs)
    settings: dict[str, Any] = {
        **_promise(
            account,
            target_epsilon=epsilon,
            delta=delta,
            unit=unit,
            neighbouring_relation=neighbours,
        ),
        "sample_rate": _rate(sample_rate, examples_expected, expected_batch_size),
        "steps": steps,
        "expected_batch_size": expected_batch_size,
        "examples_per_user": examples_per_user,
        "sampler": sampler,
        "bands": bands,
        "steps_per_call": steps_per_call,
        "accountant": accountant,
    }
    usually_drawn = "owner" if settings["unit"] == "owner" else "example"
    settings["sampled"] = usually_drawn if sampled is None else sampled
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


def _rate(sample_rate: float | None, examples_expected: int | None, each: int) -> float:
    """Return the chance to be in a step of `each` on average, the quickstart's where none is said.

    Raises:
        typer.BadParameter: if it is said in two ways, or there are fewer than a step takes.
    """
    if examples_expected is None:
        return QUICKSTART.sample_rate if sample_rate is None else sample_rate
    if sample_rate is not None:
        raise typer.BadParameter("Expected --sample-rate or --examples-expected, got both.")
    if examples_expected < each:
        raise typer.BadParameter(
            f"Expected at least {each} examples, as many as a step takes on average, got "
            f"{examples_expected}. Lower --expected-batch-size.",
            param_hint="--examples-expected",
        )
    return each / examples_expected


def _refuse_beside(given: list[str]) -> None:
    """Refuse options beside CONFIG, which would be ignored."""
    if given:
        raise typer.BadParameter(
            f"Expected nothing but --json beside a file, got {', '.join(given)}. The file has the "
            "whole plan: change it there, or leave it out.",
            param_hint="CONFIG",
        )


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
    """Return target, delta, unit and neighbours: as given, or as the account promises already.

    Raises:
        typer.BadParameter: if what is given is not what the account promises.
    """
    usual = {"target_epsilon": QUICKSTART.target_epsilon, "delta": QUICKSTART.delta}
    promised = {**usual, "unit": "example", "neighbouring_relation": "add_or_remove_one"}
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
