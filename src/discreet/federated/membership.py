"""The owner's end of a secure sum: what a device answers, and what it remembers between messages.

Who says what when stands in `secure`, which is the server's end. What a member remembers is a file
beside the owner's ledger that is written before an answer leaves, so that no crash brings back an
older state, under which other numbers would leave under the same masks.

    >>> import tempfile
    >>> memory = SumMemory(Path(tempfile.mkdtemp()) / "sum")
    >>> memory.keep(1, Member.create(7, b"a round"))
    >>> memory.recall(1).id
    7
    >>> memory.forget()

Guarantee: a member answers each question of a round once, also after a restart; with the last its
secrets are gone. The file has mode 0600, and one that was changed is refused.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from flwr.app import ArrayRecord, Message

from discreet.artifacts import remove_file, write_bytes
from discreet.errors import ArtifactCorrupt
from discreet.federated import messages
from discreet.federated.bad_message import BadMessage
from discreet.federated.config import TrainConfig
from discreet.federated.messages import Words
from discreet.federated.secure import by_id, group_of, of_ids, words_in
from discreet.federated.site import OwnerSite
from discreet.federated.terms import Terms
from discreet.secagg import Member


@dataclass(frozen=True, slots=True)
class SumMemory:
    """What one owner remembers of the secure sum that it is in."""

    path: Path

    def recall(self, server_round: int) -> Member:
        """Return the member of a round.

        Raises:
            ArtifactCorrupt: if the file is damaged.
            BadMessage: if there is none, or of another round: a message was lost, or came twice.
        """
        if not self.path.exists():
            raise BadMessage("Expected a round that has begun on this device, found none.")
        head, _, state = self.path.read_bytes().partition(b"\n")
        if head.partition(b" ")[0] != _sha256(head.partition(b" ")[2], state):
            raise ArtifactCorrupt(
                f"Expected what was written in '{self.path.name}', got something else. Leave this "
                "round out; the next begins with a new state."
            )
        if int(head.partition(b" ")[2]) != server_round:
            raise BadMessage("Expected a question of the round that has begun, got another's.")
        return Member.from_bytes(state)

    def keep(self, server_round: int, member: Member) -> None:
        """Replace what is remembered."""
        about, state = str(server_round).encode(), member.to_bytes()
        write_bytes(self.path, _sha256(about, state) + b" " + about + b"\n" + state)

    def forget(self) -> None:
        """Remove what is remembered, for good."""
        remove_file(self.path)


def show_keys(message: Message, site: OwnerSite, node_id: int) -> Message:
    """Begin a round on a device: return its public keys, signed if the owner has a roster."""
    round_id = messages.read_parts(message)["round-id"]
    own = site.credentials
    member = Member.create(node_id, round_id, signing_key=own.key if own else None)
    SumMemory(site.sum_path).keep(messages.read_round(message), member)
    return messages.answer_parts(message, {"keys": member.advertise()})


def share_secrets(message: Message, site: OwnerSite, config: TrainConfig) -> Message:
    """Return shares of this device's secrets, sealed for its neighbours.

    Raises:
        AggregationRefused: if one of them is not on the owner's roster, where there is one.
        BadMessage: if the sum is not one of the plan.
    """
    memory, server_round = SumMemory(site.sum_path), messages.read_round(message)
    member = memory.recall(server_round)
    parts = messages.read_parts(message)
    ids, size = tuple(json.loads(parts["ids"])), int(json.loads(parts["size"]))
    if not config.min_replies <= len(ids) <= config.asked_per_round:
        raise BadMessage(
            f"Expected a sum of {config.min_replies} to {config.asked_per_round} members, as the "
            "plan has, got another number. A sum of few would give their updates away."
        )
    group = group_of(config, ids, size, member.round_id)
    own = site.credentials
    sealed = member.share(group, of_ids(parts), roster=own.roster.keys if own else None)
    memory.keep(server_round, member)
    return messages.answer_parts(message, by_id(sealed))


def receive(message: Message, site: OwnerSite, terms: Terms) -> Member:
    """Return the member that a request to train is for; to be called before anything is charged.

    Nothing is written: a request that is lost to a crash may come again.

    Raises:
        AggregationRefused: if the sealed shares do not open or are too few, or numbers left before.
        BadMessage: if no such round has begun, or its numbers are not those of the plan's update.
    """
    server_round = messages.read_round(message)
    member = SumMemory(site.sum_path).recall(server_round)
    member.receive(of_ids(messages.read_parts(message)))
    if member.size != (size := words_in(terms, server_round)):
        raise BadMessage(f"Expected a sum of {size} numbers, as the plan has, got another.")
    return member


def mask(site: OwnerSite, server_round: int, member: Member, words: Words) -> ArrayRecord:
    """Return a device's numbers under its masks."""
    masked = member.mask(words)
    SumMemory(site.sum_path).keep(server_round, member)
    return messages.words_record(masked)


def unmask(message: Message, site: OwnerSite) -> Message:
    """Return a device's shares for the sum of those who stayed, and forget the round."""
    memory = SumMemory(site.sum_path)
    member = memory.recall(messages.read_round(message))
    parts = messages.read_parts(message)
    alive, gone = (set(json.loads(parts[name])) for name in ("alive", "dropped"))
    shares = member.unmask(alive, gone)
    memory.forget()
    return messages.answer_parts(message, {"shares": shares})


def _sha256(about: bytes, state: bytes) -> bytes:
    return hashlib.sha256(about + b"\n" + state).hexdigest().encode()
