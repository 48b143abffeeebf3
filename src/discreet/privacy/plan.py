"""What a private run promises, in public numbers.

A `PrivacyPlan` holds everything that changes the guarantee and nothing that comes from the data:
unit, neighbours, sampling, clipping, weights, noise and accountant are bound together so that they
cannot disagree. `event` is the only way from a plan to an accountant. It knows nothing of what was
spent; that is the ledger's.

>>> plan = calibrate(target_epsilon=8.0, delta=1e-5, sample_rate=0.1, steps=50,
...                  expected_batch_size=8)
>>> plan.epsilon <= 8.0
True

Hidden are all examples of a user, of which at most four are used; examples are still drawn and
clipped one by one, which takes more noise:

>>> users = calibrate(target_epsilon=8.0, delta=1e-5, sample_rate=0.1, steps=50,
...                   expected_batch_size=8, unit="user", examples_per_user=4)
>>> users.noise_multiplier > 2 * plan.noise_multiplier
True

Hidden is all that one owner of a federation holds: a round is a step, in which 20 of 1,000 owners
are drawn and the update of each is clipped:

>>> owners = calibrate(target_epsilon=8.0, delta=1e-5, sample_rate=0.02, steps=100,
...                    expected_batch_size=20, unit="owner", sampled="owner")
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Self, get_args

from discreet.errors import BudgetExhausted
from discreet.privacy.accounting import (
    Accountant,
    Event,
    OutOfRange,
    SubsampledGaussian,
    epsilon_of,
)
from discreet.types import PrivacyStatement

Unit = Literal["example", "user", "owner"]
"""What is hidden: one example, all examples of one user, or whatever one owner of a federation
contributes. Whoever has several examples has a larger epsilon than that of the unit `example`."""

Sampled = Literal["example", "user", "owner"]
"""What the coins of a step decide on, and what is clipped: an example, a user's mean, or an owner's
update."""

Sampler = Literal["poisson", "cyclic", "bins"]
"""`poisson`: everything joins a step on a coin of its own. `cyclic`: everything draws, once a call,
one of `bands` groups; step t takes from group t mod `bands`, each member on a coin. `bins`:
everything draws, once an epoch, the one step that it is in. Every draw is independent of all
others: groups or bins made equal in size would tell, by where others went, who is there."""

NeighbouringRelation = Literal["add_or_remove_one", "zero_out_one"]
"""Two data sets are neighbours if one has one unit more; or if one owner's update is zero in one of
them, while who takes part is known and no part of what is hidden. The second is for owners who add
the noise themselves: without an owner, that owner's share of the noise is missing as well."""

_LARGEST_NOISE = 1e6
_SMALLEST_NORM = 1e-30
_TIGHTNESS = 0.98


@dataclass(frozen=True, kw_only=True, slots=True)
class PrivacyPlan:
    """The public settings of differentially private training; all of them may be published.

    What is sampled has equal weight: its clipped gradient enters the sum, which is divided by
    `expected_batch_size`, a public constant.
    """

    target_epsilon: float
    """Budget that may never be passed, above 0."""
    delta: float
    """What is added to the bound by epsilon, a probability in (0, 1); well below 1 / people. The
    chance that the loss exceeds epsilon can be several times larger."""
    max_grad_norm: float
    """L2 norm to which the gradient of what is sampled (an example's, or the mean of a user's), or
    an owner's update, is clipped, above 0; with `clip_quantile` the norm of the first step."""
    noise_multiplier: float
    """Standard deviation of the noise over the clipping norm, above 0. With `clip_quantile` or
    `loss_noise` that of all that a step releases; see `gradient_noise_multiplier`."""
    sample_rate: float
    """Chance of everything sampled to be in a step, in (0, 1], over all groups or bins."""
    steps: int
    """Number of steps planned over all rounds, 1 or more; a round, where owners are sampled."""
    expected_batch_size: int
    """Public divisor of the noisy sum, 1 or more, in examples, users or owners as sampled; never
    the size of the batch drawn."""
    unit: Unit = "example"
    """What the guarantee hides."""
    neighbouring_relation: NeighbouringRelation = "add_or_remove_one"
    """Which data sets may not be told apart."""
    accountant: Accountant = "pld"
    """How epsilon is composed."""
    sampled: Sampled = "example"
    """What is drawn and clipped. Examples for users is ELS, users for users is ULS (Charles et al.
    2024, arXiv:2407.07737)."""
    examples_per_user: int | None = None
    """Most examples of one user, 1 or more; for the unit `user` only."""
    sampler: Sampler = "poisson"
    """How a step is drawn. Only `bins` has no amplification by sampling in its epsilon."""
    bands: int = 1
    """Steps over which noise is correlated, which are also the groups of `cyclic`: nothing is in
    two steps that are less than `bands` apart (Choquette-Choo et al. 2023, arXiv:2306.08153)."""
    steps_per_call: int | None = None
    """Steps taken at a time, 1 or more; None: all. Groups and bins are drawn anew in each call, so
    that they cost more when calls are short. No matter to `poisson`."""
    clip_quantile: float | None = None
    """Share of gradients that the clipping norm should not touch, in (0, 1): the norm follows them
    by noisy counts (Andrew et al. 2021, arXiv:1905.03871). None: it stays."""
    clip_count_noise: float = 0.0
    """Standard deviation of the noise of that count, in counts, above half of `noise_multiplier`
    (a twentieth of `expected_batch_size` is usual); 0 without `clip_quantile`."""
    loss_noise: float | None = None
    """Standard deviation of the noise of the sum of losses that each step releases, over
    `loss_clip`, above `noise_multiplier`; three times that costs 6 % more noise on the gradients.
    None: no loss is released."""
    loss_clip: float = 5.0
    """Most that one sampled thing adds to that sum, above 0; a public number, like the norm."""

    def __post_init__(self) -> None:
        """Refuse values that carry no guarantee."""
        self._check_numbers()
        self._check_unit()
        self._check_sampler()
        self._check_clipping()
        self._check_losses()

    def _check_numbers(self) -> None:
        """Refuse values out of range, each on its own."""
        for name in ("target_epsilon", "max_grad_norm", "noise_multiplier"):
            _require_positive(name, getattr(self, name))
        if not _SMALLEST_NORM <= self.max_grad_norm <= 1 / _SMALLEST_NORM:
            raise ValueError(
                f"Expected max_grad_norm from {_SMALLEST_NORM:g} to {1 / _SMALLEST_NORM:g}, got "
                f"max_grad_norm={self.max_grad_norm:g}: gradients in float32 are not that long."
            )
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
        for name in ("steps", "expected_batch_size", "bands"):
            require_count(name, getattr(self, name))
        for name in ("examples_per_user", "steps_per_call"):
            if getattr(self, name) is not None:
                require_count(name, getattr(self, name))
        for name, choices in _CHOICES.items():
            _require_choice(name, getattr(self, name), get_args(choices))

    def _check_unit(self) -> None:
        """Refuse a unit that what is sampled does not bound."""
        if "owner" in (self.unit, self.sampled):
            self._check_owners()
            return
        if self.neighbouring_relation != "add_or_remove_one":
            raise ValueError(
                f"Expected neighbouring_relation='add_or_remove_one' for unit={self.unit!r}, got "
                f"{self.neighbouring_relation!r}, which is for owners who add the noise themselves."
            )
        if self.unit == "example" and self.sampled != "example":
            raise ValueError(
                f"Expected sampled='example' for unit='example', got sampled={self.sampled!r}. "
                "Use unit='user' to hide users."
            )
        if self.unit == "example" and self.examples_per_user is not None:
            raise ValueError(
                f"Expected no examples_per_user for unit='example', got examples_per_user="
                f"{self.examples_per_user}. Use unit='user' to hide all examples of a user."
            )
        if self.unit == "user" and self.examples_per_user is None:
            raise ValueError(
                "Expected examples_per_user for unit='user', got examples_per_user=None. Say how "
                "many examples of one user may be used; the rest are left out."
            )
        if self.accountant == "prv" and self.contributions > 1 and self.sampler != "bins":
            raise ValueError(
                f"Expected accountant='pld' or 'rdp' for {self.contributions} sampled examples a "
                "user, got accountant='prv', which knows one. Use pld."
            )

    def _check_owners(self) -> None:
        """Refuse what is not accounted for where whole owners are hidden."""
        fixed: dict[str, object] = {
            "unit": "owner",
            "sampled": "owner",
            "sampler": "poisson",
            "examples_per_user": None,
        }
        if self.neighbouring_relation == "zero_out_one":
            # Sums of discrete Gaussians are bounded in Renyi's divergence, and whoever adds noise
            # is known to take part and cannot follow a norm that moves.
            fixed |= {"accountant": "rdp", "sample_rate": 1.0, "clip_quantile": None}
        for name, value in fixed.items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"Expected {name}={value!r} where owners are hidden and neighbours are "
                    f"{self.neighbouring_relation}, got {name}={getattr(self, name)!r}."
                )

    def _check_sampler(self) -> None:
        """Refuse correlated noise whose participation rule the sampler does not keep."""
        if (self.sampler == "cyclic") != (self.bands > 1):
            raise ValueError(
                f"Expected sampler='cyclic' together with bands > 1, got sampler="
                f"{self.sampler!r} and bands={self.bands}. Correlated noise needs groups that keep "
                "everyone's steps apart, and groups are of no use without it."
            )
        if self.bands > min(self.steps, self.steps_per_call or self.steps):
            raise ValueError(
                f"Expected bands <= steps of a call "
                f"({min(self.steps, self.steps_per_call or self.steps)}), got bands={self.bands}: "
                "some groups would never have a turn. Lower bands, or take more steps at once."
            )
        if self.bands * self.sample_rate > 1 + 1e-9:
            raise ValueError(
                f"Expected bands * sample_rate <= 1, got bands={self.bands} and sample_rate="
                f"{self.sample_rate:g}: a group is too small for the batch. Lower one of them."
            )
        if self.bands > 1 and self.contributions > 1:
            raise ValueError(
                f"Expected one sampled thing a user with bands > 1, got bands={self.bands} and "
                f"{self.contributions} examples: they may fall into steps that share noise. Use "
                "sampled='user', or bands=1."
            )

    def _check_clipping(self) -> None:
        """Refuse adaptive clipping whose count leaves no noise for the gradients."""
        _require_number("clip_count_noise", self.clip_count_noise)
        if self.clip_quantile is None:
            if self.clip_count_noise != 0:
                raise ValueError(
                    f"Expected clip_count_noise=0 for a fixed clipping norm, got clip_count_noise="
                    f"{self.clip_count_noise}. Set clip_quantile to let the norm follow a quantile."
                )
            return
        _require_number("clip_quantile", self.clip_quantile)
        if not 0 < self.clip_quantile < 1:
            raise ValueError(
                f"Expected 0 < clip_quantile < 1, got clip_quantile={self.clip_quantile}. 0.5 is "
                "the median."
            )
        if not 2 * self.clip_count_noise > self.noise_multiplier:
            raise ValueError(
                f"Expected clip_count_noise > noise_multiplier / 2 = {self.noise_multiplier / 2:g}"
                f", got clip_count_noise={self.clip_count_noise:g}: the count alone would spend "
                "the budget. expected_batch_size / 20 is usual; a larger batch makes room for it."
            )

    def _check_losses(self) -> None:
        """Refuse losses whose release is not accounted for, or leaves gradients no noise."""
        _require_number("loss_clip", self.loss_clip)
        if not _SMALLEST_NORM <= self.loss_clip <= 1 / _SMALLEST_NORM:
            raise ValueError(
                f"Expected loss_clip from {_SMALLEST_NORM:g} to {1 / _SMALLEST_NORM:g}, got "
                f"loss_clip={self.loss_clip:g}. Use about the largest loss before training."
            )
        if self.loss_noise is None:
            return
        if self.bands > 1 or self.unit == "owner":
            raise ValueError(
                f"Expected no loss_noise with bands > 1 or unit='owner', got bands={self.bands} "
                f"and unit={self.unit!r}: that is not accounted for. Leave loss_noise out."
            )
        _require_number("loss_noise", self.loss_noise)
        left = self.noise_multiplier**-2 - self._count_precision
        if not (self.loss_noise > self.noise_multiplier and self.loss_noise**-2 < left):
            raise ValueError(
                f"Expected loss_noise > {1 / math.sqrt(left):g}, got loss_noise="
                f"{self.loss_noise:g}: the losses alone would spend the budget. Three times "
                "noise_multiplier is usual; a larger batch makes room for it."
            )

    @property
    def contributions(self) -> int:
        """Return how many sampled things one unit may have."""
        return (self.examples_per_user or 1) if self.sampled == "example" else 1

    @property
    def is_amplified(self) -> bool:
        """Return whether epsilon is smaller because nobody knows who was drawn."""
        return self.sampler != "bins" and self.group_rate < 1

    @property
    def group_rate(self) -> float:
        """Return the chance to be drawn that members of a step's group have.

        Everything is in the one group, except with the sampler `cyclic`.
        """
        return min(1.0, self.bands * self.sample_rate)

    @property
    def steps_per_epoch(self) -> int:
        """Return after how many steps of the sampler `bins` everything was used once."""
        return max(1, round(1 / self.sample_rate))

    @property
    def gradient_noise_multiplier(self) -> float:
        """Return the noise of the sum of gradients over the clipping norm.

        With adaptive clipping or released losses it is larger than `noise_multiplier`, and so pays
        for count and losses: all together are one Gaussian mechanism of `noise_multiplier`, because
        what one sampled thing adds to each, over that one's noise, is a vector of length
        1 / noise_multiplier at most.

        Source: Andrew et al. 2021, Theorem 1 (arXiv:1905.03871).
        """
        others = self._count_precision
        if self.loss_noise is not None:
            others += self.loss_noise**-2
        if others == 0:
            return self.noise_multiplier
        return 1 / math.sqrt(self.noise_multiplier**-2 - others)

    @property
    def _count_precision(self) -> float:
        """Return the precision of the count, over what one example moves it by: 1/2."""
        return 0.0 if self.clip_quantile is None else (2 * self.clip_count_noise) ** -2

    @property
    def epsilon(self) -> float:
        """Return the epsilon of all planned steps; composed anew on each call."""
        return epsilon_of(self.events(), self.delta, self.accountant)

    def event(self, steps: int) -> Event:
        """Return what `steps` steps of this plan, taken in one call, are to an accountant.

        `poisson`: each step is a composition. `cyclic`: nobody is in more than one of `bands`
        steps, and the columns of the factor of the noise have norm 1, so that a call is as many
        compositions as a group has turns (Choquette-Choo et al. 2023, Section 4,
        arXiv:2306.08153). `bins`: one full participation for each epoch begun, all things of a
        unit in the same step at worst.
        """
        require_count("steps", steps)
        rate, compositions = self.group_rate, math.ceil(steps / self.bands)
        if self.sampler == "bins":
            rate, compositions = 1.0, math.ceil(steps / self.steps_per_epoch)
        return Event(
            noise_multiplier=self.noise_multiplier,
            sample_rate=rate,
            steps=compositions,
            contributions=self.contributions,
        )

    def events(self) -> list[Event]:
        """Return what all planned steps are to an accountant, call by call."""
        size = self.steps_per_call or self.steps
        whole, rest = divmod(self.steps, size)
        events = [] if whole == 0 else [_times(self.event(size), whole)]
        return [*events, self.event(rest)] if rest else events

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

        Ledgers of version 0.1.0 lack the fields from `sampled` on; their plans mean the defaults.

        Raises:
            ValueError: on a missing or unknown key, or a value out of range.
        """
        known = {field.name for field in fields(cls)}
        require_keys("a privacy plan", values, known - (_LATER - set(values)))
        return cls(**values)


def calibrate(
    *,
    target_epsilon: float,
    delta: float,
    sample_rate: float,
    steps: int,
    expected_batch_size: int,
    max_grad_norm: float = 1.0,
    accountant: Accountant = "pld",
    unit: Unit = "example",
    neighbouring_relation: NeighbouringRelation = "add_or_remove_one",
    sampled: Sampled = "example",
    examples_per_user: int | None = None,
    sampler: Sampler = "poisson",
    bands: int = 1,
    steps_per_call: int | None = None,
    clip_quantile: float | None = None,
    clip_count_noise: float = 0.0,
    loss_noise: float | None = None,
    loss_clip: float = 5.0,
    already: Sequence[SubsampledGaussian] = (),
) -> PrivacyPlan:
    """Return the plan with the noise that spends 98 to 100 % of what is left of the target.

    What is not named below is the field of that name of `PrivacyPlan`.

    Args:
        target_epsilon: For all steps of the plan and all of `already` together.
        already: What the account has spent, in the same unit; nothing for a new one.

    Raises:
        ValueError: if a setting is out of range, or no noise meets the target with the accountant.
        BudgetExhausted: if `already` leaves nothing.
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
        unit=unit,
        neighbouring_relation=neighbouring_relation,
        sampled=sampled,
        examples_per_user=examples_per_user,
        sampler=sampler,
        bands=bands,
        steps_per_call=steps_per_call,
    )
    noise_multiplier = _least_noise(probe, already)
    return replace(
        probe,
        noise_multiplier=noise_multiplier,
        clip_quantile=clip_quantile,
        clip_count_noise=clip_count_noise,
        loss_noise=loss_noise,
        loss_clip=loss_clip,
    )


def _least_noise(probe: PrivacyPlan, already: Sequence[SubsampledGaussian]) -> float:
    """Return the noise that spends what is left, and no more."""
    target = probe.target_epsilon
    spent = epsilon_of(already, probe.delta, probe.accountant)
    if spent >= target:
        raise BudgetExhausted(
            f"Expected something left of epsilon = {target:g}, got {probe.state(spent)} spent "
            "already. Raise target_epsilon, or train on new data."
        )
    enough = target - (1 - _TIGHTNESS) * (target - spent)
    low, high, epsilon = _bracket(probe, already)
    while epsilon < enough and high / low > 1 + 1e-4:
        middle = math.sqrt(low * high)
        reached = _epsilon_with(probe, middle, already)
        if reached <= target:
            high, epsilon = middle, reached
        else:
            low = middle
    if epsilon >= enough:
        return high
    raise ValueError(
        f"Expected a target_epsilon that the {probe.accountant} accountant can meet closely, got "
        f"target_epsilon={target:g}: the nearest sound value is {epsilon:.3g}. Use that, or change "
        "sample_rate or steps."
    )


def _bracket(
    probe: PrivacyPlan, already: Sequence[SubsampledGaussian]
) -> tuple[float, float, float]:
    """Return a noise multiplier over the target, one within it, and the latter's epsilon."""
    high = 1.0
    while (epsilon := _epsilon_with(probe, high, already)) > probe.target_epsilon:
        high *= 2
        if high > _LARGEST_NOISE:
            raise ValueError(
                f"Expected a target_epsilon that noise can reach, got target_epsilon="
                f"{probe.target_epsilon:g} at delta={probe.delta:g} with the {probe.accountant} "
                "accountant. Raise target_epsilon or delta, use accountant='pld' (prv resolves "
                "0.01), or lower sample_rate."
            )
    low = high / 2
    while (lower := _epsilon_with(probe, low, already)) <= probe.target_epsilon:
        low, high, epsilon = low / 2, low, lower
    return low, high, epsilon


def _epsilon_with(
    probe: PrivacyPlan, noise_multiplier: float, already: Sequence[SubsampledGaussian]
) -> float:
    """Return the epsilon for another noise; infinity where none can be proved."""
    coming = replace(probe, noise_multiplier=noise_multiplier).events()
    try:
        return epsilon_of([*already, *coming], probe.delta, probe.accountant)
    except OutOfRange:
        return math.inf


def _times(event: Event, times: int) -> Event:
    """Return an event that happened several times, as one."""
    return replace(event, steps=event.steps * times)


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


_LATER = {
    "sampled",
    "examples_per_user",
    "sampler",
    "bands",
    "steps_per_call",
    "clip_quantile",
    "clip_count_noise",
    "loss_noise",
    "loss_clip",
}
"""Fields that older files lack."""

_CHOICES = {
    "unit": Unit,
    "neighbouring_relation": NeighbouringRelation,
    "accountant": Accountant,
    "sampled": Sampled,
    "sampler": Sampler,
}
"""Field of a plan -> the words it may be."""


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
