"""Check a data set: what is in it, what is wrong with it, who it over-represents.

One pass over the records for counts; a second one hashes the files, if asked to.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from discreet.artifacts import sha256_of_file
from discreet.sources.balance import Balance, Tally
from discreet.sources.files import Folder, real_place
from discreet.sources.layouts import Reader, is_new
from discreet.sources.pictures import LOOKED_AT, look
from discreet.sources.problems import OnProblem, Problem, Problems
from discreet.sources.records import Medium, Record
from discreet.sources.source import find_reader, read_source

SAMPLE = 200
"""Pictures that are opened unless all are asked for."""
MAX_LIST_BYTES = 2**28
"""A larger list, a table with pictures in it, is hashed on request only."""
NOT_HASHED = "not hashed"
OnStep = Callable[[str, int, int | None], None]
"""Called with what is done, how many are done, and of how many if that is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """What a check found. Counts and names of columns; no content of a row but group labels."""

    layout: str
    kinds: dict[str, int]
    """Kind of record -> how many."""
    splits: dict[str, int]
    people: int
    """How many the set names."""
    without_person: int
    """Records that do not say who they are of."""
    files: int
    bytes: int
    names_sha256: str
    """Over names and sizes of all files, in order."""
    lists: dict[str, str] = field(repr=False)
    """List -> SHA-256 of its bytes."""
    balance: Balance
    problems: dict[str, int]
    """Kind of problem -> how many."""
    reasons: dict[tuple[str, str], int]
    """Kind and column or reason -> how many."""
    first_problems: list[Problem]
    pictures: int
    opened: int
    """How many of them were opened."""
    hashed: int = 0
    """Files whose bytes were hashed."""

    @property
    def records(self) -> int:
        """How many records can be used."""
        return sum(self.kinds.values())


def check_source(
    path: Path,
    *,
    layout: str | None = None,
    on_problem: OnProblem = "skip",
    open_all: bool = False,
    hashes_to: BinaryIO | None = None,
    on_step: OnStep = lambda what, done, total: None,
) -> Check:
    """Return what is in a data set and what is wrong with it.

    Args:
        path: A folder, or a list or table in one.
        layout: Its name in `READERS`; found by what lies on disk by default.
        on_problem: `skip` counts them all; `refuse` stops at the first one.
        open_all: Open every picture; by default a random sample of `SAMPLE`.
        hashes_to: Gets a line `SHA-256  name` for each file, as `sha256sum` writes it.
        on_step: Told about progress.

    Raises:
        DataError: if no reader knows it, or at the first problem if problems are refused.
    """
    reader = find_reader(path, layout=layout)
    problems = Problems(on_problem)
    seen = _Seen(reader, open_all)
    for record in read_source(path, layout=reader.name, problems=problems):
        seen.add(record, problems)
        if seen.records % 256 == 0:
            on_step("reading", seen.records, None)
    on_step("reading", seen.records, seen.records)
    for record in seen.sample:
        seen.open(record, problems)
    hashed = 0
    if hashes_to is not None:
        records = read_source(path, layout=reader.name, problems=Problems(keep=0))
        hashed = _hash(records, hashes_to, problems, lambda n: on_step("hashing", n, seen.files))
    folder = Folder(path)
    return Check(
        layout=reader.name,
        kinds=dict(seen.kinds),
        splits=dict(seen.splits),
        people=len(seen.people),
        without_person=seen.without_person,
        files=seen.files,
        bytes=seen.bytes,
        names_sha256=seen.names.hexdigest(),
        lists={
            folder.name_of(file): _hash_of_list(file, whole=hashes_to is not None)
            for file in reader.lists(real_place(path))
            if folder.admits(file)
        },
        balance=seen.tally.balance(),
        problems=dict(sorted(problems.counts.items())),
        reasons=dict(problems.reasons),
        first_problems=problems.kept,
        pictures=seen.pictures,
        opened=seen.opened,
        hashed=hashed,
    )


class _Seen:
    """What one pass counts; grows by eight bytes a person and a picture."""

    def __init__(self, reader: Reader, open_all: bool) -> None:
        self.kinds: Counter[str] = Counter()
        self.splits: Counter[str] = Counter()
        self.people: set[int] = set()
        self.without_person = 0
        self.tally = Tally(reader.vocabulary, reader.may_be_names)
        self.names = hashlib.sha256()
        self.files = self.bytes = self.pictures = self.opened = self.records = 0
        self.sample: list[Record] = []
        self._open_all = open_all
        self._files: set[int] = set()
        self._pictures: set[int] = set()
        self._looked_at: set[int] = set()
        self._looks: set[int] = set()
        self._draw = random.Random(0)
        self._kept = 0

    def add(self, record: Record, problems: Problems) -> None:
        """Count a record."""
        self.records += 1
        self.kinds[record.kind] += 1
        self.splits[record.split or "none"] += 1
        if record.person is None:
            self.without_person += 1
        else:
            is_new(record.person.encode(), self.people)
        self.tally.add(record.labels, record.audit_labels)
        for medium in record.media:
            self._add_file(medium)
        pictures = [medium for medium in record.media if medium.role in LOOKED_AT]
        self.pictures += sum(is_new(medium.key, self._pictures) for medium in pictures)
        if pictures:
            self._keep(record, problems)

    def _add_file(self, medium: Medium) -> None:
        if medium.data is None and is_new(medium.name.encode(), self._files):
            size = medium.path.stat().st_size if medium.path.exists() else 0
            self.files += 1
            self.bytes += size
            self.names.update(f"{size}  {medium.name}\n".encode())

    def _keep(self, record: Record, problems: Problems) -> None:
        """Open a record's pictures, or keep it in a sample in which all are equally likely."""
        self._kept += 1
        if self._open_all:
            self.open(record, problems)
        elif len(self.sample) < SAMPLE:
            self.sample.append(record)
        elif (place := self._draw.randrange(self._kept)) < SAMPLE:
            self.sample[place] = record

    def open(self, record: Record, problems: Problems) -> None:
        """Open a record's pictures, each once, and count one that looks like another."""
        for medium in record.media:
            if medium.role not in LOOKED_AT or not is_new(medium.key, self._looked_at):
                continue
            self.opened += 1
            looks = look(medium, record.origin, problems)
            if looks is not None and not is_new(looks.to_bytes(8), self._looks):
                problems.add("near_duplicate", record.origin, path=medium.path)


def _hash(
    records: Iterator[Record],
    out: BinaryIO,
    problems: Problems,
    on_file: Callable[[int], None],
) -> int:
    """Write the hash of each file once, count files with the same bytes; return how many files."""
    files: set[int] = set()
    contents: set[int] = set()
    for record in records:
        for medium in record.media:
            if medium.data is not None:
                continue
            if not is_new(medium.name.encode(), files):
                continue
            digest = sha256_of_file(medium.path)
            out.write(_hash_line(digest, medium.name))
            if not is_new(digest.encode(), contents):
                problems.add("duplicate_content", record.origin, path=medium.path)
            on_file(len(files))
    return len(files)


def _hash_line(digest: str, name: str) -> bytes:
    """Return a line as `sha256sum` writes it: a name with a line end in it is escaped."""
    if "\\" in name or "\n" in name:
        escaped = name.replace("\\", "\\\\").replace("\n", "\\n")
        return f"\\{digest}  {escaped}\n".encode()
    return f"{digest}  {name}\n".encode()


def _hash_of_list(path: Path, *, whole: bool) -> str:
    """Return the hash of a list; of a large table with pictures in it only if asked for."""
    if not whole and path.stat().st_size > MAX_LIST_BYTES:
        return NOT_HASHED
    return sha256_of_file(path)
