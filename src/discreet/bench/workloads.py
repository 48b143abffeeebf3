"""What the private step is timed on: a model, an adapter and a batch with one row an example.

`small` reads shipped, public examples: validation people who ask the public questions, by turns as
words and as visual tokens. A tiny member of a family reads random pictures; it shows that a step
works there, and its times say little.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from discreet.data import (
    Example,
    Portrait,
    build_examples,
    load_portraits,
    load_questions,
    split_questions,
)
from discreet.federated import presentations
from discreet.model import (
    FAMILIES,
    LoraSpec,
    Vlm,
    adapter_parameters,
    answer_losses,
    attach_lora,
    build_family,
    collate,
    encode_images,
    load,
)
from discreet.privacy import ExampleLosses

Adapter = Literal["all_linear", "shipped"]
"""`all_linear`: A and B of rank 8 in every linear layer of the language tower, as most users of
PEFT have it. `shipped`: B in the values of the upper 16 layers, as in this project's plan."""
ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
MODELS = ("small", *FAMILIES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What is timed, in words and numbers that another process can build it from."""

    model: str
    """`small`, or the name of a family."""
    adapter: Adapter
    batch: int
    """Examples of a step."""
    threads: int = 1
    """Of PyTorch."""
    device: str = "cpu"
    """`cpu` or `cuda`."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the frozen base; what learns is float32."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if self.model not in MODELS:
            raise ValueError(f"Expected a model of {', '.join(MODELS)}, got {self.model!r}.")
        if self.adapter not in get_args(Adapter):
            raise ValueError(f"Expected an adapter of {get_args(Adapter)}, got {self.adapter!r}.")
        if self.batch < 1 or self.threads < 1:
            raise ValueError(
                f"Expected batch and threads of 1 or more, got {self.batch} and {self.threads}."
            )

        if self.device != "cpu" and self.structure_only:
            raise ValueError(f"Expected 'small' on {self.device}; families are for the CPU.")

    @property
    def structure_only(self) -> bool:
        """Return whether the model is too small for its times to say much."""
        return self.model != "small"


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A model with an adapter, and the batch that it is trained on."""

    model: nn.Module = field(repr=False)
    losses: Callable[[], ExampleLosses] = field(repr=False)
    """Runs the forward pass."""
    batch: int
    """Examples of a step."""

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What learns."""
        return [p for p in self.model.parameters() if p.requires_grad]


def build_workload(setting: Setting, *, cache_dir: Path | None = None) -> Workload:
    """Return the model and batch of a setting; the same for the same setting."""
    if setting.model == "small":
        return _small(setting, cache_dir)
    family = build_family(setting.model)  # type: ignore[arg-type]
    kinds = "|".join(ALL_LINEAR if setting.adapter == "all_linear" else ("v_proj",))
    config = LoraConfig(r=8, target_modules=rf".*(?:language|text)_model\..*\.(?:{kinds})")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        family = replace(family, model=get_peft_model(family.model, config).eval())
    _fill(family.model)
    samples = family.draw([1] * setting.batch, seed=0)
    rows = family.rows(samples)
    return Workload(
        model=family.model,
        losses=lambda: ExampleLosses(values=family.losses(samples), rows=rows["language"]),
        batch=setting.batch,
    )


def _small(setting: Setting, cache_dir: Path | None) -> Workload:
    """Return `small` with one row an example, by turns words and visual tokens."""
    spec = (
        LoraSpec()
        if setting.adapter == "shipped"
        else LoraSpec(layers=10**6, target_modules=ALL_LINEAR, freeze_a=False)
    )
    vlm = small_with(spec, cache_dir=cache_dir)
    portraits, examples = public_examples(setting.batch)
    rows = [presentations(example)[place % 2] for place, example in enumerate(examples)]
    features = encode_images(vlm, [portraits[e.portrait].image for e in examples[1::2]])
    vlm.model.to(setting.device)
    _set_dtype(vlm.model, getattr(torch, setting.dtype))
    batch = collate(vlm, rows)
    batch = replace(
        batch,
        input_ids=batch.input_ids.to(setting.device),
        attention_mask=batch.attention_mask.to(setting.device),
        labels=batch.labels.to(setting.device),
    )
    seen = features.to(setting.device) if len(features) else None
    index = torch.arange(len(rows), device=setting.device)
    return Workload(
        model=vlm.model,
        losses=lambda: ExampleLosses(values=answer_losses(vlm, batch, seen), rows=index),
        batch=setting.batch,
    )


def small_with(spec: LoraSpec, *, cache_dir: Path | None = None) -> Vlm:
    """Return `small` with an adapter that has learned something: no factor is zero."""
    vlm = attach_lora(load("small", cache_dir=cache_dir), spec)
    adapter_parameters(vlm)
    _fill(vlm.model)
    return vlm


def public_examples(count: int) -> tuple[list[Portrait], list[Example]]:
    """Return validation people, and public examples of some of them, from short to long."""
    portraits = load_portraits("validation")
    if not 0 < count <= len(portraits):
        raise ValueError(f"Expected 1 to {len(portraits)} examples, got {count}.")
    stride = len(portraits) // count
    questions = split_questions(load_questions()).public
    indices = list(range(0, len(portraits), stride))[:count]
    examples = build_examples(portraits, questions, indices=indices)
    return portraits, sorted(examples, key=lambda e: len(e.note + e.question + e.answer))


@torch.no_grad()
def _fill(model: nn.Module) -> None:
    """Give B numbers of about the size that training gives it; at zero, A has no gradient."""
    draw = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if re.search(r"\.lora_B\.", name):
            parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.02)


def _set_dtype(model: nn.Module, dtype: torch.dtype) -> None:
    """Round the frozen base; what learns stays float32."""
    for parameter in model.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)
