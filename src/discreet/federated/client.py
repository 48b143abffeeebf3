"""What happens on an owner's device: one round of local training, and the Flower app around it.

The training itself is a `LocalTask`. This file hands it the adapter, the owner's ledger and nothing
else, and turns its result, or its failure, into a reply that `messages` allows.
"""

import logging
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from discreet.errors import DataError, DiscreetError, IncompatibleBase
from discreet.federated import membership, messages, secure
from discreet.federated.config import TrainConfig
from discreet.federated.local_task import LocalTask, Watch
from discreet.federated.memory import OwnerMemory
from discreet.federated.plans import promise_of
from discreet.federated.site import OwnerSite
from discreet.federated.terms import Terms
from discreet.federated.visit import Visit
from discreet.privacy import PrivacyLedger
from discreet.types import OwnerId, PrivacyStatement

logger = logging.getLogger(__name__)


TaskFactory = Callable[[TrainConfig, Path | None, Path | None], LocalTask]
"""Makes the task from the plan, the owner's own data (`None`: simulated owners) and where the
pictures of shares lie now (`None`: where they were). It is called for each message, so it should
keep what is costly to load."""


def local_update(
    message: Message,
    *,
    task: LocalTask,
    config: TrainConfig,
    site: OwnerSite,
    watch: Watch | None = None,
) -> Message:
    """Return the reply to one training request: an update, or the name of what went wrong.

    Args:
        message: The request.
        task: What is trained.
        config: The public plan.
        site: Whose device this is.
        watch: Callbacks on the device.
    """
    watch = watch or Watch()
    try:
        if not config.secure_aggregation:
            return _update(message, task=task, config=config, site=site, watch=watch)
        with membership.SumMemory(site.sum_path).held() as sums:
            return _update(message, task=task, config=config, site=site, watch=watch, sums=sums)
    except Exception as error:  # The boundary of the device: Flower would send the error's text.
        return _refuse(message, site.owner, watch, error)


def _update(
    message: Message,
    *,
    task: LocalTask,
    config: TrainConfig,
    site: OwnerSite,
    watch: Watch,
    sums: membership.SumMemory | None = None,
) -> Message:
    """Return the update that was asked for; `sums` is held where the plan adds up securely."""
    terms = Terms.of(config, task.initial_state())
    request = messages.read_request(message, terms.shapes, terms.down)
    _require_same_frozen(request, task)
    member = membership.receive(message, sums, terms) if sums else None
    memory = OwnerMemory(site.memory_path, request.run) if terms.has_memory else None
    before = memory.recall(request.server_round) if memory else {}
    ledger = PrivacyLedger.open(
        site.ledger,
        run=str(message.metadata.run_id) if site.data else site.ledger.parent.name,
        keeps_plans=site.data is not None,
    )
    visit = Visit(terms=terms, request=request, site=site, ledger=ledger, before=before)
    result = visit.train(task, watch)
    if sums and member:
        words, result = visit.words_of(result)
        loss = None  # it is among the words
        arrays = membership.mask(sums, request.server_round, member, words)
    else:
        loss = visit.loss_of(result)
        arrays, after = visit.arrays_of(result)
        if memory:
            memory.keep(request.server_round, before=before, after=after)
    return messages.answer(
        message,
        arrays,
        server_round=request.server_round,
        steps=result.steps,
        statement=_promised(result.statement, config),
        loss=loss,
    )


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

    def site_and_plan(context: Context) -> tuple[OwnerSite, TrainConfig]:
        site = OwnerSite.of_node(context, ledger)
        plan = config or TrainConfig.from_run_config(context.run_config)
        if config is None:
            site.check(plan)
        return site, plan

    @app.train()
    def train(message: Message, context: Context) -> Message:
        try:
            site, plan = site_and_plan(context)
            task = _task_of(make_task, plan, site)
        except Exception as error:  # See `local_update`.
            return _refuse(message, _owner_of(context), watch or Watch(), error)
        return local_update(message, task=task, config=plan, site=site, watch=watch)

    def member(
        answer: Callable[[Message, OwnerSite, TrainConfig, int], Message],
    ) -> Callable[..., Message]:
        def guarded(message: Message, context: Context) -> Message:
            try:
                return answer(message, *site_and_plan(context), context.node_id)
            except Exception as error:  # See `local_update`.
                return _refuse(message, _owner_of(context), watch or Watch(), error)

        return guarded

    of = membership
    app.query(secure.KEYS)(member(lambda ask, site, _, node: of.show_keys(ask, site, node)))
    app.query(secure.SHARES)(member(lambda ask, site, plan, _: of.share_secrets(ask, site, plan)))
    app.query(secure.UNMASK)(member(lambda ask, site, *_: of.unmask(ask, site)))
    return app


def _task_of(make_task: TaskFactory, plan: TrainConfig, site: OwnerSite) -> LocalTask:
    """Return the task; an error about an owner's own data says which setting names them."""
    try:
        return make_task(plan, site.data, site.root)
    except DataError as error:
        if site.data is None:
            raise
        raise DataError(
            f"{error} The file is what `data` in [site] of node.toml names; a relative path counts "
            "from the folder in which the node was started."
        ) from error


def _owner_of(context: Context) -> OwnerId:
    """Return the owner's pseudonym as the node's settings have it, and may lack it."""
    return OwnerId(str(context.node_config.get("owner", f"node {context.node_id}")))


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
    """Return a refusal, and say on this device what the owner can do, or where the error arose.

    Messages of this program's own errors hold nothing of a person; those of others may.
    """
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"in {place.name}, line {place.lineno} of {Path(place.filename).name}"
    said = " ".join(str(error).split()) if isinstance(error, DiscreetError) else where
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"  # no handler of ours adds it
    logger.warning("%s %s did not train: %s: %s", now, owner, type(error).__name__, said)
    if watch.on_failure:
        watch.on_failure(owner, error)
    return messages.refuse(message, error)
