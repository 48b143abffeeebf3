"""Numbers of the federation's pages are those of the records in docs/results, or of the code."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.supernode import start_client_internal

from discreet.bench import (
    AggregationCell,
    RobustCell,
    as_aggregation_table,
    as_robust_table,
    reference_update,
)
from discreet.bench.aggregation import Contender, Surroundings
from discreet.bench.robust import RobustSetting
from discreet.bench.wire_loss import update_noise
from discreet.deployment import ServerSettings
from discreet.deployment.certificates import AUTHORITY_DAYS, SERVER_DAYS
from discreet.federated import TrainConfig
from discreet.registry import REFERENCE_DIR
from discreet.types import FLOWERTUNE_MIB

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "federation.md").read_text()
DEPLOYMENT = (DOCS / "deployment.md").read_text()
WORDS = " ".join(PAGE.split())


def record(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DOCS / "results" / f"{name}.json").read_text())
    return found


def require(rows: list[str]) -> None:
    """All of them stand in the page, and together: a row too many there would be nobody's."""
    block = "\n".join(rows)
    assert rows
    assert f"|\n{block}\n" in PAGE, block
    assert f"{block}\n|" not in PAGE


def test_the_table_of_rules_is_what_was_measured() -> None:
    cells = [
        AggregationCell(
            contender=Contender(**cell["contender"]),
            surroundings=Surroundings(**cell["surroundings"]),
            errors=tuple(cell["errors"]),
            floors=tuple(cell["floors"]),
        )
        for cell in record("aggregation")["cells"]
    ]
    require(as_aggregation_table(cells).splitlines()[2:])


def test_the_table_of_backdoors_is_what_was_measured() -> None:
    cells = [
        RobustCell(
            setting=RobustSetting(**cell["setting"]),
            attack_success=tuple(cell["attack_success"]),
            accuracy=tuple(cell["accuracy"]),
        )
        for cell in record("robust")["cells"]
    ]
    require(as_robust_table(cells).splitlines()[2:])


def test_the_table_of_bytes_is_what_was_measured() -> None:
    found = record("wire")
    assert (found["rounds"], found["owners"], found["topk_share"]) == (200, 4, 0.1)
    assert found["budget_mib"] == FLOWERTUNE_MIB
    assert f"FlowerTune allows {FLOWERTUNE_MIB:,} MiB" in PAGE
    require(
        [
            f"| {named(one['codec'])} | {one['bytes_up']:,} | {one['bytes_down']:,} "
            f"| {format(one['relative_error'], '.4f') if one['relative_error'] else 0} "
            f"| {one['total_mib']:.1f} | {100 * one['total_mib'] / FLOWERTUNE_MIB:.3f} % |"
            for one in found["codecs"]
        ]
    )


def test_the_table_of_losses_is_what_was_measured() -> None:
    found = record("wire")["loss"]
    assert f"{found['gated_loss']:.4f} nats per token where" in PAGE
    assert f"{found['native_loss']:.4f} where they are seen" in PAGE
    assert (found["num_rounds"], found["num_owners"]) == (2, 4)
    nothing = [change_of(found["without"][mode]) for mode in ("gated", "native")]
    rows = [f"| nothing sent | {' | '.join(nothing)} | | |"]
    for once, rounds in zip(found["once"], found["rounds"], strict=True):
        parts = [change_of(one[mode]) for one in (once, rounds) for mode in ("gated", "native")]
        rows.append(f"| {named(once['codec'])} | {' | '.join(parts)} |")
    require(rows)


def test_the_table_of_owners_is_what_was_measured() -> None:
    require(
        [
            f"| {one['owners']:,} | {one['asked']} | {one['round_seconds']:.1f} "
            f"| {100 * one['training_share']:.1f} % | {one['ledger_seconds']:.1f} "
            f"| {100 * one['driver_share']:.1f} % | {one['peak_mib']:.0f} "
            f"| {one['bytes_down'] / 1000:.0f} | {one['bytes_up'] / 1000:.0f} |"
            for one in record("scale")["scale"]
        ]
    )


def test_the_table_of_accounts_is_what_was_measured() -> None:
    require(
        [
            f"| {one['accounts']:,} | {one['ledger_bytes'] / 1e6:.1f} | {one['visit_cpu_ms']:.1f} "
            f"| {one['statements_seconds']:.2f} | {one['first_reading_seconds']:.1f} "
            f"| {one['mib']:.0f} |"
            for one in record("scale")["accounts"]
        ]
    )


def test_what_one_owner_takes_is_what_was_measured() -> None:
    """Of the most owners and accounts; where all of 100,000 took part it is in proportion."""
    found = record("scale")
    most = max(found["accounts"], key=lambda one: one["accounts"])
    many = max(found["scale"], key=lambda one: one["owners"])
    count, times = most["accounts"], 100_000 / most["accounts"]
    visits = many["asked"] * many["rounds"]
    assert f"Memory grows by {kb(found['mib_per_owner'] * 2**20)} kB an owner who waits" in WORDS
    assert (
        f"takes {kb(most['ledger_bytes'] / count)} kB of the file at its first round, "
        f"{kb(most['visit_bytes'])} kB at each other, and {kb(most['mib'] * 2**20 / count)} kB of "
        f"memory; the metrics take {many['metrics_bytes'] / visits:.0f} bytes a visit" in WORDS
    )
    assert (
        f"has {times:.0f} times what {count:,} accounts take: a ledger of "
        f"{times * most['ledger_bytes'] / 1e6:.0f} MB, {times * most['visit_cpu_ms']:.0f} ms of "
        f"accounts a visit, {times * most['statements_seconds']:.0f} s a round for the card and "
        f"as much for the event, and {times * most['first_reading_seconds']:.0f} s to read" in WORDS
    )
    loads = "load {:.0f} at the start, {:.0f} at the end".format(*found["load"])
    assert loads in WORDS


def test_the_table_beside_flower_is_what_was_measured() -> None:
    require(
        [
            f"| {one['driver']} | {one['base']} | {one['owners']} | {one['wall_seconds']:.1f} "
            f"| {one['cpu_seconds']:.1f} | {one['processes']} | {one['peak_mib']:,.0f} |"
            for one in record("scale")["flower"]
        ]
    )


def test_the_noise_of_an_update_is_what_the_page_says() -> None:
    """An update of the shipped adapter's plan, beside the adapter."""
    noise = update_noise(TrainConfig.load(REFERENCE_DIR / "config.toml"))
    learnt = torch.cat([value.flatten() for value in reference_update().values()]).std()
    assert f"({noise:.3f} in each number; numbers of the adapter have {learnt:.3f})" in PAGE


def test_what_the_deployment_page_says_of_time_is_so() -> None:
    """Of this kit's certificates, and of the Flower that is installed."""
    assert (SERVER_DAYS, AUTHORITY_DAYS) == (365, 10 * 365)
    assert "Certificates of a server last a year" in DEPLOYMENT
    assert "the authority ten years" in DEPLOYMENT
    assert "Flower asks for work every three seconds" in DEPLOYMENT
    assert "time.sleep(3)" in inspect.getsource(start_client_internal)
    assert ServerSettings(host="a").port == 8000
    assert "| 8000/tcp (`--port`), TLS |" in DEPLOYMENT


@pytest.mark.parametrize("name", ["aggregation", "robust", "wire", "scale"])
def test_a_record_says_what_made_it(name: str) -> None:
    assert {"commit", "hardware"} <= set(record(name))


def kb(size_bytes: float) -> str:
    return f"{size_bytes / 1000:.1f}"


def named(codec: str) -> str:
    return "`topk`, a tenth" if codec == "topk" else f"`{codec}`"


def change_of(change: dict[str, float]) -> str:
    """A change of the loss in thousandths; large ones need no decimals."""
    values = [1000 * change[end] for end in ("value", "low", "high")]
    decimals = 0 if abs(values[0]) >= 10 else 2
    value, low, high = (f"{value:+.{decimals}f}" for value in values)
    return f"{value} ({low} to {high})"
