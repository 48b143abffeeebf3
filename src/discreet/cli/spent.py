"""`discreet privacy spent`: what ledgers say, in words."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from discreet.cli.accounts import (
    FPR,
    SEEDED,
    attack,
    by_accountant,
    ledger_of,
    seeded_steps,
)
from discreet.cli.options import RUNS, Json, Runs, show_json, talk
from discreet.cli.owners import MOST_OWNERS, mean_of
from discreet.errors import ArtifactError
from discreet.privacy import (
    Account,
    CrossCheck,
    OutOfRange,
    PrivacyLedger,
    PrivacyPlan,
    best_tpr,
    cross_check,
    spent_together,
)
from discreet.types import OwnerId, PrivacyStatement, meaning

_NOT_A_PERSON = (
    "The epsilon of an example is not a person's guarantee: whoever has several examples in the "
    "data is protected less."
)
_BEYOND = "epsilon is beyond what can be computed, and nothing is promised"
_SHARED = "no figure is known for several examples that share noise"
_WHOLE = "hidden with all their examples; --examples-per-user changes nothing"
_OF_UNITS = "these accounts hide different units, so nothing was added up"
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
    check: CrossCheck | None
    """What was spent by every accountant; None: nothing was, or it cannot be computed."""
    best_tpr: float
    """Of any attack at `FPR`."""
    of_a_person: PrivacyStatement | None
    """None also where it is beyond what can be computed, or not known."""
    of_a_person_in_words: str
    """What is said of a person; empty where nobody asked."""
    steps_left: int

    @property
    def unsettled(self) -> list[int]:
        """Steps of each reservation that nobody settled."""
        return [entry.steps for entry in self.account.entries if not entry.is_settled]

    @property
    def seeded(self) -> int:
        """Steps whose noise came from a public seed."""
        return seeded_steps(self.account)

    @property
    def mechanisms(self) -> list[str]:
        """How many steps were taken of each kind, in words, as first used."""
        steps: Counter[str] = Counter()
        for entry in self.account.entries:
            steps[_mechanism(entry.plan)] += entry.steps_counted
        return [f"{n} step{'s'[: n > 1]}{kind}" for kind, n in steps.items() if n]


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
                "together": [{"of": who, "spent": statement} for who, statement, _ in together],
            }
        )
        return
    for ref, spendings in found.items():
        _show(ref, spendings)
    for who, _, words in together:
        talk().print(f"\nTogether, {escape(who)}: {words}", style="bold")
    if len(ledgers) > 1 and not together:
        talk().print(
            "\nNo two accounts name the same data, so nothing was added up. If an owner has the "
            "same data in several runs, name the owner with --owner."
        )
    _explain(every)


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
    events, delta = account.events, account.plan.delta
    check, tpr = None, FPR
    if events:
        with suppress(OutOfRange):
            check, tpr = cross_check(events, delta), best_tpr(events, fpr=FPR)
    of_a_person, words = _of_a_person(ledger, owner, account, examples_per_user)
    return _Spending(
        owner=owner,
        account=account,
        spent=account.spent(),
        check=check,
        best_tpr=tpr,
        of_a_person=of_a_person,
        of_a_person_in_words=words,
        steps_left=account.steps_left(),
    )


def _of_a_person(
    ledger: PrivacyLedger, owner: OwnerId, account: Account, examples_per_user: int | None
) -> tuple[PrivacyStatement | None, str]:
    """Return what a person is promised, also in words; nothing where nobody asked."""
    if examples_per_user is None:
        return None, ""
    if account.plan.unit != "example":
        return None, _WHOLE
    which = f"with up to {examples_per_user} examples: "
    if examples_per_user > 1 and any(entry.plan.bands > 1 for entry in account.entries):
        return None, which + _SHARED
    try:
        found = ledger.spent(owner, unit="user", examples_per_user=examples_per_user)
    except OutOfRange:
        return None, which + _BEYOND
    if not account.events:
        return found, which + str(found)
    return found, f"{which}{found}; {meaning('person', found)}"


def _together(
    ledgers: Sequence[PrivacyLedger],
    spendings: Sequence[_Spending],
    owner: str | None,
    examples_per_user: int | None,
) -> Iterator[tuple[str, PrivacyStatement | None, str]]:
    """Yield whose steps compose over several accounts, to what if known, and that in words."""
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
            statement, words = None, _BEYOND
            try:
                statement = spent_together(
                    ledgers, owner=name, fingerprint=fingerprint, examples_per_user=examples
                )
                words = str(statement)
            except OutOfRange:
                pass
            except ValueError:
                words = _OF_UNITS if examples is None else _SHARED
            person = "" if examples is None else f", a person with up to {examples} examples"
            if any(one.seeded for one in spendings):
                words += "; noise from a public seed promises nothing, see above"
            yield f"{whose}{person}", statement, words


def _fingerprints(account: Account) -> set[str]:
    """Return the fingerprints of all data that an account spent on."""
    return {entry.fingerprint for entry in account.entries if entry.fingerprint is not None}


def _show(ref: str, spendings: Sequence[_Spending]) -> None:
    """Print one ledger; who spent alike share lines, of many the one who spent most is told."""
    title = f"Ledger of {ref}"
    if not spendings:
        talk().print(f"\n{escape(title)}: no such account, so nothing was spent.")
        return
    alike: dict[str, list[_Spending]] = {}
    for one in spendings:
        alike.setdefault(repr(list(_lines(one))), []).append(one)
    count, worst = len(spendings), max(spendings, key=lambda one: one.spent.epsilon)
    if count > MOST_OWNERS:
        alike = {"": [worst]}
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
    if count > MOST_OWNERS:
        mean = mean_of(one.spent for one in spendings) or "of no one kind of guarantee"
        table.add_row("owners", f"{count}; the one above spent most. Each of them: --json")
        table.add_row("mean", str(mean))
    talk().print()
    talk().print(table)


def _lines(one: _Spending) -> Iterator[tuple[str, str]]:
    """Yield what there is to say of one owner, label and text."""
    plan, entries = one.account.plan, one.account.entries
    yield "spent", str(one.spent)
    if one.seeded:
        yield "not private", SEEDED.format(steps=one.seeded)
    else:
        yield from _worth(one)
    yield "target", f"epsilon = {plan.target_epsilon:g} at the same delta; {_room(one)}"
    for place, text in enumerate(one.mechanisms):
        yield "" if place else "steps", text
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


def _worth(one: _Spending) -> Iterator[tuple[str, str]]:
    """Yield what a spent epsilon promises, label and text."""
    plan, events = one.account.plan, one.account.events
    yield "that is", meaning(plan.unit, one.spent) if events else "nothing was released"
    if one.check is not None:
        yield "epsilon by", by_accountant(one.check, events)
        yield "any attack", attack(plan.unit, one.best_tpr)
    elif events:
        yield "epsilon by", f"other accountants: {_BEYOND}"
    if one.of_a_person_in_words:
        yield "a person", one.of_a_person_in_words


def _mechanism(plan: PrivacyPlan) -> str:
    """Return how steps of a plan are drawn and what noise they add, to follow their number."""
    drawn = {
        "poisson": f", sample rate {plan.sample_rate:g}",
        "cyclic": f", sample rate {plan.sample_rate:g}, in {plan.bands} groups that take turns",
        "bins": f" in bins (each {plan.sampled} in one step of every {plan.steps_per_epoch})",
    }[plan.sampler]
    whose = ""
    if plan.unit == "user":
        whose = f", {plan.sampled}s are drawn, at most {plan.examples_per_user} examples of a user"
    elif plan.unit == "owner":
        whose = ", owners are drawn"
    noise = f", noise {plan.gradient_noise_multiplier:.3f} x the clipping norm"
    shared = f", correlated over {plan.bands} steps" if plan.bands > 1 else ""
    text = drawn + whose + noise + shared
    if plan.clip_quantile is not None:
        text += (
            f"; the norm follows the {plan.clip_quantile:.0%} quantile by counts with noise "
            f"{plan.clip_count_noise:g}"
        )
    if plan.loss_noise is not None:
        noise = f"noise {plan.loss_noise * plan.loss_clip:g}"
        text += f"; sums of losses, each up to {plan.loss_clip:g}, are released with {noise}"
    return text


def _room(one: _Spending) -> str:
    """Return how much of the target is left."""
    if one.steps_left == 0:
        return "no further step of the plan fits"
    more = " or more" if one.steps_left == one.account.plan.steps else ""
    return f"{one.steps_left}{more} steps of the plan still fit"


def _explain(spendings: Sequence[_Spending]) -> None:
    """Print what the numbers do not say by themselves."""
    if any(one.unsettled for one in spendings):
        talk().print(f"\n{_NOT_SETTLED}")
    if any(one.account.plan.unit == "example" for one in spendings):
        is_shown = any(one.of_a_person_in_words for one in spendings)
        talk().print(f"\n{_NOT_A_PERSON}{'' if is_shown else _HOW_MUCH}")


def _as_json(ledger: PrivacyLedger, spendings: Sequence[_Spending]) -> dict[str, Any]:
    """Return one ledger as plain values."""
    return {
        "ledger": str(ledger.path),
        "owners": [
            {
                "owner": one.owner,
                "spent": one.spent,
                "is_private": not one.seeded,
                "epsilon_by": one.check,
                "best_attack": {"fpr": FPR, "tpr": one.best_tpr},
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
