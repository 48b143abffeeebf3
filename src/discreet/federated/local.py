"""A Flower grid in one process: calls the client app directly, so one resident model serves all.

Any Flower strategy runs on it unchanged. There is no network, no Ray and no parallelism; owners are
visited one after the other, each when its reply is asked for, so that one reply is in memory at a
time; the `timeout` of a round has no effect.

    grid = LocalGrid(app, [{"partition-id": 0}, {"partition-id": 1}])
    with grid.activated():
        strategy.start(grid=grid, initial_arrays=arrays, num_rounds=2)
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from flwr.app import Context, Message, RecordDict, UserConfigValue
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from discreet.federated import messages

FIRST_NODE_ID = 1000
"""Node ids count from here: by their part of the data, or in the order of the configurations."""

_RUN_ID = _TASK_ID = _SERVER_NODE_ID = 1


class LocalGrid(Grid):
    """All nodes of a federation in this process."""

    def __init__(
        self,
        client_app: ClientApp,
        node_configs: Sequence[Mapping[str, UserConfigValue]],
        *,
        run_config: Mapping[str, UserConfigValue] | None = None,
    ) -> None:
        """Make one node for each configuration."""
        self._client_app = client_app
        self._run = Run.create_empty(_RUN_ID)
        self._waiting: dict[str, Message] = {}
        self._pushed = 0
        self._contexts = {
            node_id: Context(
                run_id=_RUN_ID,
                node_id=node_id,
                node_config=dict(node_config),
                state=messages.no_records(),
                run_config=dict(run_config or {}),
            )
            for place, node_config in enumerate(node_configs)
            for node_id in [FIRST_NODE_ID + int(node_config.get("partition-id", place))]
        }

    @contextmanager
    def activated(self) -> Iterator[None]:
        """Let Flower build messages inside the block.

        Flower 1.41 reads who is speaking from `TaskIdentity`, an internal of its worker processes
        that nothing sets in an ordinary one. This is the only place that sets it; the former
        values come back at the end.
        """
        former = TaskIdentity._run_id, TaskIdentity._task_id, TaskIdentity._node_id
        TaskIdentity._run_id, TaskIdentity._task_id = _RUN_ID, _TASK_ID
        TaskIdentity._node_id = _SERVER_NODE_ID
        try:
            yield
        finally:
            TaskIdentity._run_id, TaskIdentity._task_id, TaskIdentity._node_id = former

    def set_run(self, run: Run) -> None:
        """Replace the empty run."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run, empty unless one was set."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a message to a node."""
        return messages.instruction(
            content, message_type=message_type, node_id=dst_node_id, group_id=group_id, ttl=ttl
        )

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of all nodes."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Keep messages until their replies are pulled."""
        ids = []
        for message in messages:
            self._pushed += 1
            ids.append(f"message-{self._pushed}")
            message.metadata.__dict__["_message_id"] = ids[-1]
            self._waiting[ids[-1]] = message
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Let the first node that has not replied work; return its reply, each once."""
        name = next((name for name in message_ids if name in self._waiting), None)
        return [] if name is None else [self.call_node(self._waiting.pop(name))]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Return the replies of the nodes, in the order of the messages."""
        ids = self.push_messages(messages)
        return [reply for name in ids for reply in self.pull_messages([name])]

    def call_node(self, message: Message) -> Message:
        """Return the reply of one node; an exception becomes an error reply, as in Flower."""
        try:
            return self._client_app(message, self._contexts[message.metadata.dst_node_id])
        except Exception as error:  # Any app may run here, and a node that fails must not end all.
            return messages.refuse(message, error)
