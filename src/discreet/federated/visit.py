"""One owner in one round, on the owner's device: from the request to the numbers of the reply."""

import functools
import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from flwr.app import ArrayRecord

from discreet.aggregation import Shapes, State
from discreet.federated import messages
from discreet.federated.codec import encode_with_feedback
from discreet.federated.local_sgd import control_after
from discreet.federated.local_task import (
    Assignment,
    LocalResult,
    LocalTask,
    Watch,
    draw_generators,
)
from discreet.federated.messages import Words
from discreet.federated.plans import loss_limit, plan_of
from discreet.federated.ranks import cut
from discreet.federated.secure import LOSS, loss_form, sum_form
from discreet.federated.site import OwnerSite
from discreet.federated.terms import CONTROL, LEFT, Terms, of_prefix, with_prefix
from discreet.privacy import PrivacyLedger, spend_round


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """One owner in one round: from the request to the arrays of the reply."""

    terms: Terms
    request: messages.Request
    site: OwnerSite
    ledger: PrivacyLedger
    """With the owner's account."""
    before: State = field(repr=False)
    """What the owner kept from earlier rounds."""

    @property
    def state(self) -> State:
        """The adapter that training starts from."""
        return self.terms.adapter_of(self.request.state)

    @property
    def learns(self) -> list[str]:
        """Names of the adapter's tensors that learn in this round."""
        return self.terms.learns(self.request.server_round)

    def train(self, task: LocalTask, watch: Watch) -> LocalResult:
        """Return what the owner's training gives."""
        site, number = self.site, self.request.server_round
        control, own = self._controls()
        result = task.train(
            self.state,
            owner=site.owner,
            assignment=Assignment(
                server_round=number,
                learns=frozenset(self.learns),
                rank=site.rank_in(self.terms.config),
                fingerprint=site.fingerprint,
                correction={n: control[n] - own[n] for n in control} or None,
            ),
            ledger=self.ledger,
            on_step=watch.on_step and functools.partial(watch.on_step, site.owner, number),
        )
        if messages.shapes_of(result.state) != messages.shapes_of(self.state):
            raise ValueError(
                f"Expected the {len(self.state)} tensors of the request, got {len(result.state)} "
                "that differ in name or shape. A task returns the adapter and nothing else."
            )
        if watch.on_result:
            watch.on_result(site.owner, number, result)
        return result

    def arrays_of(self, result: LocalResult) -> tuple[ArrayRecord, State]:
        """Return the update as it travels, and what the owner keeps for later rounds."""
        config, codec, number = self.terms.config, self.terms.up, self.request.server_round
        update = {name: result.state[name] - self.state[name] for name in self.learns}
        update = cut(update, self.site.rank_in(config))
        coins = draw_generators(config, owner=self.site.owner, server_round=number).wire
        kept: State = {}
        if codec.is_sparse:
            left = of_prefix(LEFT, self.before)
            encoded, left = encode_with_feedback(codec, update, left, coins)
            arrays, kept = messages.record_of(encoded), with_prefix(LEFT, left)
        else:
            arrays = messages.pack(update, codec, coins)
        if config.local_rule == "scaffold":
            kept |= self._controls_after(arrays, messages.shapes_of(update), result.steps)
        return arrays, kept

    def loss_of(self, result: LocalResult) -> float | None:
        """Return the private loss that may leave; None: the plan releases none.

        Raises:
            ValueError: if the plan releases a loss and the task gave none that is finite.
        """
        limit = loss_limit(self.terms.config)
        if limit is None:
            return None
        loss = result.released_loss
        if loss is None or not math.isfinite(loss):
            raise ValueError(
                "Expected a released loss for a plan with loss_noise, got none. A task passes on "
                "the mean of StepRecord.released_loss."
            )
        return max(-limit, min(loss, limit))

    def words_of(self, result: LocalResult) -> tuple[Words, LocalResult]:
        """Return the update as whole numbers, with its share of the noise if the unit is the owner.

        A loss that the plan releases is one number more. The share of the noise is charged to the
        owner's account before it is drawn.
        """
        config, site, number = self.terms.config, self.site, self.request.server_round
        update = {name: result.state[name] - self.state[name] for name in self.learns}
        form = sum_form(self.terms, number)
        noise = draw_generators(config, owner=site.owner, server_round=number).noise
        if config.unit != "owner":
            words = form.encode(update, noise)
            loss, of_loss = self.loss_of(result), loss_form(self.terms)
            if loss is not None and of_loss is not None:
                tensor = torch.tensor([loss], dtype=torch.float64)
                words = np.concatenate([words, of_loss.encode({LOSS: tensor}, noise)])
            return words, result
        ledger, plan = self.ledger, plan_of(config)
        ledger.open_account(site.owner, plan, fingerprint=site.fingerprint)
        with spend_round(ledger, site.owner, plan, is_private=not config.reproducible):
            words = form.encode(update, noise)
        return words, replace(result, statement=ledger.spent(site.owner))

    def _controls_after(self, arrays: ArrayRecord, shapes: Shapes, steps: int) -> State:
        """Return the owner's control variates after the round.

        They are not sent: the server finds the change of their mean in the mean update, so that
        they follow from the update as the server reads it.
        """
        control, own = self._controls()
        sent = messages.unpack(arrays, shapes, self.terms.up)
        start = {name: self.state[name] for name in control}
        end = {name: self.state[name] + sent[name] for name in control}
        rate = self.terms.config.learning_rate
        fresh = control_after(own, control, start=start, end=end, steps=steps, learning_rate=rate)
        return with_prefix(CONTROL, of_prefix(CONTROL, self.before) | fresh)

    def _controls(self) -> tuple[State, State]:
        """Return the server's and the owner's control variates of what learns, or nothing."""
        control = of_prefix(CONTROL, self.request.state)
        control = {name: control[name] for name in self.learns if name in control}
        own = of_prefix(CONTROL, self.before)
        return control, {n: own.get(n, torch.zeros_like(v)) for n, v in control.items()}
