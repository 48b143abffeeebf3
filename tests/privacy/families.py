"""Tiny members of the families as they are trained, and every setting that they are checked in.

The tests take a part of the settings in which any three meet. All of them (some ten minutes):

    python -m tests.privacy.families
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from discreet.model import FAMILIES, PARTS, Family, FamilyName, Part, Sample, build_family
from discreet.privacy import ExampleGradients

Base = Literal["float64", "float32", "bfloat16", "int8", "nf4"]
Checkpointing = Literal["no", "reentrant", "non-reentrant"]
Padding = Literal["left", "right"]
PICTURES = ((1, 1, 1), (2, 1, 3), (2, 1, 0), (0, 0, 0))

EXACT: dict[Base, float] = {
    "float64": 1e-6,  # all families compute partly in float32
    "float32": 1e-5,
    "int8": 1e-5,  # the layers compute in float32, from int8 weights
    "nf4": 1e-5,
    # A matrix product of another size adds up in another order, and each layer rounds to 8 bits:
    # alone and in a batch, an example's gradient differs by up to 1.5e-2 of its length.
    "bfloat16": 3e-2,
}
"""Largest error against passes of single examples, relative to the length of the gradient."""
EXACT_IN_ONE_PASS = 1e-5
"""The same against backward passes through one forward pass; no number format adds to it."""


@dataclass(frozen=True)
class Setting:
    """One way to train a family."""

    name: FamilyName
    parts: tuple[Part, ...]
    pictures: tuple[int, ...]
    base: Base
    checkpointing: Checkpointing
    padding: Padding

    def __str__(self) -> str:
        counts = "".join(map(str, self.pictures))
        parts = "+".join(self.parts)
        return f"{self.name}-{parts}-{counts}-{self.base}-{self.checkpointing}-{self.padding}"


def all_settings() -> list[Setting]:
    """Return the whole product, 2,520 settings."""
    parts = [PARTS[: count + 1] for count in range(3)]
    axes = (FAMILIES, parts, PICTURES, get_args(Base), get_args(Checkpointing), get_args(Padding))
    return [Setting(*values) for values in itertools.product(*axes)]


def some_settings() -> list[Setting]:
    """Return settings in which any three values of different axes meet; the same every time."""
    left = all_settings()
    random.Random(0).shuffle(left)
    missing = {triple for setting in left for triple in triples_of(setting)}
    chosen = []
    for least in (20, 16, 12, 8, 5, 3, 2, 1):
        for setting in left:
            new = triples_of(setting) & missing
            if len(new) >= least:
                chosen.append(setting)
                missing -= new
    return chosen


def triples_of(setting: Setting) -> set[tuple[tuple[int, object], ...]]:
    values = (
        setting.name,
        setting.parts,
        setting.pictures,
        setting.base,
        setting.checkpointing,
        setting.padding,
    )
    return set(itertools.combinations(enumerate(values), 3))


def adapted(
    name: FamilyName, parts: Sequence[Part] = PARTS, base: Base = "float32", **lora: object
) -> Family:
    """Return a family with random LoRA on attention of the towers, and on the connector.

    The adapter is in float32, and in float64 where the base is.
    """
    family = build_family(name)
    chosen = family.lora_targets(parts)
    if base == "bfloat16":
        family.model.to(torch.bfloat16)
    elif base in ("int8", "nf4"):
        quantise(family.model, base)
    settings = {"r": 4, "target_modules": chosen, "init_lora_weights": False, **lora}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = get_peft_model(family.model, LoraConfig(**settings))
    return replace(family, model=model.double() if base == "float64" else model)


def quantise(model: nn.Module, base: Literal["int8", "nf4"], *, threshold: float = 0.0) -> None:
    """Put bitsandbytes' layers in the place of linear layers, as transformers does on loading."""
    import bitsandbytes as bnb

    for name, module in list(model.named_modules()):
        if type(module) is not nn.Linear or name.endswith("lm_head"):
            continue
        shape = (module.in_features, module.out_features, module.bias is not None)
        if base == "int8":
            layer = bnb.nn.Linear8bitLt(*shape, has_fp16_weights=False, threshold=threshold)
        else:
            layer = bnb.nn.Linear4bit(*shape, quant_type="nf4", compute_dtype=torch.float32)
        layer.load_state_dict(module.state_dict())
        model.set_submodule(name, layer.to("cpu").requires_grad_(False))


def checkpoint_activations(model: nn.Module, mode: Checkpointing) -> None:
    """Switch gradient checkpointing on as a user of transformers and PEFT does."""
    if mode == "no":
        return
    model.train()
    model.activation_checkpointing_enable({"use_reentrant": mode == "reentrant"})
    if mode == "reentrant":
        model.enable_input_require_grads()


def one_by_one(model: nn.Module, losses: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return (N, P) from one backward pass for each loss."""
    learning = [p for p in model.parameters() if p.requires_grad]
    rows = []
    for loss in losses:
        found = torch.autograd.grad(loss, learning, allow_unused=True, retain_graph=True)
        pairs = zip(found, learning, strict=True)
        rows.append(
            torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])
        )
    return torch.stack(rows)


def worst_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Return the largest difference of a row of (N, P), relative to its length."""
    lengths = wanted.norm(dim=1)
    assert (lengths > 0).all()
    return float(((found - wanted).norm(dim=1) / lengths).max())


def errors_of(setting: Setting) -> dict[str, float]:
    """Return the worst error against single passes, and against backward passes through one."""
    family = adapted(setting.name, setting.parts, setting.base)
    samples = family.draw(setting.pictures, seed=0)
    alone = one_by_one(family.model, [family.losses([s]).sum() for s in samples])
    same = one_by_one(family.model, list(family.losses(samples, padding=setting.padding)))
    checkpoint_activations(family.model, setting.checkpointing)
    found = by_example(family, samples, setting.padding)
    return {"alone": worst_error(found, alone), "same pass": worst_error(found, same)}


def by_example(family: Family, samples: Sequence[Sample], padding: Padding) -> torch.Tensor:
    """Return the gradients of examples by one backward pass, (N, P)."""
    with ExampleGradients(family.model, capacity=len(samples)) as gradients:
        losses = family.losses(samples, padding=padding)
        total = torch.zeros(gradients.size, dtype=torch.float64)
        gradients.add_clipped(losses, family.rows(samples), total, 1.0)
        return gradients.by_example().clone()


def is_exact(setting: Setting, errors: dict[str, float]) -> bool:
    """Return whether the errors are those of rounding."""
    return errors["alone"] <= EXACT[setting.base] and errors["same pass"] <= EXACT_IN_ONE_PASS


def _run_all() -> Iterator[str]:
    settings = all_settings()
    failed = 0
    for count, setting in enumerate(settings, 1):
        errors = errors_of(setting)
        if not is_exact(setting, errors):
            failed += 1
            yield f"FAIL {setting} {errors}"
        if count % 250 == 0:
            yield f"{count} of {len(settings)}"
    yield f"{len(settings) - failed} passed, {failed} failed"


if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in _run_all():
        print(line, flush=True)
