"""What many owners spent, in few lines.

>>> spent = PrivacyStatement(
...     epsilon=2.0, delta=1e-5, unit="example", neighbouring_relation="add_or_remove_one"
... )
>>> list(lines_of_owners({"clinic-a": spent}))
['clinic-a spent epsilon = 2.00 at delta = 1e-05 (unit: example, neighbours: add_or_remove_one)']
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from statistics import fmean

from discreet.types import PrivacyStatement, with_numbers

MOST_OWNERS = 20
"""Owners that are told one by one."""


def lines_of_owners(spent: Mapping[str, PrivacyStatement]) -> Iterator[str]:
    """Yield what each owner spent; of more than `MOST_OWNERS` the worst, the mean and the count."""
    if len(spent) <= MOST_OWNERS:
        for owner in sorted(spent, key=with_numbers):
            yield f"{owner} spent {spent[owner]}"
        return
    worst = max(sorted(spent, key=with_numbers), key=lambda owner: spent[owner].epsilon)
    yield f"{worst} spent most of {len(spent)} owners: {spent[worst]}"
    if mean := mean_of(spent.values()):
        yield f"mean of {len(spent)} owners: {mean}"
    yield "every owner: --json"


def mean_of(spent: Iterable[PrivacyStatement]) -> PrivacyStatement | None:
    """Return the mean epsilon; None where the statements differ in more than epsilon."""
    spent = list(spent)
    kinds = {replace(one, epsilon=0.0) for one in spent}
    return replace(spent[0], epsilon=fmean(s.epsilon for s in spent)) if len(kinds) == 1 else None
