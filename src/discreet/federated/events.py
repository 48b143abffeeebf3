"""What whoever watches a federation is told while it runs.

Frozen values, and a callback that takes them. Shows nothing and writes nothing. All but `StepTaken`
says what the server knows, and may release, unless the plan's choice of owners is secret: then
everything but the loss and epsilon of a `RoundDone`, and when events come, is the server's own.
`StepTaken` is local: it comes only where owners train in this process, and its loss had no noise.

    >>> event = RoundStarted(server_round=1, num_rounds=2, asked=4)
    >>> event.asked
    4
"""

from collections.abc import Callable
from dataclasses import dataclass

from discreet.types import PrivacyStatement


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundStarted:
    """The server asked the owners of a round."""

    server_round: int
    """Counted from 1, also after a resume."""
    num_rounds: int
    """Rounds of the whole plan."""
    asked: int
    """Nodes that were asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnerReplied:
    """A usable reply came."""

    server_round: int
    node: int
    size_bytes: int
    """Of the reply's arrays."""
    seconds: float
    """Since the round started."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnerDropped:
    """A node that was asked does not count in this round."""

    server_round: int
    node: int
    reason: str
    """A word of this program's own; never the text of an owner's error."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnerHindered:
    """A node whose numbers are in a secure sum was silent or wrong when the sum was opened."""

    server_round: int
    node: int
    reason: str
    """As that of `OwnerDropped`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundDone:
    """A round was averaged, and its checkpoint is safe."""

    server_round: int
    num_rounds: int
    """Rounds of the whole plan."""
    replies: int
    dropped: int
    bytes_down: int
    """Array bytes sent to all nodes."""
    bytes_up: int
    """Array bytes of all replies."""
    seconds: float
    spent: PrivacyStatement | None
    """Of the worst owner so far; None: nothing was said of privacy."""
    is_released: bool = True
    """Whether replies, drops, bytes and seconds may be told; False where epsilon counts on nobody
    knowing how many owners were asked."""
    faults: int = 0
    """Nodes in a secure sum that hindered its opening."""
    loss: float | None = None
    """Mean over owners of the loss that they released with noise; None: the plan releases none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepTaken:
    """An owner in this process took a private step; local, never released."""

    server_round: int
    owner: str
    """Pseudonym."""
    step: int
    """Of the owner's steps in this round, counted from 1."""
    steps: int
    """Steps of an owner in a round."""
    loss: float | None
    """Mean over the examples drawn, without noise; None: nobody was drawn."""


Event = RoundStarted | OwnerReplied | OwnerDropped | OwnerHindered | RoundDone | StepTaken

OnEvent = Callable[[Event], None]
"""Called with each event, in order, in the process that runs the server."""
