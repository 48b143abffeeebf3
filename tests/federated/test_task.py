"""What an owner trains on under each unit of privacy, on the tiny model and real examples."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from discreet.federated import AssistantTask, TrainConfig, plan_of
from discreet.privacy import PrivacyLedger, StepRecord
from discreet.types import OwnerId

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


def train(task: AssistantTask, folder: Path) -> tuple[object, list[StepRecord], PrivacyLedger]:
    ledger = PrivacyLedger.open(folder / "ledger.jsonl")
    records: list[StepRecord] = []
    result = task.train(
        task.initial_state(), owner=OWNER, server_round=1, ledger=ledger, on_step=records.append
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
    assert result.statement == statement  # type: ignore[attr-defined]
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
    task = task_of(**USERS, sampled="user", sample_rate=1.0, local_steps=1)
    _, records, _ = train(task, tmp_path)
    assert records[0].batch_size == len(set(task.lessons_of(OWNER).users))


@pytest.mark.parametrize(
    "changes",
    [
        {"sampler": "cyclic", "bands": 2},
        {"sampler": "bins", "sample_rate": 0.5},
        {"clip_quantile": 0.5, "clip_count_noise": 20.0},
        {"optimizer": "adam", "learning_rate": 1e-3},
        {"engine": "grouped"},
        {"engine": "opacus"},
    ],
    ids=lambda changes: next(iter(changes.values())),
)
def test_every_mechanism_of_a_plan_trains_the_assistant(
    changes: dict[str, object], tmp_path: Path
) -> None:
    task = task_of(**{"sample_rate": 0.1, **changes}, lora_modules="q_proj,v_proj")
    before = task.initial_state()
    result, _, ledger = train(task, tmp_path)
    after = result.state  # type: ignore[attr-defined]
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
        results.append(train(task, tmp_path / name)[0].state)  # type: ignore[attr-defined]
    assert prefix.size_bytes > 0
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, rtol=1e-3, atol=1e-4)


def test_words_that_no_plan_knows_are_refused_by_name() -> None:
    for name in ("unit", "sampled", "sampler", "optimizer", "engine"):
        with pytest.raises(ValueError, match=f"{name} to be one of .*got {name}='magic'"):
            TrainConfig.from_mapping({name: "magic"})
    with pytest.raises(ValueError, match="examples_per_user >= 1"):
        TrainConfig(examples_per_user=0)
