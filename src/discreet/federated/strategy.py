"""The server's rule for a round: the plain mean of the adapters, each owner with the same weight.

Weights by number of examples would reveal the numbers, and noise that was calibrated for equal
weights would no longer fit. The mean is not robust: an owner who sends a wrong but well-formed
adapter moves it by 1 / replies.

Source: McMahan et al. 2017, FedAvg (arXiv:1602.05629), with equal weights.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from discreet.errors import BudgetExhausted, FederationError
from discreet.federated import messages
from discreet.federated.config import TrainConfig
from discreet.federated.messages import BadMessage, Reply, Shapes, State
from discreet.types import PrivacyStatement

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundReport:
    """What the server learned in a round; all of it is released."""

    server_round: int
    statements: dict[int, PrivacyStatement]
    """What each node whose reply was used has spent so far."""
    steps: dict[int, int]
    """Private steps of each of these nodes in this round."""
    dropped: dict[int, str]
    """Why each other node that was asked did not count."""


OnRound = Callable[[int, State, RoundReport], None]
"""Called with the round, the new average and its report once a round is done."""


@dataclass(slots=True)
class RunningMean:
    """The mean of adapters that arrive one at a time, summed in float64."""

    shapes: Shapes
    count: int = 0
    _sums: State = field(default_factory=dict, repr=False)

    def add(self, state: State) -> None:
        """Count one more adapter."""
        if not self._sums:
            self._sums = {n: torch.zeros(s, dtype=torch.float64) for n, s in self.shapes.items()}
        for name, total in self._sums.items():
            total += state[name]
        self.count += 1

    def mean(self) -> State:
        """Return the mean, in float32."""
        if self.count == 0:
            raise ValueError("Expected one adapter or more, got none. Call add() first.")
        return {name: (total / self.count).float() for name, total in self._sums.items()}


class AdapterAveraging(Strategy):
    """Average the usable replies of a round; drop the others and say which and why."""

    def __init__(
        self,
        config: TrainConfig,
        shapes: Shapes,
        *,
        frozen_hash: str,
        rounds_done: int = 0,
        on_round: OnRound | None = None,
    ) -> None:
        """Prepare for the round after `rounds_done`.

        Args:
            config: The public plan.
            shapes: Names and shapes every reply must have.
            frozen_hash: `LocalTask.frozen_hash`, which every node must share.
            rounds_done: Rounds that an earlier start of the same run finished; Flower itself
                counts from 1 at each start.
            on_round: Called after each round.
        """
        self.config = config
        self.shapes = dict(shapes)
        self.frozen_hash = frozen_hash
        self.rounds_done = rounds_done
        self.on_round = on_round
        self._asked: tuple[int, ...] = ()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask every connected node, after a bounded wait for all owners.

        Raises:
            FederationError: if fewer than `min_replies` nodes are connected by then.
        """
        self._asked = self._connected(grid)
        number = self.rounds_done + server_round
        return [
            messages.ask(
                arrays,
                server_round=number,
                frozen_hash=self.frozen_hash,
                node_id=n,
                unit=self.config.unit,
            )
            for n in self._asked
        ]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the mean of the usable replies.

        Raises:
            BudgetExhausted: if too few owners have budget left for another round.
            FederationError: if fewer than `min_replies` replies are usable for other reasons.
        """
        mean = RunningMean(self.shapes)
        statements: dict[int, PrivacyStatement] = {}
        steps: dict[int, int] = {}
        dropped: dict[int, str] = {}
        for reply in replies:
            node = reply.metadata.src_node_id
            if node not in self._asked or node in statements or node in dropped:
                logger.warning("Round %s: a reply nobody waits for, from %s", server_round, node)
                continue
            try:
                good = self._read(reply)
            except BadMessage as error:
                dropped[node] = str(error)
                continue
            mean.add(good.state)
            statements[node], steps[node] = good.statement, good.steps
        for node in set(self._asked) - set(statements) - set(dropped):
            dropped[node] = "NoReply"
        return self._finish(
            mean,
            RoundReport(
                server_round=self.rounds_done + server_round,
                statements=statements,
                steps=steps,
                dropped=dict(sorted(dropped.items())),
            ),
        )

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask nothing: a loss on an owner's data would leave the device."""
        return []

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Return nothing; no node is asked."""
        return None

    def summary(self) -> None:
        """Log the plan."""
        logger.info(
            "Averaging with equal weights: %s owners, at least %s replies, rounds %s to %s",
            self.config.num_owners,
            self.config.min_replies,
            self.rounds_done + 1,
            self.config.num_rounds,
        )

    def _connected(self, grid: Grid) -> tuple[int, ...]:
        """Return the connected nodes, all owners if they come in time."""
        deadline = time.monotonic() + self.config.node_wait_seconds
        while len(nodes := tuple(sorted(grid.get_node_ids()))) < self.config.num_owners:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(_POLL_SECONDS, left))
        if len(nodes) < self.config.min_replies:
            raise FederationError(
                f"Expected {self.config.min_replies} or more connected nodes, got {len(nodes)} "
                f"after {self.config.node_wait_seconds:g} seconds. Start the missing SuperNodes."
            )
        return nodes

    def _read(self, reply: Message) -> Reply:
        """Return a reply that can be used, or raise `BadMessage` with the reason."""
        if refusal := messages.refusal_of(reply):
            raise BadMessage(refusal)
        return messages.read_answer(reply, self.shapes, unit=self.config.unit)

    def _finish(self, mean: RunningMean, report: RoundReport) -> tuple[ArrayRecord, MetricRecord]:
        """Hand out the new average, or raise if too few replies made it."""
        for node, reason in report.dropped.items():
            logger.warning("Round %s: node %s dropped: %s", report.server_round, node, reason)
        if mean.count < self.config.min_replies:
            raise _too_few(mean.count, report, self.config.min_replies)
        state = mean.mean()
        if self.on_round:
            self.on_round(report.server_round, state, report)
        counts = messages.summarise(replies=mean.count, dropped=len(report.dropped))
        return messages.pack(state), counts


def _too_few(
    count: int, report: RoundReport, min_replies: int
) -> BudgetExhausted | FederationError:
    """Return the error for a round without enough replies."""
    spent = sum(reason == BudgetExhausted.__name__ for reason in report.dropped.values())
    if count + len(report.dropped) - spent < min_replies:
        return BudgetExhausted(
            f"Round {report.server_round}: {spent} owners have no budget left, fewer than "
            f"{min_replies} can still train. The last adapter is kept."
        )
    reasons = "; ".join(f"node {node}: {reason}" for node, reason in report.dropped.items())
    return FederationError(
        f"Round {report.server_round}: expected {min_replies} or more usable replies, got {count} "
        f"({reasons}). Correct these nodes and resume the run, or lower min_replies."
    )
