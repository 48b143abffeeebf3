"""What the columns of a list mean: labels, audit labels, person and split, by their names.

A value is taken as it is written. Nothing is guessed from a picture or a text.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from discreet.sources.problems import Origin, Problems

PERSON = (
    "person",
    "person_id",
    "identity",
    "identity_id",
    "subject",
    "subject_id",
    "participant",
    "participant_id",
    "user",
    "user_id",
    "owner",
    "patient",
    "patient_id",
    "mrn",
    "ssn",
    "client",
    "client_id",
    "resident",
    "resident_id",
    "student",
    "student_id",
    "pupil",
    "pupil_id",
    "speaker",
    "speaker_id",
    "author",
    "author_id",
)
"""Columns that say who a row is of; the first that is there counts, and none of them is a label."""
NEVER = frozenset(
    {
        "address",
        "birthdate",
        "birthday",
        "dateofbirth",
        "dob",
        "email",
        "emailaddress",
        "familyname",
        "firstname",
        "fullname",
        "givenname",
        "lastname",
        "mail",
        "mobile",
        "name",
        "phone",
        "phonenumber",
        "surname",
        "telephone",
        "username",
    }
)
"""Columns that name somebody and are not read, spelled in letters alone.

They are no persons: two people have one name, one person has two, and `name` may be a file's.
"""
AUDIT = frozenset(
    {
        "disability",
        "ethnicity",
        "gender",
        "gender_presentation",
        "monk_skin_tone",
        "nationality",
        "race",
        "race4",
        "religion",
        "sex",
        "skin_tone",
        "skin_type",
    }
)
"""Columns that audits may read and nothing else may."""
EXPRESSION = frozenset({"emotion", "emotion_label", "expression", "facial_expression"})
"""Columns of what a face shows: kept as `expression`, a descriptor and no claim about a feeling."""
SPLITS = {
    "dev": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "test": "test",
    "testing": "test",
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}
"""What sets call their parts -> `train`, `validation`, `test`."""
OTHER_SPLIT = "other"
"""A part of another name, which may hold anything and is not passed on."""
MISSING = frozenset({"", "N/A", "NAN", "NULL", "NaN", "None", "n/a", "nan", "null"})
"""What programs write where nothing is; `none` in small letters is a word."""
MAX_LABEL = 200
"""Characters; a longer value is a text and no label."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """The columns of a row, told apart."""

    labels: dict[str, str] = field(repr=False)
    audit_labels: dict[str, str] = field(repr=False)
    person: str | None = field(repr=False)
    split: str | None


def told_apart(values: Mapping[str, object], origin: Origin, problems: Problems) -> Columns:
    """Return what the columns of a row say; texts and nested values are left out.

    Args:
        values: By column, without those that name files.
        origin: Of the row.
        problems: Gets labels that are missing.
    """
    labels: dict[str, str] = {}
    audit_labels: dict[str, str] = {}
    names = {name.strip().lower(): name for name in values}
    spelled = {_letters(key): name for key, name in reversed(names.items())}
    who = next((spelled[name] for name in map(_letters, PERSON) if name in spelled), None)
    for key, name in names.items():
        if key in ("split", "id", "index", "") or names_somebody(key):
            continue
        text = text_of(values[name])
        if text is None or text in MISSING:
            if values[name] is None or text is not None:
                problems.add("missing_label", origin, about=f"column '{shown(name)}'")
        elif len(text) <= MAX_LABEL and key in EXPRESSION:
            labels["expression"] = text.lower()
        elif len(text) <= MAX_LABEL:
            (audit_labels if key in AUDIT else labels)[key] = text
    person = text_of(values[who]) if who is not None else None
    return Columns(
        labels=labels,
        audit_labels=audit_labels,
        person=None if person is None or person in MISSING else person,
        split=split_of(values[names["split"]], origin, problems) if "split" in names else None,
    )


def split_of(value: object, origin: Origin, problems: Problems) -> str | None:
    """Return the part of the set that a value names; a word that is none is a problem."""
    text = text_of(value)
    if text is None or text in MISSING:
        return None
    if text.lower() not in SPLITS:
        problems.add("unknown_label", origin, about="column 'split'")
    return SPLITS.get(text.lower(), OTHER_SPLIT)


def names_somebody(column: str) -> bool:
    """Return whether a column says who somebody is, or how they are reached: never a label."""
    return _letters(column) in _WHO | NEVER


def _letters(name: str) -> str:
    """Return how a name is spelled without what divides its words: `Patient ID`, `patient_id`."""
    return "".join(filter(str.isalnum, name.lower()))


_WHO = frozenset(map(_letters, PERSON))


def known(
    values: Mapping[str, str],
    vocabulary: Mapping[str, tuple[str, ...]],
    origin: Origin,
    problems: Problems,
) -> dict[str, str]:
    """Return the labels that are there and that the layout knows; the others are problems."""
    kept: dict[str, str] = {}
    for name, value in values.items():
        text = value.strip()
        if text in MISSING:
            problems.add("missing_label", origin, about=f"label '{name}'")
        elif name in vocabulary and text not in vocabulary[name]:
            problems.add("unknown_label", origin, about=f"label '{name}'")
        else:
            kept[name] = text
    return kept


def text_of(value: object) -> str | None:
    """Return a plain value as text; None for nested values and for what cannot be written.

    >>> text_of(" Male "), text_of(3.0), text_of(True), text_of(float("nan")), text_of([1])
    ('Male', '3', 'True', '', None)
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            return ""
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else str(value)
    if isinstance(value, bool | int) and not (isinstance(value, int) and abs(value) > 10**30):
        return str(value)
    if not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, as JSON may hold
        return None
    return value.strip()


def shown(name: str) -> str:
    """Return the name of a column for a message: short, and printable."""
    return name.encode("utf-8", "backslashreplace").decode()[:40]
