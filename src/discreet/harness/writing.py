"""Answers of our models to a text with pictures, in batches, as any harness asks for them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL.Image import Image

from discreet.model import (
    IMAGE_TOKEN,
    Request,
    Vlm,
    answer_all,
    encode_images,
    load,
    load_adapter,
)
from discreet.registry import require_base, resolve


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One text with its pictures."""

    text: str = field(repr=False)
    images: tuple[Image, ...] = field(default=(), repr=False)
    max_new_tokens: int = 96
    stop: tuple[str, ...] = ()


def write_answers(
    vlm: Vlm,
    asked: Sequence[Asked],
    *,
    batch: int = 8,
) -> list[str]:
    """Return a greedy answer to each text; pictures come before it.

    Control words of the tokenizer in a text are taken for letters.
    """
    answers: list[str] = []
    for start in range(0, len(asked), batch):
        part = asked[start : start + batch]
        answers += [one.text for one in answer_all(vlm, [_request(vlm, one) for one in part])]
    return answers


@torch.no_grad()
def _request(vlm: Vlm, asked: Asked) -> Request:
    text = asked.text.replace(IMAGE_TOKEN, " ")
    return Request(
        messages=[{"role": "user", "content": f"{IMAGE_TOKEN}\n" * len(asked.images) + text}],
        image_features=encode_images(vlm, list(asked.images)) if asked.images else None,
        max_new_tokens=asked.max_new_tokens,
        stop=asked.stop,
    )


def load_vlm(adapter: str, base: str, *, runs: Path, cache: Path | None) -> Vlm:
    """Return a base with an adapter, or alone.

    Raises:
        IncompatibleBase: if the adapter was made for another base.
    """
    if adapter == "none":
        return load(base, cache_dir=cache)
    found = resolve(adapter, runs)
    vlm = load(found.card.base_name, cache_dir=cache)
    require_base(found.card, vlm.base_hash)
    return load_adapter(vlm, found.folder)
