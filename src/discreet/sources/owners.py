"""Share a data set out over owners as a stream: a person's records to one owner, in little memory.

Who owns a person follows from the seed and the person alone. One row more or less moves nobody
else, and the set is never in memory. `discreet.data.partition_by_owner` is for portraits that are
in memory: it gives every owner somebody, and a person more may move others.

    owner = first owner at which the cumulated shares of the person's group pass u
    u = keyed hash of the person, uniform in [0, 1)
    shares = Dirichlet(alpha) over owners, drawn from the seed and the group's name; else equal
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from discreet.errors import DataError
from discreet.sources.records import Record
from discreet.types import OwnerId

_KNOWN_GROUPS = 256


def partition(
    records: Iterable[Record],
    num_owners: int,
    *,
    alpha: float | None = None,
    label: str | None = None,
    by: str = "person",
    seed: int = 0,
) -> Iterator[tuple[OwnerId, Record]]:
    """Yield each record with its owner, in the order of the records.

    An owner may get nobody: with few people for each owner, or a small `alpha`, some do.

    Args:
        records: Read once; one is in memory at a time.
        num_owners: 1 or more.
        alpha: Concentration of a Dirichlet draw over owners for each value of `label`: small values
            give each owner a different mix (Hsu et al. 2019, arXiv:1909.06335). None shares people
            out evenly.
        label: Whose values are the groups under `alpha`. Of a person with several values the first
            counts, which takes some 100 bytes of memory a person.
        by: What stays together: `person`, `record` (each alone), or a label. Of records that do
            not say who they are of, those of one file stay together. A row of a table is known by
            its place, so add rows at its end.
        seed: Public; of every draw.

    Raises:
        ValueError: if there is no owner, alpha is not positive, or `label` is not given with it.
        DataError: at the end, if no record has a label that is asked for.
    """
    if num_owners < 1:
        raise ValueError(f"Expected 1 <= num_owners, got num_owners={num_owners}.")
    if alpha is not None and not 0 < alpha <= 1e6:
        raise ValueError(f"Expected 0 < alpha <= 1e6 or none, got alpha={alpha}.")
    if (alpha is None) != (label is None):
        raise ValueError("Expected alpha and label together: the groups to mix, and how much.")
    return _shared(records, _Shares(num_owners, alpha, seed), label, by)


def _shared(
    records: Iterable[Record], shares: "_Shares", label: str | None, by: str
) -> Iterator[tuple[OwnerId, Record]]:
    group_of: dict[int, str] = {}
    asked = {label or "person", by} - {"person", "record"}
    missing: set[str] = set()
    for record in records:
        if asked:
            missing = asked = asked - record.all_labels.keys()
        key = _key(record, by)
        group = "" if label is None else record.all_labels.get(label, "")
        if label is not None and by != "record":
            group = group_of.setdefault(_hash("group", key), sys.intern(group))
        yield OwnerId(f"owner-{shares.owner_of(key, group)}"), record
    if missing:
        raise DataError(
            f"Expected the label {', '.join(map(repr, missing))} in some record, found none. "
            "`discreet data show` says which there are."
        )


class _Shares:
    """The owner of a person; shares of some groups are kept, the others drawn again."""

    def __init__(self, num_owners: int, alpha: float | None, seed: int) -> None:
        self._num_owners = num_owners
        self._alpha = alpha
        self._seed = seed
        self._bounds: dict[str, npt.NDArray[np.float64]] = {}

    def owner_of(self, key: bytes, group: str) -> int:
        u = (_hash(f"{self._seed}/person", key) >> 11) / 2**53
        if self._alpha is None:
            return int(u * self._num_owners)
        if group not in self._bounds:
            if len(self._bounds) >= _KNOWN_GROUPS:
                self._bounds.clear()
            draw = np.random.default_rng(_hash(f"{self._seed}/shares", group.encode()))
            shares = draw.dirichlet(np.full(self._num_owners, self._alpha))
            self._bounds[group] = np.cumsum(shares)
        bounds = self._bounds[group]
        owner = int(np.searchsorted(bounds, u * bounds[-1], side="right"))
        return min(owner, self._num_owners - 1)


def _hash(purpose: str, key: bytes) -> int:
    """Return a number below 2^64 that follows from a purpose and a key."""
    head = purpose.encode()
    return int.from_bytes(hashlib.blake2b(head + b"\0" + key, digest_size=8).digest())


def _key(record: Record, by: str) -> bytes:
    """Return what a record is kept together by."""
    whole = record.person if by == "person" else record.all_labels.get(by)
    if by != "record" and whole is not None:
        return json.dumps([by, whole]).encode()
    first = [
        [medium.name, medium.row, medium.column] for medium in record.media if medium.data is None
    ]
    said = [turn.text for turn in record.turns] if by == "record" or not first else []
    return json.dumps([by, first if by == "record" else first[:1], said]).encode()
