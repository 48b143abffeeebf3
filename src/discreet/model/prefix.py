"""The frozen lower layers of a language tower, computed once for each row and kept in memory.

Where only upper layers are adapted, what enters the lowest of them never changes. Kept for each row
without its padding, it lets later epochs start there. Nothing is written to disk; what is kept is
as private as the rows that it was computed from.

    >>> from discreet.model.base import load
    >>> from discreet.model.lora import LoraSpec, attach_lora
    >>> from discreet.model.prompt import Row, build_prompt, collate
    >>> vlm = attach_lora(load("tiny"), LoraSpec(layers=1))
    >>> prefix = FrozenPrefix(vlm, limit_bytes=1_000_000)
    >>> row = Row(messages=build_prompt("Why?", note="Rest.", person="a child"), answer="So.")
    >>> first = prefix.answer_losses(collate(vlm, [row]), None, keys=["a row"])
    >>> again = prefix.answer_losses(collate(vlm, [row]), None, keys=["a row"])
    >>> prefix.start, prefix.size_bytes > 0, bool((first - again).abs().max() < 1e-6)
    (1, True, True)
"""

import copy
from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy, pad

from discreet.model.base import Vlm
from discreet.model.losses import answer_width, as_encoder_outputs, base_of, check_images
from discreet.model.prompt import IGNORED, Batch

GROWS_WITH_LENGTH = ("dynamic", "longrope")
"""Rotary embeddings whose angles depend on the length of a row, padding included."""


class FrozenPrefix:
    """Losses of `answer_losses`, started where the first layer that learns begins.

    Neither the model nor its layers are changed: two shallow copies of it share every layer and
    pass over those of the other. Whoever puts hooks or gradients of examples on the layers finds
    them in use.
    """

    def __init__(
        self, vlm: Vlm, *, limit_bytes: int = 2**30, dtype: torch.dtype = torch.float32
    ) -> None:
        """Find the lowest layer that learns, and try that starting there changes nothing.

        Args:
            vlm: With an adapter on upper language layers only.
            limit_bytes: Of what is kept; rows beyond it are computed anew each time.
            dtype: Of what is kept. float16 and bfloat16 halve the memory and round the states.

        Raises:
            ValueError: if something below the adapted layers learns, or the decoder is of a kind
                that cannot be started in the middle, by name.
        """
        base = base_of(vlm)
        _check_told(vlm)
        self._vlm = vlm
        self._decoder: Any = base.model.get_submodule(vlm.shape.language)
        self._head: nn.Module = base.lm_head
        _check_kind(self._decoder)
        self.start = self._lowest()
        """Index of the first layer that is computed each time."""
        self.size_bytes = 0
        """Memory that is taken by what is kept."""
        self._limit_bytes = limit_bytes
        self._dtype = dtype
        self._kept: dict[Hashable, torch.Tensor] = {}
        layers = list(self._decoder.layers)
        skipped = [_Pass() for _ in layers]
        below = _with(self._decoder, layers=[*layers[: self.start], *skipped[self.start :]])
        below._modules["norm"] = nn.Identity()
        self._window = _Window(layers[-1].mlp)
        upper = [*layers[self.start : -1], _with(layers[-1], mlp=self._window)]
        above = _with(self._decoder, layers=[*skipped[: self.start], *upper])
        self._below = _with(base.model, **{vlm.shape.language: below})
        self._above = _with(base.model, **{vlm.shape.language: above})
        self._frozen = list(below.parameters())
        self._version = self._count_changes()
        self._try()

    def answer_losses(
        self, batch: Batch, image_features: torch.Tensor | None, *, keys: Sequence[Hashable]
    ) -> torch.Tensor:
        """Return each row's mean loss over its own answer tokens, (R,) float32, differentiable.

        Args:
            batch: Rows as `collate` made them.
            image_features: (I, image_tokens, hidden_size), in the order of the rows and of the
                places in them; None if no row holds a picture.
            keys: One for each row; the same key always comes with the same row and picture.

        Raises:
            ValueError: if keys or features do not match the rows.
            RuntimeError: if frozen weights were changed since this cache was made.
        """
        counts = (batch.labels[:, 1:] != IGNORED).sum(1).clamp(min=1)
        return -self.answer_log_probs(batch, image_features, keys=keys) / counts

    def answer_log_probs(
        self, batch: Batch, image_features: torch.Tensor | None, *, keys: Sequence[Hashable]
    ) -> torch.Tensor:
        """Return the log-probability of each row's answer, (R,) float32, differentiable.

        Arguments and errors are those of `answer_losses`.
        """
        check_images(self._vlm, batch.input_ids, image_features)
        if len(keys) != len(batch.input_ids):
            raise ValueError(f"Expected {len(batch.input_ids)} keys, one a row, got {len(keys)}.")
        states = self._states(batch, image_features, keys)
        self._window.width = 1 + answer_width(batch.labels)
        hidden = self._above(
            inputs_embeds=states, attention_mask=batch.attention_mask, use_cache=False
        ).last_hidden_state
        labels = batch.labels[:, 1:]  # token t is predicted at t - 1
        row, place = (labels != IGNORED).nonzero(as_tuple=True)
        logits = self._head(hidden[row, place]).float()  # (answer tokens, V)
        tokens = cross_entropy(logits, labels[row, place], reduction="none")
        return -tokens.new_zeros(len(labels)).index_add(0, row, tokens)

    def forget(self) -> None:
        """Drop everything that is kept."""
        self._kept.clear()
        self.size_bytes = 0

    @torch.no_grad()
    def _states(
        self, batch: Batch, image_features: torch.Tensor | None, keys: Sequence[Hashable]
    ) -> torch.Tensor:
        """Return what enters layer `start`, (R, T, hidden_size), padded on the left with zeros."""
        if self._count_changes() != self._version:
            raise RuntimeError(
                "Expected the layers below the adapter as they were when this cache was made, got "
                "changed ones. Make a new cache."
            )
        lengths = batch.attention_mask.sum(1).tolist()
        found = [self._kept.get(key) for key in keys]
        missing = [row for row, state in enumerate(found) if state is None]
        if missing:
            fresh = self._compute(batch, image_features, missing)
            for row, state in zip(missing, fresh, strict=True):
                # What is kept and what is not are rounded alike: a loss does not depend on which.
                found[row] = own = state[-lengths[row] :].to(self._dtype, copy=True)
                self._keep(keys[row], own)
        states = [state for state in found if state is not None]
        if [len(state) for state in states] != lengths:
            raise ValueError("Expected a key to come with the same row each time, got another row.")
        width, dtype = batch.input_ids.shape[1], next(self._above.parameters()).dtype
        return torch.stack([pad(s.to(dtype), (0, 0, width - len(s), 0)) for s in states])

    def _compute(
        self, batch: Batch, image_features: torch.Tensor | None, rows: list[int]
    ) -> torch.Tensor:
        """Return what enters layer `start` for some rows of a batch, padded as they are."""
        frozen = self._decoder.layers[: self.start]
        if any(module.training for layer in frozen for module in layer.modules()):
            raise RuntimeError("Expected frozen layers in evaluation mode. Call eval() on them.")
        ids = batch.input_ids
        own = None
        if image_features is not None:
            pictures = (ids == self._vlm.image_token_id).sum(1) // image_features.shape[1]
            wanted = torch.zeros_like(pictures, dtype=torch.bool)
            wanted[rows] = True
            own = image_features[wanted.repeat_interleave(pictures)]
        states: torch.Tensor = self._below(
            input_ids=ids[rows],
            attention_mask=batch.attention_mask[rows],
            mm_encoder_outputs=as_encoder_outputs(
                self._vlm, own if own is not None and len(own) else None
            ),
            use_cache=False,
        ).last_hidden_state
        return states

    def _keep(self, key: Hashable, state: torch.Tensor) -> None:
        """Keep a state if there is room."""
        if self.size_bytes + state.nbytes <= self._limit_bytes:
            self._kept[key] = state
            self.size_bytes += state.nbytes

    def _lowest(self) -> int:
        """Return the lowest layer that learns; refuse what learns elsewhere."""
        upper = [
            place
            for place, layer in enumerate(self._decoder.layers)
            if any(p.requires_grad for p in layer.parameters())
        ]
        inside = {id(p) for p in self._decoder.layers.parameters()}
        inside.update(map(id, self._decoder.norm.parameters()))
        outside = [
            name
            for name, p in base_of(self._vlm).named_parameters()
            if p.requires_grad and id(p) not in inside
        ]
        if not upper or outside:
            got = f"{outside[0]} too" if outside else "none"
            raise ValueError(
                f"Expected layers of the language tower to learn, and nothing else, got {got}. "
                "Train without a cache."
            )
        return upper[0]

    def _count_changes(self) -> int:
        """Return how often frozen weights were written to; -1 if one of them learns."""
        if any(p.requires_grad for p in self._frozen):
            return -1
        return sum(p._version for p in self._frozen)

    @torch.no_grad()
    def _try(self) -> None:
        """Refuse a decoder that says something else when it is started in the middle."""
        length, more = 6, 5
        name = type(self._decoder).__name__
        ids = torch.arange(length, device=self._frozen[0].device)[None] + 1
        mask = torch.ones_like(ids)
        wide = {"attention_mask": pad(mask, (more, 0)), "use_cache": False}
        whole = base_of(self._vlm).model(input_ids=pad(ids, (more, 0)), **wide).last_hidden_state
        states = self._below(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        self._window.width = length + more
        parts = self._above(inputs_embeds=pad(states, (0, 0, more, 0)), **wide).last_hidden_state
        error = (parts - whole)[:, more:].float().norm() / whole[:, more:].float().norm()
        if not float(error) <= 10 * torch.finfo(whole.dtype).eps ** 0.5:
            raise ValueError(
                f"Expected a decoder that can be started at layer {self.start}, got {name}, which "
                f"then differs by {float(error):.1e}. Train without a cache."
            )


def _check_told(vlm: Vlm) -> None:
    """Refuse a base that has to be told more than ids and mask."""
    if vlm.shape.told != "nothing":
        raise ValueError(
            "Expected a base that reads ids and mask alone, got one of the family "
            f"'{vlm.model.config.model_type}'. Train without a cache."
        )


def _check_kind(decoder: Any) -> None:
    """Refuse a decoder that is not built as this file needs, by name."""
    name = type(decoder).__name__
    layers = getattr(decoder, "layers", None)
    has_norm = isinstance(getattr(decoder, "norm", None), nn.Module)
    if not (isinstance(layers, nn.ModuleList) and has_norm and hasattr(layers[-1], "mlp")):
        raise ValueError(
            f"Expected a decoder of `layers` with an `mlp`, and a `norm`, got {name}. Train "
            "without a cache."
        )
    rope_type = getattr(getattr(decoder, "rotary_emb", None), "rope_type", None)
    if rope_type is None or rope_type in GROWS_WITH_LENGTH:
        raise ValueError(
            f"Expected rotary embeddings that depend on distances alone, got rope_type={rope_type} "
            f"in {name}. Train without a cache."
        )


class _Window(nn.Module):
    """The last layer's MLP, on the last places of each row only: no later place reads the others.

    Rows stay rows, so that gradients of examples can be told apart in it too.
    """

    def __init__(self, mlp: nn.Module) -> None:
        super().__init__()
        self.mlp = mlp
        self.width = 1

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        ends: torch.Tensor = self.mlp(hidden_states[:, -self.width :])
        return pad(ends, (0, 0, hidden_states.shape[1] - self.width, 0))


class _Pass(nn.Module):
    """A layer that hands on what it is given."""

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return hidden_states


def _with(module: Any, **parts: Any) -> Any:
    """Return a shallow copy of a module with some parts replaced; all others are shared."""
    twin = copy.copy(module)
    twin.__dict__["_modules"] = dict(module._modules)
    for name, part in parts.items():
        twin._modules[name] = nn.ModuleList(part) if isinstance(part, list) else part
    return twin
