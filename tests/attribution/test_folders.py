"""Folders that PEFT wrote, against what PEFT itself says they add; and folders that are not one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from transformers.pytorch_utils import Conv1D

from discreet.attribution import load_adapter_folder
from discreet.attribution.folders import CONFIG_FILE, WEIGHTS_FILE
from discreet.errors import ArtifactCorrupt, ArtifactError, UnsafeFile


class Model(torch.nn.Module):
    def __init__(self, first: torch.nn.Module | None = None) -> None:
        super().__init__()
        self.first = first or torch.nn.Linear(6, 5)
        self.second = torch.nn.Linear(5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.second(self.first(x))
        return out


class Inside(torch.nn.Module):
    """A model whose layers have a name before theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = Model()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.tower(x)
        return out


def written(
    folder: Path, model: torch.nn.Module | None = None, **settings: Any
) -> dict[str, np.ndarray]:
    """Write an adapter of random factors with PEFT; return what PEFT adds to each layer."""
    torch.manual_seed(0)
    config = LoraConfig(
        **{"r": 2, "lora_alpha": 6, "target_modules": ["first", "second"]} | settings
    )
    model = get_peft_model(model or Model(), config)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter)
    model.save_pretrained(str(folder))
    return {
        name: module.get_delta_weight("default").detach().reshape(len(module.weight), -1).numpy()
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer)
    }


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        (None, {}),
        (None, {"use_rslora": True}),
        (None, {"rank_pattern": {"first": 3}, "alpha_pattern": {"sec.nd": 1}}),
        (None, {"rank_pattern": {"s.*": 3}, "use_rslora": True, "alpha_pattern": {"first": 5}}),
        (Model(Conv1D(5, 6)), {"fan_in_fan_out": True, "target_modules": ["first"]}),
        (Model(torch.nn.Embedding(7, 5)), {}),
        (Model(torch.nn.Conv2d(3, 5, 3)), {}),
        (Inside(), {"rank_pattern": {"first": 3}, "alpha_pattern": {"tower.second": 1}}),
        (None, {"init_lora_weights": "orthogonal"}),
    ],
    ids=[
        "plain",
        "stabilised",
        "patterns",
        "both",
        "fan in",
        "embedding",
        "kernel",
        "end of a name",
        "orthogonal",
    ],
)
def test_what_a_folder_adds_is_what_peft_says(
    tmp_path: Path, model: torch.nn.Module | None, settings: dict[str, Any]
) -> None:
    expected = written(tmp_path, model, **settings)
    found = load_adapter_folder(tmp_path).changes
    assert set(found) == set(expected)
    for name, value in expected.items():
        change = found[name]
        assert change.right is not None
        assert change.left @ change.right == pytest.approx(value, rel=1e-4, abs=1e-6)


def test_whole_weights_beside_the_factors_are_left_out_aloud(tmp_path: Path) -> None:
    written(tmp_path, target_modules=["first"], modules_to_save=["second"])
    with pytest.warns(UserWarning, match="2 whole weights or biases"):
        assert [*load_adapter_folder(tmp_path).changes] == ["base_model.model.first"]


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / CONFIG_FILE).read_text()) | changes
    (folder / CONFIG_FILE).write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"use_dora": True}, ArtifactError, "DoRA"),
        ({"peft_type": "IA3"}, ArtifactError, "IA3"),
        ({"init_lora_weights": "pissa"}, ArtifactError, "changes the base"),
        ({"target_parameters": ["experts"]}, ArtifactError, "experts"),
        ({"r": 3}, ArtifactCorrupt, "rank 3"),
        ({"r": "many"}, ArtifactCorrupt, "r, lora_alpha"),
        ({"r": 0}, ArtifactCorrupt, "1 or more"),
        ({"rank_pattern": {"(": 3}}, ArtifactCorrupt, "regular expressions"),
        ({"rank_pattern": [1]}, ArtifactCorrupt, "patterns"),
    ],
)
def test_other_kinds_and_broken_settings_are_refused(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    written(tmp_path)
    change_config(tmp_path, **changes)
    with pytest.raises(error, match=words):
        load_adapter_folder(tmp_path)


def test_broken_weights_are_refused(tmp_path: Path) -> None:
    written(tmp_path)
    path = tmp_path / WEIGHTS_FILE
    state = load_file(path)
    name = "base_model.model.first.lora_B.weight"
    save_file(state | {name: torch.full_like(state[name], torch.nan)}, path)
    with pytest.raises(ArtifactCorrupt, match="NaN"):
        load_adapter_folder(tmp_path)
    save_file({k: v for k, v in state.items() if k != name}, path)
    with pytest.raises(ArtifactCorrupt, match="Half of a pair"):
        load_adapter_folder(tmp_path)
    save_file(state | {"base_model.model.first.lora_magnitude_vector": torch.ones(5)}, path)
    with pytest.raises(ArtifactError, match="DoRA"):
        load_adapter_folder(tmp_path)
    save_file({"other": torch.ones(1)}, path)
    with pytest.raises(ArtifactCorrupt, match="factors"):
        load_adapter_folder(tmp_path)
    path.write_bytes(b"no tensors")
    with pytest.raises(ArtifactCorrupt, match="could not read"):
        load_adapter_folder(tmp_path)
    path.unlink()
    with pytest.raises(ArtifactCorrupt, match="found none"):
        load_adapter_folder(tmp_path)


def test_pickle_is_refused_unread(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "adapter_model.bin").write_bytes(b"anything")
    with pytest.raises(UnsafeFile, match="can run code"):
        load_adapter_folder(tmp_path)
