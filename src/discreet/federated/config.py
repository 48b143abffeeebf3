"""The public plan of a federated run: one frozen dataclass, read from and written to TOML.

Holds nothing about the data of any owner and does not train.

    >>> TrainConfig(num_rounds=3, local_steps=10).steps_total
    30
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_type_hints

from discreet.aggregation import COMBINES, RULES, SERVER_OPTIMIZERS
from discreet.artifacts import read_toml, write_toml
from discreet.federated.codec import CODECS
from discreet.federated.compatibility import refuse_incompatible
from discreet.federated.ranges import as_float, check_type, refusal, refuse_out_of_range
from discreet.privacy import Engine, Sampled, Sampler, Unit

CHOICES: Mapping[str, Collection[str]] = {
    "objective": ("answers", "preferences"),
    "examples": ("portraits", "conversations", "preference_pairs"),
    "unit": get_args(Unit),
    "sampled": get_args(Sampled),
    "sampler": get_args(Sampler),
    "optimizer": ("sgd", "adam"),
    "engine": get_args(Engine),
    "aggregation": RULES,
    "combine": COMBINES,
    "server_optimizer": SERVER_OPTIMIZERS,
    "local_rule": ("sgd", "prox", "scaffold"),
    "wire": tuple(CODECS),
    "wire_down": tuple(name for name in CODECS if name != "topk"),
}
"""Words that a field may hold; what is added to the rules of a process counts. What may stand
together is `PrivacyPlan`'s to say."""
PREFERENCES: Mapping[str, Any] = {
    "objective": "preferences",
    "examples": "preference_pairs",
    "sample_rate": 0.1,
    "expected_batch_size": 28,
}
"""What differs from the default plan where owners learn from the shipped pairs, 1,128 over four."""
SERVER_KEYS = ("roster", "run_folder")
"""Settings of a Flower run that say whom the server lets into sums and where it writes; no part of
the plan."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """What every owner and the server agree on before the first step; all of it is public."""

    base: str = "small"
    """Base model: `small`, `tiny`, or the path of a local checkpoint."""
    objective: str = "answers"
    """What is learnt: `answers`, to write them, or `preferences`, to find the better of two answers
    likelier (direct preference optimisation)."""
    examples: str = "portraits"
    """What one private example is: `portraits`, a picture of somebody with a question;
    `conversations`, a whole one with its pictures and all answers in it; or `preference_pairs`, one
    pair of answers to a question, for `preferences` only."""
    beta: float = 0.1
    """Of `preferences`: how dearly it costs to leave the base, above 0 (Rafailov et al. 2023,
    arXiv:2305.18290)."""
    max_tokens: int = 2048
    """Longest conversation that is learnt from, visual tokens included, 1 or more; longer ones are
    left out, never cut. 2,048 is what LLaVA's scripts for fine-tuning take."""
    num_owners: int = 4
    """Data owners expected to take part, 1 or more."""
    absent_owners: str | None = None
    """Owners among them who take no part, by number from 0, separated by commas; left out: nobody.
    What others hold is shared out as if these were there (`discreet forget owner`)."""
    dirichlet_alpha: float | None = None
    """Skew of the split among simulated owners, above 0; left out: an even split. 0.5 is a strong
    skew, 100 is nearly even (Hsu et al. 2019, arXiv:1909.06335)."""
    num_rounds: int = 2
    """Rounds of local training and averaging, 1 or more."""
    local_steps: int = 2
    """Private steps of each owner in a round, 1 or more; few large steps pay
    best under a fixed budget."""
    min_replies: int = 2
    """Usable replies a round needs, from 1 to the owners asked; with fewer the run stops."""
    owners_per_round: int | None = None
    """Owners asked in a round, 1 to `num_owners`; left out: all. Whoever took part least is asked
    first. Where the unit is `owner` and the server adds the noise, the number asked on average:
    everyone is asked on a secret coin."""
    spare_rounds: int = 0
    """Rounds that an owner may lose to a crash and train again, 0 or more: noise is calibrated for
    them too. With none, whoever was killed in a round sits out the last one."""
    aggregation: str = "ffa"
    """Rule that makes one adapter of many: `ffa`, `fedit`, `rolora`, `fedsb`, `flexlora`, `fedex`
    or `flora`; each says what it goes together with."""
    lora_ranks: str = ""
    """Ranks of owners in turn, separated by commas, none above `lora_r`; empty: `lora_r`."""
    combine: str = "mean"
    """How updates become one: `mean`, or against hostile owners `median`, `trimmed_mean` or
    `multi_krum`, which hold all updates of a round in memory."""
    hostile_owners: int = 0
    """Owners of a round who may send anything, 0 with the `mean`, else 1 or more and below half.
    With `secure_aggregation`: who may tell the server their secrets and their share of noise."""
    server_optimizer: str = "none"
    """What the server does with the combined update: `none` (FedAvg), `momentum` (FedAvgM) or
    `adam` (FedAdam)."""
    server_learning_rate: float = 1.0
    """Of `momentum` and `adam`, above 0."""
    server_momentum: float = 0.9
    """Of `momentum` and `adam`, from 0 to below 1."""
    local_rule: str = "sgd"
    """What owners do against drifting apart: nothing (`sgd`), a pull to where they began (`prox`,
    FedProx) or control variates (`scaffold`)."""
    proximal_mu: float = 0.0
    """Strength of `prox`, above 0 with it and 0 without."""
    secure_aggregation: bool = False
    """Whether the server sees the sum of all updates only, and never one owner's."""
    secagg_timeout_seconds: float = 300.0
    """Longest wait for keys, for sealed shares and for shares of masks, each, in seconds."""
    max_update_norm: float | None = None
    """Longest update of an owner. Where the unit is `owner`: what it is clipped to. Else a longer
    one is dropped; left out: four times what the plan lets one expect."""
    wire: str = "float32"
    """Form in which updates travel to the server: `float32`, `bfloat16`, `float16`, `int8` or
    `topk`."""
    wire_down: str = "float32"
    """Form in which the adapter travels to owners; any of these but `topk`."""
    topk_share: float = 0.1
    """Share of numbers that `topk` sends, above 0 and at most 1; the rest comes later."""
    round_timeout_seconds: float = 3600.0
    """Longest wait for the replies of a round, in seconds; Flower's own default."""
    node_wait_seconds: float = 60.0
    """Longest wait for all owners to be connected before a round starts, in seconds."""
    target_epsilon: float = 8.0
    """Budget of each owner over all rounds, above 0; 8 is the usual weak but meaningful choice."""
    delta: float = 1e-5
    """Probability with which the guarantee may fail, above 0 and below 0.01; below 1 / examples."""
    max_grad_norm: float = 0.05
    """L2 bound on one example's gradient, above 0; below most gradients of `small`, so that each
    example has one voice (`discreet bench norms`)."""
    sample_rate: float = 0.016
    """Probability that a step draws an example, above 0 and at most 1."""
    expected_batch_size: int = 30
    """Divisor of the noisy sum, 1 or more; about `sample_rate` times the examples of an owner."""
    unit: str = "example"
    """What is hidden: `example`; `user`, all examples of one person; or `owner`, all that an owner
    has, by noise on updates instead of on gradients."""
    sampled: str = "example"
    """What is drawn into a step: `example`, or `user`, whose examples then have one voice. `owner`
    where that is the unit."""
    examples_per_user: int | None = None
    """Most examples of one person, 1 or more; needed where users are hidden. Of somebody with more,
    some are left out."""
    sampler: str = "poisson"
    """How a step is drawn: `poisson`; `cyclic`, for `bands`; or `bins`, each once in an epoch,
    whose epsilon is without amplification."""
    bands: int = 1
    """Steps over which noise is correlated, 1 or more; above 1 with `cyclic` only."""
    clip_quantile: float | None = None
    """Quantile of gradient norms that the clipping norm follows, between 0 and 1; left out: it
    stays `max_grad_norm`."""
    clip_count_noise: float = 0.0
    """Standard deviation of the noise on the count behind `clip_quantile`; a twentieth of
    `expected_batch_size` is usual, and it has to be above half of the noise multiplier."""
    loss_noise: float | None = None
    """Standard deviation of the noise on the sum of losses of a private step, over `loss_clip`,
    above the noise multiplier (three times it is usual). Replies then hold the mean of these sums
    over `expected_batch_size`, and gradients have more noise to pay for it. Left out: no loss
    leaves."""
    loss_clip: float = 5.0
    """Most that one example, or user, adds to that sum, above 0."""
    optimizer: str = "sgd"
    """`sgd` or `adam`; both see noisy gradients only."""
    engine: str = "flat"
    """How gradients of examples are made: `flat`, `grouped` or `opacus`."""
    max_physical_batch: int = 8
    """Examples in memory at once, 1 or more; changes speed and memory, not the guarantee."""
    activations_mib: int = 0
    """Memory for what frozen lower layers say of each example, 0 or more; from its second use on,
    an example skips them. Pays once examples are drawn several times."""
    learning_rate: float = 80.0
    """Of the local SGD, above 0; a step is at most `learning_rate * max_grad_norm` long, noise
    aside."""
    lora_r: int = 8
    """Rank of the adapter, 1 or more."""
    lora_alpha: int = 16
    """Scale of the adapter is `lora_alpha / lora_r`, 1 or more."""
    lora_layers: int = 16
    """Topmost language layers that get an adapter, 1 or more."""
    lora_modules: str = "v_proj"
    """Kinds of weights in those layers that get one, separated by commas."""
    canaries: int = 0
    """Invented secrets drawn for each simulated owner, 0 or more. About half of them, by fair coins
    from the seed, are among the owner's examples, and audits try to tell which (`discreet audit`).
    With `portraits` only."""
    seed: int = 0
    """Public seed of the first adapter and of the split, 0 or more."""
    reproducible: bool = False
    """Draw noise and samples from `seed`. Whoever knows the seed can then remove the noise: for
    benchmarks on public data only."""

    def __post_init__(self) -> None:
        """Refuse values of another type, out of range, or that do not fit each other."""
        for name, hint in get_type_hints(type(self)).items():
            check_type(name, hint, getattr(self, name))
        for name, known in CHOICES.items():
            if (word := getattr(self, name)) not in known:
                near = get_close_matches(word, known, n=1)
                way_out = f"Did you mean {near[0]}?" if near else ""
                raise refusal(name, word, f"{name} to be one of {', '.join(known)}", way_out)
        refuse_out_of_range(self)
        refuse_incompatible(self)

    @property
    def absent(self) -> tuple[int, ...]:
        """Numbers of owners who take no part."""
        return tuple(map(int, self.absent_owners.split(","))) if self.absent_owners else ()

    @property
    def present(self) -> tuple[int, ...]:
        """Numbers of the owners who take part."""
        return tuple(number for number in range(self.num_owners) if number not in self.absent)

    @property
    def num_present(self) -> int:
        """How many owners take part."""
        return self.num_owners - len(self.absent)

    @property
    def asked_per_round(self) -> int:
        """Owners asked in a round, or on average."""
        return self.owners_per_round or self.num_present

    @property
    def rounds_per_owner(self) -> int:
        """Rounds in which an owner is asked at most; nobody is asked twice before all were once."""
        return -(-self.num_rounds * self.asked_per_round // self.num_present)

    @property
    def steps_total(self) -> int:
        """Steps of one owner over the whole run; noise is calibrated for this many."""
        return (self.rounds_per_owner + self.spare_rounds) * self.local_steps

    @property
    def ranks(self) -> tuple[int, ...]:
        """Ranks that owners may have, in turn."""
        return tuple(int(rank) for rank in self._ranks) or (self.lora_r,)

    @property
    def are_ranks_whole(self) -> bool:
        """Whether every word in `lora_ranks` is a rank."""
        return all(rank.isdecimal() and 1 <= int(rank) <= self.lora_r for rank in self._ranks)

    @property
    def _ranks(self) -> list[str]:
        return [rank.strip() for rank in self.lora_ranks.split(",")] if self.lora_ranks else []

    @property
    def target_modules(self) -> tuple[str, ...]:
        """Return the names in `lora_modules`."""
        return tuple(name.strip() for name in self.lora_modules.split(","))

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> "TrainConfig":
        """Return a config from plain values; what is left out takes its default.

        Raises:
            ValueError: on an unknown key, a value of another type or out of range.
        """
        hints = get_type_hints(cls)
        if unknown := sorted(set(values) - set(hints)):
            is_table = isinstance(values[unknown[0]], Mapping)
            meant = "A plan has no tables. " if is_table else _meant(unknown[0], hints)
            raise ValueError(
                f"Expected fields of a plan, got {', '.join(unknown)}. {meant}"
                "`discreet fields` tells all of them."
            )
        kwargs: dict[str, Any] = {k: as_float(v, hints[k]) for k, v in values.items()}
        return cls(**kwargs)

    @classmethod
    def from_run_config(cls, values: Mapping[str, object]) -> "TrainConfig":
        """Return the config in a Flower run's settings, less `SERVER_KEYS`."""
        return cls.from_mapping({k: v for k, v in values.items() if k not in SERVER_KEYS})

    @classmethod
    def load(cls, path: Path) -> "TrainConfig":
        """Return the config of a TOML file.

        Raises:
            ArtifactCorrupt: if the file is missing or not TOML.
            ValueError: if a key is unknown, or a value of another type or out of range.
        """
        return cls.from_mapping(read_toml(path))

    def as_mapping(self) -> dict[str, object]:
        """Return the values that are set, as TOML can hold them."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def save(self, path: Path) -> None:
        """Write the config as TOML."""
        write_toml(path, self.as_mapping())


def _meant(word: str, known: Iterable[str]) -> str:
    """Return which fields somebody may have meant, as a question; empty if nothing is near.

    >>> _meant("epsilon", ["delta", "target_epsilon"])
    'Did you mean target_epsilon? '
    """
    known = list(known)
    near = [name for name in known if word in name] if len(word) > 1 else []
    near += [name for name in get_close_matches(word, known, n=3) if name not in near]
    return f"Did you mean {' or '.join(near[:3])}? " if near else ""
