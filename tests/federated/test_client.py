"""The owner's side: whose site it is, what it accepts, where chance comes from."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from discreet.errors import PolicyError
from discreet.federated import (
    LocalGrid,
    LocalResult,
    State,
    TrainConfig,
    Watch,
    client_app,
    draw_generators,
    messages,
)
from discreet.federated.client import OwnerSite
from discreet.privacy import CounterGenerator, PrivacyLedger, StepRecord
from discreet.types import OwnerId
from federated.tiny import FROZEN, TinyTask, plan_of, tiny_config

OWNER = OwnerId("owner-0")
OWN_DATA = {"owner": "clinic-a", "ledger": "/l.jsonl", "data": "/d.parquet"}


def context(**node_config: object) -> Context:
    return Context(run_id=7, node_id=3, node_config=node_config, state=RecordDict(), run_config={})


def numbers(generator: CounterGenerator) -> tuple[float, ...]:
    return tuple(generator.normal(4).tolist())


class Broken(TinyTask):
    def train(
        self,
        state: State,
        *,
        owner: OwnerId,
        server_round: int,
        ledger: PrivacyLedger,
        on_step: Callable[[StepRecord], None] | None,
    ) -> LocalResult:
        raise KeyError("Jane Doe, born 1950")


def ask_once(
    app: ClientApp,
    grid_of: Callable[[ClientApp], LocalGrid],
    config: TrainConfig,
    *,
    frozen_hash: str = FROZEN,
) -> Message:
    grid = grid_of(app)
    with grid.activated():
        state = TinyTask(config).initial_state()
        request = messages.ask(
            messages.pack(state), server_round=1, frozen_hash=frozen_hash, node_id=1000
        )
        (reply,) = grid.send_and_receive([request])
    return reply


def test_a_simulated_owner_is_named_by_its_part(tmp_path: Path) -> None:
    site = OwnerSite.of_node(context(**{"partition-id": 2}), tmp_path / "ledger.jsonl")
    assert (site.owner, site.ledger, site.data) == ("owner-2", tmp_path / "ledger.jsonl", None)


def test_simulated_owners_of_two_runs_have_two_ledgers() -> None:
    first, second = context(), context()
    second.run_id += 1
    assert OwnerSite.of_node(first).ledger != OwnerSite.of_node(second).ledger


@pytest.mark.parametrize("missing", ["owner", "ledger"])
def test_own_data_needs_a_name_and_a_ledger_that_stays(missing: str, tmp_path: Path) -> None:
    node = {key: value for key, value in OWN_DATA.items() if key != missing}
    with pytest.raises(ValueError, match=f"no {missing}"):
        OwnerSite.of_node(context(**node), tmp_path / "ledger.jsonl")


def test_a_site_is_read_from_the_node_configuration() -> None:
    site = OwnerSite.of_node(context(**OWN_DATA, max_epsilon=2, max_delta=1e-6), Path("/other"))
    assert site == OwnerSite(
        owner=OwnerId("clinic-a"),
        ledger=Path("/l.jsonl"),
        data=Path("/d.parquet"),
        max_epsilon=2.0,
        max_delta=1e-6,
    )


@pytest.mark.parametrize(
    "change",
    [{"reproducible": True}, {"target_epsilon": 8.1}, {"delta": 2e-5}],
    ids=lambda change: next(iter(change)),
)
def test_a_plan_that_protects_too_little_is_refused(change: dict[str, object]) -> None:
    plan = replace(TrainConfig(), **change)
    with pytest.raises(PolicyError, match="^Expected "):
        OwnerSite.of_node(context(**OWN_DATA)).check(plan)
    OwnerSite.of_node(context()).check(plan)


def test_the_defaults_are_accepted() -> None:
    OwnerSite.of_node(context(**OWN_DATA)).check(TrainConfig())


def test_an_owner_may_insist_that_persons_are_hidden() -> None:
    site = OwnerSite.of_node(context(**OWN_DATA, unit="user"))
    with pytest.raises(PolicyError, match="hides users"):
        site.check(TrainConfig())
    site.check(TrainConfig(unit="user", examples_per_user=4))
    with pytest.raises(ValueError, match="unit"):
        OwnerSite.of_node(context(**OWN_DATA, unit="magic"))


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
        reply = ask_once(app, lambda app: LocalGrid(app, [{"partition-id": 0}]), config)
    assert messages.refusal_of(reply) == "KeyError"
    assert "owner-0 did not train: KeyError in train" in caplog.text
    assert "test_client.py" in caplog.text
    assert "Jane" not in caplog.text
    assert [(owner, str(error)) for owner, error in failures] == [
        ("owner-0", "'Jane Doe, born 1950'")
    ]


def test_a_node_with_another_base_does_not_train_and_pays_nothing(tmp_path: Path) -> None:
    config, ledger = tiny_config(), tmp_path / "ledger.jsonl"
    reply = ask_once(
        client_app(TinyTask, config=config, ledger=ledger),
        lambda app: LocalGrid(app, [{"partition-id": 0}]),
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
    reply = ask_once(app, lambda app: LocalGrid(app, [{"partition-id": 0}]), config)
    answer = messages.read_answer(reply, messages.shapes_of(TinyTask(config).initial_state()))
    assert answer.statement == PrivacyLedger.open(ledger).spent(OWNER)
    assert answer.steps == 3
    assert steps == [("owner-0", 1, step) for step in (1, 2, 3)]


def test_without_a_seed_chance_comes_from_the_operating_system() -> None:
    config = TrainConfig(reproducible=False)
    drawn = set()
    for _ in range(3):
        chance = draw_generators(config, owner=OWNER, server_round=1)
        drawn |= {numbers(chance.sampling), numbers(chance.noise)}
    assert len(drawn) == 6


def test_only_a_reproducible_plan_has_chance_that_others_can_draw_again() -> None:
    for reproducible in (False, True):
        config = TrainConfig(reproducible=reproducible)
        chance = draw_generators(config, owner=OWNER, server_round=1)
        assert chance.sampling.is_secret is chance.noise.is_secret is not reproducible
        assert not chance.sampling.is_same_stream(chance.noise)


def test_with_a_seed_each_owner_round_and_use_has_its_own_stream() -> None:
    drawn = {}
    for seed in (0, 1):
        for owner in ("owner-0", "owner-1"):
            for server_round in (1, 2):
                chance = draw_generators(
                    TrainConfig(reproducible=True, seed=seed),
                    owner=OwnerId(owner),
                    server_round=server_round,
                )
                key = (seed, owner, server_round)
                drawn[(*key, "sampling")] = numbers(chance.sampling)
                drawn[(*key, "noise")] = numbers(chance.noise)
    assert len(set(drawn.values())) == len(drawn) == 16
    again = draw_generators(TrainConfig(reproducible=True), owner=OWNER, server_round=1)
    assert numbers(again.noise) == drawn[(0, "owner-0", 1, "noise")]


def test_plan_of_the_tests_stays_within_its_target() -> None:
    assert plan_of(tiny_config()).epsilon <= 8.0


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), 0.0, -1.0])
@pytest.mark.parametrize("name", ["max_epsilon", "max_delta"])
def test_a_limit_that_limits_nothing_is_refused(name: str, limit: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=name):
        OwnerSite(owner=OwnerId("clinic"), ledger=tmp_path / "l.jsonl", **{name: limit})


def test_a_server_names_no_folder_that_the_owner_did_not_accept(tmp_path: Path) -> None:
    site = OwnerSite(owner=OwnerId("clinic"), ledger=tmp_path / "l.jsonl", data=tmp_path / "d")
    asked = tiny_config(base="/srv/models/llava", reproducible=False)
    with pytest.raises(PolicyError, match="may not name folders") as caught:
        site.check(asked)
    assert "/srv" not in str(caught.value)
    replace(site, base="/srv/models/llava").check(asked)
