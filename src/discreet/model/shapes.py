"""What families of vision-language models do each in a way of their own.

Where the parts of a model are, how a picture becomes what the tower takes, which words stand around
its visual tokens, and what a forward pass has to be told besides ids. Every other file asks here;
none knows a family by its name. Nothing here loads or trains.

    >>> SHAPES["smolvlm"].language
    'text_model'
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from PIL.Image import Image, Resampling

CELLS = 8
"""Visual tokens in a row and in a column where a family takes pictures of any size: with 14 px
patches of which 2 x 2 make one, a picture is shown at 224 px (Qwen2-VL)."""
FAKE, GLOBAL = "<fake_token_around_image>", "<global-img>"
"""Words around the picture of Idefics3 and SmolVLM."""

Told = Literal["nothing", "prefix", "pictures", "grid"]
"""What a forward pass has to be told besides ids and mask.

`prefix`: what is read before the first answer token, each place of which sees all of it
(PaliGemma, Beyer et al. 2024, arXiv:2407.07726, section 3.1). `pictures`: where visual tokens are,
which see each other (Gemma 3). `grid`: the same and the pictures' rows and columns, from which
places are counted (multimodal rotary embeddings; Wang et al. 2024, arXiv:2409.12191, section 2.1).
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A family's names for its parts, below `model.model`, and what it is told."""

    tower: str
    projector: str
    language: str
    told: Told = "nothing"
    is_stacked: bool = False
    """Visual tokens are taken as one tensor, and not as a list of one for each picture."""


SHAPES: dict[str, Shape] = {
    "llava": Shape(
        tower="vision_tower", projector="multi_modal_projector", language="language_model"
    ),
    "smolvlm": Shape(tower="vision_model", projector="connector", language="text_model"),
    "idefics3": Shape(tower="vision_model", projector="connector", language="text_model"),
    "paligemma": Shape(
        tower="vision_tower",
        projector="multi_modal_projector",
        language="language_model",
        told="prefix",
        is_stacked=True,
    ),
    "qwen2_vl": Shape(
        tower="visual", projector="visual.merger", language="language_model", told="grid"
    ),
    "qwen2_5_vl": Shape(
        tower="visual", projector="visual.merger", language="language_model", told="grid"
    ),
    "gemma3": Shape(
        tower="vision_tower",
        projector="multi_modal_projector",
        language="language_model",
        told="pictures",
        is_stacked=True,
    ),
}
"""By `model_type`."""


def shape_of(config: Any) -> Shape:
    """Return the shape of a model's family.

    Raises:
        ValueError: if the family is not known.
    """
    if config.model_type not in SHAPES:
        raise ValueError(
            f"Expected a model of one of the families {', '.join(SHAPES)}, got "
            f"'{config.model_type}'. CONTRIBUTING.md says how to add one."
        )
    return SHAPES[config.model_type]


def token_id(config: Any, name: str) -> int | None:
    """Return the id of a special token, however a family spells it; None where there is none."""
    for holder in (config.get_text_config(), config):
        for spelling in (f"{name}_token_id", f"{name}_token_index"):
            found = getattr(holder, spelling, None)
            if found is not None:
                return int(found[0] if isinstance(found, list) else found)
    return None


def tokens_around(config: Any) -> tuple[list[int], list[int]]:
    """Return the ids that a configuration names before and after those of a picture."""
    for first, last in (("vision_start", "vision_end"), ("boi", "eoi")):
        start, end = token_id(config, first), token_id(config, last)
        if start is not None and end is not None:
            return [start], [end]
    return [], []


def visual_tokens(config: Any) -> int:
    """Return how many visual tokens one picture has, shown whole and in one piece."""
    vision = config.vision_config
    if config.model_type in SHAPES and SHAPES[config.model_type].told == "grid":
        return CELLS**2
    patches = (vision.image_size // vision.patch_size) ** 2 if hasattr(vision, "patch_size") else 0
    if config.model_type in ("smolvlm", "idefics3"):
        return int(patches // config.scale_factor**2)
    if config.model_type == "gemma3":
        return int(config.mm_tokens_per_image)
    if config.model_type == "paligemma":
        return int(patches)
    return int(config.image_seq_length)


def picture_words(config: Any, tokenizer: Any) -> str:
    """Return what stands in a text for one picture, a placeholder for each visual token."""
    image = token_id(config, "image")
    words = str(tokenizer.convert_ids_to_tokens(image)) * visual_tokens(config)
    if config.model_type in ("smolvlm", "idefics3"):
        known = {FAKE, GLOBAL} <= set(tokenizer.get_added_vocab())
        return f"{FAKE}{GLOBAL}{words}{FAKE}" if known else words
    first, last = ("".join(tokenizer.convert_ids_to_tokens(ids)) for ids in tokens_around(config))
    gap = "\n\n" if config.model_type == "gemma3" else ""
    return f"{gap}{first}{words}{last}{gap}"


def picture_inputs(config: Any, processor: Any, images: Sequence[Image]) -> dict[str, torch.Tensor]:
    """Return what the tower takes for pictures of any size and mode, each shown whole.

    Nothing is cut into tiles, so that each picture has `visual_tokens`.
    """
    kind = config.model_type
    colours = [image.convert("RGB") for image in images]
    settings: dict[str, Any] = {"return_tensors": "pt", "input_data_format": "channels_last"}
    given: Any = colours
    if kind in ("smolvlm", "idefics3"):
        given = [[image] for image in colours]
        settings["do_image_splitting"] = False
    elif shape_of(config).told == "grid":
        vision = config.vision_config
        side = CELLS * vision.spatial_merge_size * vision.patch_size
        given = [image.resize((side, side), Resampling.BICUBIC) for image in colours]
        settings["do_resize"] = False
    elif kind == "gemma3":
        settings["do_pan_and_scan"] = False
    found = processor(given, **settings)
    wanted = ("pixel_values", "pixel_attention_mask", "image_grid_thw")
    return {name: torch.as_tensor(found[name]) for name in wanted if name in found}


def told_inputs(
    config: Any,
    input_ids: torch.Tensor,
    *,
    attention_mask: torch.Tensor,
    is_answer: torch.Tensor | None = None,
    model: Any = None,
) -> dict[str, torch.Tensor]:
    """Return what a forward pass over whole rows has to be told besides ids and mask.

    Args:
        config: Of the model.
        input_ids: (R, T) int64.
        attention_mask: (R, T) int64, 0 on padding.
        is_answer: (R, T) bool; nowhere by default, as where an answer is to be written.
        model: The Hugging Face model below an adapter; it counts places where `grid` is told.
    """
    told = shape_of(config).told
    if told == "prefix":
        # From its first answer on, a row is read from left to right, later questions included:
        # what sees the whole prefix must not have seen an answer.
        none = torch.zeros_like(input_ids, dtype=torch.bool)
        later = (none if is_answer is None else is_answer).cumsum(1) > 0
        return {"token_type_ids": later.long()}
    image = token_id(config, "image")
    is_picture = input_ids.eq(-1 if image is None else image).long()
    if told == "pictures":
        return {"token_type_ids": is_picture}
    if told == "grid":
        side = CELLS * config.vision_config.spatial_merge_size
        count = int(is_picture.sum()) // visual_tokens(config)
        places, _ = model.model.get_rope_index(
            input_ids,
            mm_token_type_ids=is_picture,
            image_grid_thw=torch.tensor([[1, side, side]] * count).view(-1, 3),
            attention_mask=attention_mask,
        )
        return {"position_ids": places}
    return {}
