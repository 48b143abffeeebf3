"""An input is found again from its gradient, and not from noise."""

import pytest
import torch
from torch import nn

from discreet.reconstruction import (
    Gradients,
    GradientsOf,
    Search,
    centred_cosine,
    cosine_distance,
    invert,
    total_variation,
)


def client(seed: int = 0) -> GradientsOf:
    """A small smooth net with a known label, and what it sends of an input."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(12, 40), nn.Sigmoid(), nn.Linear(40, 4))

    def gradients_of(x: torch.Tensor) -> Gradients:
        loss = nn.functional.cross_entropy(net(x)[None], torch.tensor([1]))
        return torch.autograd.grad(loss, list(net.parameters()), create_graph=True)

    return gradients_of


def found_from(seen: Gradients, steps: int = 300) -> torch.Tensor:
    starts = [0.1 * torch.randn(12, generator=torch.Generator().manual_seed(s)) for s in (1, 2)]
    return invert(client(), seen, starts, Search(steps=steps)).value


@pytest.fixture
def true() -> torch.Tensor:
    return torch.randn(12, generator=torch.Generator().manual_seed(5))


def test_an_input_is_found_again_and_noise_hides_it(true: torch.Tensor) -> None:
    seen = [part.detach() for part in client()(true)]
    assert centred_cosine(found_from(seen), true, torch.zeros(12)) > 0.99
    draw = torch.Generator().manual_seed(6)
    length = sum(float(part.square().sum()) for part in seen) ** 0.5
    noise = [length * torch.randn(part.shape, generator=draw) for part in seen]
    placebo = found_from([part + more for part, more in zip(seen, noise, strict=True)])
    assert abs(centred_cosine(placebo, true, torch.zeros(12))) < 0.9


def test_more_steps_never_match_worse_and_a_hopeless_start_is_given_up(true: torch.Tensor) -> None:
    seen = [part.detach() for part in client()(true)]
    start = [torch.zeros(12)]
    short, long = (invert(client(), seen, start, Search(steps=s)) for s in (3, 100))
    assert long.distance < short.distance
    assert short.steps == 3
    assert invert(client(), seen, [true], Search(steps=100, patience=5)).steps <= 100
    assert invert(client(), seen, [true], Search(steps=100, patience=5)).distance < 1e-5


def test_cosine_distance_and_variation_are_their_formulas() -> None:
    a, b = [torch.tensor([1.0, 0.0]), torch.tensor([2.0])], [torch.tensor([0.0, 1.0])] * 1
    b = [*b, torch.tensor([2.0])]
    assert float(cosine_distance(a, b)) == pytest.approx(1 - 4 / 5)
    assert float(cosine_distance(a, [3 * part for part in a])) == pytest.approx(0, abs=1e-6)
    assert float(total_variation(torch.tensor([[0.0, 1.0], [0.0, 1.0]]))) == pytest.approx(1)


def test_a_prior_makes_a_picture_smoother() -> None:
    rough = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))

    def gradients_of(x: torch.Tensor) -> Gradients:
        return [x]

    free, smooth = (
        invert(gradients_of, [rough], [rough.flip(1)], Search(steps=60, total_variation=prior))
        for prior in (0.0, 5.0)
    )
    assert total_variation(smooth.value) < total_variation(free.value)


def test_nothing_to_search_is_refused() -> None:
    with pytest.raises(ValueError, match="not zero"):
        invert(client(), [torch.zeros(3)], [torch.zeros(12)], Search())
    with pytest.raises(ValueError, match="1 or more"):
        Search(steps=0)
