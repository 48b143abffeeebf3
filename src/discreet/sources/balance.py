"""Who a data set is of: counts by label, by pairs of labels, and combinations without anybody.

Counts are of records. A label with many different values (names, captions) is not shown: its values
would tell of single people.
"""

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from itertools import combinations, product

MAX_VALUES = 64
MAX_PAIRED = 8
"""Labels that are counted in pairs: the first of the layout."""
MAX_GAP_VALUES = 16
MIN_RECORDS = 10
"""Of each value of a label that may name people, for its values to be shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelCounts:
    """How often each value of one label occurs."""

    label: str
    is_audit: bool
    """Only audits may read this label."""
    counts: dict[str, int]
    missing: int
    """Records without it."""

    def share(self, value: str) -> float:
        """Return the share of the records that have the label, in [0, 1]."""
        return self.counts[value] / max(1, sum(self.counts.values()))

    def times_equal(self, value: str) -> float:
        """Return the share over that of a set in which all values are equally common."""
        return self.share(value) * len(self.counts)


@dataclass(frozen=True, kw_only=True, slots=True)
class PairCounts:
    """How often the values of two labels occur together; 0 is a gap."""

    labels: tuple[str, str]
    counts: dict[tuple[str, str], int]

    @property
    def gaps(self) -> list[tuple[str, str]]:
        """Combinations that nobody has."""
        return [values for values, count in self.counts.items() if not count]


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """All counts of a set."""

    labels: list[LabelCounts]
    pairs: list[PairCounts]
    not_shown: list[str] = field(default_factory=list)
    """Labels with too many values, or with values that may name people and few records have."""


class Tally:
    """Counts labels record by record; what it holds does not grow with the set."""

    def __init__(
        self, vocabulary: Mapping[str, tuple[str, ...]], may_be_names: Container[str] = ()
    ) -> None:
        """Start with the values that a layout knows, so that a value nobody has is seen."""
        self._vocabulary = vocabulary
        self._may_be_names = may_be_names
        self._counts: dict[str, Counter[str]] = {}
        self._pairs: dict[tuple[str, str], Counter[tuple[str, str]]] = {}
        self._audit: set[str] = set()
        self._open: set[str] = set()
        self._records = 0

    def add(self, labels: Mapping[str, str], audit_labels: Mapping[str, str]) -> None:
        """Count the labels of a record."""
        self._records += 1
        self._audit |= audit_labels.keys()
        found = {**labels, **audit_labels}
        for name, value in found.items():
            if name not in self._open:
                counts = self._counts.setdefault(name, Counter())
                counts[value] += 1
                if len(counts) > MAX_VALUES:
                    self._give_up(name)
        paired = [name for name in self._paired() if name in found]
        for a, b in combinations(paired, 2):
            self._pairs.setdefault((a, b), Counter())[found[a], found[b]] += 1

    def _paired(self) -> list[str]:
        """Return the labels that are counted in pairs."""
        return [name for name in self._counts if name not in self._open][:MAX_PAIRED]

    def _give_up(self, name: str) -> None:
        self._open.add(name)
        self._counts[name].clear()
        for pair in [pair for pair in self._pairs if name in pair]:
            del self._pairs[pair]

    def balance(self) -> Balance:
        """Return what was counted."""
        told = {name: self._told(name) for name in self._counts if self._is_shown(name)}
        labels = [
            LabelCounts(
                label=name,
                is_audit=name in self._audit,
                counts=counts,
                missing=self._records - sum(counts.values()),
            )
            for name, counts in told.items()
        ]
        pairs = [
            PairCounts(
                labels=(a, b),
                counts={values: counts[values] for values in product(told[a], told[b])},
            )
            for (a, b), counts in self._pairs.items()
            if a in told and b in told and max(len(told[a]), len(told[b])) <= MAX_GAP_VALUES
        ]
        hidden = [name for name in self._counts if name not in told]
        return Balance(labels=labels, pairs=pairs, not_shown=hidden)

    def _told(self, name: str) -> dict[str, int]:
        """Return the counts of a label: in the layout's order, or the most common first."""
        counts = self._counts[name]
        values = self._vocabulary.get(name) or [value for value, _ in counts.most_common()]
        return {value: counts[value] for value in values}

    def _is_shown(self, name: str) -> bool:
        """Return whether the values of a label are groups, and do not tell people apart."""
        if name in self._vocabulary:
            return True
        counts = self._counts[name]
        if name in self._may_be_names and min(counts.values(), default=0) < MIN_RECORDS:
            return False
        return name not in self._open and 2 * len(counts) <= counts.total()
