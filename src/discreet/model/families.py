"""The families of vision-language models: a tiny random member of each, and batches for any member.

For checks of what training does to a model's structure: how many rows its layers see for an example
with no, one or several pictures differs from family to family. Words and pictures are random, so
that nothing is said about the quality of answers.

    >>> family = build_family("llava")
    >>> family.losses(family.draw([2, 0], seed=0)).shape
    torch.Size([2])
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import transformers as hf
from torch import nn
from torch.nn.functional import cross_entropy

from discreet.model.base import EMBEDDED, load
from discreet.model.checkpoint import read_config, read_model
from discreet.model.shapes import token_id, tokens_around, visual_tokens

FamilyName = Literal[
    "llava", "smolvlm", "idefics3", "paligemma", "qwen2_vl", "qwen2_5_vl", "gemma3"
]
FAMILIES: tuple[FamilyName, ...] = get_args(FamilyName)
Part = Literal["language", "vision", "connector"]
PARTS: tuple[Part, ...] = get_args(Part)
IGNORED = -100
_PAD, _BOS, _EOS, _START, _END, _VIDEO, _IMAGE = 0, 1, 2, 3, 4, 5, 6
_VOCABULARY = 160
_TOKENS = 4
"""Visual tokens of a picture, in every tiny member here."""
_SPECIAL = ("pad", "bos", "eos", "image", "video", "boi", "eoi", "vision_start", "vision_end")
_IN_TOWER = re.compile(r"(?:^|\.)(?:vision_\w+|visual)\.(?!merger)")
_BETWEEN = {
    "llava": r".*multi_modal_projector\.linear_[12]",
    "smolvlm": r".*connector\.modality_projection\.proj",
    "idefics3": r".*connector\.modality_projection\.proj",
    "paligemma": r".*multi_modal_projector\.linear",
    "qwen2_vl": r".*visual\.merger\.mlp\.\d",
    "qwen2_5_vl": r".*visual\.merger\.mlp\.\d",
}
"""The linear layers between the towers; Gemma 3 has none, its projection is a bare parameter."""
_ATTENTION = r".*\.(q_proj|v_proj|qkv|attn\.proj)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One example: some pictures, then words to predict."""

    ids: torch.Tensor = field(repr=False)
    """(T,) int64, with a placeholder for each visual token."""
    answer: int
    """Tokens at the end that carry a label."""
    pictures: tuple[torch.Tensor, ...] = field(repr=False)
    """(3, side, side) each, or (patches, width) where the family takes patches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """A model, with how its examples become a batch."""

    name: str
    """A `FamilyName`, or the type of a model that reads no pictures."""
    model: Any = field(repr=False)
    tokens: int
    """Visual tokens of a picture; 0 where the model reads none."""
    side: int = 0
    """Side of a picture in pixels."""
    patches: int = 1
    """Rows of a picture in the vision tower: 1, or its patches where these are laid end to end."""
    merged: int = 1
    """Rows of a picture in the connector."""

    def lora_targets(self, parts: Sequence[Part]) -> list[str]:
        """Return the names of the layers for LoRA: attention of the towers, and the connector."""
        between = _BETWEEN.get(self.name, "")
        found = []
        for name, module in self.model.named_modules():
            if not isinstance(module, nn.Linear):
                continue
            if between and re.fullmatch(between, name):
                part: Part = "connector"
            elif not re.fullmatch(_ATTENTION, name):
                continue
            else:
                part = "vision" if _IN_TOWER.search(name) else "language"
            if part in parts:
                found.append(name)
        return found

    def draw(
        self, pictures: Sequence[int], *, seed: int, words: int = 8, answers: Sequence[int] = ()
    ) -> list[Sample]:
        """Return random examples with so many pictures each, of different lengths.

        Args:
            pictures: For each example, how many.
            seed: Decides words and pictures.
            words: Length of the shortest text; each further one is a token longer.
            answers: For each example, how many tokens carry a label; all but the first by default.
        """
        draw = torch.Generator().manual_seed(seed)
        config = self.model.config
        text = config.get_text_config()
        is_word = torch.ones(text.vocab_size, dtype=torch.bool)
        is_word[[i for name in _SPECIAL if (i := token_id(config, name)) is not None]] = False
        allowed = is_word.nonzero().flatten()
        first, last = tokens_around(config)
        picture = [*first, *[token_id(config, "image")] * self.tokens, *last]
        samples = []
        for place, count in enumerate(pictures):
            said = allowed[torch.randint(len(allowed), (words + place,), generator=draw)]
            start = token_id(config, "bos") or int(allowed[0])
            samples.append(
                Sample(
                    ids=torch.cat([torch.tensor([start, *picture * count]), said]),
                    answer=answers[place] if answers else len(said) - 1,
                    pictures=tuple(
                        torch.randn(self._picture_shape(), generator=draw) for _ in range(count)
                    ),
                )
            )
        return samples

    def losses(
        self, samples: Sequence[Sample], *, padding: Literal["left", "right"] = "right"
    ) -> torch.Tensor:
        """Return the mean token loss of each example, (N,), from one forward pass.

        An example without an answer has loss 0.
        """
        inputs, labels = self.collate(samples, padding=padding)
        logits = self.model(**inputs).logits[:, :-1]
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        tokens = cross_entropy(
            logits.transpose(1, 2), labels[:, 1:], ignore_index=IGNORED, reduction="none"
        )
        return tokens.sum(1) / (labels[:, 1:] != IGNORED).sum(1).clamp(min=1)

    def collate(
        self, samples: Sequence[Sample], *, padding: Literal["left", "right"] = "right"
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Return what the model takes, and labels (N, T), `IGNORED` where there is none."""
        width = max(len(sample.ids) for sample in samples)
        pad = token_id(self.model.config, "pad") or 0
        ids = torch.full((len(samples), width), pad)
        mask = torch.zeros_like(ids)
        labels = torch.full_like(ids, IGNORED)
        for row, sample in enumerate(samples):
            start = width - len(sample.ids) if padding == "left" else 0
            end = start + len(sample.ids)
            ids[row, start:end] = sample.ids
            mask[row, start:end] = 1
            labels[row, end - sample.answer : end] = sample.ids[len(sample.ids) - sample.answer :]
        inputs = {"input_ids": ids, "attention_mask": mask, **self._pictures(samples)}
        image = token_id(self.model.config, "image")
        is_picture = ids.eq(-1 if image is None else image)
        if self.name == "paligemma":
            inputs["token_type_ids"] = (labels != IGNORED).long()
        if self.name == "gemma3":
            inputs["token_type_ids"] = is_picture.long()
        if self.patches > 1:
            inputs["mm_token_type_ids"] = is_picture.long()
        device = self.model.device
        return {name: value.to(device) for name, value in inputs.items()}, labels.to(device)

    def rows(self, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """Return, for each part of the model, the example of each row."""
        owners = torch.arange(len(samples))
        counts = torch.tensor([len(sample.pictures) for sample in samples])
        return {
            "language": owners,
            "vision": owners.repeat_interleave(counts * self.patches),
            "connector": owners.repeat_interleave(counts * self.merged),
        }

    def _picture_shape(self) -> tuple[int, ...]:
        if self.patches == 1:
            return (3, self.side, self.side)
        vision = self.model.config.vision_config
        return (self.patches, 3 * vision.temporal_patch_size * vision.patch_size**2)

    def _pictures(self, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """Return all pictures of a batch in the form that the family takes."""
        floats = (p.dtype for p in self.model.parameters() if p.dtype.is_floating_point)
        dtype = next(floats)
        found = [picture.to(dtype) for sample in samples for picture in sample.pictures]
        if not found:
            return {}
        if self.patches > 1:
            side = int(self.patches**0.5)
            grid = torch.tensor([[1, side, side]] * len(found))
            return {"pixel_values": torch.cat(found), "image_grid_thw": grid}
        if self.name not in ("smolvlm", "idefics3"):
            return {"pixel_values": torch.stack(found)}
        most = max(len(sample.pictures) for sample in samples)
        pixels = torch.zeros(len(samples), most, 3, self.side, self.side, dtype=dtype)
        real = torch.zeros(len(samples), most, self.side, self.side, dtype=torch.bool)
        for row, sample in enumerate(samples):
            for place, picture in enumerate(sample.pictures):
                pixels[row, place] = picture
                real[row, place] = True
        return {"pixel_values": pixels, "pixel_attention_mask": real}


def family_of(model: Any) -> Family:
    """Return how examples of a Hugging Face model become batches, read from its configuration.

    Args:
        model: Of one of `FAMILIES`, or a causal language model.

    Raises:
        ValueError: if it reads pictures in a form that is not known here.
    """
    config = model.config
    name = config.model_type
    if name in ("qwen2_vl", "qwen2_5_vl"):
        merge = config.vision_config.spatial_merge_size
        patches = (2 * merge) ** 2
        return Family(name=name, model=model, tokens=4, patches=patches, merged=4)
    if name in FAMILIES:
        side = config.vision_config.image_size
        return Family(name=name, model=model, tokens=visual_tokens(config), side=side)
    if hasattr(config, "vision_config") or hasattr(config, "audio_config"):
        raise ValueError(
            f"Expected one of the families {', '.join(FAMILIES)} or a language model, got "
            f"'{name}', whose batches are not known here. Call check_exactness() and "
            "fuzz_sensitivity() of discreet.privacy with a loss_of of your own."
        )
    return Family(name=name, model=model, tokens=0)


def load_family(base: str, *, cache_dir: Path | None = None) -> Family:
    """Return a model with how its examples become batches, in float32, frozen, from local files.

    Args:
        base: `small`, `tiny`, or a folder with a safetensors checkpoint of any family or of a
            causal language model. No code in it is run.
        cache_dir: Folder for the converted `small`; the user's cache folder by default.

    Raises:
        ArtifactCorrupt: if weights are damaged or missing.
        DataError: if there is no checkpoint, or transformers does not know its type.
        UnsafeFile: if the folder holds pickled weights, or no others.
        ValueError: if it reads pictures in a form that is not known here.
    """
    if base in EMBEDDED:
        return family_of(load(base, cache_dir=cache_dir).model)
    folder = Path(base)
    return family_of(read_model(folder, read_config(folder)).eval().requires_grad_(False))


def build_family(name: FamilyName, *, seed: int = 0) -> Family:
    """Return the tiny model of a family; the same for one seed."""
    if name not in FAMILIES:
        raise ValueError(f"Expected a family among {', '.join(FAMILIES)}, got {name!r}.")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return family_of(_BUILD[name](name))


_TEXT: dict[str, Any] = {
    "vocab_size": _VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "pad_token_id": _PAD,
    "bos_token_id": _BOS,
    "eos_token_id": _EOS,
}
_TOWER: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


def _llava(name: FamilyName) -> Any:
    config = hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(
            **{**_TOWER, "num_hidden_layers": 3}, image_size=28, patch_size=14, projection_dim=32
        ),
        text_config=hf.LlamaConfig(**_TEXT, num_key_value_heads=2),
        image_token_index=_IMAGE,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_seq_length=_TOKENS,
    )
    return hf.LlavaForConditionalGeneration(config)


def _idefics(name: FamilyName) -> Any:
    kind = "SmolVLM" if name == "smolvlm" else "Idefics3"
    vision = getattr(hf, f"{kind}VisionConfig")(**_TOWER, image_size=32, patch_size=8)
    config = getattr(hf, f"{kind}Config")(
        vision_config=vision,
        text_config=hf.LlamaConfig(**_TEXT, num_key_value_heads=2),
        image_token_id=_IMAGE,
        scale_factor=2,
        pad_token_id=_PAD,
        tie_word_embeddings=False,
    )
    return getattr(hf, f"{kind}ForConditionalGeneration")(config)


def _paligemma(name: FamilyName) -> Any:
    config = hf.PaliGemmaConfig(
        vision_config=hf.SiglipVisionConfig(
            **_TOWER, image_size=28, patch_size=14, projection_dim=32, vision_use_head=False
        ),
        text_config=hf.GemmaConfig(**_TEXT, num_key_value_heads=1, head_dim=8),
        image_token_index=_IMAGE,
        projection_dim=32,
        hidden_size=32,
    )
    return hf.PaliGemmaForConditionalGeneration(config)


def _gemma3(name: FamilyName) -> Any:
    config = hf.Gemma3Config(
        vision_config=hf.SiglipVisionConfig(
            **_TOWER, image_size=28, patch_size=14, vision_use_head=False
        ),
        text_config=hf.Gemma3TextConfig(
            **_TEXT, num_key_value_heads=1, head_dim=8, sliding_window=16
        ),
        mm_tokens_per_image=_TOKENS,
        image_token_index=_IMAGE,
        boi_token_index=_START,
        eoi_token_index=_END,
    )
    model = hf.Gemma3ForConditionalGeneration(config)
    # It starts at zero, and no picture would change anything.
    nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.2)
    return model


def _qwen(name: FamilyName) -> Any:
    kind = "Qwen2VL" if name == "qwen2_vl" else "Qwen2_5_VL"
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
    vision: dict[str, Any] = {
        "depth": 2,
        "hidden_size": 32,
        "num_heads": 4,
        "patch_size": 4,
        "spatial_merge_size": 2,
        "temporal_patch_size": 1,
        "in_channels": 3,
    }
    if name == "qwen2_vl":
        vision |= {"embed_dim": 32, "mlp_ratio": 2}
    else:
        vision |= {
            "out_hidden_size": 32,
            "intermediate_size": 64,
            "window_size": 16,
            "fullatt_block_indexes": [1],
        }
    config = getattr(hf, f"{kind}Config")(
        text_config={**_TEXT, "num_key_value_heads": 2, "rope_parameters": rope},
        vision_config=vision,
        image_token_id=_IMAGE,
        video_token_id=_VIDEO,
        vision_start_token_id=_START,
        vision_end_token_id=_END,
    )
    return getattr(hf, f"{kind}ForConditionalGeneration")(config)


_BUILD: dict[FamilyName, Callable[[FamilyName], Any]] = {
    "llava": _llava,
    "smolvlm": _idefics,
    "idefics3": _idefics,
    "paligemma": _paligemma,
    "qwen2_vl": _qwen,
    "qwen2_5_vl": _qwen,
    "gemma3": _gemma3,
}
