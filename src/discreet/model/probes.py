"""Words and pictures with which a base is checked: made up here, the same every time.

>>> noise(0).size
(60, 40)
"""

import numpy as np
import torch
from PIL import Image

from discreet.model.base import Vlm
from discreet.model.losses import encode_images
from discreet.model.prompt import Row, build_prompt
from discreet.model.small import IMAGE_TOKEN

QUESTION = "Why should I rest?"
NOTE = "Rest heals."


def noise(seed: int) -> Image.Image:
    """Return a picture of random pixels, wider than high."""
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def probe_rows(*, pictures: bool = True) -> list[Row]:
    """Return rows of different lengths; the first and the third hold a picture, if any does."""
    person = IMAGE_TOKEN if pictures else "an adult"
    asked = [
        (QUESTION, person, "Because it heals."),
        ("Why?", "a child", "So."),
        ("How long should I rest after a long day?", person, "For seven hours or more."),
    ]
    return [
        Row(messages=build_prompt(question, note=NOTE, person=who), answer=answer)
        for question, who, answer in asked
    ]


def probe_features(vlm: Vlm) -> torch.Tensor:
    """Return the visual tokens that `probe_rows` need, (2, image_tokens, hidden_size)."""
    return encode_images(vlm, [noise(0), noise(1)])
