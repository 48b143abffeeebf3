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
FITNESS = {
    "example_dp": "hides examples or users",
    "owner_dp": "can hide whole owners (unit = 'owner')",
    "secure_aggregation": "needs no more than the sum of updates (secure_aggregation = true)",
    "mixed_ranks": "takes owners of several ranks, or of a lower one than lora_r (lora_ranks)",
}
"""What a rule may declare itself fit for, in words."""
_A_NORM = 0.5
"""Of updates, as the documents have it; about the median length is right."""


def refuse_incompatible(config: "TrainConfig") -> None:
    """Refuse a plan whose parts do not fit each other.

    Raises:
        ValueError: for the first demand that does not hold.
    """
    first = (_of_what_is_learnt, _of_owners_as_unit)  # it names the rule too, all in one go
    for demands in (*first, _of_rule, _of_linearity, _of_local_steps, _of_losses, _of_secure_sums):
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
            f"a rule that {FITNESS[name]}, got aggregation={config.aggregation!r}",
            f"Set aggregation to one of {_fitting(name)}.",
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
            f"Leave {name} out, or set aggregation to one of {linear}.",
        )
    yield (
        is_linear or config.wire != "topk",
        f"wire other than 'topk' with aggregation={config.aggregation!r}: what it leaves out is "
        "added to a later update, which then is of another adapter or of another rank",
        f"Set wire to another form, or aggregation to one of {linear}.",
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
        "optimizer = 'sgd' with local_rule = 'prox' or 'scaffold' or with lora_ranks, got 'adam'",
        "Both change the gradient of a plain step: leave optimizer out.",
    )


def _of_what_is_learnt(config: "TrainConfig") -> Iterator[Demand]:
    """What an objective learns from."""
    is_pairs = config.objective == "preferences"
    needed = "'preference_pairs'" if is_pairs else "'portraits' or 'conversations'"
    yield (
        is_pairs == (config.examples == "preference_pairs"),
        f"examples = {needed} with objective = '{config.objective}', got "
        f"examples={config.examples!r}",
        "Set both; examples = 'preference_pairs' goes with objective = 'preferences' only.",
    )
    yield (
        not config.canaries or config.examples == "portraits",
        f"no canaries with examples = '{config.examples}', got canaries={config.canaries}",
        "Leave canaries out: they are questions with a portrait.",
    )


def _of_owners_as_unit(config: "TrainConfig") -> Iterator[Demand]:
    """What hiding owners asks for, all of it at once, and what only goes with it."""
    if config.unit != "owner":
        yield (
            config.sampled != "owner",
            f"sampled = 'owner' together with unit = 'owner', got unit={config.unit!r}",
            f"Set unit = 'owner' and max_update_norm = {_A_NORM}, or leave sampled out.",
        )
        return
    needed = _for_owners(config)
    wrong = {name: value for name, value in needed.items() if getattr(config, name) != value}
    said = {name: value for name, value in wrong.items() if value is not None}
    extra = ", ".join(name for name in wrong if name not in said)
    expected = [f"{name} = {value!r}" for name, value in said.items()]
    got = ", ".join(f"{name}={getattr(config, name)!r}" for name in wrong)
    options = " ".join(f"--set {name}={value}" for name, value in said.items())
    why = "; ".join(f"{name}: {_WHY_OWNERS[name]}" for name in wrong if name in _WHY_OWNERS)
    yield (
        not wrong,
        f"{', '.join(expected + [f'no {extra}'] * bool(extra))} with unit = 'owner', got {got}",
        f"{f'Say {options} (or so in the file). ' * bool(options)}"
        f"{f'Leave {extra} out. ' * bool(extra)}{why}".rstrip(),
    )


_WHY_OWNERS = {
    "max_update_norm": "what updates are clipped to, about their median length",
    "aggregation": "noise is on a sum of updates",
    "combine": "noise is on a sum of updates, and clipping bounds what one owner can do",
    "local_rule": "control variates would leave without noise",
    "sampler": "about examples",
    "bands": "about examples",
    "examples_per_user": "about examples",
    "loss_noise": "losses would leave without noise that hides an owner",
}
"""Why a field cannot be otherwise where owners are hidden, or what it is."""


def _for_owners(config: "TrainConfig") -> dict[str, object]:
    """Return what fields hold where owners are hidden; None: they are left out."""
    is_fit = RULES[config.aggregation].compatibility.owner_dp
    return {
        "sampled": "owner",
        "max_update_norm": config.max_update_norm or _A_NORM,
        "aggregation": config.aggregation if is_fit else "ffa",
        "combine": "mean",
        "hostile_owners": config.hostile_owners if config.secure_aggregation else 0,
        "local_rule": "prox" if config.local_rule == "prox" else "sgd",
        "sampler": "poisson",
        "bands": 1,
        "examples_per_user": None,
        "loss_noise": None,
    }


def _of_losses(config: "TrainConfig") -> Iterator[Demand]:
    """What a loss that leaves needs for its noise."""
    yield (
        config.loss_noise is None or config.bands == 1,
        f"no loss_noise with bands > 1, got bands={config.bands!r}: losses beside "
        "correlated noise are not accounted for",
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
        "The server sees no single update: leave both out, or secure_aggregation.",
    )
    yield (
        config.wire == "float32",
        f"wire = 'float32' with secure_aggregation, got {config.wire!r}",
        "Masked updates travel as integers of 32 bits, whatever the wire: leave it out.",
    )
    yield (
        config.clip_quantile is None or config.unit != "owner",
        "no clip_quantile with secure_aggregation and unit = 'owner', got "
        f"clip_quantile={config.clip_quantile!r}",
        "No server could count who is within the norm: leave it out.",
    )
    yield (
        config.asked_per_round >= 3
        and 2 * config.min_replies > config.asked_per_round + config.hostile_owners,
        "3 or more owners a round and min_replies above half of them and of hostile_owners "
        f"together with secure_aggregation, got {config.asked_per_round}, {config.min_replies} and "
        f"{config.hostile_owners}",
        "With fewer a server could ask two halves for both shares of somebody: raise min_replies, "
        "ask fewer owners, or lower hostile_owners.",
    )
