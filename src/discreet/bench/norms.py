"""How long the gradients of examples are: what `max_grad_norm` has to be chosen by.

Norms tell of the examples they were computed from, and nothing here adds noise. So they are taken
on public examples only: shipped validation people who ask the public questions.
"""

import torch

from discreet.bench.workloads import public_examples
from discreet.federated import VisualTokens, example_losses
from discreet.model import Vlm, adapter_parameters


def gradient_norms(vlm: Vlm, *, count: int = 32) -> list[float]:
    """Return the L2 norm of each example's gradient in the adapter, in ascending order.

    Args:
        vlm: With a trainable adapter.
        count: How many examples, spread over the people; at most one of each.

    Raises:
        ValueError: if there are not as many people.
    """
    portraits, examples = public_examples(count)
    visual = VisualTokens(vlm, portraits)
    parameters = list(adapter_parameters(vlm).values())
    norms = []
    for example in examples:
        gated, native = example_losses(vlm, visual, [example])
        gradients = torch.autograd.grad(((gated + native) / 2).sum(), parameters)
        norms.append(float(torch.cat([g.flatten() for g in gradients]).norm()))
    return sorted(norms)
