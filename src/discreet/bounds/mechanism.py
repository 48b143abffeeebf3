"""A sharp test of the private step itself: does it let an auditor guess better than it promises?

Everything takes part in each step, so that nothing is hidden by sampling and the whole promise can
be seen: at realistic epsilon with samples even a correct audit shows a third to a half of it. Two
games are played, each against data sets that differ by one example:

    canaries    one run with many orthogonal gradients, each there on a coin; each has two rows
                and is ten times as long as the norm. Finds too little noise, no clipping, rows
                that are clipped one by one, steps that nobody counted.
    companion   many runs with one example, and a second one on a coin. The auditor looks at how
                wide the noise is, elsewhere. Finds a sum that is divided by who was drawn.

A mechanism is refuted if a bound is above what the plan states. A correct one is, in at most
1 - confidence of all tests. Nothing found is no proof: other bugs need other games, such as
`fuzz_sensitivity` for losses that are coupled within a batch.

>>> plan = full_participation(noise_multiplier=1.0, max_grad_norm=1.0)
>>> check = check_mechanism(plan, simulated_release(plan), canaries=400, plays=40)
>>> check.is_refuted, check.at_least < check.at_most
(False, True)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from discreet.bounds.curves import epsilon_of_mu
from discreet.bounds.guessing import CANARIES_NEEDED, Bound
from discreet.bounds.pairs import Errors, count_errors, gaussian_pairs_bound, lowest_mu
from discreet.privacy import CounterGenerator, OwnerSum, PrivacyPlan, fit_private

Numbers = npt.NDArray[np.float64]
Release = Callable[[Numbers, int], Numbers]
"""Gradients (N, R, P) of examples, of R rows each, and a seed -> noisy sums of all steps (T, P)."""

_ROWS = 2
_TOO_LONG = 10.0
"""Length of a canary in clipping norms."""
_IDLE = 400
"""Numbers that no example touches, in the second game."""
_MOST_STEPS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class MechanismCheck:
    """What two games showed of a mechanism, beside what its plan states."""

    bounds: tuple[Bound, ...]
    """Of each game; all of them hold together as often as `confidence`."""
    at_most: float
    """Epsilon that the accountant states, for adding or removing one example, or one owner."""
    delta: float
    confidence: float
    """How often a correct mechanism is not refuted, at least."""
    ceiling: float
    """Epsilon that would be shown if no guess were wrong."""

    @property
    def at_least(self) -> float:
        """Return the largest of the bounds."""
        return max(bound.epsilon for bound in self.bounds)

    @property
    def is_refuted(self) -> bool:
        """Return whether the mechanism is less private than stated."""
        return self.at_least > self.at_most

    @property
    def is_sharp(self) -> bool:
        """Return whether so many plays could refute the statement at all."""
        return self.ceiling > self.at_most


def full_participation(
    *,
    noise_multiplier: float,
    max_grad_norm: float,
    delta: float = 1e-5,
    unit: Literal["example", "owner"] = "example",
) -> PrivacyPlan:
    """Return a plan with everything in each step, of as many steps as make it easy to audit.

    The noise and the norm are those of the plan that will run; steps are chosen so that mu, the
    root of steps over noise, is about 1.5, and are 8 at most.

    Args:
        noise_multiplier: `gradient_noise_multiplier` of the plan that will run.
        max_grad_norm: Its norm.
        delta: At which epsilon is compared.
        unit: What takes part: examples in steps, or whole owners in rounds.
    """
    steps = min(_MOST_STEPS, max(1, round((1.5 * noise_multiplier) ** 2)))
    return PrivacyPlan(
        target_epsilon=1000.0,
        delta=delta,
        max_grad_norm=max_grad_norm,
        noise_multiplier=noise_multiplier,
        sample_rate=1.0,
        steps=steps,
        expected_batch_size=8,
        unit=unit,
        sampled=unit,
    )


def check_mechanism(
    plan: PrivacyPlan,
    release: Release | None = None,
    *,
    canaries: int = 1000,
    plays: int = 160,
    seed: int = 0,
    confidence: float = 0.95,
) -> MechanismCheck:
    """Play both games against a mechanism, and compare with what the plan states.

    Args:
        plan: With everything in each step; `full_participation` makes one.
        release: The mechanism; that which training runs by default.
        canaries: In the one run of the first game. 1,000 find noise that is halved where epsilon
            is up to 20; `is_sharp` says whether they can find anything.
        plays: Runs of the second game; half of them set the threshold.
        seed: Decides coins and, by `release`, the noise.
        confidence: How often a correct mechanism is not refuted; half of what may fail is for each
            game.

    Raises:
        ValueError: if the plan samples, adapts its norm, or correlates its noise; if there are too
            few canaries or plays; or if what is released is not finite.
    """
    _check_plan(plan)
    if min(canaries, plays) < CANARIES_NEEDED:
        raise ValueError(
            f"Expected {CANARIES_NEEDED} canaries and plays or more, got {canaries} and {plays}. "
            f"It needs at least {CANARIES_NEEDED} of each; the defaults find most breaks."
        )
    if release is None:
        release = owners_release(plan) if plan.unit == "owner" else training_release(plan)
    each = 1 - (1 - confidence) / 2
    errors = [
        _play_canaries(plan, release, canaries, seed),
        _play_companion(plan, release, plays, seed),
    ]
    best = Errors(
        false_positives=0,
        negatives=canaries // 2,
        false_negatives=0,
        positives=canaries // 2,
    )
    return MechanismCheck(
        bounds=tuple(
            gaussian_pairs_bound(one, delta=plan.delta, confidence=each) for one in errors
        ),
        at_most=plan.epsilon,
        delta=plan.delta,
        confidence=confidence,
        ceiling=epsilon_of_mu(lowest_mu(best, confidence=each), plan.delta),
    )


def training_release(plan: PrivacyPlan) -> Release:
    """Return the private step that training runs, on a model whose gradients are its inputs.

    It is `fit_private` with the flat engine on one linear layer, whose weight after each step tells
    what was released.
    """

    def release(gradients: Numbers, seed: int) -> Numbers:
        rows = torch.from_numpy(gradients)
        model = nn.Linear(gradients.shape[2], 1, bias=False, dtype=torch.float64)
        nn.init.zeros_(model.weight)
        weights = [model.weight.detach().clone()]
        fit_private(
            model,
            lambda drawn: model(rows[list(drawn)].flatten(0, 1)).view(len(drawn), -1).sum(1),
            num_examples=len(gradients),
            rows_per_example=gradients.shape[1],
            plan=plan,
            steps=plan.steps,
            optimizer=torch.optim.SGD(model.parameters(), lr=1.0),
            sampling_generator=CounterGenerator.seeded(f"audited coins {seed}"),
            noise_generator=CounterGenerator.seeded(f"audited noise {seed}"),
            max_physical_batch=64,
            on_step=lambda record: weights.append(model.weight.detach().clone()),
        )
        moved = -torch.cat(weights).diff(dim=0) * plan.expected_batch_size
        return np.asarray(moved.numpy(), dtype=np.float64)

    return release


def owners_release(plan: PrivacyPlan) -> Release:
    """Return the sum of owners that a server runs, rounds in place of steps and owners of examples.

    It is `OwnerSum`, which is given the whole update of each owner, the sum of its rows.
    """

    def release(updates: Numbers, seed: int) -> Numbers:
        size = updates.shape[2]
        noise = CounterGenerator.seeded(f"audited noise {seed}")
        total = OwnerSum(plan, {"update": (size,)}, noise)
        rounds = []
        for _ in range(plan.steps):
            for own in torch.from_numpy(updates.sum(1)):
                total.add({"update": own})
            rounds.append(total.result()["update"] * plan.expected_batch_size)
        return np.asarray(torch.stack(rounds).numpy(), dtype=np.float64)

    return release


def simulated_release(plan: PrivacyPlan) -> Release:
    """Return a mechanism of the same law in NumPy: clip each example, add up, add noise.

    It is for tests of the test, of which hundreds have to run.
    """

    def release(gradients: Numbers, seed: int) -> Numbers:
        draw = np.random.default_rng([seed, 2])
        whole = gradients.sum(1)
        norms = np.linalg.norm(whole, axis=1, keepdims=True)
        total = (whole * np.minimum(1, plan.max_grad_norm / np.maximum(norms, 1e-300))).sum(0)
        noise = draw.normal(size=(plan.steps, gradients.shape[2]))
        released: Numbers = total + plan.noise_multiplier * plan.max_grad_norm * noise
        return released

    return release


def _play_canaries(plan: PrivacyPlan, release: Release, canaries: int, seed: int) -> Errors:
    """Return the errors of one run with many canaries, said to be in from half a norm up."""
    included = np.random.default_rng([seed, 0]).random(canaries) < 0.5
    there = np.flatnonzero(included)
    gradients = np.zeros((len(there), _ROWS, canaries))
    gradients[np.arange(len(there)), :, there] = _TOO_LONG * plan.max_grad_norm / _ROWS
    scores = release(gradients, seed).mean(0) / plan.max_grad_norm
    return count_errors(scores, included, threshold=0.5)


def _play_companion(plan: PrivacyPlan, release: Release, plays: int, seed: int) -> Errors:
    """Return the errors of many runs, where noise that is narrower says that two were there.

    Two are there in half of the plays. The middle between the ends of the first half of the scores
    is the threshold for the second half.
    """
    draw, half = np.random.default_rng([seed, 1]), plays // 2
    included = np.concatenate([draw.permutation(half) % 2 == 0 for _ in range(2)])
    both = np.zeros((2, _ROWS, _IDLE + 2))
    both[[0, 1], :, [0, 1]] = _TOO_LONG * plan.max_grad_norm / _ROWS
    scores = np.array(
        [
            -np.log(np.square(release(both[: 1 + there], place)[:, 2:]).mean())
            for place, there in enumerate(included, start=1 + seed * plays)
        ]
    )
    middle = float(scores[:half].min() + scores[:half].max()) / 2
    return count_errors(scores[half:], included[half:], threshold=middle)


def _check_plan(plan: PrivacyPlan) -> None:
    """Refuse a plan of which the two games do not show the whole promise."""
    is_plain = plan.bands == 1 and plan.clip_quantile is None and plan.loss_noise is None
    if not (is_plain and plan.sample_rate == 1 and plan.contributions == 1):
        raise ValueError(
            "Expected a plan with sample_rate=1, a fixed norm and independent noise, got another. "
            "Use full_participation with the noise and the norm of the plan."
        )
