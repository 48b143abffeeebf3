"""Low-rank adapters on the language tower: attach one, say what learns, read and write its state.

By default A is drawn once from a public seed and stays frozen, and only B learns: averaging the
Bs of several owners then averages the products B A exactly, and privacy noise enters linearly.
A may learn too, or a core between both. Folders are in `exports`.

    >>> from discreet.model.base import load
    >>> vlm = attach_lora(load("tiny"), LoraSpec(r=2, layers=1, freeze_a=False))
    >>> set_learning(vlm, lambda name: ".lora_A." in name)
    >>> len(adapter_parameters(vlm)), len(adapter_state(vlm))
    (1, 2)

Source: Hu et al. 2021 (arXiv:2106.09685); frozen A: Sun et al. 2024, FFA-LoRA (arXiv:2403.12313);
one factor a round: Chen et al. 2024, RoLoRA (arXiv:2409.02346); dense sums in the base: Singhal et
al. 2024, FedEx-LoRA (arXiv:2410.09432).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer

from discreet.model.base import Delta, Vlm
from discreet.model.core import put_core
from discreet.model.losses import base_of
from discreet.model.small import state_hash

ADAPTER = "default"
"""PEFT's name of the adapter that `attach_lora` makes."""


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
    """Do not train A."""
    core: bool = False
    """Train an (r, r) core between A and B, and nothing else (`model/core.py`)."""
    seed: int = 0
    """Public seed of the first A."""

    def __post_init__(self) -> None:
        """Refuse settings that make no adapter."""
        for name in ("r", "alpha", "layers", "seed"):
            value, least = getattr(self, name), int(name != "seed")
            if type(value) is not int or not least <= value < 2**31:
                raise ValueError(f"Expected a whole {name} >= {least}, got {name}={value!r}.")
        for name in ("freeze_a", "core"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"Expected {name} as true or false, got {getattr(self, name)!r}.")
        if self.core and not self.freeze_a:
            raise ValueError("Expected freeze_a with a core, got freeze_a=False. Leave one out.")
        if not all(isinstance(name, str) and name for name in self.target_modules):
            raise ValueError(f"Expected names of weights, got {self.target_modules!r}.")

    @property
    def learnt(self) -> tuple[str, ...]:
        """Return which of PEFT's factors learn: R of a core, else B, and A unless it is frozen."""
        if self.core:
            return ("lora_R",)
        return ("lora_B",) if self.freeze_a else ("lora_A", "lora_B")


def attach_lora(vlm: Vlm, spec: LoraSpec) -> Vlm:
    """Return `vlm` with a fresh adapter that changes nothing yet: B, or the core, is zero.

    Raises:
        ValueError: if the base has none of the target modules, if one of them is on disk, or if a
            core is larger than one of them.
    """
    base = base_of(vlm)
    _refuse_layers(vlm, spec)
    with torch.random.fork_rng():
        torch.manual_seed(spec.seed)
        model = get_peft_model(base, lora_config(vlm, spec))
        vlm = replace(vlm, model=model.eval())
        if spec.core:
            draw = torch.Generator().manual_seed(spec.seed)
            for layer in adapted_layers(vlm).values():
                put_core(layer, ADAPTER, draw)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(f".{kind}.{ADAPTER}." in name for kind in spec.learnt))
    return replace(vlm, travels=tuple(adapter_parameters(vlm)))


def _refuse_layers(vlm: Vlm, spec: LoraSpec) -> None:
    """Refuse to train layers that are read from disk at each pass, or narrower than a core."""
    targets = re.compile(lora_config(vlm, spec).target_modules)
    named = base_of(vlm).named_modules()
    found = {name: module for name, module in named if targets.fullmatch(name)}
    linear = [m for m in found.values() if isinstance(m, torch.nn.Linear)]
    widths = [min(m.in_features, m.out_features) for m in linear]
    if spec.core and spec.r > min(widths, default=spec.r):
        raise ValueError(
            f"Expected a core of rank r <= {min(widths)}, the narrowest layer to adapt, got "
            f"r={spec.r}. A and B would not be orthonormal."
        )
    gone = [name for name, m in found.items() if any(p.is_meta for p in m.parameters())]
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


def set_learning(vlm: Vlm, is_learning: Callable[[str], bool]) -> None:
    """Let some of the tensors that travel learn, and no other; all of them travel as before.

    Raises:
        ValueError: if none would learn. Nothing is changed then.
    """
    own = _travelling(vlm)
    chosen = {name for name in own if is_learning(name)}
    if not chosen:
        raise ValueError(
            f"Expected at least one of the {len(own)} tensors that travel to learn, got none. Let "
            "the rule name factors that the LoRA settings leave free."
        )
    for name, parameter in own.items():
        parameter.requires_grad_(name in chosen)


def adapter_state(vlm: Vlm) -> dict[str, torch.Tensor]:
    """Return copies of what travels, float32 on the CPU: factors, then dense sums if there are any.

    Names are `<layer>.lora_A.default.weight` (r, in), `.lora_B.` (out, r), `.lora_R.` (r, r), in
    the order of the model, and `<layer>.delta` (out, in), in units of B A.
    """
    factors = {n: p.detach().float().cpu().clone() for n, p in _travelling(vlm).items()}
    return factors | {name: delta.value.clone() for name, delta in vlm.deltas.items()}


@torch.no_grad()
def load_adapter_state(vlm: Vlm, state: dict[str, torch.Tensor]) -> None:
    """Copy a state into the adapter; the name and shape of every factor must match.

    A dense sum (`<layer>.delta`) is added to the layer's weight, times LoRA's scale. One that is in
    the base and not in the state is taken out: the weight comes back bit by bit. While it is there,
    it costs memory on the CPU twice the size of the layer, and none elsewhere. A weight of fewer
    bits than float32 holds the sum rounded.

    Raises:
        ValueError: on a missing or unexpected name, another shape, or a dense sum for a weight that
            is packed. Nothing is changed then.
    """
    own = _travelling(vlm)
    layers = {f"{name}.delta": layer for name, layer in adapted_layers(vlm).items()}
    sums = {name: value for name, value in state.items() if name in layers}
    wanted = {name: tuple(parameter.shape) for name, parameter in own.items()}
    wanted |= {name: (layers[name].out_features, layers[name].in_features) for name in sums}
    found = {name: tuple(value.shape) for name, value in state.items()}
    if wanted != found:
        wrong = sorted(set(wanted.items()) ^ set(found.items()))[:4]
        raise ValueError(
            f"Expected the {len(wanted)} tensors of this adapter, got {len(found)}; they differ "
            f"first at {wrong}. The adapter was made with other LoRA settings."
        )
    _refuse_packed({name: layers[name] for name in sums})
    for name, parameter in own.items():
        parameter.copy_(state[name])
    for name in list(vlm.deltas):
        layers[name].base_layer.weight.copy_(vlm.deltas.pop(name).before)
    for name, value in sums.items():
        weight = layers[name].base_layer.weight
        before = weight.detach().to("cpu", copy=True)
        vlm.deltas[name] = Delta(value.detach().to("cpu", torch.float32, copy=True), before)
        weight.copy_(_with_delta(vlm.deltas[name], layers[name]))


def _travelling(vlm: Vlm) -> dict[str, torch.nn.Parameter]:
    """Return the parameters that owners learn and send, in the order of the model."""
    found = {name: p for name, p in vlm.model.named_parameters() if name in vlm.travels}
    if not found:
        raise ValueError("Expected a model with a trainable adapter. Call attach_lora() first.")
    return found


def adapted_layers(vlm: Vlm) -> dict[str, Any]:
    """Return PEFT's layers that hold the adapter of `attach_lora`, by name."""
    return {
        name: module
        for name, module in vlm.model.named_modules()
        if isinstance(module, LoraLayer) and ADAPTER in module.lora_A
    }


def _refuse_packed(layers: Mapping[str, Any]) -> None:
    """Refuse dense sums for weights that are not matrices of floating-point numbers."""
    for name, layer in layers.items():
        weight = layer.base_layer.weight
        if not (weight.is_floating_point() and weight.dim() == 2):
            raise ValueError(
                f"Expected weights in floating point to add a dense sum to, got {weight.dtype} for "
                f"'{name}': it would have to be rounded again. Load the base without quantize, or "
                "aggregate by a rule whose result is an adapter alone."
            )


def _with_delta(delta: Delta, layer: Any) -> torch.Tensor:
    """Return a layer's weight with a dense sum in it; the same bits each time."""
    whole: torch.Tensor = delta.before + layer.scaling[ADAPTER] * delta.value
    return whole


@contextmanager
def without_adapter(vlm: Vlm) -> Iterator[None]:
    """Let the model say inside the block what its base says; all comes back bit by bit.

    Dense sums are taken out, and B is set to zero in place, so that it also holds while `privacy`
    computes adapted layers in its own way, which PEFT's `disable_adapter` does not reach. That one
    also lets A learn when it is left. Losses from before the block keep their gradients; those from
    inside have none.
    """
    # Through `data`, which autograd does not watch: when it looks again, every bit is back.
    learnt = [p.data for name, p in vlm.model.named_parameters() if ".lora_B." in name]
    kept = [value.clone() for value in learnt]
    layers = adapted_layers(vlm) if vlm.deltas else {}
    summed = [(d, layers[name.removesuffix(".delta")]) for name, d in vlm.deltas.items()]
    with torch.no_grad():
        try:
            for value in learnt:
                value.zero_()
            for delta, layer in summed:
                layer.base_layer.weight.data.copy_(delta.before)
            yield
        finally:
            for value, own in zip(learnt, kept, strict=True):
                value.copy_(own)
            for delta, layer in summed:
                layer.base_layer.weight.data.copy_(_with_delta(delta, layer))


def frozen_adapter_hash(vlm: Vlm) -> str:
    """Return a SHA-256 of the adapter's tensors that never learn: A by default, A and B of a core.

    It does not depend on what learns in a round (`set_learning`).
    """
    return state_hash(
        {n: p for n, p in vlm.model.named_parameters() if ".lora_" in n and n not in vlm.travels}
    )
