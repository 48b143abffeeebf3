"""What a private step costs beside a plain one: time, memory, and whether the sums agree.

All ways are timed in one process and by turns, so that whatever else the machine does hits all of
them. The primary time is that of the processor, which a busy machine stretches least; peak memory
is measured in a process of its own for each way. The plain step is what a user of PEFT would run:
the same loss on answer tokens, the same optimizer, one backward pass.

    discreet bench performance --private --models small --batch 8
"""

import ctypes
import gc
import multiprocessing
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from transformers.utils import logging as transformers_logging

from discreet.bench.memory import memory_bytes
from discreet.bench.workloads import Setting, Workload, build_workload
from discreet.privacy import (
    CounterGenerator,
    ExampleGradients,
    ExampleLosses,
    NoisySum,
    OpacusStep,
    OpacusWay,
    PrivacyPlan,
)

PLAIN = "not private"
OURS = "flat"
LEARNING_RATE = 0.0
"""An optimizer works as hard at a rate of 0, and every step then starts from the same weights."""
MAX_GRAD_NORM = 0.05
"""The plan's default: most gradients of `small` are longer, so that clipping has work to do."""
_SILENT = 1e-9
"""Noise multiplier with which a sum is the clipped sum, to float32."""
_M_MMAP_THRESHOLD = -3


class Mechanism(Protocol):
    """What turns losses into a step."""

    def __enter__(self) -> Self:
        """Prepare the model."""

    def __exit__(self, *raised: object) -> None:
        """Leave the model as it was."""

    def accumulate(self, losses: ExampleLosses) -> int:
        """Run the backward pass."""

    def update(self) -> object:
        """Take the step."""


class Plain:
    """A step without privacy."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer

    def __enter__(self) -> Self:
        """Prepare nothing."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Leave no gradient."""
        self._optimizer.zero_grad(set_to_none=True)

    def accumulate(self, losses: ExampleLosses) -> int:
        """Run the backward pass of the mean."""
        losses.values.mean().backward()
        return 0

    def update(self) -> None:
        """Take the step."""
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)


WAYS = (PLAIN, OURS, "grouped", "Opacus hooks", "Opacus fast gradient", "Opacus ghost")
_OPACUS: dict[str, OpacusWay] = {
    "Opacus hooks": "hooks",
    "Opacus fast gradient": "fast_gradient",
    "Opacus ghost": "ghost",
}
SAME_SUM = (OURS, *_OPACUS)
"""Ways that clip the whole gradient of an example: their sums have to agree."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """One step."""

    cpu_seconds: float
    """Of the processor, over all threads; on CUDA the same as `wall_seconds`."""
    wall_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One way to take a step, in one setting."""

    setting: Setting
    way: str
    """One of `WAYS`, or a library that is not installed."""
    structure_only: bool
    """The model is too small for its times to say much."""
    cpu_seconds: float | None = None
    """Median over rounds."""
    wall_seconds: float | None = None
    ratio: float | None = None
    """Median over rounds of this step's time over that of the plain step of the same round."""
    ratio_low: float | None = None
    """Least of these."""
    ratio_high: float | None = None
    """Largest of these."""
    peak_bytes: int | None = None
    """Beyond what the model took before the first step; None where it was not measured."""
    peak_ratio: float | None = None
    """Over that of the plain step."""
    sum_difference: float | None = None
    """Distance of the clipped sum from ours over its length; None where another sum is meant. Ours
    is up to a thousandth shorter, which is what rounding to its grid can add."""
    note: str = ""


def measure(
    setting: Setting,
    *,
    rounds: int,
    memory: bool = True,
    cache_dir: Path | None = None,
    on_step: Callable[[str], None] = lambda way: None,
) -> list[Measured]:
    """Return what each way costs in a setting.

    Args:
        setting: Model, adapter and batch.
        rounds: Timed steps of each way, after one that is not timed but compared.
        memory: Measure peak memory as well: a process and two steps more for each way.
        cache_dir: Of the base model.
        on_step: Told of each step and of each process when it is done.
    """
    torch.set_num_threads(setting.threads)
    work = build_workload(setting, cache_dir=cache_dir)
    sums = {}
    for way in WAYS:
        sums[way] = clipped_sum(work, way)
        on_step(way)
    timed = _by_turns(work, rounds, on_step)
    del work
    _give_back()
    peaks = {}
    for way in WAYS if memory else ():
        peaks[way] = peak_bytes(setting, way, cache_dir=cache_dir)
        on_step(way)
    rows = [_row(setting, way, timed, peaks, sums) for way in WAYS]
    return [*rows, *_absent(setting)]


def _give_back() -> None:
    """Return freed memory to the system, which the processes that come next may need."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def clipped_sum(work: Workload, way: str) -> torch.Tensor:
    """Return the sum of clipped gradients, (P,) float32, by one step of a way without noise."""
    plan = _plan(work, noise_multiplier=_SILENT, expected_batch_size=1)
    kept = _Keep(work.parameters)
    with _mechanism(way, work, kept, plan) as mechanism:
        _step(mechanism, work)
    return torch.cat([gradient.flatten().float().cpu() for gradient in kept.gradients])


class _Keep(torch.optim.Optimizer):
    """Keeps gradients instead of using them."""

    def __init__(self, parameters: Sequence[torch.Tensor]) -> None:
        super().__init__(parameters, {})
        self.gradients: list[torch.Tensor] = []

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.gradients = [p.grad.clone() for group in self.param_groups for p in group["params"]]


def _by_turns(
    work: Workload, rounds: int, on_step: Callable[[str], None]
) -> dict[str, list[Timed]]:
    """Return the times of all ways, which start each round from another place."""
    optimizers = {way: _optimizer(work) for way in WAYS}
    timed: dict[str, list[Timed]] = {way: [] for way in WAYS}
    order = list(WAYS)
    for round_ in range(rounds):
        start = round_ % len(order)
        for way in order[start:] + order[:start]:
            gc.collect()
            with _ready(way, work, optimizers[way]) as mechanism:
                timed[way].append(_step(mechanism, work))
            on_step(way)
    return timed


def _optimizer(work: Workload) -> torch.optim.Optimizer:
    return torch.optim.AdamW(work.parameters, lr=LEARNING_RATE)


def _ready(way: str, work: Workload, optimizer: torch.optim.Optimizer) -> Mechanism:
    """Return a way to take steps as it would be used, with noise."""
    plan = _plan(work, noise_multiplier=1.0, expected_batch_size=work.batch)
    return _mechanism(way, work, optimizer, plan)


def _mechanism(
    way: str, work: Workload, optimizer: torch.optim.Optimizer, plan: PrivacyPlan
) -> Mechanism:
    """Return a way to take steps by its name."""
    if way == PLAIN:
        return Plain(optimizer)
    if way in _OPACUS:
        return OpacusStep(work.model, optimizer, plan, way=_OPACUS[way])
    sums = ExampleGradients(work.model, capacity=work.batch, grouped=way == "grouped")
    return NoisySum(sums, optimizer, plan, CounterGenerator.from_os())


def _plan(work: Workload, *, noise_multiplier: float, expected_batch_size: int) -> PrivacyPlan:
    return PrivacyPlan(
        target_epsilon=8.0,
        delta=1e-5,
        max_grad_norm=MAX_GRAD_NORM,
        noise_multiplier=noise_multiplier,
        sample_rate=0.01,
        steps=1,
        expected_batch_size=expected_batch_size,
    )


def _step(mechanism: Mechanism, work: Workload) -> Timed:
    """Take one step: forward pass, backward pass, update."""
    on_cuda = work.parameters[0].is_cuda
    if on_cuda:
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    mechanism.accumulate(work.losses())
    mechanism.update()
    if on_cuda:
        torch.cuda.synchronize()
    passed = time.perf_counter() - wall
    return Timed(cpu_seconds=passed if on_cuda else time.process_time() - cpu, wall_seconds=passed)


def _row(
    setting: Setting,
    way: str,
    timed: dict[str, list[Timed]],
    peaks: dict[str, int | None],
    sums: dict[str, torch.Tensor],
) -> Measured:
    """Return what was found of one way."""
    own = timed[way]
    ratios = [a.cpu_seconds / b.cpu_seconds for a, b in zip(own, timed[PLAIN], strict=True)]
    peak, plain_peak = peaks.get(way), peaks.get(PLAIN)
    return Measured(
        setting=setting,
        way=way,
        structure_only=setting.structure_only,
        cpu_seconds=statistics.median(t.cpu_seconds for t in own),
        wall_seconds=statistics.median(t.wall_seconds for t in own),
        ratio=statistics.median(ratios),
        ratio_low=min(ratios),
        ratio_high=max(ratios),
        peak_bytes=peak,
        peak_ratio=peak / plain_peak if peak and plain_peak else None,
        sum_difference=(
            float((sums[way] - sums[OURS]).norm() / sums[OURS].norm()) if way in SAME_SUM else None
        ),
    )


def _absent(setting: Setting) -> list[Measured]:
    """Return a row for what people ask about and no registry has."""
    if find_spec("fastDP") is not None:
        return []
    return [
        Measured(
            setting=setting,
            way="fastDP",
            structure_only=setting.structure_only,
            note="not installed",
        )
    ]


def peak_bytes(setting: Setting, way: str, *, cache_dir: Path | None = None) -> int | None:
    """Return the peak memory of two steps over what the model takes, in a process of its own.

    None where the system does not say: on a CPU it takes Linux.
    """
    if setting.device == "cpu" and not Path("/proc/self/clear_refs").exists():
        return None
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_quiet) as pool:
        return pool.submit(_peak_here, setting, way, cache_dir).result()


def _quiet() -> None:
    """Keep a process that only measures from writing between the lines of a progress bar."""
    warnings.simplefilter("ignore")
    transformers_logging.disable_progress_bar()


def _peak_here(setting: Setting, way: str, cache_dir: Path | None) -> int:
    """Return the peak of this process, which has done nothing else."""
    torch.set_num_threads(setting.threads)
    work = build_workload(setting, cache_dir=cache_dir)
    gc.collect()
    on_cuda = setting.device != "cpu"
    if on_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        # Large blocks then go back to the system when they are freed, so that memory taken is
        # memory in use.
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, 1 << 16)
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): the high-water mark starts anew
        before = memory_bytes("VmRSS")
    with _ready(way, work, _optimizer(work)) as mechanism:
        for _ in range(2):
            _step(mechanism, work)
    return (torch.cuda.max_memory_allocated() if on_cuda else memory_bytes("VmHWM")) - before


def as_table(rows: Sequence[Measured]) -> str:
    """Return rows as a Markdown table."""
    head = (
        "| model, adapter, batch | way | CPU s | wall s | time / not private "
        "| memory / not private | sum differs by |\n|---|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(_line(row) for row in rows)


def _line(row: Measured) -> str:
    """Return a row of the table."""
    where = f"{row.setting.model}, {row.setting.adapter}, {row.setting.batch}"
    where += " (structure)" if row.structure_only else ""
    if row.ratio is None:
        return f"| {where} | {row.way} | {row.note} | | | | |"
    peak = "" if row.peak_ratio is None else f"{row.peak_ratio:.2f}"
    differs = "" if row.sum_difference is None else f"{row.sum_difference:.0e}"
    return (
        f"| {where} | {row.way} | {row.cpu_seconds:.3f} | {row.wall_seconds:.3f} | {row.ratio:.2f} "
        f"({row.ratio_low:.2f} to {row.ratio_high:.2f}) | {peak} | {differs} |"
    )
