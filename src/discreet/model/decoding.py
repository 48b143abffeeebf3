"""One pass of a model over several rows: read prompts, then one token for each row at a time.

Rows have prompts, adapters and pictures of their own. What several prompts of one adapter begin
with is read once. Keys and values are written into memory that was taken in advance, and rows that
are done leave it. Nothing here knows what a token means.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from discreet.model.base import Vlm
from discreet.model.losses import as_encoder_outputs, base_of
from discreet.model.shapes import told_inputs

BASE_ADAPTER = "base"
"""Name under which rows are answered without an adapter."""
_PEFT_BASE = "__base__"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A row before it is read."""

    input_ids: list[int] = field(repr=False)
    """One placeholder for each visual token."""
    adapter: str | None
    """None for the model as it is, `BASE_ADAPTER` for none."""
    image_features: torch.Tensor | None = field(default=None, repr=False)
    """(I, image_tokens, hidden_size)."""


@dataclass(slots=True)
class _Group:
    """Rows of one adapter, and the ids that all of them begin with."""

    adapter: str | None
    prefix: list[int]
    rows: list[int]


class _Room(DynamicLayer):
    """Keys and values of a layer in memory for `width` places, written in place.

    transformers' own layer copies everything at each token, which on a CPU takes longer than the
    attention itself; its static layer makes attention read places that are not written yet.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width = width
        self._room: torch.Tensor | None = None  # (2, rows, heads, width, head size)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self._room is None:
            self.lazy_initialization(key_states, value_states)
            rows, heads, _, size = key_states.shape
            self._room = key_states.new_empty((2, rows, heads, self._width, size))
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        self._room[0, :, :, start:end] = key_states
        self._room[1, :, :, start:end] = value_states
        self._show(end)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        if self._room is not None:
            end = self.get_seq_length()
            old = self._room
            self._room = old.new_empty((2, len(indices), *old.shape[2:]))
            self._room[:, :, :, :end] = old[:, indices, :, :end]
            self._show(end)

    def _show(self, end: int) -> None:
        assert self._room is not None
        self.keys, self.values = self._room[0, :, :, :end], self._room[1, :, :, :end]


class Decoder:
    """Rows that are read once and then go on, token by token."""

    def __init__(self, vlm: Vlm, prompts: Sequence[Prompt], *, max_new_tokens: int) -> None:
        self._vlm = vlm
        self._prompts = prompts
        self._max_new_tokens = max_new_tokens
        self._pad = int(vlm.tokenizer.pad_token_id)
        self._mask = torch.ones((0, 0), dtype=torch.long)
        self._ahead = torch.zeros(0, dtype=torch.long)  # (R,), of places beside tokens
        self._adapters: list[str] = []
        self._hooks = ExitStack()

    def __enter__(self) -> "Decoder":
        """Let each row meet its own adapter."""
        names = {prompt.adapter for prompt in self._prompts}
        if names - {None}:
            self._hooks.enter_context(_adapters_of_rows(self._vlm.model, self._adapters))
        return self

    def __exit__(self, *raised: object) -> None:
        """Leave the model as it was."""
        self._hooks.close()

    def read(self) -> torch.Tensor:
        """Return the logits after each prompt, (R, V)."""
        prompts = self._prompts
        groups = _groups(prompts, self._vlm.image_token_id)
        # What comes later can change what is read before where more than ids and mask is told.
        shared = len(groups) < len(prompts) and self._vlm.shape.told == "nothing"
        heads = [group.prefix for group in groups] if shared else []
        lengths = [0] * len(prompts)
        for group in groups if shared else []:
            for row in group.rows:
                lengths[row] = len(group.prefix)
        tails = [p.input_ids[length:] for p, length in zip(prompts, lengths, strict=True)]
        width = max(map(len, heads), default=0) + max(map(len, tails)) + self._max_new_tokens
        self._cache = _cache(base_of(self._vlm).config.text_config, width)
        if shared:
            self._mask = torch.ones((len(groups), 0), dtype=torch.long)
            self._forward(heads, [group.adapter for group in groups], None)
            place = {row: n for n, group in enumerate(groups) for row in group.rows}
            self._select([place[row] for row in range(len(prompts))])
        else:
            self._mask = torch.ones((len(prompts), 0), dtype=torch.long)
        seen = [p.image_features for p in prompts if p.image_features is not None]
        features = torch.cat(seen) if seen else None
        return self._forward(tails, [p.adapter for p in prompts], features)

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """Return the logits after one more token for each row, (R, V)."""
        return self._forward([[token] for token in tokens], None, None)

    def keep(self, rows: list[int]) -> None:
        """Go on with these rows, in this order."""
        self._select(rows)
        self._adapters[:] = [self._adapters[row] for row in rows]

    def _select(self, rows: list[int]) -> None:
        index = torch.tensor(rows)
        self._cache.batch_select_indices(index)
        self._mask = self._mask[index]
        self._ahead = self._ahead[index] if len(self._ahead) else self._ahead

    def _forward(
        self,
        ids: Sequence[list[int]],
        adapters: Sequence[str | None] | None,
        features: torch.Tensor | None,
    ) -> torch.Tensor:
        """Read ids, padded on the left, after what was read before."""
        width = max(map(len, ids))
        padding = [width - len(row) for row in ids]
        input_ids = torch.tensor(
            [[self._pad] * n + row for n, row in zip(padding, ids, strict=True)]
        )
        own = torch.tensor([[0] * n + [1] * (width - n) for n in padding])
        self._mask = torch.cat([self._mask, own], 1)
        told: dict[str, torch.Tensor] = {}
        if adapters is not None:
            self._adapters[:] = [self._peft_name(name) for name in adapters]
            told = told_inputs(
                self._vlm.model.config,
                input_ids,
                attention_mask=own,
                model=base_of(self._vlm),
            )
        output = self._vlm.model(
            input_ids=input_ids,
            attention_mask=self._mask,
            past_key_values=self._cache,
            mm_encoder_outputs=as_encoder_outputs(self._vlm, features) or None,
            use_cache=True,
            logits_to_keep=1,
            **{**told, "position_ids": self._places(told, width)},
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

    def _places(self, told: dict[str, torch.Tensor], width: int) -> torch.Tensor:
        """Return the places of the last `width` ids of each row: (R, width), or (3, R, width)."""
        places = (self._mask.cumsum(1) - 1).clamp(min=0)[:, -width:]
        if self._vlm.shape.told != "grid":
            return places
        if "position_ids" in told:  # a picture takes fewer places than it has tokens
            found = told["position_ids"]
            self._ahead = found.amax((0, 2)) - places[:, -1]
            return found
        return (places + self._ahead[:, None]).expand(3, -1, -1)

    def _peft_name(self, adapter: str | None) -> str:
        if adapter == BASE_ADAPTER:
            return _PEFT_BASE
        return adapter or str(getattr(self._vlm.model, "active_adapter", _PEFT_BASE))


def _cache(text_config: Any, width: int) -> DynamicCache:
    """Return an empty cache; layers that look at a window only keep their own kind."""
    cache = DynamicCache(config=text_config)
    cache.layers = [_Room(width) if type(x) is DynamicLayer else x for x in cache.layers]
    return cache


@contextmanager
def _adapters_of_rows(model: nn.Module, names: list[str]) -> Iterator[None]:
    """Give each LoRA layer the adapter of each row; `names` may change between passes.

    PEFT's own argument walks through all modules and sets these hooks at each token.
    """

    def name_rows(module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        return args, {**kwargs, "adapter_names": names}

    with ExitStack() as hooks:
        for module in model.modules():
            if isinstance(module, LoraLayer):
                handle = module.register_forward_pre_hook(name_rows, with_kwargs=True)
                hooks.callback(handle.remove)
        yield


def _groups(prompts: Sequence[Prompt], image_token_id: int) -> list[_Group]:
    """Return which rows begin alike for at least half of their length, before any picture."""
    groups: list[_Group] = []
    for row, prompt in enumerate(prompts):
        words = prompt.input_ids[:-1]  # what is read last gives the logits
        if image_token_id in words:
            words = words[: words.index(image_token_id)]
        for group in groups:
            length = _common(group.prefix, words)
            if group.adapter == prompt.adapter and 2 * length >= len(prompt.input_ids):
                group.prefix = group.prefix[:length]
                group.rows.append(row)
                break
        else:
            groups.append(_Group(adapter=prompt.adapter, prefix=words, rows=[row]))
    return groups


def _common(left: list[int], right: list[int]) -> int:
    """Return how many ids two rows begin with in common."""
    for place, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return place
    return min(len(left), len(right))


def lay_out_weights(vlm: Vlm) -> None:
    """Store the language tower's matrices by columns, in place: faster to multiply few rows with.

    Values and shapes stay; the last bits of a product may differ. For models that only answer.
    """
    base = base_of(vlm)
    for module in [*base.model.get_submodule(vlm.shape.language).modules(), base.lm_head]:
        # Layers of 4 bits inherit from Linear; weights on disk are not there.
        if (
            type(module) is nn.Linear
            and not module.weight.is_meta
            and module.weight.is_contiguous()
        ):
            module.weight.data = module.weight.data.t().contiguous().t()
