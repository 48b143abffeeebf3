"""Load any vision-language model, adapt it, measure its answers, let it write."""

from discreet.model.base import CACHE_DIR, EMBEDDED, Vlm, load
from discreet.model.families import (
    FAMILIES,
    PARTS,
    Family,
    FamilyName,
    Part,
    Sample,
    build_family,
    family_of,
    load_family,
)
from discreet.model.generation import GUIDANCE, check_guidance, generate
from discreet.model.lora import (
    LoraSpec,
    adapter_parameters,
    adapter_state,
    attach_lora,
    frozen_adapter_hash,
    load_adapter,
    load_adapter_state,
    save_adapter,
)
from discreet.model.losses import (
    answer_logits,
    answer_losses,
    base_of,
    encode_images,
    pixel_values,
    vision_tokens,
)
from discreet.model.prefix import FrozenPrefix
from discreet.model.prompt import IGNORED, Batch, Row, build_prompt, collate, person_line
from discreet.model.small import (
    IMAGE_TOKEN,
    PROJECTOR_PATH,
    image_processor,
    load_tower,
    projector_state,
)

__all__ = [
    "CACHE_DIR",
    "EMBEDDED",
    "FAMILIES",
    "GUIDANCE",
    "IGNORED",
    "IMAGE_TOKEN",
    "PARTS",
    "PROJECTOR_PATH",
    "Batch",
    "Family",
    "FamilyName",
    "FrozenPrefix",
    "LoraSpec",
    "Part",
    "Row",
    "Sample",
    "Vlm",
    "adapter_parameters",
    "adapter_state",
    "answer_logits",
    "answer_losses",
    "attach_lora",
    "base_of",
    "build_family",
    "build_prompt",
    "check_guidance",
    "collate",
    "encode_images",
    "family_of",
    "frozen_adapter_hash",
    "generate",
    "image_processor",
    "load",
    "load_adapter",
    "load_adapter_state",
    "load_family",
    "load_tower",
    "person_line",
    "pixel_values",
    "projector_state",
    "save_adapter",
    "vision_tokens",
]
