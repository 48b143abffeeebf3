"""Erasing against the paper's formula written densely, and against other ways to erase."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import pinvh, sqrtm
from sklearn.linear_model import LogisticRegression

from discreet.leakage import Eraser, fit_eraser, one_hot

Floats = npt.NDArray[np.float64]


def drawn(
    count: int = 300, width: int = 8, rank: int = 8, seed: int = 0, classes: int = 3
) -> tuple[Floats, Floats, list[str]]:
    """Return correlated features in which a label shows, its one-hot form and the label."""
    draw = np.random.default_rng(seed)
    labels = [str(n) for n in draw.integers(classes, size=count)]
    z = one_hot(labels)
    inner = draw.normal(size=(count, rank)) + z @ draw.normal(size=(z.shape[1], rank))
    return inner @ draw.normal(size=(rank, width)) + 3.0, z, labels


def covariance(x: Floats, z: Floats) -> Floats:
    return np.asarray((x - x.mean(0)).T @ (z - z.mean(0)) / len(x))


def by_the_paper(x: Floats, z: Floats) -> Floats:
    """x - W^+ P_{W Sigma_xz} W (x - E x), with W the root of the pseudo-inverse, all dense."""
    whiten = np.real(sqrtm(pinvh(covariance(x, x))))
    seen = whiten @ covariance(x, z)
    onto = seen @ np.linalg.pinv(seen, rcond=1e-9)
    map_ = np.linalg.pinv(whiten, rcond=1e-6) @ onto @ whiten
    return np.asarray(x - (x - x.mean(0)) @ map_.T)


@pytest.mark.parametrize(("count", "width", "rank"), [(300, 8, 8), (300, 12, 5), (20, 40, 40)])
def test_it_is_the_map_of_the_paper(count: int, width: int, rank: int) -> None:
    """Also where the covariance has no inverse, and where there are more columns than rows."""
    x, z, _ = drawn(count, width, rank)
    assert np.allclose(fit_eraser(x, z)(x), by_the_paper(x, z), atol=1e-5)


@given(
    count=st.integers(12, 60),
    width=st.integers(1, 30),
    classes=st.integers(1, 4),
    shrinkage=st.sampled_from([0.0, 0.1, 1.0]),
    seed=st.integers(0, 1000),
)
def test_no_covariance_is_left(
    count: int, width: int, classes: int, shrinkage: float, seed: int
) -> None:
    x, z, _ = drawn(count, width, width, seed, classes)
    erased = fit_eraser(x, z, shrinkage=shrinkage)(x)
    scale = max(1.0, float(np.abs(covariance(x, z)).max()))
    assert np.abs(covariance(erased, z)).max() < 1e-5 * scale


def test_a_linear_classifier_falls_to_the_best_constant() -> None:
    x, z, labels = drawn()
    best = max(labels.count(value) for value in set(labels)) / len(labels)
    before = LogisticRegression().fit(x, labels).score(x, labels)
    erased = fit_eraser(x, z)(x)
    after = LogisticRegression(max_iter=1000, tol=1e-10).fit(erased - erased.mean(0), labels)
    assert before > 0.8 > best + 0.3
    assert np.abs(after.coef_).max() < 1e-4
    assert after.score(erased - erased.mean(0), labels) == pytest.approx(best)


def test_several_concepts_go_together() -> None:
    x, z, labels = drawn()
    other = ["high" if row > 3 else "low" for row in x[:, 0]]
    both = one_hot(labels, other)
    assert both.shape == (300, 5)
    erased = fit_eraser(x, both)(x)
    assert np.abs(covariance(erased, both)).max() < 1e-8
    alone = fit_eraser(x, z)(x)
    assert np.abs(covariance(alone, one_hot(other))).max() > 0.01


@pytest.mark.parametrize("seed", range(5))
def test_it_changes_less_than_a_projection_at_right_angles(seed: int) -> None:
    """In the plain norm and in that of the covariance; both leave no covariance."""
    x, z, _ = drawn(seed=seed)
    least, square = fit_eraser(x, z)(x), fit_eraser(x, z, shrinkage=1.0)(x)
    basis, *_ = np.linalg.svd(covariance(x, z), full_matrices=False)
    basis = basis[:, :2]  # three classes are two directions
    assert np.allclose(square, x - (x - x.mean(0)) @ basis @ basis.T, atol=1e-6)
    for norm in (np.eye(8), pinvh(covariance(x, x))):
        change = [np.einsum("nd,de,ne->", d, norm, d) for d in (least - x, square - x)]
        assert change[0] < change[1]


def test_what_has_no_part_in_a_concept_stays() -> None:
    x, z, _ = drawn(width=6, rank=6)
    draw = np.random.default_rng(9)
    free = draw.normal(size=(300, 2))
    told = np.c_[np.ones(300), x, z]
    free -= told @ np.linalg.lstsq(told, free, rcond=None)[0]
    erased = fit_eraser(np.c_[x, free], z)(np.c_[x, free])
    assert np.allclose(erased[:, 6:], free, atol=1e-6)


def test_a_concept_that_nothing_tells_changes_nothing() -> None:
    x, _, _ = drawn()
    eraser = fit_eraser(x, np.ones((300, 1)))
    assert eraser.reads.shape == (8, 0)
    assert np.array_equal(eraser(x), x)


def test_one_precision_comes_back_as_it_went_in() -> None:
    x, z, _ = drawn(count=2500)
    eraser = fit_eraser(x.astype(np.float32), z)
    erased = eraser(x.astype(np.float32))
    assert erased.dtype == np.float32
    assert np.allclose(erased, fit_eraser(x, z)(x), atol=1e-3)
    assert eraser(x[:0]).shape == (0, 8)


def test_it_takes_few_numbers() -> None:
    """Three classes are two directions, however many columns tell them."""
    x, z, labels = drawn(count=40, width=500, rank=500)
    eraser = fit_eraser(x, one_hot(labels, labels))
    assert isinstance(eraser, Eraser)
    assert eraser.reads.shape == eraser.writes.shape == (500, z.shape[1] - 1)


@pytest.mark.parametrize(
    ("x", "z", "shrinkage", "said"),
    [
        (np.ones((3, 2)), np.ones((4, 2)), 0.0, "same two or more rows"),
        (np.ones(3), np.ones((3, 1)), 0.0, "same two or more rows"),
        (np.ones((3, 2)), np.ones((3, 2)), 1.5, "shrinkage=1.5"),
        (np.full((3, 2), np.nan), np.ones((3, 2)), 0.0, "finite"),
    ],
)
def test_what_cannot_be_erased_is_refused(
    x: Floats, z: Floats, shrinkage: float, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        fit_eraser(x, z, shrinkage=shrinkage)
