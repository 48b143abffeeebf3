"""`discreet doctor --private` on saved members of every family, and on what it has to refuse."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
import transformers as hf

from discreet.cli import main
from discreet.model import FAMILIES, Family, FamilyName, Sample, build_family

Doctor = Callable[..., tuple[int, str, str]]
ALL = "language,vision,connector"


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Run the command in this process; return its exit status, stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        command = ["discreet", "doctor", "--private", "--trials", "3", *map(str, words)]
        monkeypatch.setattr(sys, "argv", command)
        monkeypatch.setenv("COLUMNS", "200")
        try:
            main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[FamilyName], Path]:
    def save(name: FamilyName) -> Path:
        build_family(name).model.save_pretrained(tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize("name", FAMILIES)
def test_a_saved_member_of_every_family_passes(
    name: FamilyName, saved: Callable[[FamilyName], Path], doctor: Doctor
) -> None:
    status, out, err = doctor("--model", saved(name), "--parts", ALL, "--json")
    assert status == 0, err
    found = json.loads(out)
    assert found["ok"]
    assert found["family"] == name
    assert [p["pictures"] for p in found["patterns"]] == [
        [1, 1, 1],
        [2, 1, 3],
        [2, 1, 0],
        [0, 0, 0],
    ]
    parts = ["language", "vision", *(["connector"] if name != "gemma3" else [])]
    assert all(set(p["report"]["by_part"]) == set(parts) for p in found["patterns"])
    moves = found["sensitivity"]
    assert moves.keys() == {"flat", "grouped"}
    assert all(0.1 < move["largest"] <= 1.0001 and not move["crashes"] for move in moves.values())


def test_the_packaged_model_passes_in_words(doctor: Doctor) -> None:
    status, out, err = doctor("--model", "tiny", "--parts", ALL)
    assert status == 0
    assert out == ""
    assert "2, 1, 0" in err
    assert err.count("ok  clipping") == 2
    assert "FAIL" not in err


def test_a_model_without_pictures_passes(tmp_path: Path, doctor: Doctor) -> None:
    config = hf.LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    hf.LlamaForCausalLM(config).save_pretrained(tmp_path)
    status, out, _ = doctor("--model", tmp_path, "--json")
    assert status == 0
    assert [p["pictures"] for p in json.loads(out)["patterns"]] == [[0, 0, 0]]


def test_layers_that_the_model_does_not_use_are_named(
    saved: Callable[[FamilyName], Path], doctor: Doctor
) -> None:
    """LLaVA reads its tower one layer before the last."""
    status, _, err = doctor("--model", saved("llava"), "--parts", "vision")
    assert status == 0
    assert "4 tensors got no gradient from any example" in err


def test_rows_that_are_taken_for_examples_fail_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, saved: Callable[[FamilyName], Path], doctor: Doctor
) -> None:
    """The mistake of other libraries: the first rows are those of the first examples."""
    told = Family.rows

    def first_come(family: Family, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        rows = told(family, samples)
        return {part: torch.arange(len(index)) % len(samples) for part, index in rows.items()}

    monkeypatch.setattr(Family, "rows", first_come)
    folder = saved("smolvlm")
    status, out, _ = doctor("--model", folder, "--parts", "language,vision", "--json")
    assert status == 1
    found = json.loads(out)
    assert [p["ok"] for p in found["patterns"]] == [True, False, False, True]
    status, _, err = doctor("--model", folder, "--parts", "language,vision")
    assert status == 1
    assert "FAIL" in err
    assert "ExampleLosses whose the rows are" in err


def test_a_family_whose_batches_are_unknown_is_named_with_the_way_out(
    tmp_path: Path, doctor: Doctor
) -> None:
    text = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
    tower = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "image_size": 28}
    heads = {"num_attention_heads": 2}
    config = hf.VipLlavaConfig(
        vision_config=hf.CLIPVisionConfig(**tower, **heads, patch_size=14),
        text_config=hf.LlamaConfig(**text, **heads, num_key_value_heads=1),
        vision_feature_layers=[-1],
    )
    hf.VipLlavaForConditionalGeneration(config).save_pretrained(tmp_path)
    status, _, err = doctor("--model", tmp_path)
    assert status == 1
    assert "got 'vipllava'" in err
    assert "check_exactness()" in err


def test_pickled_weights_are_refused(saved: Callable[[FamilyName], Path], doctor: Doctor) -> None:
    folder = saved("llava")
    (folder / "pytorch_model.bin").write_bytes(b"")
    status, _, err = doctor("--model", folder)
    assert (status, "UnsafeFile" in err) == (1, True)
    (folder / "pytorch_model.bin").unlink()
    (folder / "model.safetensors").unlink()
    status, _, err = doctor("--model", folder)
    assert (status, "found none" in err) == (1, True)


def test_damaged_and_missing_weights_are_refused(
    saved: Callable[[FamilyName], Path], doctor: Doctor
) -> None:
    folder = saved("llava")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    status, _, err = doctor("--model", folder)
    assert (status, "damaged" in err) == (1, True)
    config = json.loads((saved("llava") / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] += 1
    (folder / "config.json").write_text(json.dumps(config))
    status, _, err = doctor("--model", folder)
    assert (status, "are missing" in err) == (1, True)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--model", "nowhere"), "folder with config.json"),
        (("--model", "tiny", "--parts", "hands"), "language, vision, connector"),
        (("--model", "tiny", "--parts", ""), "language, vision, connector"),
        (("--model", "tiny", "--trials", "0"), "trials >= 1"),
    ],
)
def test_what_cannot_be_checked_is_refused(
    words: tuple[str, ...], named: str, doctor: Doctor
) -> None:
    status, _, err = doctor(*words)
    assert status == 1
    assert named in err
