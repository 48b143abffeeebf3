"""Models come from memory or from a checked folder; anything doubtful is refused."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from discreet.errors import ArtifactCorrupt, DataError, UnsafeFile
from discreet.model import PROJECTOR_PATH, TUNING_PATH, Vlm, load
from discreet.model.base import _converted
from discreet.model.small import recipe_hash, state_hash

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a saved `tiny`, as `save_pretrained` writes it."""
    folder = tmp_path_factory.mktemp("models") / "mine"
    vlm = load("tiny")
    for part in (vlm.model, vlm.tokenizer, vlm.image_processor):
        part.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return Path(shutil.copytree(original, tmp_path / "mine"))


def with_manifest(folder: Path) -> Path:
    """Return the folder after its hash was recorded, as the conversion of `small` records it."""
    inner = hashlib.sha256((folder / WEIGHTS).read_bytes()).digest()
    record = {"sha256": hashlib.sha256(inner).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(record))
    return folder


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def logits(vlm: Vlm) -> torch.Tensor:
    with torch.no_grad():
        return vlm.model(input_ids=torch.arange(4, 40)[None]).logits


def test_tiny_is_the_same_every_time(tiny: Vlm) -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state()
    again = load("tiny")
    assert torch.equal(torch.get_rng_state(), before), "the caller's chance is left alone"
    assert again.base_hash == tiny.base_hash
    assert again.base_hash == state_hash(tiny.model.state_dict())
    assert torch.equal(logits(again), logits(tiny))


def test_a_loaded_model_is_frozen_and_in_float32(tiny: Vlm) -> None:
    assert not tiny.model.training
    assert not any(parameter.requires_grad for parameter in tiny.model.parameters())
    assert {parameter.dtype for parameter in tiny.model.parameters()} == {torch.float32}


def test_the_hash_of_a_state_sees_names_shapes_and_numbers() -> None:
    one = {"a": torch.arange(4.0), "b": torch.zeros(2)}
    others = [
        {"a": torch.arange(4.0), "c": torch.zeros(2)},
        {"a": torch.arange(4.0).reshape(2, 2), "b": torch.zeros(2)},
        {"a": torch.arange(4.0), "b": torch.tensor([0.0, 1e-38])},
        {"a": torch.arange(4.0), "b": torch.zeros(2, dtype=torch.int32)},
        {"a": torch.arange(4.0)},
    ]
    assert state_hash(one) == state_hash(dict(reversed(one.items())))
    assert len({state_hash(one), *map(state_hash, others)}) == 1 + len(others)


def test_a_folder_gives_the_model_that_was_saved(folder: Path, tiny: Vlm) -> None:
    vlm = load(str(folder))
    assert (vlm.name, vlm.image_tokens, vlm.image_token_id) == ("mine", 4, tiny.image_token_id)
    assert torch.equal(logits(vlm), logits(tiny))
    assert not any(parameter.requires_grad for parameter in vlm.model.parameters())


def test_the_base_hash_of_a_folder_follows_its_weights(folder: Path) -> None:
    before = load(str(folder)).base_hash
    flip(folder / WEIGHTS, -1)
    assert load(str(folder)).base_hash != before


def test_a_recorded_hash_that_matches_is_accepted(folder: Path) -> None:
    before = load(str(folder)).base_hash
    assert load(str(with_manifest(folder))).base_hash == before


@pytest.mark.parametrize("place", [-1, 9, 5000])
def test_one_byte_flipped_is_refused(folder: Path, place: int) -> None:
    flip(with_manifest(folder) / WEIGHTS, place)
    with pytest.raises(ArtifactCorrupt, match="recorded SHA-256"):
        load(str(folder))


@pytest.mark.parametrize("manifest", ["", "{", "[]", "{}", '{"sha256": 1}', '"x"'])
def test_a_damaged_record_is_refused(folder: Path, manifest: str) -> None:
    (folder / "manifest.json").write_text(manifest)
    with pytest.raises(ArtifactCorrupt):
        load(str(folder))


def lose_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors.pop(next(name for name in tensors if "q_proj" in name))
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def cut_the_file(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:20_000])


def spoil_the_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": ')


@pytest.mark.parametrize("harm", [lose_a_tensor, cut_the_file, spoil_the_config])
def test_a_damaged_folder_is_refused(folder: Path, harm: Callable[[Path], None]) -> None:
    harm(folder)
    with pytest.raises(ArtifactCorrupt):
        load(str(folder))


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    with pytest.raises(UnsafeFile, match="run code"):
        load(str(folder))


@pytest.mark.parametrize("model_type", ["llama", "discreet_unknown", None])
def test_a_model_of_another_shape_is_refused(folder: Path, model_type: str | None) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": model_type}))
    with pytest.raises(DataError, match="vision-language model of one of|loads without code"):
        load(str(folder))


@pytest.mark.parametrize("base", ["nowhere", "."])
def test_a_folder_without_a_model_is_refused(
    tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="'small', 'tiny' or a folder"):
        load(base)


def test_a_conversion_is_found_again_by_its_recipe(tmp_path: Path) -> None:
    ready = tmp_path / f"small-{recipe_hash(PROJECTOR_PATH, TUNING_PATH)[:16]}"
    ready.mkdir()
    (ready / "manifest.json").write_text("{}")
    assert _converted(tmp_path, PROJECTOR_PATH, TUNING_PATH) == ready
    other = tmp_path / "other.safetensors"
    other.write_bytes(PROJECTOR_PATH.read_bytes() + b" ")
    made_of = [
        (PROJECTOR_PATH, TUNING_PATH),
        (other, TUNING_PATH),
        (PROJECTOR_PATH, other),
        (PROJECTOR_PATH, None),
        (None, TUNING_PATH),
        (None, None),
    ]
    assert len({recipe_hash(*parts) for parts in made_of}) == len(made_of)
