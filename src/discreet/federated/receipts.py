"""What a server does with the replies of a round, one at a time: check, add up or drop and say why.

A reply that is not what was asked for changes nothing but the list of those that were dropped.
Memory does not grow with the number of replies, unless the rule that combines them needs them all.
"""

import hashlib
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean

from flwr.app import ArrayRecord, Message

from discreet.aggregation import Accumulator, State
from discreet.errors import BudgetExhausted, FederationError, RosterMismatch
from discreet.federated import messages
from discreet.federated.bad_message import BadMessage
from discreet.federated.exchange import Incoming
from discreet.federated.messages import Reply
from discreet.federated.plans import loss_limit, promise_of, update_limit
from discreet.federated.terms import Terms
from discreet.types import PrivacyStatement

logger = logging.getLogger(__name__)

_ROUNDING = 1 + 1e-6
NO_REPLY = "NoReply"
"""Why a node was dropped that did not answer in time."""
_ROSTERS = (
    f"{RosterMismatch.__name__}: these owners were to add up with somebody who is not on their "
    "roster, or is there twice; it may be another node. All need one roster of all: give it to the "
    "server too, as roster.pem in its folder, and the server leaves that node out and names it."
)

Accept = Callable[[int, ArrayRecord], None]
"""Takes in the arrays of a node; raises `BadMessage` if they cannot be used."""


OnUpdate = Callable[[int, int, State], None]
"""Told the round, the node and its update, as the server read it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundReport:
    """What the server learned in a round; all of it is released."""

    server_round: int
    statements: dict[int, PrivacyStatement]
    """What each node whose reply was used has spent so far, where nodes know it."""
    steps: dict[int, int]
    """Steps of each node whose reply was used."""
    dropped: dict[int, str]
    """Why each other node that was asked did not count."""
    faults: dict[int, str] = field(default_factory=dict)
    """What nodes whose reply was used did afterwards that hindered the opening of a secure sum."""
    losses: dict[int, float] = field(default_factory=dict)
    """Private loss of each node whose reply was used, where nodes say one."""
    loss: float | None = None
    """Mean private loss of those nodes; None: the plan releases none."""
    bytes_down: int = 0
    """Of the arrays sent to all nodes."""
    bytes_up: int = 0
    """Of the arrays of all replies that were used."""
    seconds: float = 0.0
    """From asking to the new adapter."""


@dataclass(slots=True)
class OpenUpdates:
    """Updates that the server sees one by one."""

    terms: Terms
    server_round: int
    accumulator: Accumulator
    on_update: OnUpdate | None = None
    _digests: set[bytes] = field(default_factory=set)

    def accept(self, node: int, arrays: ArrayRecord) -> None:
        """Add an update.

        Raises:
            BadMessage: if it is not what was asked for, or cannot be honest.
        """
        shapes = self.terms.shapes_up(self.server_round)
        update = messages.read_update(arrays, shapes, self.terms.up)
        size = sum(value.numel() for value in update.values())
        _check_length(update, update_limit(self.terms.config, size))
        self._check_copy(update)
        try:
            self.accumulator.add(update)
        except ValueError as error:  # a product of factors can be too large where neither is
            raise BadMessage(
                "Expected an update that the rule can take in, got another."
            ) from error
        if self.on_update:
            self.on_update(self.server_round, node, update)

    def _check_copy(self, update: State) -> None:
        """Refuse an update that another node sent: noise makes honest ones differ.

        Where the server adds the noise, nothing makes them differ, and clipping bounds each.
        """
        has_noise = self.terms.config.unit != "owner"
        if not has_noise or not any(bool(value.any()) for value in update.values()):
            return
        digest = hashlib.sha256()
        for name in sorted(update):
            digest.update(update[name].numpy().tobytes())
        if digest.digest() in self._digests:
            raise BadMessage("Expected an update of its own, got a copy of another node's.")
        self._digests.add(digest.digest())


@dataclass(slots=True)
class Receipts:
    """The replies of one round."""

    terms: Terms
    server_round: int
    accept: Accept
    statements: dict[int, PrivacyStatement] = field(default_factory=dict)
    steps: dict[int, int] = field(default_factory=dict)
    losses: dict[int, float] = field(default_factory=dict)
    mean_loss: float | None = None
    """Mean private loss, where it came out of a sum."""
    dropped: dict[int, str] = field(default_factory=dict)
    faults: dict[int, str] = field(default_factory=dict)
    bytes_up: int = 0

    def take(self, incoming: Incoming) -> int | None:
        """Add a reply, and return its size in bytes; `None` if it was dropped."""
        node = incoming.node
        try:
            reply = self._read(incoming.open())
            self.accept(node, reply.arrays)
        except BadMessage as error:
            self.drop(node, str(error))
            return None
        size_bytes = messages.size_bytes_of(reply.arrays)
        self.steps[node] = reply.steps
        self.bytes_up += size_bytes
        if reply.statement:
            self.statements[node] = reply.statement
        if reply.loss is not None:
            self.losses[node] = reply.loss
        return size_bytes

    def drop(self, node: int, reason: str) -> None:
        """Note that a node does not count in this round, and why."""
        self.dropped[node] = reason
        logger.warning("Round %s: node %s dropped: %s", self.server_round, node, reason)

    def blame(self, node: int, reason: str) -> None:
        """Note what a node did that counts in this round, and hindered it."""
        self.faults[node] = reason
        logger.warning("Round %s: node %s: %s", self.server_round, node, reason)

    def _read(self, message: Message) -> Reply:
        """Return a reply to this round."""
        config = self.terms.config
        reply = messages.read_answer(
            message,
            promise=promise_of(config),
            loss_limit=None if config.secure_aggregation else loss_limit(config),
        )
        if reply.server_round != self.server_round:
            raise BadMessage("Expected an update of this round, got one of another.")
        if reply.steps != config.local_steps:
            raise BadMessage(f"Expected an update of {config.local_steps} steps, got another.")
        return reply

    def missing(self, asked: tuple[int, ...]) -> list[int]:
        """Return who was asked and sent nothing."""
        return sorted(set(asked) - set(self.steps) - set(self.dropped))

    def finish(self, asked: tuple[int, ...], min_replies: int) -> None:
        """Note who did not reply, and refuse to go on with too few.

        Raises:
            BudgetExhausted: if too few owners have budget left for another round.
            FederationError: if fewer than `min_replies` replies are usable for other reasons.
        """
        for node in self.missing(asked):
            self.drop(node, NO_REPLY)
        self.require(len(self.steps), min_replies)

    def require(self, count: int, min_replies: int) -> None:
        """Refuse to go on with `count` nodes if that is too few; raises what `finish` does."""
        if count < min_replies:
            raise _too_few(self, count, min_replies)

    def report(self, *, bytes_down: int = 0, seconds: float = 0.0) -> RoundReport:
        """Return what the round told the server."""
        return RoundReport(
            server_round=self.server_round,
            statements=dict(self.statements),
            steps=dict(self.steps),
            dropped=dict(sorted(self.dropped.items())),
            faults=dict(sorted(self.faults.items())),
            losses=dict(self.losses),
            loss=fmean(self.losses.values()) if self.losses else self._credible_loss(),
            bytes_down=bytes_down,
            bytes_up=self.bytes_up,
            seconds=seconds,
        )

    def _credible_loss(self) -> float | None:
        """Return the mean loss of a sum, unless none of honest owners is so large.

        Each of theirs is within the limit, and so is the mean; one hostile owner moves it anywhere.
        """
        limit = loss_limit(self.terms.config)
        if self.mean_loss is None or limit is None:
            return None
        if abs(self.mean_loss) <= limit * _ROUNDING:
            return self.mean_loss
        logger.warning("Round %s: the mean loss is left out: no honest one is", self.server_round)
        return None


def _check_length(update: State, limit: float) -> None:
    """Refuse an update that is longer than an honest one can be."""
    length = math.sqrt(sum(float(value.double().square().sum()) for value in update.values()))
    if not length <= limit:
        raise BadMessage(
            f"Expected an update of length {limit:.4g} or less, got {length:.4g}. Set "
            "max_update_norm if honest owners move further."
        )


def _too_few(receipts: Receipts, count: int, min_replies: int) -> BudgetExhausted | FederationError:
    """Return the error for a round without enough replies."""
    number, dropped = receipts.server_round, receipts.dropped
    spent = sum(reason == BudgetExhausted.__name__ for reason in dropped.values())
    if spent and count + len(dropped) - spent < min_replies:
        return BudgetExhausted(
            f"Round {number}: {spent} owners have no budget left, fewer than {min_replies} can "
            "still train. The last adapter is kept."
        )
    reasons = "; ".join(f"node {node}: {reason}" for node, reason in dropped.items())
    way_out = "Correct these nodes and resume the run, or lower min_replies"
    way_out += "." if number == 1 else ": in a new run, since a plan is fixed after round 1."
    if RosterMismatch.__name__ in dropped.values():
        way_out = f"{_ROSTERS} {way_out}"
    return FederationError(
        f"Round {number}: expected {min_replies} or more usable replies, got {count} ({reasons}). "
        f"{way_out}"
    )
