"""What each owner's data added, round by round: from updates, or from the sum alone.

Where updates are seen one by one, an owner's part is how far its update carries the sum in the
sum's own direction; parts add up to 1, and one is below 0 where an update worked against the rest.
Where secure aggregation hides them, the sum is unmixed by references or candidate gradients.
Neither is a price nor a merit: a large part may be a harmful one.

>>> from discreet.attribution.updates import Change
>>> update = lambda x, y: Update(changes={"w": Change(left=np.repeat([[x], [y]], 8, axis=0))})
>>> for part in contributions({"a": update(3, 0), "b": update(1, 2)}):
...     print(part.owner, part.share, round(part.without, 2))
a 0.6 0.63
b 0.4 0.63
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from discreet.attribution.grams import BLOCKS, grams
from discreet.attribution.identifiability import check_blocks, drawn_blocks, tell_apart
from discreet.attribution.unmixing import Mixture, seen_through, unmix
from discreet.attribution.updates import Numbers, Update, mean_update

DRAWS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Contribution:
    """What one owner added to the sum of a round."""

    owner: str
    share: float
    """Of the sum's squared length; all owners together are 1, and one may be below 0."""
    low: float
    high: float
    """95 % interval for errors of entries, such as noise; rows drawn in blocks."""
    without: float
    """Leave-one-owner-out: length of what the mean changes by without this owner, the others'
    weights raised to the same total, over the length of the mean."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundMixture:
    """What is told of the sum of one round, or of all rounds together."""

    server_round: int | None
    """None: the sum over all rounds."""
    mixture: Mixture


def contributions(
    updates: Mapping[str, Update],
    weights: Mapping[str, float] | None = None,
    *,
    blocks: int = BLOCKS,
) -> list[Contribution]:
    """Return what each owner added to a round whose updates are seen one by one.

    With a = sum of w_i u_i, the share of an owner is w_i <u_i, a> / <a, a>. For a worth that is
    linear in the update, such as the first-order fall of a loss whose gradient is -a, it is the
    Shapley value as a part of the whole, and the leave-one-out value at fixed weights too.

    Args:
        updates: The update of each owner.
        weights: What the server multiplied each with; 1 / owners unless given.
        blocks: Of rows for each matrix, which intervals draw.

    Raises:
        ValueError: if there are fewer than two owners, weights do not fit or are not above 0,
            matrices differ, updates cancel out, or there are too few blocks for an interval.
    """
    owners = list(updates)
    share_of = np.array(
        [1 / max(1, len(owners)) if weights is None else weights.get(o, 0.0) for o in owners]
    )
    if len(owners) < 2 or (share_of <= 0).any() or not np.isfinite(share_of).all():
        raise ValueError(
            f"Expected two owners or more, each with a weight above 0, got {len(owners)}. Give the "
            "weights of the round, and leave out owners who did not reply."
        )
    products = grams([updates[owner] for owner in owners], blocks=blocks).products
    check_blocks(len(products))
    whole = products.sum(0)
    parts = share_of * (products @ share_of)
    if parts.sum() <= 1e-12 * (share_of**2 * np.diag(whole)).sum():
        raise ValueError(
            "Expected updates that make a sum, got a sum of zero: no part of it is anybody's. Look "
            "at owners one by one."
        )
    drawn = drawn_blocks(len(parts), DRAWS) @ parts
    drawn = drawn[drawn.sum(1) > 0]
    low, high = np.quantile(drawn / drawn.sum(1, keepdims=True), (0.025, 0.975), axis=0)
    found = parts.sum(0) / parts.sum()
    out = _without(whole, share_of)
    return [
        Contribution(owner=o, share=float(s), low=float(lo), high=float(hi), without=float(w))
        for o, s, lo, hi, w in zip(owners, found, low, high, out, strict=True)
    ]


def leave_one_out(
    updates: Mapping[str, Update],
    worth: Callable[[Update], float],
    weights: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Return how much less the mean of a round is worth without each owner.

    A reference value by actual trial; the others' weights are raised to the same total.

    Args:
        updates: The update of each owner.
        worth: What an update is worth, for example minus the loss of the model with it.
        weights: What the server multiplied each with; 1 / owners unless given.

    Raises:
        ValueError: if there are fewer than two owners.
    """
    if len(updates) < 2:
        raise ValueError(f"Expected two owners or more, got {len(updates)}. Nobody would be left.")
    chosen = weights or dict.fromkeys(updates, 1 / len(updates))
    total = sum(chosen[owner] for owner in updates)
    value = worth(mean_update(list(updates.values()), [chosen[owner] for owner in updates]))
    found = {}
    for owner in updates:
        rest = [other for other in updates if other != owner]
        scale = total / sum(chosen[other] for other in rest)
        mean = mean_update([updates[o] for o in rest], [scale * chosen[o] for o in rest])
        found[owner] = value - worth(mean)
    return found


def contributions_of_sums(
    sums: Mapping[int, Update],
    candidates: Mapping[str, Sequence[Update]],
    *,
    blocks: int = BLOCKS,
) -> list[RoundMixture]:
    """Return in what proportion owners' data shaped sums of rounds, where nothing else is seen.

    Shares are of what a candidate's data would add, and not of who sent it: owners whose data are
    of one law are one group, of which no share is split. Gradients at the base grow old over
    rounds; those of candidates at each round's start are better.

    Args:
        sums: What was added in each round.
        candidates: Draws of each owner's kind of data: references that started from the same
            adapter, or gradients of parts; as `tell_apart` takes them.
        blocks: Of rows for each matrix, which intervals draw.

    Returns:
        One for each round in order, and last that of all rounds together.

    Raises:
        ValueError: if there is no round, or as `unmix` and `tell_apart`.
    """
    if not sums:
        raise ValueError("Expected the sum of one round or more, got none. Name a finished run.")
    rounds = sorted(sums)
    every: list[tuple[int | None, Update]] = [(number, sums[number]) for number in rounds]
    every.append((None, mean_update([sums[n] for n in rounds], [1.0] * len(rounds))))
    seen = seen_through(candidates, every[-1][1])
    groups = tell_apart(seen, blocks=blocks).groups
    return [
        RoundMixture(
            server_round=number, mixture=unmix(update, candidates, groups=groups, blocks=blocks)
        )
        for number, update in every
    ]


def _without(products: Numbers, weights: Numbers) -> Numbers:
    """Return |mean - mean without i| / |mean| for each i, from products alone."""
    total = weights.sum()
    found = []
    for place in range(len(weights)):
        rest = weights * total / (total - weights[place])
        rest[place] = 0
        moved = weights - rest
        found.append((moved @ products @ moved) / (weights @ products @ weights))
    return np.asarray(np.sqrt(np.array(found).clip(0)))
