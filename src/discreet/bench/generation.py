"""How fast answers are written, beside transformers' own loop on the same weights.

Both are timed in one process and by turns. The primary time is that of the processor, which a busy
machine stretches least. Every way writes the same number of tokens; the model may not end sooner.
Plain is `transformers.generate`, which a model without adapters can do: one request after another,
or several without an adapter padded into one batch. llama.cpp reads the GGUF file that `small` was
converted from, where `llama-cpp-python` is installed.

    discreet bench performance --generate
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.generation.streamers import BaseStreamer

from discreet.bench.workloads import public_examples, small_with
from discreet.federated import presentations
from discreet.model import (
    BASE_ADAPTER,
    LoraSpec,
    Request,
    Vlm,
    answer_all,
    base_of,
    collate,
    drop_adapter,
    encode_images,
    lay_out_weights,
    load,
    load_adapter,
    save_adapter,
    small_language_file,
)

BATCH = 8
PLAIN = "transformers, one"
PLAIN_BATCH = f"transformers, {BATCH} without adapters"
OURS = "ours, one"
OURS_BATCH = f"ours, {BATCH} with two adapters"
GUIDED = "ours, one, guided"
LLAMA = "llama.cpp, one"
_SHORT = 1
"""Tokens of the run that shows when the first one comes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """One way to write answers."""

    way: str
    answers: int
    first_seconds: float | None = None
    """Until every answer has its first token, of the processor; median over rounds."""
    cpu_seconds: float | None = None
    """Of the whole, of the processor; median over rounds."""
    wall_seconds: float | None = None
    tokens_per_second: float | None = None
    """Of all answers together, by the processor's time."""
    first_ratio: float | None = None
    """Plain's time to a first token over this one's, one answer each; median over rounds."""
    ratio: float | None = None
    """Tokens a second over those of plain in the same round; median over rounds."""
    ratio_low: float | None = None
    ratio_high: float | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """What was measured."""

    new_tokens: int
    prompt_tokens: list[int]
    speeds: list[Speed]
    hot_swap_milliseconds: float
    """To drop an adapter of the shipped shape and load another one from its folder, checked;
    processor time, median over rounds."""
    switch_milliseconds: float
    """What an answer of one token takes longer if its adapter is another than before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Times:
    first: float
    cpu: float
    wall: float


Write = Callable[[int], None]
"""Writes so many tokens of every answer."""


def measure_generation(
    *,
    rounds: int,
    new_tokens: int = 48,
    threads: int = 1,
    base: str = "small",
    cache_dir: Path | None = None,
    on_step: Callable[[str], None] = lambda way: None,
) -> Generation:
    """Return how fast each way writes, and how long adapters take to change.

    Args:
        rounds: Timed runs of each way, after one that is not timed.
        new_tokens: Length of every answer.
        threads: Of PyTorch.
        base: `small`, or `tiny`, which shows structure only.
        cache_dir: Of the base model.
        on_step: Told of each way in each round when it is done.
    """
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as scratch, _two_adapters(base, Path(scratch), cache_dir) as (
        vlm,
        folder,
    ):
        prompts = _prompts(vlm)
        ways = _ways(vlm, prompts, cache_dir, threads, base)
        timed: dict[str, list[_Times]] = {way: [] for way in ways}
        for write in ways.values():
            write(2)
        for round_ in range(rounds):
            names = list(ways)
            start = round_ % len(names)
            for way in names[start:] + names[:start]:
                timed[way].append(_time(ways[way], new_tokens))
                on_step(way)
        return Generation(
            new_tokens=new_tokens,
            prompt_tokens=[len(collate(vlm, [row]).input_ids[0]) for row in prompts],
            speeds=[_speed(way, timed, new_tokens) for way in ways] + _absent(ways),
            hot_swap_milliseconds=_hot_swap(vlm, folder, rounds),
            switch_milliseconds=_switch(vlm, prompts, rounds),
        )
