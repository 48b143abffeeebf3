"""Pairs of a person and a garment, as lists for try-on name them."""

from pathlib import Path

from discreet.sources.files import Folder
from discreet.sources.problems import Origin, Problems
from discreet.sources.records import Record


def pair_of(
    folder: Folder,
    person: tuple[str, str],
    garment: tuple[str, str],
    origin: Origin,
    problems: Problems,
    *,
    labels: dict[str, str],
    split: str,
) -> Record | None:
    """Return a pair as one record, or None after counting which files cannot be used.

    Args:
        folder: Of the set.
        person: Subfolder that the list leaves out, and the name in the list.
        garment: The same.
        origin: Where the list says so.
        problems: Gets what is wrong, with both files.
        labels: Of the record.
        split: Of the record.
    """

    def found(named: tuple[str, str]) -> Path | None:
        return folder.find(named[1], origin, problems, prefix=named[0])

    worn_by, worn = found(person), found(garment)
    if not (worn_by and worn):
        return None
    return Record(
        kind="pair",
        media=(folder.medium(worn_by, "person"), folder.medium(worn, "garment")),
        labels=labels,
        split=split,
        origin=origin,
    )
