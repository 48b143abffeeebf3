"""Adapters as files: a folder comes back as it was or not at all."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from discreet.errors import ArtifactCorrupt, UnsafeFile
from discreet.model import (
    LoraSpec,
    Vlm,
    attach_lora,
    base_of,
    load,
    load_adapter,
    projector_state,
    save_adapter,
)
from discreet.model.exports import ADAPTER_FILE, PROJECTOR_FILE, SPEC_FILE
from tests.model.conftest import shake
from tests.model.test_lora import (
    BREAKS,
    SPEC,
    all_adapter_tensors,
    losses,
    same,
    with_one_transposed,
)


@pytest.fixture
def adapted(tiny: Vlm) -> Vlm:
    return attach_lora(tiny, SPEC)


@pytest.fixture
def saved(adapted: Vlm, tmp_path: Path) -> Path:
    """The folder of an adapter and a projector with random numbers."""
    save_adapter(shake(adapted), SPEC, tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.mark.parametrize("freeze_a", [True, False])
def test_a_saved_adapter_comes_back_exactly_with_its_projector(
    tiny: Vlm, tmp_path: Path, freeze_a: bool
) -> None:
    spec = LoraSpec(r=2, alpha=3, layers=2, freeze_a=freeze_a, seed=5)
    adapted = shake(attach_lora(tiny, spec))
    save_adapter(adapted, spec, tmp_path)
    fresh = load("tiny")
    assert not torch.allclose(losses(fresh), losses(adapted))
    back = load_adapter(fresh, tmp_path)
    assert same(all_adapter_tensors(back), all_adapter_tensors(adapted))
    assert same(projector_state(base_of(back)), projector_state(base_of(adapted)))
    assert torch.equal(losses(back), losses(adapted))
    assert not any(parameter.requires_grad for parameter in back.model.parameters())
    assert not back.model.training


def test_a_projector_in_float16_is_saved_in_float16(adapted: Vlm, tmp_path: Path) -> None:
    with torch.no_grad():
        for parameter in base_of(adapted).model.multi_modal_projector.parameters():
            parameter.copy_(parameter.half().float())
    save_adapter(adapted, SPEC, tmp_path)
    kinds = {value.dtype for value in load_file(tmp_path / PROJECTOR_FILE).values()}
    assert kinds == {torch.float16}
    back = load_adapter(load("tiny"), tmp_path)
    assert same(projector_state(base_of(back)), projector_state(base_of(adapted)))


def test_peft_alone_reads_the_same_adapter(adapted: Vlm, saved: Path) -> None:
    fresh = load("tiny")
    fresh.model.model.multi_modal_projector.load_state_dict(
        base_of(adapted).model.multi_modal_projector.state_dict()
    )
    theirs = PeftModel.from_pretrained(fresh.model, saved).eval()
    ids = torch.arange(4, 30)[None]
    with torch.no_grad():
        expected = adapted.model(input_ids=ids).logits
        assert torch.equal(theirs(input_ids=ids).logits, expected)


def test_a_saved_folder_holds_no_path_and_no_pickle(saved: Path) -> None:
    names = {path.name for path in saved.iterdir()}
    assert names == {"adapter_config.json", ADAPTER_FILE, PROJECTOR_FILE, SPEC_FILE}
    config = json.loads((saved / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny"
    assert str(saved.parent) not in json.dumps(config)


@pytest.mark.parametrize("name", [ADAPTER_FILE, PROJECTOR_FILE, SPEC_FILE])
@pytest.mark.parametrize("harm", ["missing", "empty", "cut", "noise"])
def test_a_damaged_file_is_refused(saved: Path, name: str, harm: str) -> None:
    path = saved / name
    whole = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {"empty": b"", "cut": whole[: len(whole) // 2], "noise": b"\xff" * 64}[harm]
        )
    with pytest.raises(ArtifactCorrupt):
        load_adapter(load("tiny"), saved)


@pytest.mark.parametrize("name", [ADAPTER_FILE, PROJECTOR_FILE])
@pytest.mark.parametrize("spoil", BREAKS)
def test_tensors_that_do_not_fit_are_refused(
    saved: Path, name: str, spoil: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
) -> None:
    if spoil is with_one_transposed and name == PROJECTOR_FILE:
        tensors = load_file(saved / name)
        tensors["projector.linear_1.bias"] = torch.zeros(3)
    else:
        tensors = spoil(load_file(saved / name))
    save_file(tensors, saved / name)
    with pytest.raises(ArtifactCorrupt, match="another base, or the file is damaged"):
        load_adapter(load("tiny"), saved)


@pytest.mark.parametrize("spec", ["[]", '{"r": 2}', '{"target_modules": ["q_proj"], "sigma": 1}'])
def test_a_spec_of_another_shape_is_refused(saved: Path, spec: str) -> None:
    (saved / SPEC_FILE).write_text(spec)
    with pytest.raises(ArtifactCorrupt, match="could not read it"):
        load_adapter(load("tiny"), saved)


@pytest.mark.parametrize("name", ["adapter_model.bin", "extra.pkl", "deep/er/optimizer.PT"])
def test_a_folder_with_a_pickle_is_refused_before_anything_is_read(saved: Path, name: str) -> None:
    (saved / SPEC_FILE).unlink()
    (saved / name).parent.mkdir(parents=True, exist_ok=True)
    (saved / name).write_bytes(b"cos\nsystem\n")
    with pytest.raises(UnsafeFile):
        load_adapter(load("tiny"), saved)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactCorrupt, match="complete adapter"):
        load_adapter(load("tiny"), tmp_path / "nowhere")


@pytest.mark.parametrize(
    "change",
    [{"r": 8.5}, {"r": True}, {"layers": 1.5}, {"target_modules": [3]}, {"r": 10**11},
     {"alpha": float("inf")}, {"freeze_a": "no"}, {"seed": -1}],
)  # fmt: skip
def test_settings_that_make_no_adapter_are_corrupt(
    tiny: Vlm, tmp_path: Path, change: dict[str, object]
) -> None:
    spec = LoraSpec(r=2)
    save_adapter(attach_lora(tiny, spec), spec, tmp_path)
    raw = json.loads((tmp_path / "lora.json").read_text())
    (tmp_path / "lora.json").write_text(json.dumps({**raw, **change}))
    with pytest.raises(ArtifactCorrupt):
        load_adapter(load("tiny"), tmp_path)


@pytest.mark.parametrize("name", [ADAPTER_FILE, PROJECTOR_FILE])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_none_are_corrupt_in_each_tensor_of_each_file(
    saved: Path, name: str, number: float
) -> None:
    whole = load_file(saved / name)
    vlm = load("tiny")
    before = {key: value.clone() for key, value in vlm.model.state_dict().items()}
    for spoilt in whole:
        tensors = {key: value.clone() for key, value in whole.items()}
        tensors[spoilt].view(-1)[-1] = number
        save_file(tensors, saved / name)
        with pytest.raises(ArtifactCorrupt, match="finite"):
            load_adapter(vlm, saved)
    assert same(vlm.model.state_dict(), before), "the base is as it was"
    save_file(whole, saved / name)
    load_adapter(vlm, saved)


@pytest.mark.parametrize("targets", [["nowhere"], [], ["self_attn"], ["v_proj", "act_fn"]])
def test_target_modules_that_the_base_lacks_are_corrupt_and_change_nothing(
    saved: Path, targets: list[str]
) -> None:
    raw = json.loads((saved / SPEC_FILE).read_text())
    whole = (saved / SPEC_FILE).read_text()
    (saved / SPEC_FILE).write_text(json.dumps({**raw, "target_modules": targets}))
    vlm = load("tiny")
    before = {key: value.clone() for key, value in vlm.model.state_dict().items()}
    with pytest.raises(ArtifactCorrupt, match="another base, or"):
        load_adapter(vlm, saved)
    assert same(vlm.model.state_dict(), before)
    (saved / SPEC_FILE).write_text(whole)
    first = load_adapter(vlm, saved, name="one")
    (saved / SPEC_FILE).write_text(json.dumps({**raw, "target_modules": targets}))
    with pytest.raises(ArtifactCorrupt, match="another base, or"):
        load_adapter(first, saved, name="two")
    assert [*first.model.peft_config] == ["one"]
