"""Data sets that may have shaped a run, as the auditor names them: `NAME=PATH`.

A candidate is a folder with an adapter that was trained on such data (a run, or any in PEFT's
format), or a file of examples, whose gradients at the run's first adapter say what it would add.
Nothing of the run's own training samples is asked for.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from discreet.artifacts import sha256_of_file
from discreet.attribution import Update, load_adapter_folder
from discreet.audit.subject import Subject
from discreet.data import build_examples, load_portraits, load_questions, split_questions
from discreet.federated import Lessons, PortraitLessons, VisualTokens, other_conversations

ADAPTER = "adapter"
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
SAME_START = 0.99
"""Share of the inputs read by one A that another reads, from which both count as the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class References:
    """Adapters that were trained on each candidate."""

    suspect: Update = field(repr=False)
    draws: Mapping[str, Sequence[Update]] = field(repr=False)
    matrices: int
    """That all of them change, in one shape; only these are compared."""
    left_out: int
    """Matrices of the adapter that some candidate does not change."""
    same_start: bool
    """Whether all read the same inputs: they started from one A."""


def parse_candidates(texts: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    """Return paths by name, from `NAME=PATH`; a name may come several times, as draws of one law.

    Raises:
        ValueError: if a text has no name, a path is missing, or two names have the same file.

    >>> parse_candidates([])
    {}
    """
    found: dict[str, tuple[Path, ...]] = {}
    for text in texts:
        name, sign, path = text.partition("=")
        if not (sign and name.strip() and Path(path).exists()):
            raise ValueError(
                "Expected candidates as NAME=PATH, with a file or folder that is there, got "
                "another. For example --candidate clinic=runs/clinic."
            )
        found[name.strip()] = (*found.get(name.strip(), ()), Path(path))
    hashes = [sha256_of_file(_file_of(path)) for paths in found.values() for path in paths]
    if len(set(hashes)) < len(hashes):
        raise ValueError(
            "Expected other data for each candidate, got the same file twice. Name each once."
        )
    return found


def are_adapters(candidates: Mapping[str, Sequence[Path]]) -> bool:
    """Return whether candidates are adapters, and not files of examples.

    Raises:
        ValueError: if some are the one, some the other: their shares could not be compared.
    """
    kinds = {path.is_dir() for paths in candidates.values() for path in paths}
    if len(kinds) != 1:
        raise ValueError(
            "Expected candidates of one kind, got adapters and files of examples. Ask in two goes."
        )
    return kinds.pop()


def references_of(folder: Path, candidates: Mapping[str, Sequence[Path]]) -> References:
    """Return an adapter and those of candidates, in the matrices that all of them change.

    Args:
        folder: Of the adapter that is asked about, in PEFT's format.
        candidates: Runs or such folders, by name.

    Raises:
        ArtifactError: if a folder has no adapter that can be read as B A.
        ValueError: if no matrix is common to all.
    """
    suspect = load_adapter_folder(folder)
    draws = {
        name: [load_adapter_folder(_folder_of(path)) for path in paths]
        for name, paths in candidates.items()
    }
    every = [update for own in draws.values() for update in own]
    common = [
        layer
        for layer, change in suspect.changes.items()
        if all(layer in one.changes and one.changes[layer].shape == change.shape for one in every)
    ]
    if not common:
        raise ValueError(
            "Expected adapters of one base, got candidates that change no matrix of the same "
            "name and shape. Train them on the base of the one asked about, or name files of "
            "examples."
        )
    own = suspect.only(common)
    cut = {name: [one.only(common) for one in updates] for name, updates in draws.items()}
    return References(
        suspect=own,
        draws=cut,
        matrices=len(common),
        left_out=len(suspect.changes) - len(common),
        same_start=all(_reads_the_same(own, one) for updates in cut.values() for one in updates),
    )


def lessons_of(subject: Subject, path: Path) -> Lessons:
    """Return the examples of a file, as the run's plan makes them.

    Raises:
        DataError: if the file cannot be used.
    """
    task, plan = subject.task, subject.plan
    if plan.examples == "conversations":
        return other_conversations(task.vlm, plan, path)
    people = load_portraits("train", path=path)
    examples = build_examples(
        people, split_questions(load_questions()).private, owner="candidate", seed=plan.seed
    )
    return PortraitLessons(vlm=task.vlm, visual=VisualTokens(task.vlm, people), examples=examples)


def digests_of(candidates: Mapping[str, Sequence[Path]]) -> dict[str, list[str]]:
    """Return what the candidates were, by hash: a path says where somebody keeps data."""
    return {name: [_digest_of(path) for path in paths] for name, paths in candidates.items()}


def _digest_of(path: Path) -> str:
    """Return the hash of a file, or of an adapter's weights and of what they are scaled by."""
    if not path.is_dir():
        return sha256_of_file(path)
    files = [_file_of(path), _folder_of(path) / CONFIG]
    text = " ".join(sha256_of_file(one) for one in files if one.is_file())
    return hashlib.sha256(text.encode()).hexdigest()


def is_bare_adapter(path: Path) -> bool:
    """Return whether a path is a folder in PEFT's format, and no run."""
    return (path / WEIGHTS).is_file() and not (path / ADAPTER).exists()


def _folder_of(path: Path) -> Path:
    """Return the folder with the adapter's files: the path itself, or that of a run."""
    return path / ADAPTER if (path / ADAPTER).is_dir() else path


def _file_of(path: Path) -> Path:
    """Return the file that says what a candidate is."""
    if not path.is_dir():
        return path
    file = _folder_of(path) / WEIGHTS
    if not file.exists():
        raise ValueError(
            f"Expected an adapter in '{path.name}', found no {WEIGHTS}. Name a run, or a folder in "
            "PEFT's format."
        )
    return file


def _reads_the_same(one: Update, other: Update) -> bool:
    """Return whether two adapters read the same inputs, in every matrix."""
    shares = []
    for layer, change in one.changes.items():
        rows, others = change.right, other.changes[layer].right
        if rows is None or others is None:
            return False
        bases = [np.linalg.svd(each, full_matrices=False)[2] for each in (rows, others)]
        shares.append(float(((bases[0] @ bases[1].T) ** 2).sum()) / min(map(len, bases)))
    return min(shares) > SAME_START
