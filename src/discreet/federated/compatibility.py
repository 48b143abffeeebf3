"""Which settings of a plan go together, decided before anything is loaded, sent or charged.

What an aggregation rule can do it declares itself (`aggregation.Compatibility`); what follows from
it for a plan is here, and nowhere else.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from discreet.aggregation import RULES, least_updates

if TYPE_CHECKING:
    from discreet.federated.config import TrainConfig

Demand = tuple[bool, str, str]
"""Whether it holds, what was expected and got, and the way out."""


def refuse_incompatible(config: "TrainConfig") -> None:
    """Refuse a plan whose parts do not fit each other.

    Raises:
        ValueError: for the first demand that does not hold.
    """
    unit_and_sums = (_of_owners_as_unit, _of_losses, _of_secure_sums)
    for demands in (_of_rule, _of_linearity, _of_local_steps, *unit_and_sums):
        for holds, expected, way_out in demands(config):
            if not holds:
                raise ValueError(f"Expected {expected}. {way_out}")


def _fitting(name: str) -> str:
    """Return the rules that declare themselves fit for something."""
    return ", ".join(key for key, rule in RULES.items() if getattr(rule.compatibility, name))


def _of_rule(config: "TrainConfig") -> Iterator[Demand]:
    """What the rule has to declare for this plan."""
    fits = RULES[config.aggregation].compatibility
    needed = {
        "example_dp": config.unit != "owner",
        "owner_dp": config.unit == "owner",
        "secure_aggregation": config.secure_aggregation,
        "mixed_ranks": config.ranks != (config.lora_r,),
    }
    for name, is_needed in needed.items():
        yield (
            getattr(fits, name) or not is_needed,
            f"a rule that is fit for {name}, got aggregation={config.aggregation!r}",
            f"Use one of {_fitting(name)}.",
        )


def _of_linearity(config: "TrainConfig") -> Iterator[Demand]:
    """What needs a sum of updates to work on."""
    linear = ", ".join(name for name, rule in RULES.items() if rule.is_linear)
    is_linear = RULES[config.aggregation].is_linear
    for name, plain in {"combine": "mean", "server_optimizer": "none", "local_rule": "sgd"}.items():
        value = getattr(config, name)
        yield (
            is_linear or value == plain or value == "prox",
            f"{name} = '{plain}' with aggregation={config.aggregation!r}, got {value!r}: there is "
            "no sum of updates",
            f"Use one of {linear}.",
        )
    yield (
        is_linear or config.wire != "topk",
        f"wire other than 'topk' with aggregation={config.aggregation!r}: what it leaves out is "
        "added to a later update, which then is of another adapter or of another rank",
        f"Use one of {linear}.",
    )
    if config.secure_aggregation:
        return
    needed = least_updates(config.combine, hostile=config.hostile_owners)
    yield (
        config.min_replies >= needed,
        f"min_replies >= {needed} for {config.combine} against {config.hostile_owners} hostile "
        f"owners, got {config.min_replies}",
        "Raise min_replies, or lower hostile_owners.",
    )


def _of_local_steps(config: "TrainConfig") -> Iterator[Demand]:
    """What Adam's steps do not fit."""
    is_plain = config.local_rule == "sgd" and config.ranks == (config.lora_r,)
    yield (
        config.optimizer == "sgd" or is_plain,
        "optimizer = 'sgd' with another local_rule or mixed ranks, got 'adam'",
        "Both change the gradient of a plain step.",
    )


def _of_owners_as_unit(config: "TrainConfig") -> Iterator[Demand]:
    """What hiding owners asks for, and what only goes with it."""
    is_owner = config.unit == "owner"
    yield (
        (config.sampled == "owner") == is_owner,
        f"sampled = 'owner' together with unit = 'owner', got {config.sampled!r} and "
        f"{config.unit!r}",
        "Set both or none.",
    )
    if not is_owner:
        return
    yield (
        config.max_update_norm is not None,
        "max_update_norm with unit = 'owner', got none: updates are clipped to it",
        "Set it to about the median length of an update.",
    )
    yield (
        config.combine == "mean",
        f"combine = 'mean' with unit = 'owner', got {config.combine!r}: noise is for a sum",
        "Clipping already bounds what one owner can do.",
    )
    yield (
        config.local_rule != "scaffold",
        "local_rule 'sgd' or 'prox' with unit = 'owner', got 'scaffold': control variates would "
        "leave without noise",
        "Use 'prox'.",
    )
    yield (
        config.sampler == "poisson" and config.bands == 1 and config.examples_per_user is None,
        "sampler = 'poisson', bands = 1 and no examples_per_user with unit = 'owner'",
        "They are about examples: leave them out.",
    )


def _of_losses(config: "TrainConfig") -> Iterator[Demand]:
    """What a loss that leaves needs for its noise."""
    is_silent = config.loss_noise is None
    yield (
        is_silent or config.unit != "owner",
        "no loss_noise with unit = 'owner', got one: a loss would leave without noise that hides "
        "an owner",
        "Leave loss_noise out.",
    )
    yield (
        is_silent or config.bands == 1,
        "no loss_noise with bands > 1, got one: losses beside correlated noise are not accounted "
        "for",
        "Leave one of them out.",
    )


def _of_secure_sums(config: "TrainConfig") -> Iterator[Demand]:
    """What a server that sees the sum only cannot do."""
    if not config.secure_aggregation:
        return
    yield (
        config.combine == "mean" and config.local_rule != "scaffold",
        f"combine = 'mean' and no 'scaffold' with secure_aggregation, got {config.combine!r} and "
        f"{config.local_rule!r}",
        "The server sees no single update.",
    )
    yield (
        config.wire == "float32",
        f"wire = 'float32' with secure_aggregation, got {config.wire!r}",
        "Masked updates travel as integers of 32 bits, whatever the wire.",
    )
    yield (
        config.clip_quantile is None or config.unit != "owner",
        "no clip_quantile with secure_aggregation and unit = 'owner'",
        "The norm stays: leave it out.",
    )
    yield (
        config.asked_per_round >= 3 and 2 * config.min_replies > config.asked_per_round,
        f"3 or more owners a round and min_replies above half of them with secure_aggregation, got "
        f"{config.asked_per_round} and {config.min_replies}",
        "With fewer a server could ask two halves for both shares of somebody.",
    )
    yield (
        config.min_replies - config.hostile_owners >= 2,
        f"min_replies at least 2 above hostile_owners with secure_aggregation, got "
        f"{config.min_replies} and {config.hostile_owners}",
        "A sum of one honest update is that update.",
    )
