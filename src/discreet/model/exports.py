"""Adapters as files: what `attach_lora` made is written as ordinary LoRA, and loaded again.

A folder holds A and B in PEFT's format, whatever was learnt: with a core, A is R A; a dense sum
makes the rank what it takes to hold all of it. So a base needs no weights of its own to be adapted,
and PEFT reads the folder too. Cards and the shelf are the registry's.

    >>> import pathlib, tempfile
    >>> from discreet.model.base import load
    >>> from discreet.model.lora import attach_lora
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     spec = LoraSpec(r=4, layers=1, core=True)
    ...     written = save_adapter(attach_lora(load("tiny"), spec), spec, pathlib.Path(folder))
    ...     vlm = load_adapter(load("tiny"), pathlib.Path(folder))
    >>> written.core, written.r, [*vlm.projectors]
    (False, 4, ['base', 'default'])
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch.nn.functional import pad

from discreet.artifacts import refuse_unsafe_files, write_bytes, write_json
from discreet.errors import ArtifactCorrupt, IncompatibleBase
from discreet.model.base import Delta, Vlm
from discreet.model.decoding import BASE_ADAPTER
from discreet.model.lora import ADAPTER, LoraSpec, adapted_layers, lora_config
from discreet.model.losses import base_of
from discreet.model.small import projector_state, put_projector, read_projector

ADAPTER_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
PROJECTOR_FILE = "projector.safetensors"
SPEC_FILE = "lora.json"


def save_adapter(vlm: Vlm, spec: LoraSpec, folder: Path) -> LoraSpec:
    """Write the adapter as LoRA in PEFT's format with the projector beside it.

    The projector is written in float16 where that loses nothing, as with `small`.

    Returns:
        The settings of what was written: `spec`, but for a core, which is in A, and with dense sums
        another rank, with the scale 1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written, factors = _as_lora(vlm, spec)
    tensors = {
        f"{name}.lora_{kind}.weight": value.detach().float().cpu().contiguous()
        for name, pair in factors.items()
        for kind, value in zip("AB", pair, strict=True)
    }
    config = vlm.model.peft_config[ADAPTER].to_dict()
    config = {k: sorted(v) if isinstance(v, set) else v for k, v in sorted(config.items())}
    config.update(base_model_name_or_path=vlm.name, inference_mode=True)
    config.update(r=written.r, lora_alpha=written.alpha)
    write_bytes(folder / ADAPTER_FILE, save(tensors, metadata={"format": "pt"}))
    projector = {k: _shortest(v) for k, v in projector_state(base_of(vlm)).items()}
    write_bytes(folder / PROJECTOR_FILE, save(projector))
    write_json(folder / CONFIG_FILE, config)
    write_json(folder / SPEC_FILE, asdict(written))
    return written


def _as_lora(
    vlm: Vlm, spec: LoraSpec
) -> tuple[LoraSpec, dict[str, tuple[torch.Tensor, torch.Tensor]]]:
    """Return A (r, in) and B (out, r) of each layer, and the settings that they follow."""
    layers = adapted_layers(vlm)
    if not vlm.deltas:
        plain = {name: _factors(layer) for name, layer in layers.items()}
        return replace(spec, core=False), plain
    cut = {name: _cut(layer, vlm.deltas.get(f"{name}.delta")) for name, layer in layers.items()}
    rank = max(1, *(len(a) for a, _ in cut.values()))
    padded = {
        name: (pad(a, (0, 0, 0, rank - len(a))), pad(b, (0, rank - len(a))))
        for name, (a, b) in cut.items()
    }
    return replace(spec, core=False, r=rank, alpha=rank), padded


def _factors(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return A (r, in) and B (out, r) of a layer; the core is in A."""
    a, b = layer.lora_A[ADAPTER].weight.detach(), layer.lora_B[ADAPTER].weight.detach()
    if hasattr(layer, "lora_R"):
        a = layer.lora_R[ADAPTER].weight.detach() @ a
    return a, b


def _cut(layer: Any, delta: Delta | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all that a layer adds as factors of the least rank, the scale in both.

    Singular values below what rounding to float32 makes are left out: a matrix of independent
    errors of size e has hardly any above e (sqrt(out) + sqrt(in)) (Vershynin 2010,
    arXiv:1011.3027, Theorem 5.32). The size allowed for is that of some hundred rounds of sums.
    """
    a, b = (factor.double().cpu() for factor in _factors(layer))
    whole = layer.scaling[ADAPTER] * (b @ a + (0 if delta is None else delta.value.double()))
    error = 8 * torch.finfo(torch.float32).eps * whole.square().mean().sqrt()
    left, values, right = _leading(whole, error * sum(n**0.5 for n in whole.shape), like=len(a))
    root = values.sqrt()
    return root[:, None] * right.T, left * root


def _leading(
    whole: torch.Tensor, least: torch.Tensor, *, like: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the singular values above `least` and their vectors, (out, k), (k,) and (in, k).

    By sketches of twice the size until one of them finds a value that is not above it (Halko,
    Martinsson, Tropp 2011, arXiv:0909.4061, Algorithm 5.1): a whole decomposition takes four times
    as long already on the layers of `small`. `like` is a rank to begin with.
    """
    size, most = 2 * like, min(whole.shape)
    while True:
        size = min(2 * size, most)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            left, values, right = torch.svd_lowrank(whole, q=size)
        found = int((values > least).sum())
        if found < size or size == most:
            return left[:, :found], values[:found], right[:, :found]


def _shortest(value: torch.Tensor) -> torch.Tensor:
    """Return a float32 tensor in float16 if every number in it survives that."""
    half = value.half()
    return half if torch.equal(half.float(), value) else value


def load_adapter(vlm: Vlm, folder: Path, *, name: str = ADAPTER) -> Vlm:
    """Return `vlm` with the adapter of a folder, its projector included.

    The first one is in use from then on. Others can be loaded beside it under names of their own;
    a request asks for one by its name (`answer_all`), pictures for its projector
    (`encode_images`). They share the base in memory.

    Args:
        vlm: A base, or one with adapters that were loaded before.
        folder: As `save_adapter` wrote it.
        name: Letters, digits, - and _; not `base`.

    Raises:
        UnsafeFile: if the folder holds pickled weights.
        ArtifactCorrupt: if a file is missing, damaged or lacks a tensor.
        IncompatibleBase: if it has another rank than the adapters that are there. Whose base it
            fits, its card says (`registry.require_base`).
        ValueError: if the name is taken or no name.
    """
    _check_name(vlm, name)
    refuse_unsafe_files(folder)
    spec, tensors = _read(folder)
    _check_company(vlm, spec)
    _check_targets(vlm, spec)
    if not isinstance(vlm.model, PeftModel):
        before = {k: v.clone() for k, v in projector_state(vlm.model).items()}
        vlm = replace(vlm, projectors={BASE_ADAPTER: before})
    base = base_of(vlm)
    projector = read_projector(base, folder / PROJECTOR_FILE)
    model = _with_adapter(vlm, spec, tensors, name)
    if model.active_adapter == name:
        put_projector(base, projector)
    model.requires_grad_(False)
    return replace(vlm, model=model, projectors={**vlm.projectors, name: projector})


def drop_adapter(vlm: Vlm, name: str) -> Vlm:
    """Return `vlm` without an adapter that was loaded beside the one in use.

    Raises:
        ValueError: if there is none of this name, or if it is the one in use.
    """
    model = vlm.model
    others = [n for n in getattr(model, "peft_config", {}) if n != model.active_adapter]
    if name not in others:
        raise ValueError(
            f"Expected an adapter beside the one in use, among {', '.join(others) or 'none'}, got "
            "another name."
        )
    model.delete_adapter(name)
    return replace(vlm, projectors={k: v for k, v in vlm.projectors.items() if k != name})


def _read(folder: Path) -> tuple[LoraSpec, dict[str, torch.Tensor]]:
    """Return the settings and tensors of a folder."""
    try:
        raw = json.loads((folder / SPEC_FILE).read_text())
        spec = LoraSpec(**{**raw, "target_modules": tuple(raw["target_modules"])})
        tensors = load_file(folder / ADAPTER_FILE)
        _check_rank(spec, tensors)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, SafetensorError) as error:
        raise ArtifactCorrupt(
            f"Expected a complete adapter in '{folder.name}', could not read it "
            f"({type(error).__name__}). Copy the whole folder again."
        ) from error
    return spec, tensors


def _with_adapter(
    vlm: Vlm, spec: LoraSpec, tensors: dict[str, torch.Tensor], name: str
) -> PeftModel:
    """Return the model with one more adapter, or leave it as it was."""
    first = not isinstance(vlm.model, PeftModel)
    model: PeftModel
    with torch.random.fork_rng():  # PEFT draws an A that is replaced
        if first:
            model = get_peft_model(vlm.model, lora_config(vlm, spec), adapter_name=name)
        else:
            model = vlm.model
            model.add_adapter(name, lora_config(vlm, spec))
    model.eval()
    _bring_into_memory(model, name)
    try:
        _load_all(model, tensors, name)
    except ArtifactCorrupt:
        if first:
            model.unload()  # PEFT had changed the base in place
        else:
            model.delete_adapter(name)
        raise
    return model


def _bring_into_memory(model: PeftModel, name: str) -> None:
    """Take memory for an adapter's tensors that PEFT put beside a base layer on disk."""
    for layer in model.modules():
        if not isinstance(layer, LoraLayer) or name not in layer.lora_A:
            continue
        hook = getattr(layer.base_layer, "_hf_hook", None)
        for half in (layer.lora_A[name], layer.lora_B[name]):
            if half.weight.is_meta:
                half.to_empty(device=getattr(hook, "execution_device", None) or "cpu")


def _check_name(vlm: Vlm, name: str) -> None:
    """Refuse a name that is taken, or that PEFT could not keep apart."""
    taken = {BASE_ADAPTER, *getattr(vlm.model, "peft_config", {})}
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or name.startswith("__") or name in taken:
        raise ValueError(
            "Expected a name of letters, digits, - and _ that no adapter has yet and that is not "
            f"'{BASE_ADAPTER}', got another. Choose another, or drop_adapter() the older one."
        )


def _check_company(vlm: Vlm, spec: LoraSpec) -> None:
    """Refuse an adapter of another rank than those that are there."""
    ranks = {config.r for config in getattr(vlm.model, "peft_config", {}).values()}
    if ranks - {spec.r}:
        raise IncompatibleBase(
            f"Expected an adapter of rank {ranks.pop()} as those that are loaded, got rank "
            f"{spec.r}. Load it on a base of its own."
        )


def _check_targets(vlm: Vlm, spec: LoraSpec) -> None:
    """Refuse an adapter on layers that the base lacks, before PEFT changes it in place."""
    targets = re.compile(lora_config(vlm, spec).target_modules)
    kinds = (torch.nn.Linear, LoraLayer)
    named = base_of(vlm).named_modules()
    found = [isinstance(module, kinds) for name, module in named if targets.fullmatch(name)]
    if not found or not all(found):
        raise ArtifactCorrupt(
            f"Expected an adapter on linear layers of '{vlm.name}', got target modules that it "
            "lacks or that are of another kind. The adapter belongs to another base, or "
            f"{SPEC_FILE} is damaged."
        )


def _check_rank(spec: LoraSpec, tensors: dict[str, torch.Tensor]) -> None:
    """Refuse settings that the tensors contradict, before memory is taken for them."""
    ranks = {value.shape[0] for name, value in tensors.items() if "lora_A" in name}
    if ranks != {spec.r}:
        raise ArtifactCorrupt(
            f"Expected adapter tensors of rank {spec.r}, got rank {sorted(ranks)}. The adapter "
            "belongs to another base, or the file is damaged."
        )


def _load_all(model: PeftModel, tensors: dict[str, torch.Tensor], adapter: str) -> None:
    """Copy every tensor of an adapter, A and B; a partial load is an error."""
    own = {
        name.replace(f".{adapter}.", "."): parameter
        for name, parameter in model.named_parameters()
        if ".lora_" in name and f".{adapter}." in name
    }
    wanted = {name: tuple(p.shape) for name, p in own.items()}
    if wanted != {name: tuple(v.shape) for name, v in tensors.items()}:
        raise ArtifactCorrupt(
            f"Expected {len(wanted)} adapter tensors that fit this base, got {len(tensors)}. The "
            "adapter belongs to another base, or the file is damaged."
        )
    if not all(v.is_floating_point() and bool(v.isfinite().all()) for v in tensors.values()):
        raise ArtifactCorrupt(
            "Expected finite numbers in every adapter tensor, got others. The file is damaged."
        )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(tensors[name])


def tuning_state(vlm: Vlm) -> dict[str, torch.Tensor]:
    """Return the adapter of `attach_lora` as factors of what it adds to each weight, in float16.

    Names are those of the language model: `layers.0.mlp.up_proj.A` (r, in) and `.B` (out, r), the
    scale in B. `small.add_tuning` adds the products. Dense sums are not in it.
    """
    found = {}
    for name, layer in adapted_layers(vlm).items():
        place = name.partition("language_model.")[2]
        a, b = _factors(layer)
        found[f"{place}.A"] = a.half().contiguous()
        found[f"{place}.B"] = (b * layer.scaling[ADAPTER]).half().contiguous()
    return found


def join_tunings(
    first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return factors of the sum of what two tunings add: ranks stand beside each other.

    The second was trained on a base with the first in it. Its own file alone would not fit the base
    without.
    """
    joined = {**first, **second}
    for name in first.keys() & second.keys():
        along = 0 if name.endswith(".A") else 1
        joined[name] = torch.cat([first[name], second[name]], along)
    return joined
