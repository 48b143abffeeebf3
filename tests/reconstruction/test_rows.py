"""Tokens that a gradient names, with gradients that autograd made."""

import pytest
import torch
from torch import nn

from discreet.reconstruction import measure_recovery, row_space, rows_that_moved, tokens_in_span

VOCABULARY, WIDTH = 200, 32
TOKENS = [3, 17, 17, 42, 99, 150]


def learn(
    *, r: int | None, learns: str = "B"
) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...]]:
    """Gradients of a small net whose first layer is linear, or adapted by LoRA on a frozen one."""
    torch.manual_seed(0)
    words, layer = nn.Embedding(VOCABULARY, WIDTH), nn.Linear(WIDTH, 24, bias=False)
    a = nn.Parameter(torch.randn(r or 1, WIDTH))
    b = nn.Parameter(torch.randn(24, r or 1) * (learns == "A"))  # B is zero where it learns
    inputs = words(torch.tensor(TOKENS))
    output = layer(inputs) + (inputs @ a.T @ b.T if r else 0.0)
    loss = (torch.tanh(output) @ torch.randn(24, 5)).square().mean()
    wanted = [words.weight, layer.weight] + ([a, b] if r else [])
    return words.weight.detach(), a.detach(), torch.autograd.grad(loss, wanted)


def test_an_embedding_names_its_tokens() -> None:
    _, _, gradients = learn(r=None)
    found = measure_recovery(rows_that_moved(gradients[0]), TOKENS)
    assert (found.precision, found.recall, found.there) == (1.0, 1.0, 5)


def test_a_linear_layer_names_all_its_tokens_and_no_other() -> None:
    words, _, gradients = learn(r=None)
    found = measure_recovery(tokens_in_span(gradients[1], words), TOKENS)
    assert (found.named, found.precision, found.recall) == (5, 1.0, 1.0)
    assert len(row_space(gradients[1])) == 5


def test_b_names_tokens_only_while_fewer_entered_than_its_rank() -> None:
    words, a, gradients = learn(r=12)
    named = tokens_in_span(gradients[3], words @ a.T)
    assert measure_recovery(named, TOKENS).recall == 1.0
    assert measure_recovery(named, TOKENS).precision == 1.0
    words, a, gradients = learn(r=4)
    assert not tokens_in_span(gradients[3], words @ a.T).any(), "five tokens fill four places"


def test_a_names_tokens_while_its_rank_holds_all_of_them() -> None:
    words, _, gradients = learn(r=8, learns="A")
    assert measure_recovery(tokens_in_span(gradients[2], words), TOKENS).recall == 1.0
    words, _, gradients = learn(r=3, learns="A")
    assert not tokens_in_span(gradients[2], words).any()


def test_noise_hides_tokens() -> None:
    words, _, gradients = learn(r=None)
    noisy = gradients[1] + 0.01 * gradients[1].norm() * torch.randn(gradients[1].shape)
    assert not tokens_in_span(noisy, words).any()


def test_nothing_is_named_by_nothing() -> None:
    none = tokens_in_span(torch.zeros(4, WIDTH), torch.randn(9, WIDTH))
    found = measure_recovery(none, TOKENS)
    assert (found.precision, found.recall) == (0.0, 0.0)
    with pytest.raises(ValueError, match="Project vectors"):
        tokens_in_span(torch.zeros(4, 3), torch.zeros(9, 4))
