"""Adapter folders in PEFT's format as updates: LoRA of anybody, of any base.

Reads `adapter_config.json` and `adapter_model.safetensors` and nothing else; no model is needed and
no code of the folder runs. What is not B A on top of the base's own weights is refused by name.

>>> load_adapter_folder(Path("somewhere"))  # doctest: +SKIP
Update(changes={'base_model.model.layers.0.q_proj': ...})
"""

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from discreet.artifacts import read_json, refuse_unsafe_files
from discreet.attribution.updates import Change, Numbers, Update, factors_of
from discreet.errors import ArtifactCorrupt, ArtifactError

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
REFUSED = {
    "use_dora": "DoRA also scales the base's columns",
    "use_qalora": "QALoRA pools inputs before A",
    "use_bdlora": "block-diagonal LoRA has factors of another form",
    "arrow_config": "Arrow chooses adapters token by token",
    "alora_invocation_tokens": "activated LoRA acts on some tokens only",
    "target_parameters": "LoRA on parameters of experts has factors of another form",
    "layer_replication": "replicated layers are not in the base",
    "megatron_config": "factors split over devices are not whole",
}
"""Settings of PEFT under which an update is not B A, and why."""
STARTS = (True, False, "gaussian", "eva", "orthogonal")
"""Starts of A and B that leave the base as it is; PiSSA, OLoRA, CorDA, LoftQ and such change it."""
_FACTOR = re.compile(r".*\.lora_(embedding_[AB]|[AB]\.weight)")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Settings:
    """What of a configuration decides the update."""

    r: int
    alpha: float
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]
    is_stabilised: bool
    is_transposed: bool

    def rank(self, layer: str) -> int:
        """Return the rank of a layer."""
        return self.ranks.get(_pattern(self.ranks, layer), self.r)

    def scale(self, layer: str) -> float:
        """Return what B A is multiplied with: alpha / r, or alpha / sqrt(r).

        Source: Hu et al. 2021 (arXiv:2106.09685), section 4.1; rank-stabilised, Kalajdzievski 2023
        (arXiv:2312.03732), section 3.
        """
        alpha, rank = self.alphas.get(_pattern(self.alphas, layer), self.alpha), self.rank(layer)
        return alpha / (math.sqrt(rank) if self.is_stabilised else rank)


def load_adapter_folder(folder: Path) -> Update:
    """Return the update that an adapter folder adds to its base.

    Matrices are laid out as the base's weight is: (outputs, inputs), but the other way round for
    `fan_in_fan_out` layers and embeddings. Names are PEFT's, from `base_model.model.` on.

    Args:
        folder: With `adapter_config.json` and `adapter_model.safetensors`.

    Raises:
        ArtifactCorrupt: if a file is missing or damaged, holds NaN, half of a pair, or another rank
            than its configuration says.
        UnsafeFile: if the folder holds a format that can run code, such as `adapter_model.bin`.
        ArtifactError: if the adapter is no LoRA, or of a kind whose update is not B A.

    Warns:
        UserWarning: if whole weights or biases are in the file too; they are left out.
    """
    refuse_unsafe_files(folder)
    settings = _settings(read_json(folder / CONFIG_FILE))
    state = _read_weights(folder)
    pairs = _pairs({name: value for name, value in state.items() if _FACTOR.fullmatch(name)})
    if left_out := len(state) - 2 * len(pairs):
        warnings.warn(
            f"{left_out} whole weights or biases of the adapter are left out: the update is that "
            "of its factors only.",
            stacklevel=2,
        )
    embeddings = {name.rpartition(".lora_embedding_")[0] for name in state if "_embedding_" in name}
    return Update(
        changes={
            layer: _change(layer, pair, settings, is_embedding=layer in embeddings)
            for layer, pair in sorted(pairs.items())
        }
    )


def _settings(config: Any) -> _Settings:
    """Return what decides the update; refuse what is not B A on top of the base."""
    if not isinstance(config, dict) or str(config.get("peft_type")).upper() != "LORA":
        raise ArtifactError(
            f"Expected a LoRA adapter, got peft_type {_kind(config)!r}. Other kinds have no "
            "factors to compare."
        )
    for name, reason in REFUSED.items():
        if config.get(name):
            raise ArtifactError(
                f"Expected plain LoRA, got {name}: {reason}. Merge the adapter, and compare whole "
                "weights with `update_of_weights`."
            )
    if (start := config.get("init_lora_weights", True)) not in STARTS:
        raise ArtifactError(
            f"Expected LoRA that starts at the base, got init_lora_weights={start!r}, which "
            "changes the base's weights. Convert it with PEFT to an ordinary LoRA first."
        )
    try:
        settings = _Settings(
            r=int(config["r"]),
            alpha=float(config["lora_alpha"]),
            ranks={k: int(v) for k, v in (config.get("rank_pattern") or {}).items()},
            alphas={k: float(v) for k, v in (config.get("alpha_pattern") or {}).items()},
            is_stabilised=bool(config.get("use_rslora")),
            is_transposed=bool(config.get("fan_in_fan_out")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactCorrupt(
            f"Expected r, lora_alpha and patterns of numbers in '{CONFIG_FILE}', could not read "
            "them. Restore the file from a copy."
        ) from error
    if min([settings.r, *settings.ranks.values()]) < 1 or not math.isfinite(settings.alpha):
        raise ArtifactCorrupt(
            f"Expected ranks of 1 or more and a finite lora_alpha in '{CONFIG_FILE}'. Restore the "
            "file from a copy."
        )
    return settings


def _kind(config: Any) -> str | None:
    return str(config.get("peft_type"))[:40] if isinstance(config, dict) else None


def _read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of the folder, all finite."""
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise ArtifactCorrupt(
            f"Expected a file '{WEIGHTS_FILE}' in '{folder.name}', found none. Copy the whole "
            "folder again; save it with safe_serialization=True."
        )
    try:
        state = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ArtifactCorrupt(
            f"Expected safetensors in '{WEIGHTS_FILE}' of '{folder.name}', could not read it. "
            "Restore the file from a copy."
        ) from error
    for name, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ArtifactCorrupt(
                f"Expected finite weights, got NaN or infinity in {name!r}. The training that made "
                "them failed: take an earlier checkpoint."
            )
        if "lora_magnitude_vector" in name:
            raise ArtifactError(
                f"Expected plain LoRA, got DoRA's {name!r}: {REFUSED['use_dora']}. Merge the "
                "adapter, and compare whole weights with `update_of_weights`."
            )
    return state


def _pairs(state: dict[str, torch.Tensor]) -> dict[str, tuple[Numbers, Numbers]]:
    """Return B and A of each layer."""
    if not state:
        raise ArtifactCorrupt(
            f"Expected LoRA factors in '{WEIGHTS_FILE}', found none. Copy the whole folder again."
        )
    try:
        return factors_of(state)
    except ValueError as error:
        raise ArtifactCorrupt(f"Half of a pair is missing in '{WEIGHTS_FILE}'. {error}") from error


def _change(
    layer: str, pair: tuple[Numbers, Numbers], settings: _Settings, *, is_embedding: bool
) -> Change:
    """Return what is added to one layer, laid out as the base's weight is."""
    up, down = pair
    name = layer.removeprefix("base_model.model.")
    if not up.shape[1] == len(down) == settings.rank(name):
        raise ArtifactCorrupt(
            f"Expected factors of rank {settings.rank(name)} in {layer!r}, got B {up.shape} and A "
            f"{down.shape}. Configuration and weights are not of one adapter."
        )
    change = Change(left=settings.scale(name) * up, right=down)
    return change.transposed if settings.is_transposed or is_embedding else change


def _pattern(patterns: Mapping[str, Any], layer: str) -> str:
    """Return the first pattern that a layer's name, or its end after a dot, matches whole."""
    for pattern in patterns:
        try:
            if re.fullmatch(rf"(.*\.)?({pattern})", layer):
                return pattern
        except re.error as error:
            raise ArtifactCorrupt(
                f"Expected regular expressions as patterns in '{CONFIG_FILE}', got {pattern!r}. "
                "Restore the file from a copy."
            ) from error
    return layer
