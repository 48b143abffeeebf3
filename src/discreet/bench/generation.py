"""How fast answers are written, beside transformers' own loop on the same weights.

Both are timed in one process and by turns. The primary time is that of the processor, which a busy
machine stretches least. Every way writes the same number of tokens greedily; none may end sooner.
llama.cpp reads the GGUF file of four bits that `small` was converted from, where
`llama-cpp-python` is installed.

    discreet bench performance --generate
"""

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import GenerationConfig

from discreet.bench.workloads import public_examples
from discreet.federated import presentations
from discreet.model import (
    BASE_ADAPTER,
    LoraSpec,
    Request,
    Row,
    Vlm,
    adapter_parameters,
    answer_all,
    attach_lora,
    base_of,
    build_prompt,
    collate,
    drop_adapter,
    language_file,
    lay_out_weights,
    load,
    load_adapter,
    person_line,
    save_adapter,
)

BATCH = 8
PLAIN = "transformers, one"
OURS = "ours, one"
GUIDED = "ours, one, guided"
PEFT_BATCH = f"transformers and PEFT, {BATCH}"
OURS_BATCH = f"ours, {BATCH}"
LLAMA = "llama.cpp, one"
GENERATE_WAYS = (PLAIN, OURS, GUIDED, PEFT_BATCH, OURS_BATCH)
"""Ways that are always there. A batch asks for two adapters and for none by turns."""
_ADAPTERS = ("one", "two", BASE_ADAPTER)
_PEFT_BASE = "__base__"

Write = Callable[[int], None]
"""Writes so many tokens of every answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """One way to write answers."""

    way: str
    answers: int
    """Written in one call."""
    first_seconds: float | None = None
    """Until each answer has its first token; processor time, median over rounds."""
    cpu_seconds: float | None = None
    """Of the whole; processor time, median over rounds."""
    wall_seconds: float | None = None
    tokens_per_second: float | None = None
    """Of all answers together, by processor time."""
    first_ratio: float | None = None
    """Time to a first token over that of plain in the same round; median. Below 1 is faster."""
    ratio: float | None = None
    """Tokens a second over those of plain in the same round; median. Above 1 is faster."""
    ratio_low: float | None = None
    """Least of these."""
    ratio_high: float | None = None
    """Largest of these."""
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """What was measured."""

    new_tokens: int
    """Of each answer."""
    prompt_tokens: list[int]
    speeds: list[Speed]
    swap_cpu_seconds: float
    """To drop an adapter of the shipped shape and load another from its folder; median."""
    swap_wall_seconds: float
    """The same by the clock."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Times:
    first: float
    cpu: float
    wall: float


def measure_generation(
    *,
    rounds: int,
    new_tokens: int = 48,
    threads: int = 1,
    base: str = "small",
    cache_dir: Path | None = None,
    on_step: Callable[[str], None] = lambda way: None,
) -> Generation:
    """Return how fast each way writes, and how long it takes to change an adapter.

    Args:
        rounds: Timed runs of each way, after one that is not timed.
        new_tokens: Length of every answer, 2 or more.
        threads: Of PyTorch.
        base: `small`, or `tiny`, which shows structure only.
        cache_dir: Of the base model.
        on_step: Told of each run when it is done.
    """
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as scratch:
        folders = [_adapter(base, seed, Path(scratch), cache_dir) for seed in (1, 2)]
        plain, ours = (_with_two(base, folders, cache_dir) for _ in range(2))
        lay_out_weights(ours)
        requests, rows = _requests(), [Row(messages=r.messages, answer="") for r in _requests()]
        ways = {**_plain_ways(plain, rows), **_our_ways(ours, requests)}
        ways |= _llama(ours, rows, threads) if base == "small" else {}
        timed: dict[str, list[_Times]] = {way: [] for way in ways}
        for way in ways:
            ways[way](2)
            on_step(way)
        for round_ in range(rounds):
            order = list(ways)
            start = round_ % len(order)
            for way in order[start:] + order[:start]:
                timed[way].append(_time(ways[way], new_tokens))
                on_step(way)
        swaps = [_swap(ours, folders[1]) for _ in range(rounds + 1)][1:]
    return Generation(
        new_tokens=new_tokens,
        prompt_tokens=[len(collate(ours, [row]).input_ids[0]) for row in rows],
        speeds=[*(_speed(way, timed, new_tokens) for way in ways), *_absent(ways)],
        swap_cpu_seconds=statistics.median(swap.cpu for swap in swaps),
        swap_wall_seconds=statistics.median(swap.wall for swap in swaps),
    )


def _adapter(base: str, seed: int, scratch: Path, cache_dir: Path | None) -> Path:
    """Return the folder of an adapter of the shipped shape with random numbers in B."""
    spec = LoraSpec(seed=seed)
    vlm = attach_lora(load(base, cache_dir=cache_dir), spec)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapter_parameters(vlm).values():
            parameter.normal_(std=0.02, generator=draw)
    save_adapter(vlm, spec, scratch / str(seed))
    return scratch / str(seed)


def _with_two(base: str, folders: Sequence[Path], cache_dir: Path | None) -> Vlm:
    """Return a base with both adapters, that never ends an answer by itself."""
    vlm = load(base, cache_dir=cache_dir)
    for name, folder in zip(_ADAPTERS, folders, strict=False):
        vlm = load_adapter(vlm, folder, name=name)
    base_of(vlm).generation_config.eos_token_id = []
    return vlm


def _requests() -> list[Request]:
    """Return public questions of different people, with a contrast each, from short to long."""
    _, examples = public_examples(BATCH)
    anybody = person_line([])
    return [
        Request(
            messages=presentations(example)[0].messages,
            contrast=build_prompt(example.question, note=example.note, person=anybody),
            adapter=_ADAPTERS[place % len(_ADAPTERS)],
        )
        for place, example in enumerate(examples)
    ]


def _plain_ways(vlm: Vlm, rows: list[Row]) -> dict[str, Write]:
    """Return what transformers and PEFT do: one request without an adapter, or several with."""
    one, many = collate(vlm, [rows[BATCH // 2]]), collate(vlm, rows)
    names = [_ADAPTERS[place % len(_ADAPTERS)] for place in range(BATCH)]
    names = [_PEFT_BASE if name == BASE_ADAPTER else name for name in names]

    def config(tokens: int) -> GenerationConfig:
        return GenerationConfig(
            max_new_tokens=tokens,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=int(vlm.tokenizer.pad_token_id),
        )

    def write_one(tokens: int) -> None:
        with vlm.model.disable_adapter():
            vlm.model.generate(
                input_ids=one.input_ids,
                attention_mask=one.attention_mask,
                generation_config=config(tokens),
            )

    def write_many(tokens: int) -> None:
        vlm.model.generate(
            input_ids=many.input_ids,
            attention_mask=many.attention_mask,
            generation_config=config(tokens),
            adapter_names=names,
        )

    return {PLAIN: write_one, PEFT_BATCH: write_many}


def _our_ways(vlm: Vlm, requests: list[Request]) -> dict[str, Write]:
    """Return what this project does."""
    one = replace(requests[BATCH // 2], adapter=BASE_ADAPTER)

    def writes(asked: list[Request], guidance: float) -> Write:
        def write(tokens: int) -> None:
            answer_all(vlm, [replace(r, max_new_tokens=tokens, guidance=guidance) for r in asked])

        return write

    return {OURS: writes([one], 1.0), GUIDED: writes([one], 1.5), OURS_BATCH: writes(requests, 1.0)}


def _llama(vlm: Vlm, rows: list[Row], threads: int) -> dict[str, Write]:
    """Return what llama.cpp does, if it is installed."""
    if find_spec("llama_cpp") is None:
        return {}
    ids = collate(vlm, [rows[BATCH // 2]]).input_ids[0].tolist()
    model = import_module("llama_cpp").Llama(
        model_path=str(language_file()), n_ctx=2048, n_threads=threads, verbose=False
    )

    def write(tokens: int) -> None:
        model.reset()
        for _, _ in zip(range(tokens), model.generate(ids, temp=0.0), strict=False):
            pass

    return {LLAMA: write}


def _time(write: Write, new_tokens: int) -> _Times:
    """Time a first token alone, then a whole answer."""
    gc.collect()
    start = time.process_time()
    write(1)
    first = time.process_time() - start
    start, wall = time.process_time(), time.perf_counter()
    write(new_tokens)
    return _Times(first=first, cpu=time.process_time() - start, wall=time.perf_counter() - wall)


def _swap(vlm: Vlm, folder: Path) -> _Times:
    """Time how long it takes to put another adapter in the place of one."""
    start, wall = time.process_time(), time.perf_counter()
    load_adapter(drop_adapter(vlm, _ADAPTERS[1]), folder, name=_ADAPTERS[1])
    return _Times(first=0.0, cpu=time.process_time() - start, wall=time.perf_counter() - wall)


def _speed(way: str, timed: dict[str, list[_Times]], new_tokens: int) -> Speed:
    """Return what was found of one way."""
    answers = BATCH if way in {PEFT_BATCH, OURS_BATCH} else 1
    own, plain = timed[way], timed[PLAIN]
    ratios = [answers * p.cpu / o.cpu for o, p in zip(own, plain, strict=True)]
    firsts = [o.first / p.first for o, p in zip(own, plain, strict=True)]
    cpu = statistics.median(times.cpu for times in own)
    return Speed(
        way=way,
        answers=answers,
        first_seconds=statistics.median(times.first for times in own),
        cpu_seconds=cpu,
        wall_seconds=statistics.median(times.wall for times in own),
        tokens_per_second=answers * new_tokens / cpu,
        first_ratio=statistics.median(firsts),
        ratio=statistics.median(ratios),
        ratio_low=min(ratios),
        ratio_high=max(ratios),
        note="four bits" if way == LLAMA else "",
    )


def _absent(ways: dict[str, Write]) -> list[Speed]:
    return [] if LLAMA in ways else [Speed(way=LLAMA, answers=1, note="not installed")]


def as_speeds(found: Generation) -> str:
    """Return what was measured as a Markdown table, and a line about adapters."""
    head = (
        "| way | first token, s | whole, s | by the clock, s | tokens/s | first / plain "
        "| tokens/s / plain |\n|---|---|---|---|---|---|---|\n"
    )
    swap = (
        f"\n\nAn adapter was put in the place of another in {1e3 * found.swap_cpu_seconds:.0f} ms "
        f"({1e3 * found.swap_wall_seconds:.0f} ms by the clock)."
    )
    return head + "\n".join(_line(speed) for speed in found.speeds) + swap


def _line(speed: Speed) -> str:
    if speed.ratio is None:
        return f"| {speed.way} | {speed.note} | | | | | |"
    way = f"{speed.way} ({speed.note})" if speed.note else speed.way
    return (
        f"| {way} | {speed.first_seconds:.3f} | {speed.cpu_seconds:.3f} | "
        f"{speed.wall_seconds:.3f} | {speed.tokens_per_second:.1f} | {speed.first_ratio:.2f} | "
        f"{speed.ratio:.2f} ({speed.ratio_low:.2f} to {speed.ratio_high:.2f}) |"
    )
