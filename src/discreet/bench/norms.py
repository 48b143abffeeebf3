"""How long the gradients of examples are: what `max_grad_norm` has to be chosen by.

Norms tell of the examples they were computed from, and nothing here adds noise. So they are taken
on public examples only: shipped validation people who ask the public questions.
"""

import torch

from discreet.data import build_examples, load_portraits, load_questions, split_questions
from discreet.federated import VisualTokens, example_losses
from discreet.model import Vlm, adapter_parameters


def gradient_norms(vlm: Vlm, *, count: int = 32) -> list[float]:
    """Return the L2 norm of each example's gradient in the adapter, in ascending order.

    Args:
        vlm: With a trainable adapter.
        count: How many examples, spread over the people; as many as there are people at most.

    Raises:
        ValueError: if count is not positive.
    """
    if count < 1:
        raise ValueError(f"Expected one example or more, got {count}.")
    portraits = load_portraits("validation")
    questions = split_questions(load_questions()).public
    stride = max(1, len(portraits) // count)
    indices = list(range(0, len(portraits), stride))[:count]
    examples = build_examples(portraits, questions, indices=indices)
    visual = VisualTokens(vlm, portraits)
    parameters = list(adapter_parameters(vlm).values())
    norms = []
    for example in examples:
        gated, native = example_losses(vlm, visual, [example])
        gradients = torch.autograd.grad(((gated + native) / 2).sum(), parameters)
        norms.append(float(torch.cat([g.flatten() for g in gradients]).norm()))
    return sorted(norms)
