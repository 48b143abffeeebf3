"""Write answers, token by token: one, or those of several requests in one pass.

>>> from discreet.model.base import load
>>> asked = [{"role": "user", "content": "Why?"}], [{"role": "user", "content": "Why not?"}]
>>> requests = [Request(messages=messages, max_new_tokens=2) for messages in asked]
>>> [answer.ended for answer in answer_all(load("tiny"), requests)]
['length', 'length']
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from transformers import TextStreamer

from discreet.model.base import Vlm
from discreet.model.context import check_length
from discreet.model.decoding import BASE_ADAPTER, Decoder, Prompt
from discreet.model.losses import base_of, check_images
from discreet.model.prefix import GROWS_WITH_LENGTH
from discreet.model.prompt import encode_prompt

LOOP_TOKENS = 8
"""An answer never says so many tokens in a row twice; no shipped reference answer does either."""
GUIDANCE = 1.0
"""Usual guidance towards the person: none, for `small` is tuned to follow them.

More makes a base that is not tuned follow them more, and loses facts (docs/design.md)."""
PLAUSIBLE = 0.3
"""Guidance chooses among tokens at least so probable, next to the likeliest one (Li et al. 2022,
arXiv:2210.15097, Eq. 3): it may change the form of an answer, hardly its facts."""
Ended = Literal["end", "stop", "length", "reader"]
"""The model ended its turn, a stop text came, the answer is as long as it may be, or the reader
raised `Enough`."""


class Enough(Exception):
    """This answer ends here; raised by the function that receives it. Others go on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What one person asks of a pass."""

    messages: list[dict[str, str]] = field(repr=False)
    """As `build_prompt` makes them."""
    image_features: torch.Tensor | None = field(default=None, repr=False)
    """(I, image_tokens, hidden_size) if the prompt holds pictures, through the projector of the
    same adapter (`encode_images`)."""
    contrast: list[dict[str, str]] | None = field(default=None, repr=False)
    """The same prompt without what is to be stressed, and without a picture."""
    guidance: float = 1.0
    """1 or more; 1 leaves the contrast out."""
    adapter: str | None = None
    """Name under which it was loaded; `base` for none, None for the one in use."""
    max_new_tokens: int = 96
    """Upper bound of the answer's length, 1 or more."""
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these texts."""
    temperature: float = 0.0
    """0 takes the likeliest token; above, tokens are drawn, the flatter the higher."""
    top_p: float = 1.0
    """Drawn are the likeliest tokens that together have this chance (Holtzman et al. 2020,
    arXiv:1904.09751, Eq. 2 and 3)."""
    seed: int = field(default=0, repr=False)
    """What is drawn follows from it and this request alone."""
    on_text: Callable[[str], None] | None = field(default=None, repr=False)
    """Receives the answer word by word; may raise `Enough`."""

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing."""
        check_guidance(self.guidance)
        if not self.messages:
            raise ValueError("Expected at least one message, got none. Use build_prompt().")
        if self.max_new_tokens < 1:
            raise ValueError(f"Expected max_new_tokens >= 1, got {self.max_new_tokens}.")
        if not 0.0 <= self.temperature < math.inf:
            raise ValueError(
                f"Expected a finite temperature of 0 or more, got {self.temperature}. 0 takes the "
                "likeliest token."
            )
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"Expected 0 < top_p <= 1, got {self.top_p}. 1 leaves nothing out.")
        if not 0 <= self.seed < 2**63:
            raise ValueError("Expected a seed from 0 to 2**63 - 1, got another.")
        if not all(self.stop):
            raise ValueError("Expected stop texts, got an empty one, which would stop at once.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the model wrote."""

    text: str = field(repr=False)
    tokens: int
    """How many it took, the one that ends it included."""
    ended: Ended


@torch.no_grad()
def answer_all(vlm: Vlm, requests: Sequence[Request]) -> list[Answer]:
    """Return the answers to several requests, written in one pass, in their order.

    Each is the answer that the request has alone: other rows, their adapters and their seeds have
    no part in it. Only the last bits of its scores may differ, since a product of several rows is
    added up in another order; that shows where two tokens are as good as equally likely.

    Small models fall into loops: a token that would repeat `LOOP_TOKENS` of the answer is skipped.
    They also follow the person less in what they write than in what they find likely; guidance
    doubles the difference (at 2) that the prompt makes over the contrast. Classifier-free guidance
    for text: Sanchez et al. 2023 (arXiv:2306.17806).

    Raises:
        TooManyTokens: if a prompt and its answer are longer than the base's context.
        ValueError: if an adapter is not loaded, if placeholders and features do not match, or if
            the base's rotary embeddings follow the longest row, so that rows would not be alone.
    """
    _check_rotary(vlm, len(requests))
    drafts = [_Draft(vlm, request) for request in requests]
    if not drafts:
        return []
    prompts = [prompt for draft in drafts for prompt in draft.prompts(vlm)]
    most = max(request.max_new_tokens for request in requests)
    with Decoder(vlm, prompts, max_new_tokens=most) as decoder:
        logits, going = decoder.read(), drafts
        while True:
            places = torch.arange(len(logits)).split([draft.rows for draft in going])
            for draft, rows in zip(going, places, strict=True):
                draft.take(logits[rows])
            on = [(d, rows) for d, rows in zip(going, places, strict=True) if d.ended is None]
            if not on:
                return [draft.answer() for draft in drafts]
            if len(on) < len(going):
                decoder.keep([int(row) for _, rows in on for row in rows])
                going = [draft for draft, _ in on]
            logits = decoder.step([draft.tokens[-1] for draft in going for _ in range(draft.rows)])


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
    """Return the greedy answer to one prompt; arguments and errors are those of a `Request`."""
    request = Request(
        messages=messages,
        image_features=image_features,
        contrast=contrast,
        guidance=guidance,
        max_new_tokens=max_new_tokens,
        on_text=on_text,
    )
    return answer_all(vlm, [request])[0].text


class _Draft:
    """An answer that is being written."""

    def __init__(self, vlm: Vlm, request: Request) -> None:
        self._request = request
        self._tokenizer = vlm.tokenizer
        ends = base_of(vlm).generation_config.eos_token_id
        self._ends = set(ends) if isinstance(ends, list) else {ends}
        guided = request.contrast is not None and request.guidance > 1.0
        self.rows = 2 if guided else 1
        """Of the pass: the prompt, and the contrast."""
        self.tokens: list[int] = []
        self.ended: Ended | None = None
        self._said: dict[tuple[int, ...], list[int]] = {}
        self._draws = torch.Generator().manual_seed(request.seed)
        self._stream = None
        if request.on_text is not None or request.stop:
            self._stream = _Stream(vlm.tokenizer, request)

    def prompts(self, vlm: Vlm) -> list[Prompt]:
        """Return the rows to read, checked."""
        request = self._request
        _check_adapter(vlm, request.adapter)
        rows = [(request.messages, request.image_features)]
        if self.rows == 2 and request.contrast is not None:
            rows.append((request.contrast, None))
        prompts = []
        for messages, features in rows:
            ids = encode_prompt(vlm, messages)
            check_length(vlm, len(ids), request.max_new_tokens)
            check_images(vlm, torch.tensor(ids), features)
            prompts.append(Prompt(input_ids=ids, adapter=request.adapter, image_features=features))
        return prompts

    def take(self, logits: torch.Tensor) -> None:
        """Go on by one token, (1 or 2, V) logits of the prompt and of the contrast."""
        token = self._choose(logits)
        self.tokens.append(token)
        if len(self.tokens) >= LOOP_TOKENS:
            *before, last = self.tokens[-LOOP_TOKENS:]
            self._said.setdefault(tuple(before), []).append(last)
        try:
            if token in self._ends:
                self._end("end")
            elif self._stream is not None and not self._stream.take(token):
                self._end("stop")
            elif len(self.tokens) == self._request.max_new_tokens:
                self._end("length")
        except Enough:
            self.ended = "reader"

    def answer(self) -> Answer:
        """Return what was written."""
        assert self.ended is not None
        text = self._tokenizer.decode(self.tokens, skip_special_tokens=True)
        places = [text.find(stop) for stop in self._request.stop if stop in text]
        text = text[: min(places)] if places else text
        return Answer(text=text.strip(), tokens=len(self.tokens), ended=self.ended)

    def _end(self, why: Ended) -> None:
        self.ended = why
        if self._stream is not None:
            self._stream.end()
            if self._stream.stopped:
                self.ended = "stop"

    def _choose(self, logits: torch.Tensor) -> int:
        """Return the next token, which closes no loop."""
        banned = self._said.get(tuple(self.tokens[1 - LOOP_TOKENS :]), [])
        if banned:
            logits = logits.index_fill(1, torch.tensor(banned), -torch.inf)
        scores = logits[0] if self.rows == 1 else self._guided(*logits.log_softmax(-1))
        if self._request.temperature == 0.0:
            return int(scores.argmax())
        return self._draw(scores)

    def _guided(self, asked: torch.Tensor, contrast: torch.Tensor) -> torch.Tensor:
        """Move away from what anybody would be told, among plausible tokens, (V,)."""
        guided = contrast + self._request.guidance * (asked - contrast)
        implausible = asked < asked.max() + math.log(PLAUSIBLE)
        return guided.masked_fill(implausible, -torch.inf)

    def _draw(self, scores: torch.Tensor) -> int:
        """Return a token drawn from the nucleus, by one number of the request's own."""
        chances = (scores.double() / self._request.temperature).softmax(-1)
        ordered, tokens = chances.sort(descending=True, stable=True)
        total = ordered.cumsum(0)
        inside = int((total < self._request.top_p).sum().clamp(max=len(total) - 1))
        drawn = torch.rand((), generator=self._draws, dtype=torch.float64) * total[inside]
        return int(tokens[torch.searchsorted(total, drawn, right=True).clamp(max=inside)])


class _Stream(TextStreamer):
    """Hands finished words to a function, until a stop text comes."""

    def __init__(self, tokenizer: Any, request: Request) -> None:
        super().__init__(tokenizer, skip_special_tokens=True)
        self._on_text = request.on_text or (lambda piece: None)
        self._stop = request.stop
        self._held = ""
        self.stopped = False

    def take(self, token: int) -> bool:
        """Return whether the answer goes on after one more token."""
        self.put(torch.tensor([token]))
        return not self.stopped

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        if self.stopped:
            return
        self._held += text
        places = [self._held.find(stop) for stop in self._stop if stop in self._held]
        self.stopped = bool(places)
        end = len(self._held)
        if places:
            end = min(places)
        elif not stream_end:
            end -= max((_begun(self._held, stop) for stop in self._stop), default=0)
        piece, self._held = self._held[:end], self._held[end:]
        if piece:
            self._on_text(piece)


def _begun(text: str, stop: str) -> int:
    """Return how many characters at the end of a text may be the beginning of a stop text."""
    sizes = range(min(len(stop) - 1, len(text)), 0, -1)
    return next((size for size in sizes if text.endswith(stop[:size])), 0)


def _check_adapter(vlm: Vlm, name: str | None) -> None:
    """Refuse an adapter that is not there."""
    loaded = getattr(vlm.model, "peft_config", {})
    if name not in {None, BASE_ADAPTER, *loaded}:
        raise ValueError(
            f"Expected an adapter among {', '.join([BASE_ADAPTER, *loaded])}, got another name. "
            "Load it with load_adapter(vlm, folder, name=...)."
        )


def _check_rotary(vlm: Vlm, requests: int) -> None:
    """Refuse several requests where the length of one changes how another is read."""
    rotary = base_of(vlm).model.get_submodule(vlm.shape.language).rotary_emb
    kind = rotary.rope_type  # where layers differ in it, by the kind of layer
    kinds = set(kind.values()) if isinstance(kind, dict) else {kind}
    if requests > 1 and kinds & set(GROWS_WITH_LENGTH):
        raise ValueError(
            f"Expected rotary embeddings that depend on distances alone, got rope_type={kind}. "
            "Answer requests one by one."
        )


def check_guidance(guidance: float) -> None:
    """Refuse a strength that is no finite number from 1.

    Raises:
        ValueError: if it is one.
    """
    if not 1.0 <= guidance < math.inf:
        raise ValueError(
            f"Expected a finite guidance of 1 or more, got {guidance}. 1 turns it off."
        )
