"""Problems of a data set: what is wrong, where, and the way out; never what a row holds.

>>> problems = Problems()
>>> problems.add("missing_file", Origin(file="list.csv", line=3))
>>> print(problems.kept[0])
list.csv, line 3: a file that is not there. Copy the file, or remove the row.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from discreet.errors import DataError

OnProblem = Literal["skip", "refuse"]
KINDS = {
    "row": (
        "a row that has not the fields of its header",
        "Mend or remove the row; quote values that hold a comma.",
    ),
    "encoding": ("bytes that are not UTF-8", "Save the file as UTF-8, or rename it."),
    "json": ("a value that is not the JSON expected", "Mend or remove the value."),
    "too_long": ("a line or value of more than 16 MiB", "Split it."),
    "list": (
        "a list without the columns of its layout, or with two of one name",
        "Restore its header and the separator, or name --layout.",
    ),
    "unread_list": (
        "a list beside the pictures that is not read: its labels are not in the records",
        "Name it metadata.csv and its column of pictures file_name, give it the columns of its "
        "layout (`discreet data list`), or move it away.",
    ),
    "table": ("a damaged table", "Copy the file again."),
    "unreadable": ("a file or folder that may not be read", "Change its permissions."),
    "missing_file": ("a file that is not there", "Copy the file, or remove the row."),
    "empty_file": ("a file of zero bytes", "Copy the file again."),
    "outside": (
        "a path or link that leaves the folder of the set",
        "Copy the file into the folder and write its path relative to it, or name the folder "
        "that holds both.",
    ),
    "remote": (
        "a picture that lies on the web",
        "Nothing is downloaded: copy it into the folder and write its path.",
    ),
    "name": ("a file name that is not in the form of its layout", "Rename the file, or move it."),
    "missing_label": ("a label that is missing", "Fill it in; the record counts without it."),
    "unknown_label": (
        "a value that the layout does not know",
        "Correct it (a spreadsheet may have turned it into a date); the record counts without it.",
    ),
    "turns": ("a conversation without a question and its answer", "Mend or remove the row."),
    "turn": (
        "a turn without a text",
        "Give each turn from and value, or role and content; parts of a content have the type "
        "text, image or image_url.",
    ),
    "role": ("a turn of a role that is not known", "Rename the role, or remove the row."),
    "places": (
        "another number of <image> in a conversation than of pictures",
        "Write <image> once for each picture, or nowhere: the pictures then come first.",
    ),
    "no_picture": ("a row without a picture", "Fill it in or remove the row."),
    "duplicate": ("the same a second time", "Remove one of the two; the first counts."),
    "same_words": (
        "a conversation word for word as another person's, or as one of which nobody is named",
        "Remove one if both are of one person; both count.",
    ),
    "duplicate_id": ("an id that another row has", "Give each row an id of its own; both count."),
    "duplicate_content": (
        "the same bytes as an earlier file",
        "Remove one of the two: a person in two splits, or twice, skews what is measured.",
    ),
    "near_duplicate": (
        "a picture that looks like another (same difference hash)",
        "Look at both; remove one if they are one picture.",
    ),
    "format": ("a picture in another format than JPEG, PNG and WebP", "Save it as JPEG or PNG."),
    "picture": ("a picture that cannot be used", "Copy it again, or remove the row."),
    "ending": (
        "a picture in another format than the ending of its name says",
        "It is used as what it is; rename it for programs that go by names.",
    ),
    "animated": ("an animated picture", "Only its first frame is used: save that as PNG."),
}
"""Kind -> what it is, and the way out."""
NOTES = frozenset({"animated", "duplicate_id", "ending", "near_duplicate", "same_words"})
"""Kinds by which nothing is lost: they are counted, and never refused."""
OTHER = "other reasons"
"""What reasons are counted as once there are too many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a record was read: a file of the set, and the line in it.

    Of layouts without a list, `file` is the folder with a `/` behind it, and `line` the place in
    its sorted order.
    """

    file: str
    line: int | None = None

    def __str__(self) -> str:
        """Return both, for messages."""
        if self.line is None:
            return self.file
        if self.file.endswith("/"):
            return f"{self.file[:-1]}, file {self.line} in sorted order"
        return f"{self.file}, line {self.line}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that is wrong. Holds no content of the row; `path` is shown on request only."""

    kind: str
    file: str
    line: int | None
    what: str
    way_out: str
    about: str = ""
    """The column or reason that `what` ends in."""
    path: Path | None = field(default=None, repr=False)
    """The file concerned; its name may say something of a person."""

    def __str__(self) -> str:
        """Return place, what, and the way out."""
        return f"{Origin(file=self.file, line=self.line)}: {self.what}. {self.way_out}"


class Problems:
    """What a reading found wrong: counts of all, the first ones in full."""

    def __init__(self, on_problem: OnProblem = "skip", *, keep: int = 1000) -> None:
        """Start without any.

        Args:
            on_problem: `skip` goes on with the next row; `refuse` stops at the first problem.
            keep: How many to keep in full, and of how many reasons; the rest are counted.
        """
        self.on_problem = on_problem
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[tuple[str, str]] = Counter()
        self.kept: list[Problem] = []
        self._keep = keep

    def add(self, kind: str, origin: Origin, *, about: str = "", path: Path | None = None) -> None:
        """Count a problem, or stop.

        Args:
            kind: One of `KINDS`.
            origin: Where.
            about: Said behind what it is: a column or a reason, never a value.
            path: The file concerned.

        Raises:
            DataError: if problems are refused.
        """
        what, way_out = KINDS[kind]
        problem = Problem(
            kind=kind,
            file=origin.file,
            line=origin.line,
            what=f"{what} ({about})" if about else what,
            way_out=way_out,
            about=about,
            path=path,
        )
        if self.on_problem == "refuse" and kind not in NOTES:
            raise DataError(f"Expected a set without problems, got {problem}")
        self.counts[kind] += 1
        is_told = (kind, about) in self.reasons or len(self.reasons) < self._keep
        self.reasons[kind, about if is_told else OTHER] += 1
        if len(self.kept) < self._keep:
            self.kept.append(problem)

    @property
    def total(self) -> int:
        """How many there are of all kinds."""
        return self.counts.total()
