"""The public plan of a federated run: one frozen dataclass, read from and written to TOML.

Holds nothing about the data of any owner and does not train.

    >>> TrainConfig(num_rounds=3, local_steps=10).steps_total
    30
"""

import ast
import inspect
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from discreet.aggregation import COMBINES, RULES, SERVER_OPTIMIZERS
from discreet.artifacts import read_toml, write_toml
from discreet.federated.codec import CODECS
from discreet.federated.compatibility import refuse_incompatible
from discreet.privacy import Engine, Sampled, Sampler, Unit

MOST = 1_000_000
"""Largest count in a plan: a typing mistake is told, not waited for."""
CHOICES = {
    "objective": ("answers", "preferences"),
    "examples": ("portraits", "conversations", "preference_pairs"),
    "unit": get_args(Unit),
    "sampled": get_args(Sampled),
    "sampler": get_args(Sampler),
    "optimizer": ("sgd", "adam"),
    "engine": get_args(Engine),
    "aggregation": tuple(RULES),
    "combine": tuple(COMBINES),
    "server_optimizer": tuple(SERVER_OPTIMIZERS),
    "local_rule": ("sgd", "prox", "scaffold"),
    "wire": tuple(CODECS),
    "wire_down": tuple(name for name in CODECS if name != "topk"),
}
"""Words that a field may hold. What may stand together is `PrivacyPlan`'s to say."""
PREFERENCES: Mapping[str, Any] = {
    "objective": "preferences",
    "examples": "preference_pairs",
    "sample_rate": 0.1,
    "expected_batch_size": 28,
}
"""What differs from the default plan where owners learn from the shipped pairs, 1,128 over four."""
SERVER_KEYS = ("run_folder",)
"""Settings of a Flower run that say where the server writes; no part of the plan."""


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
    """Probability with which the guarantee may fail, between 0 and 1; below 1 / examples."""
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
    seed: int = 0
    """Public seed of the first adapter and of the split, 0 or more."""
    reproducible: bool = False
    """Draw noise and samples from `seed`. Whoever knows the seed can then remove the noise: for
    benchmarks on public data only."""

    def __post_init__(self) -> None:
        """Refuse values of another type or out of range."""
        for name, hint in get_type_hints(type(self)).items():
            _check_type(name, hint, getattr(self, name))
        whole = ("num_owners", "num_rounds", "local_steps", "expected_batch_size", "lora_alpha")
        for name in (*whole, "lora_r", "lora_layers", "max_physical_batch"):
            most = 4096 if name == "lora_r" else MOST
            self._require(name, 1 <= getattr(self, name) <= most, f"{name} >= 1 and at most {most}")
        self._require(
            "local_steps",
            self.steps_total <= MOST,
            f"num_rounds x local_steps <= {MOST}",
            "More cannot be accounted for in reasonable time.",
        )
        waits = ("round_timeout_seconds", "node_wait_seconds", "secagg_timeout_seconds")
        scales = ("max_grad_norm", "loss_clip", "learning_rate", "beta")
        for name in ("target_epsilon", *scales, *waits):
            value = getattr(self, name)
            self._require(name, 0 < value < float("inf"), f"a finite {name} > 0")
        self._require(
            "sample_rate",
            0 < self.sample_rate <= 1,
            "0 < sample_rate <= 1",
            "Use expected_batch_size / examples per owner.",
        )
        self._require("delta", 0 < self.delta < 1, "0 < delta < 1", "Use 1e-5 or less.")
        self._require_owners()
        alpha = self.dirichlet_alpha
        self._require(
            "dirichlet_alpha",
            alpha is None or 0 < alpha <= MOST,
            f"dirichlet_alpha > 0 and at most {MOST}",
            "Leave it out for an even split.",
        )
        self._require_choices()
        per_user = self.examples_per_user
        self._require(
            "examples_per_user",
            per_user is None or 1 <= per_user <= MOST,
            f"examples_per_user >= 1 and at most {MOST}",
        )
        room = self.activations_mib
        self._require("activations_mib", 0 <= room <= MOST, f"activations_mib from 0 to {MOST}")
        length = self.max_tokens
        self._require("max_tokens", 1 <= length <= MOST, f"max_tokens from 1 to {MOST}")
        self._require_exchange()
        self._require("bands", 1 <= self.bands <= MOST, f"bands >= 1 and at most {MOST}")
        self._require("seed", 0 <= self.seed < 2**63, "seed >= 0 and below 2**63")
        self._require("base", bool(self.base), "a base model", "Use base = 'small'.")
        self._require(
            "lora_modules",
            all(name.isidentifier() for name in self.target_modules),
            "names of weights, separated by commas",
            "Use lora_modules = 'q_proj,v_proj', for example.",
        )
        refuse_incompatible(self)

    def _require_owners(self) -> None:
        """Refuse numbers of owners that contradict each other."""
        asked = self.owners_per_round
        self._require(
            "owners_per_round",
            asked is None or 1 <= asked <= self.num_owners,
            f"owners_per_round from 1 to num_owners ({self.num_owners})",
            "Leave it out to ask all.",
        )
        self._require(
            "min_replies",
            1 <= self.min_replies <= self.asked_per_round,
            f"1 <= min_replies <= the {self.asked_per_round} owners asked in a round",
            "Lower min_replies, or ask more owners.",
        )
        few = f"hostile_owners from 0 to below half of {self.asked_per_round}"
        is_few = 0 <= 2 * self.hostile_owners < self.asked_per_round
        self._require("hostile_owners", is_few, few)

    def _require_exchange(self) -> None:
        """Refuse settings of updates out of range."""
        for name in ("server_learning_rate", "topk_share"):
            value = getattr(self, name)
            self._require(name, 0 < value < float("inf"), f"a finite {name} > 0")
        self._require("topk_share", self.topk_share <= 1, "topk_share at most 1")
        momentum = self.server_momentum
        self._require("server_momentum", 0 <= momentum < 1, "server_momentum from 0 to below 1")
        mu = self.proximal_mu
        self._require(
            "proximal_mu",
            0 < mu < float("inf") if self.local_rule == "prox" else mu == 0,
            "proximal_mu > 0 with local_rule = 'prox', and 0 without",
        )
        norm = self.max_update_norm
        is_norm = norm is None or 0 < norm < float("inf")
        spare = self.spare_rounds
        self._require("spare_rounds", 0 <= spare <= MOST, f"spare_rounds from 0 to {MOST}")
        self._require("max_update_norm", is_norm, "a finite max_update_norm > 0")
        self._require(
            "lora_ranks",
            all(rank.isdecimal() and 1 <= int(rank) <= self.lora_r for rank in self._ranks),
            f"whole ranks from 1 to lora_r ({self.lora_r}), separated by commas",
        )

    def _require_choices(self) -> None:
        """Refuse unknown words, and an objective with examples of another kind."""
        for name, known in CHOICES.items():
            value = getattr(self, name)
            self._require(name, value in known, f"{name} to be one of {', '.join(known)}")
        self._require(
            "examples",
            (self.objective == "preferences") == (self.examples == "preference_pairs"),
            "examples = 'preference_pairs' with objective = 'preferences', and with no other",
            f"Set both (objective is '{self.objective}').",
        )

    def _require(self, name: str, holds: bool, expected: str, way_out: str = "") -> None:
        """Raise a `ValueError` that says what was expected, what came, and the way out."""
        if not holds:
            message = f"Expected {expected}, got {name}={getattr(self, name)!r}. {way_out}"
            raise ValueError(message.rstrip())

    @property
    def asked_per_round(self) -> int:
        """Owners asked in a round, or on average."""
        return self.owners_per_round or self.num_owners

    @property
    def rounds_per_owner(self) -> int:
        """Rounds in which an owner is asked at most; nobody is asked twice before all were once."""
        return -(-self.num_rounds * self.asked_per_round // self.num_owners)

    @property
    def steps_total(self) -> int:
        """Steps of one owner over the whole run; noise is calibrated for this many."""
        return (self.rounds_per_owner + self.spare_rounds) * self.local_steps

    @property
    def ranks(self) -> tuple[int, ...]:
        """Ranks that owners may have, in turn."""
        return tuple(int(rank) for rank in self._ranks) or (self.lora_r,)

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
            raise ValueError(
                f"Expected keys among {', '.join(sorted(hints))}; got {', '.join(unknown)}. "
                "Correct or remove the unknown key."
            )
        kwargs: dict[str, Any] = {k: _as_float(v, hints[k]) for k, v in values.items()}
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


def describe_fields() -> dict[str, str]:
    """Return the help text of each field of `TrainConfig`: its attribute docstring, on one line."""
    body = ast.parse(inspect.getsource(TrainConfig)).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        match field, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(help_text))),
            ):
                found[name] = " ".join(help_text.split())
    return {field.name: found[field.name] for field in fields(TrainConfig)}


def _allowed(hint: Any) -> tuple[type, ...]:
    """Return the classes a type hint stands for."""
    return get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


def _as_float(value: object, hint: object) -> object:
    """Return a whole number as a float where the field holds a float; anything else as it is."""
    if isinstance(value, int) and not isinstance(value, bool) and float in _allowed(hint):
        return float(value) if abs(value) < 2**63 else float("inf")
    return value


def _check_type(name: str, hint: object, value: object) -> None:
    """Raise if a value is not of the type its field names; an int may stand for a float."""
    allowed = _allowed(hint)
    if type(_as_float(value, hint)) in allowed:
        return
    wanted = " or ".join("nothing" if kind is type(None) else kind.__name__ for kind in allowed)
    raise ValueError(f"Expected {name} of type {wanted}, got {name}={value!r}. Correct its value.")
