"""What a federation of many owners costs in one process: time, memory and bytes, by their number.

Owners train by turns on one resident base, with the real task: packaged people, DP-SGD and a ledger
on disk. Each number of owners is measured in a process of its own. There is no network, and quality
is not measured: the base is random.

    print(as_scale_table([measure_scale(1000, per_round=100, rounds=5)]))
"""

import logging
import multiprocessing
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from transformers.utils import logging as transformers_logging

from discreet.artifacts import RunFolder
from discreet.bench.memory import memory_bytes
from discreet.data import build_examples, load_portraits, load_questions, split_questions
from discreet.federated import (
    Assignment,
    AssistantTask,
    Event,
    LocalResult,
    PortraitLessons,
    RoundDone,
    RoundReport,
    State,
    TrainConfig,
    VisualTokens,
    publish,
    run_federation,
)
from discreet.privacy import PrivacyLedger, StepRecord
from discreet.types import OwnerId

DRAWN = 4
"""Examples that a step draws on average, whatever the number of owners: their work is the same."""
_PER_OWNER = 7
"""Portraits of each owner where owners outnumber people; so many there are of a packaged person."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """What a federation of some number of owners costs."""

    owners: int
    asked: int
    """Owners of a round."""
    rounds: int
    build_seconds: float
    """To load the base and to give every owner their examples."""
    round_seconds: float
    """Median over rounds, each from the end of the one before to its own."""
    training_share: float
    """Of a round's time, that within `LocalTask.train`; median over rounds."""
    ledger_seconds: float
    """Of a round, within owners' accounts, which is a part of training; median over rounds."""
    peak_mib: float
    """Most memory of the process."""
    bytes_down: int
    """Of the arrays of a round's requests."""
    bytes_up: int
    ledger_bytes: int
    """Size of the file after all rounds."""
    metrics_bytes: int
    """Size of the file after all rounds."""
    checkpoint_bytes: int

    @property
    def driver_share(self) -> float:
        """Of a round's time, that of everything but training."""
        return 1 - self.training_share


def plan_for(
    owners: int, *, per_round: int, rounds: int, base: str = "tiny", local_steps: int = 1
) -> TrainConfig:
    """Return a plan in which a step draws `DRAWN` examples on average."""
    examples = max(_PER_OWNER, len(load_portraits("train")) // owners)
    asked = min(owners, per_round)
    return TrainConfig(
        base=base,
        num_owners=owners,
        owners_per_round=asked,
        min_replies=min(2, asked),
        num_rounds=rounds,
        local_steps=local_steps,
        sample_rate=DRAWN / examples,
        expected_batch_size=DRAWN,
    )


def task_of(plan: TrainConfig) -> AssistantTask:
    """Return a task with packaged people for any number of owners.

    Where there are more owners than people, owners have portraits in common.
    """
    portraits = load_portraits("train")
    if plan.num_owners <= len({portrait.identity_id for portrait in portraits}):
        return AssistantTask.build(plan)
    task = AssistantTask.without_data(plan)
    visual = VisualTokens(task.vlm, portraits)
    examples = build_examples(portraits, split_questions(load_questions()).private)
    for turn in range(plan.num_owners):
        places = (
            index % len(examples) for index in range(turn * _PER_OWNER, (turn + 1) * _PER_OWNER)
        )
        own = [examples[place] for place in places]
        task.owned[OwnerId(f"owner-{turn}")] = PortraitLessons(
            vlm=task.vlm, visual=visual, examples=own
        )
    return task


def measure_scale(owners: int, *, per_round: int, rounds: int) -> Scale:
    """Return what a number of owners costs, measured in a process that has done nothing else."""
    context = multiprocessing.get_context("spawn")
    plan = plan_for(owners, per_round=per_round, rounds=rounds)
    with ProcessPoolExecutor(1, mp_context=context, initializer=keep_quiet) as pool:
        return pool.submit(_measure_here, plan).result()


def keep_quiet() -> None:
    """Let a process that only measures write nothing, and use one thread."""
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(1)


def _measure_here(plan: TrainConfig) -> Scale:
    """Return the cost of a plan in this process."""
    started = time.perf_counter()
    task = task_of(plan)
    watched = _WatchedTask(task)
    build_seconds = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder.create(Path(folder) / "run")

        def publish_round(done: int, state: State, report: RoundReport) -> None:
            publish(run, task, state, rounds_done=done)

        watched.begin_round()
        run_federation(plan, run, watched, on_round=publish_round, on_event=watched.note)
        paths = run.ledger_path, run.metrics_path, run.checkpoint_path
        ledger_bytes, metrics_bytes, checkpoint_bytes = (path.stat().st_size for path in paths)
    return Scale(
        owners=plan.num_owners,
        asked=plan.asked_per_round,
        rounds=plan.num_rounds,
        build_seconds=build_seconds,
        round_seconds=statistics.median(watched.seconds),
        training_share=statistics.median(
            part / whole for part, whole in zip(watched.training, watched.seconds, strict=True)
        ),
        ledger_seconds=statistics.median(watched.in_ledger),
        peak_mib=memory_bytes("VmHWM") / 2**20,
        bytes_down=watched.last.bytes_down,
        bytes_up=watched.last.bytes_up,
        ledger_bytes=ledger_bytes,
        metrics_bytes=metrics_bytes,
        checkpoint_bytes=checkpoint_bytes,
    )


class _WatchedTask:
    """A task that notes how long training takes, and what of it accounts take, round by round."""

    def __init__(self, task: AssistantTask) -> None:
        self._task = task
        self.seconds: list[float] = []
        self.training: list[float] = []
        self.in_ledger: list[float] = []
        self.last: RoundDone

    @property
    def frozen_hash(self) -> str:
        return self._task.frozen_hash

    def initial_state(self) -> State:
        return self._task.initial_state()

    def train(
        self,
        state: State,
        *,
        owner: OwnerId,
        assignment: Assignment,
        ledger: PrivacyLedger,
        on_step: Callable[[StepRecord], None] | None,
    ) -> LocalResult:
        timed, started = _TimedLedger(ledger), time.perf_counter()
        result = self._task.train(
            state,
            owner=owner,
            assignment=assignment,
            ledger=cast(PrivacyLedger, timed),
            on_step=on_step,
        )
        self._training += time.perf_counter() - started
        self._in_ledger += timed.seconds
        return result

    def begin_round(self) -> None:
        self._started, self._training, self._in_ledger = time.perf_counter(), 0.0, 0.0

    def note(self, event: Event) -> None:
        """Close a round."""
        if isinstance(event, RoundDone):
            self.last = event
            self.seconds.append(time.perf_counter() - self._started)
            self.training.append(self._training)
            self.in_ledger.append(self._in_ledger)
            self.begin_round()


class _TimedLedger:
    """A ledger that notes how long its methods take."""

    def __init__(self, ledger: PrivacyLedger) -> None:
        self._ledger = ledger
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ledger, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - started

        return timed


def mib_per_owner(measured: Sequence[Scale]) -> float | None:
    """Return by how much memory grows with an owner, from the fewest to the most; None: of one."""
    few, many = min(measured, key=_owners_of), max(measured, key=_owners_of)
    if few.owners == many.owners:
        return None
    return (many.peak_mib - few.peak_mib) / (many.owners - few.owners)


def _owners_of(one: Scale) -> int:
    return one.owners


def as_scale_table(measured: Sequence[Scale]) -> str:
    """Return a Markdown table."""
    lines = [
        "| owners | asked | s a round | training | driver | accounts, s a round | peak, MiB "
        "| kB down | kB up | ledger, kB |",
        "|" + "---|" * 10,
    ]
    for one in measured:
        lines.append(
            f"| {one.owners:,} | {one.asked} | {one.round_seconds:.2f} | {one.training_share:.1%} "
            f"| {one.driver_share:.1%} | {one.ledger_seconds:.2f} | {one.peak_mib:,.0f} "
            f"| {one.bytes_down / 1e3:,.0f} | {one.bytes_up / 1e3:,.0f} "
            f"| {one.ledger_bytes / 1e3:,.0f} |"
        )
    return "\n".join(lines)
