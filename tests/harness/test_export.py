"""Files for other harnesses hold every item, and give it back."""

import base64
import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from discreet.harness import TASKS, Task, items_of, judged, write_lmms_tasks, write_tables
from discreet.harness.export import item_of


@pytest.fixture(autouse=True)
def _long_fields() -> Iterator[None]:
    """Pictures in base64 are longer than what `csv` reads by default, for everybody."""
    before = csv.field_size_limit(sys.maxsize)
    yield
    csv.field_size_limit(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    write_lmms_tasks(folder / "lmms")
    write_tables(folder / "kit")
    return folder


@pytest.mark.parametrize("task", TASKS)
def test_a_table_has_every_item(folder: Path, task: Task) -> None:
    with (folder / "kit" / f"discreet_{task}.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    items = items_of(task)
    assert [base64.b64decode(row["image"]) for row in rows] == [one.jpeg for one in items]
    assert [row["question"] for row in rows] == [one.text for one in items]
    for row, one in zip(rows, items, strict=True):
        back = item_of(dict(row), task=task, jpeg=one.jpeg, text=one.text)
        assert back == one
        assert judged(back, "Rest.") == judged(one, "Rest.")


@pytest.mark.parametrize("task", TASKS)
def test_a_task_of_lmms_eval_names_its_rows_and_every_number(folder: Path, task: Task) -> None:
    text = (folder / "lmms" / f"discreet_{task}.yaml").read_text()
    found = yaml.safe_load(text.replace("!function ", ""))
    rows = pq.read_table(found["dataset_kwargs"]["data_files"]["test"]).to_pylist()
    assert [row["image"]["bytes"] for row in rows] == [one.jpeg for one in items_of(task)]
    from discreet.harness import lmms_tasks

    for metric in found["metric_list"]:
        assert callable(getattr(lmms_tasks, metric["aggregation"].removeprefix("utils.")))
    assert "import" in (folder / "lmms" / "utils.py").read_text()
