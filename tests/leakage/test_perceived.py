"""What a perceiver and answers hand on is what is probed, and what is planted there is found."""

import numpy as np
import pytest
import torch

from discreet.data import load_portraits
from discreet.leakage import (
    Representation,
    Truth,
    answer_representation,
    measure_leakage,
    observation_features,
    probability_representation,
    said_representation,
)
from discreet.leakage.perceived import text_form
from discreet.model import picture_views
from discreet.perception import CLASSES, HEADS, Perceiver
from discreet.types import FaceCount, FacePresence, Observation, Percept, Split

VALUES = sum(map(len, CLASSES.values()))


def percept(*observations: Observation) -> Percept:
    return Percept(
        present=FacePresence(value=True, confidence=0.9),
        faces=FaceCount(value="one", confidence=0.9),
        observations=observations,
    )


def age(value: str, confidence: float | None) -> Observation:
    return Observation(attribute="age_band", value=value, source="estimated", confidence=confidence)


def test_probabilities_are_those_of_which_the_perceiver_says_the_likeliest() -> None:
    perceiver = Perceiver.load()
    pictures = [portrait.image for portrait in load_portraits("test")[:6]]
    views = picture_views(perceiver.tower, perceiver.processor, pictures).numpy()
    shown = probability_representation(Representation(features=lambda split: views), perceiver)
    x = shown.features("test")
    assert x.shape == (6, sum(map(len, HEADS.values())))
    assert x.sum(1) == pytest.approx(np.full(6, len(HEADS)), abs=1e-5)
    said = 0
    for row, picture in zip(x, pictures, strict=True):
        for one in perceiver.perceive(picture).observations:
            values = CLASSES["age_band"] if one.attribute == "age_band" else CLASSES["expression"]
            start = 0 if one.attribute == "age_band" else len(CLASSES["age_band"])
            own = row[start : start + len(values)]
            assert values[int(own.argmax())] == one.value
            assert own.max() == pytest.approx(one.confidence, abs=1e-4)
            said += 1
    assert said > 0
    assert list(HEADS)[:2] == ["age_band", "expression"]
    assert not torch.is_tensor(x)


def test_what_is_said_is_a_confidence_and_what_is_not_said_is_none() -> None:
    x = observation_features([[age("child", 0.7)], [], [age("child", None)]])
    assert x.shape == (3, VALUES)
    assert x.sum(1).tolist() == [0.7, 0, 1]
    assert np.count_nonzero(x[:, 0]) == 2


def test_what_nobody_here_says_gets_a_column() -> None:
    other = Observation(attribute="hair", value="red", source="estimated", confidence=0.5)
    assert observation_features([[other], [age("child", 0.7)]]).shape == (2, VALUES + 1)


def test_only_what_passes_is_seen() -> None:
    percepts: dict[Split, list[Percept]] = {"test": [percept(age("child", 0.7))]}
    assert said_representation(percepts).features("test").sum() == 0.7
    kept = said_representation(percepts, passes=lambda one: ())
    assert kept.features("test").sum() == 0


def answered(kind: str, people: int, seed: int) -> tuple[list[str], Truth]:
    """Return two answers to each person, in which a word, the length or nothing tells a label."""
    draw = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), 2)
    label = np.where(np.arange(people) % 2 == 0, "light", "dark")[who]
    words = np.array(["drink", "water", "rest", "call", "sleep", "walk"])
    texts = []
    for value in label:
        own = draw.choice(words, size=8).tolist()
        if kind == "word" and value == "dark":
            own[3] = "sunscreen"
        if kind == "length" and value == "dark":
            own += draw.choice(words, size=8).tolist()
        texts.append(" ".join(own) + ".")
    return texts, Truth(labels={"skin_tone": label}, people=who)


@pytest.mark.parametrize(("kind", "is_found"), [("word", True), ("length", True), ("none", False)])
def test_words_and_lengths_of_answers_tell_what_they_tell(kind: str, is_found: bool) -> None:
    """Of unseen people: three probes in noise, each above by chance 1 time in 30."""
    train, test = answered(kind, 60, 0), answered(kind, 60, 1)
    shown = answer_representation({"train": train[0], "test": test[0]})
    found = measure_leakage(
        {"answers": shown}, {"train": train[1], "test": test[1]}, labels=("skin_tone",)
    )
    best = next(one for one in found if one.people == "unseen").best
    assert (best.advantage_low > 0) == is_found
    assert best.advantage == pytest.approx(best.accuracy - best.chance)
    if is_found:
        assert best.advantage > 0.4


def test_words_are_those_of_train_people() -> None:
    shown = answer_representation({"train": ["a b", "a c"], "test": ["z z z z"]})
    assert shown.features("test").tolist() == [[0, 0, 0, 0, 0, 4, 1, 4]]
    with pytest.raises(ValueError, match="Expected words"):
        answer_representation({"train": ["", "..."], "test": ["a"]})


def test_the_form_of_a_text_by_hand() -> None:
    assert text_form("Drink water. It helps.") == (4, 17 / 4, 2)
    assert text_form("") == (0, 0, 0)
