"""Tell shares from portraits, the two kinds of file that `discreet train --data` reads.

Told by the names of columns. Of an owner's own shares, rows are read too, until one is a
conversation that something can be learnt from; no picture is opened.
"""

import re
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from discreet.data import REQUIRED_COLUMNS
from discreet.errors import DataError
from discreet.sources.records import Record
from discreet.sources.shares import COLUMNS, NUM_OWNERS, read_shares
from discreet.types import OwnerId

_OF_SHARES = frozenset({"owner", "media", "turns"})
_OF_PORTRAITS = frozenset({"image", "age_band", "expression"})


def holds_shares(path: Path) -> bool:
    """Return whether a file holds shares; False for what else it may be, a damaged file included.

    Raises:
        DataError: if it has columns of shares and of portraits, or lacks some of shares.
    """
    names = _column_names(path)
    if not names >= _OF_SHARES:
        return False
    if both := sorted(names & _OF_PORTRAITS):
        raise DataError(
            f"Expected shares or portraits in '{path.name}', got columns of both: also "
            f"{', '.join(both)}. Write two files: what an example is has to be the same for all."
        )
    if missing := [name for name in COLUMNS if name not in names]:
        raise DataError(
            f"Expected the columns of shares in '{path.name}', missing: {', '.join(missing)}. "
            "Write it with `discreet data share`."
        )
    return True


def own_examples_in(path: Path) -> Literal["conversations", "portraits"]:
    """Return what an example is of one owner's file, as a plan names it; no picture is opened.

    Raises:
        DataError: if it is neither portraits nor the shares of one owner, or nothing in these is a
            conversation.
    """
    if holds_shares(path):
        if (count := max(len(owners_in(path)), num_owners_in(path) or 0)) != 1:
            raise DataError(
                f"Expected the shard of one owner in '{path.name}', got {count} owners. Write one "
                "for each with `discreet data share --shards`."
            )
        if all(lack_of(record) for _, record in read_shares(path)):
            raise DataError(
                f"Expected conversations in the shard '{path.name}', got none with an answer to "
                "learn. Pictures with an age band and an expression become a file of portraits for "
                "each owner: `discreet data portraits SET FOLDER --owners N`."
            )
        return "conversations"
    if missing := [name for name in REQUIRED_COLUMNS if name not in _column_names(path)]:
        raise DataError(
            f"Expected Parquet of portraits, or a shard of conversations, in '{path.name}', "
            f"missing: {', '.join(missing)}. See docs/cards/people.md for the columns; "
            "conversations are shared out first (`discreet data share --shards`)."
        )
    return "portraits"


def lack_of(record: Record) -> Literal["kind", "answer"] | None:
    """Return why a record is no conversation to learn from, whatever the base; None if it may be.

    `kind`: nothing is said in it, or it shows something else than pictures. `answer`: no answer to
    anything said before. The rejected answer of a pair does not count.
    """
    roles = [turn.role for turn in record.turns if turn.role != "rejected"]
    if not roles or any(medium.role != "picture" for medium in record.media):
        return "kind"
    return None if "assistant" in roles[1:] else "answer"


def num_owners_in(path: Path) -> int | None:
    """Return to how many owners a file was shared out, those without anything too; None if unsaid.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        told = (pq.read_schema(path).metadata or {}).get(NUM_OWNERS, b"")
    except (OSError, pa.ArrowException, ValueError) as error:
        raise _unreadable(path, error) from error
    return int(told) if re.fullmatch(rb"[1-9][0-9]{0,6}", told) else None


def owners_in(path: Path) -> list[OwnerId]:
    """Return who has something in a file of shares, `owner-2` before `owner-10`.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        found = pq.read_table(path, columns=["owner"]).column("owner").unique().to_pylist()
        return [OwnerId(name) for name in sorted(found, key=lambda name: (len(name), name))]
    except (OSError, pa.ArrowException, UnicodeDecodeError, TypeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"Expected shares in '{path.name}', could not read it ({type(error).__name__}). Share the "
        "set out again."
    )


def _column_names(path: Path) -> frozenset[str]:
    try:
        return frozenset(pq.read_schema(path).names)
    except (OSError, pa.ArrowException, ValueError):
        return frozenset()
