"""Write an answer, token by token."""

from collections.abc import Callable
from typing import Any

import torch
from transformers import LogitsProcessor, NoRepeatNGramLogitsProcessor, TextStreamer

from discreet.model.base import Vlm
from discreet.model.losses import as_encoder_outputs, check_images
from discreet.model.prompt import encode_prompt

LOOP_TOKENS = 8
"""An answer never says so many tokens in a row twice; no shipped reference answer does either."""


class _NoLoop(LogitsProcessor):
    """Keep the answer, and only it, from repeating itself: a note may well be quoted."""

    def __init__(self, prompt_tokens: int) -> None:
        self._prompt_tokens = prompt_tokens
        self._forbid = NoRepeatNGramLogitsProcessor(LOOP_TOKENS)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        forbidden: torch.Tensor = self._forbid(input_ids[:, self._prompt_tokens :], scores)
        return forbidden


class _Callback(TextStreamer):
    """Hand finished words to a function instead of printing them."""

    def __init__(self, tokenizer: Any, on_text: Callable[[str], None]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._on_text = on_text

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        if text:
            self._on_text(text)


@torch.no_grad()
def generate(
    vlm: Vlm,
    messages: list[dict[str, str]],
    *,
    image_features: torch.Tensor | None = None,
    max_new_tokens: int = 96,
    on_text: Callable[[str], None] | None = None,
) -> str:
    """Return the greedy answer to a prompt; `on_text` receives it word by word.

    Small models fall into loops: a token that would repeat `LOOP_TOKENS` of the answer is skipped.

    Args:
        messages: As `build_prompt` makes them.
        image_features: (1, image_tokens, hidden_size) if the prompt holds the picture.
        max_new_tokens: Upper bound of the answer's length.
        on_text: Called with each finished piece of text.

    Raises:
        ValueError: if the prompt's placeholders and the features do not match.
    """
    ids = torch.tensor([encode_prompt(vlm, messages)])
    check_images(vlm, ids, image_features)
    output = vlm.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_encoder_outputs=as_encoder_outputs(image_features) or None,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        logits_processor=[_NoLoop(ids.shape[1])],
        streamer=None if on_text is None else _Callback(vlm.tokenizer, on_text),
    )
    text: str = vlm.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
    return text.strip()
