"""What a plan asks of an owner's machine, and the most that the owner gives.

    >>> CostLimits(max_steps=100).check(TrainConfig())

Time is bounded by steps and by passes over the data: `expected_batch_size` is only a divisor, and
how many examples a step draws follows from `sample_rate` and the owner's own number. How long a
server waits costs an owner nothing. Says nothing about privacy; that is `OwnerSite.check`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

from discreet.errors import PolicyError
from discreet.federated.config import TrainConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class CostLimits:
    """What a plan from a server may ask of an owner's machine: at most, but for `min_epsilon`."""

    max_rounds: int = 1_000
    """Rounds of this owner over the whole plan; each starts a process and loads the base."""
    max_steps: int = 10_000
    """Steps of this owner over the whole plan."""
    max_passes: float = 100.0
    """Times that the whole plan goes through the owner's data: steps x `sample_rate`."""
    max_batch: int = 64
    """Examples in memory at once: `max_physical_batch`, or all that are taken of one user."""
    max_tokens: int = 8_192
    """Length of a conversation, `max_tokens` of the plan."""
    max_rank: int = 64
    """Rank of the adapter, `lora_r`."""
    max_bands: int = 64
    """Steps over which noise is correlated, `bands`; each keeps a copy of the adapter."""
    max_activations_mib: int = 4_096
    """Memory for what frozen layers say, `activations_mib`."""
    min_epsilon: float = 0.01
    """Smallest `target_epsilon`: accounting costs more the smaller it is, and below a hundredth
    noise leaves nothing to learn from."""

    def __post_init__(self) -> None:
        """Refuse limits that limit nothing."""
        for name in _ASKED:
            value = getattr(self, name)
            if isinstance(value, bool | str) or not 0 <= value < float("inf"):
                raise ValueError(
                    f"Expected a finite {name} >= 0, got another. Correct it in [site] of "
                    "node.toml."
                )

    @classmethod
    def of_node(cls, node: Mapping[str, object]) -> "CostLimits":
        """Return the limits that a node's configuration sets; the others keep their defaults."""
        return cls(**{f.name: node[f.name] for f in fields(cls) if f.name in node})  # type: ignore[arg-type]

    def check(self, config: TrainConfig) -> None:
        """Refuse a plan that costs more.

        Raises:
            PolicyError: with the limit that it is above.
        """
        for name, asked in _ASKED.items():
            limit, cost = getattr(self, name), asked(config)
            if cost < limit if name.startswith("min_") else cost > limit:
                raise PolicyError(
                    f"Expected a plan within {name} = {limit:g}, got {cost:g}: it would cost this "
                    f"machine more than its owner gives. Ask for another plan, or change {name} in "
                    "[site] of node.toml."
                )


def _batch_of(config: TrainConfig) -> int:
    """Return the most examples that a plan holds in memory at once; a user is never taken apart."""
    of_a_user = (config.examples_per_user or 1) if config.sampled == "user" else 1
    return max(config.max_physical_batch, of_a_user)


_ASKED: Mapping[str, Callable[[TrainConfig], float]] = {
    "max_rounds": lambda config: config.rounds_per_owner + config.spare_rounds,
    "max_steps": lambda config: config.steps_total,
    "max_passes": lambda config: config.steps_total * config.sample_rate,
    "max_batch": _batch_of,
    "max_tokens": lambda config: config.max_tokens,
    "max_rank": lambda config: config.lora_r,
    "max_bands": lambda config: config.bands,
    "max_activations_mib": lambda config: config.activations_mib,
    "min_epsilon": lambda config: config.target_epsilon,
}
