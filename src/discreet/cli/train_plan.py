"""From a file and the options of a command to the plan of a training.

    plan = with_changes(read_plan(Path("plan.toml")), {"num_owners": 3}, ["aggregation=rolora"])

Trains nothing. What a plan may hold is `discreet.federated.TrainConfig`'s to say.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import typer

from discreet.errors import ArtifactCorrupt, ArtifactError, DataError
from discreet.federated import PREFERENCES, TrainConfig
from discreet.sources import holds_shares, num_owners_in


def read_plan(path: Path | None) -> TrainConfig:
    """Return the plan of a file that somebody wrote; the quickstart's without one.

    Raises:
        ArtifactError: if it is no file, or not TOML.
        ValueError: if a field is unknown, or a value of another type or out of range.
    """
    if path is None:
        return TrainConfig()
    if not path.is_file():
        what = "a folder" if path.is_dir() else "none there"
        raise ArtifactError(
            f"Expected a TOML file with a plan, got '{path}': {what}. Take a run folder's "
            "config.toml as an example; `discreet fields` tells what may stand in it."
        )
    try:
        return TrainConfig.load(path)
    except ArtifactCorrupt as error:
        where = error.__cause__ if isinstance(error.__cause__, tomllib.TOMLDecodeError) else "bytes"
        raise ArtifactError(
            f"Expected TOML in '{path.name}', got something else: {where}. A line is a field, = "
            'and its value; words have quotation marks: base = "tiny".'
        ) from error
    except ValueError as error:
        raise ValueError(f"In '{path.name}': {error}") from error


def with_changes(
    plan: TrainConfig, options: Mapping[str, object], changes: Sequence[str] = ()
) -> TrainConfig:
    """Return the plan with all that was given on the command line, in one go.

    Args:
        plan: What it is without.
        options: By the name of the field; None was not given.
        changes: As KEY=VALUE, by the name of the field; they win.
    """
    given = {name: value for name, value in options.items() if value is not None}
    given |= dict(_change(text) for text in changes)
    owners = given.get("num_owners")
    if isinstance(owners, int) and "min_replies" not in given:
        given["min_replies"] = min(plan.min_replies, max(1, owners))
    return TrainConfig.from_mapping({**plan.as_mapping(), **given})


def _change(text: str) -> tuple[str, object]:
    """Return name and value of KEY=VALUE; what is no value of TOML is a word."""
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise typer.BadParameter(
            "Expected KEY=VALUE, got no =. `discreet fields` tells the keys.", param_hint="--set"
        )
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name, value


def for_objective(plan: TrainConfig, objective: str | None, *, is_planned: bool) -> TrainConfig:
    """Return the plan for what is to be learnt, with what fits the shipped pairs if none was given.

    An example is then what the objective learns from.
    """
    if objective is None or objective == plan.objective:
        return plan
    if objective == "preferences":
        needed = ("objective", "examples") if is_planned else tuple(PREFERENCES)
        return replace(plan, **{name: PREFERENCES[name] for name in needed})
    return replace(plan, objective=objective, examples=TrainConfig().examples)


def for_data(plan: TrainConfig, data: Path | None, *, is_counted: bool) -> TrainConfig:
    """Return the plan for what the data are; the number of owners only where nobody said one."""
    if data is None or not holds_shares(data):
        return plan
    plan = replace(plan, examples="conversations")
    if is_counted:
        return plan
    if (count := num_owners_in(data)) is None:
        raise DataError(
            f"Expected '{data.name}' to say to how many owners it was shared out, got no number: "
            "who has nothing is one of them. Say it with --owners, or share the set out again."
        )
    return with_changes(plan, {"num_owners": count})
