"""Bases of 4 bits, and bases that are spread over memory and disk."""

import sys
from pathlib import Path

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit

from discreet.errors import DataError, ExtraMissing
from discreet.model import (
    LoraSpec,
    Placement,
    Request,
    Vlm,
    adapter_parameters,
    answer_all,
    answer_logits,
    answer_losses,
    attach_lora,
    base_of,
    build_prompt,
    collate,
    lay_out_weights,
    load,
    load_adapter,
    save_adapter,
)
from discreet.model.probes import probe_features, probe_rows
from tests.model.folders import save_member

SPEC = LoraSpec(r=4, layers=2, target_modules=("q_proj", "v_proj"))
ASKED = [Request(messages=build_prompt("Why?", note="So.", person="a child"), max_new_tokens=5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_member("llava", tmp_path_factory.mktemp("bases") / "mine")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_member("llava", tmp_path_factory.mktemp("bases") / "wide", is_wide=True)


@torch.no_grad()
def logits(vlm: Vlm) -> torch.Tensor:
    return answer_logits(vlm, collate(vlm, probe_rows()), probe_features(vlm))[0]


def train(vlm: Vlm, steps: int = 8) -> list[float]:
    batch, features = collate(vlm, probe_rows()), probe_features(vlm)
    optimizer = torch.optim.Adam(adapter_parameters(vlm).values(), lr=0.02)
    losses = []
    for _ in range(steps):
        loss = answer_losses(vlm, batch, features).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def round_by_hand(whole: Vlm, small: Vlm) -> None:
    """Put the numbers that 4 bits stand for into the base that was not rounded."""
    for name, module in small.model.named_modules():
        if type(module).__name__ == "Linear4bit":
            target = whole.model.get_submodule(name).weight
            numbers = dequantize_4bit(module.weight.data, module.weight.quant_state)
            assert 0.01 < (numbers - target).norm() / target.norm() < 0.2
            target.data = numbers.to(target.dtype)


def test_a_base_of_four_bits_learns_answers_and_has_a_hash_of_its_own(
    wide: Path, tmp_path: Path
) -> None:
    whole, small = load(str(wide)), load(str(wide), quantize="nf4")
    assert whole.base_hash != small.base_hash
    kinds = {name: type(m).__name__ for name, m in small.model.named_modules()}
    rounded = {name for name, kind in kinds.items() if kind == "Linear4bit"}
    assert rounded
    assert all(name.startswith("model.language_model.") for name in rounded)
    round_by_hand(whole, small)
    torch.testing.assert_close(logits(whole), logits(small), rtol=1e-4, atol=1e-4)
    adapted = attach_lora(small, SPEC)
    losses = train(adapted)
    assert losses[-1] < losses[0]
    lay_out_weights(adapted)
    said = answer_all(adapted, ASKED)[0].text
    save_adapter(adapted, SPEC, tmp_path / "adapter")
    again = load_adapter(load(str(wide), quantize="nf4"), tmp_path / "adapter")
    torch.testing.assert_close(logits(again), logits(adapted), rtol=1e-4, atol=1e-4)
    assert answer_all(again, ASKED)[0].text == said


def test_layers_that_bitsandbytes_reads_wrong_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="multiple of 64 inputs for 4 bits, got 32 in"):
        load(str(folder), quantize="nf4")


def test_a_block_that_spans_rows_is_read_wrong_on_a_cpu() -> None:
    """If this fails, bitsandbytes was mended and the refusal can go."""
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    weight = weight * torch.logspace(-1, 1, 64)[:, None]  # rows of different sizes

    def error(shape: tuple[int, int]) -> float:
        packed, state = quantize_4bit(weight.view(shape), quant_type="nf4")
        return float((dequantize_4bit(packed, state) - weight.view(shape)).norm() / weight.norm())

    assert error((64, 64)) < 0.15
    assert error((128, 32)) > 0.3


def test_bitsandbytes_is_asked_for_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ExtraMissing, match=r"discreet\[quant\]"):
        load(str(folder), quantize="nf4")


def test_what_does_not_fit_is_read_from_disk_with_the_same_scores(
    folder: Path, tmp_path: Path
) -> None:
    whole = load(str(folder))
    size = sum(p.numel() * p.element_size() for p in whole.model.parameters())
    placement = Placement(max_memory={"cpu": size // 2}, offload_folder=tmp_path / "disk")
    placed = load(str(folder), placement=placement)
    assert "disk" in base_of(placed).hf_device_map.values()
    assert any(p.is_meta for p in placed.model.parameters()), "something is on disk"
    assert placed.base_hash == whole.base_hash
    torch.testing.assert_close(logits(placed), logits(whole))
    assert answer_all(placed, ASKED)[0].text == answer_all(whole, ASKED)[0].text


def test_an_adapter_answers_beside_layers_on_disk_and_does_not_learn_there(
    folder: Path, tmp_path: Path
) -> None:
    whole = attach_lora(load(str(folder)), SPEC)
    train(whole, steps=3)
    save_adapter(whole, SPEC, tmp_path / "adapter")
    size = (folder / "model.safetensors").stat().st_size
    placement = Placement(max_memory={"cpu": size // 2}, offload_folder=tmp_path / "disk")
    with pytest.raises(ValueError, match=r"in memory, got \d on disk"):
        attach_lora(load(str(folder), placement=placement), SPEC)
    placed = load_adapter(load(str(folder), placement=placement), tmp_path / "adapter")
    assert any(p.is_meta for p in placed.model.parameters()), "something is on disk"
    assert (logits(placed) - logits(load(str(folder)))).abs().max() > 1e-4
    torch.testing.assert_close(logits(placed), logits(whole))
    assert answer_all(placed, ASKED)[0].text == answer_all(whole, ASKED)[0].text


@pytest.mark.parametrize("settings", [{"quantize": "nf4"}, {"placement": Placement()}])
def test_tiny_is_not_rounded_or_placed(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Save it with save_pretrained"):
        load("tiny", **settings)  # type: ignore[arg-type]


def test_rounding_and_placing_together_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="quantize or placement, got both"):
        load(str(folder), quantize="nf4", placement=Placement())


def test_another_rounding_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="quantize='nf4' or None"):
        load(str(folder), quantize="fp4")  # type: ignore[arg-type]
