"""Gradient norms are those that the private step clips."""

import pytest
import torch

from discreet.bench import gradient_norms
from discreet.data import build_examples, load_portraits, load_questions, split_questions
from discreet.federated import VisualTokens, example_losses
from discreet.model import LoraSpec, Vlm, adapter_parameters, adapter_state, attach_lora
from discreet.privacy import CounterGenerator, PrivacyPlan, fit_private


def test_norms_are_those_that_clipping_sees(tiny: Vlm) -> None:
    """One example, no noise, rate 1: the private step is the gradient, shortened to the bound."""
    adapted = attach_lora(tiny, LoraSpec(r=2, alpha=4, layers=2))
    norm = gradient_norms(adapted, count=1)[0]
    portraits = load_portraits("validation")
    questions = split_questions(load_questions()).public
    example = build_examples(portraits, questions, indices=[0])[0]
    visual = VisualTokens(adapted, portraits)
    for bound in (norm / 2, norm * 2):
        before = adapter_state(adapted)
        fit_private(
            adapted.model,
            lambda drawn: sum(example_losses(adapted, visual, [example] * len(drawn))) / 2,  # type: ignore[arg-type, return-value]
            num_examples=1,
            rows_per_example=2,
            plan=PrivacyPlan(
                target_epsilon=1.0,
                delta=1e-5,
                max_grad_norm=bound,
                noise_multiplier=1e-9,
                sample_rate=1.0,
                steps=1,
                expected_batch_size=1,
            ),
            steps=1,
            optimizer=torch.optim.SGD(adapter_parameters(adapted).values(), lr=1.0),
            sampling_generator=CounterGenerator.seeded("s"),
            noise_generator=CounterGenerator.seeded("n"),
        )
        after = adapter_state(adapted)
        moved = torch.cat([(after[n] - before[n]).flatten() for n in after]).norm()
        assert float(moved) == pytest.approx(min(norm, bound), rel=2e-3)
        for name, parameter in adapter_parameters(adapted).items():
            parameter.data.copy_(before[name])


def test_norms_come_in_order(tiny: Vlm) -> None:
    found = gradient_norms(attach_lora(tiny, LoraSpec(r=2, alpha=4, layers=1)), count=5)
    assert len(found) == 5
    assert found == sorted(found)
    assert found[0] > 0


def test_no_example_has_no_norm(tiny: Vlm) -> None:
    with pytest.raises(ValueError, match="Expected 1 to"):
        gradient_norms(attach_lora(tiny, LoraSpec(r=2)), count=0)
