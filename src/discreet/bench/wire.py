"""What a round costs on the wire in each codec, and how far the decoded update is off.

Sizes are counted as FlowerTune counts them: the bytes of every array as Flower sends it, header
included, and of its name, in both directions, over all rounds; `FLOWERTUNE_MIB` is what it allows.
The update is that of the shipped adapter, which holds the noise of its training. How much worse
an adapter gets by a codec is in `wire_loss`.

    costs = measure_wire(reference_update())
    print(as_wire_table(costs, rounds=200, owners=4))
"""

import io
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

from discreet.federated import CODECS, Codec, State, make_codec
from discreet.privacy import CounterGenerator
from discreet.registry import REFERENCE, resolve
from discreet.types import FLOWERTUNE_MIB

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class WireCost:
    """What one codec costs one owner in one round."""

    codec: str
    bytes_up: int
    """Of the arrays of a reply."""
    bytes_down: int
    """Of the arrays of a request; in float32 for a codec that leaves numbers out, because a state
    has to come whole."""
    relative_error: float
    """L2 norm of what the decoded update is off by, over that of the update."""
    encode_ms: float
    """Median of the repetitions."""
    decode_ms: float

    def total_mib(self, *, rounds: int, owners: int) -> float:
        """Return what all rounds send in both directions."""
        return rounds * owners * (self.bytes_up + self.bytes_down) / 2**20


def reference_update() -> State:
    """Return what the shipped adapter learnt: B, which was zero, under its names on the wire."""
    tensors = load_file(resolve(REFERENCE, Path()).folder / "adapter_model.safetensors")
    return {
        name.replace(".lora_B.", ".lora_B.default."): tensor
        for name, tensor in tensors.items()
        if ".lora_B." in name
    }


def measure_wire(update: State, *, share: float = 0.1, repeats: int = 20) -> list[WireCost]:
    """Return the cost of each codec for an update that is not all zeros.

    Args:
        update: As an owner would send it.
        share: Of the numbers, those that `topk` sends.
        repeats: How often writing and reading are timed.
    """
    whole = message_bytes(make_codec("float32").encode(update, _coins()))
    return [
        _measure(make_codec(name, share=share), update, whole=whole, repeats=repeats)
        for name in CODECS
    ]


def _measure(codec: Codec, update: State, *, whole: int, repeats: int) -> WireCost:
    """Return what one codec costs, where a state in float32 takes `whole` bytes."""
    shapes = {name: tuple(value.shape) for name, value in update.items()}
    coins = _coins()
    arrays, encode_ms = _timed(lambda: codec.encode(update, coins), repeats)
    decoded, decode_ms = _timed(lambda: codec.decode(arrays, shapes), repeats)
    size_bytes = message_bytes(arrays)
    return WireCost(
        codec=codec.name,
        bytes_up=size_bytes,
        bytes_down=whole if codec.is_sparse else size_bytes,
        relative_error=relative_error(decoded, update),
        encode_ms=encode_ms,
        decode_ms=decode_ms,
    )


def message_bytes(arrays: Mapping[str, npt.NDArray[np.generic]]) -> int:
    """Return the size of a message's arrays, as `ArrayRecord.count_bytes` of Flower counts it."""
    total = 0
    for name, array in arrays.items():
        file = io.BytesIO()
        np.save(file, array, allow_pickle=False)
        total += file.tell() + len(name)
    return total


def relative_error(decoded: State, update: State) -> float:
    """Return how far a state is off, all tensors together."""
    off = torch.cat([(decoded[name] - update[name]).flatten() for name in update])
    return float(off.norm() / torch.cat([value.flatten() for value in update.values()]).norm())


def _timed(call: Callable[[], T], repeats: int) -> tuple[T, float]:
    """Return what a call returns, and the median of its milliseconds."""
    found, times = call(), []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return found, statistics.median(times)


def _coins() -> CounterGenerator:
    """Return coins for rounding; an update that is public needs no secret ones."""
    return CounterGenerator.seeded("bench wire")


def as_wire_table(costs: Sequence[WireCost], *, rounds: int, owners: int) -> str:
    """Return a Markdown table."""
    lines = [
        f"| codec | bytes up | bytes down | relative error | encode ms | decode ms "
        f"| {rounds} rounds x {owners} owners, MiB | of {FLOWERTUNE_MIB:,} MiB |",
        "|" + "---|" * 8,
    ]
    for cost in costs:
        total = cost.total_mib(rounds=rounds, owners=owners)
        lines.append(
            f"| {cost.codec} | {cost.bytes_up:,} | {cost.bytes_down:,} "
            f"| {cost.relative_error:.4f} | {cost.encode_ms:.2f} | {cost.decode_ms:.2f} "
            f"| {total:,.1f} | {total / FLOWERTUNE_MIB:.3%} |"
        )
    return "\n".join(lines)
