"""What `discreet bench performance` reads: training, writing, seeing, federating and auditing.

Each is set beside what a user would do without this project, or, where there is no such thing,
beside a fixed piece of arithmetic.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from discreet.artifacts import RunFolder
from discreet.bench.performance import LEARNING_RATE, MAX_GRAD_NORM, Mechanism, Plain
from discreet.bench.readings import Pair, Work
from discreet.bench.scale import plan_for, task_of
from discreet.bench.workloads import Setting, Workload, build_workload, public_examples
from discreet.federated import AssistantTask, draw_generators, presentations, run_federation
from discreet.membership import measure_membership
from discreet.model import Request, Row, Vlm, answer_all, base_of, collate, load, load_adapter_state
from discreet.perception import Perceiver
from discreet.privacy import CounterGenerator, ExampleGradients, NoisySum, PrivacyPlan, fit_private

BATCH = 8
NEW_TOKENS = 16
OWNERS = 8
ARITHMETIC = "fixed arithmetic"


def speed_pairs(base: str = "small", *, cache_dir: Path | None = None) -> Iterator[Pair]:
    """Yield what is read, one after the other, so that one model is in memory at a time.

    Args:
        base: `small`, or `tiny`, whose times say little.
        cache_dir: Of the converted base.
    """
    model = "small" if base == "small" else "llava"
    work = build_workload(Setting(model=model, adapter="shipped", batch=BATCH), cache_dir=cache_dir)
    yield Pair(
        name="a private step",
        beside="a plain step",
        work=_private_step(work),
        yardstick=_plain_step(work),
    )
    del work
    vlm = load(base, cache_dir=cache_dir)
    base_of(vlm).generation_config.eos_token_id = []
    yield Pair(
        name=f"{BATCH} answers at once",
        beside="transformers' generate",
        work=_our_answers(vlm),
        yardstick=_their_answers(vlm),
    )
    del vlm
    portraits, _ = public_examples(BATCH)
    perceiver = Perceiver.load()
    yield Pair(
        name="what is seen of a portrait",
        beside=ARITHMETIC,
        work=lambda: perceiver.perceive(portraits[0].image),
        yardstick=arithmetic,
    )
    task = task_of(plan_for(OWNERS, per_round=OWNERS, rounds=1, base="tiny", local_steps=1))
    yield Pair(
        name=f"a round of {OWNERS} owners, with accounts and records",
        beside="their private steps alone",
        work=lambda: _federate(task),
        yardstick=lambda: _steps_alone(task),
    )
    yield _audit_pair()


def _audit_pair() -> Pair:
    scores = np.random.default_rng(0).normal(size=(2, 1000))
    people = [list(range(1000)), list(range(1000, 2000))]
    return Pair(
        name="what a membership audit computes of 2,000 scores",
        beside=ARITHMETIC,
        work=lambda: measure_membership(*scores, *people),
        yardstick=arithmetic,
    )


def arithmetic() -> float:
    """Multiply matrices for about a tenth of a second."""
    one = torch.full((256, 256), 1 / 256)
    for _ in range(400):
        one = one @ one
    return float(one[0, 0])


def _private_step(work: Workload) -> Work:
    plan = PrivacyPlan(
        target_epsilon=8.0,
        delta=1e-5,
        max_grad_norm=MAX_GRAD_NORM,
        noise_multiplier=1.0,
        sample_rate=0.01,
        steps=1,
        expected_batch_size=work.batch,
    )
    optimizer = torch.optim.AdamW(work.parameters, lr=LEARNING_RATE)

    def step() -> None:
        sums = ExampleGradients(work.model, capacity=work.batch)
        _take(NoisySum(sums, optimizer, plan, CounterGenerator.from_os()), work)

    return step


def _plain_step(work: Workload) -> Work:
    optimizer = torch.optim.AdamW(work.parameters, lr=LEARNING_RATE)
    return lambda: _take(Plain(optimizer), work)


def _take(mechanism: Mechanism, work: Workload) -> None:
    with mechanism as ready:
        ready.accumulate(work.losses())
        ready.update()


def _our_answers(vlm: Vlm) -> Work:
    _, examples = public_examples(BATCH)
    requests = [
        Request(messages=presentations(one)[0].messages, max_new_tokens=NEW_TOKENS)
        for one in examples
    ]
    return lambda: answer_all(vlm, requests)


def _their_answers(vlm: Vlm) -> Work:
    _, examples = public_examples(BATCH)
    rows = [Row(messages=presentations(one)[0].messages, answer="") for one in examples]
    batch = collate(vlm, rows)
    return lambda: vlm.model.generate(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        pad_token_id=int(vlm.tokenizer.pad_token_id),
    )


def _federate(task: AssistantTask) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run_federation(task.config, RunFolder.create(Path(folder) / "run"), task)


def _steps_alone(task: AssistantTask) -> None:
    """Take the steps of all owners from the same adapter, with neither accounts nor records."""
    first = task.initial_state()
    for owner in task.owned:
        load_adapter_state(task.vlm, first)
        lessons = task.lessons_of(owner)
        chance = draw_generators(task.config, owner=owner, server_round=1)
        fit_private(
            task.vlm.model,
            lessons.losses,
            num_examples=len(lessons),
            rows_per_example=lessons.rows_per_example,
            plan=task.plan,
            steps=task.config.local_steps,
            optimizer=task.optimizer(),
            sampling_generator=chance.sampling,
            noise_generator=chance.noise,
            max_physical_batch=task.config.max_physical_batch,
        )
