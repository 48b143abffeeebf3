"""Local steps against autograd of the objective they stand for, and against the optimum."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from discreet.federated.local_sgd import LocalSgd, control_after
from discreet.federated.messages import State
from discreet.privacy import CounterGenerator, PrivacyPlan, fit_private

CURVES = [torch.diag(torch.tensor([1.0, 4.0])), torch.tensor([[3.0, 1.0], [1.0, 2.0]])]
BESTS = [torch.tensor([1.0, -2.0]), torch.tensor([-3.0, 0.5])]
OPTIMUM = torch.linalg.solve(CURVES[0] + CURVES[1], CURVES[0] @ BESTS[0] + CURVES[1] @ BESTS[1])
"""Where the mean of two quadratics, one an owner, is least."""
RATE = 0.05


def loss_of(owner: int, weight: torch.Tensor) -> torch.Tensor:
    away = weight - BESTS[owner]
    return away @ CURVES[owner] @ away / 2


def train_locally(
    owner: int, start: torch.Tensor, steps: int, **settings: float | State
) -> torch.Tensor:
    weight = nn.Parameter(start.clone())
    optimizer = LocalSgd({"w": weight}, learning_rate=RATE, **settings)  # type: ignore[arg-type]
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(owner, weight).backward()
        optimizer.step()
    return weight.detach()


def test_without_a_pull_it_is_sgd() -> None:
    weight = nn.Parameter(torch.ones(2))
    sgd = torch.optim.SGD([weight], lr=RATE)
    for _ in range(7):
        sgd.zero_grad()
        loss_of(0, weight).backward()
        sgd.step()
    assert torch.equal(train_locally(0, torch.ones(2), 7), weight.detach())


def test_the_proximal_pull_is_the_gradient_of_the_proximal_term() -> None:
    """Li et al. 2020, Eq. 2: the loss plus mu / 2 of the squared way from where the round began."""
    start, mu = torch.tensor([0.5, 0.5]), 0.7
    weight = nn.Parameter(start.clone())
    sgd = torch.optim.SGD([weight], lr=RATE)
    for _ in range(9):
        sgd.zero_grad()
        (loss_of(1, weight) + mu / 2 * (weight - start).square().sum()).backward()
        sgd.step()
    found = train_locally(1, start, 9, proximal_mu=mu)
    torch.testing.assert_close(found, weight.detach(), rtol=1e-6, atol=1e-7)
    assert not torch.allclose(found, train_locally(1, start, 9), rtol=1e-2)


def scaffold(rounds: int, steps: int, *, corrected: bool) -> torch.Tensor:
    """Both owners in every round, server rate 1; the server keeps the mean of their controls."""
    start = torch.zeros(2)
    control = {"w": torch.zeros(2)}
    controls = [{"w": torch.zeros(2)}, {"w": torch.zeros(2)}]
    for _ in range(rounds):
        ends = []
        for owner, control_i in enumerate(controls):
            correction = {"w": control["w"] - control_i["w"]}
            settings: dict[str, State] = {"correction": correction} if corrected else {}
            ends.append(train_locally(owner, start, steps, **settings))
            controls[owner] = control_after(
                control_i,
                control,
                start={"w": start},
                end={"w": ends[-1]},
                steps=steps,
                learning_rate=RATE,
            )
        control = {"w": (controls[0]["w"] + controls[1]["w"]) / 2}
        start = (ends[0] + ends[1]) / 2
    return start


def test_scaffold_reaches_the_optimum_that_averaging_misses() -> None:
    """Karimireddy et al. 2020: with many local steps, the mean of FedAvg settles elsewhere."""
    assert float((scaffold(150, 10, corrected=False) - OPTIMUM).norm()) > 0.05
    torch.testing.assert_close(scaffold(150, 10, corrected=True), OPTIMUM, atol=1e-4, rtol=0)


def test_a_control_variate_is_the_mean_of_the_gradients_of_the_local_steps() -> None:
    start, steps = torch.tensor([2.0, 1.0]), 5
    control_i, control = {"w": torch.tensor([0.3, -0.1])}, {"w": torch.tensor([-0.2, 0.4])}
    correction = {"w": control["w"] - control_i["w"]}
    seen = []
    for done in range(steps):
        here = train_locally(0, start, done, correction=correction).requires_grad_()
        seen.extend(torch.autograd.grad(loss_of(0, here), [here]))
    end = train_locally(0, start, steps, correction=correction)
    found = control_after(
        control_i, control, start={"w": start}, end={"w": end}, steps=steps, learning_rate=RATE
    )
    torch.testing.assert_close(found["w"], torch.stack(seen).mean(0), rtol=1e-4, atol=1e-5)
    told = -control["w"] - (end - start) / (steps * RATE)
    torch.testing.assert_close(found["w"] - control_i["w"], told, rtol=1e-4, atol=1e-5)


def test_what_is_masked_stays_and_the_rest_moves_as_without() -> None:
    """A rank-1 owner of a rank-2 adapter: the second column of B is not its own."""
    start = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    pull = {"b": torch.full((2, 2), 0.5)}
    ends = []
    for mask in ({"b": torch.tensor([[1.0, 0.0], [1.0, 0.0]])}, None):
        weight = nn.Parameter(start.clone())
        optimizer = LocalSgd(
            {"b": weight}, learning_rate=RATE, proximal_mu=0.3, correction=pull, mask=mask
        )
        for _ in range(3):
            optimizer.zero_grad()
            weight.square().sum().backward()
            optimizer.step()
        ends.append(weight.detach())
    masked, free = ends
    assert torch.equal(masked[:, 1], start[:, 1])
    assert torch.equal(masked[:, 0], free[:, 0])
    assert not torch.isclose(free, start).any()


def test_a_step_in_which_nobody_was_drawn_is_corrected_too() -> None:
    """Its gradient is zero and not missing: `control_after` counts the step."""
    weight = nn.Parameter(torch.zeros(2))
    LocalSgd({"w": weight}, learning_rate=RATE, correction={"w": torch.tensor([1.0, -2.0])}).step()
    torch.testing.assert_close(weight.detach(), torch.tensor([-RATE, 2 * RATE]))


PLAN = PrivacyPlan(
    target_epsilon=8.0,
    delta=1e-5,
    max_grad_norm=1.0,
    noise_multiplier=1.0,
    sample_rate=0.5,
    steps=4,
    expected_batch_size=6,
)


def noisy_end(optimizer_of: Callable[[nn.Module], torch.optim.Optimizer]) -> torch.Tensor:
    """Where four private steps from zero end."""
    inputs = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
    model = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(model.weight)
    fit_private(
        model,
        lambda drawn: (model(inputs[list(drawn)]).squeeze(1) - 1) ** 2,
        num_examples=12,
        plan=PLAN,
        steps=4,
        optimizer=optimizer_of(model),
        sampling_generator=CounterGenerator.seeded("sampling"),
        noise_generator=CounterGenerator.seeded("noise"),
    )
    return model.weight.detach()


def test_behind_the_private_gradient_the_pull_comes_after_the_noise() -> None:
    """Alone it draws the noise of SGD; with it, noise and all is pulled back to the anchor."""

    def local(mu: float) -> torch.Tensor:
        return noisy_end(
            lambda model: LocalSgd(
                dict(model.named_parameters()), learning_rate=RATE, proximal_mu=mu
            )
        )

    plain = noisy_end(lambda model: torch.optim.SGD(model.parameters(), lr=RATE))
    assert torch.equal(local(0.0), plain)
    assert float(local(0.9 / RATE).norm()) < float(plain.norm())


@pytest.mark.parametrize("what", ["correction", "mask"])
@pytest.mark.parametrize("wrong", [{}, {"v": torch.ones(2)}, {"w": torch.ones(1)}])
def test_states_that_do_not_fit_are_refused(what: str, wrong: State) -> None:
    with pytest.raises(ValueError, match=f"Expected a {what} with the names and shapes"):
        LocalSgd({"w": nn.Parameter(torch.ones(2))}, learning_rate=1.0, **{what: wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("mu", [-1.0, float("nan")])
def test_a_push_away_is_refused(mu: float) -> None:
    with pytest.raises(ValueError, match="proximal_mu >= 0"):
        LocalSgd({"w": nn.Parameter(torch.ones(2))}, learning_rate=1.0, proximal_mu=mu)


def test_a_closure_that_would_make_gradients_without_noise_is_refused() -> None:
    optimizer = LocalSgd({"w": nn.Parameter(torch.ones(2))}, learning_rate=1.0)
    with pytest.raises(ValueError, match="got a closure"):
        optimizer.step(lambda: 0.0)
