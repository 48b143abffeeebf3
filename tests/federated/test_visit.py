"""One owner in one round: what is sent of what was learnt, and what is kept for later."""

from pathlib import Path

import pytest
import torch

from discreet.federated import LocalResult, State, TrainConfig, Watch, messages
from discreet.federated.messages import Request
from discreet.federated.site import OwnerSite
from discreet.federated.terms import CONTROL, LEFT, Terms, with_prefix
from discreet.federated.visit import Visit
from discreet.privacy import PrivacyLedger
from discreet.types import OwnerId
from federated.tiny import FROZEN, TinyTask, tiny_config

A, B = "q.lora_A.default.weight", "q.lora_B.default.weight"
SHAPES = {A: (8, 3), B: (5, 8)}


def random(seed: int) -> State:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def visit_of(
    folder: Path,
    config: TrainConfig,
    *,
    state: State | None = None,
    before: State | None = None,
    server_round: int = 1,
    turn: int = 0,
) -> Visit:
    state = state or random(0)
    adapter = {name: value for name, value in state.items() if not name.startswith(CONTROL)}
    ledger = folder / "ledger.jsonl"
    return Visit(
        terms=Terms.of(config, adapter),
        request=Request(server_round=server_round, frozen_hash=FROZEN, run="r", state=state),
        site=OwnerSite(owner=OwnerId("owner-0"), ledger=ledger, turn=turn),
        ledger=PrivacyLedger.open(ledger),
        before=before or {},
    )


def sent_by(visit: Visit, trained: State) -> tuple[State, State]:
    arrays, kept = visit.arrays_of(LocalResult(statement=None, steps=3, state=trained))
    shapes = visit.terms.shapes_up(visit.request.server_round)
    return messages.read_update(arrays, shapes, visit.terms.up), kept


@pytest.mark.parametrize(("server_round", "learnt"), [(1, B), (2, A)])
def test_an_update_is_the_difference_of_what_learns(
    tmp_path: Path, server_round: int, learnt: str
) -> None:
    config = tiny_config(aggregation="rolora")
    update, kept = sent_by(visit_of(tmp_path, config, server_round=server_round), random(1))
    assert set(update) == {learnt}
    assert torch.equal(update[learnt], random(1)[learnt] - random(0)[learnt])
    assert kept == {}


def test_an_owner_sends_its_own_rank(tmp_path: Path) -> None:
    config = tiny_config(aggregation="flora", lora_ranks="8,2")
    update, _ = sent_by(visit_of(tmp_path, config, turn=1), random(1))
    assert messages.shapes_of(update) == {A: (2, 3), B: (5, 2)}
    assert torch.equal(update[B], (random(1)[B] - random(0)[B])[:, :2])


def test_what_topk_leaves_out_is_kept_and_added_to_the_next_update(tmp_path: Path) -> None:
    config = tiny_config(aggregation="fedit", wire="topk", topk_share=0.25)
    whole = {name: random(1)[name] - random(0)[name] for name in SHAPES}
    first, kept = sent_by(visit_of(tmp_path, config), random(1))
    assert {name: int((value != 0).sum()) for name, value in first.items()} == {A: 6, B: 10}
    for name in SHAPES:
        assert torch.allclose(first[name] + kept[LEFT + name], whole[name])
    second, left = sent_by(visit_of(tmp_path, config, before=kept), random(0))
    for name in SHAPES:
        assert torch.allclose(first[name] + second[name] + left[LEFT + name], whole[name])


def test_an_owners_control_moves_by_the_update_that_was_sent(tmp_path: Path) -> None:
    """Karimireddy et al. 2020, option II; with a lossy form the server reads the same."""
    config = tiny_config(aggregation="fedit", local_rule="scaffold", wire="bfloat16")
    common, own = random(2), random(3)
    visit = visit_of(
        tmp_path,
        config,
        state=random(0) | with_prefix(CONTROL, common),
        before=with_prefix(CONTROL, own),
    )
    update, kept = sent_by(visit, random(1))
    for name in SHAPES:
        expected = own[name] - common[name] - update[name] / (3 * config.learning_rate)
        assert torch.allclose(kept[CONTROL + name], expected, atol=1e-5)


def test_a_task_is_told_the_difference_of_the_controls(tmp_path: Path) -> None:
    config = tiny_config(local_rule="scaffold")
    seen: list[State | None] = []

    class Noting(TinyTask):
        def train(self, state: State, **given: object) -> LocalResult:
            seen.append(given["assignment"].correction)
            return super().train(state, **given)

    task = Noting(config)
    start = task.initial_state()
    common = {name: torch.full_like(value, 0.5) for name, value in start.items()}
    own = {name: torch.full_like(value, 0.2) for name, value in start.items()}
    visit = visit_of(
        tmp_path,
        config,
        state=start | with_prefix(CONTROL, common),
        before=with_prefix(CONTROL, own),
    )
    visit.train(task, Watch())
    assert seen[0] is not None
    assert seen[0].keys() == start.keys()
    assert all(torch.allclose(v, torch.full_like(v, 0.3)) for v in seen[0].values())


def test_a_task_that_returns_something_else_is_refused(tmp_path: Path) -> None:
    config = tiny_config()

    class Leaky(TinyTask):
        def train(self, state: State, **given: object) -> LocalResult:
            return LocalResult(statement=None, steps=3, state={**state, "inputs": torch.ones(2)})

    task = Leaky(config)
    visit = visit_of(tmp_path, config, state=task.initial_state())
    with pytest.raises(ValueError, match="the adapter and nothing else"):
        visit.train(task, Watch())


def test_noise_of_an_owner_is_charged_before_it_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(
        aggregation="fedit",
        unit="owner",
        sampled="owner",
        max_update_norm=1.0,
        secure_aggregation=True,
        num_owners=3,
        min_replies=2,
    )
    visit = visit_of(tmp_path, config)
    result = LocalResult(statement=None, steps=3, state=random(1))

    def fail(*_: object) -> None:
        raise OSError("no entropy")

    words, stated = visit.words_of(result)
    assert words.shape == (8 * 3 + 5 * 8,)
    assert stated.statement == visit.ledger.spent(OwnerId("owner-0"))
    monkeypatch.setattr("discreet.privacy.discrete.discrete_gaussian", fail)
    with pytest.raises(OSError, match="no entropy"):
        visit.words_of(result)
    entries = visit.ledger.entries(OwnerId("owner-0"))
    assert [entry.steps_counted for entry in entries] == [1, 1]
