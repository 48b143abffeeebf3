"""The grid in one process carries any Flower strategy and leaves Flower as it was."""

import time
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg, FedMedian
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from discreet.federated import LocalGrid


def adding_app() -> ClientApp:
    """Each node adds its part number to the array; the last one fails."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        part = int(context.node_config["partition-id"])
        if part == 3:
            raise RuntimeError("Jane Doe")
        array = message.content.array_records["arrays"]["w"].numpy() + part
        content = RecordDict(
            {
                "arrays": ArrayRecord({"w": Array(array)}),
                "metrics": MetricRecord({"num-examples": 1, "part": part}),
            }
        )
        return Message(content, reply_to=message)

    return app


def grid_of(count: int) -> LocalGrid:
    return LocalGrid(adding_app(), [{"partition-id": part} for part in range(count)])


@pytest.mark.parametrize("strategy", [FedAvg, FedMedian])
def test_a_flower_strategy_runs_unchanged(strategy: type[FedAvg]) -> None:
    grid = grid_of(4)
    with grid.activated():
        result = strategy(fraction_evaluate=0.0, min_available_nodes=4).start(
            grid=grid, initial_arrays=ArrayRecord({"w": Array(np.zeros(2))}), num_rounds=3
        )
    assert result.arrays["w"].numpy().tolist() == pytest.approx([3.0, 3.0])
    assert result.train_metrics_clientapp[3]["part"] == 1.0


def test_rounds_without_training_are_fast() -> None:
    grid = grid_of(3)
    start = time.perf_counter()
    with grid.activated():
        FedAvg(fraction_evaluate=0.0).start(
            grid=grid,
            initial_arrays=ArrayRecord({"w": Array(np.zeros(25_000, np.float32))}),
            num_rounds=5,
        )
    assert time.perf_counter() - start < 5 * 0.5


def test_an_exception_becomes_an_error_reply_without_its_text() -> None:
    grid = grid_of(4)
    with grid.activated():
        messages = list(
            FedAvg(min_available_nodes=4).configure_train(
                1, ArrayRecord({"w": Array(np.zeros(1))}), ConfigRecord(), grid
            )
        )
        replies = list(grid.send_and_receive(messages, timeout=1.0))
    failed = [reply for reply in replies if reply.has_error()]
    assert [(r.metadata.src_node_id, r.error.reason) for r in failed] == [(1003, "RuntimeError")]


def test_a_reply_is_pulled_once() -> None:
    grid = grid_of(1)
    with grid.activated():
        content = RecordDict({"arrays": ArrayRecord({"w": Array(np.zeros(1))})})
        message = grid.create_message(content, "train", 1000, group_id="1")
        ids = list(grid.push_messages([message]))
        assert len(list(grid.pull_messages(ids))) == 1
        assert list(grid.pull_messages(ids)) == []


def test_the_run_can_be_replaced() -> None:
    grid = grid_of(1)
    grid.set_run(replace(Run.create_empty(5), fab_version="2"))
    assert (grid.run.run_id, grid.run.fab_version) == (5, "2")


@pytest.mark.parametrize("former", [None, 42])
def test_flowers_identity_comes_back_also_after_an_error(former: int | None) -> None:
    names = ("_run_id", "_task_id", "_node_id")
    before = {name: getattr(TaskIdentity, name) for name in names}
    try:
        for name in names:
            setattr(TaskIdentity, name, former)
        with pytest.raises(KeyboardInterrupt), grid_of(1).activated():
            raise KeyboardInterrupt
        assert {getattr(TaskIdentity, name) for name in names} == {former}
    finally:
        for name, value in before.items():
            setattr(TaskIdentity, name, value)
