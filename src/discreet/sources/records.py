"""Records: what a data set says of a picture, conversation, pair or video, and where it lies.

A record is small: it names files and rows of tables, and loads a picture when it is asked for one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from PIL.Image import Image

from discreet.data import open_image
from discreet.errors import DataError
from discreet.sources.problems import Origin
from discreet.sources.tables import read_cell

Kind = Literal["picture", "conversation", "pair", "video"]
Role = Literal["system", "user", "assistant", "rejected"]
"""Who speaks; `rejected` is the answer that a rater liked less, beside that of the `assistant`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """What one side of a conversation says; `<image>` stands where a picture is shown."""

    role: Role
    text: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Medium:
    """Where a picture or a video is: a file, a cell of a table, or the bytes of a list."""

    role: str
    """`picture`, `person`, `garment`, `video`, `audio` or `frame`."""
    path: Path = field(repr=False)
    root: Path = field(repr=False)
    """Folder of the set."""
    row: int | None = None
    """Row of the table at `path`; None if the file is the medium itself."""
    column: str | None = None
    item: int = 0
    """Which, where the cell is a list of pictures."""
    data: bytes | None = field(default=None, repr=False)
    """The bytes, where a list holds the picture itself (a `data:` address)."""

    @property
    def name(self) -> str:
        """The path relative to the set, which a copy of the set has too.

        Raises:
            ValueError: if the path is not written as one below the set's folder: a bare name could
                be that of another file.
        """
        path, root = str(self.path), f"{str(self.root).rstrip('/')}/"
        if not path.startswith(root):
            raise ValueError(
                "Expected a medium below the folder of its set, got another path. Make it with "
                "`Folder.medium`."
            )
        return path.removeprefix(root)

    @property
    def key(self) -> bytes:
        """What tells it from every other medium of the set."""
        place = f"{self.name}\0{self.row}\0{self.column}\0{self.item}\0"
        return place.encode() + (self.data or b"")

    def read(self) -> bytes:
        """Return the bytes.

        Raises:
            DataError: if they are not there.
        """
        if self.data is not None:
            return self.data
        if self.row is not None and self.column is not None:
            return read_cell(self.path, self.row, self.column, self.item)
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise DataError(
                f"Expected a file of the data set, could not read it ({type(error).__name__}). "
                "Check the set again."
            ) from None  # the cause names the file

    def image(self) -> Image:
        """Decode the picture: upright RGB without metadata.

        Raises:
            ImageError: if it is damaged, too small, too large, or in another format.
        """
        return open_image(self.path if self.data is None and self.row is None else self.read())


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One row of a data set."""

    kind: Kind
    media: tuple[Medium, ...] = field(repr=False)
    labels: Mapping[str, str] = field(repr=False)
    """What may be learnt from: age, what a face shows, what a conversation is about."""
    audit_labels: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Labels that audits may read and nothing else may: race, gender, skin tone, ..."""
    person: str | None = field(default=None, repr=False)
    """Who it is of, as the set names them; None if the set does not say."""
    turns: tuple[Turn, ...] = field(default=(), repr=False)
    split: str | None = None
    """The set's own part: `train`, `validation`, `test`, or `other`."""
    origin: Origin

    @property
    def all_labels(self) -> dict[str, str]:
        """Labels and audit labels in one mapping, for counting."""
        return {**self.labels, **self.audit_labels}
