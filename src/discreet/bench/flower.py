"""The same federation by Flower's own simulation: a model in each worker of Ray, and its FedAvg.

Local training is the same: the base, the adapter, each owner's examples and the private steps. Of
what surrounds it here, accounts, checks and a record on disk, it has nothing. Both run in
processes of their own, and memory is that of all processes that they start.

    print(as_flower_table(compare_with_flower("tiny", owners=4, rounds=2)))
"""

import logging
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt
import torch
from flwr.app import Context
from flwr.client import Client, NumPyClient
from flwr.clientapp import ClientApp

from discreet.artifacts import RunFolder
from discreet.bench.scale import keep_quiet, plan_for, task_of
from discreet.errors import ExtraMissing
from discreet.federated import AssistantTask, TrainConfig, draw_generators, run_federation
from discreet.model import adapter_state, load_adapter_state
from discreet.privacy import fit_private
from discreet.quiet import quietly
from discreet.types import OwnerId

Driver = Literal["discreet", "Flower"]
DRIVERS: tuple[Driver, ...] = ("discreet", "Flower")
_EVERY_SECONDS = 0.25
_NOT_NICE = {"RAY_worker_niceness": "0"}
"""Ray's workers would wait for whatever else the machine does: by default they are nice to it, and
ours are not."""
Arrays = list[npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Driven:
    """One federation by one driver, from the start of its first process."""

    driver: Driver
    base: str
    owners: int
    rounds: int
    local_steps: int
    wall_seconds: float
    """From the start of the first process to the end of the last round."""
    cpu_seconds: float
    """Of all processes together; other programs on the machine stretch it least."""
    peak_mib: float
    """Most memory of all processes together; what they share is counted once (PSS)."""
    processes: int
    """At that time."""


def compare_with_flower(
    base: str, *, owners: int, rounds: int, local_steps: int = 1
) -> list[Driven]:
    """Return what one federation costs by each driver, one after the other.

    Raises:
        ExtraMissing: if Ray is not installed.
    """
    try:
        import ray  # noqa: F401 - only asked for: the other process imports it
    except ImportError as error:
        raise ExtraMissing("Expected Ray, found none. Install it: pip install ray.") from error
    plan = plan_for(owners, per_round=owners, rounds=rounds, base=base, local_steps=local_steps)
    return [_drive(plan, driver) for driver in DRIVERS]


def _drive(plan: TrainConfig, driver: Driver) -> Driven:
    """Run a plan in a process of its own."""
    work: Callable[[TrainConfig], None] = {"discreet": _by_us, "Flower": _by_flower}[driver]
    started = time.perf_counter()
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, mp_context=spawn, initializer=keep_quiet)
    with quietly(**_NOT_NICE), pool:
        running = pool.submit(work, plan)
        peak = _Processes(os.getpid())
        while not running.done():
            peak.look()
            time.sleep(_EVERY_SECONDS)
        running.result()
        seconds = time.perf_counter() - started
    return Driven(
        driver=driver,
        base=plan.base,
        owners=plan.num_owners,
        rounds=plan.num_rounds,
        local_steps=plan.local_steps,
        wall_seconds=seconds,
        cpu_seconds=peak.cpu_seconds,
        peak_mib=peak.mib,
        processes=peak.processes,
    )


class _Processes:
    """What all processes take that one process started."""

    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._cpu_seconds: dict[int, float] = {}
        self.mib = 0.0
        self.processes = 0

    @property
    def cpu_seconds(self) -> float:
        """What each had taken when it was last looked at, together."""
        return sum(self._cpu_seconds.values())

    def look(self) -> None:
        """Take note of what is there."""
        found = list(_started_by(self._parent))
        for process in found:
            known = self._cpu_seconds.get(process, 0.0)
            self._cpu_seconds[process] = max(known, _cpu_seconds(process))
        alive = [mib for process in found if (mib := _pss_mib(process))]
        if sum(alive) > self.mib:
            self.mib, self.processes = sum(alive), len(alive)


def _started_by(process: int) -> Iterator[int]:
    """Yield the processes that one started, and those that these started."""
    try:
        words = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:
        return
    for child in map(int, " ".join(words).split()):
        yield child
        yield from _started_by(child)


def _pss_mib(process: int) -> float:
    """Return the memory of a process, 0 if it has ended; a page of several counts in parts."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _cpu_seconds(process: int) -> float:
    """Return the processor time of a process, 0 if it has ended."""
    try:
        words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _by_us(plan: TrainConfig) -> None:
    """Run the plan with one resident base."""
    with tempfile.TemporaryDirectory() as folder:
        run_federation(plan, RunFolder.create(Path(folder) / "run"), task_of(plan))


def _by_flower(plan: TrainConfig) -> None:
    """Run the plan as Flower's examples do."""
    from flwr.common import ndarrays_to_parameters
    from flwr.server import ServerApp, ServerAppComponents, ServerConfig
    from flwr.server.strategy import FedAvg
    from flwr.simulation import run_simulation

    logging.getLogger("flwr").setLevel(logging.ERROR)
    first = AssistantTask.without_data(plan).initial_state()

    def server(_: Context) -> ServerAppComponents:
        strategy = FedAvg(
            fraction_evaluate=0.0,
            min_fit_clients=plan.num_owners,
            min_available_clients=plan.num_owners,
            initial_parameters=ndarrays_to_parameters([first[name].numpy() for name in first]),
            accept_failures=False,
        )
        return ServerAppComponents(
            strategy=strategy, config=ServerConfig(num_rounds=plan.num_rounds)
        )

    run_simulation(
        ServerApp(server_fn=server),
        ClientApp(lambda context: _client(plan, context)),
        num_supernodes=plan.num_owners,
        backend_config={
            "client_resources": {"num_cpus": 1},
            "init_args": {
                "include_dashboard": False,
                "log_to_driver": False,
                "num_cpus": os.cpu_count() or 1,
            },
        },
    )


@lru_cache(maxsize=1)
def _resident(plan: TrainConfig) -> AssistantTask:
    """Return the model and the examples of all owners, once for each worker."""
    keep_quiet()
    return task_of(plan)


def _client(plan: TrainConfig, context: Context) -> Client:
    """Return an owner."""
    owner = OwnerId(f"owner-{context.node_config['partition-id']}")
    return _Owner(_resident(plan), owner).to_client()


class _Owner(NumPyClient):
    """An owner without an account: takes the private steps and returns the adapter."""

    def __init__(self, task: AssistantTask, owner: OwnerId) -> None:
        self._task = task
        self._owner = owner

    def fit(
        self, parameters: Arrays, config: dict[str, bool | bytes | float | int | str]
    ) -> tuple[Arrays, int, dict[str, bool | bytes | float | int | str]]:
        """Return the adapter after a round."""
        task, plan = self._task, self._task.config
        values = map(torch.from_numpy, parameters)
        load_adapter_state(task.vlm, dict(zip(task.first, values, strict=True)))
        lessons = task.lessons_of(self._owner)
        chance = draw_generators(plan, owner=self._owner, server_round=1)
        fit_private(
            task.vlm.model,
            lessons.losses,
            num_examples=len(lessons),
            rows_per_example=lessons.rows_per_example,
            plan=task.plan,
            steps=plan.local_steps,
            optimizer=task.optimizer(),
            sampling_generator=chance.sampling,
            noise_generator=chance.noise,
            max_physical_batch=plan.max_physical_batch,
        )
        trained = adapter_state(task.vlm)
        return [trained[name].numpy() for name in task.first], 1, {}


def as_flower_table(driven: Sequence[Driven]) -> str:
    """Return a Markdown table."""
    lines = [
        "| driver | base | owners | rounds | wall s | processor s | processes "
        "| memory of all, MiB |",
        "|" + "---|" * 8,
    ]
    lines += [
        f"| {one.driver} | {one.base} | {one.owners} | {one.rounds} | {one.wall_seconds:.1f} "
        f"| {one.cpu_seconds:.1f} | {one.processes} | {one.peak_mib:,.0f} |"
        for one in driven
    ]
    return "\n".join(lines)
