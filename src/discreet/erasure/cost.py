"""What it takes to forget an owner: where training starts anew, with whom, and what it costs.

Reads a run folder and writes nothing, so that it can be shown before anybody is asked.

    found = plan_forgetting(run, OwnerId("owner-1"), out=Path("runs/next"))
    found.costs[0].after        # what an owner who stays will have spent, retraining included
"""

import re
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from discreet.artifacts import RunFolder, read_json
from discreet.errors import ArtifactError, BudgetExhausted
from discreet.federated import FIRST_NODE_ID, SERVER, TrainConfig, plan_of, read_checkpoint
from discreet.privacy import Account, OutOfRange, PrivacyLedger, PrivacyPlan, epsilon_of
from discreet.types import OwnerId, PrivacyStatement

ORIGIN = "instead_of.json"
"""What a run has that takes the place of another."""
_OWNER = re.compile(r"owner-(0|[1-9][0-9]*)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What retraining adds to one account."""

    account: OwnerId
    """An owner who stays, or all of them where the server adds the noise."""
    spent: PrivacyStatement
    after: PrivacyStatement
    """With retraining to its last round; infinite where it is beyond what can be computed."""
    allowed: float
    """Epsilon that the account promises, once it is agreed to."""

    @property
    def fits(self) -> bool:
        """Return whether the promise covers it."""
        return self.after.epsilon <= self.allowed


@dataclass(frozen=True, kw_only=True, slots=True)
class Forgetting:
    """What will be done to forget an owner."""

    run: RunFolder
    owner: OwnerId
    out: Path
    """Folder of the run that takes the place of `run`."""
    config: TrainConfig
    """The plan of retraining: the same one, without the owner."""
    target_epsilon: float | None
    """The promise that owners who stay agree to instead of the one before; None: no other one."""
    rounds_kept: int
    """Rounds that are done and in which the owner took no part; 0: from the first adapter."""
    costs: tuple[Cost, ...]

    def require_budget(self) -> None:
        """Refuse to retrain beyond what was promised.

        Raises:
            BudgetExhausted: with the least promise that covers it.
        """
        short = [cost for cost in self.costs if not cost.fits]
        if short:
            worst = max(short, key=lambda cost: cost.after.epsilon)
            raise BudgetExhausted(
                f"Expected retraining to stay within epsilon = {worst.allowed:g}, got "
                f"{worst.after} of {worst.account}, who has spent {worst.spent.epsilon:.2f}. "
                "Nothing was changed. If the owners agree to a larger promise, give it as "
                "target_epsilon (--epsilon); or only withdraw the adapter (--no-retrain)."
            )


def plan_forgetting(
    run: RunFolder, owner: OwnerId, *, out: Path, target_epsilon: float | None = None
) -> Forgetting:
    """Return what forgetting an owner of a run takes.

    The last state without the owner is the checkpoint if the owner was never asked, else the first
    adapter: a run keeps one checkpoint, and whoever took part least is asked first.

    Args:
        run: Of one process, with the accounts of its owners.
        owner: One of them.
        out: Folder for the run that takes its place; new, or of a forgetting that was cut short.
        target_epsilon: A larger promise that the owners who stay agreed to, for what is spent and
            what will be.

    Raises:
        ArtifactCorrupt: if the folder's plan, ledger or checkpoint is damaged.
        ArtifactError: if the run has no accounts: its owners keep them elsewhere.
        ValueError: if the owner is none of the run, or the plan cannot do without.
    """
    config = TrainConfig.load(run.config_path)
    if not run.ledger_path.exists():
        raise ArtifactError(
            f"Expected accounts in run '{run.id}', found none: its owners keep them. With --driver "
            "deployment the adapter is withdrawn, and you are told how to train it again."
        )
    accounts = PrivacyLedger.open(run.ledger_path).accounts()
    if not _OWNER.fullmatch(owner) or _number(owner) not in config.present:
        raise ValueError(
            f"Expected an owner of run '{run.id}', got another name. Owners: "
            f"{', '.join(f'owner-{number}' for number in config.present)}."
        )
    staying = {name: one for name, one in accounts.items() if name != owner}
    kept = _rounds_without(run, config, owner, out)
    plan = _without(config, owner)
    if target_epsilon is not None:
        plan = _with_promise(plan, staying, target_epsilon)
    costs = tuple(
        _cost(name, account, config, plan, kept, target_epsilon)
        for name, account in staying.items()
    )
    return Forgetting(
        run=run,
        owner=owner,
        out=out,
        config=plan,
        target_epsilon=target_epsilon,
        rounds_kept=kept,
        costs=costs,
    )


def plan_withdrawal(run: RunFolder, owner: OwnerId) -> Forgetting:
    """Return what withdrawing a run's adapter for an owner takes: no budget and no training."""
    return Forgetting(
        run=run,
        owner=owner,
        out=run.path,
        config=TrainConfig.load(run.config_path),
        target_epsilon=None,
        rounds_kept=0,
        costs=(),
    )


def read_origin(folder: Path) -> dict[str, Any] | None:
    """Return which run a folder takes the place of, and how many of its rounds it kept."""
    path = folder / ORIGIN
    return dict(read_json(path)) if path.exists() else None


def _number(owner: OwnerId) -> int:
    return int(owner.rpartition("-")[2])


def _without(config: TrainConfig, owner: OwnerId) -> TrainConfig:
    """Return the plan less an owner; as many are asked and have to reply as can."""
    absent = sorted({*config.absent, _number(owner)})
    left = config.num_owners - len(absent)
    asked = config.owners_per_round
    return replace(
        config,
        absent_owners=",".join(map(str, absent)),
        owners_per_round=None if asked is None else min(asked, left),
        min_replies=min(config.min_replies, left),
    )


def _with_promise(
    config: TrainConfig, staying: dict[OwnerId, Account], target_epsilon: float
) -> TrainConfig:
    """Return the plan under another promise, whose noise is for past and coming rounds together."""
    steps = [sum(e.steps_counted for e in account.entries) for account in staying.values()]
    past = -(-max(steps, default=0) // _steps_of_a_round(config))
    spare = config.spare_rounds + past
    return replace(config, target_epsilon=target_epsilon, spare_rounds=spare)


def _steps_of_a_round(config: TrainConfig) -> int:
    return 1 if config.unit == "owner" else config.local_steps


def _rounds_without(run: RunFolder, config: TrainConfig, owner: OwnerId, out: Path) -> int:
    """Return the rounds of the checkpoint if the owner has no part in it, else 0.

    What owners keep from round to round is bound to their run, so that such runs begin anew. Of a
    forgetting that was cut short, the next run says where it began.
    """
    if (origin := read_origin(out)) is not None and origin["instead_of"] == run.id:
        return int(origin["rounds_kept"])
    last = read_checkpoint(run)
    has_memory = config.local_rule == "scaffold" or config.wire == "topk"
    if last is None or has_memory or last.taken_part.get(FIRST_NODE_ID + _number(owner), 0):
        return 0
    return last.rounds_done


def _cost(
    name: OwnerId,
    account: Account,
    before: TrainConfig,
    config: TrainConfig,
    kept: int,
    target_epsilon: float | None,
) -> Cost:
    """Return what the rounds of a plan add to an account."""
    plan = account.plan if plan_of(before) == plan_of(config) else plan_of(config)
    rounds = config.num_rounds - kept
    if name != SERVER:
        rounds = -(-rounds * config.asked_per_round // config.num_present)
    after = _epsilon(account, plan, [_steps_of_a_round(config)] * rounds)
    return Cost(
        account=name,
        spent=account.spent(),
        after=plan.state(after),
        allowed=account.plan.target_epsilon if target_epsilon is None else target_epsilon,
    )


def _epsilon(account: Account, plan: PrivacyPlan, rounds: list[int]) -> float:
    """Return the epsilon of an account with rounds of a plan after what it has spent."""
    coming = [plan.event(steps) for steps in rounds]
    try:
        return epsilon_of([*account.events, *coming], plan.delta, plan.accountant)
    except OutOfRange:
        return inf
