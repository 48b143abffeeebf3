"""The owner's end of a secure sum: what a device answers, and what it remembers between messages.

Who says what when stands in `secure`, which is the server's end. What a member remembers is a file
beside the owner's ledger that is written before an answer leaves, so that no crash brings back an
older state, under which other numbers would leave under the same masks.

    >>> import tempfile
    >>> with SumMemory(Path(tempfile.mkdtemp()) / "sum").held() as memory:
    ...     memory.keep(1, Member.create(7, b"a round"))
    ...     memory.recall(1).id
    ...     memory.forget()
    7

Guarantee: a member answers each question of a round once, also after a restart, and also where two
processes of its owner are asked; with the last its secrets are gone. The file has mode 0600, and
one that was changed is refused.
"""

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from flwr.app import ArrayRecord, Message

from discreet.artifacts import remove_file, write_bytes
from discreet.errors import ArtifactCorrupt, LedgerInUse, RosterMismatch
from discreet.federated import messages
from discreet.federated.bad_message import BadMessage
from discreet.federated.config import TrainConfig
from discreet.federated.messages import Words
from discreet.federated.secure import by_id, group_of, of_ids, words_in
from discreet.federated.site import OwnerSite
from discreet.federated.terms import Terms
from discreet.secagg import Member


@dataclass(slots=True)
class SumMemory:
    """What one owner remembers of the secure sum that it is in, as one process reads and writes it.

    Guarantee: what `recall` gave is replaced only while the file still holds it, so that a process
    that is late brings back nothing that another one has used up or forgotten.
    """

    path: Path
    _known: bytes | None = field(default=None, init=False, repr=False)
    """First line of what this process read or wrote last: a hash of all of it, and the round."""

    @contextmanager
    def held(self) -> Iterator["SumMemory"]:
        """Keep every other process of this owner out of the sum inside the block.

        The kernel lets go of a process that dies. The file of the lock stays: who removed it would
        let two in.

        Raises:
            LedgerInUse: at once, if another process is inside.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f"{self.path.name}.lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LedgerInUse(
                    "Expected to be alone in a secure sum, but another process of this owner is at "
                    "it. Wait until it ends, or end it; nothing was spent."
                ) from error
            yield self

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
        self._known = head
        return Member.from_bytes(state)

    def keep(self, server_round: int, member: Member) -> None:
        """Replace what is remembered.

        Raises:
            BadMessage: if the file does not hold any more what this process read.
        """
        if self._known is not None and self._known != self._head():
            raise BadMessage(
                "Expected the round as it was when this device began to answer, found it changed: "
                "another process of this owner was at it."
            )
        about, state = str(server_round).encode(), member.to_bytes()
        head = _sha256(about, state) + b" " + about
        write_bytes(self.path, head + b"\n" + state)
        self._known = head

    def forget(self) -> None:
        """Remove what is remembered, for good."""
        self._known = None
        remove_file(self.path)

    def _head(self) -> bytes | None:
        return self.path.read_bytes().partition(b"\n")[0] if self.path.exists() else None


def show_keys(message: Message, site: OwnerSite, node_id: int) -> Message:
    """Begin a round on a device: return its public keys, signed if the owner has a roster.

    Raises:
        LedgerInUse: if another process of this owner is in a sum.
    """
    round_id = messages.read_parts(message)["round-id"]
    own = site.credentials
    member = Member.create(node_id, round_id, signing_key=own.key if own else None)
    with SumMemory(site.sum_path).held() as memory:
        memory.keep(messages.read_round(message), member)
    return messages.answer_parts(message, {"keys": member.advertise()})


def share_secrets(message: Message, site: OwnerSite, config: TrainConfig) -> Message:
    """Return shares of this device's secrets, sealed for its neighbours.

    Raises:
        AggregationRefused: if keys of them are damaged or too few.
        BadMessage: if the sum is not one of the plan.
        LedgerInUse: if another process of this owner is in a sum.
        RosterMismatch: if one of them is not on the owner's roster, where there is one, or they are
            more than it has.
    """
    with SumMemory(site.sum_path).held() as memory:
        server_round = messages.read_round(message)
        member = memory.recall(server_round)
        parts = messages.read_parts(message)
        ids, size = tuple(json.loads(parts["ids"])), int(json.loads(parts["size"]))
        own = site.credentials
        roster = own.roster.keys if own else None
        _check_count(len(ids), config, None if roster is None else len(roster))
        group = group_of(config, ids, size, member.round_id)
        sealed = member.share(group, of_ids(parts), roster=roster)
        memory.keep(server_round, member)
    return messages.answer_parts(message, by_id(sealed))


def receive(message: Message, memory: SumMemory, terms: Terms) -> Member:
    """Return the member that a request to train is for; to be called before anything is charged.

    Nothing is written: a request that is lost to a crash may come again. The memory is held from
    here to `mask`.

    Raises:
        AggregationRefused: if the sealed shares do not open or are too few, or numbers left before.
        BadMessage: if no such round has begun, or its numbers are not those of the plan's update.
    """
    server_round = messages.read_round(message)
    member = memory.recall(server_round)
    member.receive(of_ids(messages.read_parts(message)))
    if member.size != (size := words_in(terms, server_round)):
        raise BadMessage(f"Expected a sum of {size} numbers, as the plan has, got another.")
    return member


def mask(memory: SumMemory, server_round: int, member: Member, words: Words) -> ArrayRecord:
    """Return a device's numbers under its masks.

    Raises:
        BadMessage: if the round was used up or forgotten since `receive`.
    """
    masked = member.mask(words)
    memory.keep(server_round, member)
    return messages.words_record(masked)


def unmask(message: Message, site: OwnerSite) -> Message:
    """Return a device's shares for the sum of those who stayed, and forget the round.

    Raises:
        LedgerInUse: if another process of this owner is in a sum.
    """
    with SumMemory(site.sum_path).held() as memory:
        member = memory.recall(messages.read_round(message))
        parts = messages.read_parts(message)
        alive, gone = (set(json.loads(parts[name])) for name in ("alive", "dropped"))
        shares = member.unmask(alive, gone)
        memory.forget()
    return messages.answer_parts(message, {"shares": shares})


def _check_count(members: int, config: TrainConfig, listed: int | None) -> None:
    """Refuse a sum of another size before anything is computed that grows with it."""
    if not config.min_replies <= members <= config.asked_per_round:
        raise BadMessage(
            f"Expected a sum of {config.min_replies} to {config.asked_per_round} members, as the "
            "plan has, got another number. A sum of few would give their updates away."
        )
    if listed is not None and members > listed:
        raise RosterMismatch(
            f"Expected at most the {listed} owners of the roster, got a sum of {members}. They "
            "need a roster of all."
        )


def _sha256(about: bytes, state: bytes) -> bytes:
    return hashlib.sha256(about + b"\n" + state).hexdigest().encode()
