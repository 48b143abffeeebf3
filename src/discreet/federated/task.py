"""What an owner learns in a round: to fit vetted facts to the person who asks.

One base model stays resident; every owner's adapter is swapped into it. Each private example is
presented twice, as the picture's visual tokens and as text that passed the gate, and counts once:
its two losses are averaged before its gradient is clipped.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from discreet.data import (
    Example,
    Portrait,
    build_examples,
    load_portraits,
    load_questions,
    partition_by_owner,
    split_questions,
)
from discreet.errors import DataError, ImageError
from discreet.federated.client import LocalResult, draw_generators
from discreet.federated.config import TrainConfig
from discreet.model import (
    IMAGE_TOKEN,
    FrozenPrefix,
    LoraSpec,
    Row,
    Vlm,
    adapter_parameters,
    adapter_state,
    answer_losses,
    attach_lora,
    build_prompt,
    collate,
    encode_images,
    frozen_adapter_hash,
    load,
    load_adapter_state,
    person_line,
)
from discreet.privacy import PrivacyLedger, PrivacyPlan, StepRecord, calibrate, spend
from discreet.types import Observation, OwnerId

ROWS_PER_EXAMPLE = 2
"""Gated text and visual tokens."""
OWN = OwnerId("own")
"""Key of the examples of a device that holds one owner's data only."""

PACKAGED_LICENCE = "Apache-2.0; portraits rendered from CC0 1.0 assets (docs/cards/people.md)"
NOT_STATED = "held by the owners, not stated here"


def plan_of(config: TrainConfig) -> PrivacyPlan:
    """Return the plan that every owner follows; depends on nothing but the public config."""
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
    )


def spec_of(config: TrainConfig) -> LoraSpec:
    """Return the adapter that a config describes."""
    return LoraSpec(
        r=config.lora_r,
        alpha=config.lora_alpha,
        layers=config.lora_layers,
        target_modules=config.target_modules,
        seed=config.seed,
    )


def presentations(example: Example) -> tuple[Row, Row]:
    """Return an example as gated text and as visual tokens, with the same answer."""
    return tuple(
        Row(
            messages=build_prompt(example.question, note=example.note, person=person),
            answer=example.answer,
        )
        for person in (person_line(_allowed(example)), IMAGE_TOKEN)
    )  # type: ignore[return-value]


def _allowed(example: Example) -> list[Observation]:
    """Return what a policy lets through: never an expression in tutoring."""
    values = {"age_band": example.age_band}
    if example.domain == "healthcare":
        values["expression"] = example.expression  # type: ignore[assignment]
    return [
        Observation(attribute=name, value=value, source="declared", confidence=1.0)  # type: ignore[arg-type]
        for name, value in values.items()
    ]


def _by_length(examples: list[Example]) -> list[Example]:
    """Return examples from short to long: batches are drawn in order and need less padding."""
    return sorted(examples, key=lambda e: len(e.note) + len(e.question) + len(e.answer))


def _bounded(indices: list[int], portraits: Sequence[Portrait], config: TrainConfig) -> list[int]:
    """Return the indices less those by which a person has more than the plan allows.

    Where examples are drawn and users are hidden, the bound is part of the guarantee. Each person
    is looked at alone, so that one person more leaves the others as they were.
    """
    if config.unit != "user" or config.sampled != "example" or config.examples_per_user is None:
        return indices
    seen: Counter[str] = Counter()
    kept = []
    for index in indices:
        person = portraits[index].identity_id
        seen[person] += 1
        if seen[person] <= config.examples_per_user:
            kept.append(index)
    return kept


def _decode_all(portraits: Sequence[Portrait]) -> None:
    """Refuse data with a damaged picture before anything is charged.

    Found in a step, it would cost that step, and say that the example was drawn.
    """
    for row, portrait in enumerate(portraits, 1):
        try:
            _ = portrait.image
        except ImageError as error:
            raise DataError(f"In portrait {row} of {len(portraits)}: {error}") from error


@dataclass(slots=True)
class VisualTokens:
    """Visual tokens of portraits, computed when first needed and kept in memory only."""

    vlm: Vlm
    portraits: Sequence[Portrait] = field(repr=False)
    _kept: dict[int, torch.Tensor] = field(default_factory=dict, repr=False)

    def of(self, indices: Sequence[int]) -> torch.Tensor:
        """Return (len(indices), image_tokens, hidden_size)."""
        missing = sorted({index for index in indices if index not in self._kept})
        if missing:
            fresh = encode_images(self.vlm, [self.portraits[index].image for index in missing])
            self._kept.update(zip(missing, fresh.half(), strict=True))
        return torch.stack([self._kept[index].float() for index in indices])


def example_losses(
    vlm: Vlm,
    visual: VisualTokens,
    examples: Sequence[Example],
    *,
    prefix: FrozenPrefix | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the losses of the gated and of the native presentation, (N,) each.

    With a `prefix`, rows that were seen before start at the lowest layer that learns.
    """
    batch = collate(vlm, [row for example in examples for row in presentations(example)])
    features = visual.of([example.portrait for example in examples])
    if prefix is None:
        losses = answer_losses(vlm, batch, features)
    else:
        keys = [(example.portrait, way) for example in examples for way in range(ROWS_PER_EXAMPLE)]
        losses = prefix.answer_losses(batch, features, keys=keys)
    gated, native = losses.view(-1, ROWS_PER_EXAMPLE).unbind(1)
    return gated, native


@dataclass(frozen=True, slots=True)
class AssistantTask:
    """Local training of the assistant for any owner, on one resident model."""

    vlm: Vlm
    config: TrainConfig
    plan: PrivacyPlan
    owned: dict[OwnerId, list[Example]] = field(repr=False)
    visual: VisualTokens = field(repr=False)
    data_licence: str = NOT_STATED
    prefix: FrozenPrefix | None = field(default=None, repr=False)

    @classmethod
    def without_data(cls, config: TrainConfig, *, cache_dir: Path | None = None) -> "AssistantTask":
        """Return what a server needs: the first adapter and the model to save an average with."""
        vlm = attach_lora(load(config.base, cache_dir=cache_dir), spec_of(config))
        return cls(vlm, config, plan_of(config), {}, VisualTokens(vlm, []))

    @classmethod
    def build(
        cls,
        config: TrainConfig,
        data: Path | None = None,
        *,
        shared_data: Path | None = None,
        cache_dir: Path | None = None,
    ) -> "AssistantTask":
        """Load the base, attach the first adapter, and give every owner their examples.

        Args:
            config: The public plan.
            data: An owner's own Parquet file of portraits; None: simulated owners.
            shared_data: A Parquet file of portraits to share out to simulated owners; the packaged
                train people by default.
            cache_dir: Folder of the converted base.
        """
        vlm = attach_lora(load(config.base, cache_dir=cache_dir), spec_of(config))
        own = data or shared_data
        portraits = load_portraits("train", path=own)
        if own is not None:
            _decode_all(portraits)
        parts = (
            partition_by_owner(
                portraits, config.num_owners, alpha=config.dirichlet_alpha, seed=config.seed
            )
            if data is None
            else {OWN: list(range(len(portraits)))}
        )
        questions = split_questions(load_questions()).private
        owned = {
            owner: _by_length(
                build_examples(
                    portraits,
                    questions,
                    indices=_bounded(indices, portraits, config),
                    alpha=config.dirichlet_alpha,
                    owner=owner,
                    seed=config.seed,
                )
            )
            for owner, indices in parts.items()
        }
        licence = PACKAGED_LICENCE if data is None and shared_data is None else NOT_STATED
        visual = VisualTokens(vlm, portraits)
        room = config.activations_mib * 2**20
        prefix = FrozenPrefix(vlm, limit_bytes=room) if room else None
        return cls(vlm, config, plan_of(config), owned, visual, licence, prefix)

    def examples_of(self, owner: OwnerId) -> list[Example]:
        """Return what an owner holds."""
        return self.owned[OWN] if OWN in self.owned else self.owned[owner]

    def users_of(self, owner: OwnerId) -> list[str]:
        """Return the person of each of the owner's examples; it never leaves the device."""
        return [example.identity_id for example in self.examples_of(owner)]

    @property
    def frozen_hash(self) -> str:
        """Return a hash of the base and of the adapter's frozen part, drawn from the seed."""
        text = f"{self.vlm.base_hash} {frozen_adapter_hash(self.vlm)}"
        return hashlib.sha256(text.encode()).hexdigest()

    def initial_state(self) -> dict[str, torch.Tensor]:
        """Return the adapter before training, from the public seed."""
        fresh = {name: torch.zeros_like(p) for name, p in adapter_parameters(self.vlm).items()}
        load_adapter_state(self.vlm, fresh)
        return adapter_state(self.vlm)

    def train(
        self,
        state: dict[str, torch.Tensor],
        *,
        owner: OwnerId,
        server_round: int,
        ledger: PrivacyLedger,
        on_step: Callable[[StepRecord], None] | None,
    ) -> LocalResult:
        """Return the owner's adapter after `local_steps` private steps from `state`.

        Raises:
            BudgetExhausted: before any step, if the owner's budget does not cover them.
        """
        load_adapter_state(self.vlm, state)
        ledger.open_account(owner, self.plan)
        losses: list[float] = []

        def record(step: StepRecord) -> None:
            if step.loss is not None:
                losses.append(step.loss)
            if on_step is not None:
                on_step(step)

        chance = draw_generators(self.config, owner=owner, server_round=server_round)
        statement = spend(
            ledger,
            owner,
            self.vlm.model,
            self.loss_of(owner),
            num_examples=len(self.examples_of(owner)),
            rows_per_example=ROWS_PER_EXAMPLE,
            plan=self.plan,
            steps=self.config.local_steps,
            optimizer=self.optimizer(),
            sampling_generator=chance.sampling,
            noise_generator=chance.noise,
            max_physical_batch=self.config.max_physical_batch,
            engine=self.config.engine,  # type: ignore[arg-type]
            user_of=self.users_of(owner) if self.plan.unit == "user" else None,
            reproducible=self.config.reproducible,
            on_step=record,
        )
        return LocalResult(
            state=adapter_state(self.vlm),
            statement=statement,
            steps=self.config.local_steps,
            losses=tuple(losses),
        )

    def loss_of(self, owner: OwnerId) -> Callable[[Sequence[int]], torch.Tensor]:
        """Return the function from drawn indices to per-example losses."""
        examples = self.examples_of(owner)

        def losses(indices: Sequence[int]) -> torch.Tensor:
            gated, native = example_losses(
                self.vlm, self.visual, [examples[i] for i in indices], prefix=self.prefix
            )
            return (gated + native) / 2

        return losses

    def optimizer(self) -> torch.optim.Optimizer:
        """Return a fresh optimiser over the adapter.

        Plain SGD by default: Adam's first steps would turn every coordinate that is mostly noise
        into a full step, and the runs are a few large steps long.
        """
        kind = torch.optim.Adam if self.config.optimizer == "adam" else torch.optim.SGD
        return kind(adapter_parameters(self.vlm).values(), lr=self.config.learning_rate)
