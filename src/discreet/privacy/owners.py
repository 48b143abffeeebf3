"""Hide whole owners: clip each update as one vector, release the noisy mean of a round.

The unit is the owner: all that one clinic, school or home contributes. An owner may train as it
likes, without noise, because its update is clipped over all tensors together and the sum is blurred
(McMahan et al. 2018, Algorithm 1, arXiv:1710.06963). Here the one who adds up sees each update and
adds the noise (central). Where owners add it themselves, see `discrete`.

Guarantee:
    What `result` returns in all rounds that the ledger holds for the account is together (epsilon,
    delta)-differentially private for adding or removing one owner, with the epsilon of
    `PrivacyLedger.spent`, towards everybody but the one who adds up. It rests on `add` being called
    once at most for each owner of a round, on owners being drawn as the plan says and nobody being
    told who was or how many were, and on a noise generator with a key that nobody knows. An owner
    that was drawn and does not answer, or answers nonsense, is a zero: noise and divisor stay as
    planned. To change what one owner holds is to take it away and to add another: two changes.

It knows nothing of messages, of who the owners are, or of how they train.

    >>> from discreet.privacy.plan import calibrate
    >>> plan = calibrate(target_epsilon=8.0, delta=1e-5, sample_rate=0.1, steps=10,
    ...                  expected_batch_size=2, unit="owner", sampled="owner")
    >>> total = OwnerSum(plan, {"0.weight": (3,)}, CounterGenerator.seeded("a test"))
    >>> total.add({"0.weight": torch.tensor([0.0, 0.6, 0.0])})
    True
    >>> total.result()["0.weight"].shape
    torch.Size([3])
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch

from discreet.privacy.clipping import clip_and_sum
from discreet.privacy.gaussian import GaussianMean
from discreet.privacy.ledger import PrivacyLedger
from discreet.privacy.plan import PrivacyPlan
from discreet.privacy.randomness import CounterGenerator
from discreet.privacy.training import settled
from discreet.types import OwnerId

Shapes = Mapping[str, Sequence[int]]
"""The tensors of an update by name; their order says nothing."""


class OwnerSum:
    """Adds up clipped updates one at a time; holds one sum, however many owners there are."""

    def __init__(
        self, plan: PrivacyPlan, shapes: Shapes, noise_generator: CounterGenerator
    ) -> None:
        """Begin the first round.

        Args:
            plan: Whose unit is the owner, and where the one who adds up adds the noise.
            shapes: Of each update and of the result.
            noise_generator: Decides the noise; another stream than the one that draws owners.

        Raises:
            ValueError: if the plan hides something else, or nothing is learnt.
        """
        require_owners(plan, "add_or_remove_one", "OwnerShare")
        self._plan = plan
        self._shapes = dict(shapes)
        self._mean = GaussianMean(plan, size_of(shapes), noise_generator)
        self.count = 0
        """Updates in the sum of this round; private where nobody knows who was drawn."""

    @property
    def max_grad_norm(self) -> float:
        """The norm to which updates of this round are clipped; set it where a run goes on.

        With `plan.clip_quantile` each `result` moves it, privately. Set it before the first `add`
        of a round, and only to what an earlier round left.
        """
        return self._mean.max_grad_norm

    @max_grad_norm.setter
    def max_grad_norm(self, norm: float) -> None:
        if self.count:
            raise ValueError(
                f"Expected the norm to be set before the first update, got {self.count} in the sum."
            )
        self._mean.max_grad_norm = replace(self._plan, max_grad_norm=norm).max_grad_norm

    def add(self, update: Mapping[str, torch.Tensor]) -> bool:
        """Clip an update over all its tensors together, and add it.

        An update with a number that is not finite adds nothing and is not counted.

        Args:
            update: By name, in any order; of any real dtype. It is not changed.

        Returns:
            Whether it was added and no longer than `max_grad_norm`. Private.

        Raises:
            ValueError: if names or shapes are others. Nothing is added.
        """
        clipped = clip_and_sum(row_of(update, self._shapes), self.max_grad_norm)
        if clipped.is_bad.any():
            return False
        self._mean.total += clipped.total
        self._mean.count(drawn=1, within=clipped.within)
        self.count += 1
        return bool(clipped.within)

    def result(self) -> dict[str, torch.Tensor]:
        """Return the noisy sum over the expected number of owners, and begin the next round.

        Call it once in each round that was reserved, also where nobody answered.

        Returns:
            Float32 by name.
        """
        self.count = 0
        return tensors_of(self._mean.release(), self._shapes)


@contextmanager
def spend_round(
    ledger: PrivacyLedger, owner: OwnerId, plan: PrivacyPlan, *, is_private: bool = True
) -> Iterator[None]:
    """Reserve one round in an account, and settle it however the block ends.

    A round that began counts, whether or not anything was released: who was drawn for it may have
    decided how it ended.

    Args:
        ledger: Of the one who adds up, or of an owner who adds noise.
        owner: The account: that of the federation, or that of this owner.
        plan: What is run; it must be what the account counts.
        is_private: False if the noise comes from a public seed; it is recorded.

    Raises:
        BudgetExhausted: if the round would pass the target. The block does not begin.
        LedgerInUse: if another process spends from this account.
        ValueError: if `plan` is not the account's, or hides something else than owners.
        OSError: if the reservation cannot be written.
    """
    if plan.unit != "owner":
        raise ValueError(f"Expected a plan with unit='owner', got unit={plan.unit!r}. Use spend.")
    with ledger.held_for(owner):
        reservation = ledger.reserve(owner, steps=1, plan=plan, is_private=is_private)
        with settled(ledger, reservation) as count:
            count(1)
            yield


def require_owners(plan: PrivacyPlan, neighbours: str, otherwise: str) -> None:
    """Refuse a plan that hides something else, or whose noise somebody else adds."""
    if plan.unit != "owner":
        raise ValueError(f"Expected a plan with unit='owner', got unit={plan.unit!r}. Use spend.")
    if plan.neighbouring_relation != neighbours:
        raise ValueError(
            f"Expected a plan with neighbouring_relation={neighbours!r}, got "
            f"{plan.neighbouring_relation!r}. That is for {otherwise}."
        )


def size_of(shapes: Shapes) -> int:
    """Return how many numbers learn, P.

    Raises:
        ValueError: if there are none.
    """
    size = sum(math.prod(shape) for shape in shapes.values())
    if size < 1:
        raise ValueError("Expected an update with at least one number, got shapes without any.")
    return size


def row_of(update: Mapping[str, torch.Tensor], shapes: Shapes) -> torch.Tensor:
    """Return an update as one row, (1, P) float64, its tensors sorted by name.

    Raises:
        ValueError: if names or shapes are others.
    """
    if update.keys() != shapes.keys():
        raise ValueError(
            f"Expected an update of {len(shapes)} tensors by name, got {len(update)}, of which "
            f"{len(update.keys() & shapes.keys())} are known. Drop this update."
        )
    for name, shape in shapes.items():
        if tuple(update[name].shape) != tuple(shape):
            raise ValueError(
                f"Expected {name} of shape {tuple(shape)}, got {tuple(update[name].shape)}. Drop "
                "this update."
            )
    parts = [update[name].detach().to("cpu", torch.float64).flatten() for name in sorted(shapes)]
    return torch.cat(parts)[None]


def tensors_of(row: torch.Tensor, shapes: Shapes) -> dict[str, torch.Tensor]:
    """Return the tensors of a row (P,) by name, float32: the way back from `row_of`."""
    names = sorted(shapes)
    parts = row.split([math.prod(shapes[name]) for name in names])
    return {
        name: part.reshape(tuple(shapes[name])).to(torch.float32)
        for name, part in zip(names, parts, strict=True)
    }
