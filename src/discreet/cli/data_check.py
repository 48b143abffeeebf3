"""`discreet data check`: what is wrong with a data set, who it is of, what changed."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.markup import escape
from rich.table import Table

from discreet.artifacts import sha256_of_file
from discreet.cli.options import Json, progress, show_json, talk
from discreet.errors import ArtifactError
from discreet.sources import (
    KINDS,
    MAX_VALUES,
    MIN_RECORDS,
    NOT_HASHED,
    OTHER,
    READERS,
    Balance,
    Check,
    Declared,
    LabelCounts,
    Manifest,
    OnProblem,
    Origin,
    changed_files,
    changes,
    check_source,
    gaps_of,
    manifest_of,
    open_points,
    read_manifest,
    write_manifest,
)

Source = Annotated[Path, typer.Argument(help="Folder of the data set, or a list or table in it.")]


def _known_layout(name: str | None) -> str | None:
    """Refuse a layout that there is not, with the name that is most like it."""
    if name is None or name in READERS:
        return name
    near = get_close_matches(name.lower().replace("-", "_"), READERS, n=1)
    meant = f" Did you mean '{near[0]}'?" if near else ""
    raise typer.BadParameter(f"Expected one of {', '.join(READERS)}, got {name!r}.{meant}")


Layout = Annotated[
    str | None,
    typer.Option(
        help="Name from `discreet data list`; found by itself by default.",
        callback=_known_layout,
    ),
]
SHOWN_PLACES = 3
SHOWN_REASONS = 5
SHOWN_TABLES = 4
SHOWN_GAPS = 10
SHOWN_FILES = 20
FILE, HASHES = "manifest.toml", "manifest.sha256"


def check(
    path: Source,
    layout: Layout = None,
    on_problem: Annotated[
        str, typer.Option(help="skip: count them all; refuse: stop at the first.")
    ] = "skip",
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Open every picture, not a sample of 200.")
    ] = False,
    hash_: Annotated[
        bool, typer.Option("--hash", help="Hash every file: changes, and the same bytes twice.")
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the manifest.")] = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="With --write: take changes as right.")
    ] = False,
    manifest: Annotated[
        Path | None, typer.Option(help="Where the manifest is; beside the data by default.")
    ] = None,
    names: Annotated[
        bool, typer.Option("--names", help="Name the files concerned; names can be personal.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="What the set is called.")] = None,
    origin: Annotated[str | None, typer.Option(help="Where it came from.")] = None,
    licence: Annotated[str | None, typer.Option(help="Terms of use.")] = None,
    legal_basis: Annotated[str | None, typer.Option(help="Of the processing.")] = None,
    consent: Annotated[str | None, typer.Option(help="Of the people in it.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Who may use it for what.")] = None,
    as_json: Json = False,
) -> None:
    """Check a data set: problems, balance, gaps, changes since the manifest was written.

    Exit status 1 if something is refused: the first problem, or data that is not what its
    manifest says.
    """
    if on_problem not in ("skip", "refuse"):
        raise typer.BadParameter("Expected skip or refuse.", param_hint="--on-problem")
    how: OnProblem = "refuse" if on_problem == "refuse" else "skip"
    place = manifest or _beside(path)
    old = read_manifest(place) if place.exists() else None
    said = {
        "name": name,
        "origin": origin,
        "licence": licence,
        "legal_basis": legal_basis,
        "consent": consent,
        "purpose": purpose,
    }
    declared = _declared(old, {key: value for key, value in said.items() if value is not None})
    hashes = _Hashes() if hash_ else None
    try:
        found = _checked(path, layout, how, pictures, hashes)
        new = manifest_of(
            found,
            declared,
            files_sha256=hashes.sha256 if hashes else NOT_HASHED,
            today=date.today(),
        )
        differs = changes(old, new) if old else []
        moved = hashes.compared(place) if hashes and differs else {}
        points = open_points(new)
        told = _told(found, new, differs, moved, points, names=names)
        if as_json:
            show_json(told)
        else:
            _show_check(found, told, path, moved, names=names)
        if differs and not (write and accept):
            raise ArtifactError(
                f"Expected the data that '{place.name}' describes, got a changed set: "
                f"{'; '.join(differs)}. Restore it, or take it as right with --write --accept."
            )
        if write:
            _write(place, old, new, hashes)
    finally:
        if hashes:
            hashes.close()


def _beside(path: Path) -> Path:
    """Return where the manifest of a set lies: in its folder, or beside a file of its own."""
    return path / FILE if path.is_dir() else path.with_name(f"{path.name}.{FILE}")


def _declared(old: Manifest | None, said: dict[str, str]) -> Declared:
    return replace(old.declared if old else Declared(), **said)


class _Hashes:
    """Hashes of all files, in a folder of their own until the manifest is written."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="discreet.")
        self._path = Path(self._folder.name) / HASHES
        self.file: BinaryIO = self._path.open("wb")
        self.sha256 = NOT_HASHED

    def done(self) -> None:
        """Finish the file."""
        self.file.close()
        self.sha256 = sha256_of_file(self._path)

    def compared(self, place: Path) -> dict[str, list[str]]:
        """Return which files changed since the last hashes, if there are any."""
        last = _hashes_beside(place)
        return changed_files(last, self._path) if last.exists() else {}

    def keep(self, place: Path) -> None:
        """Put them beside the manifest."""
        shutil.copyfile(self._path, _hashes_beside(place))

    def close(self) -> None:
        """Remove what was not kept."""
        self.file.close()
        self._folder.cleanup()


def _hashes_beside(place: Path) -> Path:
    return place.with_name(HASHES if place.name == FILE else f"{place.stem}.sha256")


def _checked(
    path: Path, layout: str | None, how: OnProblem, pictures: bool, hashes: _Hashes | None
) -> Check:
    with bars() as told:
        found = check_source(
            path,
            layout=layout,
            on_problem=how,
            open_all=pictures,
            hashes_to=hashes.file if hashes else None,
            on_step=told,
        )
    if hashes:
        hashes.done()
    return found


@contextmanager
def bars() -> Iterator[Callable[[str, int, int | None], None]]:
    """Yield a callback that draws a bar for each kind of work."""
    with progress() as bar:
        rows: dict[str, Any] = {}

        def told(what: str, done: int, total: int | None) -> None:
            if what not in rows:
                rows[what] = bar.add_task(what, total=total)
            bar.update(rows[what], completed=done, total=total)

        yield told


def _told(
    found: Check,
    new: Manifest,
    differs: list[str],
    moved: dict[str, list[str]],
    points: list[str],
    *,
    names: bool,
) -> dict[str, Any]:
    """Return everything that a check found, for machines; names of files on request only."""
    problems = []
    for problem in found.first_problems:
        row = asdict(problem)
        path = row.pop("path")
        problems.append(row | ({"path": str(path)} if names and path else {}))
    return {
        **asdict(new),
        "gaps": gaps_of(found.balance),
        "problem_reasons": [
            {"kind": kind, "about": about, "count": count}
            for (kind, about), count in found.reasons.items()
        ],
        "first_problems": problems,
        "changes": differs,
        "changed_files": {what: files if names else len(files) for what, files in moved.items()},
        "open_points": points,
    }


def _show_moved(moved: dict[str, list[str]], *, names: bool) -> None:
    """Show how many files are missing, changed or new since they were hashed; which, on request."""
    if not moved:
        return
    say = talk()
    counts = ", ".join(f"{len(files):,} {what}" for what, files in moved.items())
    say.print(f"files: {counts}" + ("" if names else " (--names shows which)"), markup=False)
    for what, files in moved.items() if names else ():
        for file in files[:SHOWN_FILES]:
            say.print(f"{what}: {file}", markup=False)
        if len(files) > SHOWN_FILES:
            say.print(f"and {len(files) - SHOWN_FILES:,} more {what} (--json)", markup=False)


def _show_check(
    found: Check, told: dict[str, Any], path: Path, moved: dict[str, list[str]], *, names: bool
) -> None:
    say = talk()
    of_people = f" of {found.people:,} people" if found.people else ", no person named"
    say.print(
        f"'{path.name}' is {found.layout}: {found.records:,} records{of_people}, "
        f"{found.files:,} files, {found.bytes / 2**20:,.1f} MiB. "
        f"Opened {found.opened:,} of {found.pictures:,} pictures.",
        markup=False,
    )
    _show_problems(found, told["first_problems"])
    _show_balance(found.balance, told["gaps"])
    for change in told["changes"]:
        say.print(f"changed: {change}", markup=False)
    _show_moved(moved, names=names)
    if points := told["open_points"]:
        options = ", ".join(f"--{point.replace('_', '-')}" for point in points)
        said = ", ".join(point.replace("_", " ") for point in points)
        say.print(f"open, for you to say: {said} ({options})", markup=False)
    reader = READERS[found.layout]
    if "licence" in told["open_points"] and not reader.licence.startswith("yours"):
        terms = f"{reader.licence} ({reader.source})"
        say.print(f"the page of {reader.name} says: {terms}", markup=False)


def _show_problems(found: Check, first: list[dict[str, Any]]) -> None:
    """Show kinds and reasons, each with its first places; files are numbered, or named."""
    if not found.problems:
        talk().print("No problems found.")
        return
    table = Table("problem", "how many")
    for title in ("first at", "way out"):
        table.add_column(title, overflow="fold")
    for (kind, about), count in _shown_reasons(found.reasons):
        of_kind = [row for row in first if row["kind"] == kind]
        kept = [row for row in of_kind if about in (row["about"], OTHER)][:SHOWN_PLACES]
        what, way_out = KINDS[kind]
        table.add_row(
            escape(f"{what} ({about})" if about else what),
            f"{count:,}",
            escape("\n".join(_place(row) for row in kept)),
            escape(way_out),
        )
    talk().print(table)
    if any(row["file"].endswith("/") and "path" not in row for row in first):
        talk().print("A file's number is its place in sorted order: --names shows which it is.")


def _shown_reasons(reasons: dict[tuple[str, str], int]) -> list[tuple[tuple[str, str], int]]:
    """Return the most common reasons of each kind, the rest of a kind as one."""
    shown: dict[tuple[str, str], int] = {}
    of_kind: Counter[str] = Counter()
    for (kind, about), count in sorted(reasons.items(), key=lambda row: (row[0][0], -row[1])):
        of_kind[kind] += 1
        key = (kind, about if of_kind[kind] <= SHOWN_REASONS else OTHER)
        shown[key] = shown.get(key, 0) + count
    return list(shown.items())


def _place(row: dict[str, Any]) -> str:
    """Return where a problem is; the file concerned, if names are shown."""
    return str(row.get("path", Origin(file=row["file"], line=row["line"])))


def _show_balance(balance: Balance, gaps: list[str]) -> None:
    """Show each label in a line, then the first labels value by value, then what nobody has."""
    say = talk()
    table = Table("label", "values", "most common", "least common", "missing")
    for column in table.columns:
        column.overflow = "fold"
    for counts in balance.labels:
        table.add_row(
            escape(_title(counts)),
            str(len(counts.counts)),
            *map(escape, _extremes(counts)),
            f"{counts.missing:,}" if counts.missing else "",
        )
    if balance.labels:
        say.print("Share of the records, and how many times an equal share that is:")
        say.print(table)
    for counts in [told for told in balance.labels if len(told.counts) > 2][:SHOWN_TABLES]:
        say.print(_counts_table(counts))
    for gap in gaps[:SHOWN_GAPS]:
        say.print(f"nobody: {gap}", markup=False)
    if len(gaps) > SHOWN_GAPS:
        say.print(f"and {len(gaps) - SHOWN_GAPS} more combinations that nobody has (--json)")
    if balance.not_shown:
        say.print(
            f"not shown, values could tell of single people: {', '.join(balance.not_shown)} (more "
            f"than {MAX_VALUES} values, fewer than 2 records a value on average, or a folder's "
            f"name that fewer than {MIN_RECORDS} records have). Record by record: `discreet data "
            "show`, with --names for names of folders.",
            markup=False,
        )


def _extremes(counts: LabelCounts) -> tuple[str, str]:
    """Return the most and the least common value; once if there is one, or all are as common."""

    def told(value: str) -> str:
        return f"{counts.share(value):.1%}, {counts.times_equal(value):.2f} x"

    most = max(counts.counts, key=lambda value: counts.counts[value])
    least = min(counts.counts, key=lambda value: counts.counts[value])
    if len(counts.counts) == 1:
        return f"{most}: {told(most)}", ""
    if counts.counts[most] == counts.counts[least]:
        return f"each: {told(most)}", ""
    return f"{most}: {told(most)}", f"{least}: {told(least)}"


def _counts_table(counts: LabelCounts) -> Table:
    table = Table(escape(_title(counts)), "records", "share", "times an equal share")
    for value, count in counts.counts.items():
        share, times = counts.share(value), counts.times_equal(value)
        table.add_row(escape(value), f"{count:,}", f"{share:.1%}", f"{times:.2f}")
    return table


def _title(counts: LabelCounts) -> str:
    return f"{counts.label} (audits only)" if counts.is_audit else counts.label


def _write(place: Path, old: Manifest | None, new: Manifest, hashes: _Hashes | None) -> None:
    """Write the manifest; hashes of an unchanged set that were not made again are kept."""
    if hashes:
        hashes.keep(place)
    elif old and old.names_sha256 == new.names_sha256:
        new = replace(new, files_sha256=old.files_sha256)
    else:
        _hashes_beside(place).unlink(missing_ok=True)  # of another state of the set
    write_manifest(place, new)
    talk().print(f"manifest: '{place}'", markup=False)
