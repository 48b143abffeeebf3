"""Low-rank adapters on the language tower: attach one, read and write its state.

By default A is drawn once from a public seed and stays frozen, and only B learns: averaging the
Bs of several owners then averages the products B A exactly, and privacy noise enters linearly.
Folders are in `exports`.

Source: Hu et al. 2021 (arXiv:2106.09685); frozen A: Sun et al. 2024, FFA-LoRA (arXiv:2403.12313).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from peft import LoraConfig, get_peft_model

from discreet.model.base import Vlm
from discreet.model.losses import base_of
from discreet.model.small import state_hash


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraSpec:
    """Which weights an adapter adds; public, the same for every owner."""

    r: int = 8
    """Rank, 1 or more."""
    alpha: int = 16
    """Scale of the product is alpha / r."""
    layers: int = 16
    """How many of the topmost language layers are adapted; a base with fewer adapts them all."""
    target_modules: tuple[str, ...] = ("v_proj",)
    """Values by default: under a fixed noise they learn most (docs/design.md says why)."""
    freeze_a: bool = True
    """Train B only."""
    seed: int = 0
    """Public seed of the first A."""

    def __post_init__(self) -> None:
        """Refuse settings that make no adapter."""
        for name in ("r", "alpha", "layers", "seed"):
            value, least = getattr(self, name), int(name != "seed")
            if type(value) is not int or not least <= value < 2**31:
                raise ValueError(f"Expected a whole {name} >= {least}, got {name}={value!r}.")
        if type(self.freeze_a) is not bool:
            raise ValueError(f"Expected freeze_a as true or false, got {self.freeze_a!r}.")
        if not all(isinstance(name, str) and name for name in self.target_modules):
            raise ValueError(f"Expected names of weights, got {self.target_modules!r}.")


def attach_lora(vlm: Vlm, spec: LoraSpec) -> Vlm:
    """Return `vlm` with a fresh adapter that changes nothing yet (B is zero).

    Raises:
        ValueError: if the base has none of the target modules, or if one of them is on disk.
    """
    base = base_of(vlm)
    _refuse_disk(vlm, spec)
    with torch.random.fork_rng():
        torch.manual_seed(spec.seed)
        model = get_peft_model(base, lora_config(vlm, spec))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_B" in name or ("lora_A" in name and not spec.freeze_a))
    return replace(vlm, model=model.eval())


def _refuse_disk(vlm: Vlm, spec: LoraSpec) -> None:
    """Refuse to train layers whose weights are read from disk at each pass."""
    targets = re.compile(lora_config(vlm, spec).target_modules)
    gone = [
        name
        for name, module in base_of(vlm).named_modules()
        if targets.fullmatch(name) and any(p.is_meta for p in module.parameters())
    ]
    if gone:
        raise ValueError(
            f"Expected the layers to adapt in memory, got {len(gone)} on disk, the first "
            f"'{gone[0]}'. Raise max_memory, adapt fewer layers, or load with quantize='nf4'."
        )


def lora_config(vlm: Vlm, spec: LoraSpec) -> LoraConfig:
    """Return PEFT's settings."""
    depth = int(base_of(vlm).config.text_config.num_hidden_layers)
    upper = "|".join(str(layer) for layer in range(max(0, depth - spec.layers), depth))
    kinds = "|".join(re.escape(name) for name in spec.target_modules)
    return LoraConfig(
        r=spec.r,
        lora_alpha=spec.alpha,
        target_modules=rf".*{vlm.shape.language}\.layers\.({upper})\..*\.({kinds})",
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
        base_model_name_or_path=vlm.name,
    )


def adapter_parameters(vlm: Vlm) -> dict[str, torch.nn.Parameter]:
    """Return the trainable parameters by name, in the order of the model."""
    found = {name: p for name, p in vlm.model.named_parameters() if p.requires_grad}
    if not found:
        raise ValueError("Expected a model with a trainable adapter. Call attach_lora() first.")
    return found


def adapter_state(vlm: Vlm) -> dict[str, torch.Tensor]:
    """Return copies of the trainable tensors, float32 on the CPU: what a client sends."""
    return {n: p.detach().float().cpu().clone() for n, p in adapter_parameters(vlm).items()}


@torch.no_grad()
def load_adapter_state(vlm: Vlm, state: dict[str, torch.Tensor]) -> None:
    """Copy a state into the adapter; every name and shape must match.

    Raises:
        ValueError: on a missing or unexpected name, or another shape. Nothing is changed then.
    """
    own = adapter_parameters(vlm)
    wanted = {name: tuple(parameter.shape) for name, parameter in own.items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    if wanted != found:
        wrong = sorted(set(wanted.items()) ^ set(found.items()))[:4]
        raise ValueError(
            f"Expected the {len(wanted)} tensors of this adapter, got {len(found)}; they differ "
            f"first at {wrong}. The adapter was made with other LoRA settings."
        )
    for name, parameter in own.items():
        parameter.copy_(state[name])


@contextmanager
def without_adapter(vlm: Vlm) -> Iterator[None]:
    """Let the model say inside the block what its base says; B comes back bit by bit.

    B is set to zero in place, so that it also holds while `privacy` computes adapted layers in its
    own way, which PEFT's `disable_adapter` does not reach. That one also lets A learn when it is
    left. Losses from before the block keep their gradients; those from inside have none.
    """
    # Through `data`, which autograd does not watch: when it looks again, every bit is back.
    learnt = [p.data for name, p in vlm.model.named_parameters() if ".lora_B." in name]
    kept = [value.clone() for value in learnt]
    with torch.no_grad():
        try:
            for value in learnt:
                value.zero_()
            yield
        finally:
            for value, own in zip(learnt, kept, strict=True):
                value.copy_(own)


def frozen_adapter_hash(vlm: Vlm) -> str:
    """Return a SHA-256 of the adapter's tensors that do not learn: A, by default."""
    return state_hash(
        {n: p for n, p in vlm.model.named_parameters() if ".lora_" in n and not p.requires_grad}
    )
