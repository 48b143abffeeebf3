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
from discreet.federated.config import PREFERENCES, TrainConfig, describe_fields
from discreet.federated.conversations import REASONS, ConversationLessons, most_tokens
from discreet.federated.events import (
    Event,
    OnEvent,
    OwnerDropped,
    OwnerReplied,
    RoundDone,
    RoundStarted,
    StepTaken,
)
from discreet.federated.lessons import Lessons, VisualTokens
from discreet.federated.local import LocalGrid
from discreet.federated.messages import State
from discreet.federated.portraits import PortraitLessons, example_losses, presentations
from discreet.federated.preferences import PreferenceLessons
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
from discreet.federated.task import AssistantTask, plan_of
from discreet.federated.tensorboard import events_to

__all__ = [
    "PREFERENCES",
    "REASONS",
    "AdapterAveraging",
    "AssistantTask",
    "Checkpoint",
    "ConversationLessons",
    "Event",
    "Generators",
    "Lessons",
    "LocalGrid",
    "LocalResult",
    "LocalTask",
    "OnEvent",
    "OnRound",
    "Outcome",
    "OwnerDropped",
    "OwnerReplied",
    "PortraitLessons",
    "PreferenceLessons",
    "RoundDone",
    "RoundReport",
    "RoundStarted",
    "RunningMean",
    "State",
    "StepTaken",
    "TrainConfig",
    "VisualTokens",
    "Watch",
    "client_app",
    "describe_fields",
    "draw_generators",
    "events_to",
    "example_losses",
    "local_update",
    "most_tokens",
    "plan_of",
    "presentations",
    "publish",
    "read_checkpoint",
    "released_statements",
    "run_federation",
    "server_app",
]
