"""One cell of a frontier: an adapter trained as it says, and what it is worth, leaks and costs.

Every cell is a run folder, so that `discreet audit` and `discreet report` can say more of it. All
of a cell happens in one process, whose peak memory is that of its training.
"""

import math
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from discreet.artifacts import RunFolder
from discreet.audit import Counts, Subject, gist_of, open_subject
from discreet.bench.adaptation import Ask, ask_all, measure_adaptation
from discreet.bench.baseline import shelve_baseline
from discreet.bench.frontier_cells import UNTRAINED, CellSetting, FrontierCell, Spec
from discreet.bench.made import made_by
from discreet.bench.memory import STATUS, memory_bytes
from discreet.bench.responders import asking_prompt, gated_prompt, write_all
from discreet.bench.rouge import rouge_at_length
from discreet.bench.tasks import evaluate, load_held_out
from discreet.data import Question, compose_answer, load_questions, split_questions
from discreet.federated import (
    AssistantTask,
    TrainConfig,
    publish,
    run_federation,
    seal_data,
)
from discreet.model import adapter_state, load_adapter_state

MOST_PER_USER = 8
"""Examples of one person, in private cells that hide people, if the plan does not say."""
ARRAY_HEADER_BYTES = 128
"""Of an array on the wire, in NumPy's format; the plain federation is not sent, but would be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Frontier:
    """What all cells of a frontier have in common."""

    plan: TrainConfig
    folder: Path
    """Gets a run folder for each cell."""
    data: Path | None = None
    """Parquet file of people; None: the packaged ones."""
    cache: Path | None = field(default=None, repr=False)
    counts: Counts = field(default_factory=Counts)
    held_out: int = 48
    """Examples of held-out people for the loss."""
    trios: int = 12
    """Questions for `follows`, each asked by three people."""
    questions: int = 5
    """Held-out ones, each asked by every reader, that are answered in words."""
    threads: int = 1
    """Of each process."""


def measure_cell(frontier: Frontier, spec: Spec) -> FrontierCell:
    """Train what a cell says, or take its base, and measure it.

    Args:
        frontier: What all cells have in common.
        spec: Which cell.
    """
    start = time.perf_counter()
    torch.set_num_threads(frontier.threads)
    run = RunFolder(frontier.folder / spec.name)
    if run.path.exists():
        shutil.rmtree(run.path)  # of a cell that was stopped
    plan = plan_of_cell(frontier.plan, spec)
    task = AssistantTask.build(plan, shared_data=frontier.data, cache_dir=frontier.cache)
    if spec.setting.unit == "user":
        plan = of_users(plan, task)
        task = replace(task, config=plan)
    costs = _train(task, RunFolder.create(run.path), spec.setting, frontier.data)
    del task
    subject = open_subject(str(run.path), run.path.parent, data=frontier.data, cache=frontier.cache)
    values: dict[str, float | None] = dict(costs)
    values |= _utility(frontier, subject, spec.setting)
    if spec.setting.kind != "prompted":
        found = gist_of(subject, frontier.counts)
        values |= {
            name: getattr(found, name)
            for name in ("members", "area", "shown", "withheld", "identity")
            + ("gap", "worst", "twins", "flips")
        }
    told = {name: float(value) for name, value in values.items() if value is not None}
    return FrontierCell(
        setting=spec.setting,
        seed=spec.seed,
        values={name: value for name, value in told.items() if math.isfinite(value)},
        privacy=subject.worst if spec.setting.kind == "private" else None,
        took=time.perf_counter() - start,
        made=made_by() | {"threads": frontier.threads},
    )


def plan_of_cell(plan: TrainConfig, spec: Spec) -> TrainConfig:
    """Return the plan of a cell.

    As much is drawn in a step as in all owners' steps of any other, but for one owner alone, who
    draws an owner's batches, and is another owner with each seed.
    """
    setting = spec.setting
    changes: dict[str, Any] = {
        "seed": plan.seed if spec.seed is None else spec.seed,
        "reproducible": True,
    }
    if setting.kind == "central":
        changes |= {
            "num_owners": 1,
            "min_replies": 1,
            "owners_per_round": None,
            "dirichlet_alpha": None,
            "expected_batch_size": plan.num_owners * plan.expected_batch_size,
            "canaries": plan.num_owners * plan.canaries,
        }
    if setting.kind == "alone":
        own = (spec.seed or 0) % plan.num_owners
        absent = ",".join(str(number) for number in range(plan.num_owners) if number != own)
        changes |= {"absent_owners": absent or None, "owners_per_round": None, "min_replies": 1}
    if setting.rule:
        changes["aggregation"] = setting.rule
    if setting.kind == "private":
        changes |= {"target_epsilon": setting.epsilon, "unit": setting.unit}
        changes["sampled"] = setting.unit
    if setting.unit == "user":
        changes["examples_per_user"] = plan.examples_per_user or MOST_PER_USER
    return replace(plan, **changes)


def of_users(plan: TrainConfig, task: AssistantTask) -> TrainConfig:
    """Return a plan that draws people, with the divisor that the owner with the fewest has."""
    people = min(len(set(task.lessons_of(owner).users)) for owner in task.owned)
    return replace(plan, expected_batch_size=max(1, round(plan.sample_rate * people)))


def _train(
    task: AssistantTask, run: RunFolder, setting: CellSetting, data: Path | None
) -> dict[str, float]:
    """Leave an adapter in the run's folder, and return what it cost."""
    seal_data(run, data)
    start, cpu = time.perf_counter(), time.process_time()
    if setting.kind == "private":
        outcome = run_federation(task.config, run, task)
        publish(run, task, outcome.state, rounds_done=task.config.num_rounds)
    elif setting.kind in UNTRAINED:
        task.config.save(run.config_path)
        publish(run, task, task.initial_state(), rounds_done=0)
        return {}
    else:
        shelve_baseline(task, run)
    costs = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    if (sent := _sent(task, run, setting)) is not None:
        costs["megabytes"] = sent / 1e6
    if STATUS.exists():
        costs["memory"] = memory_bytes("VmHWM") / 1e9
    return costs


def _sent(task: AssistantTask, run: RunFolder, setting: CellSetting) -> float | None:
    """Return the bytes of all arrays both ways; None: the data were in one place."""
    if setting.kind == "private":
        counted = ("bytes_up", "bytes_down")
        lines = run.read_metrics()
        return float(sum(line["value"] for line in lines if line["name"] in counted))
    if setting.kind == "plain":
        arrays = adapter_state(task.vlm).values()
        size = sum(value.numel() * 4 + ARRAY_HEADER_BYTES for value in arrays)
        return 2 * size * len(task.owned) * task.config.num_rounds
    return None


def _utility(frontier: Frontier, subject: Subject, setting: CellSetting) -> dict[str, float]:
    """Return what the adapter is worth to people whom it never saw."""
    vlm = subject.task.vlm
    load_adapter_state(vlm, subject.state)
    asks = ask_all(asked_of_all(frontier.questions))
    prompt = asking_prompt if setting.kind == "prompted" else gated_prompt
    answers = write_all(vlm, asks, prompt)
    judged = measure_adaptation(answers, asks)
    fits = list(judged.fits.values())
    values = {
        "fits": sum(one.value * one.n for one in fits) / sum(one.n for one in fits),
        "recall": judged.all_recall.value,
        "rouge": _rouge(answers, asks),
        "mentions": judged.mentions.value,
    }
    if setting.kind == "prompted":
        return values
    scores = evaluate(vlm, load_held_out(examples=frontier.held_out, trios=frontier.trios))
    return {"loss": scores.gated_loss, "follows": scores.follows_words} | values


def asked_of_all(count: int) -> list[Question]:
    """Return so many held-out questions, spread over both domains."""
    held_out = split_questions(load_questions()).held_out
    return held_out[:: max(1, len(held_out) // count)][:count]


def _rouge(answers: list[str], asks: list[Ask]) -> float:
    """Return the mean ROUGE-L at equal length with the answer that is right for each reader."""
    found = [
        rouge_at_length(
            answer,
            compose_answer(ask.question, ask.band, expression=ask.expression or "neutral"),
        )
        for answer, ask in zip(answers, asks, strict=True)
    ]
    return sum(found) / len(found)
