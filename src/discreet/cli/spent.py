"""`discreet privacy spent`: what ledgers say, in words."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from math import exp
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from discreet.artifacts import RunFolder
from discreet.cli.options import RUNS, Json, Runs, show_json, talk
from discreet.errors import ArtifactError
from discreet.privacy import Account, OutOfRange, PrivacyLedger, spent_together
from discreet.registry import REFERENCE, REFERENCE_DIR
from discreet.types import OwnerId, PrivacyStatement

_NOT_A_PERSON = (
    "The epsilon of an example is not a person's guarantee: whoever has several examples in the "
    "data is protected less."
)
_BEYOND = "epsilon is beyond what can be computed, and nothing is promised"
_HOW_MUCH = " --examples-per-user K shows how much less."
_NOT_SETTLED = (
    "Not settled: whoever reserved these steps still trains or was killed. Nobody knows how many "
    "of them were started, so all of them count."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Spending:
    """What one owner spent by one ledger, ready to be shown."""

    owner: OwnerId
    account: Account
    spent: PrivacyStatement
    examples_per_user: int | None
    of_a_person: PrivacyStatement | None
    """None also where it is beyond what can be computed."""
    steps_left: int

    @property
    def unsettled(self) -> list[int]:
        """Steps of each reservation that nobody settled."""
        return [entry.steps for entry in self.account.entries if not entry.is_settled]

    @property
    def mechanisms(self) -> list[tuple[float, float, int, int]]:
        """Noise, rate, contributions and steps of each mechanism, as first used."""
        steps: Counter[tuple[float, float, int]] = Counter()
        for entry in self.account.entries:
            for event in entry.events:
                key = (event.noise_multiplier, event.sample_rate, event.contributions)
                steps[key] += entry.steps_counted
        return [(*key, count) for key, count in steps.items()]


def spent(
    refs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="Run folder, run id, ledger file, or 'reference' that ships."
        ),
    ],
    owner: Annotated[str | None, typer.Option(help="Only this owner.")] = None,
    examples_per_user: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most examples that one person has in the data: adds what a person is promised.",
        ),
    ] = None,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Explain what was spent on each owner's data, what is left, and what that promises.

    RUN is a run folder, a run id, the file of a ledger, or 'reference', which ships.
    """
    ledgers = {ref: ledger_of(ref, runs) for ref in refs}
    found = {ref: _spendings(one, owner, examples_per_user) for ref, one in ledgers.items()}
    if owner is not None and not any(found.values()):
        raise ArtifactError(f"Expected an account of '{owner}' in {', '.join(refs)}, found none.")
    every = [one for spendings in found.values() for one in spendings]
    together = list(_together(list(ledgers.values()), every, owner, examples_per_user))
    if as_json:
        show_json(
            {
                "ledgers": [_as_json(ledgers[ref], own) for ref, own in found.items()],
                "together": [{"of": who, "spent": statement} for who, statement in together],
            }
        )
        return
    for ref, spendings in found.items():
        _show(ref, spendings)
    for who, statement in together:
        talk().print(f"\nTogether, {escape(who)}: {statement or _BEYOND}", style="bold")
    if len(ledgers) > 1 and not together:
        talk().print(
            "\nNo two accounts name the same data, so nothing was added up. If an owner has the "
            "same data in several runs, name the owner with --owner."
        )
    _explain(every)


def ledger_of(ref: str, runs: Path) -> PrivacyLedger:
    """Return the ledger that a reference names; nothing is written beside it."""
    path = Path(ref)
    if ref == REFERENCE and not path.exists():
        path = REFERENCE_DIR
    elif not path.exists() and path.name == ref:
        path = runs / ref
    if not path.exists():
        raise ArtifactError(
            f"Expected a run folder, a ledger file, '{REFERENCE}' or a run in '{runs}', got "
            f"'{ref}'. `discreet adapters list` shows the runs."
        )
    if path.is_dir():
        path = RunFolder.open(path).ledger_path
        if not path.exists() and not path.with_suffix(".json").exists():
            raise ArtifactError(
                f"Expected '{path.name}' in '{ref}', found none. The server of a federation has "
                "no ledger: name those of its owners' devices."
            )
    return PrivacyLedger(path)


def _spendings(
    ledger: PrivacyLedger, owner: str | None, examples_per_user: int | None
) -> list[_Spending]:
    """Return what each owner, or one of them, has spent."""
    return [
        _spending(ledger, name, account, examples_per_user)
        for name, account in ledger.accounts().items()
        if owner in (None, name)
    ]


def _spending(
    ledger: PrivacyLedger, owner: OwnerId, account: Account, examples_per_user: int | None
) -> _Spending:
    of_a_person = None
    if account.plan.unit != "example":
        examples_per_user = None  # its epsilon is a person's
    if examples_per_user is not None:
        with suppress(OutOfRange):
            of_a_person = ledger.spent(owner, unit="user", examples_per_user=examples_per_user)
    return _Spending(
        owner=owner,
        account=account,
        spent=account.spent(),
        examples_per_user=examples_per_user,
        of_a_person=of_a_person,
        steps_left=account.steps_left(),
    )


def _together(
    ledgers: Sequence[PrivacyLedger],
    spendings: Sequence[_Spending],
    owner: str | None,
    examples_per_user: int | None,
) -> Iterator[tuple[str, PrivacyStatement | None]]:
    """Yield whose steps compose over several accounts, and to what; None: beyond computing."""
    same: list[tuple[str, OwnerId | None, str | None]] = []
    if len({ledger.path for ledger in ledgers}) > 1 and owner is not None:
        same.append((f"if {owner} has the same data in all of them", OwnerId(owner), None))
    accounts = Counter(data for one in spendings for data in _fingerprints(one.account))
    for data, count in accounts.items():
        if count > 1:
            same.append((f"on the data {data[:8]}…, which {count} accounts name", None, data))
    units = {one.account.plan.unit for one in spendings}
    levels = {None, examples_per_user if units == {"example"} else None}
    for whose, name, fingerprint in same:
        for examples in sorted(levels, key=lambda level: level or 0):
            statement = None
            with suppress(OutOfRange):
                statement = spent_together(
                    ledgers, owner=name, fingerprint=fingerprint, examples_per_user=examples
                )
            person = "" if examples is None else f", a person with up to {examples} examples"
            yield f"{whose}{person}", statement


def _fingerprints(account: Account) -> set[str]:
    """Return the fingerprints of all data that an account spent on."""
    return {entry.fingerprint for entry in account.entries if entry.fingerprint is not None}


def _show(ref: str, spendings: Sequence[_Spending]) -> None:
    """Print one ledger; owners who spent alike share their lines."""
    title = f"Ledger of {ref}"
    if not spendings:
        talk().print(f"\n{escape(title)}: no such account, so nothing was spent.")
        return
    alike: dict[str, list[_Spending]] = {}
    for one in spendings:
        alike.setdefault(repr(list(_lines(one))), []).append(one)
    table = Table(title=escape(title), title_justify="left", title_style="bold", show_header=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column()
    for group in alike.values():
        names = ", ".join(one.owner for one in group)
        each = " (each of them)" if len(group) > 1 else ""
        table.add_row("owner", f"[bold]{escape(names)}[/bold]{each}")
        for label, text in _lines(group[0]):
            table.add_row(label, escape(text))
        table.add_section()
    talk().print()
    talk().print(table)


def _lines(one: _Spending) -> Iterator[tuple[str, str]]:
    """Yield what there is to say of one owner, label and text."""
    plan, entries = one.account.plan, one.account.entries
    yield "spent", str(one.spent)
    yield "that is", _meaning(plan.unit, one.spent)
    if one.examples_per_user is not None:
        yield "a person", f"with up to {one.examples_per_user} examples: {_of_a_person(one)}"
    yield "target", f"epsilon = {plan.target_epsilon:g} at the same delta; {_room(one)}"
    label = "steps"
    for noise, rate, contributions, steps in one.mechanisms:
        several = f", at most {contributions} examples of a person" if contributions > 1 else ""
        yield (
            label,
            f"{steps} with noise of {noise:.3g} x the clipping norm, sample rate {rate:g}{several}",
        )
        label = ""
    if one.unsettled:
        count = len(one.unsettled)
        yield (
            "not settled",
            f"{sum(one.unsettled)} of these steps, in {count} reservation{'s'[: count > 1]}",
        )
    if runs := sorted({entry.run for entry in entries if entry.run}):
        yield f"run{'s'[: len(runs) > 1]}", ", ".join(runs)
    if days := sorted({datetime.fromisoformat(e.reserved_at).date() for e in entries}):
        yield "when", " to ".join(str(day) for day in sorted({days[0], days[-1]}))
    if data := sorted(_fingerprints(one.account)):
        yield "data", ", ".join(f"{fingerprint[:8]}…" for fingerprint in data)


def _of_a_person(one: _Spending) -> str:
    """Return what a person is promised."""
    if one.of_a_person is None:
        return _BEYOND
    return f"{one.of_a_person}; {_meaning('person', one.of_a_person)}"


def _room(one: _Spending) -> str:
    """Return how much of the target is left."""
    if one.steps_left == 0:
        return "no further step of the plan fits"
    more = " or more" if one.steps_left == one.account.plan.steps else ""
    return f"{one.steps_left}{more} steps of the plan still fit"


def _meaning(unit: str, spent: PrivacyStatement) -> str:
    """Return what an epsilon bounds."""
    if spent.epsilon == 0:
        return "nothing was released"
    if spent.epsilon >= 20:
        return f"so large an epsilon promises nothing to a {unit}"
    factor = exp(spent.epsilon)
    return (
        f"what was released moves the odds of a guess, whether any one {unit} was in the data, by "
        f"a factor of {factor:,.{1 if factor < 20 else 0}f} at most, save with a chance of "
        f"{spent.delta:g}"
    )


def _explain(spendings: Sequence[_Spending]) -> None:
    """Print what the numbers do not say by themselves."""
    if any(one.unsettled for one in spendings):
        talk().print(f"\n{_NOT_SETTLED}")
    if any(one.account.plan.unit == "example" for one in spendings):
        is_shown = any(one.of_a_person is not None for one in spendings)
        talk().print(f"\n{_NOT_A_PERSON}{'' if is_shown else _HOW_MUCH}")


def _as_json(ledger: PrivacyLedger, spendings: Sequence[_Spending]) -> dict[str, Any]:
    """Return one ledger as plain values."""
    return {
        "ledger": str(ledger.path),
        "owners": [
            {
                "owner": one.owner,
                "spent": one.spent,
                "of_a_person": one.of_a_person,
                "target_epsilon": one.account.plan.target_epsilon,
                "steps_left": one.steps_left,
                "steps": sum(entry.steps_counted for entry in one.account.entries),
                "events": one.account.events,
                "not_settled": {"reservations": len(one.unsettled), "steps": sum(one.unsettled)},
                "data": sorted(data[:8] for data in _fingerprints(one.account)),
            }
            for one in spendings
        ],
    }
