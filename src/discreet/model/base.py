"""Load a vision-language model, offline: `small`, the random `tiny`, or a local folder.

Knows nothing of adapters, data or people.

    >>> vlm = load("tiny")
    >>> vlm.name, vlm.image_tokens
    ('tiny', 4)
"""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
import torch

from discreet.artifacts import read_json
from discreet.errors import ArtifactCorrupt
from discreet.model import small, tiny, vision
from discreet.model.checkpoint import (
    Placement,
    Quantization,
    check_family,
    read_config,
    read_image_processor,
    read_model,
    read_tokenizer,
)
from discreet.model.folder import hash_base
from discreet.model.shapes import Shape, picture_words, shape_of, token_id, visual_tokens

EMBEDDED = ("small", "tiny")
"""Bases that come with the package; any other is a folder."""
CACHE_DIR = Path(platformdirs.user_cache_dir("discreet"))
"""Where converted models are kept unless the caller says otherwise."""


@dataclass(frozen=True, slots=True)
class Delta:
    """A dense sum that stands in a weight of the base, and what it takes to get it out again."""

    value: torch.Tensor = field(repr=False)
    """(out, in) float32 on the CPU, in units of B A: LoRA's scale is not in it."""
    before: torch.Tensor = field(repr=False)
    """The weight without it, bit by bit; on the CPU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Vlm:
    """A model with what it needs to read and write; `model` may carry an adapter."""

    name: str
    """`small`, `tiny`, or the name of the folder it was read from."""
    model: Any
    """A Hugging Face model of one of `FAMILIES`, or the PEFT model around it."""
    tokenizer: Any
    image_processor: Any
    base_hash: str
    """SHA-256 of the frozen weights, and of a folder's configuration, tokenizer and chat template;
    an adapter fits exactly one."""
    image_tokens: int
    """Visual tokens of one picture."""
    projectors: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict, repr=False)
    """Projector tensors of each loaded adapter by its name, and of `base`."""
    travels: tuple[str, ...] = ()
    """Tensors that owners learn and send, of the adapter that `attach_lora` made."""
    deltas: dict[str, Delta] = field(default_factory=dict, repr=False)
    """By `<layer>.delta`, those that `load_adapter_state` put into the base."""

    @property
    def image_token_id(self) -> int:
        """Return the id of the placeholder that visual tokens replace."""
        found = token_id(self.model.config, "image")
        assert found is not None, "`read_tokenizer` refuses a folder without"
        return found

    @property
    def shape(self) -> Shape:
        """Return what is the family's own."""
        return shape_of(self.model.config)

    @property
    def picture_words(self) -> str:
        """Return what stands in a text for one picture."""
        return picture_words(self.model.config, self.tokenizer)


def load(
    base: str,
    *,
    cache_dir: Path | None = None,
    projector: Path | None = small.PROJECTOR_PATH,
    tuning: Path | None = small.TUNING_PATH,
    quantize: Quantization | None = None,
    placement: Placement | None = None,
) -> Vlm:
    """Return a model in float32 on the CPU, in evaluation mode, with frozen weights.

    The first load of `small` converts the packaged weights once (about half a minute) into
    `cache_dir`; later loads check the file's SHA-256 and take a few seconds.

    Args:
        base: `small`, `tiny`, or the path of a local safetensors checkpoint of one of `FAMILIES`
            with tokenizer, chat template and image processor. No code in it is run.
        cache_dir: Folder for the converted model; the user's cache folder by default.
        projector: Of `small`, the shipped one by default; None if pictures are to say nothing.
        tuning: Of the language model of `small`, the shipped one by default; None for the language
            model as its package has it.
        quantize: Round the language model's linear layers to 4 bits, `nf4`; what is computed, and
            adapters, stay in float32. Its `base_hash` is another, since it answers differently.
        placement: Spread the model over devices and disk; not for `tiny`. None keeps it in memory.

    Raises:
        ArtifactCorrupt: if the weights do not match their recorded hash, are damaged or incomplete.
        DataError: if the packages that carry `small` are not installed or not the pinned ones, or
            if a folder lacks a part or holds a model of another kind.
        ExtraMissing: if bitsandbytes is not installed and `quantize` needs it.
        UnsafeFile: if a folder holds pickled weights, or no others, or if a link, the index or a
            key of the configuration leads to files that are not checked.
        ValueError: if `tiny` is to be quantised or placed, or another base both.
    """
    vision.register()
    if quantize not in (None, "nf4"):
        raise ValueError(f"Expected quantize='nf4' or None, got {quantize!r}.")
    if quantize is not None and placement is not None:
        raise ValueError(
            "Expected quantize or placement, got both. A base of 4 bits stays in memory here."
        )
    if base == "tiny":
        if quantize is not None or placement is not None:
            raise ValueError(
                "Expected 'tiny' as it is, got quantize or placement, which read weights from a "
                "folder. Save it with save_pretrained() and load that folder."
            )
        parts = tiny.build()
        return _vlm("tiny", parts, small.state_hash(parts.model.state_dict()))
    if base == "small":
        folder = _converted(cache_dir or CACHE_DIR, projector, tuning)
        return _from_folder("small", folder, quantize, placement, is_ours=True)
    return _from_folder(Path(base).name, Path(base), quantize, placement)


def _vlm(name: str, parts: small.Parts, base_hash: str) -> Vlm:
    model = parts.model.eval().requires_grad_(False)
    return Vlm(
        name=name,
        model=model,
        tokenizer=parts.tokenizer,
        image_processor=parts.image_processor,
        base_hash=base_hash,
        image_tokens=visual_tokens(model.config),
    )


def _from_folder(
    name: str,
    folder: Path,
    quantize: Quantization | None,
    placement: Placement | None,
    *,
    is_ours: bool = False,
) -> Vlm:
    """Read a checkpoint folder and hash what it is; of one that is converted here, its weights."""
    config = read_config(folder)
    check_family(folder, config)
    digest = hash_base(folder, quantize=quantize, reading=not is_ours)
    manifest = folder / "manifest.json"
    if manifest.is_file():
        is_same = is_ours and quantize is None
        weights = digest if is_same else hash_base(folder, reading=False)
        if read_json(manifest) != {"sha256": weights}:
            raise ArtifactCorrupt(
                f"Expected the weights of '{name}' to match their recorded SHA-256; they were "
                f"changed or damaged. Delete the folder {folder.name} in the cache to convert them "
                "again."
            )
    parts = small.Parts(
        model=read_model(folder, config, quantize=quantize, placement=placement),
        tokenizer=read_tokenizer(folder, config),
        image_processor=read_image_processor(folder),
    )
    return _vlm(name, parts, digest)


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
    (scratch / "manifest.json").write_text(
        json.dumps({"sha256": hash_base(scratch, reading=False)})
    )
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
