"""What the kept states of frozen lower layers save: epochs with and without them, by turns."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from discreet.bench.workloads import public_examples, small_with
from discreet.federated import VisualTokens, presentations
from discreet.model import (
    Batch,
    FrozenPrefix,
    LoraSpec,
    Vlm,
    answer_losses,
    base_of,
    collate,
)
from discreet.privacy import ExampleGradients, rows_of_counts

UPPER_THIRD = 10
"""Layers of the 30 of `small`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Epochs:
    """Epochs of private gradients on `small` with its upper third adapted."""

    layers: int
    """Adapted, of all."""
    of_layers: int
    examples: int
    """Of an epoch, with two rows each."""
    threads: int
    plain_cpu_seconds: float
    """Median epoch without kept states."""
    first_ratio: float
    """First epoch with kept states over the plain one beside it."""
    later_ratio: float
    """Median of the later ones."""
    kept_bytes: int
    kept_dtype: str
    sum_difference: float
    """Distance of the clipped sums of the last epoch, over their length."""


def measure_epochs(
    *,
    examples: int = 16,
    batch: int = 8,
    epochs: int = 5,
    dtype: torch.dtype = torch.float32,
    threads: int = 1,
    cache_dir: Path | None = None,
    on_step: Callable[[str], None] = lambda way: None,
) -> Epochs:
    """Return what epochs cost; batches are drawn anew for each, the same with and without.

    Args:
        examples: Public ones, in words and as visual tokens.
        batch: Examples in memory at once.
        epochs: 2 or more.
        dtype: Of the kept states.
        threads: Of PyTorch.
        cache_dir: Of the base model.
        on_step: Told of each batch, with and without.
    """
    if epochs < 2:
        raise ValueError(f"Expected 2 epochs or more, got {epochs}: the first one fills the cache.")
    torch.set_num_threads(threads)
    vlm = small_with(LoraSpec(layers=UPPER_THIRD), cache_dir=cache_dir)
    portraits, chosen = public_examples(examples)
    visual = VisualTokens(vlm, portraits)
    visual.of([example.portrait for example in chosen])
    prefix = FrozenPrefix(vlm, dtype=dtype)
    draw = torch.Generator().manual_seed(0)
    times: dict[str, list[float]] = {"plain": [], "kept": []}
    for _ in range(epochs):
        order = torch.randperm(examples, generator=draw)
        spent = dict.fromkeys(times, 0.0)
        sums: dict[str, torch.Tensor] = {}
        for part in order.split(batch):
            indices = sorted(part.tolist())
            rows = [row for index in indices for row in presentations(chosen[index])]
            packed = collate(vlm, rows)
            features = visual.of([chosen[index].portrait for index in indices])
            keys = [(index, place) for index in indices for place in range(2)]
            for way, kept in (("plain", None), ("kept", prefix)):
                seconds, total = _one(vlm, packed, features, kept, keys)
                spent[way] += seconds
                sums[way] = sums.get(way, 0) + total
                on_step(f"epochs, {way}")
        for way, seconds in spent.items():
            times[way].append(seconds)
    ratios = [kept / plain for kept, plain in zip(times["kept"], times["plain"], strict=True)]
    return Epochs(
        layers=UPPER_THIRD,
        of_layers=int(base_of(vlm).config.text_config.num_hidden_layers),
        examples=examples,
        threads=threads,
        plain_cpu_seconds=statistics.median(times["plain"]),
        first_ratio=ratios[0],
        later_ratio=statistics.median(ratios[1:]),
        kept_bytes=prefix.size_bytes,
        kept_dtype=str(dtype).removeprefix("torch."),
        sum_difference=float((sums["kept"] - sums["plain"]).norm() / sums["plain"].norm()),
    )


def _one(
    vlm: Vlm,
    packed: Batch,
    features: torch.Tensor,
    prefix: FrozenPrefix | None,
    keys: Sequence[tuple[int, int]],
) -> tuple[float, torch.Tensor]:
    """Return the processor time of one batch, and its clipped sum."""
    count = len(keys) // 2
    with ExampleGradients(vlm.model, capacity=count) as gradients:
        total = torch.zeros(gradients.size)
        start = time.process_time()
        losses = (
            answer_losses(vlm, packed, features)
            if prefix is None
            else prefix.answer_losses(packed, features, keys=keys)
        )
        gradients.add_clipped(
            losses.view(count, 2).mean(1), rows_of_counts([2] * count), total, max_grad_norm=0.05
        )
        return time.process_time() - start, total
