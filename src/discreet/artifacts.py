"""The run folder, and safe writing of the files in it.

Everything a run leaves behind lies in one folder; audits, benchmarks and the assistant read it from
there. Knows nothing of models or of privacy: it moves bytes, JSON and TOML.

    >>> import tempfile
    >>> run = RunFolder.create(Path(tempfile.mkdtemp()) / "first")
    >>> run.append_metric({"round": 1, "name": "replies", "value": 4, "visibility": "released"})
    >>> run.read_metrics()[0]["value"]
    4

Guarantee: a write either replaces a file whole or leaves the older one as it was, also when the
disk is full or the process is killed.
"""

import ctypes
import errno
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import tomli_w

from discreet.errors import ArtifactCorrupt, ArtifactError, RunExists, UnsafeFile

UNSAFE_SUFFIXES = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})
"""Formats that can run code when they are read."""
_BLOCK_BYTES = 2**16
"""Read at a time where a file is read from its end."""
_COMPARED_BYTES = 2**18
"""Read at a time where a file is compared with what it was."""
_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux."""


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file by `data`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    _sync_folder(path.parent)


def remove_file(path: Path) -> None:
    """Remove a file if it is there, and wait until that is on disk."""
    path.unlink(missing_ok=True)
    _sync_folder(path.parent)


def append_line(path: Path, line: bytes) -> None:
    """Add a line to a file and wait until it is on disk; on failure the file stays as it was.

    What follows the last newline was torn by an earlier crash and is cut off first. Two processes
    must not append at once: let them hold a lock.
    """
    with path.open("a+b", buffering=0) as file:
        end = _end_of_last_line(file)
        file.truncate(end)
        try:
            written = file.write(line + b"\n")
            if written != len(line) + 1:
                raise OSError(f"Wrote {written} of {len(line) + 1} bytes. Is the disk full?")
            os.fsync(file.fileno())
        except BaseException:
            file.truncate(end)
            raise


def read_whole_lines(path: Path) -> bytes:
    """Return a file up to its last newline; what follows was torn by a crash.

    Raises:
        ArtifactCorrupt: if there is no such file.
    """
    data = _read(path)
    return data[: data.rfind(b"\n") + 1]


def read_lines_after(path: Path, known: bytearray) -> bytes | None:
    """Return the whole lines of a file after those known; `None` if it does not begin with them.

    Compares a block at a time, in memory that stays in the processor: a file that several calls
    have read costs them little.

    Raises:
        ArtifactCorrupt: if there is no such file.
    """
    block = bytearray(_COMPARED_BYTES)
    with _opened(path) as file, memoryview(known) as wanted, memoryview(block) as room:
        at = 0
        while at < len(known):
            count = file.readinto(room[: len(known) - at])
            if not count or bytearray(room[:count]) != wanted[at : at + count]:  # memcmp
                return None
            at += count
        data = file.read()
    return data[: data.rfind(b"\n") + 1]


def read_lines(path: Path) -> list[bytes]:
    """Return the lines of a file; a last line without newline, torn by a crash, is left out.

    Raises:
        ArtifactCorrupt: if there is no such file.
    """
    return read_whole_lines(path).split(b"\n")[:-1]


def write_json(path: Path, value: object) -> None:
    """Replace a file by `value` as indented JSON; NaN and infinity are refused."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        ArtifactCorrupt: if the file is missing, or is not JSON.
    """
    try:
        return json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise _corrupt(path, "JSON") from error


def write_toml(path: Path, value: Mapping[str, object]) -> None:
    """Replace a file by `value` as TOML."""
    write_bytes(path, tomli_w.dumps(value).encode())


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds.

    Raises:
        ArtifactCorrupt: if the file is missing, or is not TOML.
    """
    try:
        return tomllib.loads(_read(path).decode())
    except (ValueError, RecursionError) as error:
        raise _corrupt(path, "TOML") from error


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_folder(folder: Path) -> str:
    """Return a SHA-256 over the names and bytes of all files of a folder.

    Raises:
        ArtifactCorrupt: if the folder is missing or holds no file.
        UnsafeFile: if it holds a format that can run code, or a link out of it.
    """
    refuse_unsafe_files(folder)
    refuse_links(folder)
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    if not names:
        raise ArtifactCorrupt(
            f"Expected files in '{folder.name}', found none. Copy the whole run folder again."
        )
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{sha256_of_file(folder / name)}  {name}\n".encode())
    return digest.hexdigest()


def refuse_unsafe_files(folder: Path) -> None:
    """Raise `UnsafeFile` if a folder holds a file format that can run code."""
    found = sorted(p.name for p in folder.rglob("*") if p.suffix.lower() in UNSAFE_SUFFIXES)
    if found:
        raise UnsafeFile(
            f"Expected safetensors and JSON only in '{folder.name}', found {found[0]}: such a file "
            "can run code when it is read. Remove it."
        )


def refuse_links(folder: Path) -> None:
    """Raise `UnsafeFile` if a folder is, or holds, a symbolic link: its target is not checked."""
    found = sorted(p.name for p in [folder, *folder.rglob("*")] if p.is_symlink())
    if found:
        raise UnsafeFile(
            f"Expected plain files only in '{folder.name}', found the link {found[0]}. Put the "
            "file itself in its place."
        )


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run; its properties name the files in it."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> "RunFolder":
        """Return a new, empty run folder.

        Raises:
            RunExists: if something is there already.
        """
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunExists(
                f"Expected a new or empty folder, found '{path.name}' in use. Choose another name, "
                "or resume that run."
            )
        path.mkdir(parents=True, exist_ok=True)
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Return a run folder that exists.

        Raises:
            ArtifactError: if there is no such folder.
        """
        if not path.is_dir():
            raise ArtifactError(
                f"Expected a run folder, found no folder '{path}'. `discreet train` makes one."
            )
        return cls(path)

    @property
    def id(self) -> str:
        """The run's name: the name of its folder."""
        return self.path.resolve().name

    @property
    def config_path(self) -> Path:
        """The public plan of the run."""
        return self.path / "config.toml"

    @property
    def ledger_path(self) -> Path:
        """What each owner has spent."""
        return self.path / "ledger.jsonl"

    @property
    def adapter_dir(self) -> Path:
        """The aggregated adapter, in PEFT's format."""
        return self.path / "adapter"

    @property
    def checkpoint_path(self) -> Path:
        """The average of the last finished round and its number, from which a run goes on."""
        return self.path / "checkpoint.safetensors"

    @property
    def card_path(self) -> Path:
        """What the adapter is and what it cost."""
        return self.path / "card.json"

    @property
    def metrics_path(self) -> Path:
        """One JSON object a line, each marked `local` or `released`."""
        return self.path / "metrics.jsonl"

    @property
    def audits_dir(self) -> Path:
        """Reports of audits."""
        return self.path / "audits"

    def write_json(self, name: str, value: object) -> None:
        """Replace a file of the run, for example `audits/membership.json`, by JSON."""
        write_json(self.path / name, value)

    def read_json(self, name: str) -> Any:
        """Return what a JSON file of the run holds; `ArtifactCorrupt` if it cannot be read."""
        return read_json(self.path / name)

    def append_metric(self, *records: Mapping[str, object]) -> None:
        """Add a line for each record to `metrics.jsonl`, all with one wait for the disk.

        Lines torn by an earlier crash are cut off first.
        """
        lines = [json.dumps(dict(record), allow_nan=False).encode() for record in records]
        if lines:
            append_line(self.metrics_path, b"\n".join(lines))

    def read_metrics(self) -> list[dict[str, Any]]:
        """Return the lines of `metrics.jsonl`; a last line torn by a crash is left out.

        Raises:
            ArtifactCorrupt: if any other line is not a JSON object.
        """
        if not self.metrics_path.exists():
            return []
        try:
            records = [json.loads(line) for line in read_lines(self.metrics_path)]
        except ValueError as error:
            raise _corrupt(self.metrics_path, "JSON lines") from error
        if not all(isinstance(record, dict) for record in records):
            raise _corrupt(self.metrics_path, "JSON objects, one a line")
        return records

    @contextmanager
    def new_adapter(self) -> Iterator[Path]:
        """Yield an empty folder that takes the place of `adapter/` if the block ends well."""
        fresh = Path(tempfile.mkdtemp(prefix=".adapter.", dir=self.path))
        stale = fresh.with_name(f"{fresh.name}.stale")
        try:
            yield fresh
            refuse_unsafe_files(fresh)
            fresh.chmod(0o755)
            if not _exchanged(fresh, self.adapter_dir):
                _replace_folder(fresh, self.adapter_dir, stale)
            _sync_folder(self.path)
        finally:
            shutil.rmtree(stale, ignore_errors=True)
            shutil.rmtree(fresh, ignore_errors=True)

    def remove_torn(self) -> None:
        """Remove what killed processes left half-written; nobody else may write to the run."""
        for path in self.path.glob(".*.tmp"):
            path.unlink()
        for path in self.path.glob(".adapter.*"):
            shutil.rmtree(path)


def _exchanged(one: Path, other: Path) -> bool:
    """Let two folders change places at once; False: the system cannot, or one is not there."""
    call = getattr(ctypes.CDLL(None), "renameat2", None)  # Linux; no module of Python has it
    names = _HERE, os.fsencode(one.absolute()), _HERE, os.fsencode(other.absolute())
    return call is not None and call(*names, _EXCHANGE) == 0


def _replace_folder(fresh: Path, target: Path, stale: Path) -> None:
    """Put a folder in the place of another; a kill between the two renames leaves none there."""
    if target.exists():
        os.replace(target, stale)
    try:
        os.replace(fresh, target)
    except BaseException:
        if stale.exists():
            os.replace(stale, target)
        raise


def _end_of_last_line(file: FileIO) -> int:
    """Return the offset behind the last newline, looked for from the end."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _read(path: Path) -> bytes:
    """Return a file's bytes; `ArtifactCorrupt` if it is not there, or no file."""
    with _opened(path) as file:
        return file.read()


@contextmanager
def _opened(path: Path) -> Iterator[FileIO]:
    """Open a file for reading; `ArtifactCorrupt` if it is not there, or no file."""
    try:
        if path.exists() and not path.is_file():
            raise FileNotFoundError
        file = path.open("rb", buffering=0)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _none_there(path) from error
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise _none_there(path) from error
    with file:
        yield file


def _none_there(path: Path) -> ArtifactCorrupt:
    return ArtifactCorrupt(
        f"Expected a file '{path.name}' in '{path.parent.name}', found none. Copy the whole "
        "folder again, or start a new run."
    )


def _corrupt(path: Path, form: str) -> ArtifactCorrupt:
    """Return the error for a file that is not in the form it should have."""
    return ArtifactCorrupt(
        f"Expected {form} in '{path.name}' of '{path.parent.name}', could not read it. Restore the "
        "file from a copy; nothing was changed."
    )


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def code_commit() -> str | None:
    """Return the commit of the checkout that runs, with `-dirty` if files differ from it.

    None where there is no git, or no checkout of this code.
    """
    is_ours = ["ls-files", "--error-unmatch", __file__]
    commit = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        for words in (["git", "-C", str(Path(__file__).parent), *own] for own in (is_ours, commit)):
            done = subprocess.run(words, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() or None
