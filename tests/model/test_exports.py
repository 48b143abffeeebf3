"""Adapters as files: a folder comes back as it was or not at all, whatever was learnt."""

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
    adapter_state,
    attach_lora,
    base_of,
    load,
    load_adapter,
    load_adapter_state,
    projector_state,
    save_adapter,
    tuning_state,
)
from discreet.model.exports import ADAPTER_FILE, PROJECTOR_FILE, SPEC_FILE
from tests.model.conftest import shake
from tests.model.test_lora import (
    BREAKS,
    SPEC,
    all_adapter_tensors,
    losses,
    same,
    sums_of,
    with_one_transposed,
)

WIDE = {"layers": 2, "target_modules": ("v_proj", "down_proj")}
IDS = torch.arange(4, 30)[None]


@pytest.fixture
def adapted(tiny: Vlm) -> Vlm:
    return attach_lora(tiny, SPEC)


@pytest.fixture
def saved(adapted: Vlm, tmp_path: Path) -> Path:
    """The folder of an adapter and a projector with random numbers."""
    save_adapter(shake(adapted), SPEC, tmp_path / "adapter")
    return tmp_path / "adapter"


@torch.no_grad()
def logits(vlm: Vlm) -> torch.Tensor:
    found: torch.Tensor = vlm.model(input_ids=IDS).logits
    return found


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


# Cores and dense sums


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("kind", [{"core": True}, {"freeze_a": True}, {"freeze_a": False}], ids=str)
def test_whatever_was_learnt_comes_back_as_lora_on_a_fresh_base(
    tiny: Vlm, tmp_path: Path, kind: dict[str, bool], dense: bool
) -> None:
    spec = LoraSpec(r=2, alpha=3, **WIDE, **kind)
    vlm = shake(attach_lora(tiny, spec))
    if dense:
        load_adapter_state(vlm, {**adapter_state(vlm), **sums_of(vlm, rank=3)})
    written = save_adapter(vlm, spec, tmp_path)
    assert (written.core, written.r) == (False, 5 if dense else 2)
    back = load_adapter(load("tiny"), tmp_path)
    assert not torch.allclose(logits(load("tiny")), logits(vlm), atol=1e-3)
    torch.testing.assert_close(logits(back), logits(vlm), rtol=1e-5, atol=1e-5)
    assert "lora_R" not in " ".join(load_file(tmp_path / ADAPTER_FILE))
    base = load("tiny")
    put = base_of(vlm).model.multi_modal_projector.state_dict()
    base.model.model.multi_modal_projector.load_state_dict(put)
    theirs = PeftModel.from_pretrained(base.model, tmp_path).eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(input_ids=IDS).logits, logits(back))


def test_the_rank_is_the_least_that_holds_every_layer(tiny: Vlm, tmp_path: Path) -> None:
    """B is zero: what remains are sums of rank 0, 3, 3 and 6, with roundings to float32."""
    spec = LoraSpec(r=4, alpha=8, **WIDE)
    vlm = attach_lora(tiny, spec)
    sums = sums_of(vlm, rank=3)
    first, *_, last = sums
    more = sums_of(vlm, rank=3, seed=9)
    rounds = {**sums, last: sums[last] + more[last], first: torch.zeros_like(sums[first])}
    for _ in range(50):  # each sum rounds every number
        rounds = {n: (v + sums[n] / 3) - sums[n] / 3 for n, v in rounds.items()}
    rounds[first].zero_()
    load_adapter_state(vlm, {**adapter_state(vlm), **rounds})
    assert save_adapter(vlm, spec, tmp_path).r == 6
    found = load_file(tmp_path / ADAPTER_FILE)
    ranks = [int(v.abs().sum(1).count_nonzero()) for n, v in found.items() if "lora_A" in n]
    assert sorted(ranks) == [0, 3, 3, 6]
    torch.testing.assert_close(
        logits(load_adapter(load("tiny"), tmp_path)), logits(vlm), rtol=1e-5, atol=1e-5
    )


def test_a_sum_of_nothing_has_rank_one_since_there_is_no_less(tiny: Vlm, tmp_path: Path) -> None:
    vlm = attach_lora(tiny, SPEC)
    sums = {name: torch.zeros_like(value) for name, value in sums_of(vlm).items()}
    load_adapter_state(vlm, {**adapter_state(vlm), **sums})
    assert save_adapter(vlm, SPEC, tmp_path).r == 1
    torch.testing.assert_close(logits(load_adapter(load("tiny"), tmp_path)), logits(load("tiny")))


def test_a_tuning_of_a_core_holds_what_it_adds(tiny: Vlm) -> None:
    vlm = shake(attach_lora(tiny, LoraSpec(r=2, alpha=6, layers=1, core=True)))
    found = tuning_state(vlm)
    (layer,) = [m for m in vlm.model.modules() if hasattr(m, "lora_R")]
    own = [getattr(layer, f"lora_{kind}")["default"].weight for kind in "BRA"]
    wanted = (3 * own[0] @ own[1] @ own[2]).detach()
    place = "layers.1.self_attn.v_proj"
    added = found[f"{place}.B"].float() @ found[f"{place}.A"].float()
    torch.testing.assert_close(added, wanted, rtol=0, atol=4e-3 * float(wanted.abs().max()))


def test_a_sum_of_full_rank_is_written_whole(tiny: Vlm, tmp_path: Path) -> None:
    spec = LoraSpec(r=1, **WIDE)
    vlm = attach_lora(tiny, spec)
    load_adapter_state(vlm, {**adapter_state(vlm), **sums_of(vlm, rank=500)})
    narrow = [min(v.shape) for n, v in vlm.model.named_parameters() if ".base_layer." in n]
    assert save_adapter(vlm, spec, tmp_path).r == max(narrow)
    torch.testing.assert_close(
        logits(load_adapter(load("tiny"), tmp_path)), logits(vlm), rtol=1e-5, atol=1e-5
    )
