"""Three probes that read a label from features: linear, a network with one layer, neighbours.

A probe is taught on some pictures and reads others. What none of them finds may still be there:
they are attackers of moderate skill, and a share near chance is a statement about these three.
Network and neighbours look at the leading principal components only, and so miss what varies least.

>>> draw = np.random.default_rng(0)
>>> labels = np.array([str(n % 2) for n in range(200)])
>>> x = draw.normal(size=(200, 4)) + 3 * (labels == "1")[:, None]
>>> taught, others = prepare(x[:100], x[100:])
>>> reader = PROBES["linear"](taught, labels[:100], np.arange(100))
>>> score_probe("linear", reader(others), labels[100:], np.arange(100)).accuracy > 0.9
True
"""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupShuffleSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

from discreet.intervals import ratio_interval

Features = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[Any]
ProbeName = Literal["linear", "mlp", "knn"]
T = TypeVar("T")

COMPONENTS = 256
"""Principal components that the network and the neighbours see."""
_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
"""C of the logistic regression, from simple to bold."""
_ITERATIONS = 100
_WIDE = 4
"""Features for each taught picture from which turning them saves time."""
_NEIGHBOURS = (1, 5, 25)
_HIDDEN = 128
_EPOCHS = 40
_PATIENCE = 10
_BATCHES = 64
"""Steps of an epoch, if that leaves at least `_SMALLEST` pictures to each."""
_SMALLEST = 32
_DRAWS = 1000
_INNER = 0.25
"""Share of the groups of the taught pictures by which settings are chosen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """Features of pictures as the probes see them, all scaled by what the taught ones are like."""

    whole: Features = field(repr=False)
    """(N, W) each feature standardised; turned into as many columns as there are taught pictures
    where there are far more, which changes no penalised linear fit."""
    leading: Features = field(repr=False)
    """(N, at most `COMPONENTS`) leading principal components of these."""
    whitened: Features = field(repr=False)
    """The same, each of variance 1 on the taught pictures."""

    def at(self, places: npt.NDArray[Any]) -> "Pictures":
        """Return some of them."""
        return Pictures(
            whole=self.whole[places], leading=self.leading[places], whitened=self.whitened[places]
        )


Reader = Callable[[Pictures], Labels]
"""A taught probe: pictures to a label for each."""
Probe = Callable[[Pictures, Labels, Labels], Reader]
"""What teaches: pictures, their labels, and groups that stay together when a setting is chosen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """How well one probe reads one label of pictures that it was not taught on."""

    probe: str
    accuracy: float
    """Share of pictures read rightly."""
    low: float
    """Of a 95 % interval over whole people."""
    high: float
    balanced_accuracy: float
    """Mean over the classes of the share read rightly."""
    chance: float
    """Accuracy of the best constant guess on these very pictures, which is the largest class."""
    advantage: float
    """Accuracy above chance."""
    advantage_low: float
    """Of a 95 % interval over whole people, who move the constant guess, too."""
    advantage_high: float
    classes: int
    pictures: int
    people: int

    @property
    def is_above_chance(self) -> bool:
        """Tell whether the whole interval lies above what a constant guess reaches.

        For a label that nothing tells, about one probe in forty at most is above by chance.
        """
        return self.low > self.chance


def prepare(taught: Features, *others: Features) -> tuple[Pictures, ...]:
    """Return taught and other features as the probes see them; only the taught ones decide how.

    Args:
        taught: (N, D).
        others: (M, D) each.

    Raises:
        ValueError: if there are fewer than four taught pictures, or widths differ.
    """
    if any(part.ndim != 2 or part.shape[1:] != taught.shape[1:] for part in (taught, *others)):
        raise ValueError(
            f"Expected features (N, D) of one width, got "
            f"{', '.join(str(part.shape) for part in (taught, *others))}. Flatten tokens first."
        )
    if len(taught) < 4:
        raise ValueError(f"Expected at least 4 pictures to teach, got {len(taught)}. Add people.")
    mean, scale = taught.mean(0, dtype=np.float64), taught.std(0, dtype=np.float64)
    changes = np.ptp(taught, axis=0) > 0  # exactly; a spread of rounding errors is none
    is_told = changes & (scale > 1e-6 * scale[changes].max(initial=0.0))
    scale[~is_told] = np.inf  # says nothing
    parts = [((part - mean) / scale).astype(np.float32) for part in (taught, *others)]
    if not is_told.any():
        return tuple(Pictures(whole=part, leading=part, whitened=part) for part in parts)
    if parts[0].shape[1] > _WIDE * len(taught):
        turn = np.linalg.svd(parts[0], full_matrices=False)[2].T
        parts = [part @ turn for part in parts]
    count = min(COMPONENTS, len(taught) - 1, parts[0].shape[1])
    solver = "randomized" if count < 0.5 * parts[0].shape[1] else "full"
    pca = PCA(count, svd_solver=solver, random_state=0).fit(parts[0])
    variance = pca.explained_variance_
    spread = np.sqrt(np.maximum(variance, 1e-6 * max(float(variance[0]), 1e-6)))
    lead = [pca.transform(part) for part in parts]
    return tuple(
        Pictures(whole=part, leading=own / spread.max(), whitened=own / spread)
        for part, own in zip(parts, lead, strict=True)
    )


def teach_linear(pictures: Pictures, labels: Labels, groups: Labels) -> Reader:
    """Return a multinomial logistic regression on all features; its penalty is chosen inside."""

    def fit(penalty: float, part: Pictures, own: Labels) -> Reader:
        model = LogisticRegression(C=penalty, max_iter=_ITERATIONS, tol=1e-3)
        model.fit(part.whole, own)
        return lambda seen: np.asarray(model.predict(seen.whole))

    return _fit_best(fit, _PENALTIES, pictures, labels, groups)


def teach_knn(pictures: Pictures, labels: Labels, groups: Labels) -> Reader:
    """Return a vote of the nearest pictures; how many, and in which metric, is chosen inside."""

    def fit(setting: tuple[int, bool], part: Pictures, own: Labels) -> Reader:
        count, whiten = setting
        model = KNeighborsClassifier(min(count, len(own)), weights="distance", algorithm="brute")
        model.fit(_seen(part, whiten), own)
        return lambda seen: np.asarray(model.predict(_seen(seen, whiten)))

    return _fit_best(fit, product(_NEIGHBOURS, (False, True)), pictures, labels, groups)


def teach_mlp(pictures: Pictures, labels: Labels, groups: Labels) -> Reader:
    """Return a network with one hidden layer; its epochs and the scale of its input are chosen."""
    inner, outer = _split(labels, groups)
    part, held = pictures.at(inner), pictures.at(outer)
    tried = [
        (*_epochs(_seen(part, w), labels[inner], _seen(held, w), labels[outer]), w)
        for w in (False, True)
    ]
    _, epochs, whiten = max(tried, key=lambda one: one[0])
    model = _network(len(labels))
    for _ in range(epochs):
        model.partial_fit(_seen(pictures, whiten), labels, classes=np.unique(labels))
    return lambda seen: np.asarray(model.predict(_seen(seen, whiten)))


PROBES: dict[ProbeName, Probe] = {"linear": teach_linear, "mlp": teach_mlp, "knn": teach_knn}
"""By name; the best of them counts."""


def _seen(pictures: Pictures, whiten: bool) -> Features:
    return pictures.whitened if whiten else pictures.leading


def _network(count: int) -> MLPClassifier:
    return MLPClassifier(
        (_HIDDEN,),
        alpha=1e-3,
        learning_rate_init=2e-3,
        batch_size=min(count, max(_SMALLEST, count // _BATCHES)),
        random_state=0,
    )


def _epochs(x: Features, y: Labels, held: Features, truth: Labels) -> tuple[float, int]:
    """Return the best accuracy on held-out pictures and after how many epochs it came."""
    model, best = _network(len(y)), (-1.0, 1)
    for epoch in range(1, _EPOCHS + 1):
        model.partial_fit(x, y, classes=np.unique(y))
        right = float((model.predict(held) == truth).mean())
        best = max(best, (right, epoch), key=lambda one: one[0])
        if epoch - best[1] >= _PATIENCE:
            break
    return best


def _split(labels: Labels, groups: Labels) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return places to fit a setting on and to judge it by; no group is in both."""
    inner, outer = next(
        GroupShuffleSplit(1, test_size=_INNER, random_state=0).split(labels, labels, groups)
    )
    if len(np.unique(labels[inner])) < 2:
        return np.arange(len(labels)), np.arange(len(labels))
    return inner, outer


def _fit_best(
    fit: Callable[[T, Pictures, Labels], Reader],
    settings: Iterable[T],
    pictures: Pictures,
    labels: Labels,
    groups: Labels,
) -> Reader:
    """Return a reader taught on everything, with the setting that does best on held-out groups."""
    inner, outer = _split(labels, groups)
    part, held = pictures.at(inner), pictures.at(outer)

    def right(setting: T) -> float:
        return float((fit(setting, part, labels[inner])(held) == labels[outer]).mean())

    return fit(max(settings, key=right), pictures, labels)


def teach(probe: ProbeName, pictures: Pictures, labels: Labels, groups: Labels) -> Reader:
    """Return a probe taught on pictures.

    Args:
        probe: Which of `PROBES`.
        pictures: As `prepare` made them.
        labels: (N,) text.
        groups: (N,) what stays together when a setting is chosen: who is in a picture if other
            people are to be read, a number for each picture if the same people are.

    Raises:
        ValueError: if there are not at least two labels and two groups.
    """
    if len(np.unique(labels)) < 2 or len(np.unique(groups)) < 2:
        raise ValueError(
            "Expected at least two labels and two groups to teach a probe with, got one. Take "
            "more people."
        )
    with warnings.catch_warnings():
        # A fit that stops early is scored as it is, and a person may well have two pictures.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        return PROBES[probe](pictures, labels, groups)


def score_probe(probe: str, said: Labels, labels: Labels, people: Labels) -> Score:
    """Return how often a probe is right, with an interval that draws whole people.

    Args:
        probe: Its name, for the score.
        said: (N,) what it read.
        labels: (N,) what is true.
        people: (N,) who is in each picture.
    """
    values, kind, counts = np.unique(labels, return_inverse=True, return_counts=True)
    persons, place = np.unique(people, return_inverse=True)
    right = (said == labels).astype(np.float64)
    hits = np.bincount(place, weights=right)
    sizes = np.bincount(place).astype(np.float64)
    guessed = np.bincount(place, weights=kind == counts.argmax())
    low, high = ratio_interval(hits, sizes, draws=_DRAWS)
    ahead_low, ahead_high = ratio_interval(hits - guessed, sizes, draws=_DRAWS)
    return Score(
        probe=probe,
        accuracy=float(hits.sum() / len(labels)),
        low=low,
        high=high,
        balanced_accuracy=float((np.bincount(kind, weights=right) / counts).mean()),
        chance=float(counts.max() / len(labels)),
        advantage=float((hits.sum() - counts.max()) / len(labels)),
        advantage_low=ahead_low,
        advantage_high=ahead_high,
        classes=len(values),
        pictures=len(labels),
        people=len(persons),
    )
