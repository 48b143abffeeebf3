"""What a codec costs in quality: the loss of an adapter whose updates went through it.

The adapter is taken apart into updates and put together again from what a server decodes: once as
a single update, once as rounds of owners whose noise is that of their plan. Nothing is trained; in
a run, later rounds would answer to what earlier ones lost. Bytes are counted in `wire`.

    config = TrainConfig.load(REFERENCE_DIR / "config.toml")
    vlm = AssistantTask.without_data(config).vlm
    found = measure_wire_loss(vlm, reference_update(), config, load_held_out(examples=48, trios=0))
    print(as_loss_table(found))
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from discreet.aggregation import make_combine
from discreet.bench.adaptation import Estimate, estimate
from discreet.bench.tasks import HeldOut
from discreet.bench.wire import relative_error
from discreet.data import Example
from discreet.federated import (
    CODECS,
    Codec,
    State,
    TrainConfig,
    VisualTokens,
    encode_with_feedback,
    example_losses,
    make_codec,
    plan_of,
)
from discreet.model import FrozenPrefix, Vlm, load_adapter_state
from discreet.privacy import CounterGenerator

EXACT = "float32"
_CHUNK = 8
"""Examples in memory at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossChange:
    """How much worse answers got, in nats per token on the same examples; below 0 is better."""

    codec: str
    relative_error: float
    """L2 norm of what the adapter is off by, over that of the adapter."""
    gated: Estimate
    native: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class WireLoss:
    """What each codec costs an adapter on people and questions that no training saw."""

    examples: int
    gated_loss: float
    """Of the adapter as it is, mean nats per answer token."""
    native_loss: float
    without: LossChange
    """What all of the adapter is worth: the change if nothing is sent."""
    once: tuple[LossChange, ...]
    """The whole adapter in one update."""
    rounds: tuple[LossChange, ...]
    """The updates of all owners in all rounds, error feedback included."""
    num_rounds: int
    num_owners: int


def measure_wire_loss(
    vlm: Vlm,
    learnt: State,
    config: TrainConfig,
    held_out: HeldOut,
    *,
    share: float = 0.1,
    on_done: Callable[[int], None] = lambda count: None,
) -> WireLoss:
    """Return the change in loss for each codec but float32, which the others are compared with.

    Args:
        vlm: The base with an adapter of `config`; what it holds afterwards is undefined.
        learnt: What the owners learnt in all rounds together, as it travels.
        config: Plan of the run: owners, rounds, and the noise that each update has.
        held_out: Whose examples to score on.
        share: Of the numbers, those that `topk` sends.
        on_done: Told after a while how many examples were scored since, of `count_scored`.
    """
    scorer = _Scorer(vlm, held_out, on_done)
    exact = scorer.losses(learnt)
    split = owner_updates(learnt, config)

    def change(codec: str, state: State) -> LossChange:
        gated, native = (scorer.losses(state) - exact).unbind(0)
        return LossChange(
            codec=codec,
            relative_error=relative_error(state, learnt),
            gated=_estimate(held_out.examples, gated),
            native=_estimate(held_out.examples, native),
        )

    codecs = [make_codec(name, share=share) for name in CODECS if name != EXACT]
    return WireLoss(
        examples=len(held_out.examples),
        gated_loss=float(exact[0].mean()),
        native_loss=float(exact[1].mean()),
        without=change("none", {name: torch.zeros_like(value) for name, value in learnt.items()}),
        once=tuple(change(codec.name, received(codec, [[learnt]])) for codec in codecs),
        rounds=tuple(change(codec.name, received(codec, split)) for codec in codecs),
        num_rounds=config.num_rounds,
        num_owners=config.asked_per_round,
    )


def count_scored(examples: int) -> int:
    """Return how many examples `measure_wire_loss` scores in all."""
    return examples * 2 * len(CODECS)


def update_noise(config: TrainConfig) -> float:
    """Return the standard deviation of the noise in each number of an update, under plain SGD."""
    plan = plan_of(config)
    in_sum = plan.gradient_noise_multiplier * plan.max_grad_norm
    step = config.learning_rate * in_sum / plan.expected_batch_size
    return step * math.sqrt(config.local_steps)


def owner_updates(learnt: State, config: TrainConfig) -> list[list[State]]:
    """Return the updates of each round, one an owner, whose means add up to what was learnt.

    What was learnt has the mean of all noise in it already. Independent Gaussian draws less their
    mean do not depend on that mean, so that here each draw has its mean taken off: every update has
    the noise of the plan, and the sum is the adapter that was released. That every owner learnt the
    same in every round is an assumption.
    """
    rounds, owners = config.num_rounds, config.asked_per_round
    coins = CounterGenerator.seeded("bench wire, noise of owners")
    updates: list[list[State]] = [[{} for _ in range(owners)] for _ in range(rounds)]
    for name, value in learnt.items():
        draws = coins.normal(rounds * owners * value.numel()).view(rounds, owners, *value.shape)
        noise = update_noise(config) * (draws - draws.mean((0, 1)))
        shares = value.double() / rounds + noise
        for server_round in range(rounds):
            for owner in range(owners):
                updates[server_round][owner][name] = shares[server_round, owner].float()
    return updates


def received(codec: Codec, rounds: Iterable[Sequence[State]]) -> State:
    """Return what a server has after all rounds: the sum of the means of what it decodes.

    Args:
        codec: With error feedback, each owner's own, if it leaves numbers out.
        rounds: The updates of each round, owners in the same order.
    """
    coins = CounterGenerator.seeded("bench wire, rounding")
    total: State = {}
    left: dict[int, State] = {}
    for updates in rounds:
        shapes = {name: tuple(value.shape) for name, value in updates[0].items()}
        mean = make_combine("mean", shapes, hostile=0)
        for owner, update in enumerate(updates):
            if codec.is_sparse:
                before = left.get(owner, {})
                arrays, left[owner] = encode_with_feedback(codec, update, before, coins)
            else:
                arrays = codec.encode(update, coins)
            mean.add(codec.decode(arrays, shapes))
        total = {name: value + total.get(name, 0) for name, value in mean.result().items()}
    return total


class _Scorer:
    """Losses of one adapter after another on the same examples; what lies below it runs once."""

    def __init__(self, vlm: Vlm, held_out: HeldOut, on_done: Callable[[int], None]) -> None:
        self._vlm = vlm
        self._examples = held_out.examples
        self._visual = VisualTokens(vlm, held_out.portraits)
        self._prefix = FrozenPrefix(vlm)
        self._on_done = on_done

    @torch.no_grad()
    def losses(self, state: State) -> torch.Tensor:
        """Return (2, N): the losses of the gated and of the native presentation."""
        load_adapter_state(self._vlm, state)
        parts = []
        for start in range(0, len(self._examples), _CHUNK):
            chunk = self._examples[start : start + _CHUNK]
            both = example_losses(self._vlm, self._visual, chunk, prefix=self._prefix)
            parts.append(torch.stack(both))
            self._on_done(len(chunk))
        return torch.cat(parts, 1)


def _estimate(examples: Sequence[Example], values: torch.Tensor) -> Estimate:
    """Return the mean with the hull of two intervals: people are drawn, and questions are drawn."""
    by_person = estimate([example.identity_id for example in examples], values.tolist())
    by_question = estimate([example.question_id for example in examples], values.tolist())
    low, high = min(by_person.low, by_question.low), max(by_person.high, by_question.high)
    return replace(by_person, low=low, high=high)


def as_loss_table(found: WireLoss) -> str:
    """Return a Markdown table; changes are in thousandths of a nat per answer token."""
    rounds = f"{found.num_rounds} rounds of {found.num_owners} owners"
    lines = [
        f"| change of the loss ({found.gated_loss:.4f} gated, {found.native_loss:.4f} native), "
        f"thousandths; {found.examples} examples | error | gated | native |",
        "|---|---|---|---|",
        _line("nothing sent", found.without),
        *(_line(f"{change.codec}, one update", change) for change in found.once),
        *(_line(f"{change.codec}, {rounds}", change) for change in found.rounds),
    ]
    return "\n".join(lines)


def _line(name: str, change: LossChange) -> str:
    return (
        f"| {name} | {change.relative_error:.4f} | {_cell(change.gated)} | {_cell(change.native)} |"
    )


def _cell(change: Estimate) -> str:
    value, low, high = (1000 * end for end in (change.value, change.low, change.high))
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"
