"""Private training on conversations: losses, gradients, what is charged, what nobody is told."""

import logging
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from discreet.model import pixel_values
from discreet.privacy import check_exactness
from discreet.sources import read_shares
from federated.chats import NAMES, OWNER, index, lessons_of, scatter, task_of, train


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return index(tmp_path)


def test_a_loss_is_that_of_transformers_on_the_whole_conversation(shared: Path) -> None:
    """Ids of the template, pixels of the files, labels by hand: all answers and their ends."""
    task = task_of(shared)
    scatter(task.vlm)
    vlm, lessons = task.vlm, lessons_of(task)
    wanted = []
    for owner, record in read_shares(shared):
        if owner != OWNER:
            continue
        roles = [{"role": turn.role, "content": turn.text} for turn in record.turns]
        text = vlm.tokenizer.apply_chat_template(roles, tokenize=False)
        text = text.replace("<image>", "<image>" * vlm.image_tokens)
        ids, labels = [], []
        for n, part in enumerate(text.split("<|im_start|>assistant\n")):
            answer, end, rest = part.partition("<|im_end|>") if n else ("", "", part)
            before = ("<|im_start|>assistant\n" if n else "", answer + end, rest)
            for is_learnt, piece in enumerate(before):
                new = vlm.tokenizer(piece, add_special_tokens=False)["input_ids"]
                ids += new
                labels += new if is_learnt == 1 else [-100] * len(new)
        pictures = [medium.image() for medium in record.media]
        with torch.no_grad():
            output = vlm.model(
                input_ids=torch.tensor([ids]),
                pixel_values=pixel_values(vlm, pictures) if pictures else None,
                labels=torch.tensor([labels]),
            )
        wanted.append(float(output.loss))
    found = lessons.losses(range(len(lessons))).tolist()
    assert len({len(example.pictures) for example in lessons.examples}) == 3, "0, 1 and 2 pictures"
    assert sorted(found) == pytest.approx(sorted(wanted), abs=2e-3), "float16 of visual tokens"


@pytest.mark.parametrize("activations_mib", [0, 64])
def test_gradients_of_conversations_are_exact(shared: Path, activations_mib: int) -> None:
    """With no, one and two pictures, alone and beside others."""
    task = task_of(
        shared, num_owners=2, activations_mib=activations_mib, lora_modules="q_proj,v_proj"
    )
    scatter(task.vlm)
    lessons = lessons_of(task)
    everybody = list(range(len(lessons)))
    batches = [everybody, everybody[::2], everybody[:1], everybody[::-1][:3]]
    report = check_exactness(task.vlm.model, lessons.losses, batches)
    assert report.is_exact, report.problems
    assert report.num_examples == len(lessons)


def test_a_loss_over_tokens_of_the_batch_would_be_found_out(shared: Path) -> None:
    task = task_of(shared)
    scatter(task.vlm)
    lessons = lessons_of(task)

    def coupled(indices: Any) -> torch.Tensor:
        return lessons.losses(indices) * len(indices)

    assert not check_exactness(task.vlm.model, coupled, [[0, 1, 2], [3, 4]]).is_exact


def test_rows_of_the_file_may_change_their_places(shared: Path, tmp_path: Path) -> None:
    """The adapter that is learnt is the same, with the same coins and noise."""
    turned = tmp_path / "turned.parquet"
    pq.write_table(pq.read_table(shared).take(list(range(11, -1, -1))), turned)
    states = [train(task_of(path), tmp_path / path.stem)[0].state for path in (shared, turned)]
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-4, atol=1e-6)


def test_the_ledger_is_charged_as_planned(shared: Path, tmp_path: Path) -> None:
    task = task_of(shared)
    result, records, ledger = train(task, tmp_path / "run")
    (entry,) = ledger.entries(OWNER)
    assert entry.steps_counted == 2
    assert entry.is_settled
    assert result.statement == ledger.spent(OWNER)
    assert ledger.spent(OWNER).epsilon == pytest.approx(task.plan.epsilon, rel=0.02)
    assert sum(record.batch_size for record in records) > 0
    before = task.initial_state()
    assert any(not torch.equal(before[name], value) for name, value in result.state.items())


@pytest.mark.parametrize(
    "changes",
    [
        {"engine": "grouped"},
        {"engine": "opacus"},
        {"unit": "user", "examples_per_user": 2},
        {"unit": "user", "examples_per_user": 2, "sampled": "user"},
        {"activations_mib": 16},
    ],
    ids=str,
)
def test_every_way_of_a_plan_trains_on_conversations(
    changes: dict[str, object], shared: Path, tmp_path: Path
) -> None:
    task = task_of(shared, **changes)
    result, _, ledger = train(task, tmp_path / "run")
    assert all(bool(value.isfinite().all()) for value in result.state.values())
    assert ledger.spent(OWNER).unit == changes.get("unit", "example")


def test_nothing_of_a_conversation_is_in_what_can_be_printed(
    shared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="discreet"):
        task = task_of(shared)
        result, _, _ = train(task, tmp_path / "run")
    lessons = lessons_of(task)
    shown = [repr(x) for x in (task, lessons, lessons.examples[0], lessons.visual, result)]
    shown += [repr(lessons.visual.pictures[0]), caplog.text]
    assert "0 of 12 records are left out: none" in caplog.text
    for text in shown:
        assert not any(name in text for name in NAMES), text
