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
from discreet.federated.codec import CODECS, Codec, make_codec
from discreet.federated.config import PREFERENCES, TrainConfig, describe_fields
from discreet.federated.conversations import REASONS, ConversationLessons, most_tokens
from discreet.federated.lessons import Lessons, VisualTokens
from discreet.federated.local import LocalGrid
from discreet.federated.messages import State
from discreet.federated.plain import train_plainly
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

__all__ = [
    "CODECS",
    "PREFERENCES",
    "REASONS",
    "AdapterAveraging",
    "AssistantTask",
    "Checkpoint",
    "Codec",
    "ConversationLessons",
    "Generators",
    "Lessons",
    "LocalGrid",
    "LocalResult",
    "LocalTask",
    "OnRound",
    "Outcome",
    "PortraitLessons",
    "PreferenceLessons",
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
    "make_codec",
    "most_tokens",
    "plan_of",
    "presentations",
    "publish",
    "read_checkpoint",
    "released_statements",
    "run_federation",
    "server_app",
    "train_plainly",
]
