"""One run over-fitted on purpose, one private, and what audits make of them."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from discreet.artifacts import RunFolder
from discreet.audit import Subject, open_subject
from discreet.data import Portrait, load_portraits
from discreet.types import Split
from tests.audit.runs import sharp_base, train_by_heart, train_privately


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sharp_base(tmp_path_factory.mktemp("bases") / "sharp")


def few_of_each(portraits: list[Portrait], most: int = 2) -> list[Portrait]:
    """Portraits of many people, at most so many of each."""
    seen = Counter[str]()
    kept = []
    for one in portraits:
        seen[one.identity_id] += 1
        if seen[one.identity_id] <= most:
            kept.append(one)
    return kept


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Parquet file of few members and of enough others to see 1 % of false alarms."""
    path = tmp_path_factory.mktemp("people") / "people.parquet"
    counts: dict[Split, int] = {"train": 28, "validation": 49, "test": 56}
    rows = [
        {
            "image": {"bytes": one.jpeg, "path": None},
            "identity_id": one.identity_id,
            "age_band": one.age_band,
            "expression": one.expression,
            "split": split,
        }
        for split, count in counts.items()
        for one in few_of_each(load_portraits(split))[:count]
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture(scope="session")
def private_run(tmp_path_factory: pytest.TempPathFactory, base: Path, people: Path) -> RunFolder:
    return train_privately(tmp_path_factory.mktemp("runs") / "private", base, people)


@pytest.fixture(scope="session")
def private(private_run: RunFolder, people: Path) -> Subject:
    return open_subject(str(private_run.path), private_run.path.parent, data=people)


@pytest.fixture(scope="session")
def by_heart(tmp_path_factory: pytest.TempPathFactory, base: Path, people: Path) -> Subject:
    folder = tmp_path_factory.mktemp("runs") / "by-heart"
    train_by_heart(folder, base, people)
    return open_subject(str(folder), folder.parent, data=people)
