"""Membership scores that look at single tokens of answers, from text and from image and text.

A mean loss hides where a model is sure. These look at the least likely tokens of the right answer
(Min-K %, Min-K %++), and at the places where the model is least sure of what comes next, whatever
the answer is (MaxRenyi-K %).
"""

import torch

from discreet.audit.pools import Part
from discreet.audit.subject import Numbers, Subject
from discreet.data import Example
from discreet.federated import Lessons, PortraitLessons, State, presentations
from discreet.membership import least_likely_score, renyi_score, standardized_score
from discreet.model import IGNORED, answer_logits, collate, load_adapter_state

WAYS = ("text", "image and text")
"""Presentations of an example, in the order of `presentations`."""

ALPHA = 0.5
"""Order of the entropy."""


def token_scores(subject: Subject, part: Part, state: State) -> dict[str, Numbers]:
    """Return the scores of each example by attack, (N,); empty: they are no portraits.

    Args:
        subject: The run.
        part: Examples.
        state: The adapter that is asked.
    """
    lessons, places = _unpacked(part)
    if not isinstance(lessons, PortraitLessons):
        return {}
    load_adapter_state(subject.task.vlm, state)
    size = subject.plan.max_physical_batch
    found: dict[str, list[float]] = {}
    for start in range(0, len(places), size):
        examples = [lessons.examples[place] for place in places[start : start + size]]
        for way, name in enumerate(WAYS):
            for logits, labels in _told(lessons, examples, way):
                own = logits.double().log_softmax(-1).cpu().numpy()
                chosen = own[range(len(labels)), labels]
                scores = {
                    "Min-K %": least_likely_score(chosen),
                    "Min-K %++": standardized_score(chosen, own),
                    "MaxRenyi-K %": renyi_score(own, alpha=ALPHA),
                }
                for attack, score in scores.items():
                    found.setdefault(f"{attack}, {name}", []).append(score)
    return {name: torch.tensor(scores).double().numpy() for name, scores in found.items()}


def _told(
    lessons: PortraitLessons, examples: list[Example], way: int
) -> list[tuple[torch.Tensor, list[int]]]:
    """Return logits (T, V) and labels of the answer of each example, in one presentation."""
    batch = collate(lessons.vlm, [presentations(example)[way] for example in examples])
    features = lessons.visual.of([one.portrait for one in examples]) if way else None
    with torch.no_grad():
        logits, labels = answer_logits(lessons.vlm, batch, features)
    told = []
    for own, row in zip(logits, labels, strict=True):
        learnt = row != IGNORED
        told.append((own[learnt], row[learnt].tolist()))
    return told


def _unpacked(part: Part) -> tuple[Lessons, list[int]]:
    """Return the lessons that parts of parts are of, and which of their examples."""
    lessons, places = part.lessons, list(part.indices)
    while isinstance(lessons, Part):
        places = [lessons.indices[place] for place in places]
        lessons = lessons.lessons
    return lessons, places
