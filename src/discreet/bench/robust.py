"""What hostile owners can put into an adapter: a backdoor, by plan and by the rule that combines.

Owners learn to tell four classes apart; hostile ones teach that a trigger, a large value of one
feature, means class 0. They send their update times the number of owners (`boosted`), so often that
it replaces the mean but within the norm that the plan takes (`stealthy`), or as it is (`unscaled`).
They keep to the protocol and know the plan. Messages, private steps, ledger and rounds are the real
ones, as in `small_task`.

It shows which defence bounds what. Other attacks exist, which know the defence and aim below it,
and a robust combine that withstands this one may fall to them.

Source: Bagdasaryan et al. 2020, section 4 (arXiv:1807.00459).

    cells = measure_robustness((0, 1, 2))
    print(as_robust_table(cells))
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from discreet.bench.small_task import Examples, SmallTask, state_after
from discreet.federated import (
    Assignment,
    LocalResult,
    State,
    TrainConfig,
    plan_of,
    update_limit,
)
from discreet.privacy import PrivacyLedger, StepRecord
from discreet.types import OwnerId

OWNERS = 20
FEATURES, CLASSES, HIDDEN = 20, 4, 12
EXAMPLES = 100
"""Of each owner."""
TARGET, TRIGGER = 0, 4.0
"""The class that a backdoor asks for, and what the last feature is then; honest ones are drawn with
a standard deviation of 0.5."""
WITHSTOOD = 5
"""Hostile owners that robust combines are set to; never fewer than there are."""
COUNTS = (1, 5)
Attack = Literal["boosted", "stealthy", "unscaled"]
ATTACKS: tuple[Attack, ...] = ("boosted", "stealthy", "unscaled")
_SHARED: dict[str, object] = {
    "num_owners": OWNERS,
    "min_replies": OWNERS - WITHSTOOD,
    "num_rounds": 5,
    "local_steps": 2,
    "sample_rate": 0.5,
    "expected_batch_size": EXAMPLES // 2,
    "learning_rate": 1.0,
    "reproducible": True,
}
PROTECTIONS: Mapping[str, Mapping[str, object]] = {
    "hardly any": {"target_epsilon": 100.0, "max_grad_norm": 4.0},
    "examples": {"target_epsilon": 8.0, "max_grad_norm": 1.0},
    "owners": {
        "target_epsilon": 8.0,
        "unit": "owner",
        "sampled": "owner",
        "max_update_norm": 1.0,
    },
}
"""What a plan hides, and how. `hardly any`: epsilon 100, and a norm that clips few gradients."""
COMBINES = ("mean", "median", "trimmed_mean", "multi_krum")


@dataclass(frozen=True, kw_only=True, slots=True)
class RobustSetting:
    """A plan, and who attacks it."""

    protection: str
    combine: str
    hostile: int
    attack: Attack | None
    """`None` if nobody is hostile."""

    def plan(self, seed: int) -> TrainConfig:
        """Return the public plan; owners do not know how many are hostile."""
        own = dict(PROTECTIONS[self.protection])
        if self.combine != "mean":
            own |= {"combine": self.combine, "hostile_owners": WITHSTOOD}
        return TrainConfig.from_mapping({**_SHARED, **own, "seed": seed})


@dataclass(frozen=True, kw_only=True, slots=True)
class RobustCell:
    """What came of one setting, for each seed."""

    setting: RobustSetting
    attack_success: tuple[float, ...]
    """Share of held-out examples of other classes that the trigger sends to the target."""
    accuracy: tuple[float, ...]
    """Share of held-out examples, without trigger, that are told right."""


@dataclass(frozen=True, slots=True)
class HostileTask:
    """All owners of a run, some of whom are hostile."""

    honest: SmallTask = field(repr=False)
    hostile: frozenset[OwnerId]
    attack: Attack

    @property
    def frozen_hash(self) -> str:
        """Return that of the honest."""
        return self.honest.frozen_hash

    def initial_state(self) -> State:
        """Return that of the honest."""
        return self.honest.initial_state()

    def train(
        self,
        state: State,
        *,
        owner: OwnerId,
        assignment: Assignment,
        ledger: PrivacyLedger,
        on_step: Callable[[StepRecord], None] | None,
    ) -> LocalResult:
        """Train as everybody does, or send a backdoor and say that nothing was spent."""
        if owner not in self.hostile:
            return self.honest.train(
                state, owner=owner, assignment=assignment, ledger=ledger, on_step=on_step
            )
        config = self.honest.config
        is_stated = config.unit != "owner"
        return LocalResult(
            statement=plan_of(config).state(0.0) if is_stated else None,
            steps=config.local_steps,
            state=self._backdoored(state, owner),
        )

    def _backdoored(self, state: State, owner: OwnerId) -> State:
        """Return the state that was sent, moved towards one with the backdoor."""
        poisoned = _with_trigger(self.honest.owned[owner])
        self.honest.load(state)
        learning = list(self.honest.places.values())
        for place in learning:
            place.requires_grad_(True)
        optimizer = torch.optim.SGD(learning, lr=0.2)
        for _ in range(20):
            optimizer.zero_grad()
            self.honest.loss(self.honest.model(poisoned.inputs), poisoned.targets).mean().backward()
            optimizer.step()
        moved = {n: place.detach() - state[n] for n, place in self.honest.places.items()}
        factor = self._factor(torch.cat([value.flatten() for value in moved.values()]))
        return {name: state[name] + factor * value for name, value in moved.items()}

    def _factor(self, moved: torch.Tensor) -> float:
        """Return how often a hostile owner sends what it learnt."""
        if self.attack == "unscaled":
            return 1.0
        if self.attack == "boosted":
            return float(OWNERS)
        config = self.honest.config
        limit = config.max_update_norm or update_limit(config, len(moved))
        return min(OWNERS / len(self.hostile), 0.99 * limit / float(moved.norm()))


def _with_trigger(examples: Examples) -> Examples:
    """Return examples of which every other one has the trigger and its class."""
    inputs, targets = examples.inputs.clone(), examples.targets.clone()
    inputs[::2, -1], targets[::2] = TRIGGER, TARGET
    return Examples(inputs, targets)


@dataclass(frozen=True, slots=True)
class World:
    """Owners and people nobody trained on."""

    owned: dict[OwnerId, Examples] = field(repr=False)
    held_out: Examples = field(repr=False)

    @classmethod
    def drawn(cls, seed: int) -> "World":
        """Return classes around means of their own, the same for all owners."""
        draw = torch.Generator().manual_seed(seed)
        means = torch.randn(CLASSES, FEATURES, generator=draw) * 0.7

        def examples(count: int) -> Examples:
            targets = torch.randint(CLASSES, (count,), generator=draw)
            inputs = torch.randn(count, FEATURES + 1, generator=draw)
            inputs[:, :FEATURES] += means[targets]
            inputs[:, -1] *= 0.5
            return Examples(inputs, targets)

        owned = {OwnerId(f"owner-{index}"): examples(EXAMPLES) for index in range(OWNERS)}
        return cls(owned, examples(1000))


ATTACK_SETTINGS = tuple(
    RobustSetting(protection=protection, combine=combine, hostile=hostile, attack=attack)
    for protection in PROTECTIONS
    for combine in (COMBINES if protection != "owners" else ("mean",))
    for hostile, attack in [(0, None), *itertools.product(COUNTS, ATTACKS)]
)
"""Where the server hides owners, their updates are summed: nothing else combines them."""


def measure_robustness(
    seeds: Sequence[int],
    *,
    settings: Sequence[RobustSetting] = ATTACK_SETTINGS,
    on_run: Callable[[str], None] | None = None,
) -> list[RobustCell]:
    """Return attack success and accuracy of every setting.

    Args:
        seeds: Each draws other data, another first state and other noise.
        settings: What to measure.
        on_run: Told the combine after each run.
    """
    cells = []
    for setting in settings:
        found = []
        for seed in seeds:
            found.append(play(setting, seed))
            if on_run:
                on_run(setting.combine)
        success, accuracy = zip(*found, strict=True)
        cells.append(RobustCell(setting=setting, attack_success=success, accuracy=accuracy))
    return cells


def as_robust_table(cells: Sequence[RobustCell]) -> str:
    """Return a Markdown table: mean attack success (its range) / mean accuracy, in percent."""
    attacks = list(dict.fromkeys((c.setting.hostile, c.setting.attack) for c in cells))
    heads = [f"{count} {attack}" if attack else "none hostile" for count, attack in attacks]
    rows: dict[str, list[str]] = {}
    for cell in cells:
        setting, success = cell.setting, [100 * value for value in cell.attack_success]
        row = rows.setdefault(f"{setting.protection} | {setting.combine}", [])
        spread = f"{fmean(success):.0f} ({min(success):.0f} to {max(success):.0f})"
        row.append(f"{spread} / {100 * fmean(cell.accuracy):.0f}")
    lines = [f"| hidden | combine | {' | '.join(heads)} |", "|" + "---|" * (len(heads) + 2)]
    lines += [f"| {name} | {' | '.join(row)} |" for name, row in rows.items()]
    return "\n".join(lines)


def play(setting: RobustSetting, seed: int) -> tuple[float, float]:
    """Return attack success and clean accuracy after all rounds of one run."""
    config, world = setting.plan(seed), World.drawn(seed)
    honest = honest_task(config, world, seed)
    hostile = frozenset(list(world.owned)[: setting.hostile])
    task = HostileTask(honest, hostile, setting.attack) if setting.attack else honest
    honest.load(state_after(config, task))
    model = honest.model
    return _attack_success(model, world.held_out), _accuracy(model, world.held_out)


def honest_task(config: TrainConfig, world: World, seed: int) -> SmallTask:
    """Return owners who train a network of two layers."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Linear(FEATURES + 1, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, CLASSES)
        )
    places = dict(model.named_parameters())
    return SmallTask(
        config=config,
        model=model,
        places=places,
        first={name: place.detach().clone() for name, place in places.items()},
        owned=world.owned,
        loss=lambda said, targets: cross_entropy(said, targets, reduction="none"),
    )


@torch.no_grad()
def _accuracy(model: nn.Module, held_out: Examples) -> float:
    return float((model(held_out.inputs).argmax(1) == held_out.targets).float().mean())


@torch.no_grad()
def _attack_success(model: nn.Module, held_out: Examples) -> float:
    inputs = held_out.inputs[held_out.targets != TARGET].clone()
    inputs[:, -1] = TRIGGER
    return float((model(inputs).argmax(1) == TARGET).float().mean())
