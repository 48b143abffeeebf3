"""What is handed on about portraits at each place between the picture and the language model.

It knows how pictures become features and nothing of probes; `leakage/findings.py` asks what can be
read from these.

    >>> people = {s: load_portraits(s)[:70] for s in ("train", "test")}  # doctest: +SKIP
    >>> shown = portrait_representations(people, load("small"))  # doctest: +SKIP
    >>> shown["all visual tokens"].features("test").shape  # doctest: +SKIP
    (70, 9216)
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL.Image import Image

from discreet.data import Portrait
from discreet.leakage.findings import WITHHELD, Representation, Truth, truth_of
from discreet.leakage.leace import fit_eraser, one_hot
from discreet.leakage.probes import Features
from discreet.model import Vlm, encode_images, image_processor, load_tower, picture_views
from discreet.types import Split

SHRINKAGE = 0.1
"""How far an eraser's covariance is drawn towards the identity: not tuned."""
_AT_ONCE = 128


def portrait_representations(
    portraits: Mapping[Split, Sequence[Portrait]],
    vlm: Vlm,
    *,
    on_done: Callable[[int], None] = lambda count: None,
) -> dict[str, Representation]:
    """Return what is seen of portraits, from most to least, by names for a table.

    The views of the tower, which the perceiver's heads read; the same after the withheld labels
    were erased from them; and the visual tokens that the language model gets, all and their mean.

    Args:
        portraits: Of `train` and `test`.
        vlm: Whose visual tokens, those of a loaded adapter if there is one.
        on_done: Told how many portraits were looked at since it was last told.
    """
    views: dict[Split, Features] = {}
    tokens: dict[Split, npt.NDArray[np.float32]] = {}
    tower, processor = load_tower(), image_processor()

    def look(images: list[Image]) -> tuple[torch.Tensor, torch.Tensor]:
        seen = picture_views(tower, processor, images)
        return seen, encode_images(vlm, images)

    for split, own in portraits.items():
        done = []
        for start in range(0, len(own), _AT_ONCE):
            chunk = [portrait.image for portrait in own[start : start + _AT_ONCE]]
            done.append(look(chunk))
            on_done(len(chunk))
        views[split] = torch.cat([seen for seen, _ in done]).numpy()
        tokens[split] = torch.cat([handed.float() for _, handed in done]).numpy()
    whole = Representation(features=lambda split: views[split])
    return {
        "the tower's views": whole,
        "the tower's views, erased": erase(whole, truth_of(portraits["train"])),
        "all visual tokens": Representation(
            features=lambda split: tokens[split].reshape(len(tokens[split]), -1)
        ),
        "the mean visual token": Representation(features=lambda split: tokens[split].mean(1)),
    }


def erase(
    representation: Representation,
    train: Truth,
    *,
    labels: Sequence[str] = WITHHELD,
    shrinkage: float = SHRINKAGE,
) -> Representation:
    """Return what is left of a representation when labels are erased from it.

    The eraser is fitted to every other train person, so that probes can also be taught on people
    for whom nothing was tuned: on those to whom it was fitted, a linear probe is at chance whatever
    is left in others.
    """
    people = np.unique(train.people)[::2]
    inside = np.isin(train.people, people)
    concepts = one_hot(*(train.labels[name][inside].tolist() for name in labels))
    eraser = fit_eraser(representation.features("train")[inside], concepts, shrinkage=shrinkage)
    return Representation(
        features=lambda split: eraser(representation.features(split)), fitted_to=people
    )
