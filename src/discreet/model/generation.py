"""Write an answer, token by token."""

import math
from collections.abc import Callable
from typing import Any

import torch
from transformers import LogitsProcessor, NoRepeatNGramLogitsProcessor, TextStreamer

from discreet.model.base import Vlm
from discreet.model.losses import as_encoder_outputs, check_images
from discreet.model.prompt import Row, collate

LOOP_TOKENS = 8
"""An answer never says so many tokens in a row twice; no shipped reference answer does either."""
GUIDANCE = 1.5
"""Usual guidance towards the person; more changes the form more, and loses more facts
(`discreet bench follow --guidance`, docs/design.md)."""
PLAUSIBLE = 0.3
"""Guidance chooses among tokens at least so probable, next to the likeliest one (Li et al. 2022,
arXiv:2210.15097, Eq. 3): it may change the form of an answer, hardly its facts."""


class _NoLoop(LogitsProcessor):
    """Keep the answer, and only it, from repeating itself: a note may well be quoted."""

    def __init__(self, prompt_tokens: int) -> None:
        self._prompt_tokens = prompt_tokens
        self._forbid = NoRepeatNGramLogitsProcessor(LOOP_TOKENS)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        forbidden: torch.Tensor = self._forbid(input_ids[:, self._prompt_tokens :], scores)
        return forbidden


class _Guide(LogitsProcessor):
    """Move away from what anybody would be told: row 0 is the prompt, row 1 the contrast.

    Classifier-free guidance for text (Sanchez et al. 2023, arXiv:2306.17806). Both rows get the
    same scores, so that both go on with the same token. A token that is forbidden already (minus
    infinity in both rows) is implausible too.
    """

    def __init__(self, guidance: float) -> None:
        self._guidance = guidance

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        asked, contrast = scores.log_softmax(-1)
        guided: torch.Tensor = contrast + self._guidance * (asked - contrast)
        implausible = asked < asked.max() + math.log(PLAUSIBLE)
        return guided.masked_fill(implausible, -torch.inf).expand_as(scores)


class _Callback(TextStreamer):
    """Hand finished words to a function instead of printing them."""

    def __init__(self, tokenizer: Any, on_text: Callable[[str], None]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._on_text = on_text

    def put(self, value: torch.Tensor) -> None:
        super().put(value[:1])

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        if text:
            self._on_text(text)


@torch.no_grad()
def generate(
    vlm: Vlm,
    messages: list[dict[str, str]],
    *,
    image_features: torch.Tensor | None = None,
    contrast: list[dict[str, str]] | None = None,
    guidance: float = 1.0,
    max_new_tokens: int = 96,
    on_text: Callable[[str], None] | None = None,
) -> str:
    """Return the greedy answer to a prompt; `on_text` receives it word by word.

    Small models fall into loops: a token that would repeat `LOOP_TOKENS` of the answer is skipped.
    They also follow the person less in what they write than in what they find likely; guidance
    doubles the difference (at 2) that the prompt makes over the contrast.

    Args:
        messages: As `build_prompt` makes them.
        image_features: (1, image_tokens, hidden_size) if the prompt holds the picture.
        contrast: The same prompt without what is to be stressed, and without a picture.
        guidance: 1 or more; 1 leaves the contrast out.
        max_new_tokens: Upper bound of the answer's length.
        on_text: Called with each finished piece of text.

    Raises:
        ValueError: if the prompt's placeholders and the features do not match, or guidance is not
            a finite number from 1.
    """
    check_guidance(guidance)
    prompts = [messages] if contrast is None or guidance == 1.0 else [messages, contrast]
    batch = collate(vlm, [Row(messages=prompt, answer="") for prompt in prompts])
    check_images(vlm, batch.input_ids, image_features)
    asked = batch.input_ids.shape[1]
    output = vlm.model.generate(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        mm_encoder_outputs=as_encoder_outputs(image_features) or None,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        logits_processor=[_NoLoop(asked), *([_Guide(guidance)] if len(prompts) > 1 else [])],
        streamer=None if on_text is None else _Callback(vlm.tokenizer, on_text),
    )
    text: str = vlm.tokenizer.decode(output[0, asked:], skip_special_tokens=True)
    return text.strip()


def check_guidance(guidance: float) -> None:
    """Refuse a strength that is no finite number from 1.

    Raises:
        ValueError: if it is one.
    """
    if not 1.0 <= guidance < math.inf:
        raise ValueError(
            f"Expected a finite guidance of 1 or more, got {guidance}. 1 turns it off."
        )
