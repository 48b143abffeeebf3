"""From examples to users: bound what one person holds, and let one person be one voice.

Two ways to a guarantee for users (Charles et al. 2024, arXiv:2407.07737). ELS: examples are drawn
and clipped one by one, no user has more than K, and the accountant knows K. ULS: users are drawn,
and the mean over at most K examples of a user is clipped as one gradient.

    >>> most_of_one_user(["ann", "ben", "ann"])
    2
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import torch

from discreet.privacy.batching import ExampleLosses, LossFn, as_example_losses
from discreet.privacy.example_gradients import Rows
from discreet.privacy.randomness import CounterGenerator


def require_names(user_of: Sequence[Hashable]) -> None:
    """Refuse users that cannot be told apart by equality, such as elements of a tensor.

    Raises:
        ValueError: if one is not a plain text or whole number.
    """
    if not all(type(user) in (str, int) for user in user_of):
        raise ValueError(
            "Expected each user as a text or a whole number, got others: elements of tensors and "
            "not-a-numbers are all different, so that nobody would have two examples. Use tolist()."
        )


def most_of_one_user(user_of: Sequence[Hashable]) -> int:
    """Return how many examples the user with the most has; 0 for none.

    Raises:
        ValueError: if a user is not a plain text or whole number.
    """
    require_names(user_of)
    return max(Counter(user_of).values(), default=0)


class UserLosses:
    """A loss function of users, made from one of examples; the mean of at most `most` examples.

    Which examples of a user take part is drawn anew for each step, without looking at them.
    """

    def __init__(
        self,
        loss_of: LossFn,
        user_of: Sequence[Hashable],
        *,
        most: int,
        rows_per_example: int,
        generator: CounterGenerator,
    ) -> None:
        self._loss_of = loss_of
        self._most = most
        self._rows_per_example = rows_per_example
        self._generator = generator
        require_names(user_of)
        own: dict[Hashable, list[int]] = {}
        for example, user in enumerate(user_of):
            own.setdefault(user, []).append(example)
        self._own = list(own.values())

    def __len__(self) -> int:
        """Return how many users there are."""
        return len(self._own)

    def __call__(self, users: Sequence[int]) -> ExampleLosses:
        """Return one loss for each user, (U,), and whose the rows are."""
        chosen = [self._choose(self._own[user]) for user in users]
        examples = [example for own in chosen for example in own]
        found = as_example_losses(
            self._loss_of(examples), len(examples), rows_per_example=self._rows_per_example
        )
        place = torch.tensor([p for p, own in enumerate(chosen) for _ in own])  # (examples,)
        counts = torch.tensor([len(own) for own in chosen])
        place_here = place.to(found.values.device)
        sums = found.values.new_zeros(len(users)).index_add(0, place_here, found.values)
        return ExampleLosses(
            values=sums / counts.to(sums), rows=_of_users(found.rows, place.to(torch.long))
        )

    def _choose(self, own: list[int]) -> list[int]:
        """Return at most `most` of a user's examples, each subset of that size alike."""
        if len(own) <= self._most:
            return own
        order = self._generator.uniform(len(own)).argsort()[: self._most]
        return [own[int(place)] for place in order.sort().values]


def _of_users(rows: Rows, place: torch.Tensor) -> Rows:
    """Return the user of each row, from the example of each row."""
    if isinstance(rows, Mapping):
        return {part: place.to(index.device)[index] for part, index in rows.items()}
    return place.to(rows.device)[rows]
