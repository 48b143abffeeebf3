"""Check on a model and data of your own that gradients of examples are those of the examples.

Every batch is computed three ways: by `ExampleGradients`; by one backward pass for each loss
through the same forward pass, where any number format has to agree closely; and by a forward pass
of its own for each example, where rounding may differ but nothing else may. What comes out is a
measurement of the batches that were given, not a proof: choose batches that differ as the data do,
with no, one and several pictures.

It does not check clipping or noise; `fuzz_sensitivity` measures what one example can change.

    >>> model = torch.nn.Linear(3, 1)
    >>> data = torch.randn(4, 3)
    >>> report = check_exactness(
    ...     model, lambda drawn: model(data[list(drawn)]).square().sum(1), [[0, 1, 2], [3, 0]])
    >>> report.is_exact, report.num_examples, report.batches
    (True, 4, (3, 2))
    >>> means = lambda drawn: model(data[list(drawn)]).square().mean().expand(len(drawn))
    >>> check_exactness(model, means, [[0, 1, 2]]).is_exact
    False
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from peft import PeftModel, get_peft_model_state_dict
from torch import nn

from discreet.privacy.batching import ExampleLosses, LossFn
from discreet.privacy.example_gradients import ExampleGradients, part_of, rows_of_counts

IN_ONE_PASS = 1e-4
"""Largest error through the same forward pass; rounding of sums stays below."""
ALONE = {torch.float64: 1e-3, torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Largest difference between alone and in a batch, by the coarsest format of the model: products
of other sizes add up in another order, and every layer rounds again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExactnessReport:
    """How far gradients of examples are from those of single backward passes."""

    num_examples: int
    """Different examples that were compared."""
    batches: tuple[int, ...]
    """How many examples each batch had."""
    by_layer: Mapping[str, float] = field(repr=False)
    """Worst error through the same forward pass for each tensor that learns, relative to the
    longest gradient that an example gives it."""
    by_part: Mapping[str, float]
    """The worst of these in each part of the model."""
    alone_error: float
    """Worst difference of an example's gradient alone and in a batch, relative to its length."""
    alone_loss_error: float
    """The same for its loss."""
    unused: tuple[str, ...]
    """Tensors that learn, to which no example gave a gradient: nothing was compared, and training
    would give them nothing but noise. A of a LoRA is among them while B is zero."""
    problems: tuple[str, ...]
    """What is wrong and the way out, in words that name no example."""

    @property
    def is_exact(self) -> bool:
        """Return whether nothing was found to be wrong."""
        return not self.problems

    def is_exact_in(self, part: str) -> bool:
        """Return whether gradients of a part's layers are those of the examples."""
        return self.by_part[part] <= IN_ONE_PASS


def check_exactness(
    model: nn.Module,
    loss_of: LossFn,
    batches: Sequence[Sequence[int]],
    *,
    rows_per_example: int = 1,
    alone_tolerance: float | None = None,
) -> ExactnessReport:
    """Return how exact gradients of examples are on a model and some of its data.

    The model comes back as it was, without gradients.

    Args:
        model: With the adapter attached; nothing random in it, so that passes can be compared.
        loss_of: As for `fit_private`.
        batches: Indices of examples, each batch of one or more; empty ones need no forward pass
            and are passed over.
        rows_per_example: As for `fit_private`.
        alone_tolerance: Largest relative difference between alone and in a batch; by the model's
            number format by default (`ALONE`).

    Raises:
        ValueError: if something learns for which no exact gradient is known or a layer mixes
            examples, by name; if `loss_of` gives no loss for each example; if the model computes
            another loss the second time; if there is no example.
    """
    drawn = [list(batch) for batch in batches if len(batch)]
    if not drawn:
        raise ValueError("Expected a batch with an example, got none. Give batches of indices.")
    gradients = ExampleGradients(model, capacity=max(map(len, drawn)))
    keys = _key_names(model)
    _check_repeats(loss_of, drawn[0])
    found = _Comparison(model, gradients)
    alone = {}
    for index in sorted({index for batch in drawn for index in batch}):
        losses = with_rows(loss_of([index]), 1, rows_per_example)
        alone[index] = (float(losses.values.detach()), _one_by_one(gradients, losses.values)[0])
    problems = []
    for batch in drawn:
        problems += found.add(loss_of, batch, alone, rows_per_example)
    if not found.is_measured:
        problems.append(
            "No example gave anything a gradient. Leave gradients on in loss_of, and attach an "
            "adapter to layers that the model uses."
        )
    if _key_names(model) != keys:
        problems.append(
            "Names of saved tensors changed: an adapter saved after training would not load. "
            "Leave out layers that are wrapped by another library."
        )
    return found.report(drawn, problems, alone_tolerance or alone_tolerance_of(model))


def alone_tolerance_of(model: nn.Module) -> float:
    """Return how far an example alone and in a batch may be apart by rounding."""
    formats = {p.dtype for p in model.parameters() if p.dtype in ALONE}
    return max(ALONE[dtype] for dtype in formats)


def with_rows(
    found: torch.Tensor | ExampleLosses, count: int, rows_per_example: int
) -> ExampleLosses:
    """Return losses with whose the rows are; refuse what is not one loss for each example."""
    if not isinstance(found, ExampleLosses):
        found = ExampleLosses(values=found, rows=rows_of_counts([rows_per_example] * count))
    if found.values.shape != (count,):
        raise ValueError(
            f"Expected one loss for each of {count} examples, got shape "
            f"{tuple(found.values.shape)}. Reduce over tokens and rows, never over examples."
        )
    return found


class _Comparison:
    """What the ways to a gradient said of all batches so far."""

    def __init__(self, model: nn.Module, gradients: ExampleGradients) -> None:
        self._gradients = gradients
        names = {id(p): name for name, p in model.named_parameters()}
        self._names = [names[id(p)] for p in gradients.parameters]
        self._sizes = [p.numel() for p in gradients.parameters]
        self._off = torch.zeros(len(self._names), dtype=torch.float64)
        self._longest = torch.zeros(len(self._names), dtype=torch.float64)
        self._alone = self._loss = 0.0

    @property
    def is_measured(self) -> bool:
        """Return whether there was any gradient to compare."""
        return bool(self._longest.max() > 0)

    def add(
        self,
        loss_of: LossFn,
        batch: Sequence[int],
        alone: Mapping[int, tuple[float, torch.Tensor]],
        rows_per_example: int,
    ) -> list[str]:
        """Take in one batch; return what could not be computed."""
        with self._gradients:
            losses = with_rows(loss_of(batch), len(batch), rows_per_example)
            total = torch.zeros(self._gradients.size, dtype=torch.float64)
            try:
                rejected = self._gradients.add_clipped(
                    losses.values, losses.rows, total.to(losses.values.device), 1.0
                )
            except (RuntimeError, ValueError) as error:
                return [f"In a batch of {len(batch)}: {error}"]
            found = self._gradients.by_example().double().cpu()
        if rejected:
            return [
                f"In a batch of {len(batch)}, {rejected} examples have no finite gradient and "
                "would count as zero. Look for losses over no token, and for overflow."
            ]
        again = with_rows(loss_of(batch), len(batch), rows_per_example).values
        same = _one_by_one(self._gradients, again)
        singly = torch.stack([alone[index][1] for index in batch])
        self._compare(found, same)
        lengths = singly.norm(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
        self._alone = max(self._alone, float(((found - singly).norm(dim=1) / lengths).max()))
        for index, loss in zip(batch, losses.values.detach().tolist(), strict=True):
            wanted = alone[index][0]
            self._loss = max(self._loss, abs(loss - wanted) / max(abs(wanted), 1e-6))
        return []

    def _compare(self, found: torch.Tensor, wanted: torch.Tensor) -> None:
        """Take in the error of each tensor, from (N, P)."""
        parts = zip(found.split(self._sizes, 1), wanted.split(self._sizes, 1), strict=True)
        for place, (one, other) in enumerate(parts):
            self._off[place] = max(self._off[place], (one - other).norm(dim=1).max())
            self._longest[place] = max(self._longest[place], other.norm(dim=1).max())

    def report(
        self, drawn: Sequence[Sequence[int]], problems: Sequence[str], alone_tolerance: float
    ) -> ExactnessReport:
        """Return the findings, with what is wrong about them."""
        # A tensor whose gradients are a millionth of the others' is rounding, and clips nothing.
        floor = float(self._longest.max()) * 1e-6 or 1.0
        errors = (self._off / self._longest.clamp(min=floor)).tolist()
        by_layer = dict(zip(self._names, errors, strict=True))
        by_part: dict[str, float] = {}
        for name, error in by_layer.items():
            by_part[part_of(name)] = max(by_part.get(part_of(name), 0.0), error)
        return ExactnessReport(
            num_examples=len({index for batch in drawn for index in batch}),
            batches=tuple(map(len, drawn)),
            by_layer=by_layer,
            by_part=by_part,
            alone_error=self._alone,
            alone_loss_error=self._loss,
            unused=tuple(
                name
                for name, longest in zip(self._names, self._longest.tolist(), strict=True)
                if not longest
            ),
            problems=(*problems, *_words(by_layer, self._alone, self._loss, alone_tolerance)),
        )


def _words(by_layer: Mapping[str, float], alone: float, loss: float, most: float) -> list[str]:
    """Return what is wrong with errors."""
    problems = []
    off = [name for name, error in by_layer.items() if not error <= IN_ONE_PASS]
    if off:
        worst = max(by_layer, key=by_layer.__getitem__)
        problems.append(
            f"Gradients of {len(off)} tensors are not those of their examples, '{worst}' is off "
            f"by {by_layer[worst]:.1g} of its length. Say in ExampleLosses whose the rows are "
            "that this layer sees, or let it not learn."
        )
    if not loss <= most:
        problems.append(
            f"The loss of an example is another by {loss:.1g} of it when others are in the batch, "
            "so that one example moves all. Reduce over the tokens of an example, never over the "
            "batch; do not use the loss that a model computes from labels=."
        )
    if not alone <= most:
        problems.append(
            f"The gradient of an example is another by {alone:.1g} of its length when others are "
            "in the batch. Look for padding that is attended to, and for layers that mix rows."
        )
    return problems


def _one_by_one(gradients: ExampleGradients, losses: torch.Tensor) -> torch.Tensor:
    """Return (N, P) float64 from one backward pass for each loss.

    Through `.grad`, because reentrant checkpointing knows no other way.
    """
    rows = []
    for place, loss in enumerate(losses):
        if loss.requires_grad:  # not if an example has no picture, and only the tower learns
            loss.backward(retain_graph=place + 1 < len(losses))
        row = []
        for parameter in gradients.parameters:
            own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            row.append(own.detach().double().cpu().flatten())
            parameter.grad = None
        rows.append(torch.cat(row))
    return torch.stack(rows)


def _check_repeats(loss_of: LossFn, batch: Sequence[int]) -> None:
    """Refuse a model with chance in it: no two passes of it can be compared."""
    # Not under no_grad(), of which reentrant checkpointing warns.
    passes = [loss_of(batch) for _ in range(2)]
    first, second = (
        (found.values if isinstance(found, ExampleLosses) else found).detach() for found in passes
    )
    if not torch.allclose(first, second, rtol=1e-5, equal_nan=True):
        raise ValueError(
            "Expected the same losses twice, got others: there is chance in the model. Call eval() "
            "on it, or set its dropout to 0: dropout does privacy no harm, but cannot be checked."
        )


def _key_names(model: nn.Module) -> tuple[list[str], list[str]]:
    """Return the names under which the model and its adapter would be saved."""
    adapter = get_peft_model_state_dict(model) if isinstance(model, PeftModel) else {}
    return list(model.state_dict()), list(adapter)
