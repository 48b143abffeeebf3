"""A round whose server sees the sum of all updates and no single one: the server's end of it.

The masks, shares and their refusals are `secagg`'s. Here is who says what when: two questions
before training (keys, then sealed shares), masked numbers as the reply to training, and one
question after it (shares that take the masks off the sum). The other end is `membership`.
"""

import json
import math
import secrets
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from flwr.app import ArrayRecord
from flwr.serverapp import Grid

from discreet.aggregation import Shapes, State
from discreet.errors import AggregationRefused, FederationError
from discreet.federated import messages
from discreet.federated.bad_message import BadMessage
from discreet.federated.config import TrainConfig
from discreet.federated.exchange import exchange
from discreet.federated.messages import Parts, Words
from discreet.federated.plans import loss_limit, plan_of, update_limit
from discreet.federated.receipts import NO_REPLY, Receipts
from discreet.federated.terms import ABOUT_REPLY, Room, Terms
from discreet.privacy import CounterGenerator, OwnerShare
from discreet.secagg import Collector, Group, choose_degree

KEYS, SHARES, UNMASK = "secagg_keys", "secagg_shares", "secagg_unmask"
"""What a member is asked, besides to train."""
LOSS = "loss"
"""Name of the one number behind those of the update, where the plan releases a loss."""
_OF = "member/"
_ABOUT_NEIGHBOUR = 128
"""Bytes for one of the neighbours: two sealed shares (92), and its number (27)."""


class SumForm(Protocol):
    """How updates become whole numbers modulo 2**32, and their sum a mean."""

    def encode(self, update: State, noise_generator: CounterGenerator) -> Words:
        """Return an update as (P,) uint32."""

    def decode(self, total: Words, count: int) -> State:
        """Return the mean of `count` updates from their sum."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FixedPoint:
    """Updates that are private already, on a grid so fine that no sum of them wraps around."""

    shapes: Shapes
    owners: int
    """Most owners in a sum."""
    limit: float
    """Longest update; a longer one is shortened to it."""

    @property
    def grid(self) -> float:
        """Return what one step is worth: a power of two."""
        return 2.0 ** math.ceil(math.log2(self.limit * self.owners / (2**31 - self.owners)))

    def encode(self, update: State, noise_generator: CounterGenerator) -> Words:
        """Return the nearest steps; no noise is added."""
        row = torch.cat([update[name].double().flatten() for name in sorted(self.shapes)])
        length = float(row.square().sum().sqrt())
        if not math.isfinite(length):
            raise ValueError("Expected finite numbers in an update, got NaN or infinity.")
        steps = (row * (min(1.0, self.limit / max(length, 1e-300)) / self.grid)).round()
        return (steps.long() % 2**32).numpy().astype(np.uint32)

    def decode(self, total: Words, count: int) -> State:
        """Return the mean of the updates in a sum, float32 by name."""
        row = torch.from_numpy(total.view(np.int32).astype(np.float64)) * (self.grid / count)
        names = sorted(self.shapes)
        parts = row.split([math.prod(self.shapes[name]) for name in names])
        return {
            name: part.reshape(self.shapes[name]).float()
            for name, part in zip(names, parts, strict=True)
        }


def sum_form(terms: Terms, server_round: int) -> SumForm:
    """Return how updates of a round become whole numbers.

    Raises:
        ValueError: if sums of the plan could wrap around, or noise would be too coarse.
    """
    config, shapes = terms.config, terms.shapes_up(server_round)[0]
    if config.unit == "owner":
        return OwnerShare(
            plan=plan_of(config),
            shapes=shapes,
            owners=config.asked_per_round,
            threshold=config.min_replies - config.hostile_owners,
        )
    limit = update_limit(config, _size(shapes))
    return FixedPoint(shapes=shapes, owners=config.asked_per_round, limit=limit)


def loss_form(terms: Terms) -> FixedPoint | None:
    """Return how a released loss becomes one more number of the sum; None: none is released."""
    limit = loss_limit(terms.config)
    if limit is None:
        return None
    return FixedPoint(shapes={LOSS: (1,)}, owners=terms.config.asked_per_round, limit=limit)


def group_of(config: TrainConfig, ids: tuple[int, ...], size: int, round_id: bytes) -> Group:
    """Return who adds up with whom; a member finds it anew and does not take a server's word."""
    degree = choose_degree(
        len(ids),
        dropout=max(0.0, 1 - config.min_replies / len(ids)),
        corrupt=config.hostile_owners / len(ids),
    )
    return Group(
        ids=ids,
        neighbours=degree.neighbours,
        threshold=degree.threshold,
        size=size,
        round_id=round_id,
    )


def room_for_parts(group: Group) -> Room:
    """Return what an answer around a sum may hold: at most, something sealed for each neighbour."""
    return Room(numbers=0, about=ABOUT_REPLY + _ABOUT_NEIGHBOUR * group.neighbours)


@dataclass(slots=True)
class SecureSum:
    """The server's end of one round."""

    terms: Terms
    grid: Grid
    server_round: int
    nodes: tuple[int, ...]
    roster: Set[bytes] | None = None
    """Raw public keys of the owners who may take part; None: the server does not know them."""
    _collector: Collector = field(init=False)
    _round_id: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    def __post_init__(self) -> None:
        """Lay out the group."""
        self._collector = Collector(self._group_of(self.nodes), roster=self.roster)

    @property
    def _update_size(self) -> int:
        return _size(self.terms.shapes_up(self.server_round)[0])

    def prepare(self, receipts: Receipts) -> dict[int, Parts]:
        """Exchange keys and sealed shares; return what each node needs to mask its numbers.

        Nobody hears of a node whose keys cannot be used: the group is of those whose keys can.

        Raises:
            FederationError: if fewer than `min_replies` are left, or too few of a neighbourhood.
        """
        collector = self._collector
        question: dict[int, Parts] = {n: {"round-id": self._round_id} for n in self.nodes}
        self._ask(KEYS, question, receipts.drop, lambda n, got: collector.add_keys(n, got["keys"]))
        able = self._left(receipts)
        collector.narrow(self._group_of(able))
        about = {"ids": _ids(able), "size": json.dumps(collector.group.size).encode()}
        asked = {node: about | by_id(collector.keys_for(node)) for node in able}
        self._ask(SHARES, asked, receipts.drop, lambda n, got: collector.add_shares(n, of_ids(got)))
        return {node: by_id(collector.shares_for(node)) for node in self._left(receipts)}

    def accept(self, node: int, arrays: ArrayRecord) -> None:
        """Add a node's masked numbers to the sum.

        Raises:
            BadMessage: if they are not what was asked for.
        """
        words = messages.read_words(arrays, self._collector.group.size)
        try:
            self._collector.add_masked(node, words)
        except AggregationRefused as error:
            raise BadMessage(str(error)) from error

    def open(self, receipts: Receipts) -> "Opened":
        """Take the masks off the sum; note who hindered it.

        Raises:
            FederationError: if too few right shares of a secret are left: then nothing was learnt.
        """
        collector = self._collector
        requests: dict[int, Parts] = {}
        for node in collector.survivors:
            alive, gone = collector.unmask_request(node)
            requests[node] = {"alive": _ids(alive), "dropped": _ids(gone)}
        blame = receipts.blame
        self._ask(UNMASK, requests, blame, lambda n, got: collector.add_unmask(n, got["shares"]))
        form, count = sum_form(self.terms, self.server_round), len(collector.survivors)
        of_update, of_loss = np.split(self._total(receipts), [self._update_size])
        losses = loss_form(self.terms)
        return Opened(
            count=count,
            mean=form.decode(of_update, count),
            loss=float(losses.decode(of_loss, count)[LOSS]) if losses else None,
        )

    def _group_of(self, nodes: tuple[int, ...]) -> Group:
        size = words_in(self.terms, self.server_round)
        return group_of(self.terms.config, nodes, size, self._round_id)

    def _left(self, receipts: Receipts) -> tuple[int, ...]:
        """Return who is in the sum so far; before anybody trains, too few are refused."""
        able = tuple(node for node in self.nodes if node not in receipts.dropped)
        receipts.require(len(able), self.terms.config.min_replies)
        return able

    def _total(self, receipts: Receipts) -> Words:
        """Return the sum; whose shares were wrong is noted, whether there is one or not."""
        try:
            return self._collector.total()
        except FederationError as error:
            found = "; ".join(f"node {n}: {why}" for n, why in sorted(receipts.faults.items()))
            raise FederationError(f"Round {self.server_round}: {error} ({found})") from error
        finally:
            for node, of in self._collector.faults.items():
                receipts.blame(
                    node,
                    "Expected shares as they were dealt, got wrong ones of the secrets of "
                    f"{', '.join(map(str, of))}: this node changed them, or those dealt them so.",
                )

    def _ask(
        self,
        action: str,
        parts: Mapping[int, Parts],
        refuse: Callable[[int, str], None],
        use: Callable[[int, dict[str, bytes]], None],
    ) -> None:
        """Ask nodes; whoever does not answer, or badly, is refused."""
        wait, number = self.terms.config.secagg_timeout_seconds, self.server_round
        requests = [
            messages.ask_parts(action, part, server_round=number, node_id=node, ttl=wait)
            for node, part in parts.items()
        ]
        silent = set(parts)
        room = room_for_parts(self._collector.group)
        for incoming in exchange(self.grid, requests, room=room, timeout_seconds=wait):
            silent.discard(incoming.node)
            try:
                use(incoming.node, messages.read_parts(incoming.open()))
            except (BadMessage, AggregationRefused, KeyError, ValueError) as error:
                refuse(incoming.node, _reason(error))
        for node in sorted(silent):
            refuse(node, NO_REPLY)


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """What came out of a secure sum; it stands where a rule expects several updates."""

    count: int
    """Members in the sum."""
    mean: State = field(repr=False)
    loss: float | None = None
    """Mean of the losses that were released; None: none was."""

    def add(self, update: State) -> None:
        """Refuse: the sum is complete."""
        raise ValueError("Expected no further update for a sum that is open.")

    def result(self) -> State:
        """Return the mean of the updates."""
        return self.mean


def words_in(terms: Terms, server_round: int) -> int:
    """Return how many numbers each member of a round's sum masks."""
    of_update = _size(terms.shapes_up(server_round)[0])
    return of_update + (loss_form(terms) is not None)


def by_id(parts: Mapping[int, bytes]) -> dict[str, bytes]:
    """Return parts about members as they travel."""
    return {f"{_OF}{member}": part for member, part in parts.items()}


def of_ids(parts: Parts) -> dict[int, bytes]:
    """Return the parts that are about members."""
    return {int(n.removeprefix(_OF)): part for n, part in parts.items() if n.startswith(_OF)}


def _size(shapes: Shapes) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def _ids(nodes: Iterable[int]) -> bytes:
    return json.dumps(sorted(nodes)).encode()


def _reason(error: Exception) -> str:
    """Return why a node was dropped, without words of its own."""
    is_ours = isinstance(error, BadMessage | AggregationRefused)
    return str(error) if is_ours else "Expected the parts that were asked for, got others."
