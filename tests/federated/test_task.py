"""What an owner trains on under each unit of privacy, on the tiny model and real examples."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from discreet.aggregation import RULES
from discreet.federated import AssistantTask, LocalResult, TrainConfig, plan_of
from discreet.privacy import PrivacyLedger, StepRecord
from discreet.types import OwnerId
from federated.tiny import assignment_of

OWNER = OwnerId("owner-0")
BASE = {
    "base": "tiny",
    "num_owners": 8,
    "num_rounds": 1,
    "local_steps": 2,
    "expected_batch_size": 5,
    "sample_rate": 0.02,
    "lora_r": 2,
    "lora_layers": 1,
    "learning_rate": 1.0,
    "reproducible": True,
}
USERS = {"unit": "user", "examples_per_user": 3}


def task_of(**changes: object) -> AssistantTask:
    return AssistantTask.build(TrainConfig.from_mapping({**BASE, **changes}))


def train(
    task: AssistantTask, folder: Path, *, server_round: int = 1, rank: int | None = None
) -> tuple[LocalResult, list[StepRecord], PrivacyLedger]:
    ledger = PrivacyLedger.open(folder / "ledger.jsonl")
    records: list[StepRecord] = []
    state = task.initial_state()
    result = task.train(
        state,
        owner=OWNER,
        assignment=assignment_of(task.config, state, server_round, rank),
        ledger=ledger,
        on_step=records.append,
    )
    return result, records, ledger


def test_where_examples_are_drawn_nobody_has_more_than_planned() -> None:
    everything, bounded = task_of(), task_of(**USERS)
    most = Counter(everything.lessons_of(OWNER).users)
    kept = Counter(bounded.lessons_of(OWNER).users)
    assert max(most.values()) == 7
    assert {person: min(3, count) for person, count in most.items()} == dict(kept)


def test_what_is_kept_of_a_person_depends_on_nobody_else() -> None:
    """With fewer owners an owner holds more people; those of before keep the same examples."""
    few, many = task_of(**USERS, num_owners=8), task_of(**USERS, num_owners=4)

    def portraits_by_person(task: AssistantTask) -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        for owner in task.owned:
            for example in task.lessons_of(owner).examples:
                found.setdefault(example.identity_id, set()).add(example.portrait)
        return found

    assert portraits_by_person(few) == portraits_by_person(many)


@pytest.mark.parametrize("sampled", ["example", "user"])
def test_a_plan_for_users_trains_and_says_so(sampled: str, tmp_path: Path) -> None:
    task = task_of(**USERS, sampled=sampled)
    result, records, ledger = train(task, tmp_path)
    statement = ledger.spent(OWNER)
    assert result.statement == statement
    assert statement.unit == "user"
    assert "unit: user" in str(statement)
    assert 0 < statement.epsilon <= 8
    assert sum(record.batch_size for record in records) > 0


def test_hiding_users_takes_more_noise_than_hiding_examples() -> None:
    example = plan_of(TrainConfig.from_mapping(BASE)).noise_multiplier
    els = plan_of(TrainConfig.from_mapping({**BASE, **USERS})).noise_multiplier
    assert els > 1.5 * example


def test_all_of_a_person_is_one_voice_where_users_are_drawn(tmp_path: Path) -> None:
    """Batches count persons: there are a seventh as many as examples."""
    task = task_of(**USERS, sampled="user", sample_rate=1.0, local_steps=1, num_owners=32)
    _, records, _ = train(task, tmp_path)
    assert records[0].batch_size == len(set(task.lessons_of(OWNER).users))


@pytest.mark.parametrize(
    "changes",
    [
        {"sampler": "cyclic", "bands": 2},
        {"sampler": "bins", "sample_rate": 0.5},
        {"clip_quantile": 0.5, "clip_count_noise": 20.0},
        {"optimizer": "adam", "learning_rate": 1e-3},
        {"loss_noise": 20.0},
        {"engine": "grouped"},
        {"engine": "opacus"},
    ],
    ids=lambda changes: next(iter(changes.values())),
)
def test_every_mechanism_of_a_plan_trains_the_assistant(
    changes: dict[str, object], tmp_path: Path
) -> None:
    few = {"num_owners": 32, "sample_rate": 0.1}
    task = task_of(**{**few, **changes}, lora_modules="q_proj,v_proj")
    before = task.initial_state()
    result, _, ledger = train(task, tmp_path)
    after = result.state
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert all(bool(value.isfinite().all()) for value in after.values())
    assert 0 < ledger.spent(OWNER).epsilon <= 8


def test_kept_activations_change_the_time_and_not_the_adapter(tmp_path: Path) -> None:
    """Every example is drawn in both steps; in the second nothing is computed below layer 1."""
    steps = {"sample_rate": 1.0, "num_owners": 200, "lora_modules": "q_proj,v_proj"}
    plain, cached = task_of(**steps), task_of(**steps, activations_mib=64)
    prefix = cached.lessons_of(OWNER).prefix
    assert prefix is not None
    results = []
    for name, task in (("plain", plain), ("cached", cached)):
        (tmp_path / name).mkdir()
        results.append(train(task, tmp_path / name)[0].state)
    assert prefix.size_bytes > 0
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, rtol=1e-3, atol=1e-4)


def test_words_that_no_plan_knows_are_refused_by_name() -> None:
    for name in ("unit", "sampled", "sampler", "optimizer", "engine"):
        with pytest.raises(ValueError, match=f"{name} to be one of .*got {name}='magic'"):
            TrainConfig.from_mapping({name: "magic"})
    with pytest.raises(ValueError, match="examples_per_user >= 1"):
        TrainConfig(examples_per_user=0)


@pytest.mark.parametrize("server_round", [1, 2])
@pytest.mark.parametrize("rule", RULES)
def test_what_a_rule_lets_learn_moves_and_nothing_else(
    rule: str, server_round: int, tmp_path: Path
) -> None:
    task = task_of(aggregation=rule, sample_rate=0.1, local_steps=1)
    before = task.initial_state()
    result, _, _ = train(task, tmp_path, server_round=server_round)
    learns = {name for name in before if RULES[rule].learns(name, server_round)}
    assert learns
    moved = {name for name in before if not torch.equal(before[name], result.state[name])}
    # What multiplies a B of zeros has no gradient; its noise moves it.
    assert moved == learns
    assert task.initial_state().keys() == result.state.keys() == before.keys()


def test_an_owner_of_a_lower_rank_moves_the_first_part_only(tmp_path: Path) -> None:
    task = task_of(aggregation="flexlora", lora_r=4, lora_ranks="2,4", sample_rate=0.1)
    before = task.initial_state()
    result, _, _ = train(task, tmp_path, rank=2)
    for name, value in result.state.items():
        kept, beyond = (value[:2], value[2:]) if "lora_A" in name else (value[:, :2], value[:, 2:])
        first = before[name][:2] if "lora_A" in name else before[name][:, :2]
        assert not torch.equal(kept, first)
        assert not beyond.any()


def test_where_owners_are_hidden_steps_have_no_noise_and_cost_nothing(tmp_path: Path) -> None:
    hidden = {"unit": "owner", "sampled": "owner", "max_update_norm": 1.0}
    task = task_of(**hidden, sample_rate=0.1)
    before = task.initial_state()
    result, records, ledger = train(task, tmp_path)
    assert result.statement is None
    assert ledger.owners() == ()
    assert len(records) == 2
    assert any(not torch.equal(before[name], result.state[name]) for name in before)
