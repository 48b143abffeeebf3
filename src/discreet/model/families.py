"""A tiny random member of each family of vision-language models, and batches for it.

For checks of what training does to a model's structure: how many rows its layers see for an example
with no, one or several pictures differs from family to family. Never for answers.

    >>> family = build_family("llava")
    >>> family.losses(family.draw([2, 0], seed=0)).shape
    torch.Size([2])
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
import transformers as hf
from torch.nn.functional import cross_entropy

FamilyName = Literal[
    "llava", "smolvlm", "idefics3", "paligemma", "qwen2_vl", "qwen2_5_vl", "gemma3"
]
FAMILIES: tuple[FamilyName, ...] = get_args(FamilyName)
IGNORED = -100
_PAD, _BOS, _EOS, _START, _END, _VIDEO, _IMAGE, _WORDS = 0, 1, 2, 3, 4, 5, 6, 7
_VOCABULARY = 160
_TOKENS = 4
"""Visual tokens of a picture, in every family here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One example: some pictures, then words to predict."""

    ids: torch.Tensor
    """(T,) int64; each picture is `_TOKENS` placeholders."""
    answer: int
    """Tokens at the end that carry a label."""
    pictures: tuple[torch.Tensor, ...]
    """(3, side, side) each, or (patches, width) where the family takes patches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """A tiny model, with how its examples become a batch."""

    name: FamilyName
    model: Any = field(repr=False)
    side: int
    """Side of a picture in pixels."""
    patches: int = 1
    """Rows of a picture in the vision tower: 1, or its patches where these are laid end to end."""
    merged: int = 1
    """Rows of a picture in the connector."""
    connector: str = ""
    """Pattern of the linear layers between the towers; empty where there is none."""

    def draw(self, pictures: Sequence[int], *, seed: int, words: int = 8) -> list[Sample]:
        """Return random examples with so many pictures each, of different lengths."""
        draw = torch.Generator().manual_seed(seed)
        flat = self.patches > 1
        samples = []
        for place, count in enumerate(pictures):
            said = torch.randint(_WORDS, _VOCABULARY, (words + place,), generator=draw)
            picture = [_START, *[_IMAGE] * _TOKENS, _END]
            shape = (self.patches, 3 * 4 * 4) if flat else (3, self.side, self.side)
            samples.append(
                Sample(
                    ids=torch.cat([torch.tensor([_BOS, *picture * count]), said]),
                    answer=len(said) - 1,
                    pictures=tuple(torch.randn(shape, generator=draw) for _ in range(count)),
                )
            )
        return samples

    def losses(
        self, samples: Sequence[Sample], *, padding: Literal["left", "right"] = "right"
    ) -> torch.Tensor:
        """Return the mean token loss of each example, (N,), from one forward pass."""
        width = max(len(sample.ids) for sample in samples)
        ids = torch.full((len(samples), width), _PAD)
        labels = torch.full((len(samples), width), IGNORED)
        for row, sample in enumerate(samples):
            start = width - len(sample.ids) if padding == "left" else 0
            end = start + len(sample.ids)
            ids[row, start:end] = sample.ids
            labels[row, end - sample.answer : end] = sample.ids[-sample.answer :]
        mask = (ids != _PAD).long()
        batch = {"input_ids": ids, "attention_mask": mask, **self._pictures(samples)}
        if self.name == "paligemma":
            batch["token_type_ids"] = (labels != IGNORED).long()
        if self.name == "gemma3":
            batch["token_type_ids"] = (ids == _IMAGE).long()
        if self.patches > 1:
            batch["mm_token_type_ids"] = (ids == _IMAGE).long()
        logits = self.model(**batch).logits[:, :-1]
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        tokens = cross_entropy(
            logits.transpose(1, 2), labels[:, 1:], ignore_index=IGNORED, reduction="none"
        )
        return tokens.sum(1) / (labels[:, 1:] != IGNORED).sum(1)

    def rows(self, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """Return, for each part of the model, the example of each row."""
        owners = torch.arange(len(samples))
        counts = torch.tensor([len(sample.pictures) for sample in samples])
        return {
            "language": owners,
            "vision": owners.repeat_interleave(counts * self.patches),
            "connector": owners.repeat_interleave(counts * self.merged),
        }

    def _pictures(self, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """Return all pictures of a batch in the form that the family takes."""
        dtype = next(self.model.parameters()).dtype
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


def build_family(name: FamilyName, *, seed: int = 0) -> Family:
    """Return the tiny model of a family; the same for one seed."""
    if name not in FAMILIES:
        raise ValueError(f"Expected a family among {', '.join(FAMILIES)}, got {name!r}.")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _BUILD[name](name)


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


def _llava(name: FamilyName) -> Family:
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
    return Family(
        name=name,
        model=hf.LlavaForConditionalGeneration(config),
        side=28,
        connector=r".*multi_modal_projector\.linear_[12]",
    )


def _idefics(name: FamilyName) -> Family:
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
    return Family(
        name=name,
        model=getattr(hf, f"{kind}ForConditionalGeneration")(config),
        side=32,
        connector=r".*connector\.modality_projection\.proj",
    )


def _paligemma(name: FamilyName) -> Family:
    config = hf.PaliGemmaConfig(
        vision_config=hf.SiglipVisionConfig(
            **_TOWER, image_size=28, patch_size=14, projection_dim=32, vision_use_head=False
        ),
        text_config=hf.GemmaConfig(**_TEXT, num_key_value_heads=1, head_dim=8),
        image_token_index=_IMAGE,
        projection_dim=32,
        hidden_size=32,
    )
    return Family(
        name=name,
        model=hf.PaliGemmaForConditionalGeneration(config),
        side=28,
        connector=r".*multi_modal_projector\.linear",
    )


def _gemma3(name: FamilyName) -> Family:
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
    return Family(
        name=name,
        model=hf.Gemma3ForConditionalGeneration(config),
        side=28,
    )


def _qwen(name: FamilyName) -> Family:
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
    return Family(
        name=name,
        model=getattr(hf, f"{kind}ForConditionalGeneration")(config),
        side=16,
        patches=16,
        merged=_TOKENS,
        connector=r".*visual\.merger\.mlp\.\d",
    )


_BUILD: dict[FamilyName, Callable[[FamilyName], Family]] = {
    "llava": _llava,
    "smolvlm": _idefics,
    "idefics3": _idefics,
    "paligemma": _paligemma,
    "qwen2_vl": _qwen,
    "qwen2_5_vl": _qwen,
    "gemma3": _gemma3,
}
