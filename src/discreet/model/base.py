"""Load a vision-language model, offline: `small`, the random `tiny`, or a local folder.

Knows nothing of adapters, data or people.

    >>> vlm = load("tiny")
    >>> vlm.name, vlm.image_tokens
    ('tiny', 4)
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
import torch
from safetensors import SafetensorError
from transformers import AutoTokenizer, LlavaForConditionalGeneration
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from discreet.artifacts import read_json
from discreet.errors import ArtifactCorrupt, DataError, UnsafeFile
from discreet.model import small, tiny, vision

EMBEDDED = ("small", "tiny")
"""Bases that come with the package; any other is a folder."""
CACHE_DIR = Path(platformdirs.user_cache_dir("discreet"))
"""Where converted models are kept unless the caller says otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Vlm:
    """A model with what it needs to read and write; `model` may carry an adapter."""

    name: str
    """`small`, `tiny`, or the name of the folder it was read from."""
    model: Any
    """A Hugging Face LLaVA-shaped model, or the PEFT model around it."""
    tokenizer: Any
    image_processor: Any
    base_hash: str
    """SHA-256 of the frozen weights; an adapter fits exactly one."""
    image_tokens: int
    """Visual tokens of one picture."""
    projectors: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict, repr=False)
    """Projector tensors of each loaded adapter by its name, and of `base`."""

    @property
    def image_token_id(self) -> int:
        """Return the id of the placeholder that visual tokens replace."""
        return int(self.model.config.image_token_id)


def load(
    base: str,
    *,
    cache_dir: Path | None = None,
    projector: Path | None = small.PROJECTOR_PATH,
    tuning: Path | None = small.TUNING_PATH,
) -> Vlm:
    """Return a model in float32 on the CPU, in evaluation mode, with frozen weights.

    The first load of `small` converts the packaged weights once (about half a minute) into
    `cache_dir`; later loads check the file's SHA-256 and take a few seconds.

    Args:
        base: `small`, `tiny`, or the path of a local LLaVA-shaped safetensors checkpoint.
        cache_dir: Folder for the converted model; the user's cache folder by default.
        projector: Of `small`, the shipped one by default; None if pictures are to say nothing.
        tuning: Of the language model of `small`, the shipped one by default; None for the language
            model as its package has it.

    Raises:
        ArtifactCorrupt: if the weights do not match their recorded hash, are damaged or incomplete.
        DataError: if the packages that carry `small` are not installed or not the pinned ones.
        UnsafeFile: if a folder holds pickled weights only.
    """
    vision.register()
    if base == "tiny":
        parts = tiny.build()
        return _vlm("tiny", parts, small.state_hash(parts.model.state_dict()))
    if base == "small":
        folder = _converted(cache_dir or CACHE_DIR, projector, tuning)
        return _from_folder("small", folder)
    return _from_folder(Path(base).name, _checked_folder(Path(base)))


def _vlm(name: str, parts: small.Parts, base_hash: str) -> Vlm:
    model = parts.model.float().eval().requires_grad_(False)
    return Vlm(
        name=name,
        model=model,
        tokenizer=parts.tokenizer,
        image_processor=parts.image_processor,
        base_hash=base_hash,
        image_tokens=int(model.config.image_seq_length),
    )


def _from_folder(name: str, folder: Path) -> Vlm:
    """Read a checkpoint folder and hash its weights."""
    digest = _hash_weights(folder)
    manifest = folder / "manifest.json"
    if manifest.is_file() and read_json(manifest) != {"sha256": digest}:
        raise ArtifactCorrupt(
            f"Expected the weights of '{name}' to match their recorded SHA-256; they were changed "
            f"or damaged. Delete the folder {folder.name} in the cache to convert them again."
        )
    return _vlm(
        name,
        small.Parts(
            model=_read_model(folder),
            tokenizer=AutoTokenizer.from_pretrained(folder, local_files_only=True),
            image_processor=CLIPImageProcessorPil.from_pretrained(folder, local_files_only=True),
        ),
        digest,
    )


def _read_model(folder: Path) -> LlavaForConditionalGeneration:
    """Return the model of a folder; a weight that is not there is an error, never random."""
    try:
        model, report = LlavaForConditionalGeneration.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    except SafetensorError as error:
        raise ArtifactCorrupt(
            f"Expected safetensors weights in '{folder.name}', got a damaged file. Copy it again."
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise ArtifactCorrupt(
            f"Expected every weight of the model in '{folder.name}', {len(missing)} are missing, "
            f"the first '{missing[0]}'. Copy the whole checkpoint again."
        )
    return model


def _checked_folder(folder: Path) -> Path:
    """Refuse what cannot be loaded safely, with the way out."""
    if not (folder / "config.json").is_file():
        raise DataError(
            f"Expected 'small', 'tiny' or a folder with config.json and safetensors, got "
            f"base='{folder}'. Save a model there with save_pretrained()."
        )
    if not list(folder.glob("*.safetensors")):
        raise UnsafeFile(
            f"Expected safetensors weights in '{folder}', found none. Pickled weights can run "
            "code and are refused; convert them with save_pretrained(safe_serialization=True)."
        )
    model_type = read_json(folder / "config.json").get("model_type")
    if model_type != "llava":
        raise DataError(
            f"Expected a LLaVA-shaped checkpoint (model_type 'llava'), got '{model_type}'."
        )
    return folder


def _hash_weights(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _converted(cache_dir: Path, projector: Path | None, tuning: Path | None) -> Path:
    """Return the folder of the converted `small`, making it once for all processes."""
    folder = cache_dir / f"small-{small.recipe_hash(projector, tuning)[:16]}"
    if (folder / "manifest.json").is_file():
        return folder
    cache_dir.mkdir(parents=True, exist_ok=True)
    with _lock(cache_dir / "convert.lock"):
        if not (folder / "manifest.json").is_file():
            _convert(folder, small.assemble(projector, tuning))
    return folder


def _convert(folder: Path, parts: small.Parts) -> None:
    """Write the assembled model beside its place, then move it there in one step."""
    scratch = folder.with_suffix(".part")
    shutil.rmtree(scratch, ignore_errors=True)
    parts.model.half().save_pretrained(scratch)
    parts.tokenizer.save_pretrained(scratch)
    parts.image_processor.save_pretrained(scratch)
    (scratch / "manifest.json").write_text(json.dumps({"sha256": _hash_weights(scratch)}))
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
