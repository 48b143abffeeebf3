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

import torch
from flwr.app import ArrayRecord, Context, Message
from flwr.clientapp import ClientApp

from discreet.aggregation import State
from discreet.errors import IncompatibleBase
from discreet.federated import messages
from discreet.federated.codec import encode_with_feedback
from discreet.federated.config import TrainConfig
from discreet.federated.local_sgd import control_after
from discreet.federated.memory import OwnerMemory
from discreet.federated.plans import promise_of
from discreet.federated.ranks import cut
from discreet.federated.site import OwnerSite
from discreet.federated.terms import CONTROL, LEFT, Terms, of_prefix, with_prefix
from discreet.privacy import CounterGenerator, PrivacyLedger, StepRecord
from discreet.types import OwnerId, PrivacyStatement

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """What a round asks of an owner, besides the adapter itself."""

    server_round: int
    """Counted from 1."""
    learns: frozenset[str]
    """Names of the tensors that learn; all others stay as they are."""
    rank: int
    """Of this owner's adapter; what is beyond it is zero and stays so."""
    correction: State | None = field(default=None, repr=False)
    """Added to each gradient once it is noisy, by name (SCAFFOLD)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalResult:
    """What one owner's training gave; `losses` never leaves the device."""

    statement: PrivacyStatement | None
    """What the owner has spent; None where noise is not in the gradients but added to updates."""
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
        assignment: Assignment,
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


@dataclass(frozen=True, slots=True)
class Generators:
    """Sources of chance for one owner and one round; kept apart and never recorded."""

    sampling: CounterGenerator
    noise: CounterGenerator
    wire: CounterGenerator
    """Rounds what is sent."""


def draw_generators(config: TrainConfig, *, owner: OwnerId, server_round: int) -> Generators:
    """Return generators for each use of chance: from the operating system, or from the seed.

    With `reproducible`, each owner, round and use has its own stream, so that the order in which
    owners are visited does not matter.
    """
    uses = ("sampling", "noise", "wire")
    if not config.reproducible:
        return Generators(*(CounterGenerator.from_os() for _ in uses))
    text = f"{config.seed}/{server_round}/{owner}"
    return Generators(*(CounterGenerator.seeded(f"{use}/{text}") for use in uses))


def local_update(
    message: Message,
    *,
    task: LocalTask,
    config: TrainConfig,
    site: OwnerSite,
    watch: Watch | None = None,
) -> Message:
    """Return the reply to one training request: an update, or the name of what went wrong."""
    watch = watch or Watch()
    try:
        terms = Terms.of(config, task.initial_state())
        request = messages.read_request(message, terms.shapes, terms.down)
        _require_same_frozen(request, task)
        memory = OwnerMemory(site.memory_path) if terms.has_memory else None
        before = memory.recall(request.server_round) if memory else {}
        visit = _Visit(terms=terms, request=request, site=site, before=before)
        result = visit.train(task, watch, run=str(message.metadata.run_id))
        arrays, after = visit.arrays_of(result)
        if memory:
            memory.keep(request.server_round, before=before, after=after)
        return messages.answer(
            message,
            arrays,
            server_round=request.server_round,
            steps=result.steps,
            statement=_promised(result.statement, config),
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
        return local_update(message, task=task, config=plan, site=site, watch=watch)

    return app


@dataclass(frozen=True, kw_only=True, slots=True)
class _Visit:
    """One owner in one round: from the request to the arrays of the reply."""

    terms: Terms
    request: messages.Request
    site: OwnerSite
    before: State = field(repr=False)
    """What the owner kept from earlier rounds."""

    @property
    def state(self) -> State:
        """The adapter that training starts from."""
        return self.terms.adapter_of(self.request.state)

    @property
    def learns(self) -> list[str]:
        """Names of the adapter's tensors that learn in this round."""
        return self.terms.learns(self.request.server_round)

    def train(self, task: LocalTask, watch: Watch, *, run: str) -> LocalResult:
        """Return what the owner's training gives."""
        site, number = self.site, self.request.server_round
        control, own = self._controls()
        result = task.train(
            self.state,
            owner=site.owner,
            assignment=Assignment(
                server_round=number,
                learns=frozenset(self.learns),
                rank=site.rank_in(self.terms.config),
                correction={n: control[n] - own[n] for n in control} or None,
            ),
            ledger=PrivacyLedger.open(
                site.ledger,
                run=run if site.data else site.ledger.parent.name,
                keeps_plans=site.data is not None,
            ),
            on_step=watch.on_step and functools.partial(watch.on_step, site.owner, number),
        )
        if messages.shapes_of(result.state) != messages.shapes_of(self.state):
            raise ValueError(
                f"Expected the {len(self.state)} tensors of the request, got {len(result.state)} "
                "that differ in name or shape. A task returns the adapter and nothing else."
            )
        if watch.on_result:
            watch.on_result(site.owner, number, result)
        return result

    def arrays_of(self, result: LocalResult) -> tuple[ArrayRecord, State]:
        """Return the update as it travels, and what the owner keeps for later rounds."""
        config, state, number = self.terms.config, self.state, self.request.server_round
        update = {name: result.state[name] - state[name] for name in self.learns}
        update = cut(update, self.site.rank_in(config))
        coins = draw_generators(config, owner=self.site.owner, server_round=number).wire
        if not self.terms.up.is_sparse:
            return messages.pack(update, self.terms.up, coins), self._control_after(result)
        left = of_prefix(LEFT, self.before)
        arrays, left = encode_with_feedback(self.terms.up, update, left, coins)
        return messages.record_of(arrays), self._control_after(result) | with_prefix(LEFT, left)

    def _control_after(self, result: LocalResult) -> State:
        """Return the owner's control variates after the round; nothing without them.

        They are not sent: the server finds the change of their mean in the mean update.
        """
        control, own = self._controls()
        if not control:
            return {}
        start, end = ({name: s[name] for name in control} for s in (self.state, result.state))
        rate, steps = self.terms.config.learning_rate, result.steps
        fresh = control_after(own, control, start=start, end=end, steps=steps, learning_rate=rate)
        return with_prefix(CONTROL, of_prefix(CONTROL, self.before) | fresh)

    def _controls(self) -> tuple[State, State]:
        """Return the server's and the owner's control variates of what learns, or nothing."""
        control = of_prefix(CONTROL, self.request.state)
        control = {name: control[name] for name in self.learns if name in control}
        own = of_prefix(CONTROL, self.before)
        return control, {n: own.get(n, torch.zeros_like(v)) for n, v in control.items()}


def _promised(statement: PrivacyStatement | None, config: TrainConfig) -> PrivacyStatement | None:
    """Refuse a statement that the server would take for another: units are not sent.

    Raises:
        ValueError: if it is not about the unit and the neighbours of the plan.
    """
    promise = promise_of(config)
    about = [(s.unit, s.neighbouring_relation) for s in (statement, promise) if s]
    if (statement is None) != (promise is None) or len(set(about)) > 1:
        raise ValueError(
            f"Expected a statement about {about[-1:]}, got {about[:1]}. A task follows the plan."
        )
    return statement


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
