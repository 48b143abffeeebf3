"""What happens on an owner's device: one round of local training, and the Flower app around it.

The training itself is a `LocalTask`. This file hands it the adapter, the owner's ledger and nothing
else, and turns its result, or its failure, into a reply that `messages` allows.
"""

import functools
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import platformdirs
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from discreet.errors import IncompatibleBase, PolicyError
from discreet.federated import messages
from discreet.federated.config import CHOICES, TrainConfig
from discreet.federated.messages import State
from discreet.model import EMBEDDED
from discreet.privacy import CounterGenerator, PrivacyLedger, StepRecord
from discreet.types import OwnerId, PrivacyStatement

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalResult:
    """What one owner's training gave; `losses` never leaves the device."""

    statement: PrivacyStatement
    steps: int
    state: State = field(repr=False)
    losses: tuple[float, ...] = field(default=(), repr=False)


class LocalTask(Protocol):
    """What is trained; one object serves all owners of a process, so that the base loads once."""

    @property
    def frozen_hash(self) -> str:
        """Return a hash of all weights that do not travel; an average makes sense for one only."""

    def initial_state(self) -> State:
        """Return the first adapter, the same wherever it is called: float32, by name."""

    def train(
        self,
        state: State,
        *,
        owner: OwnerId,
        server_round: int,
        ledger: PrivacyLedger,
        on_step: Callable[[StepRecord], None] | None,
    ) -> LocalResult:
        """Train from `state` on the owner's data; reserve in the owner's account first."""


TaskFactory = Callable[[TrainConfig, Path | None, Path | None], LocalTask]
"""Makes the task from the plan, the owner's own data (`None`: simulated owners) and where the
pictures of shares lie now (`None`: where they were). It is called for each message, so it should
keep what is costly to load."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """Callbacks on the device, for progress and local records; what they get never leaves it."""

    on_step: Callable[[OwnerId, int, StepRecord], None] | None = None
    """Called after each private step with the owner and the round."""
    on_result: Callable[[OwnerId, int, LocalResult], None] | None = None
    """Called once an owner's round is done."""
    on_failure: Callable[[OwnerId, Exception], None] | None = None
    """Called with the error, of which the server learns the class name only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnerSite:
    """Where an owner keeps things, and what the owner accepts from a server."""

    owner: OwnerId
    """Pseudonym of the owner in the ledger."""
    ledger: Path
    """The owner's ledger; it must outlive the process, the run and the machine's restarts."""
    data: Path | None = None
    """The owner's own data; `None`: a simulated owner with packaged people."""
    root: Path | None = None
    """Folder of the data set that `data` is a shard of, if it lies elsewhere now."""
    max_epsilon: float = 8.0
    """Largest `target_epsilon` the owner accepts."""
    max_delta: float = 1e-5
    """Largest `delta` the owner accepts."""
    unit: str = "example"
    """`user`: only plans that hide persons are accepted."""
    base: str | None = None
    """A folder with a base that the owner accepts besides the embedded ones."""

    def __post_init__(self) -> None:
        """Refuse limits that limit nothing."""
        if self.unit not in CHOICES["unit"]:
            raise ValueError(
                f"Expected unit as one of {', '.join(CHOICES['unit'])}, got another. Correct it in "
                "--node-config."
            )
        for name in ("max_epsilon", "max_delta"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(
                    f"Expected a finite {name} > 0, got {getattr(self, name)}. Correct it in "
                    "--node-config."
                )

    @classmethod
    def of_node(cls, context: Context, ledger: Path | None = None) -> "OwnerSite":
        """Return the site that a SuperNode's `--node-config` describes.

        Args:
            context: With the keys `owner`, `ledger`, `data`, `root`, `max_epsilon`,
                `max_delta`, `unit` and `base`, or with Flower's own `partition-id` for a simulated
                owner.
            ledger: Where simulated owners keep their accounts; default: one file for each run.

        Raises:
            ValueError: if a node with data of its own names no owner or no ledger.
        """
        node = context.node_config
        if "data" not in node:
            folder = Path(platformdirs.user_data_dir("discreet")) / "simulated"
            return cls(
                owner=OwnerId(str(node.get("owner", f"owner-{node.get('partition-id', 0)}"))),
                ledger=ledger or folder / f"{context.run_id}.jsonl",
            )
        if missing := sorted({"owner", "ledger"} - set(node)):
            raise ValueError(
                f"Expected owner and ledger beside data, got no {' and no '.join(missing)}. Start "
                'the SuperNode with --node-config \'owner="…" ledger="…" data="…"\'.'
            )
        limits = {k: float(node[k]) for k in ("max_epsilon", "max_delta") if k in node}
        owner, path, data = (str(node[key]) for key in ("owner", "ledger", "data"))
        return cls(
            owner=OwnerId(owner),
            ledger=Path(path),
            data=Path(data),
            root=Path(str(node["root"])) if "root" in node else None,
            unit=str(node.get("unit", "example")),
            base=str(node["base"]) if "base" in node else None,
            **limits,
        )

    def check(self, config: TrainConfig) -> None:
        """Refuse a plan that a server sent and that protects the owner's data too little.

        Raises:
            PolicyError: if the budget is above the owner's limits, or the noise is reproducible.
        """
        if self.data is None:
            return
        if config.base not in (*EMBEDDED, self.base):
            raise PolicyError(
                f"Expected {' or '.join(EMBEDDED)} as the base, got another: a server may not name "
                "folders of a node. Accept one with base in --node-config."
            )
        if config.reproducible:
            raise PolicyError(
                "Expected reproducible = false for real data, got true: the server could remove "
                "the noise. Only packaged people may be used with it."
            )
        if self.unit == "user" and config.unit != "user":
            raise PolicyError(
                f"Expected a plan that hides users, got one for an {config.unit}: whoever has "
                "several examples would be hidden less. Ask for a plan with unit = 'user'."
            )
        if not (config.target_epsilon <= self.max_epsilon and config.delta <= self.max_delta):
            raise PolicyError(
                f"Expected target_epsilon <= {self.max_epsilon:g} and delta <= {self.max_delta:g}, "
                f"got {config.target_epsilon:g} and {config.delta:g}. Ask for another plan, or "
                "raise max_epsilon or max_delta in --node-config."
            )


@dataclass(frozen=True, slots=True)
class Generators:
    """Sources of chance for one owner and one round; kept apart and never recorded."""

    sampling: CounterGenerator
    noise: CounterGenerator


def draw_generators(config: TrainConfig, *, owner: OwnerId, server_round: int) -> Generators:
    """Return generators for sampling and for noise: from the operating system, or from the seed.

    With `reproducible`, each owner, round and use has its own stream, so that the order in which
    owners are visited does not matter.
    """
    if not config.reproducible:
        return Generators(CounterGenerator.from_os(), CounterGenerator.from_os())
    text = f"{config.seed}/{server_round}/{owner}"
    return Generators(
        CounterGenerator.seeded(f"sampling/{text}"), CounterGenerator.seeded(f"noise/{text}")
    )


def local_update(
    message: Message, *, task: LocalTask, site: OwnerSite, watch: Watch | None = None
) -> Message:
    """Return the reply to one training request: an adapter, or the name of what went wrong."""
    watch = watch or Watch()
    try:
        request = messages.read_request(message)
        _require_same_frozen(request, task)
        result = task.train(
            request.state,
            owner=site.owner,
            server_round=request.server_round,
            ledger=PrivacyLedger.open(
                site.ledger,
                run=str(message.metadata.run_id) if site.data else site.ledger.parent.name,
                keeps_plans=site.data is not None,
            ),
            on_step=watch.on_step
            and functools.partial(watch.on_step, site.owner, request.server_round),
        )
        if watch.on_result:
            watch.on_result(site.owner, request.server_round, result)
        return messages.answer(
            message, state=result.state, steps=result.steps, statement=result.statement
        )
    except Exception as error:  # The boundary of the device: Flower would send the error's text.
        return _refuse(message, site.owner, watch, error)


def client_app(
    make_task: TaskFactory,
    *,
    config: TrainConfig | None = None,
    ledger: Path | None = None,
    watch: Watch | None = None,
) -> ClientApp:
    """Return the Flower app of a data owner.

    Args:
        make_task: Makes the task, or returns the one that is resident.
        config: The plan; default: what the run's `run_config` says, within the owner's limits.
        ledger: Where simulated owners keep their accounts.
        watch: Callbacks on the device.
    """
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        try:
            site = OwnerSite.of_node(context, ledger)
            plan = config or TrainConfig.from_run_config(context.run_config)
            if config is None:
                site.check(plan)
            task = make_task(plan, site.data, site.root)
        except Exception as error:  # See `local_update`.
            return _refuse(message, OwnerId(f"node {context.node_id}"), watch or Watch(), error)
        return local_update(message, task=task, site=site, watch=watch)

    return app


def _require_same_frozen(request: messages.Request, task: LocalTask) -> None:
    """Refuse to train for a server whose nodes hold another base, or another frozen part.

    Raises:
        IncompatibleBase: before anything is charged.
    """
    if request.frozen_hash != task.frozen_hash:
        raise IncompatibleBase(
            f"Expected frozen weights {request.frozen_hash[:12]} as on the server, got "
            f"{task.frozen_hash[:12]}. Install the same versions and the same base on all nodes."
        )


def _refuse(message: Message, owner: OwnerId, watch: Watch, error: Exception) -> Message:
    """Return a refusal, and say on this device where the error was raised."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    logger.warning(
        "%s did not train: %s in %s, line %s of %s",
        owner,
        type(error).__name__,
        place.name,
        place.lineno,
        Path(place.filename).name,
    )
    if watch.on_failure:
        watch.on_failure(owner, error)
    return messages.refuse(message, error)
