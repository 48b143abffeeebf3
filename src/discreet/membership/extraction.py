"""Reading planted secrets out of a model, place by place, among all secrets of their form.

>>> def likes_one(prefixes):  # a model that says 1, whatever was said before
...     return np.tile(np.log([0.1, 0.8, 0.1]), (len(prefixes), 1))
>>> read_out(likes_one, [(0, 1, 2), (0, 1, 2)], width=2)
(1, 1)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from discreet.intervals import ratio_interval, share_interval

Numbers = npt.NDArray[np.float64]
Prefix = tuple[int, ...]
NextLogProbs = Callable[[Sequence[Prefix]], Numbers]
"""(N) beginnings of a secret, all of one length -> (N, V) log-probabilities of the next token."""
_DRAWS = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Extracted:
    """How many secrets were read out, with 95 % intervals over secrets."""

    secrets: int
    exact: int
    """Read out whole."""
    low: float
    high: float
    """Of the share that is read out whole (Clopper and Pearson)."""
    tokens_right: float
    """Share of tokens that are right, of those that could be another."""
    tokens_low: float
    tokens_high: float
    """By a bootstrap that draws whole secrets."""
    tokens_by_chance: float
    """What drawing blindly gets right."""

    @property
    def share(self) -> float:
        """Return the share of secrets that were read out whole."""
        return self.exact / self.secrets


def read_out(next_log_probs: NextLogProbs, form: Sequence[Sequence[int]], *, width: int) -> Prefix:
    """Return the likeliest secret of a form that a search of some width finds.

    Width 1 is greedy. A beam as wide as there are beginnings of a secret finds the likeliest one.

    Args:
        next_log_probs: The model.
        form: For each place the tokens that may stand there, one or more.
        width: Beginnings that are kept from place to place, 1 or more.

    Raises:
        ValueError: if the width is below 1, or nothing may stand at a place.

    Source: Carlini et al. 2019 (arXiv:1802.08232), on extraction by search; a beam in place of
        their shortest paths, so that the cost is known.
    """
    if width < 1 or not form or not all(map(len, form)):
        raise ValueError(
            f"Expected a width of 1 or more and one token or more for each place, got width={width}"
            f" and {len(form)} places. Correct the form."
        )
    beams: list[tuple[float, Prefix]] = [(0.0, ())]
    for allowed in form:
        if len(allowed) == 1:
            beams = [(score, (*prefix, allowed[0])) for score, prefix in beams]
            continue
        likely = next_log_probs([prefix for _, prefix in beams])
        grown = [
            (score + float(row[token]), (*prefix, token))
            for (score, prefix), row in zip(beams, likely, strict=True)
            for token in allowed
        ]
        beams = sorted(grown, key=lambda beam: -beam[0])[:width]
    return beams[0][1]


def measure_extraction(
    found: Sequence[Prefix], secrets: Sequence[Prefix], forms: Sequence[Sequence[Sequence[int]]]
) -> Extracted:
    """Return how much of some secrets a search got right.

    Args:
        found: What was read out for each.
        secrets: What each is.
        forms: What might have stood at each of its places; one that leaves no choice counts not.

    Raises:
        ValueError: if there is no secret, or one leaves no choice.
    """
    open_places = [[p for p, allowed in enumerate(form) if len(allowed) > 1] for form in forms]
    if not secrets or not all(open_places) or not len(found) == len(secrets) == len(forms):
        raise ValueError(
            f"Expected as many answers as secrets and forms with a choice, got {len(found)}, "
            f"{len(secrets)} and {len(forms)}. Plant canaries first."
        )
    right = np.array(
        [
            sum(got[p] == true[p] for p in places)
            for got, true, places in zip(found, secrets, open_places, strict=True)
        ],
        dtype=np.float64,
    )
    counts = np.array([len(places) for places in open_places], dtype=np.float64)
    by_chance = [1 / len(form[p]) for form, ps in zip(forms, open_places, strict=True) for p in ps]
    exact = int((right == counts).sum())
    low, high = share_interval(exact, len(secrets))
    tokens_low, tokens_high = ratio_interval(right, counts, draws=_DRAWS)
    return Extracted(
        secrets=len(secrets),
        exact=exact,
        low=low,
        high=high,
        tokens_right=float(right.sum() / counts.sum()),
        tokens_low=tokens_low,
        tokens_high=tokens_high,
        tokens_by_chance=float(np.mean(by_chance)),
    )
