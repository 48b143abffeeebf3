"""One round after the other, on the server: ask, take what comes, make the next adapter.

Knows no files. What has to survive a crash goes out as a `Checkpoint` after each round, and comes
in at the start.
"""

import time
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass

from flwr.app import ArrayRecord
from flwr.serverapp import Grid

from discreet.aggregation import (
    Combine,
    State,
    make_combine,
    make_server_optimizer,
)
from discreet.errors import BudgetExhausted, FederationError
from discreet.federated import messages
from discreet.federated.chance import chance_for
from discreet.federated.checkpoint import Checkpoint
from discreet.federated.choice import choose, connected
from discreet.federated.events import (
    Event,
    OnEvent,
    OwnerDropped,
    OwnerHindered,
    OwnerReplied,
    RoundStarted,
)
from discreet.federated.exchange import exchange
from discreet.federated.messages import Parts
from discreet.federated.plans import SERVER, is_secret_choice, plan_of
from discreet.federated.receipts import (
    NO_REPLY,
    OnUpdate,
    OpenUpdates,
    Receipts,
    RoundReport,
)
from discreet.federated.secure import SecureSum
from discreet.federated.terms import CONTROL, Terms, of_prefix
from discreet.privacy import CounterGenerator, OwnerSum, PrivacyLedger, spend_round


@dataclass(frozen=True, slots=True)
class _Collected:
    """What the nodes' replies of a round make."""

    proposed: State
    """Before the server's optimizer."""
    receipts: Receipts
    clip_norm: float | None = None
    """For the next round, where the server clips; `None`: as in the plan."""


class Coordinator:
    """The server of one run."""

    def __init__(
        self,
        terms: Terms,
        grid: Grid,
        *,
        frozen_hash: str,
        ledger: PrivacyLedger | None = None,
        roster: Set[bytes] | None = None,
        on_event: OnEvent | None = None,
        on_update: OnUpdate | None = None,
    ) -> None:
        """Prepare for any round.

        Args:
            terms: The plan and the adapter's shapes.
            grid: The way to the nodes.
            frozen_hash: `LocalTask.frozen_hash`, which every node must share.
            ledger: The server's own account; for plans in which the server adds the noise.
            roster: Raw public keys of the owners who may be in secure sums; None: whoever answers.
            on_event: Told what happens.
            on_update: Told each update that the server sees; of secure sums it sees none.
        """
        self._terms = terms
        self._grid = grid
        self._frozen_hash = frozen_hash
        self._ledger = ledger
        self._roster = roster
        self._on_event = on_event
        self._on_update = on_update

    def play(self, last: Checkpoint) -> tuple[Checkpoint, RoundReport]:
        """Return where the run stands after one more round, and what the round told.

        Raises:
            BudgetExhausted: if too few owners have budget left, or the server has none.
            FederationError: if too few nodes are connected, or too few replies are usable.
        """
        config, number, start = self._terms.config, last.rounds_done + 1, time.monotonic()
        nodes = choose(config, connected(self._grid, config), last.taken_part, number)
        needed = config.min_replies
        if is_secret_choice(config):  # who was drawn may not decide whether a run goes on
            needed = 0
        if len(nodes) < needed:
            raise BudgetExhausted(
                f"Round {number}: {len(nodes)} owners may still be asked, fewer than {needed}: the "
                "others took part as often as noise was calibrated for. The last adapter is kept."
            )
        rounds = config.num_rounds
        self._tell(RoundStarted(server_round=number, num_rounds=rounds, asked=len(nodes)))
        arrays = messages.pack(last.state, self._terms.down, self._chance("wire", number))
        collect = self._collect_securely if config.secure_aggregation else self._collect
        with self._charged():
            found = collect(last, arrays, nodes, needed)
        _require_finite(found.proposed)
        new, memory = self._follow(last, found.proposed, replies=len(found.receipts.steps))
        report = found.receipts.report(
            bytes_down=messages.size_bytes_of(arrays) * len(nodes), seconds=time.monotonic() - start
        )
        return (
            Checkpoint(
                rounds_done=number,
                state=new,
                plan_sha256=last.plan_sha256,
                run_token=last.run_token,
                optimizer=memory,
                taken_part={**last.taken_part, **{n: last.taken_part.get(n, 0) + 1 for n in nodes}},
                clip_norm=found.clip_norm,
            ),
            report,
        )

    def _collect(
        self, last: Checkpoint, arrays: ArrayRecord, nodes: tuple[int, ...], needed: int
    ) -> "_Collected":
        """Ask the nodes; return the next state and what they sent."""
        number = last.rounds_done + 1
        combine = self._combine(last, number)
        accumulator = self._terms.rule.start(Terms.adapter_of(last.state), number, combine)
        updates = OpenUpdates(self._terms, number, accumulator, self._on_update)
        receipts = Receipts(self._terms, number, updates.accept)
        self._train(arrays, last.run_token, dict.fromkeys(nodes), receipts)
        receipts.finish(nodes, needed)
        proposed = accumulator.result()  # moves the clipping norm
        norm = combine.max_grad_norm if isinstance(combine, OwnerSum) else None
        return _Collected(proposed, receipts, norm)

    def _collect_securely(
        self, last: Checkpoint, arrays: ArrayRecord, nodes: tuple[int, ...], needed: int
    ) -> "_Collected":
        """Ask the nodes for masked updates; return the next state and what is known of each."""
        number = last.rounds_done + 1
        total = SecureSum(self._terms, self._grid, number, nodes, self._roster)
        receipts = Receipts(self._terms, number, total.accept)
        try:
            parts = total.prepare(receipts)
        finally:
            for node, reason in receipts.dropped.items():
                self._tell(OwnerDropped(server_round=number, node=node, reason=reason))
        self._train(arrays, last.run_token, parts, receipts)
        receipts.finish(nodes, needed)
        adapter = Terms.adapter_of(last.state)
        try:
            opened = total.open(receipts)
        finally:
            for node, reason in receipts.faults.items():
                self._tell(OwnerHindered(server_round=number, node=node, reason=reason))
        receipts.mean_loss = opened.loss
        proposed = self._terms.rule.start(adapter, number, opened).result()
        return _Collected(proposed, receipts)

    def _train(
        self,
        arrays: ArrayRecord,
        run: str,
        parts: Mapping[int, Parts | None],
        receipts: Receipts,
    ) -> None:
        """Ask nodes to train, and take what comes until the round's time is over."""
        config, number = self._terms.config, receipts.server_round
        wait = config.round_timeout_seconds
        requests = [
            messages.ask(
                arrays,
                server_round=number,
                frozen_hash=self._frozen_hash,
                run=run,
                node_id=node,
                ttl=wait,
                parts=part,
            )
            for node, part in parts.items()
        ]
        room = self._terms.room_up(number)
        for incoming in exchange(self._grid, requests, room=room, timeout_seconds=wait):
            node, size_bytes = incoming.node, receipts.take(incoming)
            if size_bytes is None:
                reason = receipts.dropped[node]
                self._tell(OwnerDropped(server_round=number, node=node, reason=reason))
            else:
                self._tell(
                    OwnerReplied(
                        server_round=number,
                        node=node,
                        size_bytes=size_bytes,
                        seconds=incoming.seconds,
                    )
                )
        for node in receipts.missing(tuple(parts)):
            self._tell(OwnerDropped(server_round=number, node=node, reason=NO_REPLY))

    def _combine(self, last: Checkpoint, number: int) -> Combine:
        """Return what makes one update of many."""
        config = self._terms.config
        shapes = self._terms.shapes_up(number)[0]
        if config.unit != "owner":
            return make_combine(config.combine, shapes, hostile=config.hostile_owners)
        total = OwnerSum(plan_of(config), shapes, self._chance("noise", number))
        if last.clip_norm is not None:
            total.max_grad_norm = last.clip_norm
        return total

    def _follow(self, last: Checkpoint, proposed: State, *, replies: int) -> tuple[State, State]:
        """Return the next state after the server's optimizer, and what that remembers."""
        config = self._terms.config
        learnt = self._terms.learns(last.rounds_done + 1)
        controls = self._controls_after(last.state, proposed, learnt, replies)
        state = last.state | proposed | controls
        if config.server_optimizer == "none":
            return state, {}
        optimizer = make_server_optimizer(
            config.server_optimizer,
            learning_rate=config.server_learning_rate,
            momentum=config.server_momentum,
        )
        if last.optimizer:
            optimizer.load(last.optimizer)
        adapter = optimizer.step(Terms.adapter_of(last.state), proposed, learnt)
        return state | adapter, optimizer.state()

    def _controls_after(
        self, before: State, proposed: State, learnt: list[str], replies: int
    ) -> State:
        """Return the server's control variates after a round.

        Each owner's changed by -c - update / (steps * learning rate), so that the mean of the
        changes is that of the mean update, and nothing but updates has to be sent.

        Source: Karimireddy et al. 2020, SCAFFOLD, Algorithm 1, lines 16 and 17, with option II
        (arXiv:1910.06378).
        """
        config = self._terms.config
        share = replies / config.num_present
        per_step = 1 / (config.local_steps * config.learning_rate)
        controls = of_prefix(CONTROL, before)
        return {
            CONTROL + name: controls[name]
            + share * (per_step * (before[name] - proposed[name]) - controls[name])
            for name in learnt
            if name in controls
        }

    @contextmanager
    def _charged(self) -> Iterator[None]:
        """Charge the server's account for the round, where the server is who protects."""
        config = self._terms.config
        if not is_secret_choice(config):
            yield
            return
        if self._ledger is None:
            raise ValueError("Expected a ledger of the server for unit = 'owner', got none.")
        plan = plan_of(config)
        self._ledger.open_account(SERVER, plan)
        with spend_round(self._ledger, SERVER, plan, is_private=not config.reproducible):
            yield

    def _chance(self, use: str, number: int) -> CounterGenerator:
        """Return the server's generator for one use in one round."""
        config = self._terms.config
        return chance_for(config, f"server/{use}/{config.seed}/{number}")

    def _tell(self, event: Event) -> None:
        if self._on_event:
            self._on_event(event)


def _require_finite(state: State) -> None:
    """Refuse to go on with an adapter that is lost; the last one is kept.

    Raises:
        FederationError: if a number is NaN or infinite.
    """
    if not all(bool(value.isfinite().all()) for value in state.values()):
        raise FederationError(
            "Expected finite numbers in the new adapter, got others: updates were too large to be "
            "added up. Set max_update_norm, or lower the learning rate, in a new run."
        )
