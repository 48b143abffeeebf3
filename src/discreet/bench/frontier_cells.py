"""The grid of a frontier: what privacy costs, cell by cell, and what each cell measures.

    for spec in grid(epsilons=(8.0, 1.0), rules=("ffa",), units=("example",), seeds=(0, 1, 2)):
        print(spec.name)

Baselines come first, then every setting with the first seed, so that a table of few minutes has all
rows; further seeds make bands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from pydantic import FiniteFloat, TypeAdapter

from discreet.types import PrivacyStatement

Kind = Literal["base", "prompted", "alone", "central", "plain", "private"]
Group = Literal["utility", "leakage", "fairness", "cost"]
LEARNT_PLAINLY = ("ffa", "fedit")
"""Rules whose factors the plain trainer averages as they are; others have private rows alone."""
KINDS: tuple[Kind, ...] = get_args(Kind)
UNTRAINED: tuple[Kind, ...] = ("base", "prompted")
GROUPS: tuple[Group, ...] = get_args(Group)
IN_WORDS: Mapping[Kind, str] = {
    "base": "base model",
    "prompted": "base model, asked to adapt",
    "alone": "one owner alone, not private",
    "central": "all data in one place, not private",
    "plain": "federated, not private",
    "private": "federated, private",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One number of a cell."""

    name: str
    label: str
    group: Group
    is_more_better: bool = False
    unit: str = ""


METRICS = (
    Metric(name="loss", label="held-out loss", group="utility", unit="nats a token"),
    Metric(name="follows", label="follows the person", group="utility", is_more_better=True),
    Metric(name="fits", label="answers that fit", group="utility", is_more_better=True),
    Metric(name="recall", label="key facts said", group="utility", is_more_better=True),
    Metric(name="rouge", label="ROUGE-L at equal length", group="utility", is_more_better=True),
    Metric(name="members", label="members found at 1 % false alarms", group="leakage"),
    Metric(name="area", label="area of membership", group="leakage"),
    Metric(name="shown", label="epsilon shown at least", group="leakage"),
    Metric(name="withheld", label="withheld labels read, above guessing", group="leakage"),
    Metric(name="identity", label="who it is, above guessing", group="leakage"),
    Metric(name="mentions", label="answers that say who asks", group="leakage"),
    Metric(name="worst", label="loss of the worst group", group="fairness", unit="nats a token"),
    Metric(name="gap", label="largest gap of groups", group="fairness", unit="nats a token"),
    Metric(name="twins", label="twins differ by", group="fairness", unit="nats a token"),
    Metric(name="flips", label="twins' answers that differ", group="fairness"),
    Metric(name="seconds", label="training, by the clock", group="cost", unit="s"),
    Metric(name="cpu", label="training, of processors", group="cost", unit="s"),
    Metric(name="megabytes", label="sent, both ways", group="cost", unit="MB"),
    Metric(name="memory", label="memory at most", group="cost", unit="GB"),
)
"""In the order of the table; what a cell cannot have is left out of its values."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class CellSetting:
    """What is trained: a row of the table."""

    kind: Kind
    rule: str = ""
    """Of aggregation; empty where nothing is averaged."""
    unit: str = ""
    """Of privacy; empty where nothing is promised."""
    epsilon: float | None = None
    """None: nothing is promised."""

    @property
    def name(self) -> str:
        """Return a name for files, of letters and digits."""
        asked = "" if self.epsilon is None else repr(self.epsilon).removesuffix(".0")
        parts = [self.kind, self.rule, self.unit, asked]
        return "-".join(part for part in parts if part)

    @property
    def in_words(self) -> str:
        """Return the name of its row."""
        said = IN_WORDS[self.kind]
        if self.rule:
            said += f" ({self.rule})"
        return said


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """One cell: a setting and a seed."""

    setting: CellSetting
    seed: int | None
    """None: nothing is trained."""

    @property
    def name(self) -> str:
        """Return a name for files."""
        return self.setting.name + ("" if self.seed is None else f"-seed{self.seed}")


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontierCell:
    """What one cell measured."""

    setting: CellSetting
    seed: int | None
    values: Mapping[str, FiniteFloat] = field(repr=False)
    """What could be told; by the names of `METRICS`."""
    privacy: PrivacyStatement | None
    """What the worst owner spent."""
    took: FiniteFloat
    """Seconds in all."""
    made: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The code's commit, the machine, and the threads that measured it."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "FrontierCell":
        """Return the cell that `to_dict` wrote.

        Raises:
            ValueError: if a field is missing or of another type, or a value is not finite.
        """
        return TypeAdapter(cls).validate_python(record)


def grid(
    *,
    epsilons: Sequence[float],
    rules: Sequence[str],
    units: Sequence[str],
    seeds: Sequence[int],
) -> list[Spec]:
    """Return every cell, in the order in which they are measured.

    Args:
        epsilons: Budgets of private cells.
        rules: Of aggregation, of federated cells.
        units: Of privacy, of private cells.
        seeds: Of whatever is trained.

    Raises:
        ValueError: if there is no seed or rule, an epsilon is not above 0, or one comes twice.
    """
    lists: tuple[Sequence[object], ...] = (epsilons, rules, units, seeds)
    if not (seeds and rules) or any(len(set(own)) < len(own) for own in lists):
        raise ValueError(
            f"Expected a seed and a rule or more, and nothing twice, got {list(map(list, lists))}. "
            "Correct the lists."
        )
    if not all(0 < epsilon < float("inf") for epsilon in epsilons):
        raise ValueError(
            f"Expected finite epsilons above 0, got {list(epsilons)}. What is not private is there "
            "in any case."
        )
    trained = [CellSetting(kind="plain", rule=rule) for rule in rules if rule in LEARNT_PLAINLY]
    trained += [CellSetting(kind="central"), CellSetting(kind="alone")]
    trained += [
        CellSetting(kind="private", rule=rule, unit=unit, epsilon=epsilon)
        for rule in rules
        for unit in units
        for epsilon in epsilons
    ]
    untrained = [Spec(setting=CellSetting(kind=kind), seed=None) for kind in UNTRAINED]
    return [*untrained, *(Spec(setting=one, seed=seed) for seed in seeds for one in trained)]
