"""What a field of a plan may hold by itself: its type, its words, its range.

What may stand together is `compatibility.py`'s to say; what the fields mean, `config.py`'s.
"""

import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from discreet.federated.config import TrainConfig

MOST = 1_000_000
"""Largest count in a plan: a typing mistake is told, not waited for."""
_LARGEST_RANK = 4096
_LARGEST_DELTA = 0.01
"""Below it for whoever has a hundred examples or more: above, one of them may lie open."""
_COUNTS = (
    "num_owners",
    "num_rounds",
    "local_steps",
    "expected_batch_size",
    "max_physical_batch",
    "max_tokens",
    "lora_alpha",
    "lora_layers",
    "bands",
)
"""From 1 to `MOST`."""
_POSITIVE = (
    "target_epsilon",
    "max_grad_norm",
    "loss_clip",
    "learning_rate",
    "beta",
    "server_learning_rate",
    "round_timeout_seconds",
    "node_wait_seconds",
    "secagg_timeout_seconds",
)
"""Above 0 and finite."""

Demand = tuple[str, bool, str, str]
"""Field, whether it holds, what was expected, and the way out."""


def refuse_out_of_range(config: "TrainConfig") -> None:
    """Refuse a value that a field cannot have.

    Raises:
        ValueError: for the first that is out of range.
    """
    for demands in (_of_absent, _of_numbers, _of_privacy, _of_owners, _of_exchange, _of_adapter):
        for name, holds, expected, way_out in demands(config):
            if not holds:
                raise refusal(name, getattr(config, name), expected, way_out)


def refusal(name: str, value: object, expected: str, way_out: str = "") -> ValueError:
    """Return the error that says what was expected of a field, what came, and the way out."""
    way_out = way_out or f"`discreet fields {name}` says what it is."
    return ValueError(f"Expected {expected}, got {name}={value!r}. {way_out}")


def check_type(name: str, hint: object, value: object) -> None:
    """Raise if a value is not of the type its field names; an int may stand for a float."""
    if type(as_float(value, hint)) not in _allowed(hint):
        raise refusal(name, value, f"{name} of type {kind_of(hint)}")


def kind_of(hint: object) -> str:
    """Return the types that a field takes, in words.

    >>> kind_of(int | None)
    'int or nothing'
    """
    kinds = _allowed(hint)
    return " or ".join("nothing" if kind is type(None) else kind.__name__ for kind in kinds)


def as_float(value: object, hint: object) -> object:
    """Return a whole number as a float where the field holds a float; anything else as it is."""
    if isinstance(value, int) and not isinstance(value, bool) and float in _allowed(hint):
        return float(value) if abs(value) < 2**63 else float("inf")
    return value


def _allowed(hint: Any) -> tuple[type, ...]:
    """Return the classes a type hint stands for."""
    return get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


def _of_absent(config: "TrainConfig") -> Iterator[Demand]:
    """Who may be absent; asked first, since counts of owners rest on it."""
    words = (config.absent_owners or "").split(",")
    numbers = {int(word) for word in words if word.isdecimal() and int(word) < config.num_owners}
    yield (
        "absent_owners",
        config.absent_owners is None or len(numbers) == len(words) < config.num_owners,
        f"different numbers of fewer than all owners, from 0 to {config.num_owners - 1}",
        "Use absent_owners = '1,3', for example, or leave it out.",
    )


def _of_numbers(config: "TrainConfig") -> Iterator[Demand]:
    """What every count and every scale has to be."""
    for name in _COUNTS:
        is_count = 1 <= getattr(config, name) <= MOST
        yield name, is_count, f"{name} >= 1 and at most {MOST}", ""
    for name in _POSITIVE:
        is_positive = 0 < getattr(config, name) < float("inf")
        yield name, is_positive, f"a finite {name} > 0", ""
    for name in ("activations_mib", "canaries", "spare_rounds"):
        yield name, 0 <= getattr(config, name) <= MOST, f"{name} from 0 to {MOST}", ""
    for name in ("examples_per_user", "dirichlet_alpha"):
        value, least = getattr(config, name), "> 0" if name == "dirichlet_alpha" else ">= 1"
        is_fine = value is None or (0 < value <= MOST)
        yield name, is_fine, f"{name} {least} and at most {MOST}", "Or leave it out."
    yield (
        "local_steps",
        config.steps_total <= MOST,
        f"num_rounds x local_steps <= {MOST}",
        "More cannot be accounted for in reasonable time.",
    )
    yield "seed", 0 <= config.seed < 2**63, "seed >= 0 and below 2**63", ""


def _of_privacy(config: "TrainConfig") -> Iterator[Demand]:
    """What probabilities and clipping norms have to be."""
    yield (
        "sample_rate",
        0 < config.sample_rate <= 1,
        "0 < sample_rate <= 1",
        "Use expected_batch_size / examples per owner.",
    )
    is_rare = 0 < config.delta < _LARGEST_DELTA
    way_out = "It has to be below 1 / examples of an owner: use 1e-5 or less."
    yield "delta", is_rare, f"0 < delta < {_LARGEST_DELTA}", way_out
    norm = config.max_update_norm
    is_norm = norm is None or 0 < norm < float("inf")
    yield "max_update_norm", is_norm, "a finite max_update_norm > 0", ""


def _of_owners(config: "TrainConfig") -> Iterator[Demand]:
    """What numbers of owners have to be beside each other."""
    asked = config.owners_per_round
    yield (
        "owners_per_round",
        asked is None or 1 <= asked <= config.num_present,
        f"owners_per_round from 1 to num_owners ({config.num_present})",
        "Leave it out to ask all.",
    )
    yield (
        "min_replies",
        1 <= config.min_replies <= config.asked_per_round,
        f"1 <= min_replies <= the {config.asked_per_round} owners asked in a round",
        "Lower min_replies, or ask more owners.",
    )
    yield (
        "hostile_owners",
        0 <= 2 * config.hostile_owners < config.asked_per_round,
        f"hostile_owners from 0 to below half of {config.asked_per_round}",
        "No rule holds against half of the owners asked: ask more, or lower it.",
    )


def _of_exchange(config: "TrainConfig") -> Iterator[Demand]:
    """What settings of updates have to be."""
    share, momentum, mu = config.topk_share, config.server_momentum, config.proximal_mu
    yield "topk_share", share > 0, "topk_share > 0", ""
    yield "topk_share", share <= 1, "topk_share at most 1", ""
    yield "server_momentum", 0 <= momentum < 1, "server_momentum from 0 to below 1", ""
    is_prox = config.local_rule == "prox"
    yield (
        "proximal_mu",
        0 < mu < float("inf") if is_prox else mu == 0,
        "proximal_mu > 0 with local_rule = 'prox', and 0 without",
        "Set proximal_mu = 0.1, for example." if is_prox else "Set both, or leave both out.",
    )


def _of_adapter(config: "TrainConfig") -> Iterator[Demand]:
    """What base and adapter have to be."""
    yield "base", bool(config.base), "a base model", "Use base = 'small'."
    is_rank = 1 <= config.lora_r <= _LARGEST_RANK
    yield "lora_r", is_rank, f"lora_r >= 1 and at most {_LARGEST_RANK}", ""
    yield (
        "lora_ranks",
        config.are_ranks_whole,
        f"whole ranks from 1 to lora_r ({config.lora_r}), separated by commas",
        "Use lora_ranks = '4,8', for example.",
    )
    yield (
        "lora_modules",
        all(name.isidentifier() for name in config.target_modules),
        "names of weights, separated by commas",
        "Use lora_modules = 'q_proj,v_proj', for example.",
    )
