"""Owners who send anything: each is refused with a reason at a stated limit, or bounded by it.

The honest ones are those of `tiny`, over a local grid. What comes out is compared with a run in
which the hostile owner never was.
"""

import functools
import itertools
import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord
from flwr.clientapp import ClientApp

from discreet.artifacts import RunFolder
from discreet.bench.aggregation import HEIGHT, WIDTH, draw_problem, lora_task
from discreet.federated import (
    LocalGrid,
    LocalTask,
    State,
    TrainConfig,
    client_app,
    make_codec,
    messages,
)
from discreet.federated.bad_message import BadMessage
from discreet.federated.local import FIRST_NODE_ID
from discreet.federated.plans import update_limit
from discreet.federated.rounds import drive
from discreet.federated.terms import Terms
from discreet.privacy import CounterGenerator
from federated.tiny import FROZEN, TinyTask, tiny_config

HONEST = 5
LAST = FIRST_NODE_ID + HONEST
"""Node of the first hostile owner; they come after the honest ones."""
BIAS = "0.bias"
Change = Callable[[Message], object]
"""Changes the reply of an owner who did train, in place; an `Error` goes instead of it."""

Played = tuple[State, dict[int, str]]
"""The last adapter, and who was dropped in the last round with the reason."""

CODEC, COINS = make_codec("float32"), CounterGenerator.seeded("a test")
SHAPES = messages.shapes_of(TinyTask(tiny_config()).initial_state())
SIZE = sum(math.prod(shape) for shape in SHAPES.values())


def plan(owners: int, **changes: object) -> TrainConfig:
    settings = {"num_owners": owners, "num_rounds": 1, "min_replies": 5}
    return tiny_config(**{**settings, "round_timeout_seconds": 20.0, **changes})


def play(
    folder: Path,
    *changes: Change,
    seen: list[torch.Tensor] | None = None,
    make: Callable[[TrainConfig], LocalTask] = TinyTask,
    **plans: object,
) -> Played:
    """Train with honest owners, whose updates are `seen`, and a hostile one for each change."""
    config = plan(HONEST + len(changes), **plans)
    run, task, app = RunFolder.create(folder), make(config), ClientApp()
    honest = client_app(lambda *_: task, config=config, ledger=run.ledger_path)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        reply = honest(message, context)
        if context.node_id < LAST:
            seen is None or seen.append(flat(update_of(reply)))
            return reply
        failure = changes[context.node_id - LAST](reply)
        return Message(failure, reply_to=message) if isinstance(failure, Error) else reply

    grid = LocalGrid(app, [{"partition-id": index} for index in range(config.num_owners)])
    with grid.activated():
        state = drive(config, run, task, grid).state
    dropped = [x for x in run.read_metrics() if x["name"] == "dropped"]
    return state, {x["node"]: x["reason"] for x in dropped if x["round"] == config.num_rounds}


@functools.cache
def limit() -> float:
    """The longest update that the plan takes."""
    return update_limit(plan(HONEST), SIZE)


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> State:
    """What the honest owners make of it alone."""
    state, dropped = play(tmp_path_factory.mktemp("alone") / "run")
    assert dropped == {}
    return state


def start() -> torch.Tensor:
    return flat(TinyTask(tiny_config()).initial_state())


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def flat(state: State) -> torch.Tensor:
    return torch.cat([state[name].double().flatten() for name in sorted(SHAPES)])


def arrays_of(reply: Message) -> ArrayRecord:
    return reply.content.array_records["arrays"]


def update_of(reply: Message) -> State:
    return messages.unpack(arrays_of(reply), SHAPES, CODEC)


def sends(state: State, reply: Message) -> None:
    reply.content["arrays"] = messages.pack(state, CODEC, COINS)


def long_update(length: float, seed: int = 0) -> State:
    """An update of this length in a direction of its own."""
    draw = torch.Generator().manual_seed(seed)
    found = {name: torch.randn(shape, generator=draw) for name, shape in SHAPES.items()}
    return {name: value * (length / float(flat(found).norm())) for name, value in found.items()}


def puts(name: str, array: "np.ndarray[tuple[int, ...], np.dtype[np.generic]] | Array") -> Change:
    """Replace an array, or add one."""
    made = array if isinstance(array, Array) else Array(array)
    return lambda reply: arrays_of(reply).update({name: made})


def adds(name: str, record: ArrayRecord | MetricRecord | ConfigRecord) -> Change:
    return lambda reply: reply.content.__setitem__(name, record)


def headed(header: bytes) -> Array:
    """An array with the right label and length, and a header that NumPy would have to evaluate."""
    padded = header + b" " * (-(len(header) + 11) % 64) + b"\n"
    data = b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + b"\0" * 16
    return Array(dtype="float32", shape=(4,), stype="numpy.ndarray", data=data)


def measured(name: str, value: object) -> Change:
    return lambda reply: reply.content.metric_records["metrics"].__setitem__(name, value)


def ones(*shape: int, dtype: str = "<f4") -> "np.ndarray[tuple[int, ...], np.dtype[np.generic]]":
    return np.ones(shape, dtype)


HUGE = Array(dtype="float32", shape=(4,), stype="numpy.ndarray", data=bytes(200_000_000))
SHAPELY = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%b)}" % (b"1," * 900)
FAULTS: dict[str, tuple[Change, str]] = {
    "NaN": (puts(BIAS, ones(4) * np.float32("nan")), "finite values in '0.bias'"),
    "infinity": (puts(BIAS, ones(4) * np.float32("inf")), "finite values in '0.bias'"),
    "a huge norm": (lambda r: sends(long_update(1e30), r), "an update of length"),
    "just too long": (lambda r: sends(long_update(1.01 * limit()), r), "an update of length"),
    "a missing key": (lambda r: arrays_of(r).pop(BIAS), "1 are missing"),
    "a key of its own": (puts("other", ones(1)), "1 are not known"),
    "doubles": (puts(BIAS, ones(4, dtype="<f8")), "'0.bias' of shape"),
    "whole numbers": (puts(BIAS, ones(4, dtype="<i4")), "'0.bias' of shape"),
    "another shape": (puts(BIAS, ones(2)), "'0.bias' of shape"),
    "a label that lies": (
        puts(BIAS, Array("float32", (4,), "numpy.ndarray", Array(ones(9)).data)),
        "'0.bias' of shape",
    ),
    "a pickle": (puts(BIAS, Array("object", (4,), "pickle", b"\x80\x04N.")), "'0.bias' of shape"),
    "a header of memory": (puts(BIAS, headed(b"-" * 2900 + b"1")), "'0.bias' of shape"),
    "a header of two kinds": (puts(BIAS, headed(b"{1: 2, 'a': 3}")), "'0.bias' of shape"),
    "a header without end": (puts(BIAS, headed(b"{'a")), "'0.bias' of shape"),
    "a header of shapes": (puts(BIAS, headed(SHAPELY)), "'0.bias' of shape"),
    "a second record": (adds("more", ArrayRecord({"a": Array(ones(1))})), "got 2 records"),
    "200 MB in an array": (puts(BIAS, HUGE), "bytes or less"),
    "200 MB beside it": (puts("other", HUGE), "bytes or less"),
    "200 MB in a record": (adds("more", ArrayRecord({"a": HUGE})), "bytes or less"),
    "a million metrics": (adds("more", MetricRecord({"a": [0.5] * 10**6})), "bytes or less"),
    "a million steps": (measured("steps", [1] * 10**6), "bytes or less"),
    "a thousand names": (
        adds("more", MetricRecord({f"metric-{i}": i for i in range(1000)})),
        "bytes or less",
    ),
    "a long text": (adds("more", ConfigRecord({"a": "x" * 10**6})), "bytes or less"),
    "many texts": (adds("more", ConfigRecord({"a": ["x" * 100] * 10**4})), "bytes or less"),
    "a long label": (
        puts(BIAS, Array("f" * 10**6, (4,), "numpy.ndarray", Array(ones(4)).data)),
        "bytes or less",
    ),
    "steps below 0": (measured("steps", -1), "steps as a whole number"),
    "an epsilon above the plan": (measured("epsilon", 99.0), "more"),
    "an older round": (measured("round", 0), "got one of another"),
    "words in an error": (lambda r: Error(5, "Jane Doe " * 10**5), "Flower: NODE_UNAVAILABLE"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_hostile_owner_is_refused_and_the_others_get_what_they_get_alone(
    fault: str, tmp_path: Path, without: State
) -> None:
    change, reason = FAULTS[fault]
    state, dropped = play(tmp_path / "run", change)
    assert list(dropped) == [LAST]
    assert reason in dropped[LAST]
    assert "Jane" not in dropped[LAST]
    assert len(dropped[LAST]) < 200, "what an owner sends does not fill the server's disk"
    assert same(state, without)


def ranked(rank: int) -> Change:
    """Send factors of a rank, well formed in everything else."""

    def change(reply: Message) -> None:
        (layer,) = {name.partition(".lora_")[0] for name in arrays_of(reply)}
        for kind, shape in {"A": (rank, WIDTH), "B": (HEIGHT, rank)}.items():
            arrays_of(reply)[f"{layer}.lora_{kind}.default.weight"] = Array(0.01 * ones(*shape))

    return change


def by_lora(config: TrainConfig) -> LocalTask:
    return lora_task(config, draw_problem(HONEST + 2, 0.5, 0).owned)


@pytest.mark.parametrize(("ranks", "sent"), [("", 2), ("2,4", 3), ("2,4", 5), ("2,4", 0)])
def test_a_rank_that_is_not_in_the_plan_is_refused(ranks: str, sent: int, tmp_path: Path) -> None:
    plans = {"aggregation": "flexlora", "lora_r": 4, "lora_ranks": ranks}
    state, dropped = play(tmp_path / "run", ranked(sent), make=by_lora, **plans)
    assert "of shape" in dropped[LAST] or "bytes or less" in dropped[LAST]
    alone, _ = play(tmp_path / "alone", make=by_lora, **plans)
    assert same(state, alone)


@pytest.mark.parametrize("sent", [2, 4])
def test_a_rank_that_is_in_the_plan_is_taken_in(sent: int, tmp_path: Path) -> None:
    plans = {"aggregation": "flexlora", "lora_r": 4, "lora_ranks": "2,4"}
    _, dropped = play(tmp_path / "run", ranked(sent), make=by_lora, **plans)
    assert dropped == {}


def test_a_product_that_no_float32_holds_drops_its_owner_and_ends_no_run(tmp_path: Path) -> None:
    def change(reply: Message) -> None:
        for name, array in list(arrays_of(reply).items()):
            arrays_of(reply)[name] = Array(1e25 * ones(*array.shape))

    plans = {"aggregation": "flexlora", "lora_r": 4, "max_update_norm": 1e30}
    state, dropped = play(tmp_path / "run", change, make=by_lora, **plans)
    assert "that the rule can take in" in dropped[LAST]
    assert same(state, play(tmp_path / "alone", make=by_lora, **plans)[0])


def test_a_number_of_examples_that_an_owner_claims_is_not_read(tmp_path: Path) -> None:
    claimed, dropped = play(tmp_path / "claimed", measured("num-examples", 10**9))
    assert dropped == {}
    assert same(claimed, play(tmp_path / "plain", lambda reply: None)[0])


@pytest.mark.parametrize("share", [0.99, -0.99])
def test_an_update_within_the_limit_moves_the_mean_by_its_length_over_the_replies(
    share: float, tmp_path: Path, without: State
) -> None:
    update = long_update(share * limit())
    state, dropped = play(tmp_path / "run", lambda reply: sends(update, reply))
    assert dropped == {}
    mean = (HONEST * (flat(without) - start()) + flat(update)) / (HONEST + 1)
    torch.testing.assert_close(flat(state) - start(), mean, rtol=0, atol=1e-6)
    assert float((flat(state) - flat(without)).norm()) <= 2 * limit() / (HONEST + 1)


def replays(first: list[ArrayRecord], *, says_when: bool) -> Change:
    """Send what was sent in the first round again; owning up to the round or not."""

    def change(reply: Message) -> None:
        if first:
            reply.content["arrays"] = first[0]
            if says_when:
                reply.content.metric_records["metrics"]["round"] = 1
        else:
            first.append(arrays_of(reply))

    return change


def test_a_reply_of_an_older_round_is_refused(tmp_path: Path) -> None:
    _, dropped = play(tmp_path / "run", replays([], says_when=True), num_rounds=2)
    assert dropped == {LAST: "Expected an update of this round, got one of another."}


def test_numbers_of_an_older_round_count_like_any_update_within_the_limit(tmp_path: Path) -> None:
    """Nothing in an update says when it was made; what it can do is bounded as all are."""
    kept: list[ArrayRecord] = []
    state, dropped = play(tmp_path / "replayed", replays(kept, says_when=False), num_rounds=2)
    honest, _ = play(tmp_path / "honest", lambda reply: None, num_rounds=2)
    assert dropped == {}
    assert 0 < float((flat(state) - flat(honest)).norm()) <= 2 * limit() / (HONEST + 1)


def test_of_two_owners_with_one_update_one_counts(tmp_path: Path) -> None:
    update = long_update(limit() / 2)
    twice = (lambda reply: sends(update, reply),) * 2
    state, dropped = play(tmp_path / "twice", *twice)
    assert dropped == {LAST + 1: "Expected an update of its own, got a copy of another node's."}
    assert same(state, play(tmp_path / "once", twice[0])[0])


def test_two_boosted_updates_that_differ_are_bounded_each(tmp_path: Path, without: State) -> None:
    pair = [long_update(0.99 * limit(), seed) for seed in (1, 2)]
    changes = [functools.partial(sends, update) for update in pair]
    state, dropped = play(tmp_path / "within", *changes)
    assert dropped == {}
    assert float((flat(state) - flat(without)).norm()) <= 4 * limit() / (HONEST + 2)
    far = [functools.partial(sends, long_update(HONEST * limit(), seed)) for seed in (1, 2)]
    state, dropped = play(tmp_path / "above", *far)
    assert set(dropped) == {LAST, LAST + 1}
    assert same(state, without)


def test_a_backdoor_scaled_by_the_number_of_owners_is_refused(
    tmp_path: Path, without: State
) -> None:
    """It would replace the mean. Honest owners move by about a quarter of the limit at most."""
    backdoor = long_update(limit() / 4)
    boosted = {name: (HONEST + 1) * value for name, value in backdoor.items()}
    state, dropped = play(tmp_path / "run", lambda reply: sends(boosted, reply))
    assert "an update of length" in dropped[LAST]
    assert same(state, without)


@pytest.mark.parametrize("combine", ["median", "trimmed_mean"])
def test_what_is_within_the_limit_stays_between_the_honest_with_a_robust_combine(
    combine: str, tmp_path: Path
) -> None:
    boosted = [functools.partial(sends, long_update(0.99 * limit(), seed)) for seed in (1, 2)]
    honest: list[torch.Tensor] = []
    robust = {"combine": combine, "hostile_owners": 2}
    state, dropped = play(tmp_path / "robust", *boosted, seen=honest, **robust)
    assert dropped == {}
    alone = torch.stack(honest)
    moved = flat(state) - start()
    assert bool((moved <= alone.max(0).values + 1e-6).all())
    assert bool((moved >= alone.min(0).values - 1e-6).all())


def test_multi_krum_leaves_out_what_is_far_from_all_others(tmp_path: Path) -> None:
    boosted = functools.partial(sends, long_update(0.99 * limit()))
    honest: list[torch.Tensor] = []
    robust = {"combine": "multi_krum", "hostile_owners": 1}
    state, dropped = play(tmp_path / "run", boosted, seen=honest, **robust)
    assert dropped == {}
    alone = torch.stack(honest)
    moved = flat(state) - start()
    means = [alone[list(kept)].mean(0) for kept in itertools.combinations(range(HONEST), 3)]
    assert min(float((moved - mean).norm()) for mean in means) < 1e-6


def test_a_reply_of_any_size_is_refused_without_memory_for_it() -> None:
    config = plan(HONEST)
    terms = Terms.of(config, TinyTask(config).initial_state())
    asked = messages.pack(TinyTask(config).initial_state(), CODEC, COINS)
    grid = LocalGrid(ClientApp(), [])
    with grid.activated():
        request = messages.ask(asked, server_round=1, frozen_hash=FROZEN, run="", node_id=1)
        said = {"round": 1, "steps": 3, "epsilon": 1.0, "delta": 1e-5}
        reply = Message(request.content, reply_to=request)
    reply.content["metrics"] = MetricRecord(said)
    arrays_of(reply)["0.bias"] = HUGE
    tracemalloc.start()
    with pytest.raises(BadMessage, match="bytes or less"):
        messages.check_size(reply, terms.room_up(1).total)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_the_limit_of_a_reply_is_its_arrays_and_little_more() -> None:
    config = plan(HONEST)
    state = TinyTask(config).initial_state()
    terms = Terms.of(config, state)
    arrays = messages.size_bytes_of(messages.pack(state, CODEC, COINS))
    assert arrays < terms.room_up(1).total < arrays + 4096 + 256 * len(state)
