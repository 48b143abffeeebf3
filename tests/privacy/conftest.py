"""Small real models, their losses, and the slow obvious way to a clipped sum."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from discreet.privacy import CounterGenerator, PrivacyPlan

PAD = -100


@dataclass(frozen=True)
class Tiny:
    """A LoRA Llama in float64 with examples of mixed lengths, each of one or more rows."""

    model: nn.Module
    examples: list[list[list[int]]]

    @property
    def learning(self) -> list[nn.Parameter]:
        return [p for p in self.model.parameters() if p.requires_grad]

    def loss_of(self, drawn: Sequence[int]) -> torch.Tensor:
        """Return the sum over an example's rows of each row's mean token loss, (N,)."""
        rows = [row for index in drawn for row in self.examples[index]]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(width) < lengths[:, None]
        logits = self.model(input_ids=ids, attention_mask=mask.long()).logits[:, :-1]
        labels = ids.masked_fill(~mask, PAD)[:, 1:]
        tokens = cross_entropy(logits.transpose(1, 2), labels, ignore_index=PAD, reduction="none")
        by_row = tokens.sum(1) / (labels != PAD).sum(1)
        return by_row.reshape(len(drawn), -1).sum(1)

    def clipped_sum(self, drawn: Sequence[int], max_grad_norm: float) -> torch.Tensor:
        """Return the sum of clipped gradients by one backward pass for each example, (P,).

        Each is clipped a little shorter and rounded to the grid, as `privacy.clipping` says.
        """
        size = sum(p.numel() for p in self.learning)
        grid = 2.0 ** math.floor(math.log2(max_grad_norm / 512 / size**0.5))
        reach = max_grad_norm * (1 - 2**-20) - size**0.5 * grid / 2
        total = torch.zeros(size, dtype=torch.float64)
        for index in drawn:
            parts = torch.autograd.grad(self.loss_of([index]).sum(), self.learning)
            gradient = torch.cat([part.flatten() for part in parts])
            total += (gradient * min(1.0, reach / gradient.norm().item()) / grid).round() * grid
        return total


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny_llama(**settings: object) -> LlamaForCausalLM:
    """Return a random Llama, drawn from PyTorch's own generator."""
    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            **settings,
        )
    )


@pytest.fixture(scope="session")
def build_tiny() -> Callable[..., Tiny]:
    def build(examples: list[list[list[int]]], seed: int = 0) -> Tiny:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            lora = LoraConfig(
                r=2, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM"
            )
            model = get_peft_model(tiny_llama(vocab_size=32), lora)
            for name, parameter in model.named_parameters():
                if "lora_B" in name:  # zero at first, which would leave A without a gradient
                    parameter.data.normal_(std=0.3)
        return Tiny(model=model.double().eval(), examples=examples)

    return build


@pytest.fixture(scope="session")
def make_plan() -> Callable[..., PrivacyPlan]:
    def make(**changes: object) -> PrivacyPlan:
        settings = {
            "target_epsilon": 8.0,
            "delta": 1e-5,
            "max_grad_norm": 1.0,
            "noise_multiplier": 1.0,
            "sample_rate": 1.0,
            "steps": 100,
            "expected_batch_size": 1,
        }
        return PrivacyPlan(**{**settings, **changes})

    return make


@pytest.fixture(scope="session")
def seeded() -> Callable[[int], CounterGenerator]:
    return lambda seed: CounterGenerator.seeded(str(seed))
