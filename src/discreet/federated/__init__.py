"""Train one adapter with several data owners, none of whom hands over data."""

from discreet.federated.client import (
    Generators,
    LocalResult,
    LocalTask,
    Watch,
    client_app,
    draw_generators,
    local_update,
)
from discreet.federated.config import TrainConfig, describe_fields
from discreet.federated.local import LocalGrid
from discreet.federated.messages import State
from discreet.federated.publishing import publish
from discreet.federated.rounds import (
    Checkpoint,
    Outcome,
    read_checkpoint,
    released_statements,
    run_federation,
    server_app,
)
from discreet.federated.strategy import AdapterAveraging, OnRound, RoundReport, RunningMean
from discreet.federated.task import (
    AssistantTask,
    VisualTokens,
    example_losses,
    plan_of,
    presentations,
)

__all__ = [
    "AdapterAveraging",
    "AssistantTask",
    "Checkpoint",
    "Generators",
    "LocalGrid",
    "LocalResult",
    "LocalTask",
    "OnRound",
    "Outcome",
    "RoundReport",
    "RunningMean",
    "State",
    "TrainConfig",
    "VisualTokens",
    "Watch",
    "client_app",
    "describe_fields",
    "draw_generators",
    "example_losses",
    "local_update",
    "plan_of",
    "presentations",
    "publish",
    "read_checkpoint",
    "released_statements",
    "run_federation",
    "server_app",
]
