"""A base is the files of its folder that were hashed, and no others; its numbers are numbers."""

import json
import logging
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from discreet.errors import ArtifactCorrupt, DataError, DiscreetError, UnsafeFile
from discreet.model import load
from discreet.model.folder import INDEX, WEIGHTS, check_folder, hash_base, weight_files
from tests.model.folders import save_member


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_member("llava", tmp_path_factory.mktemp("bases") / "mine")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of a base to spoil."""
    return Path(shutil.copytree(original, tmp_path / "mine"))


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def split(folder: Path, target: str = "second.safetensors") -> Path:
    """Spread the weights over two files; the second one's name is `target` in the index."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names = sorted(tensors)
    halves = {"first.safetensors": names[::2], target: names[1::2]}
    for place, own in halves.items():
        (folder / place).parent.mkdir(exist_ok=True)
        save_file({n: tensors[n] for n in own}, folder / place, metadata={"format": "pt"})
    places = {name: place for place, own in halves.items() for name in own}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def outside(folder: Path) -> None:
    split(folder, "../out/w.safetensors")


def below(folder: Path) -> None:
    split(folder, "s/w.safetensors")


def absolute(folder: Path) -> None:
    split(folder, str(folder.parent / "w.safetensors"))


def with_backslash(folder: Path) -> None:
    split(folder, "..\\w.safetensors")


def pickled(folder: Path) -> None:
    split(folder, "weights.dat")
    tensors = {name: value.clone() for name, value in load_file(folder / "weights.dat").items()}
    torch.save(tensors, folder / "weights.dat")


def behind_a_link(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder.parent / WEIGHTS)
    (folder / WEIGHTS).symlink_to(folder.parent / WEIGHTS)


def config_behind_a_link(folder: Path) -> None:
    (folder / "config.json").rename(folder.parent / "config.json")
    (folder / "config.json").symlink_to("../config.json")


def a_link_that_looks_like_the_cache(folder: Path) -> None:
    blobs = folder.parent / "blobs"
    blobs.mkdir()
    (folder / WEIGHTS).rename(blobs / "ab")
    (folder / WEIGHTS).symlink_to("../blobs/ab")


def weights_named_in_the_config(folder: Path) -> None:
    shutil.copy(folder / WEIGHTS, folder / "other.safetensors")
    edit_json(folder / "config.json", transformers_weights="other.safetensors")


def another_config_named_in_the_config(folder: Path) -> None:
    shutil.copy(folder / "config.json", folder / "config.4.0.0.json")
    edit_json(folder / "config.json", configuration_files=["config.4.0.0.json"])


def another_tokenizer_named_in_the_config(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", fast_tokenizer_files=["tokenizer.4.0.0.json"])


def an_adapter_inside(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')


def another_layout_beside(folder: Path) -> None:
    shutil.copy(folder / WEIGHTS, folder / "shard-00000-model-00001-of-00001.safetensors")


@pytest.mark.parametrize(
    "harm",
    [
        outside,
        below,
        absolute,
        with_backslash,
        pickled,
        behind_a_link,
        config_behind_a_link,
        a_link_that_looks_like_the_cache,
        weights_named_in_the_config,
        another_config_named_in_the_config,
        another_tokenizer_named_in_the_config,
        an_adapter_inside,
        another_layout_beside,
    ],
)
def test_a_base_that_is_in_part_elsewhere_is_refused(
    harm: Callable[[Path], None], folder: Path
) -> None:
    harm(folder)
    with pytest.raises(UnsafeFile, match="mine") as caught:
        load(str(folder))
    assert str(folder.parent) not in str(caught.value)


def test_a_pickle_under_a_harmless_name_runs_nothing(folder: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
            return os.mkdir, (str(folder.parent / "done"),)

    split(folder, "weights.dat")
    (folder / "weights.dat").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UnsafeFile):
        load(str(folder))
    assert not (folder.parent / "done").exists()


@pytest.mark.parametrize("index", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}'])
def test_an_index_of_another_form_is_corrupt(folder: Path, index: str) -> None:
    (folder / INDEX).write_text(index)
    with pytest.raises(ArtifactCorrupt):
        load(str(folder))


def test_an_index_beside_a_missing_file_is_refused(folder: Path) -> None:
    (split(folder) / "second.safetensors").unlink()
    with pytest.raises(ArtifactCorrupt, match="1 are missing"):
        load(str(folder))


def test_the_cache_of_the_hub_is_read_through_its_links(original: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models--somebody--mine"
    snapshot = repository / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for number, path in enumerate(sorted(original.iterdir())):
        shutil.copy(path, repository / "blobs" / f"{number:040x}")
        (snapshot / path.name).symlink_to(f"../../blobs/{number:040x}")
    assert load(str(snapshot)).base_hash == load(str(original)).base_hash


def test_a_link_in_a_circle_is_no_crash(folder: Path) -> None:
    (folder / "one").symlink_to(folder.parent / "two")
    (folder.parent / "two").symlink_to(folder / "one")
    check_folder(folder)


def test_a_base_in_two_files_is_the_model_in_one(folder: Path, original: Path) -> None:
    one, two = load(str(original)), load(str(split(folder)))
    wanted, found = one.model.state_dict(), two.model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["first.safetensors", "second.safetensors"])
def test_the_hash_follows_each_file_that_is_read(folder: Path, name: str) -> None:
    before = hash_base(split(folder))
    flip(folder / name)
    assert hash_base(folder) != before


def test_the_hash_follows_the_index(folder: Path) -> None:
    before = hash_base(split(folder))
    index = json.loads((folder / INDEX).read_text())
    swap = {"first.safetensors": "second.safetensors", "second.safetensors": "first.safetensors"}
    index["weight_map"] = {name: swap[place] for name, place in index["weight_map"].items()}
    (folder / INDEX).write_text(json.dumps(index))
    assert hash_base(folder) != before


def test_a_file_that_is_not_read_is_not_hashed(folder: Path) -> None:
    before = hash_base(folder)
    save_file({"x": torch.zeros(1)}, folder / "extra.safetensors")
    (folder / "README.md").write_text("Hello.")
    assert weight_files(folder) == [folder / WEIGHTS]
    assert hash_base(folder) == before


def other_template(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text() + " ")


def other_tokenizer(folder: Path) -> None:
    edit_json(folder / "tokenizer.json", normalizer={"type": "Lowercase"})


def other_pictures(folder: Path) -> None:
    edit_json(folder / "preprocessor_config.json", image_mean=[0.0, 0.0, 0.0])


def other_layers(folder: Path) -> None:
    edit_json(folder / "config.json", vision_feature_layer=-1)


def other_end(folder: Path) -> None:
    edit_json(folder / "generation_config.json", eos_token_id=[2])


@pytest.mark.parametrize(
    "change", [other_template, other_tokenizer, other_pictures, other_layers, other_end]
)
def test_the_hash_follows_what_changes_what_the_model_reads(
    folder: Path, change: Callable[[Path], None]
) -> None:
    before, weights = hash_base(folder), hash_base(folder, reading=False)
    change(folder)
    assert hash_base(folder) != before
    assert hash_base(folder, reading=False) == weights


def test_the_hash_is_the_same_whoever_saved_the_configuration(folder: Path) -> None:
    before = hash_base(folder)
    raw = json.loads((folder / "config.json").read_text())
    again = dict(reversed({**raw, "transformers_version": "9", "_name_or_path": "x"}.items()))
    (folder / "config.json").write_text(json.dumps(again, indent=1))
    assert hash_base(folder) == before


def test_a_folder_called_small_is_hashed_as_any_other(original: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(original, tmp_path / "small"))
    assert load(str(folder)).base_hash == hash_base(folder) != hash_base(folder, reading=False)


def no_numbers(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    next(t for n, t in tensors.items() if "layers.1.mlp" in n)[0, 0] = float("nan")
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def infinite_half(folder: Path) -> None:
    tensors = {n: t.half() for n, t in load_file(folder / WEIGHTS).items()}
    next(t for n, t in tensors.items() if "layers.1.mlp" in n)[0, 0] = float("-inf")
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def another_shape(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    name = next(n for n in tensors if "q_proj" in n and "language" in n)
    save_file({**tensors, name: torch.ones(4, 4)}, folder / WEIGHTS, metadata={"format": "pt"})


def settings(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        edit_json(folder / "config.json", **changes)

    return change


def a_list(folder: Path) -> None:
    (folder / "config.json").write_text("[1]")


@pytest.mark.parametrize(
    ("harm", "error", "words"),
    [
        (no_numbers, ArtifactCorrupt, "finite numbers in the weights of 'mine'"),
        (infinite_half, ArtifactCorrupt, "finite numbers in the weights of 'mine'"),
        (another_shape, ArtifactCorrupt, "1 of others, the first '.*q_proj.weight'"),
        (a_list, ArtifactCorrupt, "config.json"),
        (settings(quantization_config={"quant_method": "gptq"}), DataError, "not rounded"),
        (settings(quantization_config={"quant_method": "zzz"}), DataError, "not rounded"),
        (settings(text_config=3), DataError, "Validation"),
        (settings(vision_config=None, image_seq_length="x"), DataError, "could not load 'mine'"),
        (settings(model_type=["llava"]), DataError, "could not load 'mine'"),
        (settings(projector_hidden_act="evil"), DataError, "could not load 'mine'"),
        (settings(vision_feature_layer=99, dtype="evil"), DataError, "could not load 'mine'"),
    ],
)
def test_a_base_that_cannot_be_what_it_says_is_refused(
    harm: Callable[[Path], None], error: type[DiscreetError], words: str, folder: Path
) -> None:
    harm(folder)
    with pytest.raises(error, match=words) as caught:
        load(str(folder))
    assert str(folder.parent) not in str(caught.value)


@pytest.mark.parametrize("quantize", [None, "nf4"])
def test_numbers_are_looked_at_before_they_are_rounded(
    tmp_path: Path, quantize: str | None
) -> None:
    wide = save_member("llava", tmp_path / "wide", is_wide=True)
    no_numbers(wide)
    with pytest.raises(ArtifactCorrupt, match="finite"):
        load(str(wide), quantize=quantize)  # type: ignore[arg-type]


def test_no_log_and_no_output_names_the_path(
    folder: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    tensors = {**load_file(folder / WEIGHTS), "junk": torch.ones(2)}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    with caplog.at_level(logging.INFO):
        load(str(folder))
    said = "".join(capfd.readouterr()) + caplog.text
    assert "1 tensors of 'mine' belong to no part" in said
    assert str(folder.parent) not in said


@pytest.mark.parametrize(
    "template", ["{{ 1 / 0 }}", "{{ range(10**9) }}", "{{ 'a' + 1 }}", "{{ [][3] + 1 }}"]
)
def test_a_template_that_stops_is_refused(folder: Path, template: str) -> None:
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(DataError, match="takes a question and an answer"):
        load(str(folder))


def test_a_folder_alone_can_be_checked(folder: Path) -> None:
    check_folder(folder)
    with pytest.raises(DataError, match="'nowhere'"):
        check_folder(folder / "nowhere")
