"""What a run folder says of itself, as plain values: plan, owners, rounds.

Reads `config.toml`, `metrics.jsonl`, `card.json`, `ledger.jsonl`, `owners.json` and `audits/`;
writes and draws nothing. What a folder does not have, as one of an older version or of a server
without ledger, is None.

    record = read_run(RunFolder.open(Path("runs/first")))
    record.rounds[-1].worst          # what the worst owner had spent by then
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from discreet.artifacts import RunFolder, read_toml
from discreet.errors import ArtifactCorrupt
from discreet.evidence import Evidence, read_all_evidence
from discreet.metrics import (
    Line,
    last_number,
    number_of,
    reason_of_end,
    released,
    rounds_done,
    statement_of,
)
from discreet.privacy import Account, OutOfRange, PrivacyLedger
from discreet.registry import AdapterCard, read_card
from discreet.types import PrivacyStatement, with_numbers

NAMES = "owners.json"
"""File of a run folder with the owners' pseudonyms by node; `discreet federation run` writes it.

It stays on the server: an export has none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnerRecord:
    """What is known of one owner's spending."""

    name: str
    """Pseudonym, or `node-<id>` where nothing says whose node it is."""
    spent: PrivacyStatement | None
    """None: beyond what can be computed."""
    steps: int | None
    """Private steps that count; None: nobody wrote them down here."""
    unsettled: int | None = None
    """Steps among them of which nobody knows whether they were started."""
    seeded: int | None = None
    """Steps among them whose noise came from a public seed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundRecord:
    """One round; None stands for what was not written down."""

    number: int
    replies: int | None
    dropped: dict[str, int]
    """Why nodes did not count -> how many."""
    faults: dict[str, str]
    """Owners that hindered the opening of a secure sum -> what they did."""
    worst: PrivacyStatement | None
    """Of the node that had spent most by the end of the round."""
    mean_epsilon: float | None
    """Over the nodes that had said one by then."""
    bytes_down: int | None
    bytes_up: int | None
    seconds: float | None
    clip_norm: float | None
    """Norm that updates were clipped to, where the unit is an owner."""
    loss: float | None
    """Mean over owners in this process; local."""
    released_loss: float | None
    """Mean over owners of what they released with noise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """A run folder, read."""

    run: str
    config: dict[str, Any] = field(repr=False)
    card: AdapterCard | None
    owners: tuple[OwnerRecord, ...]
    owners_from: str
    """File that says what owners spent; empty: none does."""
    files: tuple[str, ...]
    """Names of the files that were read."""
    rounds: tuple[RoundRecord, ...]
    rounds_done: int
    """Rounds that made a new average."""
    ended: str | None
    """Why training ended before its last round; None: it did not, or goes on."""
    audits: tuple[Evidence, ...] = field(default=(), repr=False)
    """What audits found of it."""

    @property
    def is_said(self) -> bool:
        """Say whether what was spent is the nodes' own word: no ledger of this folder shows it."""
        return bool(self.owners) and self.owners_from != "ledger.jsonl"

    @property
    def is_plain(self) -> bool:
        """Say whether the adapter was trained without privacy: nothing knows of an account."""
        return self.card is not None and not self.card.per_owner and not self.owners

    @property
    def target(self) -> PrivacyStatement | None:
        """What the plan allows each owner to spend; None: it does not say, or nobody kept to it."""
        config = self.config
        if self.is_plain or not {"target_epsilon", "delta", "unit"} <= config.keys():
            return None
        adds_own_noise = config["unit"] == "owner" and bool(config.get("secure_aggregation"))
        return PrivacyStatement(
            epsilon=float(config["target_epsilon"]),
            delta=float(config["delta"]),
            unit=str(config["unit"]),
            neighbouring_relation="zero_out_one" if adds_own_noise else "add_or_remove_one",
        )

    @property
    def worst(self) -> PrivacyStatement | None:
        """What the owner spent who spent most; None: nothing is known, or it has no bound."""
        spent = [owner.spent for owner in self.owners]
        return _worst(one for one in spent if one is not None) if None not in spent else None

    @property
    def mean_epsilon(self) -> float | None:
        """Mean over owners; None: nothing is known, or the statements are not of one kind."""
        spent = [owner.spent for owner in self.owners if owner.spent is not None]
        return _mean(spent) if len(spent) == len(self.owners) else None

    @property
    def total_bytes(self) -> int | None:
        """Array bytes both ways of the rounds that say them; None: none does."""
        sizes = [s for r in self.rounds for s in (r.bytes_down, r.bytes_up) if s is not None]
        return sum(sizes) if sizes else None

    @property
    def rounds_with_bytes(self) -> int:
        """Rounds that say their bytes of both ways."""
        return sum(None not in (r.bytes_down, r.bytes_up) for r in self.rounds)

    @property
    def dropped(self) -> dict[str, int]:
        """Why nodes did not count, over all rounds, the commonest first."""
        total: Counter[str] = Counter()
        for one in self.rounds:
            total.update(one.dropped)
        return dict(total.most_common())


def read_run(run: RunFolder) -> RunRecord:
    """Return what a run folder says.

    Raises:
        ArtifactCorrupt: if there is no plan, or a file is damaged.
    """
    lines = run.read_metrics()
    card = read_card(run) if run.card_path.exists() else None
    names = _names(run)
    try:
        rounds = _rounds(lines, names)
        done = rounds_done(lines)
        owners, source = _owners(run, card, lines)
        ended = reason_of_end(lines)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ArtifactCorrupt(
            f"Expected metrics as this version writes them in '{run.metrics_path.name}' of run "
            f"'{run.id}', could not read a line. Restore the file from a copy."
        ) from error
    return RunRecord(
        run=run.id,
        config=_plan(run),
        card=card,
        owners=tuple(replace(owner, name=names.get(owner.name, owner.name)) for owner in owners),
        owners_from=source,
        files=tuple(path.name for path in _files(run) if path.exists()),
        rounds=rounds,
        rounds_done=done,
        ended=ended,
        audits=read_all_evidence(run),
    )


def _plan(run: RunFolder) -> dict[str, Any]:
    """Return the plan, with the name of its base and not where that lies on some machine.

    Raises:
        ArtifactCorrupt: if there is none, or what it promises is no number.
    """
    plan = read_toml(run.config_path)
    for name in ("target_epsilon", "delta"):
        if name in plan and not (type(plan[name]) in (int, float) and 0 < plan[name] < math.inf):
            raise ArtifactCorrupt(
                f"Expected a finite '{name}' above 0 in '{run.config_path.name}' of run "
                f"'{run.id}', got something else. Restore the file from a copy."
            )
    return plan | ({"base": Path(str(plan["base"])).name} if "base" in plan else {})


def _files(run: RunFolder) -> list[Path]:
    """Return the files that are read where they are."""
    known = [run.config_path, run.metrics_path, run.card_path, run.ledger_path]
    return [*known, run.path / NAMES]


def _names(run: RunFolder) -> dict[str, str]:
    """Return the owners' pseudonyms by `node-<id>`, where the folder says them.

    Raises:
        ArtifactCorrupt: if the file holds something else.
    """
    if not (run.path / NAMES).exists():
        return {}
    names = run.read_json(NAMES)
    if not (isinstance(names, dict) and all(isinstance(name, str) for name in names.values())):
        raise ArtifactCorrupt(
            f"Expected names by node in '{NAMES}' of run '{run.id}', got another form. Remove the "
            "file: the page then shows the numbers of nodes."
        )
    return names


def _owners(
    run: RunFolder, card: AdapterCard | None, lines: list[dict[str, Any]]
) -> tuple[tuple[OwnerRecord, ...], str]:
    """Return the owners and the file that knows most of them: ledger, card or metrics."""
    if run.ledger_path.exists():
        accounts = PrivacyLedger(run.ledger_path).accounts()
        if accounts:
            owners = (
                _of_account(name, accounts[name]) for name in sorted(accounts, key=with_numbers)
            )
            return tuple(owners), run.ledger_path.name
    steps: Counter[str] = Counter()
    for line in released(lines):
        if line["name"] == "steps":
            steps[_node_in(line)] += line["value"]
    if card is not None and card.per_owner:
        names = sorted(card.per_owner, key=with_numbers)
        spent, source = {name: card.per_owner[name] for name in names}, run.card_path.name
    else:
        said = [line for line in released(lines) if line["name"] == "epsilon"]
        spent = {_node_in(line): statement_of(line) for line in said}
        source = run.metrics_path.name if said else ""
    own = (OwnerRecord(name=n, spent=spent[n], steps=steps.get(n)) for n in spent)
    return tuple(own), source


def _node_in(line: Line) -> str:
    """Return of whom a line speaks, as a card names nodes."""
    return f"node-{line['node']}" if "node" in line else "all owners"


def _of_account(name: str, account: Account) -> OwnerRecord:
    """Return what a ledger says of an owner."""
    try:
        spent: PrivacyStatement | None = account.spent()
    except OutOfRange:
        spent = None
    entries = account.entries
    return OwnerRecord(
        name=name,
        spent=spent,
        steps=sum(entry.steps_counted for entry in entries),
        unsettled=sum(entry.steps for entry in entries if not entry.is_settled),
        seeded=sum(entry.steps_counted for entry in entries if not entry.is_private),
    )


def _rounds(lines: list[dict[str, Any]], names: Mapping[str, str]) -> tuple[RoundRecord, ...]:
    """Return the rounds in order; nodes that are silent in one keep what they said before."""
    spent: dict[object, PrivacyStatement] = {}
    rounds = []
    for number in sorted({line["round"] for line in lines if line["name"] != "ended"}):
        every = [line for line in lines if line["round"] == number]
        losses = {line["owner"]: line for line in every if line["name"] == "train_loss"}
        own = released(every)
        spent |= {line.get("node"): statement_of(line) for line in own if line["name"] == "epsilon"}
        reasons = [kind_of(str(line["reason"])) for line in own if line["name"] == "dropped"]
        known = list(spent.values())
        rounds.append(
            RoundRecord(
                number=number,
                replies=_count(own, "replies"),
                dropped=dict(Counter(reasons)),
                faults={
                    names.get(_node_in(line), _node_in(line)): str(line["reason"])
                    for line in own
                    if line["name"] == "fault"
                },
                worst=_worst(known),
                mean_epsilon=_mean(known),
                bytes_down=_count(own, "bytes_down"),
                bytes_up=_count(own, "bytes_up"),
                seconds=last_number(own, "seconds"),
                clip_norm=last_number(own, "clip_norm"),
                loss=fmean(number_of(line) for line in losses.values()) if losses else None,
                released_loss=last_number(own, "loss"),
            )
        )
    return tuple(rounds)


def kind_of(reason: str) -> str:
    """Return a reason without the number that came, so that owners with the same one are counted.

    >>> kind_of("Expected a length of 4 or less, got 5.2. Raise it.")
    'Expected a length of 4 or less, got another number. Raise it.'
    """
    return re.sub(r"\bgot -?\d[\d.e+-]*\b", "got another number", reason)


def _count(lines: list[Line], name: str) -> int | None:
    value = last_number(lines, name)
    return None if value is None else int(value)


def _worst(spent: Iterable[PrivacyStatement]) -> PrivacyStatement | None:
    return max(spent, key=lambda one: (one.epsilon, one.delta), default=None)


def _mean(spent: list[PrivacyStatement]) -> float | None:
    """Return the mean epsilon of statements that differ in nothing else."""
    kinds = {(one.delta, one.unit, one.neighbouring_relation) for one in spent}
    return fmean(one.epsilon for one in spent) if len(kinds) == 1 else None
