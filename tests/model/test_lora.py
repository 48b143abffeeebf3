"""Adapters: what learns, what travels, and that a folder comes back as it was or not at all."""

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
    Row,
    Vlm,
    adapter_parameters,
    adapter_state,
    answer_losses,
    attach_lora,
    base_of,
    build_prompt,
    collate,
    load,
    load_adapter,
    load_adapter_state,
    projector_state,
    save_adapter,
)
from discreet.model.lora import ADAPTER_FILE, PROJECTOR_FILE, SPEC_FILE
from tests.model.conftest import shake

SPEC = LoraSpec(r=2, alpha=4, layers=1)


def losses(vlm: Vlm) -> torch.Tensor:
    messages = build_prompt("Why?", note="Rest heals.", person="a child")
    with torch.no_grad():
        return answer_losses(vlm, collate(vlm, [Row(messages=messages, answer="Rest.")]), None)


def all_adapter_tensors(vlm: Vlm) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in vlm.model.named_parameters() if ".lora_" in n}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


@pytest.fixture
def adapted(tiny: Vlm) -> Vlm:
    return attach_lora(tiny, SPEC)


@pytest.fixture
def saved(adapted: Vlm, tmp_path: Path) -> Path:
    """The folder of an adapter and a projector with random numbers."""
    save_adapter(shake(adapted), SPEC, tmp_path / "adapter")
    return tmp_path / "adapter"


def test_a_fresh_adapter_changes_nothing(tiny: Vlm) -> None:
    before = losses(tiny)
    assert torch.equal(losses(attach_lora(tiny, SPEC)), before)


@pytest.mark.parametrize("freeze_a", [True, False])
def test_only_b_learns_unless_a_is_freed(tiny: Vlm, freeze_a: bool) -> None:
    adapted = attach_lora(tiny, LoraSpec(r=2, layers=1, freeze_a=freeze_a))
    kinds = {"lora_A" if "lora_A" in name else "lora_B" for name in adapter_parameters(adapted)}
    assert kinds == ({"lora_B"} if freeze_a else {"lora_A", "lora_B"})
    learning = {name for name, p in adapted.model.named_parameters() if p.requires_grad}
    assert learning == set(adapter_parameters(adapted))
    assert all(".lora_" in name for name in learning)


@pytest.mark.parametrize("layers", [1, 2])
def test_the_topmost_language_layers_are_adapted_and_no_other(tiny: Vlm, layers: int) -> None:
    spec = LoraSpec(r=2, layers=layers, target_modules=("q_proj", "v_proj", "down_proj"))
    names = adapter_parameters(attach_lora(tiny, spec))
    places = {name.partition("language_model.layers.")[2].partition(".")[0] for name in names}
    assert places == {"1"} if layers == 1 else {"0", "1"}
    assert not [name for name in names if "vision" in name or "projector" in name]
    assert len(names) == 3 * layers, "one B for each target module"


def test_a_follows_from_the_public_seed_alone(tiny: Vlm) -> None:
    torch.manual_seed(1)
    first = all_adapter_tensors(attach_lora(tiny, SPEC))
    state = torch.get_rng_state()
    again = all_adapter_tensors(attach_lora(load("tiny"), SPEC))
    assert torch.equal(torch.get_rng_state(), state), "the caller's chance is left alone"
    assert same(first, again)
    other = all_adapter_tensors(attach_lora(load("tiny"), LoraSpec(r=2, layers=1, seed=1)))
    assert not any(torch.equal(first[n], other[n]) for n in first if "lora_A" in n)


def test_a_base_with_fewer_layers_adapts_them_all(tiny: Vlm) -> None:
    names = adapter_parameters(attach_lora(tiny, LoraSpec(layers=30)))
    assert len(names) == 2, "two layers, value projections by default"


def test_target_modules_that_do_not_exist_are_refused(tiny: Vlm) -> None:
    with pytest.raises(ValueError, match="[Tt]arget modules"):
        attach_lora(tiny, LoraSpec(layers=1, target_modules=("nowhere",)))


@pytest.mark.parametrize("name", ["r", "alpha", "layers"])
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} >= 1"):
        LoraSpec(**{name: 0})


def test_a_base_without_an_adapter_has_no_adapter_state(tiny: Vlm) -> None:
    with pytest.raises(ValueError, match="attach_lora"):
        adapter_state(tiny)


def test_a_state_is_a_copy_and_comes_back_exactly(adapted: Vlm) -> None:
    state = adapter_state(shake(adapted))
    before, kept = losses(adapted), {name: value.clone() for name, value in state.items()}
    assert all(value.dtype == torch.float32 and not value.requires_grad for value in state.values())
    shake(adapted, seed=2)
    assert same(state, kept), "a copy"
    base_of(adapted).model.multi_modal_projector.load_state_dict(
        load("tiny").model.model.multi_modal_projector.state_dict()
    )
    load_adapter_state(adapted, state)
    assert torch.equal(losses(adapted), before)
    assert same(adapter_state(adapted), state)


def without_one(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return dict(list(state.items())[1:])


def with_one_more(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**state, "lora_B.extra": torch.zeros(2)}


def with_one_transposed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    name, value = list(state.items())[-1]
    return {**state, name: value.T.contiguous()}


def renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"x.{name}": value for name, value in state.items()}


BREAKS = [without_one, with_one_more, with_one_transposed, renamed]


@pytest.mark.parametrize("spoil", [*BREAKS, lambda state: {}])
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(
    adapted: Vlm, spoil: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
) -> None:
    before = all_adapter_tensors(shake(adapted))
    wrong = spoil({name: torch.ones_like(value) for name, value in adapter_state(adapted).items()})
    with pytest.raises(ValueError, match="other LoRA settings"):
        load_adapter_state(adapted, wrong)
    assert same(all_adapter_tensors(adapted), before)


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
