"""Flower ServerApp of the federation: averages adapters and shelves each average with its card.

The public plan comes from the run's `run_config`. See README.md beside this file.
"""

from pathlib import Path

from discreet.quiet import quiet_warnings

quiet_warnings()  # before what follows is imported

from discreet.artifacts import RunFolder  # noqa: E402
from discreet.federated import (  # noqa: E402
    AssistantTask,
    OnRound,
    RoundReport,
    State,
    TrainConfig,
    publish,
    server_app,
)


def build_task(config: TrainConfig, data: Path | None, root: Path | None) -> AssistantTask:
    """Return the task, of which the server needs the first adapter and the writer of files."""
    return AssistantTask.without_data(config)


def publisher(config: TrainConfig, run: RunFolder, task: AssistantTask) -> OnRound:
    """Return the hook that writes the adapter of each round, with what the nodes say they spent."""

    def on_round(server_round: int, state: State, report: RoundReport) -> None:
        publish(run, task, state, rounds_done=server_round)

    return on_round


app = server_app(build_task, publisher=publisher)
