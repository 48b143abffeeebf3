"""Read a checkpoint folder as somebody brings it, or say why not.

A folder is local, holds safetensors and no pickled file, and none of its code is run. Each function
reads one thing, so that a check can name what is wrong with a folder; `load` calls all of them.
Nothing is downloaded and nothing is written but what `Placement` puts on disk.

    >>> Placement(max_memory={"cpu": "2GiB"}).offload_folder is None
    True
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import transformers as hf
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from discreet.artifacts import read_json
from discreet.errors import ArtifactCorrupt, DataError, ExtraMissing
from discreet.model.folder import check_folder, check_numbers
from discreet.model.shapes import SHAPES, Shape, token_id
from discreet.model.turns import TEMPLATE_STOPS, turn_ends

Quantization = Literal["nf4"]
"""4-bit normal floats (Dettmers et al. 2023, QLoRA, arXiv:2305.14314, section 3)."""
_LOGGER = logging.getLogger(__name__)
BLOCK = 64
"""Numbers that share a scale in 4 bits."""
_LOCAL = {"local_files_only": True, "trust_remote_code": False}
_NOT_READ = (
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    StrictDataclassError,
    TypeError,
    ValueError,
)
"""What transformers raises at settings and weights that it cannot use."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Where a base that is larger than memory is kept; answers stay the same, but for rounding."""

    max_memory: Mapping[int | str, int | str] | None = None
    """Bytes, or a text as `2GiB`, for each GPU by its number and for `cpu`; what is free by
    default. What does not fit anywhere is read from disk each time it is needed."""
    offload_folder: Path | None = None
    """For what is on disk; weights in safetensors are read where they are, and need none."""


def read_config(folder: Path) -> Any:
    """Return the configuration of a folder that holds safetensors and nothing that runs code.

    Raises:
        ArtifactCorrupt: if the configuration or the index of weights is damaged.
        DataError: if there is none, if transformers does not know its type or cannot read it, or if
            the weights are rounded already.
        UnsafeFile: if there are pickled files, or no safetensors, or if a link or a key leads to
            files that are not checked.
    """
    check_folder(folder)
    raw = read_json(folder / "config.json")
    if not isinstance(raw, dict):
        raise ArtifactCorrupt(
            f"Expected an object in config.json of '{folder.name}', got another form. Copy the "
            "whole checkpoint again."
        )
    parts = [raw, *(part for part in raw.values() if isinstance(part, dict))]
    if any(part.get("quantization_config") is not None for part in parts):
        raise DataError(
            f"Expected weights in '{folder.name}' that were not rounded, got quantization_config "
            "in config.json. Save the model in float16 or float32, and round it here, with "
            "quantize='nf4'."
        )
    try:
        return hf.AutoConfig.from_pretrained(folder, **_LOCAL)
    except _NOT_READ as error:
        raise _not_loadable(folder, error) from error


def check_family(folder: Path, config: Any) -> Shape:
    """Return the shape of a folder's family.

    Raises:
        DataError: if it is none of those that are known here.
    """
    if config.model_type not in SHAPES:
        raise DataError(
            f"Expected a vision-language model of one of the families {', '.join(SHAPES)} in "
            f"'{folder.name}', got model_type '{config.model_type}'. Private training of other "
            "models: docs/your_model.md."
        )
    return SHAPES[config.model_type]


def read_tokenizer(folder: Path, config: Any) -> Any:
    """Return the tokenizer, whose `eos_token` is what the chat template ends a turn with.

    Raises:
        DataError: if there is none, if it has no chat template or a template that does not work, or
            if it does not know the placeholder of pictures.
    """
    try:
        tokenizer = hf.AutoTokenizer.from_pretrained(folder, **_LOCAL)
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise DataError(
            f"Expected a tokenizer in '{folder.name}', could not load one "
            f"({type(error).__name__}). Save it there with processor.save_pretrained()."
        ) from error
    older = folder / "chat_template.json"
    if tokenizer.chat_template is None and older.is_file():
        tokenizer.chat_template = read_json(older).get("chat_template")
    if tokenizer.chat_template is None:
        raise DataError(
            f"Expected a chat template in '{folder.name}', found none. Put the one that the model "
            "was trained with into chat_template.jinja."
        )
    _check_tokens(folder, config, tokenizer)
    try:
        ends = turn_ends(tokenizer)
    except TEMPLATE_STOPS as error:
        raise DataError(
            f"Expected a chat template in '{folder.name}' that takes a question and an answer, "
            f"could not use it ({type(error).__name__}). Put the one that the model was trained "
            "with into chat_template.jinja."
        ) from error
    if ends is not None and ends in end_ids(folder, config, tokenizer):
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ends)
    return tokenizer


def _check_tokens(folder: Path, config: Any, tokenizer: Any) -> None:
    """Refuse a tokenizer without what padding and pictures need."""
    image = token_id(config, "image")
    known = image is not None and tokenizer.convert_ids_to_tokens(image) is not None
    if not known or tokenizer.eos_token_id is None:
        raise DataError(
            f"Expected a tokenizer in '{folder.name}' with an end token and with the placeholder "
            f"of pictures, id {image}, got another. Copy the tokenizer that belongs to the model."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token


def end_ids(folder: Path, config: Any, tokenizer: Any) -> set[int]:
    """Return the ids at which a folder says that its model stops."""
    found: Any = None
    if (folder / "generation_config.json").is_file():
        found = read_json(folder / "generation_config.json").get("eos_token_id")
    if found is None:
        found = getattr(config.get_text_config(), "eos_token_id", None)
    ids = found if isinstance(found, list) else [found]
    return {number for number in [*ids, tokenizer.eos_token_id] if number is not None}


def read_image_processor(folder: Path) -> Any:
    """Return the image processor, the kind that needs Pillow only.

    Raises:
        DataError: if there is none, or none that works with Pillow alone.
    """
    try:
        return hf.AutoImageProcessor.from_pretrained(folder, backend="pil", **_LOCAL)
    except (ImportError, KeyError, OSError, TypeError, ValueError) as error:
        raise DataError(
            f"Expected an image processor in '{folder.name}' that works with Pillow alone, could "
            f"not load one ({type(error).__name__}). Save it there with "
            "processor.save_pretrained()."
        ) from error


def read_model(
    folder: Path,
    config: Any,
    *,
    quantize: Quantization | None = None,
    placement: Placement | None = None,
) -> Any:
    """Return the model of a folder in float32; a weight that is not there is an error.

    Raises:
        ArtifactCorrupt: if weights are damaged or missing, no numbers, or of other shapes.
        DataError: if transformers cannot load the model without code of its own, or if layers have
            sizes that `quantize` does not take.
        ExtraMissing: if `quantize` asks for a package that is not installed.
    """
    reads_pictures = hasattr(config, "vision_config")
    kind = hf.AutoModelForImageTextToText if reads_pictures else hf.AutoModelForCausalLM
    options: dict[str, Any] = {}
    if quantize is not None:
        options["quantization_config"] = _quantization(config)
        options["device_map"] = {"": "cpu"}  # else bitsandbytes takes a GPU where it finds one
    if placement is not None:
        options["device_map"] = _device_map(kind, config, placement)
        options["offload_folder"] = placement.offload_folder
    check_numbers(folder)
    try:
        with _without_report():
            model, report = kind.from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are in the report, and an error below
                **options,
                **_LOCAL,
            )
    except SafetensorError as error:
        raise ArtifactCorrupt(
            f"Expected safetensors weights in '{folder.name}', got a damaged file. Copy it again."
        ) from error
    except _NOT_READ as error:
        raise _not_loadable(folder, error) from error
    _check_report(folder, report)
    if quantize is not None:
        _check_rounded(model)
    return model


@contextmanager
def _without_report() -> Iterator[None]:
    """Keep transformers from logging a report, which names the folder with its whole path."""

    def is_other(record: logging.LogRecord) -> bool:
        return "LOAD REPORT" not in str(record.msg)

    logger = logging.getLogger("transformers.modeling_utils")
    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


def _check_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Refuse weights that are missing or of another shape: others were drawn at random."""
    if missing := sorted(report["missing_keys"]):
        raise ArtifactCorrupt(
            f"Expected every weight of the model in '{folder.name}', {len(missing)} are missing, "
            f"the first '{missing[0]}'. Copy the whole checkpoint again."
        )
    if other := sorted(str(entry[0]) for entry in report["mismatched_keys"]):
        raise ArtifactCorrupt(
            f"Expected weights of the shapes that config.json of '{folder.name}' says, got "
            f"{len(other)} of others, the first '{other[0]}'. Copy config.json and weights of one "
            "model."
        )
    if unknown := len(report["unexpected_keys"]):
        _LOGGER.info("%d tensors of '%s' belong to no part of the model.", unknown, folder.name)


def _check_rounded(model: Any) -> None:
    """Refuse layers that bitsandbytes reads wrong, and keep the others as they were rounded."""
    for name, module in model.named_modules():
        if type(module).__name__ != "Linear4bit":
            continue
        if module.in_features % BLOCK:
            raise DataError(
                f"Expected layers of a multiple of {BLOCK} inputs for 4 bits, got "
                f"{module.in_features} in '{name}', which bitsandbytes reads wrong on a CPU. Load "
                "the base without quantize."
            )
        # Else, on processors with such instructions, the first answer packs a layer anew and rounds
        # it to bfloat16 for good: what an adapter learnt on would be another base from then on.
        module.support_avx512bf16_for_cpu = False


def _quantization(config: Any) -> Any:
    """Return the settings for 4 bits in the language model; towers and projector stay as they are.

    The projector is saved with each adapter, and towers are small beside the language model.
    """
    try:
        import bitsandbytes  # noqa: F401 (transformers imports it later, with a longer message)
    except ImportError as error:
        raise ExtraMissing(
            "Expected the package bitsandbytes for quantize='nf4', which is not installed. Install "
            "it with: pip install 'discreet[quant]'."
        ) from error
    shape = SHAPES[config.model_type]
    return hf.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.float32,
        llm_int8_skip_modules=[
            "lm_head",
            f"model.{shape.tower}",
            f"model.{shape.projector}",
        ],
    )


def _device_map(kind: Any, config: Any, placement: Placement) -> dict[str, Any]:
    """Return where each part goes; the projector never to disk, since adapters bring their own."""
    from accelerate import infer_auto_device_map, init_empty_weights

    with init_empty_weights():
        model = kind.from_config(config)
    model.tie_weights()
    memory = None if placement.max_memory is None else dict(placement.max_memory)
    places: dict[str, Any] = infer_auto_device_map(
        model,
        max_memory=memory,
        no_split_module_classes=model._no_split_modules,
        dtype=torch.float32,
    )
    kept = f"model.{SHAPES[config.model_type].projector}"
    main = next((place for place in places.values() if place != "disk"), "cpu")
    for name, place in places.items():
        if place == "disk" and (name.startswith(kept) or f"{kept}.".startswith(f"{name}.")):
            places[name] = main
    return places


def _not_loadable(folder: Path, error: Exception) -> DataError:
    return DataError(
        f"Expected a model that transformers {hf.__version__} loads without code of its own, could "
        f"not load '{folder.name}' ({type(error).__name__}). Call check_exactness() of "
        "discreet.privacy on the model once you have loaded it."
    )
