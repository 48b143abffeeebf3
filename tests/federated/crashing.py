"""Whole runs to be killed, with tiny owners and a witness who knows nothing of the ledger.

    Nursery.of("federated.crashing").run(folder="...", plan="plain", die_at=17)

A run keeps beside its folder `witness.log`, written synchronously: the name of an account each time
chance is about to be drawn for what it pays for. `die_at` kills the process right before its n-th
call that makes a file, renames one, removes one or waits until one is on disk.
"""

import functools
import itertools
import json
import os
import signal
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from nursery import full_disk, serve
from safetensors.torch import save_file

from discreet import artifacts, chain
from discreet.aggregation import State
from discreet.artifacts import RunFolder, sha256_of_folder, write_json
from discreet.errors import FederationError
from discreet.federated import (
    OnRound,
    RoundReport,
    TrainConfig,
    checkpoint,
    draw_generators,
    local_training,
    memory,
    plans,
    run_federation,
    statements_of,
    visit,
)
from discreet.federated.coordinator import Coordinator
from discreet.federated.local_task import Generators
from discreet.federated.plans import SERVER
from discreet.privacy import CounterGenerator, PrivacyPlan
from discreet.types import OwnerId
from federated import tiny
from federated.tiny import TinyTask, tiny_config

MANY = 10.0
"""Times the noise that is needed, so that rounds can be paid for again and again."""
OWNERS = {"unit": "owner", "sampled": "owner", "max_update_norm": 1.0}
SECURE = {"secure_aggregation": True, "num_owners": 4, "min_replies": 3}
FREE = {"max_update_norm": 1e6, "num_rounds": 4, "min_replies": 2}
PLANS: dict[str, dict[str, Any]] = {
    "plain": FREE,
    "unseeded": {**FREE, "reproducible": False},
    "remembering": {
        **FREE,
        "server_optimizer": "momentum",
        "local_rule": "scaffold",
        "wire": "topk",
        "topk_share": 0.5,
    },
    "short": {
        **FREE,
        "num_rounds": 2,
        "local_steps": 1,
        "server_optimizer": "adam",
        "local_rule": "scaffold",
        "wire": "topk",
        "topk_share": 0.5,
    },
    "secure": {**FREE, **SECURE},
    "owners": {**OWNERS, "num_rounds": 4, "num_owners": 4, "owners_per_round": 2},
    "owners with their own noise": {**OWNERS, **SECURE, "num_rounds": 3},
}
"""Plans by name; each keeps something else between rounds."""
CALLS = ("fsync", "open", "pwrite", "replace", "unlink")
"""Of `os`; what is written lies between them."""


def config_of(plan: str) -> TrainConfig:
    return tiny_config(**PLANS[plan])


class Witness:
    """Writes down that something begins, before it does."""

    def __init__(self, folder: Path, *, die_at: int = 0) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_SYNC
        self.file = os.open(folder / "witness.log", flags, 0o644)
        self.left = die_at

    def testify(self, account: str) -> None:
        os.write(self.file, f"{account}\n".encode())
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Watched(CounterGenerator):
    """Chance of which somebody is told before it is drawn."""

    on_draw: Callable[[], None]

    @classmethod
    def over(cls, generator: CounterGenerator, on_draw: Callable[[], None]) -> CounterGenerator:
        generator.__class__, generator.__dict__["on_draw"] = cls, on_draw
        return generator

    def _integers(self, count: int) -> Any:
        self.on_draw()
        return super()._integers(count)


def watch(witness: Witness) -> None:
    """Let all that is paid for be witnessed in this process: steps, rounds, shares of noise."""
    draw, chance = draw_generators, Coordinator._chance

    def draw_watched(config: TrainConfig, *, owner: OwnerId, server_round: int) -> Generators:
        drawn = draw(config, owner=owner, server_round=server_round)
        if config.unit != "owner":
            Watched.over(drawn.sampling, lambda: witness.testify(owner))
        elif config.secure_aggregation:
            Watched.over(drawn.noise, functools.cache(lambda: witness.testify(owner)))
        return drawn

    def chance_watched(server: Coordinator, use: str, number: int) -> CounterGenerator:
        drawn = chance(server, use, number)
        on_draw = functools.cache(lambda: witness.testify(SERVER))
        return Watched.over(drawn, on_draw) if use == "noise" else drawn

    for module in (local_training, visit):
        module.draw_generators = draw_watched  # type: ignore[attr-defined]
    Coordinator._chance = chance_watched  # type: ignore[method-assign]


def make_room() -> None:
    """Let plans have more noise than they need."""
    for module, name in ((tiny, "plan_of"), (plans, "_plan_for_owners")):
        setattr(module, name, functools.cache(with_more_noise(getattr(module, name))))


def with_more_noise(calibrated: Callable[[TrainConfig], PrivacyPlan]) -> Callable[..., Any]:
    def generous(config: TrainConfig) -> PrivacyPlan:
        plan = calibrated(config)
        return replace(plan, noise_multiplier=plan.noise_multiplier * MANY)

    return generous


class DyingCalls:
    """Counts calls that write, and kills the process at one of them."""

    def __init__(self, die_at: int) -> None:
        self.count, self.die_at = 0, die_at
        for name in CALLS:
            setattr(os, name, self.around(getattr(os, name)))

    def tick(self) -> None:
        self.count += 1
        if self.count == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            self.tick()
            return call(*args, **options)

        return counted


WRITERS: dict[str, tuple[ModuleType, str]] = {
    "ledger": (chain, "append_line"),
    "checkpoint": (checkpoint, "write_bytes"),
    "metrics": (artifacts, "append_line"),
    "memory": (memory, "write_bytes"),
}
"""Who writes which file."""
SPACE_BYTES = 50
"""Room for a part of a line or of a header."""


def fill_disk(file: str, after: int) -> None:
    """Leave no room for a file, once it was written `after` times."""
    module, name = WRITERS[file]
    write, calls = getattr(module, name), itertools.count()

    def refused(path: Path, data: bytes) -> None:
        if next(calls) < after:
            write(path, data)
            return
        appends = name == "append_line" and path.exists()
        with full_disk(SPACE_BYTES + (path.stat().st_size if appends else 0)):
            write(path, data)

    setattr(module, name, refused)


def publisher(run: RunFolder) -> OnRound:
    """What `publish` does, for a model that is no language model."""

    def on_round(server_round: int, state: State, report: RoundReport) -> None:
        with run.new_adapter() as folder:
            save_file(state, folder / "adapter.safetensors")
        spent = {owner: said.epsilon for owner, said in statements_of(run).items()}
        about = {"rounds_done": server_round, "epsilon": spent}
        write_json(run.card_path, {**about, "adapter_sha256": sha256_of_folder(run.adapter_dir)})

    return on_round


def train(
    folder: str, plan: str, die_at: int = 0, die_at_draw: int = 0, full: str = "", after: int = 0
) -> None:
    """Start a run, or go on with it."""
    home, config = Path(folder), config_of(plan)
    watch(Witness(home, die_at=die_at_draw))
    task, run = TinyTask(config), RunFolder(home / "run")
    run.path.mkdir(exist_ok=True)
    if full:
        fill_disk(full, after)
    calls, report = DyingCalls(die_at), {}
    try:
        report["ended"] = run_federation(config, run, task, on_round=publisher(run)).ended
    except (OSError, FederationError) as error:
        causes = [error, error.__cause__]
        report["errors"] = [f"{type(cause).__name__}: {cause}" for cause in causes if cause]
    (home / "report.json").write_text(json.dumps({**report, "calls": calls.count}))


if __name__ == "__main__":
    make_room()
    for name in PLANS:  # plans are calibrated and libraries imported once
        with tempfile.TemporaryDirectory() as warm:
            config, run = config_of(name), RunFolder.create(Path(warm) / "run")
            run_federation(config, run, TinyTask(config), on_round=publisher(run))
    serve(train)
