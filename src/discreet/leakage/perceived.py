"""What the perceiver and answers hand on about pictures, for probes of withheld labels.

From the most to the least: the probabilities that the perceiver computes and shows nobody; what it
says aloud, with its confidence; what a gate lets through of that; and the words of an answer alone.
It knows nothing of probes; `leakage/findings.py` asks what can be read from these, of people whom
the attacker has not seen, against the best constant guess.

>>> shown = answer_representation({"train": ["Drink water.", "Ask a nurse."], "test": ["Ask."]})
>>> shown.features("test").shape  # 5 words, 3 pairs of them, 3 numbers of the form
(1, 11)
"""

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from sklearn.feature_extraction.text import CountVectorizer

from discreet.leakage.findings import Representation
from discreet.leakage.probes import Features
from discreet.perception import CLASSES, HEADS, Perceiver
from discreet.types import Observation, Percept, Split

WORDS = 2000
"""Words of answers that are counted, the most frequent ones of the train people's."""
_WORD = r"(?u)\b\w+\b"
_SENTENCE = re.compile(r"[.!?]+")


def probability_representation(views: Representation, perceiver: Perceiver) -> Representation:
    """Return the probabilities of all heads of a perceiver, which it keeps to itself.

    Args:
        views: What the tower sees, (N, VIEWS) for each split.
        perceiver: Whose heads read it.
    """

    def features(split: Split) -> Features:
        seen = torch.from_numpy(np.ascontiguousarray(views.features(split), dtype=np.float32))
        heads = (perceiver.heads[name] for name in HEADS)
        with torch.inference_mode():
            return torch.cat([head.probabilities(seen) for head in heads], 1).double().numpy()

    return Representation(features=features, fitted_to=views.fitted_to)


def said_representation(
    percepts: Mapping[Split, Sequence[Percept]],
    *,
    passes: Callable[[Percept], Sequence[Observation]] = lambda percept: percept.observations,
) -> Representation:
    """Return what is said of people aloud: for each value its confidence, and 0 where it is not.

    Args:
        percepts: Of each split, what a perceiver says of each picture.
        passes: Which observations go on; those that a gate passes, or all by default.
    """
    return Representation(
        features=lambda split: observation_features([passes(one) for one in percepts[split]])
    )


def observation_features(observations: Sequence[Sequence[Observation]]) -> Features:
    """Return observations of pictures as numbers, (N, values): the confidence of each value.

    What was said without a confidence counts as sure. Values of attributes that no perceiver here
    has are a column, too, so that nothing that is said stays unseen.
    """
    known = [(name, value) for name, values in CLASSES.items() for value in values]
    said = {(one.attribute, one.value) for own in observations for one in own}
    columns = {pair: at for at, pair in enumerate([*known, *sorted(said - set(known))])}
    x = np.zeros((len(observations), len(columns)))
    for row, own in enumerate(observations):
        for one in own:
            sure = 1.0 if one.confidence is None else one.confidence
            x[row, columns[one.attribute, one.value]] = sure
    return x


def answer_representation(answers: Mapping[Split, Sequence[str]]) -> Representation:
    """Return what can be counted in answers: words, pairs of words, and how hard the text is.

    Which words are counted is decided by the answers of the train split alone.

    Args:
        answers: Of each split, in the order of its truth.

    Raises:
        ValueError: if no answer of the train split has a word.
    """
    counter = CountVectorizer(
        token_pattern=_WORD, ngram_range=(1, 2), max_features=WORDS, dtype=np.float64
    )
    try:
        counter.fit(answers["train"])
    except ValueError as error:
        raise ValueError(
            f"Expected words in {len(answers['train'])} train answers, got none. Check that they "
            "were read."
        ) from error

    def features(split: Split) -> Features:
        texts = answers[split]
        counted: npt.NDArray[np.float64] = np.log1p(counter.transform(texts).toarray())
        return np.concatenate([counted, [text_form(text) for text in texts]], axis=1)

    return Representation(features=features)


def text_form(text: str) -> tuple[float, float, float]:
    """Return the length of a text, in words, how long its words are and how long its sentences.

    The last two are all that the Automated Readability Index reads: letters a word, and words a
    sentence; a linear probe finds its own weights of them.

    >>> text_form("Drink water. It helps.")
    (4.0, 4.25, 2.0)

    Source: Senter and Smith 1967, *Automated Readability Index*, AMRL-TR-66-220.
    """
    words = re.findall(_WORD, text)
    sentences = sum(bool(part.strip()) for part in _SENTENCE.split(text))
    letters = sum(map(len, words))
    return float(len(words)), letters / max(len(words), 1), len(words) / max(sentences, 1)
