"""`discreet bench scale`: seconds, memory and bytes by the number of owners."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from discreet.bench import (
    AccountsCost,
    Driven,
    Scale,
    as_accounts_table,
    as_flower_table,
    as_scale_table,
    compare_with_flower,
    made_by,
    measure_accounts,
    measure_scale,
    mib_per_owner,
)
from discreet.cli.options import Json, parse_counts, progress, quiet_logs, tell

FLOWER = (("tiny", 4), ("tiny", 20), ("small", 4))
"""Bases and numbers of owners that are compared."""


def scale(
    owners: Annotated[str, typer.Option(help="Numbers of owners, by commas.")] = "10,100,1000",
    per_round: Annotated[int, typer.Option(min=1, help="Owners asked in a round, or all.")] = 100,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each number of owners.")] = 3,
    accounts: Annotated[
        str,
        typer.Option(help="Also ledgers of so many accounts, by commas; of 20000: a minute."),
    ] = "",
    flower: Annotated[
        bool,
        typer.Option(help="Compare with Flower's simulation too; needs Ray; 6 minutes or more."),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="JSON file for everything measured.")] = None,
    as_json: Json = False,
) -> None:
    """Measure what a federation of many owners costs in one process, by their number.

    Each number of owners is measured in a process of its own, with base `tiny` on one core; a round
    of 100 owners takes half a minute to a minute.
    """
    quiet_logs()
    counts = _fewest_first(owners, "--owners")
    filled = _fewest_first(accounts, "--accounts") if accounts else []
    record, load = made_by(), os.getloadavg()[0]
    measured: list[Scale] = []
    ledgers: list[AccountsCost] = []
    driven: list[Driven] = []
    with progress() as bar:
        total = len(counts) + len(filled) + (len(FLOWER) if flower else 0)
        row = bar.add_task("scale", total=total)
        for count in counts:
            bar.update(row, description=f"{count:,} owners")
            measured.append(measure_scale(count, per_round=per_round, rounds=rounds))
            bar.update(row, advance=1)
        for count in filled:
            bar.update(row, description=f"{count:,} accounts")
            ledgers.append(measure_accounts(count))
            bar.update(row, advance=1)
        for base, count in FLOWER if flower else ():
            bar.update(row, description=f"{base} beside Flower")
            driven += compare_with_flower(base, owners=count, rounds=2)
            bar.update(row, advance=1)
    record |= {
        "load": [load, os.getloadavg()[0]],
        "mib_per_owner": mib_per_owner(measured),
        "scale": [{**asdict(one), "driver_share": one.driver_share} for one in measured],
        "accounts": [asdict(one) for one in ledgers],
        "flower": [asdict(one) for one in driven],
    }
    tables = [as_scale_table(measured)]
    tables += [as_accounts_table(ledgers)] if ledgers else []
    tables += [as_flower_table(driven)] if driven else []
    tell(record, "\n\n".join(tables), out, as_json)


def _fewest_first(text: str, option: str) -> list[int]:
    return sorted(set(parse_counts(text, option, example="10,100,1000")))
