"""Pictures to visual tokens, and answers to one loss per row.

The loss is never a mean over a batch: that would couple the rows of a batch and void a bound on
what one example can change (see docs/sharp_edges.md).
"""

from collections.abc import Sequence
from typing import Any

import torch
from PIL.Image import Image
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from transformers.modeling_outputs import BaseModelOutputWithPooling

from discreet.model.base import Vlm
from discreet.model.prompt import IGNORED, Batch
from discreet.model.shapes import picture_inputs, told_inputs

_CHUNK = 32
"""Pictures encoded at a time."""


def pixel_values(vlm: Vlm, images: Sequence[Image]) -> torch.Tensor:
    """Return (N, 3, H, W) float32, normalised as the vision tower expects.

    Families that take patches or tiles have another form (`shapes.picture_inputs`).
    """
    return picture_inputs(vlm.model.config, vlm.image_processor, images)["pixel_values"]


@torch.no_grad()
def picture_views(tower: Any, processor: Any, images: Sequence[Image]) -> torch.Tensor:
    """Return all that a vision tower sees of pictures, (N, VIEWS) float32.

    For what looks at pictures on the person's own device, and for audits. It is never handed on.
    """
    done = []
    for start in range(0, len(images), _CHUNK):
        chunk = [image.convert("RGB") for image in images[start : start + _CHUNK]]
        pixels = torch.as_tensor(processor(chunk, return_tensors="pt")["pixel_values"])
        done.append(tower.views(pixels))
    return torch.cat(done)


@torch.no_grad()
def encode_images(vlm: Vlm, images: Sequence[Image], *, adapter: str | None = None) -> torch.Tensor:
    """Return visual tokens after the projector, (N, image_tokens, hidden_size) float32.

    They are constants of the frozen base, so that they can be kept and used in every step.

    Args:
        vlm: Whose tower.
        images: Of any size and mode.
        adapter: Whose projector, by the name under which it was loaded, or `base`; None for the
            one in the model.

    Raises:
        ValueError: if no such adapter was loaded.
    """
    if adapter is not None and adapter not in vlm.projectors:
        raise ValueError(
            f"Expected an adapter among {', '.join(vlm.projectors) or 'none'}, got another name. "
            "Load it with load_adapter(vlm, folder, name=...)."
        )
    state = {} if adapter is None else vlm.projectors[adapter]
    look = _Look(base_of(vlm))
    done = []
    for start in range(0, len(images), _CHUNK):
        some = images[start : start + _CHUNK]
        given = picture_inputs(vlm.model.config, vlm.image_processor, some)
        done.append(functional_call(look, _in_place(vlm, state), kwargs=given))
    found = torch.cat(done)
    if found.shape[1] != vlm.image_tokens:
        raise ValueError(
            f"Expected {vlm.image_tokens} visual tokens for a picture, as the configuration says, "
            f"got {found.shape[1]}. Copy config.json and the image processor of one model."
        )
    return found


class _Look(nn.Module):
    """A base's way from pixels to visual tokens, which can be called with other tensors."""

    def __init__(self, base: Any) -> None:
        super().__init__()
        self.base = base

    def forward(self, **given: torch.Tensor) -> torch.Tensor:
        output = self.base.get_image_features(**given, return_dict=True)
        return torch.stack(list(output.pooler_output)).float()


def _in_place(vlm: Vlm, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a projector's tensors by where `_Look` has them."""
    place = f"base.model.{vlm.shape.projector}."
    return {place + name.removeprefix("projector."): value for name, value in state.items()}


def answer_losses(vlm: Vlm, batch: Batch, image_features: torch.Tensor | None) -> torch.Tensor:
    """Return each row's mean loss over its own answer tokens, (R,) float32, differentiable.

    Args:
        batch: Rows as `collate` made them.
        image_features: (I, image_tokens, hidden_size), in the order of the rows and of the places
            in them; None if no row holds a picture. A row may hold several.

    Raises:
        ValueError: if placeholders and features do not match in number.
    """
    counts = (batch.labels != IGNORED).sum(1).clamp(min=1)
    return -answer_log_probs(vlm, batch, image_features) / counts


def answer_log_probs(vlm: Vlm, batch: Batch, image_features: torch.Tensor | None) -> torch.Tensor:
    """Return the log-probability of each row's answer, (R,) float32, differentiable.

    It is the sum over the answer's tokens, that which ends it included; 0 without an answer.
    Arguments and errors are those of `answer_losses`.
    """
    logits, labels = answer_logits(vlm, batch, image_features)
    # Laid end to end: along a stride, so wide a softmax is off by 1e-4 and takes twice as long.
    tokens = cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return -tokens.view_as(labels).sum(1)


def answer_logits(
    vlm: Vlm, batch: Batch, image_features: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits (R, A, V) float32 and labels (R, A) of the last A places of each row.

    A is `answer_width`: all that is labelled lies there, with what stands between several answers.

    Arguments and errors are those of `answer_losses`.
    """
    check_images(vlm, batch.input_ids, image_features)
    width = answer_width(batch.labels)
    told = told_inputs(
        vlm.model.config,
        batch.input_ids,
        attention_mask=batch.attention_mask,
        is_answer=batch.labels != IGNORED,
        model=base_of(vlm),
    )
    output = vlm.model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        mm_encoder_outputs=as_encoder_outputs(vlm, image_features),
        logits_to_keep=width + 1,
        use_cache=False,
        **told,
    )
    logits = output.logits[:, :-1].float()  # (R, A, V); token t is predicted at t - 1
    return logits, batch.labels[:, -width:]


def check_images(vlm: Vlm, input_ids: torch.Tensor, features: torch.Tensor | None) -> None:
    """Refuse a batch whose placeholders are not exactly filled by the features."""
    slots = int((input_ids == vlm.image_token_id).sum())
    given = 0 if features is None else features.shape[0] * features.shape[1]
    if slots != given:
        raise ValueError(
            f"Expected as many visual tokens as placeholders, got {given} for {slots}. Truncation "
            "may have cut a picture, or a text holds the placeholder."
        )


def as_encoder_outputs(
    vlm: Vlm, features: torch.Tensor | None
) -> dict[str, BaseModelOutputWithPooling]:
    """Return visual tokens in the form in which the base takes them instead of pixels."""
    if features is None:
        return {}
    given = features if vlm.shape.is_stacked else list(features)
    return {"image": BaseModelOutputWithPooling(pooler_output=given)}


def base_of(vlm: Vlm) -> Any:
    """Return the Hugging Face model below an adapter, or the model itself."""
    inner = vlm.model
    get_base = getattr(inner, "get_base_model", None)
    return inner if get_base is None else get_base()


def answer_width(labels: torch.Tensor) -> int:
    """Return how many places there are from the first label of any row to the end, at least 1.

    Rows end together. Of rows with one answer it is the length of the longest; where there are
    several, what was said between them lies inside.
    """
    labelled = (labels != IGNORED).any(0).nonzero()
    return labels.shape[1] - int(labelled[0]) if len(labelled) else 1
