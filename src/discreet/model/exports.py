"""Adapters as files: write one in PEFT's format with its projector, load it, tunings of a base.

Cards and the shelf are the registry's.

    >>> import pathlib, tempfile
    >>> from discreet.model.base import load
    >>> from discreet.model.lora import attach_lora
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_adapter(attach_lora(load("tiny"), LoraSpec()), LoraSpec(), pathlib.Path(folder))
    ...     vlm = load_adapter(load("tiny"), pathlib.Path(folder))
    >>> [*vlm.projectors]
    ['base', 'default']
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from discreet.artifacts import refuse_unsafe_files, write_bytes, write_json
from discreet.errors import ArtifactCorrupt, IncompatibleBase
from discreet.model.base import Vlm
from discreet.model.decoding import BASE_ADAPTER
from discreet.model.lora import LoraSpec, lora_config
from discreet.model.losses import base_of
from discreet.model.small import projector_state, put_projector, read_projector

ADAPTER_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
PROJECTOR_FILE = "projector.safetensors"
SPEC_FILE = "lora.json"
_NAME = "default"


def save_adapter(vlm: Vlm, spec: LoraSpec, folder: Path) -> None:
    """Write the adapter in PEFT's format with the projector beside it.

    The projector is written in float16 where that loses nothing, as with `small`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model: PeftModel = vlm.model
    tensors = {
        name: value.detach().float().cpu().contiguous()
        for name, value in get_peft_model_state_dict(model).items()
    }
    config = model.peft_config[_NAME].to_dict()
    config = {k: sorted(v) if isinstance(v, set) else v for k, v in sorted(config.items())}
    config.update(base_model_name_or_path=vlm.name, inference_mode=True)
    write_bytes(folder / ADAPTER_FILE, save(tensors, metadata={"format": "pt"}))
    projector = {k: _shortest(v) for k, v in projector_state(base_of(vlm)).items()}
    write_bytes(folder / PROJECTOR_FILE, save(projector))
    write_json(folder / CONFIG_FILE, config)
    write_json(folder / SPEC_FILE, asdict(spec))


def _shortest(value: torch.Tensor) -> torch.Tensor:
    """Return a float32 tensor in float16 if every number in it survives that."""
    half = value.half()
    return half if torch.equal(half.float(), value) else value


def load_adapter(vlm: Vlm, folder: Path, *, name: str = _NAME) -> Vlm:
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
    scale in B. `small.add_tuning` adds the products.
    """
    found = {}
    for name, module in base_of(vlm).named_modules():
        if getattr(module, "lora_A", None) is None or _NAME not in module.lora_A:
            continue
        place = name.partition("language_model.")[2]
        scaled = module.lora_B[_NAME].weight * module.scaling[_NAME]
        found[f"{place}.A"] = module.lora_A[_NAME].weight.detach().half().contiguous()
        found[f"{place}.B"] = scaled.detach().half().contiguous()
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
