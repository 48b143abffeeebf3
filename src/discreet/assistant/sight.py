"""What one turn makes of a picture; with it in hand, the picture is needed no more.

What a perceiver says passes the gate later, each time that it is used. It is kept for its turn and
no longer (`conversation`). Nothing here writes to a disk.

    >>> from PIL.Image import new
    >>> only_pixels(new("RGBA", (4, 4))).mode
    'RGB'
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import torch
from PIL import Image as PillowImage
from PIL import ImageOps
from PIL.Image import Image

from discreet.assistant.policy import PICTURE, Policy, Purpose
from discreet.assistant.turn import Turn
from discreet.types import Faces, Mode, Observation, Percept

NOT_FOR_MINORS = "pictures of minors are not looked at"
NOT_CONSENTED = "nobody consented to the responder seeing the picture"
NOT_FOR_DANGER = "danger to life is answered without it"
NOT_FOR_REFUSAL = "what is never given needs no picture"
NOT_ESTIMATED = "nobody consented to anything being estimated from it"
NOT_ALLOWED = "nothing may be estimated for this purpose"
NOT_KEPT = "what was seen was for one answer"
NOT_NEEDED = "what it would be looked at for was said"
NOT_PERSONAL = "personalisation is off"
NO_EYES = "nobody here looks at pictures"
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


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with what is left of its picture; a turn can be tried again with it."""

    place: int
    """Of its exchange."""
    question: str = field(repr=False)
    sight: Sight = field(repr=False)

    def unseen(self) -> "Asked":
        """Return the same question, of which nothing was kept of what was seen."""
        return replace(self, sight=unused(self.sight, NOT_KEPT))


def only_pixels(image: Image) -> Image:
    """Return an upright RGB copy of a picture: no EXIF, no other metadata, no file behind it."""
    upright = ImageOps.exif_transpose(image).convert("RGB")
    return PillowImage.frombytes("RGB", upright.size, upright.tobytes())


def wanted_of(turn: Turn, purpose: Purpose) -> list[str]:
    """Return what is worth looking for: allowed, consented to and not declared; of no minor."""
    return [
        name for name in _agreed(turn, purpose) if not (name in turn.declared or turn.is_of_minor)
    ]


def mode_agreed(turn: Turn, policy: Policy, agreed: Collection[str]) -> Mode:
    """Return `native` where the responder seeing the picture is all that the person agreed to.

    What is estimated can be explained and put right, so that it goes first; and whoever put an
    estimate aside gets no more seen instead of it.

    Args:
        turn: With its picture.
        policy: Of the turn's purpose.
        agreed: All consents, for whatever purpose; empty if something was rejected.
    """
    if turn.image is None or not policy.may_show_picture(turn.purpose):
        return "gated"
    only = {name.partition("/")[2] for name in agreed} == {PICTURE}
    picture = policy.purpose_of(turn.purpose).consent_to(PICTURE)
    return "native" if only and picture in turn.consented else "gated"


def why_unseen(turn: Turn, purpose: Purpose, mode: Mode, *, can_look: bool) -> str | None:
    """Return why nobody looks at a picture, or None if somebody does, or if there is none.

    Args:
        turn: With its picture.
        purpose: What for.
        mode: In `native` mode the responder sees the picture itself.
        can_look: Whether there is a perceiver.
    """
    if turn.image is None:
        return None
    if turn.is_of_minor:
        return NOT_FOR_MINORS
    if mode == "native":
        return None if purpose.consent_to(PICTURE) in turn.consented else NOT_CONSENTED
    if not can_look:
        return NO_EYES
    if not _agreed(turn, purpose):
        return NOT_ESTIMATED if any(map(purpose.may_estimate, purpose.attributes)) else NOT_ALLOWED
    return None if wanted_of(turn, purpose) else NOT_NEEDED


def _agreed(turn: Turn, purpose: Purpose) -> list[str]:
    """Return what the person agreed to have estimated for a purpose."""
    return [
        name
        for name in purpose.attributes
        if purpose.may_estimate(name) and purpose.consent_to(name) in turn.consented
    ]


def unused(sight: Sight, why: str) -> Sight:
    """Return a sight of nothing, which says why, if there was a picture."""
    was_shown = sight.left_out or sight.observations or sight.mode == "native"
    return Sight(left_out=why if was_shown else None)


def why_left_out(percept: Percept | None) -> str | None:
    """Return why a picture may not be used for the person who asks, or None if it may."""
    if percept is None or percept.shows_one_face:
        return None
    return NOT_SURE if percept.faces is None else SEEN[percept.faces.value]
