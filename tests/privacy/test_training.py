"""Private steps against a loop over examples, the definition of sensitivity, and known traps."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opacus.grad_sample import GradSampleHooks
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from discreet.errors import BudgetExhausted, LedgerInUse
from discreet.privacy import (
    CounterGenerator,
    ExampleLosses,
    PrivacyLedger,
    PrivacyPlan,
    StepRecord,
    fit_private,
    spend,
)
from discreet.privacy.clipping import grid_of
from discreet.types import OwnerId, PrivacyStatement

from .conftest import Tiny

CLINIC = OwnerId("owner-0")
NO_NOISE = 1e-12
MIXED = [[[5, 6, 7, 8, 9, 10]], [[11, 3]], [[4, 4, 4, 4]], [[30, 2, 17]], [[9, 1, 22, 8, 3]]]
PAIRS = [[rows[0], rows[0][::-1] + [7]] for rows in MIXED]

Plan = Callable[..., PrivacyPlan]
Seeded = Callable[[int], CounterGenerator]
Build = Callable[..., Tiny]


_RUNNING = ["flat"]


@pytest.fixture(autouse=True, params=["flat", "opacus"])
def engine(request: pytest.FixtureRequest) -> str:
    """Every test runs on both engines that clip a gradient as a whole."""
    _RUNNING[:] = [str(request.param)]
    return _RUNNING[0]


def released(
    tiny: Tiny,
    plan: PrivacyPlan,
    seeded: Seeded,
    *,
    engine: str | None = None,
    steps: int = 1,
    noise_seed: int = 1,
    sampling_seed: int = 2,
    **changes: object,
) -> torch.Tensor:
    """Return what SGD at learning rate 1 moved by, negated: the noisy mean gradient, (P,)."""
    before = flat(tiny.learning)
    arguments = {
        "engine": engine or _RUNNING[0],
        "num_examples": len(tiny.examples),
        "rows_per_example": len(tiny.examples[0]) if tiny.examples else 1,
        "optimizer": torch.optim.SGD(tiny.learning, lr=1.0),
        "sampling_generator": seeded(sampling_seed),
        "noise_generator": seeded(noise_seed),
        **changes,
    }
    loss_of = arguments.pop("loss_of", tiny.loss_of)
    fit_private(tiny.model, loss_of, plan=plan, steps=steps, **arguments)
    return before - flat(tiny.learning)


def fit_now(
    tiny: Tiny, plan: PrivacyPlan, optimizer: torch.optim.Optimizer, seeded: Seeded
) -> None:
    """Take one step of an optimizer that keeps its state."""
    fit_private(
        tiny.model,
        tiny.loss_of,
        num_examples=len(tiny.examples),
        plan=plan,
        steps=1,
        optimizer=optimizer,
        sampling_generator=seeded(2),
        noise_generator=seeded(1),
        engine=_RUNNING[0],  # type: ignore[arg-type]
    )


def flat(parameters: list[nn.Parameter]) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in parameters]).clone()


def traces(model: nn.Module) -> list[str]:
    """Return what Opacus left on a model."""
    hooks = ("_forward_hooks", "_backward_hooks", "_forward_pre_hooks", "_backward_pre_hooks")
    left = [hook for module in model.modules() for hook in hooks if getattr(module, hook)]
    for module in model.modules():
        left += [
            name
            for name in ("activations", "max_batch_len", "autograd_grad_sample_hooks")
            if hasattr(module, name)
        ]
    for parameter in model.parameters():
        left += list(vars(parameter))
        left += ["grad"] if parameter.grad is not None else []
    return left


# Oracles


@pytest.mark.parametrize("examples", [MIXED, PAIRS], ids=["one row", "two rows"])
@pytest.mark.parametrize("max_grad_norm", [0.05, 0.5, 100.0])
def test_the_clipped_sum_is_that_of_a_loop_over_examples(
    build_tiny: Build, make_plan: Plan, seeded: Seeded, examples: list, max_grad_norm: float
) -> None:
    tiny = build_tiny(examples)
    wanted = tiny.clipped_sum(range(len(examples)), max_grad_norm)
    plan = make_plan(noise_multiplier=NO_NOISE, max_grad_norm=max_grad_norm)
    found = released(tiny, plan, seeded)
    assert wanted.norm() > 0
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9 * max_grad_norm)


def test_the_divisor_is_public_and_not_the_batch_drawn(
    build_tiny: Build, make_plan: Plan, seeded: Seeded
) -> None:
    plan = make_plan(noise_multiplier=NO_NOISE, expected_batch_size=100)
    wanted = build_tiny(MIXED).clipped_sum(range(5), 1.0) / 100
    torch.testing.assert_close(
        released(build_tiny(MIXED), plan, seeded), wanted, rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("max_physical_batch", [1, 2, 4])
@pytest.mark.parametrize("examples", [MIXED, PAIRS], ids=["one row", "two rows"])
def test_parts_of_a_batch_equal_the_batch(
    build_tiny: Build, make_plan: Plan, seeded: Seeded, examples: list, max_physical_batch: int
) -> None:
    plan = make_plan(sample_rate=0.7)
    whole = released(build_tiny(examples), plan, seeded, steps=3, max_physical_batch=99)
    parts = released(
        build_tiny(examples), plan, seeded, steps=3, max_physical_batch=max_physical_batch
    )
    torch.testing.assert_close(parts, whole, rtol=1e-6, atol=1e-6)


row = st.lists(st.integers(0, 31), min_size=2, max_size=9)


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    examples=st.lists(st.tuples(row, row), min_size=1, max_size=6),
    max_grad_norm=st.sampled_from([0.01, 0.3, 1.0]),
    max_physical_batch=st.integers(1, 6),
)
def test_one_example_changes_the_sum_by_at_most_the_clipping_norm(
    build_tiny: Build,
    make_plan: Plan,
    seeded: Seeded,
    examples: list[tuple[list[int], list[int]]],
    max_grad_norm: float,
    max_physical_batch: int,
) -> None:
    plan = make_plan(noise_multiplier=NO_NOISE, max_grad_norm=max_grad_norm)
    both = [
        released(
            build_tiny([list(pair) for pair in part]),
            plan,
            seeded,
            max_physical_batch=max_physical_batch,
            rows_per_example=2,
        )
        for part in (examples, examples[1:])
    ]
    assert (both[0] - both[1]).norm() <= max_grad_norm * (1 + 1e-5)


def test_a_loss_averaged_over_tokens_of_the_batch_would_break_the_bound(
    build_tiny: Build, make_plan: Plan, seeded: Seeded
) -> None:
    """The fuzz above has power: Hugging Face's `labels=` loss does this."""
    examples = [[[3] * 200], *[[[5, index]] for index in range(8)]]
    plan = make_plan(noise_multiplier=NO_NOISE, max_grad_norm=0.5)

    def moved(part: list) -> torch.Tensor:
        tiny = build_tiny(part)

        def coupled(drawn: Sequence[int]) -> torch.Tensor:
            tokens = sum(len(part[index][0]) - 1 for index in drawn)
            return tiny.loss_of(drawn) / tokens * 8

        return released(tiny, plan, seeded, loss_of=coupled, max_physical_batch=99)

    assert (moved(examples) - moved(examples[1:])).norm() > 2 * plan.max_grad_norm


def test_layers_clipped_one_by_one_add_up_to_the_bound(
    build_tiny: Build, make_plan: Plan, seeded: Seeded
) -> None:
    """Grouped: each layer's part to C / sqrt(layers), by a loop over examples and layers."""
    tiny = build_tiny(PAIRS)
    layers = [tiny.learning[i : i + 2] for i in range(0, len(tiny.learning), 2)]  # A with its B
    wanted = torch.zeros_like(flat(tiny.learning))
    size, bound = len(wanted), 0.5
    grid = grid_of(bound, size)
    reach = (bound * (1 - 2**-20) - size**0.5 * grid / 2) / len(layers) ** 0.5
    for index in range(len(PAIRS)):
        parts = []
        for layer in layers:
            found = torch.autograd.grad(tiny.loss_of([index]).sum(), layer)
            gradient = torch.cat([part.flatten() for part in found])
            share = min(1.0, reach / gradient.norm().item())
            parts.append((gradient * share / grid).round() * grid)
        assert torch.cat(parts).norm() <= bound
        wanted += torch.cat(parts)
    plan = make_plan(noise_multiplier=NO_NOISE, max_grad_norm=bound)
    found = released(tiny, plan, seeded, engine="grouped", max_physical_batch=2)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_any_optimizer_follows_and_adam_gets_the_same_noisy_gradients(
    build_tiny: Build, make_plan: Plan, seeded: Seeded
) -> None:
    """DP-Adam is Adam on what is released: a second route by hand, over two steps."""
    tiny = build_tiny(MIXED)
    by_hand = [p.detach().clone().requires_grad_() for p in tiny.learning]
    adam = torch.optim.Adam(tiny.learning, lr=0.01)
    second = torch.optim.Adam(by_hand, lr=0.01)
    plan, noise = make_plan(max_grad_norm=0.3), seeded(1)
    for _ in range(2):
        total = tiny.clipped_sum(range(len(MIXED)), 0.3)
        grid = grid_of(0.3, len(total))
        released_now = total + (noise.normal(len(total)) * 0.3 / grid).round() * grid
        start = 0
        for weight in by_hand:
            weight.grad = released_now[start : start + weight.numel()].view_as(weight)
            start += weight.numel()
        second.step()
        fit_now(tiny, plan, adam, seeded)
        with torch.no_grad():
            assert all(torch.allclose(a, b) for a, b in zip(tiny.learning, by_hand, strict=True))
        noise = seeded(1)


# Noise


@pytest.mark.parametrize("num_examples", [0, 5])
def test_noise_is_as_strong_as_promised(
    build_tiny: Build, make_plan: Plan, seeded: Seeded, num_examples: int
) -> None:
    """Two runs that differ in their noise only; standard deviation within 5 standard errors.

    False alarm below 1e-6 for a fresh seed. The difference has twice the variance.
    """
    plan = make_plan(noise_multiplier=1.5, max_grad_norm=0.2, expected_batch_size=3)
    tiny = build_tiny(MIXED)
    start = [p.detach().clone() for p in tiny.learning]
    differences = []
    for seed in range(40):
        both = []
        for noise_seed in (1000 + seed, 2000 + seed):
            for parameter, value in zip(tiny.learning, start, strict=True):
                parameter.data.copy_(value)
            both.append(
                released(tiny, plan, seeded, noise_seed=noise_seed, num_examples=num_examples)
            )
        differences.append(both[0] - both[1])
    noise = torch.cat(differences)
    promised = 2**0.5 * 1.5 * 0.2 / 3
    assert abs(noise.std() / promised - 1) < 5 / (2 * len(noise)) ** 0.5
    assert abs(noise.mean()) < 5 * promised / len(noise) ** 0.5


def test_an_empty_batch_releases_pure_noise_without_a_forward_pass(
    build_tiny: Build, make_plan: Plan, seeded: Seeded
) -> None:
    plan = make_plan(sample_rate=1e-9)
    found = released(build_tiny(MIXED), plan, seeded, loss_of=lambda drawn: 1 / 0)
    pure = seeded(1).normal(len(found))
    torch.testing.assert_close(found, pure, rtol=0, atol=grid_of(1.0, len(found)))


def test_the_generators_decide_everything(
    build_tiny: Build, make_plan: Plan, seeded: Seeded
) -> None:
    plan = make_plan(sample_rate=0.5)

    def run(**seeds: int) -> torch.Tensor:
        return released(build_tiny(MIXED), plan, seeded, steps=3, **seeds)

    torch.manual_seed(0)
    first = run()
    torch.manual_seed(1)
    assert torch.equal(first, run())
    assert not torch.allclose(first, run(noise_seed=3), atol=1e-3)
    assert not torch.allclose(first, run(sampling_seed=3), atol=1e-3)


# What comes in


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_an_example_that_is_not_finite_counts_as_zero(
    build_tiny: Build, make_plan: Plan, seeded: Seeded, poison: float
) -> None:
    tiny = build_tiny(MIXED)
    wanted = tiny.clipped_sum([0, 1, 3, 4], 0.5)
    records: list[StepRecord] = []

    def loss_of(drawn: Sequence[int]) -> torch.Tensor:
        factors = torch.tensor([poison if index == 2 else 1.0 for index in drawn])
        return tiny.loss_of(drawn) * factors

    plan = make_plan(noise_multiplier=NO_NOISE, max_grad_norm=0.5)
    found = released(tiny, plan, seeded, loss_of=loss_of, on_step=records.append)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert [record.rejected for record in records] == [1]
    assert records[0].loss == pytest.approx(3.4, abs=0.5)


@pytest.mark.parametrize(
    "loss_of",
    [
        lambda tiny, drawn: tiny.loss_of(drawn).mean(),
        lambda tiny, drawn: tiny.loss_of(drawn)[:, None],
        lambda tiny, drawn: tiny.loss_of(drawn).detach(),
    ],
    ids=["mean", "column", "constant"],
)
def test_a_loss_that_is_not_one_for_each_example_is_refused(
    build_tiny: Build, make_plan: Plan, seeded: Seeded, loss_of: Callable
) -> None:
    tiny = build_tiny(MIXED)
    with pytest.raises(ValueError, match="Expected .*losses|one loss for each"):
        released(tiny, make_plan(), seeded, loss_of=lambda drawn: loss_of(tiny, drawn))


def test_rows_that_are_not_those_of_the_examples_are_refused(
    build_tiny: Build, make_plan: Plan, seeded: Seeded
) -> None:
    with pytest.raises(RuntimeError, match="(10 rows .*got 5|5 rows .*got 10)"):
        released(build_tiny(MIXED), make_plan(), seeded, rows_per_example=2)


def test_passes_of_different_size_through_one_layer_are_refused(
    make_plan: Plan, seeded: Seeded
) -> None:
    """Opacus alone would add the rows of the shorter pass to the wrong examples."""
    model = nn.Linear(2, 1)

    def loss_of(drawn: Sequence[int]) -> torch.Tensor:
        rows = model(torch.ones(2 * len(drawn), 2)).reshape(len(drawn), 2).sum(1)
        return rows + model(torch.ones(len(drawn), 2)).squeeze(1)

    with pytest.raises(RuntimeError, match="(6 rows .*got 3|3 rows .*got 6)"):
        released(Tiny(model, [[[], []]] * 3), make_plan(), seeded, loss_of=loss_of)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_gradient_checkpointing_is_exact_or_refused(
    make_plan: Plan, seeded: Seeded, use_reentrant: bool, engine: str
) -> None:
    """Under the non-reentrant kind Opacus sees the first layer twice and gives no gradient."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    inputs = torch.tensor([[3.0, 4.0], [0.3, 0.4]], dtype=torch.float64, requires_grad=True)
    tiny = Tiny(model, [[[]]] * 2)
    plan = make_plan(noise_multiplier=NO_NOISE)

    def plain(drawn: Sequence[int]) -> torch.Tensor:
        return model(inputs[list(drawn)]).squeeze(1)

    def checkpointed(drawn: Sequence[int]) -> torch.Tensor:
        return checkpoint(model, inputs[list(drawn)], use_reentrant=use_reentrant).squeeze(1)

    wanted = released(tiny, plan, seeded, loss_of=plain)
    model.load_state_dict(start)
    if use_reentrant or engine == "flat":
        torch.testing.assert_close(released(tiny, plan, seeded, loss_of=checkpointed), wanted)
    else:
        with pytest.raises(RuntimeError, match="rows"):
            released(tiny, plan, seeded, loss_of=checkpointed)
        assert traces(model) == []  # nor the gradient that autograd summed


def test_a_batch_without_a_picture_is_no_error_where_only_the_tower_learns(
    make_plan: Plan, seeded: Seeded, engine: str
) -> None:
    """To stop would tell who was drawn; the loss is a constant, and nothing is added."""
    if engine == "opacus":
        pytest.skip("Opacus cannot tell rows of pictures")
    model = nn.ModuleDict({"vision_tower": nn.Linear(2, 1, bias=False)}).double()

    def loss_of(drawn: Sequence[int]) -> ExampleLosses:
        return ExampleLosses(
            values=torch.ones(len(drawn)).double(),
            rows={"vision": torch.zeros(0, dtype=torch.long), "language": torch.arange(len(drawn))},
        )

    tiny = Tiny(model, [[[]]] * 3)
    found = released(tiny, make_plan(), seeded, loss_of=loss_of)
    torch.testing.assert_close(found, seeded(1).normal(2), rtol=0, atol=grid_of(1.0, 2))


# What is left behind


def test_the_adapter_moves_and_nothing_else_does(
    build_tiny: Build, make_plan: Plan, seeded: Seeded
) -> None:
    tiny = build_tiny(MIXED)
    before = {name: value.clone() for name, value in tiny.model.state_dict().items()}
    released(tiny, make_plan(), seeded)
    changed = {n for n, v in tiny.model.state_dict().items() if not torch.equal(v, before[n])}
    assert changed == {n for n, p in tiny.model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fails", [None, 0, 1])
def test_the_model_comes_back_as_it_was(
    build_tiny: Build, make_plan: Plan, seeded: Seeded, training: bool, fails: int | None
) -> None:
    """Also when the loss fails in the middle of a batch, after a forward pass."""
    tiny = build_tiny(MIXED)
    tiny.model.train(training)
    modes = [module.training for module in tiny.model.modules()]
    calls: list[None] = []

    def loss_of(drawn: Sequence[int]) -> torch.Tensor:
        losses = tiny.loss_of(drawn)
        calls.append(None)
        if fails is not None and len(calls) > fails:
            raise OSError
        return losses

    try:
        released(tiny, make_plan(), seeded, loss_of=loss_of, max_physical_batch=2)
    except OSError:
        assert fails is not None
    assert traces(tiny.model) == []
    assert [module.training for module in tiny.model.modules()] == modes
    assert released(tiny, make_plan(), seeded).norm() > 0


# Traps in the set-up


class Stuck(torch.optim.SGD):
    """An optimizer that steps without effect, as one with stale parameters does."""

    def step(self, closure: object = None) -> None:
        """Do nothing."""


@pytest.mark.parametrize("optimizer", [Stuck, lambda p, lr: torch.optim.SGD(p, lr=1e-30)])
def test_an_adapter_that_does_not_move_is_an_error(
    build_tiny: Build, make_plan: Plan, seeded: Seeded, optimizer: Callable
) -> None:
    tiny = build_tiny(MIXED)
    with pytest.raises(RuntimeError, match="opacus#820"):
        released(tiny, make_plan(), seeded, optimizer=optimizer(tiny.learning, lr=1.0))


def test_a_learning_rate_of_zero_moves_nothing_and_is_no_error(
    build_tiny: Build, make_plan: Plan, seeded: Seeded
) -> None:
    tiny = build_tiny(MIXED)
    idle = torch.optim.SGD(tiny.learning, lr=0.0)
    assert released(tiny, make_plan(), seeded, optimizer=idle).norm() == 0


@pytest.mark.parametrize(
    "pick",
    [
        lambda tiny: tiny.learning[1:],
        lambda tiny: [p.detach().clone().requires_grad_() for p in tiny.learning],
        lambda tiny: tiny.model.parameters(),
    ],
    ids=["too few", "stale", "frozen too"],
)
def test_an_optimizer_of_other_parameters_is_refused(
    build_tiny: Build, make_plan: Plan, seeded: Seeded, pick: Callable
) -> None:
    tiny = build_tiny(MIXED)
    other = torch.optim.SGD(pick(tiny), lr=1.0)
    with pytest.raises(ValueError, match="opacus#820"):
        released(tiny, make_plan(), seeded, optimizer=other)


def test_a_model_without_an_adapter_is_refused(
    build_tiny: Build, make_plan: Plan, seeded: Seeded
) -> None:
    tiny = build_tiny(MIXED)
    optimizer = torch.optim.SGD(tiny.learning, lr=1.0)
    tiny.model.requires_grad_(False)
    with pytest.raises(ValueError, match="Attach an adapter first"):
        fit_private(
            tiny.model,
            tiny.loss_of,
            num_examples=5,
            rows_per_example=1,
            plan=make_plan(),
            steps=1,
            optimizer=optimizer,
            sampling_generator=seeded(1),
            noise_generator=seeded(2),
        )


def test_settings_that_weaken_the_guarantee_are_refused(
    build_tiny: Build, make_plan: Plan, seeded: Seeded
) -> None:
    tiny = build_tiny(MIXED)
    with pytest.raises(ValueError, match="independent generators"):
        released(tiny, make_plan(), seeded, noise_seed=1, sampling_seed=1)
    with pytest.raises(ValueError, match="steps <= 100"):
        released(tiny, make_plan(), seeded, steps=101)
    tiny.model.to(torch.bfloat16)
    with pytest.raises(ValueError, match="bfloat16"):
        released(tiny, make_plan(), seeded)


def test_batch_normalisation_in_training_mode_is_refused(make_plan: Plan, seeded: Seeded) -> None:
    norm = nn.BatchNorm1d(2).requires_grad_(False)
    model = nn.Sequential(norm, nn.Linear(2, 1))
    tiny = Tiny(model, [[[]]] * 3)

    def loss_of(drawn: Sequence[int]) -> torch.Tensor:
        return model(torch.ones(len(drawn), 2)).squeeze(1)

    with pytest.raises(ValueError, match="batch normalisation"):
        released(tiny, make_plan(), seeded, loss_of=loss_of)
    norm.eval()
    assert released(tiny, make_plan(), seeded, loss_of=loss_of).norm() > 0


# Spending


class Remembering(nn.Module):
    """A layer that keeps something of each batch for the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)
        self.register_buffer("largest", torch.zeros(()))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.largest.fill_(float(inputs.max()))
        return self.linear(inputs)


def test_a_model_that_remembers_examples_is_refused(make_plan: Plan, seeded: Seeded) -> None:
    model = Remembering().double()
    tiny = Tiny(model, [[[]]] * 3)
    with pytest.raises(RuntimeError, match="buffers changed"):
        released(
            tiny,
            make_plan(),
            seeded,
            loss_of=lambda drawn: model(torch.ones(len(drawn), 2).double()).squeeze(1),
        )


DYNAMIC = LlamaConfig(
    hidden_size=16,
    num_attention_heads=2,
    rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0},
)


@pytest.mark.parametrize(
    ("layer", "complaint"),
    [
        (nn.BatchNorm1d(2, affine=False, track_running_stats=False).eval(), "batch normalisation"),
        (LlamaRotaryEmbedding(DYNAMIC), "longest row"),
    ],
    ids=["batch statistics in evaluation", "rotary angles of the longest row"],
)
def test_frozen_layers_that_mix_examples_are_refused(
    make_plan: Plan, seeded: Seeded, layer: nn.Module, complaint: str
) -> None:
    """One example moved the sum by 14 and by 49 times the bound."""
    model = nn.Sequential(nn.Linear(2, 2), layer.requires_grad_(False)).double()
    with pytest.raises(ValueError, match=complaint):
        released(Tiny(model, [[[]]] * 3), make_plan(), seeded, loss_of=lambda drawn: 1 / 0)


def test_losses_of_another_model_are_refused(
    build_tiny: Build, make_plan: Plan, seeded: Seeded
) -> None:
    """A stale closure would spend the budget on pure noise, and leave raw gradients elsewhere."""
    trained, other = build_tiny(MIXED), build_tiny(MIXED, seed=1)
    with pytest.raises(RuntimeError, match="the model that is trained|rows of the examples"):
        released(trained, make_plan(), seeded, loss_of=other.loss_of)
    assert all(p.grad is None for p in trained.learning)


def spend_on(
    tiny: Tiny, ledger: PrivacyLedger, plan: PrivacyPlan, seeded: Seeded, **changes: object
) -> PrivacyStatement:
    arguments = {
        "engine": _RUNNING[0],
        "loss_of": tiny.loss_of,
        "num_examples": len(tiny.examples),
        "rows_per_example": 1,
        "plan": plan,
        "steps": 10,
        "optimizer": torch.optim.SGD(tiny.learning, lr=1e-3),
        "sampling_generator": seeded(1),
        "noise_generator": seeded(2),
        "reproducible": True,
        **changes,
    }
    return spend(ledger, CLINIC, tiny.model, **arguments)


@pytest.fixture
def plan(make_plan: Plan) -> PrivacyPlan:
    return make_plan(
        sample_rate=0.4, noise_multiplier=3.0, steps=40, target_epsilon=3.2, accountant="rdp"
    )


@pytest.fixture
def ledger(tmp_path: Path, plan: PrivacyPlan) -> PrivacyLedger:
    ledger = PrivacyLedger.open(tmp_path / "ledger.jsonl")
    ledger.open_account(CLINIC, plan)
    return ledger


def counted(ledger: PrivacyLedger) -> list[int]:
    return [entry.steps_counted for entry in ledger.entries(CLINIC)]


def test_rounds_are_reserved_before_they_run_and_add_up(
    build_tiny: Build, ledger: PrivacyLedger, plan: PrivacyPlan, seeded: Seeded
) -> None:
    tiny = build_tiny(MIXED)
    seen: list[int] = []

    def on_step(record: StepRecord) -> None:
        seen.append(sum(counted(ledger)))

    first = spend_on(tiny, ledger, plan, seeded, on_step=on_step)
    second = spend_on(tiny, ledger, plan, seeded, on_step=on_step)
    assert seen == [10] * 10 + [20] * 10
    assert first.epsilon < second.epsilon == ledger.spent(CLINIC).epsilon
    assert (second.delta, second.unit) == (plan.delta, plan.unit)


def test_a_seeded_run_is_refused_or_marked_not_private(
    build_tiny: Build, ledger: PrivacyLedger, plan: PrivacyPlan, seeded: Seeded
) -> None:
    tiny = build_tiny(MIXED)
    with pytest.raises(ValueError, match="nothing is private"):
        spend_on(tiny, ledger, plan, seeded, reproducible=False)
    assert ledger.entries(CLINIC) == ()
    spend_on(tiny, ledger, plan, seeded)
    secret = {
        "sampling_generator": CounterGenerator.from_os(),
        "noise_generator": CounterGenerator.from_os(),
        "reproducible": False,
    }
    spend_on(tiny, ledger, plan, seeded, **secret)
    assert [entry.is_private for entry in ledger.entries(CLINIC)] == [False, True]


def test_a_generator_of_another_kind_is_refused(
    build_tiny: Build, make_plan: Plan, seeded: Seeded
) -> None:
    with pytest.raises(TypeError, match="CounterGenerator, got Generator"):
        released(build_tiny(MIXED), make_plan(), seeded, noise_generator=torch.Generator())


def test_an_exhausted_budget_trains_nothing(
    build_tiny: Build, ledger: PrivacyLedger, plan: PrivacyPlan, seeded: Seeded
) -> None:
    tiny = build_tiny(MIXED)
    while True:
        before = flat(tiny.learning)
        try:
            spend_on(tiny, ledger, plan, seeded)
        except BudgetExhausted:
            break
    assert torch.equal(before, flat(tiny.learning))
    assert ledger.spent(CLINIC).epsilon <= plan.target_epsilon


@pytest.mark.parametrize("failing", [1, 4, 10])
def test_of_a_run_that_fails_the_steps_that_began_count(
    build_tiny: Build, ledger: PrivacyLedger, plan: PrivacyPlan, seeded: Seeded, failing: int
) -> None:
    tiny, done = build_tiny(MIXED), []

    def loss_of(drawn: Sequence[int]) -> torch.Tensor:
        if len(done) == failing - 1:
            raise ZeroDivisionError
        return tiny.loss_of(drawn)

    with pytest.raises(ZeroDivisionError):
        spend_on(tiny, ledger, plan, seeded, loss_of=loss_of, on_step=done.append)
    assert len(done) == failing - 1
    (entry,) = ledger.entries(CLINIC)
    assert (entry.steps, entry.steps_started) == (10, failing)
    assert ledger.events(CLINIC) == (plan.event(failing),)


def test_a_set_up_that_is_refused_reserves_nothing(
    build_tiny: Build, ledger: PrivacyLedger, plan: PrivacyPlan, seeded: Seeded
) -> None:
    with pytest.raises(ValueError, match="rows_per_example"):
        spend_on(build_tiny(MIXED), ledger, plan, seeded, rows_per_example=0)
    assert ledger.entries(CLINIC) == ()


def test_a_run_that_fails_before_its_first_step_costs_nothing(
    build_tiny: Build, ledger: PrivacyLedger, plan: PrivacyPlan, seeded: Seeded, engine: str
) -> None:
    if engine != "opacus":
        pytest.skip("our own layers start on every model that was let through")
    tiny = build_tiny(MIXED)
    GradSampleHooks(tiny.model)
    with pytest.raises(ValueError, match="hooks twice"):
        spend_on(tiny, ledger, plan, seeded)
    assert counted(ledger) == [0]
    assert ledger.spent(CLINIC).epsilon == 0


def test_ctrl_c_counts_the_steps_that_began(
    build_tiny: Build, ledger: PrivacyLedger, plan: PrivacyPlan, seeded: Seeded
) -> None:
    def on_step(record: StepRecord) -> None:
        if record.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spend_on(build_tiny(MIXED), ledger, plan, seeded, on_step=on_step)
    assert counted(ledger) == [3]


def test_nobody_spends_for_an_owner_while_another_training_does(
    build_tiny: Build, ledger: PrivacyLedger, plan: PrivacyPlan, seeded: Seeded
) -> None:
    tiny = build_tiny(MIXED)
    before = flat(tiny.learning)
    with ledger.held_for(CLINIC), pytest.raises(LedgerInUse):
        spend_on(tiny, ledger, plan, seeded)
    assert ledger.entries(CLINIC) == ()
    assert torch.equal(before, flat(tiny.learning))
    spend_on(tiny, ledger, plan, seeded)


def test_a_plan_other_than_the_account_is_neither_reserved_nor_run(
    build_tiny: Build, ledger: PrivacyLedger, make_plan: Plan, seeded: Seeded
) -> None:
    tiny = build_tiny(MIXED)
    before = flat(tiny.learning)
    quiet = make_plan(sample_rate=0.4, target_epsilon=3.2, noise_multiplier=0.1)
    with pytest.raises(ValueError, match=r"got noise_multiplier=0\.1"):
        spend_on(tiny, ledger, quiet, seeded)
    assert ledger.entries(CLINIC) == ()
    assert torch.equal(before, flat(tiny.learning))


def test_a_reservation_that_cannot_be_written_trains_nothing(
    build_tiny: Build,
    ledger: PrivacyLedger,
    plan: PrivacyPlan,
    seeded: Seeded,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    tiny = build_tiny(MIXED)
    before = flat(tiny.learning)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        spend_on(tiny, ledger, plan, seeded)
    assert torch.equal(before, flat(tiny.learning))
    assert ledger.entries(CLINIC) == ()
