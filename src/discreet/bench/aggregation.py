"""Aggregation rules beside each other, where owners differ and gradients have noise.

Owners learn a linear map of low rank from examples of their own, by LoRA on a layer of zeros. The
maps of owners differ; their mean is the truth, and the error is how far the product of the last
adapter is from it. The private steps, the ledger, the messages and the rounds are the real ones.

What it shows is which error a rule has: of averaged factors, of a frozen factor, of noise. Learning
from nothing is hard on rules with a frozen factor; a base that knows most of what is to be learnt
is kinder to them.

    cells = measure_aggregation((0, 1, 2))
    print(as_aggregation_table(cells))
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from discreet.aggregation import RULES, State, layers_of, product
from discreet.bench.small_task import Examples, SmallTask, state_after
from discreet.federated import TrainConfig
from discreet.model import put_core
from discreet.types import OwnerId

WIDTH, HEIGHT, RANK = 32, 16, 4
"""Of the layer, in and out, and of the truth."""
EXAMPLES = 400
"""Of each owner."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """A rule with the settings that suit it."""

    rule: str
    rank: int
    learning_rate: float
    """Chosen by hand with 4 owners at heterogeneity 0.5 and epsilon 8, among powers of 2."""

    @property
    def name(self) -> str:
        """Return the rule and its rank."""
        return f"{self.rule}, r = {self.rank}"


CONTENDERS = tuple(
    Contender(rule=rule, rank=rank, learning_rate=rate)
    for rule, rank, rate in (
        ("ffa", RANK, 0.5),
        ("ffa", HEIGHT, 1.0),
        ("fedsb", RANK, 0.25),
        ("fedsb", HEIGHT, 0.25),
        ("fedit", RANK, 1.0),
        ("rolora", RANK, 2.0),
        ("flexlora", RANK, 0.5),
        ("fedex", RANK, 1.0),
        ("flora", RANK, 2.0),
    )
)
"""Every rule at the rank of the truth; those with frozen factors also at the largest there is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What a rule is measured in."""

    owners: int
    heterogeneity: float
    """Length of the difference between an owner's map and the truth, over that of the truth."""
    epsilon: float
    """Of each owner, at delta 1e-5."""


SURROUNDINGS = (
    *(Surroundings(owners=4, heterogeneity=h, epsilon=e) for h in (0.0, 1.0) for e in (100, 8, 1)),
    Surroundings(owners=20, heterogeneity=1.0, epsilon=8),
)
"""Epsilon 100 promises nothing worth the name and has next to no noise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AggregationCell:
    """One rule in one of the surroundings, over seeds."""

    contender: Contender
    surroundings: Surroundings
    errors: tuple[float, ...]
    """Relative error of the product for each seed."""
    floors: tuple[float, ...]
    """The least error that the frozen factors leave room for, for each seed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What there is to learn."""

    truth: torch.Tensor
    """(out, in)."""
    owned: dict[OwnerId, Examples]


def draw_problem(owners: int, heterogeneity: float, seed: int) -> Problem:
    """Return a truth of length 1 and rank 4, and examples of owners whose maps have it as mean."""
    draw = torch.Generator().manual_seed(seed)
    truth = _low_rank(draw)
    apart = torch.stack([_low_rank(draw) for _ in range(owners)])
    apart -= apart.mean(0)
    apart *= heterogeneity / apart.norm(dim=(1, 2)).mean()
    owned = {}
    for index in range(owners):
        inputs = torch.randn(EXAMPLES, WIDTH, generator=draw)
        blur = 0.05 * torch.randn(EXAMPLES, HEIGHT, generator=draw)
        targets = inputs @ (truth + apart[index]).T + blur
        owned[OwnerId(f"owner-{index}")] = Examples(inputs, targets)
    return Problem(truth=truth, owned=owned)


def _low_rank(draw: torch.Generator) -> torch.Tensor:
    """Return (out, in) of rank 4 and length 1."""
    found = torch.randn(HEIGHT, RANK, generator=draw) @ torch.randn(RANK, WIDTH, generator=draw)
    scaled: torch.Tensor = found / found.norm()
    return scaled


def plan_for(contender: Contender, around: Surroundings, seed: int) -> TrainConfig:
    """Return the plan of one run: 10 rounds of 5 steps, a quarter of the examples in each."""
    return TrainConfig(
        aggregation=contender.rule,
        lora_r=contender.rank,
        lora_alpha=contender.rank,
        num_owners=around.owners,
        num_rounds=10,
        local_steps=5,
        target_epsilon=around.epsilon,
        max_grad_norm=1.0,
        sample_rate=0.25,
        expected_batch_size=EXAMPLES // 4,
        learning_rate=contender.learning_rate,
        seed=seed,
        reproducible=True,
    )


def lora_task(config: TrainConfig, owned: dict[OwnerId, Examples]) -> SmallTask:
    """Return owners who learn one linear layer of zeros by LoRA."""
    rule = RULES[config.aggregation]
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        settings = LoraConfig(r=config.lora_r, lora_alpha=config.lora_alpha, target_modules=["0"])
        model = get_peft_model(nn.Sequential(nn.Linear(WIDTH, HEIGHT, bias=False)), settings)
    (layer,) = (module for module in model.modules() if hasattr(module, "base_layer"))
    layer.base_layer.weight.data.zero_()
    if rule.name == "fedsb":
        put_core(layer, "default", torch.Generator().manual_seed(config.seed))
    places = dict(model.named_parameters())
    base = next(name for name in places if "base_layer" in name)
    delta = {base.replace(".base_layer.weight", ".delta"): places.pop(base)}
    travelling = {n: p for n, p in places.items() if rule.learns(n, 1) or rule.learns(n, 2)}
    if not rule.compatibility.adapter_only:
        travelling |= delta
    return SmallTask(
        config=config,
        model=model,
        places=travelling,
        first={name: place.detach().clone() for name, place in travelling.items()},
        owned=owned,
        loss=lambda said, targets: (said - targets).square().sum(1) / 2,
    )


def error_of(state: State, task: SmallTask, truth: torch.Tensor) -> float:
    """Return how far the product of a state is from the truth, over the length of the truth."""
    whole = _factors(task) | state
    (layer,) = layers_of(whole)
    return float((product(whole, layer) - truth).norm() / truth.norm())


def floor_of(task: SmallTask, truth: torch.Tensor) -> float:
    """Return the least error that any state can have: what frozen factors do not let through."""
    factors, best = _factors(task), truth
    (names,) = layers_of(factors).values()
    if RULES[task.config.aggregation].name in ("ffa", "fedsb"):
        rows = torch.linalg.qr(factors[names["A"]].T).Q
        best = best @ rows @ rows.T
    if "R" in names:
        columns = torch.linalg.qr(factors[names["B"]]).Q
        best = columns @ columns.T @ best
    return float((truth - best).norm() / truth.norm())


def _factors(task: SmallTask) -> State:
    """Return the factors in the model, those that do not travel included."""
    return {n: p.detach() for n, p in task.model.named_parameters() if ".lora_" in n}


def measure_aggregation(
    seeds: Sequence[int],
    *,
    surroundings: Sequence[Surroundings] = SURROUNDINGS,
    contenders: Sequence[Contender] = CONTENDERS,
    on_run: Callable[[str], None] | None = None,
) -> list[AggregationCell]:
    """Return the errors of every contender in all surroundings.

    Args:
        seeds: Each draws another problem, first adapter and noise.
        surroundings: Where to measure.
        contenders: What to measure.
        on_run: Told the rule after each run.
    """
    cells = []
    for around, contender in itertools.product(surroundings, contenders):
        found = []
        for seed in seeds:
            found.append(_measure(contender, around, seed))
            if on_run:
                on_run(contender.rule)
        errors, floors = zip(*found, strict=True)
        cells.append(
            AggregationCell(contender=contender, surroundings=around, errors=errors, floors=floors)
        )
    return cells


def _measure(contender: Contender, around: Surroundings, seed: int) -> tuple[float, float]:
    """Return error and floor of one run."""
    problem = draw_problem(around.owners, around.heterogeneity, seed)
    config = plan_for(contender, around, seed)
    task = lora_task(config, problem.owned)
    floor = floor_of(task, problem.truth)
    return error_of(state_after(config, task), task, problem.truth), floor


def as_aggregation_table(cells: Sequence[AggregationCell]) -> str:
    """Return a Markdown table: a row for each rule, mean and range over seeds."""
    places = list(dict.fromkeys(cell.surroundings for cell in cells))
    heads = [f"{p.owners} owners, differ by {p.heterogeneity:g}, eps {p.epsilon:g}" for p in places]
    rows: dict[Contender, list[str]] = {}
    for cell in cells:
        mean, low, high = fmean(cell.errors), min(cell.errors), max(cell.errors)
        row = rows.setdefault(cell.contender, [f"{fmean(cell.floors):.2f}"])
        row.append(f"{mean:.2f} ({low:.2f} to {high:.2f})")
    lines = [f"| rule | at best | {' | '.join(heads)} |", "|" + "---|" * (len(heads) + 2)]
    lines += [f"| {contender.name} | {' | '.join(row)} |" for contender, row in rows.items()]
    return "\n".join(lines)
