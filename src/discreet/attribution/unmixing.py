"""In what proportion candidates shaped an update: non-negative least squares on their own updates.

What a candidate would add is known from references (adapters trained on its data, from the same
start) or from gradients of its data at the base, so that nobody trains. The samples that the update
was trained on are never asked for: shares are of laws of data, and say nothing of one person.
Shares are among the candidates: what else was there is seen in `Mixture.agreement` only.

>>> draw = np.random.default_rng(0)
>>> laws = {name: draw.normal(size=(40, 9)) for name in "abc"}
>>> update = lambda whole: Update(changes={"w": Change(left=whole)})
>>> noisy = lambda whole: update(whole + draw.normal(size=whole.shape) / 5)
>>> suspect = noisy(0.7 * laws["a"] + 0.3 * laws["c"])
>>> found = unmix(suspect, {name: [noisy(law), noisy(law)] for name, law in laws.items()})
>>> [(*share.candidates, round(share.share, 1)) for share in found.shares]
[('a', 0.7), ('b', 0.0), ('c', 0.3)]
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from discreet.attribution.grams import BLOCKS, Grams, grams
from discreet.attribution.identifiability import check_blocks, drawn_blocks, tell_apart
from discreet.attribution.updates import Change, Numbers, Update

DRAWS = 400
_RIDGE = 1e-9
"""Of the mean squared length of columns: keeps the least squares of equal columns defined."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """What part of an update candidates have, of what all candidates have together."""

    candidates: tuple[str, ...]
    """One; or several that cannot be told apart, whose part is not split."""
    share: float
    low: float
    high: float
    """95 % interval for errors of entries, rows drawn in blocks, and for those alone. Data sets do
    not simply add up in training: of adapters that were trained on known mixtures, 56 to 86 % of
    shares lay within (`tests/attribution/textures.py`). `calibrated_intervals` know of that too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixture:
    """In what proportion candidates shaped an update."""

    shares: tuple[Share, ...]
    """They sum to 1. Empty: the update has nothing in common with the candidates that chance would
    not explain, and no number is told."""
    agreement: float
    """Cosine of the update and the mixture fitted to *other* rows of it: 0 by chance, 1 if all of
    it is explained."""
    low: float
    high: float
    """95 % interval of `agreement`; `low` is the least of the lower ends of all rows and of either
    half, so that a stranger has it above 0 in about 1 case of 40."""


def unmix(
    suspect: Update,
    candidates: Mapping[str, Sequence[Update]],
    *,
    groups: Sequence[Sequence[str]] | None = None,
    blocks: int = BLOCKS,
) -> Mixture:
    """Return in what proportion candidates shaped an update.

    Each matrix is brought to length 1, in the suspect and in each candidate, so that no matrix
    drowns the others; draws of a candidate are averaged. Gradients are cut to what the suspect's
    factors read (`seen_through`). Shares are non-negative least-squares
    coefficients (Lawson and Hanson 1974, *Solving Least Squares Problems*, ch. 23), divided by
    their sum.

    Args:
        suspect: The update that is asked about, of any rank.
        candidates: Draws of each: references, or gradients of parts, as `tell_apart` takes them.
        groups: Which candidates count as one; None asks `tell_apart`, which needs two draws of
            each. Give one name a group to trust that all differ.
        blocks: Of rows for each matrix, which the intervals draw (percentile bootstrap).

    Raises:
        ValueError: if matrices differ, a group names no candidate, the suspect is zero, or there
            are too few blocks for an interval.
    """
    seen = seen_through(candidates, suspect)
    chosen = tell_apart(seen, blocks=blocks).groups if groups is None else groups
    found = _columns(suspect, seen, chosen, blocks)
    check_blocks(len(found.products))
    agreement, low, high = _agreement(found)
    shares: tuple[Share, ...] = ()
    if low > 0:
        times = drawn_blocks(len(found.products), DRAWS)
        drawn = [_shares(np.tensordot(n, found.products, 1)) for n in times]
        ends = np.quantile(drawn, (0.025, 0.975), axis=0)
        every = zip(chosen, _shares(found.products.sum(0)), *ends, strict=True)
        shares = tuple(
            Share(candidates=tuple(names), share=float(s), low=float(lo), high=float(hi))
            for names, s, lo, hi in every
        )
    return Mixture(shares=shares, agreement=agreement, low=low, high=high)


def influence_scores(
    suspect: Update, candidates: Mapping[str, Sequence[Update]]
) -> dict[str, float]:
    """Return the share of each candidate without interval or groups: a score of in or out.

    For judging the method on suspects whose mixture is known; to tell somebody, use `unmix`.

    Raises:
        ValueError: if matrices differ, or the suspect is zero.
    """
    seen = seen_through(candidates, suspect)
    found = _columns(suspect, seen, [[name] for name in candidates], 1)
    return dict(zip(candidates, _shares(found.products.sum(0)).tolist(), strict=True))


def seen_through(
    candidates: Mapping[str, Sequence[Update]], suspect: Update
) -> dict[str, list[Update]]:
    """Return candidates' whole matrices cut to the inputs that the suspect's factors read.

    B A is 0 outside the rows of A, so that what a gradient holds there says nothing of B A and only
    blurs which candidate is which. Candidates that are factors, and layers of which the suspect is
    whole, stay as they are.

    Args:
        candidates: Gradients, for example.
        suspect: The update whose A decides; its basis does not matter.
    """
    found = {}
    for name, change in suspect.changes.items():
        if change.right is not None:
            _, sizes, rows = np.linalg.svd(change.right, full_matrices=False)
            found[name] = rows[sizes > 1e-10 * sizes[0]]
    return {
        name: [
            Update(changes={n: _cut(c, found.get(n)) for n, c in update.changes.items()})
            for update in draws
        ]
        for name, draws in candidates.items()
    }


def _cut(change: Change, rows: Numbers | None) -> Change:
    """Return a whole change in the span of some rows (R, I), which are orthonormal."""
    if rows is None or change.right is not None or change.shape[1] != rows.shape[1]:
        return change
    return Change(left=change.left @ rows.T, right=rows)


def _columns(
    suspect: Update,
    candidates: Mapping[str, Sequence[Update]],
    groups: Sequence[Sequence[str]],
    blocks: int,
) -> Grams:
    """Return products of one column for each group and, last, of the suspect."""
    names = [name for group in groups for name in group]
    if sorted(names) != sorted(candidates) or not all(candidates.values()):
        raise ValueError(
            f"Expected each candidate in one group, with a draw of each, got {sorted(names)[:4]} "
            f"for {sorted(candidates)[:4]}. Name every candidate once."
        )
    if suspect.norm == 0:
        raise ValueError(
            "Expected an update that changes something, got zeros. Take a later state."
        )
    draws = [u for name in candidates for u in candidates[name]]
    owner = [name for name in candidates for _ in candidates[name]]
    by = np.zeros((len(groups) + 1, len(draws) + 1))
    for row, group in enumerate(groups):
        for name in group:
            by[row, [place for place, of in enumerate(owner) if of == name]] = 1 / len(
                candidates[name]
            )
    by[-1, -1] = 1
    return grams([*draws, suspect], blocks=blocks).levelled().mixed(by).levelled()


def _coefficients(products: Numbers) -> Numbers:
    """Return the non-negative coefficients of the last by the others, from their products.

    With G = R^T R, |Q w - y|^2 is |R w - R^-T Q^T y|^2 plus what w does not change.
    """
    gram, cross = products[:-1, :-1], products[:-1, -1]
    ridge = _RIDGE * max(np.trace(gram) / len(gram), np.finfo(float).tiny)
    root = np.linalg.cholesky(gram + ridge * np.eye(len(gram))).T
    return np.asarray(nnls(root, np.linalg.solve(root.T, cross))[0])


def _shares(products: Numbers) -> Numbers:
    """Return coefficients over their sum; all alike where all are 0: nothing is known."""
    found = _coefficients(products)
    total = float(found.sum())
    return found / total if total > 0 else np.full(len(found), 1 / len(found))


def _agreement(found: Grams) -> tuple[float, float, float]:
    """Return the cosine of the suspect and a mixture fitted to other blocks, and its interval.

    What is fitted to one half and tried on the other is the other's fit tried on the one, nearly:
    both say the same by chance. Either alone, given its fit, is above 0 by chance no more often
    than its interval says, and so is the lower of them.
    """
    halves = np.arange(len(found.products)) % 2
    fits = np.zeros((len(halves), found.products.shape[1]))
    for half in (0, 1):
        fitted = _coefficients(found.products[halves != half].sum(0))
        length = np.sqrt(fitted @ found.products[:, :-1, :-1].sum(0) @ fitted)
        fits[halves == half, :-1] = fitted / length if length > 0 else fitted
    both = np.einsum("un,un->u", fits, found.products[:, :, -1])
    fit = np.einsum("un,unm,um->u", fits, found.products, fits)
    terms = np.stack([both, fit, found.products[:, -1, -1]], axis=1)
    low, high = _ends(terms)
    lowest = min(low, *(_ends(terms[halves == half])[0] for half in (0, 1)))
    return float(_cosine(terms.sum(0))), lowest, high


def _ends(terms: Numbers) -> tuple[float, float]:
    """Return a 95 % interval of the cosine, by a percentile bootstrap over blocks."""
    drawn = _cosine(drawn_blocks(len(terms), DRAWS) @ terms)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def _cosine(terms: Numbers) -> Numbers:
    """Return a cosine from a product and two squared lengths, 0 where one length is 0."""
    lengths = np.sqrt((terms[..., 1] * terms[..., 2]).clip(0))
    return np.asarray(terms[..., 0] / np.where(lengths > 0, lengths, np.inf))
