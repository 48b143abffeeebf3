"""What a private run promises, in public numbers.

A `PrivacyPlan` holds everything that changes the guarantee and nothing that comes from the data:
sampling, clipping, noise and accountant are bound together so that they cannot disagree. It knows
nothing of what was spent; that is the ledger's.

>>> plan = calibrate(target_epsilon=8.0, delta=1e-5, sample_rate=0.1, steps=50,
...                  expected_batch_size=8)
>>> plan.epsilon <= 8.0
True
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Self, get_args

from discreet.privacy.accounting import Accountant, Event, OutOfRange, epsilon_of
from discreet.types import PrivacyStatement

Unit = Literal["example"]
"""What is hidden: one example. A person with several examples has a larger epsilon."""

NeighbouringRelation = Literal["add_or_remove_one"]
"""Two data sets are neighbours if one has one unit more."""

_LARGEST_NOISE = 1e6
_TIGHTNESS = 0.98


@dataclass(frozen=True, kw_only=True, slots=True)
class PrivacyPlan:
    """The public settings of differentially private training; all of them may be published."""

    target_epsilon: float
    """Budget that may never be passed, above 0."""
    delta: float
    """Chance of a worse loss than epsilon, in (0, 1); well below 1 / number of people."""
    max_grad_norm: float
    """L2 norm to which the gradient of one example is clipped, above 0."""
    noise_multiplier: float
    """Standard deviation of the noise over `max_grad_norm`, above 0."""
    sample_rate: float
    """Chance of each example to be in a step (Poisson sampling), in (0, 1]."""
    steps: int
    """Number of steps planned over all rounds, 1 or more."""
    expected_batch_size: int
    """Public divisor of the noisy sum, 1 or more; never the size of the batch drawn."""
    unit: Unit = "example"
    """What the guarantee hides."""
    neighbouring_relation: NeighbouringRelation = "add_or_remove_one"
    """Which data sets may not be told apart."""
    accountant: Accountant = "prv"
    """How epsilon is composed."""

    def __post_init__(self) -> None:
        """Refuse values that carry no guarantee."""
        for name in ("target_epsilon", "max_grad_norm", "noise_multiplier"):
            _require_positive(name, getattr(self, name))
        _require_number("delta", self.delta)
        if not 0 < self.delta < 1:
            raise ValueError(
                f"Expected 0 < delta < 1, got delta={self.delta}. Use well below 1 / people."
            )
        _require_number("sample_rate", self.sample_rate)
        if not 0 < self.sample_rate <= 1:
            raise ValueError(
                f"Expected 0 < sample_rate <= 1, got sample_rate={self.sample_rate}. "
                "Use expected_batch_size / num_examples."
            )
        for name in ("steps", "expected_batch_size"):
            require_count(name, getattr(self, name))
        _require_choice("unit", self.unit, get_args(Unit))
        _require_choice(
            "neighbouring_relation", self.neighbouring_relation, get_args(NeighbouringRelation)
        )
        _require_choice("accountant", self.accountant, get_args(Accountant))

    @property
    def epsilon(self) -> float:
        """Return the epsilon of all planned steps; composed anew on each call."""
        return epsilon_of([self], self.delta, self.accountant)

    def event(self, steps: int) -> Event:
        """Return what `steps` steps of this plan, taken in one call, are to an accountant."""
        return Event(
            noise_multiplier=self.noise_multiplier, sample_rate=self.sample_rate, steps=steps
        )

    def state(self, epsilon: float) -> PrivacyStatement:
        """Return a spent epsilon together with the three things that give it meaning."""
        return PrivacyStatement(
            epsilon=epsilon,
            delta=self.delta,
            unit=self.unit,
            neighbouring_relation=self.neighbouring_relation,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the plan that `to_dict` wrote.

        Raises:
            ValueError: on a missing or unknown key, or a value out of range.
        """
        require_keys("a privacy plan", values, {field.name for field in fields(cls)})
        return cls(**values)


def calibrate(
    *,
    target_epsilon: float,
    delta: float,
    sample_rate: float,
    steps: int,
    expected_batch_size: int,
    max_grad_norm: float = 1.0,
    accountant: Accountant = "prv",
) -> PrivacyPlan:
    """Return the plan that spends 98 to 100 % of the target over all its steps.

    Raises:
        ValueError: if a setting is out of range, or no noise meets the target with the accountant.
    """
    probe = PrivacyPlan(
        target_epsilon=target_epsilon,
        delta=delta,
        max_grad_norm=max_grad_norm,
        noise_multiplier=1.0,
        sample_rate=sample_rate,
        steps=steps,
        expected_batch_size=expected_batch_size,
        accountant=accountant,
    )
    low, high, epsilon = _bracket(probe)
    while epsilon < _TIGHTNESS * target_epsilon and high / low > 1 + 1e-4:
        middle = math.sqrt(low * high)
        reached = _epsilon_with(probe, middle)
        if reached <= target_epsilon:
            high, epsilon = middle, reached
        else:
            low = middle
    if epsilon >= _TIGHTNESS * target_epsilon:
        return replace(probe, noise_multiplier=high)
    raise ValueError(
        f"Expected a target_epsilon that the {accountant} accountant can meet closely, got "
        f"target_epsilon={target_epsilon:g}: the nearest sound value is {epsilon:.3g}. Use "
        "that, or change sample_rate or steps."
    )


def _bracket(probe: PrivacyPlan) -> tuple[float, float, float]:
    """Return a noise multiplier over the target, one within it, and the latter's epsilon."""
    high = 1.0
    while (epsilon := _epsilon_with(probe, high)) > probe.target_epsilon:
        high *= 2
        if high > _LARGEST_NOISE:
            raise ValueError(
                f"Expected a target_epsilon that noise can reach, got target_epsilon="
                f"{probe.target_epsilon:g} at delta={probe.delta:g} with the {probe.accountant} "
                "accountant. Raise target_epsilon (prv resolves 0.01), or lower sample_rate."
            )
    low = high / 2
    while (lower := _epsilon_with(probe, low)) <= probe.target_epsilon:
        low, high, epsilon = low / 2, low, lower
    return low, high, epsilon


def _epsilon_with(probe: PrivacyPlan, noise_multiplier: float) -> float:
    """Return the epsilon for another noise; infinity where none can be proved."""
    try:
        return replace(probe, noise_multiplier=noise_multiplier).epsilon
    except OutOfRange:
        return math.inf


def require_count(name: str, value: object) -> None:
    """Refuse anything but a whole number of 1 or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"Expected {name} >= 1, a whole number, got {name}={value!r}.")


def require_keys(what: str, values: Mapping[str, Any], expected: set[str]) -> None:
    """Refuse a mapping whose keys are not exactly the expected ones."""
    if set(values) != expected:
        missing, unknown = sorted(expected - set(values)), sorted(set(values) - expected)
        raise ValueError(
            f"Expected the {len(expected)} keys of {what}, got missing {missing} and unknown "
            f"{unknown}. Write it with the same version of discreet."
        )


def _require_number(name: str, value: object) -> None:
    """Refuse anything but a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"Expected {name} to be a finite number, got {name}={value!r}.")


def _require_positive(name: str, value: float) -> None:
    """Refuse anything but a finite number above zero."""
    _require_number(name, value)
    if value <= 0:
        raise ValueError(
            f"Expected {name} > 0, got {name}={value}. Training without privacy is another "
            "function, not a setting of this one."
        )


def _require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not one of a few words."""
    if value not in choices:
        raise ValueError(f"Expected {name} to be one of {choices}, got {name}={value!r}.")
