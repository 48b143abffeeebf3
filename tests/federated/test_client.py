"""The app on an owner's device: what it answers, what it charges, what it keeps to itself."""

import logging
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from flwr.app import Message
from flwr.clientapp import ClientApp

from discreet.errors import DataError
from discreet.federated import (
    LocalGrid,
    LocalResult,
    State,
    TrainConfig,
    Watch,
    client_app,
    messages,
    secure,
)
from discreet.federated.plans import promise_of
from discreet.federated.terms import Terms
from discreet.privacy import PrivacyLedger
from discreet.types import OwnerId, PrivacyStatement
from federated.conftest import packed
from federated.tiny import FROZEN, TinyTask, tiny_config

OWNER = OwnerId("owner-0")
OWN_DATA = {"owner": "clinic-a", "ledger": "/l.jsonl", "data": "/d.parquet"}
HIDDEN = {"unit": "owner", "sampled": "owner", "max_update_norm": 1.0}


class Broken(TinyTask):
    def train(self, state: State, **given: object) -> LocalResult:
        raise KeyError("Jane Doe, born 1950")


class Saying(TinyTask):
    """States what it was told to state."""

    says: PrivacyStatement | None = None

    def train(self, state: State, **given: object) -> LocalResult:
        return LocalResult(statement=self.says, steps=3, state=state)


def ask_once(
    app: ClientApp,
    grid_of: Callable[[ClientApp], LocalGrid],
    config: TrainConfig,
    *,
    frozen_hash: str = FROZEN,
    server_round: int = 1,
    run: str = "a run",
    state: State | None = None,
) -> Message:
    grid = grid_of(app)
    with grid.activated():
        state = state or first_of(config)
        request = messages.ask(
            packed(state),
            server_round=server_round,
            frozen_hash=frozen_hash,
            run=run,
            node_id=1000,
        )
        (reply,) = grid.send_and_receive([request])
    return reply


def first_of(config: TrainConfig) -> State:
    terms = Terms.of(config, first := TinyTask(config).initial_state())
    return {name: first.get(name, torch.zeros(s)) for name, s in terms.shapes.items()}


def one_node(app: ClientApp) -> LocalGrid:
    return LocalGrid(app, [{"partition-id": 0}])


def test_a_server_cannot_talk_a_node_into_a_weak_plan(tmp_path: Path) -> None:
    node = {**OWN_DATA, "ledger": str(tmp_path / "ledger.jsonl")}
    config = tiny_config(reproducible=True)
    reply = ask_once(
        client_app(TinyTask),
        lambda app: LocalGrid(app, [node], run_config=config.as_mapping()),
        config,
    )
    assert messages.refusal_of(reply) == "PolicyError"
    assert not (tmp_path / "ledger.jsonl").exists()


def test_an_owners_log_says_the_way_out_and_the_server_hears_the_class_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = {**OWN_DATA, "ledger": str(tmp_path / "ledger.jsonl"), "max_epsilon": 0.5}
    config = tiny_config(reproducible=False)
    with caplog.at_level(logging.WARNING, logger="discreet"):
        reply = ask_once(
            client_app(TinyTask),
            lambda app: LocalGrid(app, [node], run_config=config.as_mapping()),
            config,
        )
    (line,) = caplog.messages
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC ", line)
    assert f" UTC {OWN_DATA['owner']} did not train: PolicyError: Expected target_eps" in line
    assert "target_epsilon <= 0.5" in line
    assert "max_epsilon" in line.partition("got")[2]
    assert reply.error.reason == "PolicyError"


def test_an_owners_log_says_which_setting_names_data_that_cannot_be_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def unread(*_: object) -> TinyTask:
        raise DataError("Expected a Parquet file of portraits at 'd.parquet'.")

    node = {**OWN_DATA, "ledger": str(tmp_path / "ledger.jsonl")}
    config = tiny_config(reproducible=False)
    for own, is_said in ((node, True), ({"partition-id": 0}, False)):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="discreet"):
            reply = ask_once(
                client_app(unread),
                lambda app, own=own: LocalGrid(app, [own], run_config=config.as_mapping()),
                config,
            )
        (line,) = caplog.messages
        assert "DataError: Expected a Parquet file of portraits at 'd.parquet'." in line
        assert ("`data` in [site] of node.toml" in line) is is_said
        assert reply.error.reason == "DataError"


def test_a_failing_task_says_where_on_the_device_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny_config()
    failures: list[tuple[OwnerId, Exception]] = []
    app = client_app(
        Broken,
        config=config,
        ledger=tmp_path / "ledger.jsonl",
        watch=Watch(on_failure=lambda owner, error: failures.append((owner, error))),
    )
    with caplog.at_level(logging.WARNING, logger="discreet"):
        reply = ask_once(app, one_node, config)
    assert messages.refusal_of(reply) == "KeyError"
    assert "owner-0 did not train: KeyError: in train" in caplog.text
    assert "test_client.py" in caplog.text
    assert "Jane" not in caplog.text
    assert [(owner, str(error)) for owner, error in failures] == [
        ("owner-0", "'Jane Doe, born 1950'")
    ]


def test_a_node_with_another_base_does_not_train_and_pays_nothing(tmp_path: Path) -> None:
    config, ledger = tiny_config(), tmp_path / "ledger.jsonl"
    reply = ask_once(
        client_app(TinyTask, config=config, ledger=ledger),
        one_node,
        config,
        frozen_hash="0" * 64,
    )
    assert messages.refusal_of(reply) == "IncompatibleBase"
    assert not ledger.exists()


def test_steps_are_charged_before_the_reply(tmp_path: Path) -> None:
    config, ledger = tiny_config(), tmp_path / "ledger.jsonl"
    steps: list[tuple[OwnerId, int, int]] = []
    app = client_app(
        TinyTask,
        config=config,
        ledger=ledger,
        watch=Watch(on_step=lambda owner, number, step: steps.append((owner, number, step.step))),
    )
    reply = ask_once(app, one_node, config)
    answer = messages.read_answer(reply, promise=promise_of(config))
    assert answer.statement == PrivacyLedger.open(ledger).spent(OWNER)
    assert (answer.steps, answer.server_round) == (3, 1)
    assert steps == [("owner-0", 1, step) for step in (1, 2, 3)]


def test_an_update_is_what_was_learnt_and_not_the_adapter(tmp_path: Path) -> None:
    config, result = tiny_config(), []
    app = client_app(
        TinyTask,
        config=config,
        ledger=tmp_path / "ledger.jsonl",
        watch=Watch(on_result=lambda *told: result.append(told)),
    )
    reply = ask_once(app, one_node, config)
    ((owner, server_round, trained),) = result
    assert (owner, server_round) == (OWNER, 1)
    terms = Terms.of(config, start := first_of(config))
    record = reply.content.array_records["arrays"]
    update = messages.read_update(record, terms.shapes_up(1), terms.up)
    for name, value in update.items():
        assert torch.equal(value, trained.state[name] - start[name])
        assert value.any()


@pytest.mark.parametrize("server_round", [1, 2])
def test_what_does_not_learn_in_a_round_is_not_sent(tmp_path: Path, server_round: int) -> None:
    """RoLoRA's rounds of A leave tensors that are no factors alone."""
    config = tiny_config(aggregation="rolora")
    app = client_app(TinyTask, config=config, ledger=tmp_path / "ledger.jsonl")
    reply = ask_once(app, one_node, config, server_round=server_round)
    if server_round == 1:
        assert set(reply.content.array_records["arrays"]) == set(first_of(config))
    else:
        assert reply.has_error(), "nothing is left to learn"


SPENT = PrivacyStatement(
    epsilon=1.0, delta=1e-5, unit="example", neighbouring_relation="add_or_remove_one"
)


@pytest.mark.parametrize(
    ("said", "changes"),
    [
        (None, {}),
        (SPENT, HIDDEN),
        (SPENT, {"unit": "user", "examples_per_user": 2}),
    ],
)
def test_a_statement_of_another_unit_than_the_plans_does_not_leave(
    tmp_path: Path, said: PrivacyStatement | None, changes: dict[str, object]
) -> None:
    """A server that trains for users takes every epsilon to be a user's."""
    config = tiny_config(**changes)
    task = Saying(config)
    task.says = said
    app = client_app(lambda *_: task, config=config, ledger=tmp_path / "ledger.jsonl")
    assert messages.refusal_of(ask_once(app, one_node, config)) == "ValueError"


@pytest.mark.parametrize("loss", [None, math.nan])
def test_a_task_without_the_loss_of_the_plan_sends_nothing(
    tmp_path: Path, loss: float | None
) -> None:
    class Silent(TinyTask):
        def train(self, state: State, **given: object) -> LocalResult:
            return replace(super().train(state, **given), released_loss=loss)

    config = tiny_config(loss_noise=30.0)
    app = client_app(lambda *_: Silent(config), config=config, ledger=tmp_path / "ledger.jsonl")
    assert messages.refusal_of(ask_once(app, one_node, config)) == "ValueError"


def test_where_the_server_adds_the_noise_a_node_states_and_pays_nothing(tmp_path: Path) -> None:
    config, ledger = tiny_config(**HIDDEN), tmp_path / "ledger.jsonl"
    reply = ask_once(client_app(TinyTask, config=config, ledger=ledger), one_node, config)
    assert set(reply.content.metric_records["metrics"]) == {"round", "steps", "nonce"}
    assert PrivacyLedger.open(ledger).owners() == ()


@pytest.mark.parametrize("changes", [{"local_rule": "scaffold"}, {"wire": "topk"}])
def test_a_round_that_is_asked_again_gives_the_same_update(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    """What an owner keeps is put back to where it stood before the round."""
    config = tiny_config(num_rounds=9, **changes)
    app = client_app(TinyTask, config=config, ledger=tmp_path / "ledger.jsonl")
    state = first_of(config)
    state |= {name: value + 0.1 for name, value in state.items() if name.startswith("control/")}

    def asked(server_round: int, run: str = "a run") -> dict[str, bytes]:
        reply = ask_once(app, one_node, config, server_round=server_round, run=run, state=state)
        arrays = reply.content.array_records["arrays"]
        return {name: array.data for name, array in arrays.items()}

    first, second = asked(1), asked(2)
    assert asked(2) == second != first
    assert asked(2, run="another") != second, "what another run left counts as nothing"
    assert asked(1, run="a third") == first


def test_owners_who_keep_nothing_have_no_memory(tmp_path: Path) -> None:
    config = tiny_config()
    ask_once(
        client_app(TinyTask, config=config, ledger=tmp_path / "ledger.jsonl"), one_node, config
    )
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_masked_round_without_a_member_is_refused(tmp_path: Path) -> None:
    """A server cannot skip the exchange of keys and get a plain update."""
    config = tiny_config(secure_aggregation=True, num_owners=3, min_replies=2)
    app = client_app(TinyTask, config=config, ledger=tmp_path / "ledger.jsonl")
    assert messages.refusal_of(ask_once(app, one_node, config)) == "BadMessage"


def test_the_app_answers_every_question_of_a_secure_sum() -> None:
    grid = one_node(client_app(TinyTask, config=tiny_config()))
    with grid.activated():
        for action in (secure.KEYS, secure.SHARES, secure.UNMASK):
            request = messages.ask_parts(action, {}, server_round=1, node_id=1000)
            (reply,) = grid.send_and_receive([request])
            assert messages.refusal_of(reply) in ("KeyError", "BadMessage")
