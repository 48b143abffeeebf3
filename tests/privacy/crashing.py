"""Processes that train, to be killed: imports and builds once, forks for each one.

    Nursery.of("privacy.crashing").run(work="train", folder="...")

A session keeps three files in its folder: the ledger, the adapter and a witness. The witness is
written synchronously and knows nothing of the ledger: a line each time noise is about to be
released, and the hash of each adapter that is about to be saved.
"""

import contextlib
import functools
import hashlib
import json
import os
import signal
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from nursery import full_disk, serve
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save
from torch.nn.functional import cross_entropy

from discreet.artifacts import write_bytes
from discreet.privacy import (
    CounterGenerator,
    PrivacyLedger,
    PrivacyPlan,
    StepRecord,
    fit_private,
    spend,
)
from discreet.types import OwnerId

from .conftest import tiny_llama

OWNER = OwnerId("owner-0")
STEPS = 3
CALLS = 6
PLAN = PrivacyPlan(
    target_epsilon=60.0,
    delta=1e-5,
    max_grad_norm=1.0,
    noise_multiplier=20.0,
    sample_rate=1.0,
    steps=2000,
    expected_batch_size=4,
    accountant="rdp",  # closed form at this rate: the time goes into training and writing
)
TOKENS = torch.arange(4 * 6).reshape(4, 6) % 31


@functools.cache
def base() -> torch.nn.Module:
    """Return a LoRA Llama, the same in every process."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        lora = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
        return get_peft_model(tiny_llama(vocab_size=32), lora).eval()


class Session:
    """One owner's device between two crashes."""

    def __init__(self, folder: Path) -> None:
        self.model = base()
        self.learning = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        self.adapter = folder / "adapter.safetensors"
        if self.adapter.exists():
            for name, tensor in load_file(self.adapter).items():
                self.learning[name].data.copy_(tensor)
        self.ledger = PrivacyLedger.open(folder / "ledger.jsonl")
        self.ledger.open_account(OWNER, PLAN)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_SYNC
        self.witness = os.open(folder / "witness.log", flags, 0o644)
        self.optimizer = torch.optim.SGD(self.learning.values(), lr=0.1)
        self.optimizer.register_step_pre_hook(lambda *_: self.testify("release"))
        self.settings = {
            "num_examples": len(TOKENS),
            "plan": PLAN,
            "steps": STEPS,
            "optimizer": self.optimizer,
            "sampling_generator": CounterGenerator.from_os(),
            "noise_generator": CounterGenerator.from_os(),
        }

    def testify(self, words: str) -> None:
        os.write(self.witness, f"{words}\n".encode())

    def loss_of(self, drawn: Sequence[int]) -> torch.Tensor:
        ids = TOKENS[list(drawn)]
        logits = self.model(input_ids=ids).logits[:, :-1]
        return cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none").mean(1)

    def train(self, **changes: object) -> None:
        arguments = {"loss_of": self.loss_of, **self.settings, **changes}
        spend(self.ledger, OWNER, self.model, **arguments)

    def save(self) -> None:
        data = save({name: p.detach().clone() for name, p in self.learning.items()})
        self.testify(f"adapter {hashlib.sha256(data).hexdigest()}")
        write_bytes(self.adapter, data)

    def flat(self) -> torch.Tensor:
        return torch.cat([p.detach().flatten().clone() for p in self.learning.values()])


def train(folder: Path) -> None:
    """Train and save, a call after the other."""
    session = Session(folder)
    for _ in range(CALLS):
        session.train()
        session.save()


def train_and_reserve_afterwards(folder: Path) -> None:
    """Do it in the wrong order, to see that it is found out."""
    session = Session(folder)
    for _ in range(CALLS):
        fit_private(session.model, session.loss_of, **session.settings)
        session.ledger.settle(session.ledger.reserve(OWNER, steps=STEPS), STEPS)
        session.save()


def reserve_on_a_full_disk(folder: Path) -> None:
    """Train once, then again when nothing more can be added to the ledger."""
    session = Session(folder)
    session.train()
    before = session.flat()
    error = ""
    with full_disk(session.ledger.path.stat().st_size):
        try:
            session.train()
        except OSError as caught:
            error = type(caught).__name__
    report(folder, error=error, moved=not torch.equal(before, session.flat()))


def settle_on_a_full_disk(folder: Path, *, failing: bool = False) -> None:
    """Train while the disk fills up; perhaps fail in the second step."""
    session = Session(folder)
    limit = contextlib.ExitStack()

    def on_step(record: StepRecord) -> None:
        if record.step == 1:
            limit.enter_context(full_disk(session.ledger.path.stat().st_size))
        elif failing:
            raise ZeroDivisionError

    error, before = "", session.flat()
    with limit, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            session.train(on_step=on_step)
        except ZeroDivisionError as caught:
            error = type(caught).__name__
    words = [str(warning.message) for warning in warned]
    report(folder, error=error, moved=not torch.equal(before, session.flat()), warned=words)


def fail_on_a_full_disk(folder: Path) -> None:
    """Fail in the second step while the disk is full."""
    settle_on_a_full_disk(folder, failing=True)


def train_without_end(folder: Path) -> None:
    """Stay inside the first step's end."""

    def wait(record: StepRecord) -> None:
        (folder / "inside").touch()
        signal.pause()

    Session(folder).train(on_step=wait)


def report(folder: Path, **values: object) -> None:
    (folder / "report.json").write_text(json.dumps(values))


WORK: dict[str, Callable[[Path], None]] = {
    work.__name__: work
    for work in (
        train,
        train_and_reserve_afterwards,
        reserve_on_a_full_disk,
        settle_on_a_full_disk,
        fail_on_a_full_disk,
        train_without_end,
    )
}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as warm:
        train(Path(warm))  # what libraries import or build on first use is then there
    base.cache_clear()
    base()
    serve(lambda work, folder: WORK[work](Path(folder)))
