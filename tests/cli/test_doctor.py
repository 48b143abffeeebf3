"""`discreet doctor --private` on saved members of every family, and on what it has to refuse."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
import transformers as hf

from discreet.cli import private_check
from discreet.model import FAMILIES, Family, FamilyName, Part, Sample, build_family
from discreet.model.families import _ATTENTION
from discreet.privacy import exactness
from tests.cli.conftest import Run

ALL = "language,vision,connector"


@pytest.fixture
def doctor(discreet: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `discreet doctor`, with `--private` and few trials unless told otherwise."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object, private: bool = True) -> tuple[int, str, str]:
        check = ["--private", "--trials", "3"] if private else []
        return discreet("doctor", *check, *words)

    return run


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[FamilyName], Path]:
    def save(name: FamilyName) -> Path:
        build_family(name).model.save_pretrained(tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize("name", FAMILIES)
def test_a_saved_member_of_every_family_passes(
    name: FamilyName, saved: Callable[[FamilyName], Path], doctor: Run
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
    assert all(move["reached"] >= 1 for move in moves.values())
    assert moves["flat"]["largest"] > 0.99


def test_the_packaged_model_passes_in_words(doctor: Run) -> None:
    status, out, err = doctor("--model", "tiny", "--parts", ALL)
    assert status == 0
    assert out == ""
    assert "2, 1, 0" in err
    assert err.count("ok  clipping") == 2
    assert "FAIL" not in err
    assert "checked in float32" in err
    assert "up to 1e-04 is ok" in err
    assert err.splitlines()[-1].startswith("Verdict: ok.")


@pytest.mark.parametrize("part", ["language", "vision", "connector"])
def test_clipping_is_tried_on_each_part_alone(part: Part, doctor: Run) -> None:
    """Where only towers learn, examples without pictures have no gradient to clip."""
    status, out, err = doctor("--model", "tiny", "--parts", part, "--json")
    assert status == 0, err
    moves = json.loads(out)["sensitivity"]
    assert all(move["reached"] >= 1 for move in moves.values())
    assert moves["flat"]["largest"] > 0.99


def test_a_bound_that_no_example_reaches_fails(
    monkeypatch: pytest.MonkeyPatch, doctor: Run
) -> None:
    """The bound is far above all gradients that are then left out."""
    told = private_check._lengths

    def far_off(family: Family, losses: private_check._Losses) -> torch.Tensor:
        found = told(family, losses)
        return found.sum().expand(len(found))

    monkeypatch.setattr(private_check, "_lengths", far_off)
    status, _, err = doctor("--model", "tiny", "--parts", "vision")
    assert status == 1
    for engine in ("flat", "grouped"):
        words = f"Clipping '{engine}': no example reached the bound, so clipping was not tried."
        assert words in err
    assert "Verdict: FAIL. 2 things" in err


def test_limits_and_layers_that_are_named_are_those_that_decide() -> None:
    assert exactness.IN_ONE_PASS == private_check.IN_ONE_PASS
    assert exactness.ALONE[torch.float32] == private_check.ALONE
    found = "|".join(name.replace(".", r"\.") for name in private_check.LAYERS)
    assert rf".*\.({found})" == _ATTENTION


@pytest.mark.parametrize("words", [("--parts", "vision"), ("--trials", "3", "--json")])
def test_options_of_the_private_check_are_refused_without_it(
    words: tuple[str, ...], doctor: Run
) -> None:
    status, _, err = doctor(*words, private=False)
    assert status == 1
    assert f"Expected {words[0]} together with --private" in err


def test_a_model_without_layers_that_are_known_is_refused_with_the_way_out(
    tmp_path: Path, doctor: Run
) -> None:
    size = {"vocab_size": 40, "n_embd": 16, "n_layer": 1, "n_head": 2}
    config = hf.GPT2Config(**size, bos_token_id=1, eos_token_id=2)
    hf.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    status, _, err = doctor("--model", tmp_path)
    assert status == 1
    assert "knows layers q_proj, v_proj, qkv, attn.proj; 'gpt2' has none" in err
    assert "docs/your_model.md" in err


def test_a_model_without_pictures_passes(tmp_path: Path, doctor: Run) -> None:
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
    saved: Callable[[FamilyName], Path], doctor: Run
) -> None:
    """LLaVA reads its tower one layer before the last."""
    status, _, err = doctor("--model", saved("llava"), "--parts", "vision")
    assert status == 0
    assert "4 tensors got no gradient from any example" in err


def test_rows_that_are_taken_for_examples_fail_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, saved: Callable[[FamilyName], Path], doctor: Run
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
    tmp_path: Path, doctor: Run
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


def test_pickled_weights_are_refused(saved: Callable[[FamilyName], Path], doctor: Run) -> None:
    folder = saved("llava")
    (folder / "pytorch_model.bin").write_bytes(b"")
    status, _, err = doctor("--model", folder)
    assert (status, "UnsafeFile" in err) == (1, True)
    (folder / "pytorch_model.bin").unlink()
    (folder / "model.safetensors").unlink()
    status, _, err = doctor("--model", folder)
    assert (status, "found none" in err) == (1, True)


def test_damaged_and_missing_weights_are_refused(
    saved: Callable[[FamilyName], Path], doctor: Run
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
        (("--model", "Qwen/Qwen2-VL-2B-Instruct"), "models are not downloaded; name a folder"),
        (("--model", "tiny", "--parts", "hands"), "language, vision, connector"),
        (("--model", "tiny", "--parts", ""), "language, vision, connector"),
        (("--model", "tiny", "--trials", "0"), "trials >= 1"),
    ],
)
def test_what_cannot_be_checked_is_refused(words: tuple[str, ...], named: str, doctor: Run) -> None:
    status, _, err = doctor(*words)
    assert status == 1
    assert named in err
