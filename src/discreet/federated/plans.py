"""From the public config to what is promised: the privacy plan, and the longest honest update."""

import math
from functools import lru_cache

from discreet.federated.config import TrainConfig
from discreet.privacy import PrivacyPlan, calibrate
from discreet.types import OwnerId, PrivacyStatement

SERVER = OwnerId("all-owners")
"""Whose account the server keeps where it adds the noise: that of everyone at once."""
_MARGIN = 4.0
"""How much longer than expected an honest update may be."""


@lru_cache(maxsize=64)
def plan_of(config: TrainConfig) -> PrivacyPlan:
    """Return the plan that every owner follows; depends on nothing but the public config.

    Where the unit is the owner, a step is a round. The server's own noise is amplified by its
    secret choice of owners; noise that owners add under secure aggregation is not, because the
    server knows whom it asked.
    """
    if config.unit == "owner":
        return _plan_for_owners(config)
    return calibrate(
        target_epsilon=config.target_epsilon,
        delta=config.delta,
        sample_rate=config.sample_rate,
        steps=config.steps_total,
        expected_batch_size=config.expected_batch_size,
        max_grad_norm=config.max_grad_norm,
        unit=config.unit,  # type: ignore[arg-type]
        sampled=config.sampled,  # type: ignore[arg-type]
        examples_per_user=config.examples_per_user,
        sampler=config.sampler,  # type: ignore[arg-type]
        bands=config.bands,
        steps_per_call=config.local_steps,
        clip_quantile=config.clip_quantile,
        clip_count_noise=config.clip_count_noise,
        loss_noise=config.loss_noise,
        loss_clip=config.loss_clip,
    )


def _plan_for_owners(config: TrainConfig) -> PrivacyPlan:
    """Return the plan of updates that are clipped and blurred whole."""
    assert config.max_update_norm is not None
    is_distributed = config.secure_aggregation
    return calibrate(
        target_epsilon=config.target_epsilon,
        delta=config.delta,
        sample_rate=1.0 if is_distributed else config.asked_per_round / config.num_present,
        steps=config.spare_rounds
        + (config.rounds_per_owner if is_distributed else config.num_rounds),
        expected_batch_size=config.asked_per_round,
        max_grad_norm=config.max_update_norm,
        accountant="rdp" if is_distributed else "pld",
        unit="owner",
        sampled="owner",
        neighbouring_relation="zero_out_one" if is_distributed else "add_or_remove_one",
        clip_quantile=config.clip_quantile,
        clip_count_noise=config.clip_count_noise,
    )


def is_secret_choice(config: TrainConfig) -> bool:
    """Return whether epsilon is smaller because nobody knows who was asked."""
    return config.unit == "owner" and not config.secure_aggregation


def promise_of(config: TrainConfig) -> PrivacyStatement | None:
    """Return what every owner's own account may reach; None where the server's account counts."""
    if is_secret_choice(config):
        return None
    return plan_of(config).state(config.target_epsilon)


def update_limit(config: TrainConfig, size: int) -> float:
    """Return the length above which an owner's update is dropped, for `size` numbers that learn.

    Where the unit is the owner, updates are clipped and not dropped: infinity.

    A step of SGD moves by the rate times the noisy mean: as many clipped gradients as expected,
    all alike, and noise in every number. A step of Adam moves each number by about the rate.
    """
    if config.unit == "owner":
        return math.inf
    if config.max_update_norm is not None:
        return config.max_update_norm
    plan = plan_of(config)
    noise = plan.gradient_noise_multiplier * math.sqrt(size) / plan.expected_batch_size
    step = plan.max_grad_norm * (1 + noise) if config.optimizer == "sgd" else math.sqrt(size)
    growth = 1.0 if config.clip_quantile is None else math.exp(0.2 * config.local_steps)
    drift = 3.0 if config.local_rule == "scaffold" else 1.0
    return _MARGIN * config.local_steps * config.learning_rate * step * growth * drift


def loss_limit(config: TrainConfig) -> float | None:
    """Return the largest loss, either side of zero, that owners release; None: they release none.

    A larger one is cut to it by the owner, once it is noisy, and dropped by the server.
    """
    if config.loss_noise is None:
        return None
    return _MARGIN * config.loss_clip * (1 + 2 * config.loss_noise / config.expected_batch_size)
