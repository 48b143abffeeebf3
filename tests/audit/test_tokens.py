"""Scores of tokens are those of the logits of one example, and tell what was learnt by heart."""

import numpy as np
import pytest
import torch

from discreet.audit import Subject
from discreet.audit.pools import Part, some_people
from discreet.audit.tokens import token_scores
from discreet.data import Example
from discreet.federated import State, presentations
from discreet.model import (
    adapter_state,
    answer_log_probs,
    answer_logits,
    collate,
    load_adapter_state,
)


def test_scores_are_those_of_each_example_alone(private: Subject) -> None:
    lessons = private.members(private.owners[0])
    part = Part(Part(lessons, [5, 3, 1]), [2, 0])  # examples 1 and 5
    found = token_scores(private, part, private.state)
    assert len(found) == 6
    load_adapter_state(private.task.vlm, private.state)
    for place, example in enumerate(lessons.examples[i] for i in (1, 5)):  # type: ignore[attr-defined]
        batch = collate(private.task.vlm, [presentations(example)[0]])
        with torch.no_grad():
            logits, labels = answer_logits(private.task.vlm, batch, None)
            whole = float(answer_log_probs(private.task.vlm, batch, None)[0])
        chances = logits[0].double().log_softmax(-1)
        own = chances[range(labels.shape[1]), labels[0]].numpy()
        assert own.sum() == pytest.approx(whole, rel=1e-4)
        least = np.sort(own)[: max(1, round(0.2 * len(own)))].mean()
        assert found["Min-K %, text"][place] == pytest.approx(least, rel=1e-4)
        half = torch.logsumexp(0.5 * chances, 1) / 0.5
        widest = half.sort(descending=True).values[: max(1, round(0.1 * len(own)))].mean()
        assert found["MaxRenyi-K %, text"][place] == pytest.approx(-float(widest), rel=1e-3)


def test_examples_that_were_learnt_by_heart_are_surer(private: Subject) -> None:
    lessons = private.members(private.owners[0])
    learnt, others = Part(lessons, range(8)), Part(lessons, range(8, len(lessons)))
    state = learnt_by_heart(private, lessons.examples[:8])  # type: ignore[attr-defined]
    first, second = (token_scores(private, one, state) for one in (learnt, others))
    for attack in ("Min-K %, text", "Min-K %++, text", "Min-K %, image and text"):
        wins = (first[attack][:, None] > second[attack][None]).mean()
        assert wins > 0.8, attack


def learnt_by_heart(subject: Subject, examples: list[Example], steps: int = 60) -> State:
    """Return the adapter after so many steps of Adam on all of a few examples at once."""
    vlm = subject.task.vlm
    load_adapter_state(vlm, subject.first)
    batch = collate(vlm, [presentations(example)[0] for example in examples])
    optimizer = torch.optim.Adam([p for p in vlm.model.parameters() if p.requires_grad], lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        (-answer_log_probs(vlm, batch, None).mean()).backward()
        optimizer.step()
    return adapter_state(vlm)


def test_the_picture_decides_where_it_is_seen(private: Subject) -> None:
    part = some_people(private.members(private.owners[0]), 4, seed=0)
    found = token_scores(private, part, private.state)
    assert not np.allclose(found["Min-K %, text"], found["Min-K %, image and text"])
