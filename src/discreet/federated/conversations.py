"""Conversations of a lab's own: one private example is one whole conversation.

Read from what `discreet data share` wrote. All answers of a conversation are learnt, at once and in
one row, each behind everything that was said and shown before it; the loss is the mean over their
tokens. System and user turns are context. Of a pair, the chosen answer is learnt and the rejected
one is not read. Whether a conversation is used depends on it alone, so that neighbouring data sets
differ in one example; nothing is ever cut.

No word, name or path of a conversation is in an error, a log or a `repr`: rows and numbers are.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL.Image import Image

from discreet.errors import DataError
from discreet.federated.config import TrainConfig
from discreet.federated.lessons import (
    OWN,
    Lessons,
    Shared,
    VisualTokens,
    prefix_of,
    within_plan,
)
from discreet.model import (
    IMAGE_TOKEN,
    EncodedRow,
    FrozenPrefix,
    TooManyTokens,
    Vlm,
    answer_losses,
    base_of,
    encode_dialogue,
    pad_rows,
)
from discreet.sources import Medium, Record, lack_of, num_owners_in, owners_in, read_shares
from discreet.types import OwnerId

logger = logging.getLogger(__name__)

REASONS = {
    "kind": "no conversation (a picture, a pair of pictures, a video)",
    "answer": "without an answer to anything said before it",
    "places": "with another number of places than of pictures, or a picture in an answer",
    "template": "that the base's chat template cannot hold",
    "length": "longer than max_tokens, or than the base can read",
}
"""Why a record is left out."""
_ROLES = ("system", "user", "assistant")
_NUMBERED = re.compile(r"owner-(?:0|[1-9][0-9]{0,8})")
"""Names that `partition` gives."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """One private example."""

    row: EncodedRow = field(repr=False)
    pictures: tuple[int, ...] = field(repr=False)
    """Which of all pictures are shown, in the order of their places."""
    person: str | None = field(repr=False)
    number: int = field(repr=False)
    """Place in the file, from 1."""


@dataclass(frozen=True, slots=True)
class _Picture:
    """A picture on the owner's disk, and the first row of the file that shows it."""

    medium: Medium = field(repr=False)
    row: int

    @property
    def image(self) -> Image:
        return self.medium.image()


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationLessons:
    """One owner's conversations."""

    vlm: Vlm
    visual: VisualTokens = field(repr=False)
    examples: Sequence[Conversation] = field(repr=False)
    prefix: FrozenPrefix | None = field(default=None, repr=False)

    @property
    def rows_per_example(self) -> int:
        """One: a conversation is a row."""
        return 1

    @property
    def users(self) -> list[str | None]:
        """The person of each conversation; None where the set does not say."""
        return [example.person for example in self.examples]

    def __len__(self) -> int:
        """Return how many conversations there are."""
        return len(self.examples)

    def losses(self, indices: Sequence[int]) -> torch.Tensor:
        """Return the mean loss over the answer tokens of some conversations, (N,)."""
        chosen = [self.examples[index] for index in indices]
        batch = pad_rows(self.vlm, [example.row for example in chosen])
        shown = [picture for example in chosen for picture in example.pictures]
        features = self.visual.of(shown) if shown else None
        if self.prefix is None:
            return answer_losses(self.vlm, batch, features)
        keys = [example.number for example in chosen]
        return self.prefix.answer_losses(batch, features, keys=keys)


_NOTHING = (
    "Expected conversations to learn from, got none: {} of {} records are left out: {}. `discreet "
    "data check` says what is in a set."
)


def share_conversations(
    vlm: Vlm, config: TrainConfig, path: Path, *, root: Path | None = None, is_own: bool = False
) -> Shared:
    """Return what owners learn from conversations, the owners as the file says.

    `owner-0`, `owner-1`, … keep their numbers; who has nothing is an owner without examples. Who
    trains, and under which name, does not depend on what anybody has. Owners of other names are
    numbered in the order of these, so that a name of somebody never gets into a ledger or a card;
    all of them have to have something. Every picture is opened once here and not kept.

    Args:
        vlm: The model, with its adapter.
        config: The public plan.
        path: An index or a shard that `discreet data share` wrote.
        root: Folder of the data set, if it lies elsewhere now.
        is_own: It is the shard of this device's owner.

    Raises:
        DataError: if the file cannot be read, a picture cannot be opened, nothing can be learnt
            from, or, under `unit = "user"`, a conversation does not say whose it is.
        ValueError: if the plan is for another number of owners than the file has.
    """
    owner_of = _number_owners(path, config, is_own)
    found = _Reading(vlm, most=most_tokens(vlm, config))
    by_owner: dict[OwnerId, list[Conversation]] = {owner: [] for owner in owner_of.values()}
    for name, record in read_shares(path, root=root):
        if conversation := found.take(record):
            by_owner[owner_of[name]].append(conversation)
    used = sum(map(len, by_owner.values()))
    if not used:
        raise DataError(_NOTHING.format(*found.told()))
    if config.unit == "user":
        _require_persons(by_owner.values())
    _open_all(found.pictures, found.rows)
    level = logging.WARNING if is_own and found.left_out else logging.INFO
    logger.log(level, "%s of %s records are left out: %s", *found.told())
    visual, prefix = VisualTokens(vlm, found.pictures), prefix_of(vlm, config)
    owned: dict[OwnerId, Lessons] = {}
    for owner, conversations in by_owner.items():
        kept = within_plan((own.person for own in conversations), config)
        examples = _in_order([conversations[place] for place in kept], found.pictures)
        owned[owner] = ConversationLessons(vlm=vlm, visual=visual, examples=examples, prefix=prefix)
    return Shared(owned=owned, left_out=found.left_out)


def other_conversations(vlm: Vlm, config: TrainConfig, path: Path) -> ConversationLessons:
    """Return conversations that no owner learnt from, to compare with, whosever they are.

    Args:
        vlm: The model, with its adapter.
        config: The plan of the owners.
        path: An index or a shard that `discreet data share` wrote.

    Raises:
        DataError: if the file cannot be read, a picture cannot be opened, or nothing can be used.
    """
    found = _Reading(vlm, most=most_tokens(vlm, config))
    taken = [found.take(record) for _, record in read_shares(path)]
    examples = [one for one in taken if one is not None]
    if not examples:
        raise DataError(_NOTHING.format(*found.told()))
    _open_all(found.pictures, found.rows)
    return ConversationLessons(
        vlm=vlm,
        visual=VisualTokens(vlm, found.pictures),
        examples=_in_order(examples, found.pictures),
    )


def most_tokens(vlm: Vlm, config: TrainConfig) -> int:
    """Return how long a conversation may be: the plan's limit, or the base's if that is less."""
    own = getattr(base_of(vlm).config.text_config, "max_position_embeddings", None)
    return min(config.max_tokens, int(own)) if own else config.max_tokens


class _Reading:
    """Turns records into conversations, and counts what is left out."""

    def __init__(self, vlm: Vlm, *, most: int) -> None:
        self._vlm = vlm
        self._most = most
        self._place_of: dict[bytes, int] = {}
        self.pictures: list[_Picture] = []
        self.left_out: Counter[str] = Counter()
        self.rows = 0

    def take(self, record: Record) -> Conversation | None:
        """Return a record as an example; None after counting why it is none."""
        self.rows += 1
        turns = [turn for turn in record.turns if turn.role != "rejected"]
        row = None
        reason = lack_of(record) or _misfit_of(record)
        if not reason:
            said = [{"role": turn.role, "content": turn.text} for turn in turns]
            try:
                row = encode_dialogue(self._vlm, said, max_tokens=self._most)
                reason = "template" if row is None else ""
            except TooManyTokens:
                reason = "length"
        if row is None or reason:
            self.left_out[reason] += 1
            return None
        return Conversation(
            row=row,
            pictures=tuple(self._place(medium) for medium in record.media),
            person=record.person,
            number=self.rows,
        )

    def told(self) -> tuple[int, int, str]:
        """Return how many records are left out, of how many, and why."""
        why = (f"{count} {REASONS[reason]}" for reason, count in self.left_out.items())
        return self.left_out.total(), self.rows, "; ".join(why) or "none"

    def _place(self, medium: Medium) -> int:
        """Return which picture it is; one that several conversations show is one."""
        place = self._place_of.setdefault(medium.key, len(self.pictures))
        if place == len(self.pictures):
            self.pictures.append(_Picture(medium, self.rows))
        return place


def _misfit_of(record: Record) -> str:
    """Return why a conversation cannot be put in a row; empty if it may."""
    if not _has_its_places(record):
        return "places"
    said = {turn.role for turn in record.turns} - {"rejected"}
    return "" if said <= set(_ROLES) else "template"


def _has_its_places(record: Record) -> bool:
    """Return whether each picture has its place, and no answer shows one."""
    places: Counter[str] = Counter()
    for turn in record.turns:
        places[turn.role] += turn.text.count(IMAGE_TOKEN)
    return places["assistant"] == 0 and places["system"] + places["user"] == len(record.media)


def _number_owners(path: Path, config: TrainConfig, is_own: bool) -> Mapping[OwnerId, OwnerId]:
    """Return the owner that each name stands for, also of owners without a row."""
    names, told = owners_in(path), num_owners_in(path)
    if not names:
        raise DataError(f"Expected rows in '{path.name}', found none. Share the set out again.")
    count = max(len(names), told or 0)
    if is_own and count == 1:
        return {names[0]: OWN}
    if is_own:
        raise DataError(
            f"Expected the shard of one owner in '{path.name}', got {count} owners. Write one "
            "for each with `discreet data share --shards`."
        )
    planned = [OwnerId(f"owner-{number}") for number in range(config.num_owners)]
    if told in (None, len(planned)):
        if set(names) <= set(planned):
            return {name: name for name in planned}
        is_numbered = any(_NUMBERED.fullmatch(name) for name in names)
        if len(names) == len(planned) and (len(planned) == 1 or not is_numbered):
            return dict(zip(names, planned, strict=True))
    raise ValueError(
        f"Expected num_owners = {_most_owners(names, told)}, the owners in '{path.name}', got "
        f"num_owners={config.num_owners}. Who has nothing is one of them, and of owners that are "
        "not named owner-0, owner-1, … all have to have something: say how many there are in the "
        "plan (--owners), or share the set out again."
    )


def _most_owners(names: Sequence[OwnerId], told: int | None) -> int:
    """Return how many owners a file is of: as it says, or as the names in it say."""
    numbers = [int(name[6:]) + 1 for name in names if _NUMBERED.fullmatch(name)]
    return told or max(len(names), *numbers, 0)


def _require_persons(shared: Iterable[Sequence[Conversation]]) -> None:
    """Refuse to hide users where it is not known who they are."""
    persons = [example.person for own in shared for example in own]
    if missing := persons.count(None):
        raise DataError(
            f"Expected to know whose each conversation is under unit = 'user', got {missing} of "
            f"{len(persons)} without: one person could be several. Add a column 'user' to the set "
            "and share it out again, or use unit = 'example'."
        )


def _open_all(pictures: Sequence[_Picture], rows: int) -> None:
    """Refuse data with a picture that cannot be opened before anything is charged.

    Found in a step, it would cost that step, and say that the example was drawn.
    """
    for picture in pictures:
        try:
            _ = picture.image
        except DataError as error:
            raise DataError(
                f"In row {picture.row} of {rows}: {str(error).partition('. ')[0]}. Mend or remove "
                "the row and share the set out again; if the set was moved, say where it is now "
                "(--root; on a node, root in [site] of node.toml)."
            ) from None  # the cause names the file


def _in_order(examples: list[Conversation], pictures: Sequence[_Picture]) -> list[Conversation]:
    """Return conversations from short to long, in an order that is not that of the file.

    Batches are drawn in order and need less padding; rows of the file may change their places.
    """

    def place(example: Conversation) -> tuple[int, bytes, list[bytes]]:
        shown = [pictures[number].medium.key for number in example.pictures]
        return len(example.row), example.row.input_ids.numpy().tobytes(), shown

    return sorted(examples, key=place)
