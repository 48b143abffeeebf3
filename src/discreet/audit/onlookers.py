"""What onlookers of a run see of portraits, from the most to the least.

Onlookers are the places between a picture and an answer: the views that the perceiver's heads read
(and that `discreet recipe` caches on disk), the visual tokens that the base under the trained
adapter gets, the heads' probabilities, what the perceiver says aloud, and the words of answers.
The people are the packaged ones: nobody else's labels are known, and the run's owners are not
looked at.

    people = portraits_of(some_portraits=140)
    shown = seen_by_onlookers(subject, people)
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from discreet.audit.subject import Subject
from discreet.data import Portrait, load_portraits
from discreet.leakage import (
    Representation,
    answer_representation,
    portrait_representations,
    probability_representation,
    said_representation,
)
from discreet.model import (
    IMAGE_TOKEN,
    Request,
    answer_all,
    build_prompt,
    encode_images,
    load_adapter_state,
    person_line,
)
from discreet.perception import Perceiver
from discreet.types import Percept, Split

People = Mapping[Split, Sequence[Portrait]]
OnDone = Callable[[str], None]
VIEWS = "the tower's views"
TOKENS = "all visual tokens"
PROBABILITIES = "the perceiver's probabilities"
SAID = "what the perceiver says"
ANSWERS_SEEING = "answers, the picture given"
ANSWERS_TOLD = "answers, what the perceiver says given"
LESS_SURE = "Nothing found is no proof: others may know better probes or more people."
QUESTIONS = (
    ("What can I do to sleep better?", "Go to bed at the same hour. Keep the room dark and cool."),
    ("How do I wash my hands?", "Use soap. Rub for twenty seconds. Rinse and dry."),
    ("What is a good breakfast?", "Bread, fruit and water are enough. Sweets make tired later."),
)
"""Neutral questions, each with a note: nobody's profile is declared."""
_SPLITS: tuple[Split, ...] = ("train", "test")
_AT_ONCE = 8


def portraits_of(some_portraits: int, *, seed: int = 0) -> dict[Split, list[Portrait]]:
    """Return about so many packaged portraits of `train` and of `test`: whole people, file order.

    Args:
        some_portraits: Of each split; all of them if there are fewer.
        seed: Of who is drawn.
    """
    return {split: _whole_people(load_portraits(split), some_portraits, seed) for split in _SPLITS}


def seen_by_onlookers(
    subject: Subject, people: People, *, on_done: OnDone = lambda doing: None
) -> dict[str, Representation]:
    """Return what is seen of portraits before anything is answered, from most to least.

    Args:
        subject: Whose base, under the trained adapter, gets visual tokens.
        people: Portraits of `train` and `test`.
        on_done: Told what is being done.
    """
    load_adapter_state(subject.task.vlm, subject.state)
    total, looked = sum(map(len, people.values())), 0

    def tell(count: int) -> None:
        nonlocal looked
        looked += count
        on_done(f"looking at portraits, {looked} of {total}")

    shown = portrait_representations(people, subject.task.vlm, on_done=tell)
    perceiver = Perceiver.load()
    said = percepts_of(shown[VIEWS], perceiver)
    return {
        VIEWS: shown[VIEWS],
        TOKENS: shown[TOKENS],
        PROBABILITIES: probability_representation(shown[VIEWS], perceiver),
        SAID: said_representation(said),
    }


def percepts_of(views: Representation, perceiver: Perceiver) -> dict[Split, list[Percept]]:
    """Return what a perceiver says of each picture, by its views."""
    found = {}
    for split in _SPLITS:
        rows = torch.from_numpy(np.ascontiguousarray(views.features(split), dtype=np.float32))
        found[split] = [perceiver.perceive_views(row[None]) for row in rows]
    return found


def answers_by_onlookers(
    subject: Subject,
    people: People,
    *,
    questions: int,
    max_new_tokens: int,
    on_done: OnDone = lambda doing: None,
) -> dict[str, Representation]:
    """Return the words of greedy answers alone, once with the picture and once with words given.

    Args:
        subject: Whose adapter answers.
        people: Portraits of `train` and `test`; nothing is declared of them.
        questions: The first so many of `QUESTIONS`; their answers are read together.
        max_new_tokens: Of each answer.
        on_done: Told what is being done.
    """
    load_adapter_state(subject.task.vlm, subject.state)
    perceiver = Perceiver.load()
    seeing: dict[Split, list[str]] = {}
    told: dict[Split, list[str]] = {}
    by_line: dict[str, str] = {}
    for split, own in people.items():
        seeing[split], told[split] = [], []
        for start in range(0, len(own), _AT_ONCE):
            on_done(f"answering about people of split {split}, {start} of {len(own)}")
            images = [portrait.image for portrait in own[start : start + _AT_ONCE]]
            features = encode_images(subject.task.vlm, images)
            seeing[split] += _write(
                subject, [(IMAGE_TOKEN, one[None]) for one in features], questions, max_new_tokens
            )
            lines = [person_line(perceiver.observe(image)) for image in images]
            new = [line for line in dict.fromkeys(lines) if line not in by_line]
            fresh = _write(subject, [(line, None) for line in new], questions, max_new_tokens)
            by_line |= dict(zip(new, fresh, strict=True))
            told[split] += [by_line[line] for line in lines]
    return {
        ANSWERS_SEEING: answer_representation(seeing),
        ANSWERS_TOLD: answer_representation(told),
    }


def _write(
    subject: Subject,
    asked: Sequence[tuple[str, torch.Tensor | None]],
    questions: int,
    max_new_tokens: int,
) -> list[str]:
    """Return for each person the answers to all questions, one after the other."""
    texts = ["" for _ in asked]
    for question, note in QUESTIONS[:questions]:
        requests = [
            Request(
                messages=build_prompt(question, note=note, person=person),
                image_features=features,
                max_new_tokens=max_new_tokens,
            )
            for person, features in asked
        ]
        answers = answer_all(subject.task.vlm, requests)
        texts = [f"{text} {one.text}" for text, one in zip(texts, answers, strict=True)]
    return texts


def _whole_people(portraits: list[Portrait], count: int, seed: int) -> list[Portrait]:
    pictures = Counter(portrait.identity_id for portrait in portraits)
    names = list(pictures)
    kept: set[str] = set()
    missing = count
    for place in np.random.default_rng(seed).permutation(len(names)):
        if missing <= 0:
            break
        kept.add(names[place])
        missing -= pictures[names[place]]
    return [portrait for portrait in portraits if portrait.identity_id in kept]
