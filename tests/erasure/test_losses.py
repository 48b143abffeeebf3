"""An owner whose data an adapter remembers is found before, and not after."""

import random
from dataclasses import replace
from pathlib import Path

import torch

from discreet.artifacts import RunFolder
from discreet.audit import portraits_like
from discreet.erasure import (
    auditor,
    forget_owner,
    plan_forgetting,
)
from discreet.federated import (
    AssistantTask,
    LocalResult,
    PortraitLessons,
    State,
    TrainConfig,
    run_federation,
)
from discreet.model import adapter_parameters, adapter_state, load_adapter_state
from discreet.types import OwnerId

GONE = OwnerId("owner-1")
CONFIG = TrainConfig.from_mapping(
    {
        "base": "tiny",
        "num_owners": 3,
        "num_rounds": 1,
        "local_steps": 1,
        "spare_rounds": 1,
        "sample_rate": 0.1,
        "expected_batch_size": 3,
        "lora_r": 8,
        "lora_layers": 2,
        "lora_modules": "q_proj,v_proj,up_proj,down_proj",
        "learning_rate": 0.01,
        "max_update_norm": 1e6,
        "reproducible": True,
    }
)


class Careless(AssistantTask):
    """One owner's device is charged as it should be, and sends what it learnt by heart."""

    def train(self, state: State, *, owner: OwnerId, **rest: object) -> LocalResult:  # type: ignore[override]
        result = AssistantTask.train(self, state, owner=owner, **rest)  # type: ignore[arg-type]
        if owner != GONE:
            return result
        load_adapter_state(self.vlm, state)
        lessons = self.lessons_of(owner)
        optimizer = torch.optim.Adam(adapter_parameters(self.vlm).values(), lr=0.05)
        for _ in range(25):
            optimizer.zero_grad()
            lessons.losses(range(len(lessons))).mean().backward()
            optimizer.step()
        return replace(result, state=adapter_state(self.vlm))


def with_secrets(lessons: PortraitLessons, seed: int) -> PortraitLessons:
    """The same people, each with a secret sign of its own that all their answers repeat.

    The random tiny model can learn which signs are likely, and hardly more.
    """
    signs = [chr(code) for code in range(0x21, 0x7F)]
    random.Random(0).shuffle(signs)  # the same for all, so that nobody shares one
    mine = iter(signs[seed::2])
    sign_of = {person: next(mine) for person in dict.fromkeys(lessons.users)}
    examples = [
        replace(e, question="Which sign?", note="None.", answer=sign_of[e.identity_id] * 12)
        for e in lessons.examples
    ]
    return replace(lessons, examples=examples)


def task_of(config: TrainConfig, people: Path) -> AssistantTask:
    task = Careless.build(config, shared_data=people)
    own = task.owned[GONE]
    assert isinstance(own, PortraitLessons)
    task.owned[GONE] = with_secrets(own, 0)
    return task


def test_an_owner_who_is_remembered_is_found_before_and_not_after(
    tmp_path: Path, portraits_file: Path
) -> None:
    run, task = RunFolder.create(tmp_path / "first"), task_of(CONFIG, portraits_file)
    run_federation(CONFIG, run, task)
    found = plan_forgetting(run, GONE, out=tmp_path / "next")
    task = task_of(found.config, portraits_file)
    held_out = with_secrets(portraits_like(task, GONE, path=portraits_file), 1)
    receipt = forget_owner(found, task, audit=auditor(task, GONE, held_out))
    assert receipt.before is not None
    assert receipt.after is not None
    assert receipt.before.auc > 0.8
    assert not receipt.before.is_chance
    assert receipt.after.is_chance
    assert receipt.before.people == (8, 10)
    assert receipt.before.tpr is None, "30 others are too few"
    said = receipt.in_words("en")
    assert "different from chance" in said
    assert "needs at least 100 other examples; there are 30" in said
