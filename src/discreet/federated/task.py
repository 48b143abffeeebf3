"""Local training of the assistant: one adapter, one resident base, the examples of any owner.

Every owner's adapter is swapped into the base. What an example is says the plan: a portrait with a
question (`portraits`), a whole conversation (`conversations`) or a pair of answers of which one is
preferred (`preference_pairs`).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import torch

from discreet.aggregation import RULES, State, layers_of, product
from discreet.errors import DataError
from discreet.federated.config import TrainConfig
from discreet.federated.conversations import share_conversations
from discreet.federated.lessons import OWN, Lessons, Shared
from discreet.federated.local_sgd import LocalSgd
from discreet.federated.local_task import Assignment, LocalResult
from discreet.federated.local_training import train_locally
from discreet.federated.plans import plan_of
from discreet.federated.portraits import share_portraits
from discreet.federated.preferences import share_preferences
from discreet.federated.ranks import keep_rank, masks
from discreet.model import (
    LoraSpec,
    Vlm,
    adapter_parameters,
    adapter_state,
    attach_lora,
    frozen_adapter_hash,
    load,
    load_adapter_state,
    set_learning,
)
from discreet.privacy import PrivacyLedger, PrivacyPlan, StepRecord
from discreet.sources import holds_shares
from discreet.types import OwnerId

FROZEN_A = ("ffa", "fedsb")
"""Rules for which A is drawn from the seed and never learns."""


def spec_of(config: TrainConfig) -> LoraSpec:
    """Return the adapter that a config describes."""
    return LoraSpec(
        r=config.lora_r,
        alpha=config.lora_alpha,
        layers=config.lora_layers,
        target_modules=config.target_modules,
        freeze_a=config.aggregation in FROZEN_A,
        core=config.aggregation == "fedsb",
        seed=config.seed,
    )


@dataclass(frozen=True, slots=True)
class AssistantTask:
    """Local training of the assistant for any owner, on one resident model."""

    vlm: Vlm
    config: TrainConfig
    plan: PrivacyPlan
    shared: Shared = field(repr=False)
    first: State = field(repr=False)
    """The adapter before training."""

    @classmethod
    def without_data(cls, config: TrainConfig, *, cache_dir: Path | None = None) -> "AssistantTask":
        """Return what a server needs: the first adapter and the model to save an average with."""
        vlm = attach_lora(load(config.base, cache_dir=cache_dir), spec_of(config))
        return cls(vlm, config, plan_of(config), Shared(owned={}), first_state(vlm, config))

    @classmethod
    def build(
        cls,
        config: TrainConfig,
        data: Path | None = None,
        *,
        shared_data: Path | None = None,
        root: Path | None = None,
        cache_dir: Path | None = None,
    ) -> "AssistantTask":
        """Load the base, attach the first adapter, and give every owner their examples.

        Args:
            config: The public plan.
            data: An owner's own Parquet file, of portraits or of the owner's shares; None:
                simulated owners.
            shared_data: A Parquet file of portraits to share out to simulated owners, or shares of
                conversations, whose owners are those in the file; by default the packaged train
                people, or, for preferences, the packaged pairs.
            root: Folder of the data set that shares are of, if it lies elsewhere now.
            cache_dir: Folder of the converted base.

        Raises:
            DataError: if the data cannot be used, or are not what the plan says that an example is.
            ValueError: if shares are of another number of owners than the plan.
        """
        path = data or shared_data
        is_shares = path is not None and holds_shares(path)
        _require_kind(config, path, is_shares=is_shares, root=root)
        vlm = attach_lora(load(config.base, cache_dir=cache_dir), spec_of(config))
        if config.objective == "preferences":
            shared = share_preferences(vlm, config)
        elif path is not None and is_shares:
            shared = share_conversations(vlm, config, path, root=root, is_own=data is not None)
        else:
            shared = share_portraits(vlm, config, path, is_own=data is not None)
        return cls(vlm, config, plan_of(config), shared, first_state(vlm, config))

    @property
    def owned(self) -> dict[OwnerId, Lessons]:
        """What every owner has to learn from."""
        return self.shared.owned

    @property
    def taking_part(self) -> list[OwnerId]:
        """Owners of `owned` whom the plan does not leave out, in their order."""
        left_out = {OwnerId(f"owner-{number}") for number in self.config.absent}
        return [owner for owner in self.owned if owner not in left_out]

    def lessons_of(self, owner: OwnerId) -> Lessons:
        """Return what an owner has to learn from."""
        return self.owned[OWN] if OWN in self.owned else self.owned[owner]

    @property
    def frozen_hash(self) -> str:
        """Return a hash of the base and of the adapter's frozen part, drawn from the seed."""
        text = f"{self.vlm.base_hash} {frozen_adapter_hash(self.vlm)}"
        return hashlib.sha256(text.encode()).hexdigest()

    def initial_state(self) -> State:
        """Return the adapter before training, from the public seed."""
        return {name: value.clone() for name, value in self.first.items()}

    def train(
        self,
        state: State,
        *,
        owner: OwnerId,
        assignment: Assignment,
        ledger: PrivacyLedger,
        on_step: Callable[[StepRecord], None] | None,
    ) -> LocalResult:
        """Return the owner's adapter after `local_steps` steps from `state`.

        They are private, unless the unit is the owner: then the whole update is made so, later.

        Raises:
            BudgetExhausted: before any step, if the owner's budget does not cover them.
        """
        load_adapter_state(self.vlm, keep_rank(state, assignment.rank))
        set_learning(self.vlm, assignment.learns.__contains__)
        losses: list[float] = []
        released: list[float] = []

        def record(step: StepRecord) -> None:
            if step.loss is not None:
                losses.append(step.loss)
            if step.released_loss is not None:
                released.append(step.released_loss)
            if on_step is not None:
                on_step(step)

        lessons = self.lessons_of(owner)
        statement = train_locally(
            self.config,
            self.plan,
            self.vlm.model,
            lessons.losses,
            optimizer=self.optimizer(assignment),
            owner=owner,
            assignment=assignment,
            ledger=ledger,
            num_examples=len(lessons),
            rows_per_example=lessons.rows_per_example,
            user_of=lessons.users if self.plan.unit == "user" else None,
            on_step=record,
        )
        return LocalResult(
            statement=statement,
            state=adapter_state(self.vlm),
            steps=self.config.local_steps,
            losses=tuple(losses),
            released_loss=fmean(released) if released else None,
        )

    def optimizer(self, assignment: Assignment | None = None) -> torch.optim.Optimizer:
        """Return a fresh optimizer over what learns.

        Plain SGD by default: Adam's first steps would turn every coordinate that is mostly noise
        into a full step, and the runs are a few large steps long.
        """
        parameters = adapter_parameters(self.vlm)
        if self.config.optimizer == "adam":
            return torch.optim.Adam(parameters.values(), lr=self.config.learning_rate)
        full = {name: p.detach().cpu() for name, p in parameters.items()}
        return LocalSgd(
            parameters,
            learning_rate=self.config.learning_rate,
            proximal_mu=self.config.proximal_mu,
            correction=assignment.correction if assignment else None,
            mask=masks(full, assignment.rank)
            if assignment and assignment.rank < self.config.lora_r
            else None,
        )


def first_state(vlm: Vlm, config: TrainConfig) -> State:
    """Return the fresh adapter, with dense sums of zeros where the rule moves the base."""
    state = adapter_state(vlm)
    if RULES[config.aggregation].compatibility.adapter_only:
        return state
    layers = layers_of(state).items()
    return state | {
        f"{layer}.delta": torch.zeros_like(product(state, layer)) for layer, _ in layers
    }


def _require_kind(
    config: TrainConfig, path: Path | None, *, is_shares: bool, root: Path | None
) -> None:
    """Refuse data that are not what the plan says an example is: it is part of the promise."""
    if config.examples == "preference_pairs" and path is None and root is None:
        return
    got = "conversations" if is_shares else "portraits"
    if config.examples != got:
        raise DataError(
            f"Expected {config.examples} to train on, as the plan says, got {got}. Give the data "
            "with --data (a node: data in [site] of node.toml), or plan with examples = "
            f"'{got}'. Of preference pairs, those that ship are known: they need no data."
        )
    if root is not None and not is_shares:
        raise ValueError("Expected a root for shares only, got one for portraits. Leave it out.")
