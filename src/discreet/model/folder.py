"""Which files of a checkpoint folder are the base, and that they are nobody else's.

Says which files transformers reads, refuses a folder that sends it elsewhere, hashes exactly these
and looks whether their numbers are numbers. Loads no model and knows no family.

    >>> import tempfile
    >>> from safetensors.torch import save_file
    >>> folder = Path(tempfile.mkdtemp())
    >>> save_file({"x": torch.ones(2)}, folder / "model.safetensors")
    >>> [path.name for path in weight_files(folder)]
    ['model.safetensors']

Guarantee: files that `weight_files` names lie in the folder, or in the store of blobs of the cache
of the Hugging Face Hub that the folder belongs to; all of them are safetensors, and no other is
read by transformers 5.23. A file that is exchanged between two looks at it is not noticed.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from discreet.artifacts import read_json, refuse_unsafe_files
from discreet.errors import ArtifactCorrupt, DataError, UnsafeFile

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
READ_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
"""What decides, beside config.json and weights, which numbers a model gets for words and pictures,
and where an answer ends."""
_ELSEWHERE = {
    "config.json": ("configuration_files", "transformers_weights"),
    "tokenizer_config.json": ("fast_tokenizer_files",),
}
"""Keys with which transformers 5.23 reads other files than those that are hashed here."""
_OTHER_LAYOUT = re.compile(r"shard-\d+-model-\d+-of-\d+\.safetensors|adapter_config\.json")
"""Files that transformers 5.23 reads in place of, or on top of, `model.safetensors`."""
_UNREAD = frozenset({"transformers_version", "_name_or_path"})
"""Keys of config.json that change with whoever saves it, and change no answer."""


def check_folder(folder: Path) -> None:
    """Refuse a folder that lacks a base, or whose base is in part somewhere else.

    Raises:
        ArtifactCorrupt: if config.json or the index of weights is damaged, or a file that the index
            names is missing.
        DataError: if there is no config.json.
        UnsafeFile: if there are pickled files, or no safetensors, or if a link or a key leads to
            files that are not checked.
    """
    if not (folder / "config.json").is_file():
        raise DataError(
            "Expected 'small', 'tiny' or a folder with config.json and safetensors, got "
            f"base='{folder.name or folder}'. Save a model there with save_pretrained()."
        )
    refuse_unsafe_files(folder)
    _refuse_links_out(folder)
    for name, keys in _ELSEWHERE.items():
        held = read_json(folder / name) if (folder / name).is_file() else {}
        found = [key for key in keys if isinstance(held, dict) and key in held]
        if found:
            raise _elsewhere(folder, f"the key '{found[0]}' in {name}", "Remove the key")
    for path in sorted(folder.iterdir()):
        if _OTHER_LAYOUT.fullmatch(path.name):
            raise _elsewhere(folder, f"the file {path.name}", "Remove the file")
    weight_files(folder)


def weight_files(folder: Path) -> list[Path]:
    """Return the files that weights are read from, sorted: one, or those that the index names.

    Raises:
        ArtifactCorrupt: if the index is damaged, or a file that it names is missing.
        UnsafeFile: if there are no safetensors, or the index names anything but a file beside it.
    """
    shards = _shards(folder) if (folder / INDEX).is_file() else []
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not shards:
        raise UnsafeFile(
            f"Expected safetensors weights in '{folder.name}', as {WEIGHTS} or with {INDEX}, found "
            "none. Save them with save_pretrained()."
        )
    return shards


def _shards(folder: Path) -> list[Path]:
    """Return the files that the index of a folder names."""
    index = read_json(folder / INDEX)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not all(isinstance(v, str) for v in places.values()):
        raise ArtifactCorrupt(
            f"Expected file names by weights in {INDEX} of '{folder.name}', got another form. Copy "
            "the whole checkpoint again."
        )
    names = sorted(set(places.values()))
    if not all(re.fullmatch(r"[^/\\\0]+\.safetensors", name) for name in names):
        raise UnsafeFile(
            f"Expected {INDEX} of '{folder.name}' to name safetensors files beside it, got another "
            "place or format. Copy the whole checkpoint again from where it comes from."
        )
    gone = sum(not (folder / name).is_file() for name in names)
    if gone:
        raise ArtifactCorrupt(
            f"Expected the {len(names)} files that {INDEX} of '{folder.name}' names, {gone} are "
            "missing. Copy the whole checkpoint again, or delete an index that belongs to no file."
        )
    return [folder / name for name in names]


def _refuse_links_out(folder: Path) -> None:
    """Refuse links that leave the folder, but for those to blobs of the hub's cache.

    There, `snapshots/REVISION/NAME` is a link to `blobs/HASH` of the same repository. Blobs are no
    less the folder's own than files in it, and are hashed like these.
    """
    home = folder.resolve()
    is_snapshot = home.parent.name == "snapshots" and home.parents[1].name.startswith("models--")
    blobs = home.parents[1] / "blobs" if is_snapshot else None
    for path in sorted(p for p in folder.rglob("*") if p.is_symlink()):
        target = Path(os.path.realpath(path))  # a link in a circle is no error here
        if not target.is_relative_to(home) and target.parent != blobs:
            raise UnsafeFile(
                f"Expected the files of a base in '{folder.name}' itself, found the link "
                f"{path.name} that leaves it. Put the file in its place."
            )


def _elsewhere(folder: Path, what: str, way_out: str) -> UnsafeFile:
    return UnsafeFile(
        f"Expected the weights of '{folder.name}' in {WEIGHTS} or as {INDEX} says, got {what}, "
        f"which sends transformers to other files. {way_out}, or save the model anew with "
        "save_pretrained()."
    )


def hash_base(folder: Path, *, quantize: str | None = None, reading: bool = True) -> str:
    """Return a SHA-256 over the files that a base is, and over how its weights are rounded.

    An adapter corrects what its base says, errors of rounding included, to the words and pictures
    that it learnt on: it belongs to the weights, tokenizer and template as they were.

    Args:
        folder: That `check_folder` let pass.
        quantize: Name of the rounding.
        reading: Also what turns words and pictures into numbers. Not for `small`, which is made
            here from pinned packages: its hash is one of weights.
    """
    digest = hashlib.sha256()
    files = weight_files(folder)
    for path in files if files == [folder / WEIGHTS] else [*files, folder / INDEX]:
        digest.update(_file_digest(path))
    if reading:
        digest.update(_hash_reading(folder))
    if quantize is not None:
        digest.update(quantize.encode())
    return digest.hexdigest()


def _hash_reading(folder: Path) -> bytes:
    """Return a SHA-256 over what decides how words and pictures become a model's numbers.

    config.json counts as what it says, whoever saved it; the tokenizer's files, chat templates and
    the settings of the image processor byte by byte.
    """
    digest = hashlib.sha256(json.dumps(_meaning(read_json(folder / "config.json"))).encode())
    templates = folder.glob("additional_chat_templates/*.jinja")
    for path in sorted([*(folder / name for name in READ_FILES), *templates]):
        if path.is_file():
            digest.update(f"{path.name} ".encode() + _file_digest(path))
    return digest.digest()


def _meaning(value: Any) -> Any:
    """Return a part of config.json in an order of its own, without what changes no answer."""
    if isinstance(value, dict):
        return {key: _meaning(value[key]) for key in sorted(value) if key not in _UNREAD}
    return [_meaning(item) for item in value] if isinstance(value, list) else value


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def check_numbers(folder: Path) -> None:
    """Refuse weights of which one is infinite or no number.

    They are looked at as they are on disk, one tensor at a time: a rounded layer, or one that stays
    there, does not show it.

    Raises:
        ArtifactCorrupt: if there is such a weight, or a file is damaged.
    """
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                bad = [name for name in file.keys() if not is_finite(file.get_tensor(name))]  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise ArtifactCorrupt(
                f"Expected safetensors weights in '{folder.name}', got a damaged file. Copy it "
                "again."
            ) from error
        if bad:
            raise ArtifactCorrupt(
                f"Expected finite numbers in the weights of '{folder.name}', {len(bad)} tensors of "
                f"{path.name} hold others. Copy the checkpoint again, or train it anew."
            )


def is_finite(value: torch.Tensor) -> bool:
    """Return whether every number of a tensor is finite; whole numbers are."""
    if not value.is_floating_point():
        return True
    if value.element_size() == 1:  # torch cannot ask numbers of 8 bits
        value = value.float()
    return bool(value.isfinite().all())
