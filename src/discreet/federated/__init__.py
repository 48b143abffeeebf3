"""Train one adapter with several data owners, none of whom hands over data."""

from discreet.aggregation import State
from discreet.federated.checkpoint import (
    Checkpoint,
    alone_in,
    read_checkpoint,
    require_same_plan,
    write_checkpoint,
)
from discreet.federated.client import client_app, local_update
from discreet.federated.codec import CODECS, Codec, encode_with_feedback, make_codec
from discreet.federated.config import PREFERENCES, TrainConfig
from discreet.federated.conversations import (
    REASONS,
    ConversationLessons,
    most_tokens,
    other_conversations,
)
from discreet.federated.events import (
    Event,
    OnEvent,
    OwnerDropped,
    OwnerHindered,
    OwnerReplied,
    RoundDone,
    RoundStarted,
    StepTaken,
)
from discreet.federated.evidence import released_statements, round_done, statements_of
from discreet.federated.fields import PlanField, describe_fields
from discreet.federated.kept import keep_updates, kept_updates
from discreet.federated.lessons import Lessons, VisualTokens, prefix_of
from discreet.federated.local import FIRST_NODE_ID, LocalGrid
from discreet.federated.local_task import (
    Assignment,
    Generators,
    LocalResult,
    LocalTask,
    Watch,
    draw_generators,
)
from discreet.federated.local_training import train_locally
from discreet.federated.plain import train_plainly
from discreet.federated.plans import SERVER, plan_of, update_limit
from discreet.federated.planting import canaries_of, canary_example
from discreet.federated.portraits import PortraitLessons, example_losses, presentations
from discreet.federated.preferences import PreferenceLessons, other_preferences
from discreet.federated.publishing import publish
from discreet.federated.receipts import RoundReport
from discreet.federated.rounds import (
    OnRound,
    Outcome,
    plan_hash,
    run_federation,
    server_app,
)
from discreet.federated.site import OwnerSite
from discreet.federated.task import AssistantTask
from discreet.federated.tensorboard import events_to
from discreet.federated.trained_on import require_trained_on, seal_data

__all__ = [
    "CODECS",
    "FIRST_NODE_ID",
    "PREFERENCES",
    "REASONS",
    "SERVER",
    "Assignment",
    "AssistantTask",
    "Checkpoint",
    "Codec",
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
    "OwnerHindered",
    "OwnerReplied",
    "OwnerSite",
    "PlanField",
    "PortraitLessons",
    "PreferenceLessons",
    "RoundDone",
    "RoundReport",
    "RoundStarted",
    "State",
    "StepTaken",
    "TrainConfig",
    "VisualTokens",
    "Watch",
    "alone_in",
    "canaries_of",
    "canary_example",
    "client_app",
    "describe_fields",
    "draw_generators",
    "encode_with_feedback",
    "events_to",
    "example_losses",
    "keep_updates",
    "kept_updates",
    "local_update",
    "make_codec",
    "most_tokens",
    "other_conversations",
    "other_preferences",
    "plan_hash",
    "plan_of",
    "prefix_of",
    "presentations",
    "publish",
    "read_checkpoint",
    "released_statements",
    "require_same_plan",
    "require_trained_on",
    "round_done",
    "run_federation",
    "seal_data",
    "server_app",
    "statements_of",
    "train_locally",
    "train_plainly",
    "update_limit",
    "write_checkpoint",
]
