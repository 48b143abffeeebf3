"""Heads are fitted, calibrated and scored as textbooks say."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import cross_entropy

from discreet.perception import Head
from discreet.recipes.perceiver import (
    COVERAGE,
    _calibrate,
    _calibration_error,
    _fit_head,
    _fold,
    _score,
)

CLASSES, WIDTH, COUNT = 3, 5, 400


def points(seed: int = 0, count: int = COUNT) -> tuple[torch.Tensor, torch.Tensor]:
    """Three overlapping clouds."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=draw)
    centres = torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(9)) * 1.2
    return centres[labels] + torch.randn(count, WIDTH, generator=draw), labels


def head_with(temperature: float = 1.0, threshold: float = 0.0) -> Head:
    return Head(
        weight=torch.eye(2) * 1.0, bias=torch.zeros(2), temperature=temperature, threshold=threshold
    )


def test_the_fit_is_penalised_logistic_regression() -> None:
    """The penalty w * |W|^2 on the mean loss is C = 1 / (2 w n) for scikit-learn."""
    x, y = points()
    mine = _fit_head(x, y, CLASSES, 0.01)
    theirs = LogisticRegression(C=1 / (2 * 0.01 * COUNT), tol=1e-8, max_iter=1000)
    theirs.fit(x.numpy(), y.numpy())
    probabilities = mine.probabilities(x).numpy()
    assert np.allclose(probabilities, theirs.predict_proba(x.numpy()), atol=2e-3)


def test_folding_moves_the_standardisation_into_the_head() -> None:
    x, y = points()
    mean, std = x.mean(0), x.std(0) + 1e-3
    head = _fit_head((x - mean) / std, y, CLASSES, 0.01)
    expected = head.probabilities((x - mean) / std)
    torch.testing.assert_close(_fold(head, mean, std).probabilities(x), expected)


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_calibration_undoes_a_wrong_temperature(sharpness: float) -> None:
    x, y = points()
    fitted = _fit_head(x, y, CLASSES, 1e-4)
    off = Head(
        weight=fitted.weight * sharpness,
        bias=fitted.bias * sharpness,
        temperature=1.0,
        threshold=0.0,
    )
    held_out, labels = points(seed=1)
    head = _calibrate(off, held_out, labels)
    logits = held_out @ off.weight.T + off.bias
    grid = torch.linspace(0.05, 10, 4000)
    best = float(min(grid, key=lambda t: float(cross_entropy(logits / t, labels))))
    assert math.isclose(head.temperature, best, rel_tol=0.04), "to the next point of its grid"


def test_the_threshold_leaves_the_least_confident_tenth_silent() -> None:
    x, y = points()
    head = _calibrate(_fit_head(x, y, CLASSES, 0.01), *points(seed=1))
    confidence = head.probabilities(points(seed=1)[0]).max(1).values
    assert math.isclose(
        float((confidence >= head.threshold).float().mean()), COVERAGE, abs_tol=0.01
    )


@pytest.mark.parametrize(
    ("confidence", "right", "expected"),
    [
        ([1.0, 1.0], [1.0, 1.0], 0.0),
        ([1.0, 1.0], [0.0, 0.0], 1.0),
        ([0.5, 0.5], [1.0, 0.0], 0.0),
        ([0.95, 0.95, 0.55, 0.55], [1.0, 1.0, 0.0, 0.0], (0.05 + 0.55) / 2),
        ([0.91, 0.99], [1.0, 0.0], 0.45),
    ],
)
def test_the_calibration_error_is_the_gap_by_bin(
    confidence: list[float], right: list[float], expected: float
) -> None:
    found = _calibration_error(torch.tensor(confidence), torch.tensor(right))
    assert math.isclose(found, expected, abs_tol=1e-6)


def test_scores_count_right_answers_and_silences() -> None:
    """Four pictures by hand: right and sure, wrong and sure, right and unsure, wrong and unsure."""
    x = torch.tensor([[4.0, 0.0], [0.0, 4.0], [0.1, 0.0], [0.0, 0.1]])
    scores = _score(head_with(threshold=0.9), x, torch.tensor([0, 0, 0, 0]))
    assert scores["test_accuracy"] == 0.5
    assert scores["test_accuracy_when_answering"] == 0.5
    assert scores["test_coverage"] == 0.5
    assert scores["chance"] == 0.5
    sure, unsure = 1 / (1 + math.exp(-4)), 1 / (1 + math.exp(-0.1))
    expected = (sure - 0.5) / 2 + (unsure - 0.5) / 2
    assert math.isclose(scores["test_calibration_error"], expected, abs_tol=1e-6)
