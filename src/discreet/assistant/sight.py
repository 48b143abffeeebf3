"""What one turn makes of a picture; with it in hand, the picture is needed no more.

What a perceiver says passes the gate later, each time that it is used. It is kept for its turn and
no longer (`conversation`). Nothing here writes to a disk.

    >>> from PIL.Image import new
    >>> only_pixels(new("RGBA", (4, 4))).mode
    'RGB'
"""

from dataclasses import dataclass, field

import torch
from PIL import Image as PillowImage
from PIL import ImageOps
from PIL.Image import Image

from discreet.types import Faces, Mode, Observation, Percept

NOT_FOR_MINORS = "pictures of minors are not handed to the responder"
NOT_CONSENTED = "nobody consented to the responder seeing the picture"
NOT_FOR_DANGER = "danger to life is answered without it"
NOT_FOR_REFUSAL = "what is never given needs no picture"
NOT_SURE = "it is not sure that exactly one face is seen"
SEEN: dict[Faces, str] = {
    "none": "no face is seen, and not exactly one",
    "two": "two faces are seen, and not exactly one",
    "three_or_more": "three or more faces are seen, and not exactly one",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """What is left of a picture."""

    mode: Mode = "gated"
    observations: tuple[Observation, ...] = ()
    """Of the one person seen, before the gate."""
    left_out: str | None = None
    """Why the picture was not used; None if it was, or if there was none to use."""
    features: torch.Tensor | None = field(default=None, repr=False)
    """(1, image_tokens, hidden_size), what the responder sees in `native` mode."""
    seconds: float = 0.0


def only_pixels(image: Image) -> Image:
    """Return an upright RGB copy of a picture: no EXIF, no other metadata, no file behind it."""
    upright = ImageOps.exif_transpose(image).convert("RGB")
    return PillowImage.frombytes("RGB", upright.size, upright.tobytes())


def why_left_out(percept: Percept | None) -> str | None:
    """Return why a picture may not be used for the person who asks, or None if it may."""
    if percept is None or percept.shows_one_face:
        return None
    return NOT_SURE if percept.faces is None else SEEN[percept.faces.value]
