"""The manifest of a data set: what it is, who may use it for what, what is in it, its hashes.

`manifest.toml` lies beside the data. What no program can know (licence, legal basis, consent,
purpose) is said by whoever holds the data, or stays `unknown` and is an open point. With hashes of
all files, these are in `manifest.sha256`, which `sha256sum -c` reads as well.
"""

from dataclasses import asdict, dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any

from discreet.artifacts import read_toml, write_toml
from discreet.errors import ArtifactCorrupt
from discreet.sources.balance import Balance
from discreet.sources.check import NOT_HASHED, Check

UNKNOWN = "unknown"
SCHEMA = 1
MAX_GAPS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Declared:
    """What only the holder of the data knows."""

    name: str = UNKNOWN
    """What the set is called."""
    origin: str = UNKNOWN
    """Where it came from: a page, a person, a device."""
    licence: str = UNKNOWN
    """Under which terms it may be used."""
    legal_basis: str = UNKNOWN
    """Of the processing, for example the articles that `discreet law` calls `gdpr-6-1-a` and
    `gdpr-9-2-a`."""
    consent: str = UNKNOWN
    """Of the people in it: how it was given, where it is kept, how it is withdrawn."""
    purpose: str = UNKNOWN
    """Who may use it for what."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What is known of a data set at a date."""

    declared: Declared
    date: str
    """Of the check, as YYYY-MM-DD."""
    layout: str
    counts: dict[str, int]
    """Records, people, files and bytes; records by kind and split."""
    names_sha256: str
    """Over names and sizes of all files."""
    files_sha256: str
    """Of `manifest.sha256`, or `not hashed`."""
    lists: dict[str, str]
    """List -> SHA-256."""
    balance: dict[str, dict[str, int]] = field(default_factory=dict)
    """Label -> value -> records; `(missing)` are those without."""
    pairs: list[dict[str, Any]] = field(default_factory=list)
    """Two labels, and the records for each pair of values."""
    gaps: list[str] = field(default_factory=list)
    """Combinations that nobody has."""
    audit_labels: list[str] = field(default_factory=list)
    """Labels that only audits may read."""
    not_shown: list[str] = field(default_factory=list)
    """Labels with too many values to be groups."""
    problems: dict[str, int] = field(default_factory=dict)


def manifest_of(check: Check, declared: Declared, *, files_sha256: str, today: date) -> Manifest:
    """Return the manifest that follows from a check and what its holder says."""
    counts = {
        "records": check.records,
        "people": check.people,
        "without_person": check.without_person,
        "files": check.files,
        "bytes": check.bytes,
        "pictures": check.pictures,
        "opened": check.opened,
        **{f"kind {kind}": count for kind, count in check.kinds.items()},
        **{f"split {split}": count for split, count in check.splits.items()},
    }
    return Manifest(
        declared=declared,
        date=today.isoformat(),
        layout=check.layout,
        counts=counts,
        names_sha256=check.names_sha256,
        files_sha256=files_sha256,
        lists=check.lists,
        balance=_tables(check.balance),
        pairs=_pairs(check.balance),
        gaps=gaps_of(check.balance)[:MAX_GAPS],
        audit_labels=[told.label for told in check.balance.labels if told.is_audit],
        not_shown=check.balance.not_shown,
        problems=check.problems,
    )


def gaps_of(balance: Balance) -> list[str]:
    """Return what nobody has: values, then combinations of values that others have.

    Of combinations those come first of which most would be expected if the two labels had nothing
    to do with each other.
    """
    counts = {told.label: told.counts for told in balance.labels}
    alone = [
        f"{label} = {value}" for label, told in counts.items() for value in told if not told[value]
    ]
    together = []
    for pair in balance.pairs:
        a, b = pair.labels
        total = max(1, sum(pair.counts.values()))
        for x, y in pair.gaps:
            expected = counts[a][x] * counts[b][y] / total
            if expected:
                together.append((expected, f"{a} = {x} and {b} = {y}"))
    together.sort(key=lambda gap: -gap[0])
    return alone + [text for _, text in together]


def _tables(balance: Balance) -> dict[str, dict[str, int]]:
    return {
        told.label: {**told.counts, **({"(missing)": told.missing} if told.missing else {})}
        for told in balance.labels
    }


def _pairs(balance: Balance) -> list[dict[str, Any]]:
    tables = []
    for pair in balance.pairs:
        rows: dict[str, dict[str, int]] = {}
        for (a, b), count in pair.counts.items():
            rows.setdefault(a, {})[b] = count
        tables.append({"labels": list(pair.labels), "counts": rows})
    return tables


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest, whole or not at all."""
    write_toml(path, {"schema": SCHEMA, **asdict(manifest)})


def read_manifest(path: Path) -> Manifest:
    """Return a manifest.

    Raises:
        ArtifactCorrupt: if it is no manifest of this schema, or has another key.
    """
    told = read_toml(path)
    try:
        if told.pop("schema") != SCHEMA or told.keys() != {item.name for item in fields(Manifest)}:
            raise KeyError
        declared = told.pop("declared")
        if not all(isinstance(value, str) for value in declared.values()):
            raise TypeError
        manifest = Manifest(declared=Declared(**declared), **told)
        _check_types(manifest)
        return manifest
    except (KeyError, TypeError, AttributeError) as error:
        raise ArtifactCorrupt(
            f"Expected a manifest of schema {SCHEMA} in '{path.name}', got other keys. Move it "
            "away and write it again with `discreet data check --write`."
        ) from error


def _check_types(manifest: Manifest) -> None:
    texts = (manifest.date, manifest.layout, manifest.names_sha256, manifest.files_sha256)
    if not all(isinstance(text, str) for text in (*texts, *manifest.lists.values())):
        raise TypeError("not a text")
    if not all(isinstance(count, int) for count in manifest.counts.values()):
        raise TypeError("not a number")


def changes(old: Manifest, new: Manifest) -> list[str]:
    """Return what changed on disk between two manifests: lists, files, counts."""
    found = [
        f"list '{name}' {_fate(old.lists.get(name), new.lists.get(name))}"
        for name in sorted(old.lists.keys() | new.lists.keys())
        if _differ(old.lists.get(name), new.lists.get(name))
    ]
    if old.layout != new.layout:
        found.append(f"layout {old.layout} is {new.layout} now")
    for name in ("records", "people", "files", "bytes"):
        before, now = old.counts.get(name, 0), new.counts.get(name, 0)
        if before != now:
            found.append(f"{name}: {before:,} before, {now:,} now")
    if old.names_sha256 != new.names_sha256:
        found.append("names or sizes of files differ")
    if _differ(old.files_sha256, new.files_sha256):
        found.append("bytes of files differ")
    return found


def _differ(before: str | None, now: str | None) -> bool:
    """Return whether two hashes differ; what was not hashed on one side says nothing."""
    return before != now and NOT_HASHED not in (before, now)


def _fate(before: str | None, now: str | None) -> str:
    return "is new" if before is None else "is gone" if now is None else "changed"


def open_points(manifest: Manifest) -> list[str]:
    """Return what the holder of the data has still to say: names of `Declared`."""
    return [name for name, value in asdict(manifest.declared).items() if value == UNKNOWN]


def changed_files(old: Path, new: Path) -> dict[str, list[str]]:
    """Return the names of files that are missing, changed or are new, of two lists of hashes."""
    before, now = (_hashes(path) for path in (old, new))
    return {
        "missing": [name for name in before if name not in now],
        "changed": [n for n, digest in before.items() if now.get(n, digest) != digest],
        "new": [name for name in now if name not in before],
    }


def _hashes(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8") as file:
        lines = (line.rstrip("\n").partition("  ") for line in file)
        return {name: digest for digest, _, name in lines}
