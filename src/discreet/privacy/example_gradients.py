"""Gradients of single examples from one backward pass, for the layers that learn.

A LoRA layer adds `scale * B A x` to a frozen output. Its summed gradient is one product over all
rows; taken example by example, the same product costs the same, and it is emitted in its place. So
the frozen base costs nothing more, nothing is computed twice, and nobody has to guess which
dimension holds the examples: each layer is told, for every row that it sees, which example the row
belongs to. A row is whatever stands in the first dimension: a text, a picture, a tile, a patch.

Exact for LoRA and rsLoRA on linear layers, of quantised bases too, for a core between A and B, and
for whole linear layers, embeddings and normalisations (PEFT's `modules_to_save`), tied or not. What
else learns is refused by name before anything is trained: DoRA and other variants of LoRA, LoRA on
embeddings, convolutions or bare parameters, trainable tokens and prompts, and adapters that are no
LoRA.
Frozen layers that mix the examples of a batch are refused too.

    >>> layer, x = torch.nn.Linear(3, 2, bias=False), torch.randn(4, 3)
    >>> with ExampleGradients(layer, capacity=2) as gradients:
    ...     by_row = layer(x).sum(1)
    ...     losses = torch.stack([by_row[0] + by_row[3], by_row[1] + by_row[2]])
    ...     rows = torch.tensor([0, 1, 1, 0])
    ...     rejected = gradients.add_clipped(losses, rows, torch.zeros(6), max_grad_norm=1.0)
    ...     found = gradients.by_example().clone()
    >>> torch.allclose(found[1].view(2, 3), x[1:3].sum(0).expand(2, 3))
    True
"""

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from peft import PromptEmbedding, PromptEncoder
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from torch.nn.functional import embedding, linear

from discreet.privacy.clipping import clip_and_sum

Rows = torch.Tensor | Mapping[str, torch.Tensor]
"""The example of each row that a layer sees, (rows,) int64: one for all layers, or one for each
part of the model (`part_of`)."""

_PLAIN = {
    ("peft.tuners.lora.layer", "Linear"),
    ("peft.tuners.lora.bnb", "Linear8bitLt"),
    ("peft.tuners.lora.bnb", "Linear4bit"),
    ("peft.tuners.ln_tuning.layer", "LNTuningLayer"),
}
"""Layers of PEFT that call what learns in them on the rows that they are given."""
_PLAIN_VARIANTS = {("discreet.model.core", "Core")}
"""Variants of LoRA of which the same holds."""
_GROWS_WITH_LENGTH = ("dynamic", "longrope")
"""Rotary embeddings whose angles depend on the longest row of a batch."""
_VISION = re.compile(r"(?:^|\.)(?:vision_\w+|visual)(?:\.|$)")
_CONNECTOR = re.compile(r"(?:^|\.)(?:multi_modal_projector|connector|merger)(?:\.|$)")


def part_of(name: str) -> str:
    """Return the part of a vision-language model that a layer is in: parts see other rows.

    >>> part_of("model.visual.blocks.0.attn.qkv"), part_of("model.visual.merger.mlp.0")
    ('vision', 'connector')
    >>> part_of("model.language_model.layers.3.self_attn.v_proj")
    'language'
    """
    if _CONNECTOR.search(name):
        return "connector"
    return "vision" if _VISION.search(name) else "language"


def rows_of_counts(counts: Sequence[int]) -> torch.Tensor:
    """Return the example of each row if example i has `counts[i]` rows that stand together.

    >>> rows_of_counts([2, 0, 1])
    tensor([0, 0, 2])
    """
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts, dtype=torch.long))


def refuse_mixing(model: nn.Module) -> None:
    """Refuse layers, frozen ones too, whose output for an example depends on the others in a batch.

    LLM.int8() with a threshold takes a whole column of activations out of int8 as soon as one
    example has an outlier in it (Dettmers et al. 2022, section 3.2, arXiv:2208.07339): the losses
    of all others change, and clipping bounds none of that.

    Raises:
        ValueError: if there is one, by name.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and (
            module.training or module.running_mean is None
        ):
            raise ValueError(
                f"Expected no batch normalisation in training mode, or without statistics of its "
                f"own, got '{name}': it mixes the examples of a batch. Call eval() on it."
            )
        if getattr(module, "rope_type", None) in _GROWS_WITH_LENGTH:
            raise ValueError(
                f"Expected rotary embeddings that do not depend on the longest row, got '{name}' "
                f"of type '{module.rope_type}': the length of one example changes all others. Use "
                "a base with another rope_type."
            )
        if getattr(getattr(module, "state", None), "threshold", 0) > 0:
            raise ValueError(
                f"Expected int8 layers without a threshold for outliers, got '{name}': an outlier "
                "of one example changes how those of all others are computed. Load the base with "
                "BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0)."
            )


_Forward = Callable[..., torch.Tensor]
_Emit = Callable[..., None]
"""Takes the gradient of a layer's output, (rows, ..., width), and what the layer kept."""


@dataclass(frozen=True, slots=True)
class _Emitting:
    """How a layer computes while gradients of examples are taken."""

    module: nn.Module = field(repr=False)
    forward: _Forward = field(repr=False)
    learns: Sequence[torch.Tensor] = field(repr=False)
    parts: Sequence[nn.Module] = field(repr=False, default=())
    """Modules inside that are not called any more."""


@dataclass(frozen=True, slots=True)
class _Owners:
    """Whose the rows of a part of the model are; worked out once for all of its layers."""

    index: torch.Tensor = field(repr=False)
    """(rows,) int64 on the device."""
    order: torch.Tensor | None = field(repr=False)
    """(rows,), which brings rows of an example together; None where they are."""
    counts: tuple[int, ...]
    """Rows of each example."""

    @property
    def is_even(self) -> bool:
        """Return whether all examples have as many rows."""
        return len(set(self.counts)) == 1


class ExampleGradients:
    """While entered, a backward pass leaves one gradient for each example.

    The parameters' own `.grad` stays None: the sum over examples is never formed.

    Two ways to clip. Flat: the whole gradient of an example to `max_grad_norm`, kept in a buffer
    (N, P), which is taken when a backward pass starts and fills up while that frees activations, so
    that it adds little to the peak of memory. Grouped: each layer's part to
    `max_grad_norm / sqrt(layers)`, at once, with no buffer but that of one layer; the whole is then
    at most `max_grad_norm` too.
    """

    def __init__(self, model: nn.Module, *, capacity: int, grouped: bool = False) -> None:
        """Find the layers that learn.

        Args:
            model: Its parameters with `requires_grad` learn; all of one dtype, on one device.
            capacity: Most examples of one backward pass.
            grouped: Clip layer by layer.

        Raises:
            ValueError: if something learns that no exact gradient is known for, or a layer mixes
                examples, by name; grouped, also if two layers share what learns.
        """
        refuse_mixing(model)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        """What learns, in the order of the model."""
        if not self.parameters:
            raise ValueError("Expected a model in which something learns. Attach an adapter first.")
        ends = torch.tensor([p.numel() for p in self.parameters]).cumsum(0).tolist()
        self._places = {
            id(p): slice(end - p.numel(), end) for p, end in zip(self.parameters, ends, strict=True)
        }
        self.size: int = ends[-1]
        """Numbers that learn, P."""
        self._grouped = grouped
        self._layers = list(self._find_layers(model))
        if grouped:
            self._refuse_shared()
        widest = max(sum(p.numel() for p in layer.learns) for layer in self._layers)
        self._width: int = widest if grouped else self.size
        self._capacity = capacity
        self._device = self.parameters[0].device
        self._where: dict[int, slice] = {} if grouped else self._places
        self._let_go()
        self._max_grad_norm = 0.0
        self.within = 0
        """Gradients of the last pass that were no longer than the bound; flat mode only."""

    def __enter__(self) -> Self:
        """Let the layers emit."""
        self._forget_grads()
        for layer in self._layers:
            layer.module.forward = self._starting(layer.forward)
        return self

    def __exit__(self, *raised: object) -> None:
        """Leave no trace on the layers, and keep nothing of the data."""
        for layer in self._layers:
            del layer.module.forward
        self._forget_grads()
        self._let_go()

    def _let_go(self) -> None:
        """Keep nothing of the last pass."""
        self._buffer = torch.empty(0)
        self._total = torch.empty(0)
        self._bad = torch.empty(0, dtype=torch.bool)
        self._owners: dict[str | None, _Owners] = {}
        self._written: set[int] = set()
        self._seen: set[int] = set()
        self._is_done = False

    def _starting(self, forward: _Forward) -> _Forward:
        """Return a layer's forward pass; the first one after a backward pass lets go of that."""

        def start(*args: Any, **kwargs: Any) -> torch.Tensor:
            if self._is_done:
                self._let_go()
            return forward(*args, **kwargs)

        return start

    def add_clipped(
        self, losses: torch.Tensor, rows: Rows, total: torch.Tensor, max_grad_norm: float
    ) -> int:
        """Run the backward pass of some examples and add their clipped gradients to `total`.

        An example whose loss or gradient is not finite adds nothing; grouped, it adds nothing
        from the layer on in which that is seen.

        Args:
            losses: (N,), each of its own example only; N up to `capacity`.
            rows: The example of each row.
            total: (P,), changed in place; in float64 it stays exact (see `clipping`).
            max_grad_norm: L2 bound on what one example adds.

        Returns:
            How many examples were rejected for not being finite.

        Raises:
            RuntimeError: if a layer's rows are not those it was told of, if weights were used in
                another way than by calling their layer, or, grouped, if a layer was called twice.
        """
        count = len(losses)
        if not 0 < count <= self._capacity:
            raise ValueError(f"Expected 1 to {self._capacity} examples, got {count}.")
        self._let_go()
        parts = rows.items() if isinstance(rows, Mapping) else [(None, rows)]
        self._owners = {part: _owners(index, count, self._device) for part, index in parts}
        self._total, self._max_grad_norm, self.within = total, max_grad_norm, 0
        self._bad = ~losses.detach().isfinite()
        dtype = self.parameters[0].dtype
        self._buffer = torch.empty(count, self._width, dtype=dtype, device=self._device)
        if losses.requires_grad:  # not if a batch has no picture, and only the tower learns
            losses.sum().backward()
        if any(parameter.grad is not None for parameter in self.parameters):
            self._forget_grads()
            raise RuntimeError(
                "Expected each trainable layer to be called, got one whose weights were used "
                "directly: their gradient is a sum over examples. Let that layer not learn."
            )
        has_empty_part = not all(len(owners.index) for owners in self._owners.values())
        if losses.requires_grad and not self._written and not has_empty_part:
            raise RuntimeError(
                "Expected loss_of to call the model that is trained, got losses to which no layer "
                "of it that learns gave anything. Build loss_of from the same model object."
            )
        if not self._grouped:
            for parameter in self.parameters:
                self._of(parameter)  # zero where no layer wrote
            total += self._clip(self._buffer)
        self._is_done = True
        return int(self._bad.sum())

    def by_example(self) -> torch.Tensor:
        """Return the gradients of the last pass, (N, P), zero where rejected; flat mode only.

        They are there until the next forward pass.
        """
        if self._grouped:
            raise ValueError("Expected flat clipping, got grouped, which keeps no gradients.")
        return self._buffer

    def _forget_grads(self) -> None:
        """Remove sums over examples: they are neither clipped nor noisy."""
        for parameter in self.parameters:
            parameter.grad = None

    def _refuse_shared(self) -> None:
        """Refuse tied weights: clipped in two layers, they would count twice in one place."""
        learns = [id(parameter) for layer in self._layers for parameter in layer.learns]
        if len(set(learns)) < len(learns):
            raise ValueError(
                "Expected layers that share nothing that learns, got tied weights: their parts "
                "cannot be clipped one by one. Use flat clipping, or untie them."
            )

    def _clip(self, gradients: torch.Tensor, share: float = 1.0) -> torch.Tensor:
        """Return the sum of clipped rows of (N, P); rows that are not finite are left out."""
        found = clip_and_sum(
            gradients, self._max_grad_norm, bad=self._bad, share=share, size=self.size
        )
        self._bad |= found.is_bad
        self.within = found.within
        return found.total

    def _of(self, parameter: torch.Tensor) -> torch.Tensor:
        """Return the parameter's gradients in the buffer, (N, *shape), zero at first."""
        own = self._buffer[:, self._where[id(parameter)]]
        if id(parameter) not in self._written:
            self._written.add(id(parameter))
            own.zero_()
        return own.view(len(own), *parameter.shape)

    def _rows_of(self, name: str, rows: int) -> _Owners:
        """Return whose a layer's rows are."""
        part = part_of(name)
        found = self._owners.get(part, self._owners.get(None))
        if found is None or len(found.index) != rows:
            got = "none" if found is None else str(len(found.index))
            raise RuntimeError(
                f"Expected to know the example of each of the {rows} rows that a trainable layer "
                f"of the part '{part}' sees, got {got}. Let loss_of return ExampleLosses with rows."
            )
        return found

    def _emitter(self, module: nn.Module, learns: Sequence[torch.Tensor], write: _Emit) -> _Emit:
        """Return what a layer calls in its backward pass; grouped, it also clips."""
        if not self._grouped:
            return write

        def emit(*kept: Any) -> None:
            if id(module) in self._seen:
                raise RuntimeError(
                    "Expected each trainable layer to be called once, got one that was called "
                    "twice: its parts cannot be clipped one by one. Use flat clipping."
                )
            self._seen.add(id(module))
            start = 0
            for parameter in learns:
                self._where[id(parameter)] = slice(start, start + parameter.numel())
                self._written.discard(id(parameter))
                start += parameter.numel()
            write(*kept)
            clipped = self._clip(self._buffer[:, :start], 1 / len(self._layers) ** 0.5)
            for parameter in learns:
                self._total[self._places[id(parameter)]] += clipped[self._where[id(parameter)]]

        return emit

    def _find_layers(self, model: nn.Module) -> Iterator[_Emitting]:
        """Yield what emits; refuse what learns and cannot."""
        left = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
        inside: set[int] = set()
        for name, module in model.named_modules():
            if id(module) in inside:
                continue
            if _is_closed(module):
                inside.update(map(id, module.modules()))
                continue
            layer = self._emitting(name, module)
            if layer is None:
                continue
            inside.update(map(id, layer.parts))
            for parameter in layer.learns:
                left.pop(id(parameter), None)
            yield layer
        if left:
            shown = ", ".join(sorted(left.values())[:3])
            raise ValueError(
                "Expected LoRA on linear layers, whole linear layers, embeddings or normalisations "
                f"to learn, got {len(left)} other tensors: {shown}. Variants of LoRA such as DoRA, "
                "LoRA on embeddings, convolutions or bare parameters, trainable tokens, prompts, "
                "adapters that are no LoRA, and layers whose forward() was replaced are not "
                "supported. Leave them out."
            )

    def _emitting(self, name: str, module: nn.Module) -> _Emitting | None:
        """Return how a layer emits; None if nothing of its own learns, or nobody knows how."""
        if isinstance(module, LoraLayer):
            return self._lora(name, module)
        learns = [p for p in module.parameters(recurse=False) if p.requires_grad]
        if not learns:
            return None
        called = type(module).forward
        if isinstance(module, nn.Linear) and called is nn.Linear.forward:
            return self._linear(name, module, learns)
        if isinstance(module, nn.Embedding) and called is nn.Embedding.forward:
            plain = module.max_norm is None and not module.scale_grad_by_freq and not module.sparse
            return self._embedding(name, module) if plain else None
        return self._affine(name, module, learns) if _is_affine(module) else None

    def _linear(self, name: str, module: nn.Linear, learns: Sequence[torch.Tensor]) -> _Emitting:
        def write(grad: torch.Tensor, inputs: torch.Tensor) -> None:
            owners = self._rows_of(name, len(grad))
            if module.weight.requires_grad:
                _add_products(self._of(module.weight), grad, inputs, owners)
            if module.bias is not None and module.bias.requires_grad:
                _add_rows(self._of(module.bias), grad, owners)

        emit = self._emitter(module, learns, write)

        def forward(inputs: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = _Linear.apply(inputs, module.weight, module.bias, emit)
            return found

        return _Emitting(module, forward, learns)

    def _lora(self, name: str, module: Any) -> _Emitting | None:
        """Return how a plain LoRA layer emits as a whole; None leaves it to its parts."""
        adapters = module.active_adapters
        if module.merged or len(adapters) != 1 or adapters[0] not in module.lora_A:
            return None
        if adapters[0] in module.lora_variant:
            return None
        down, up = module.lora_A[adapters[0]], module.lora_B[adapters[0]]
        parts = (down, up)
        if any(
            type(part).forward is not nn.Linear.forward or part.bias is not None for part in parts
        ):
            return None
        a, b, scale = down.weight, up.weight, float(module.scaling[adapters[0]])
        dropout = module.lora_dropout[adapters[0]]
        learns = [p for p in (a, b) if p.requires_grad]
        base = module.base_layer
        if not learns or any(p.requires_grad for p in base.parameters()):
            return None

        def write(
            grad: torch.Tensor,
            inputs: torch.Tensor | None,
            inner: torch.Tensor,
            inner_grad: torch.Tensor | None,
        ) -> None:
            owners = self._rows_of(name, len(grad))
            if b.requires_grad:
                _add_products(self._of(b), grad, inner, owners)
            if inputs is not None and inner_grad is not None:
                _add_products(self._of(a), inner_grad, inputs, owners)

        emit = self._emitter(module, learns, write)
        is_plain = _is_plain(base) and isinstance(dropout, nn.Identity)

        def forward(inputs: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            autocast = torch.is_autocast_enabled(inputs.device.type)
            if is_plain and not autocast and inputs.dtype == a.dtype == base.weight.dtype:
                fused: torch.Tensor = _LoraLinear.apply(
                    inputs, base.weight, base.bias, a, b, scale, emit
                )
                return fused
            result: torch.Tensor = base(inputs, *args, **kwargs)
            with torch.autocast(inputs.device.type, enabled=False):
                change = _Lora.apply(dropout(inputs.to(a.dtype)), a, b, scale, emit)
                whole: torch.Tensor = result + change
                return whole.to(result.dtype)

        return _Emitting(module, forward, learns, parts)

    def _embedding(self, name: str, module: nn.Embedding) -> _Emitting:
        def write(grad: torch.Tensor, ids: torch.Tensor) -> None:
            owners = self._rows_of(name, len(grad))
            own = self._of(module.weight)
            rows = owners.index.view(-1, *[1] * (ids.dim() - 1)).expand_as(ids)
            keep = ids != (-1 if module.padding_idx is None else module.padding_idx)
            own.index_put_((rows[keep], ids[keep]), grad[keep].to(own.dtype), accumulate=True)

        emit = self._emitter(module, [module.weight], write)

        def forward(ids: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = _Embedding.apply(ids, module.weight, emit)
            return found

        return _Emitting(module, forward, [module.weight])

    def _affine(self, name: str, module: nn.Module, learns: Sequence[torch.Tensor]) -> _Emitting:
        """A normalisation is affine in what learns: its slope is its value at 1 less that at 0."""
        own = dict(module.named_parameters(recurse=False))
        at_zero, at_one = _twin(module, 0.0), _twin(module, 1.0)

        def write(grad: torch.Tensor, slope: torch.Tensor) -> None:
            owners = self._rows_of(name, len(grad))
            for key, parameter in own.items():
                if parameter.requires_grad:
                    moved = grad * slope if key == "weight" else grad
                    _add_rows(self._of(parameter), moved, owners)

        emit = self._emitter(module, learns, write)

        def forward(inputs: torch.Tensor) -> torch.Tensor:
            start = at_zero(inputs)
            slope = at_one(inputs) - start
            found: torch.Tensor = _Affine.apply(start, slope, own["weight"], own.get("bias"), emit)
            return found

        return _Emitting(module, forward, learns)


def _is_plain(base: nn.Module) -> bool:
    """Return whether a layer is a matrix product that nobody watches."""
    watched = base._forward_hooks or base._forward_pre_hooks or base._backward_hooks
    is_called = type(base).forward is nn.Linear.forward and "forward" not in vars(base)
    return isinstance(base, nn.Linear) and is_called and not watched


def _is_closed(module: nn.Module) -> bool:
    """Return whether a layer's parts cannot be taken one by one: it may use them as it likes."""
    if "forward" in vars(module):
        return any(p.requires_grad for p in module.parameters(recurse=False))
    if isinstance(module, PromptEmbedding | PromptEncoder):
        return True  # called once for a whole batch
    if not isinstance(module, BaseTunerLayer):
        return False
    variants = set(map(_name_of, getattr(module, "lora_variant", {}).values()))
    return _name_of(module) not in _PLAIN or not variants <= _PLAIN_VARIANTS


def _name_of(part: object) -> tuple[str, str]:
    """Return where a class is defined, and its name."""
    return type(part).__module__, type(part).__name__


def _twin(module: nn.Module, weight: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what a normalisation computes with this weight everywhere, and no bias."""
    twin = copy.copy(module)
    constants: dict[str, nn.Parameter | None] = {
        name: nn.Parameter(torch.full_like(p, weight if name == "weight" else 0), False)
        for name, p in module.named_parameters(recurse=False)
    }
    twin.__dict__["_parameters"] = {**dict.fromkeys(module._parameters), **constants}
    twin.__dict__.pop("forward", None)
    return lambda inputs: type(module).forward(twin, inputs)


@torch.no_grad()
def _is_affine(module: nn.Module) -> bool:
    """Return whether a layer is start + slope * weight + bias, row by row; tried, not guessed."""
    own = dict(module.named_parameters(recurse=False))
    if not {"weight"} <= set(own) <= {"weight", "bias"} or own["weight"].dim() != 1:
        return False
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return False
    draw = torch.Generator().manual_seed(0)
    weight = own["weight"]
    inputs = torch.randn(2, 3, len(weight), generator=draw).to(weight)
    try:
        start, real = _twin(module, 0.0)(inputs), type(module).forward(module, inputs)
        slope = _twin(module, 1.0)(inputs) - start
    except (RuntimeError, TypeError, ValueError):
        return False
    if real.shape != inputs.shape:
        return False
    whole = start + slope * weight + own.get("bias", 0)
    alone = type(module).forward(module, inputs[:1])
    return torch.allclose(whole, real, rtol=1e-3, atol=1e-3) and torch.allclose(
        alone, real[:1], rtol=1e-3, atol=1e-3
    )


def _owners(index: torch.Tensor, examples: int, device: torch.device) -> _Owners:
    """Return how rows are shared out; refuse rows of no example."""
    if not isinstance(index, torch.Tensor):
        raise TypeError(
            f"Expected the example of each row as a tensor, got {type(index).__name__}. Use "
            "rows_of_counts, or torch.tensor."
        )
    if index.dim() != 1 or index.dtype != torch.long:
        raise ValueError(
            f"Expected the example of each row as (rows,) int64, got {index.dtype} of shape "
            f"{tuple(index.shape)}."
        )
    here = index.cpu()
    if len(here) and not 0 <= int(here.min()) <= int(here.max()) < examples:
        raise ValueError(
            f"Expected rows of examples 0 to {examples - 1}, got others. Number examples from 0, "
            "in the order of the indices that loss_of was given."
        )
    apart = bool((here[1:] < here[:-1]).any())
    return _Owners(
        index.to(device),
        here.argsort(stable=True).to(device) if apart else None,
        tuple(here.bincount(minlength=examples).tolist()),
    )


def _add_products(
    own: torch.Tensor, grad: torch.Tensor, inputs: torch.Tensor, owners: _Owners
) -> None:
    """Add grad^T inputs of the rows of each example to (examples, out, in).

    Args:
        own: Changed in place.
        grad: (rows, ..., out).
        inputs: (rows, ..., in).
        owners: Whose the rows are.
    """
    if not len(grad):
        return
    grad = grad.reshape(len(grad), -1, grad.shape[-1]).to(own.dtype)
    inputs = inputs.reshape(len(inputs), -1, inputs.shape[-1]).to(own.dtype)
    if owners.order is not None:
        grad, inputs = grad[owners.order], inputs[owners.order]
    if owners.is_even:
        grad = grad.reshape(len(own), -1, grad.shape[-1])
        inputs = inputs.reshape(len(own), -1, inputs.shape[-1])
        if own.shape[1] > own.shape[2]:  # of B: a wide product takes half the time of a tall one
            own += torch.bmm(inputs.transpose(1, 2), grad).transpose(1, 2)
        else:
            own.baddbmm_(grad.transpose(1, 2), inputs)
        return
    start = 0
    for example, count in enumerate(owners.counts):
        if count:
            part = slice(start, start + count)
            own[example].addmm_(
                grad[part].reshape(-1, grad.shape[-1]).T,
                inputs[part].reshape(-1, inputs.shape[-1]),
            )
            start += count


def _add_rows(own: torch.Tensor, grad: torch.Tensor, owners: _Owners) -> None:
    """Add each row's gradient, summed over positions, to its example's, (examples, width)."""
    by_row = grad.reshape(len(grad), -1, grad.shape[-1]).sum(1)
    own.index_add_(0, owners.index, by_row.to(own.dtype))


class _Linear(torch.autograd.Function):
    """A linear layer whose weights' gradients go to `emit`."""

    @staticmethod
    def forward(
        ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, emit: _Emit
    ) -> torch.Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.emit = emit
        return linear(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad,) = grads
        inputs, weight = ctx.saved_tensors
        ctx.emit(grad, inputs)
        return (grad @ weight if ctx.needs_input_grad[0] else None), None, None, None


class _Lora(torch.autograd.Function):
    """`scale * B A x`, whose gradients of A and B go to `emit`."""

    @staticmethod
    def forward(
        ctx: Any, inputs: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scale: float, emit: _Emit
    ) -> torch.Tensor:
        inner = linear(inputs, a).mul_(scale)
        ctx.save_for_backward(inputs if a.requires_grad else None, inner, a, b)
        ctx.scale, ctx.emit = scale, emit
        return linear(inner, b)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad,) = grads
        inputs, inner, a, b = ctx.saved_tensors
        inner_grad = None
        if inputs is not None or ctx.needs_input_grad[0]:
            inner_grad = (grad @ b).mul_(ctx.scale)
        ctx.emit(grad, inputs, inner, inner_grad)
        onwards = inner_grad @ a if inner_grad is not None and ctx.needs_input_grad[0] else None
        return onwards, None, None, None, None


class _LoraLinear(torch.autograd.Function):
    """`W x + bias + scale * B A x` with W frozen; each product is added to the one before it."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float,
        emit: _Emit,
    ) -> torch.Tensor:
        inner = linear(inputs, a).mul_(scale)
        ctx.save_for_backward(inputs if a.requires_grad else None, inner, weight, a, b)
        ctx.scale, ctx.emit = scale, emit
        whole = linear(inputs, weight, bias)
        whole.view(-1, whole.shape[-1]).addmm_(inner.view(-1, inner.shape[-1]), b.T)
        return whole

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad,) = grads
        inputs, inner, weight, a, b = ctx.saved_tensors
        inner_grad = None
        if inputs is not None or ctx.needs_input_grad[0]:
            inner_grad = (grad @ b).mul_(ctx.scale)
        ctx.emit(grad, inputs, inner, inner_grad)
        onwards = None
        if inner_grad is not None and ctx.needs_input_grad[0]:
            onwards = grad @ weight
            onwards.view(-1, onwards.shape[-1]).addmm_(inner_grad.view(-1, len(a)), a)
        return onwards, None, None, None, None, None, None


class _Embedding(torch.autograd.Function):
    """A table whose gradient goes to `emit`."""

    @staticmethod
    def forward(ctx: Any, ids: torch.Tensor, weight: torch.Tensor, emit: _Emit) -> torch.Tensor:
        ctx.save_for_backward(ids)
        ctx.emit = emit
        return embedding(ids, weight)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (ids,) = ctx.saved_tensors
        ctx.emit(grads[0], ids)
        return None, None, None


class _Affine(torch.autograd.Function):
    """`start + slope * weight + bias`, whose gradients of weight and bias go to `emit`."""

    @staticmethod
    def forward(
        ctx: Any,
        start: torch.Tensor,
        slope: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        emit: _Emit,
    ) -> torch.Tensor:
        ctx.save_for_backward(slope, weight)
        ctx.emit = emit
        whole = start + slope * weight.to(slope.dtype)
        return whole if bias is None else whole + bias.to(slope.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad,) = grads
        slope, weight = ctx.saved_tensors
        ctx.emit(grad, slope)
        return grad, grad * weight.to(grad.dtype), None, None, None
