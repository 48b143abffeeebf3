"""Our tasks as files that other harnesses read: folders for lmms-eval, tables for VLMEvalKit.

discreet bench tasks --export-lmms-eval FOLDER
python -m lmms_eval --model discreet --tasks discreet_twins --include_path FOLDER
"""

import base64
import csv
import json
from dataclasses import asdict, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from discreet.artifacts import write_bytes
from discreet.harness.items import MAX_NEW_TOKENS, TASKS, Item, Task, items_of, scores_of

PREFIX = "discreet_"
"""Of names of tasks in other harnesses."""
_UTILS = '''"""What the tasks of this folder take from the package discreet."""

from discreet.harness.lmms_tasks import *  # noqa: F403
'''
_YAML = """\
task: {name}
dataset_path: parquet
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.visual
doc_to_text: !function utils.text
doc_to_target: ""
process_results: !function utils.results
generation_kwargs:
  max_new_tokens: {tokens}
  until: []
  temperature: 0
  do_sample: false
metric_list:
{metrics}
metadata:
  - version: 1.0
"""
_METRIC = """\
  - metric: {name}
    aggregation: !function utils.{aggregation}
    higher_is_better: {better}"""


def write_lmms_tasks(folder: Path) -> list[str]:
    """Write the tasks for lmms-eval, and return their names.

    Args:
        folder: Gets a Parquet and a YAML file for each task, and `utils.py`; paths in them are
            whole, so that it stays where it is: whoever else
            wants it exports again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / "utils.py", _UTILS.encode())
    for task in TASKS:
        data = folder.resolve() / f"{task}.parquet"
        pq.write_table(pa.Table.from_pylist([_row(item) for item in items_of(task)]), data)
        metrics = "\n".join(
            _METRIC.format(
                name=score.name,
                aggregation=f"{task}_{score.name}",
                better=str(score.is_more_better).lower(),
            )
            for score in scores_of(task)
        )
        text = _YAML.format(
            name=PREFIX + task, data=json.dumps(str(data)), tokens=MAX_NEW_TOKENS, metrics=metrics
        )
        write_bytes(folder / f"{PREFIX}{task}.yaml", text.encode())
    return [PREFIX + task for task in TASKS]


def write_tables(folder: Path) -> list[Path]:
    """Write a tab-separated table for each task as VLMEvalKit reads them, and return their paths.

    Columns are `index`, `image` in base64, `question`, `answer` (empty: no one answer is right) and
    what scores need. The folder is what `LMUData` names, or is copied there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for task in TASKS:
        path = folder / f"{PREFIX}{task}.tsv"
        with path.open("w", encoding="utf-8", newline="") as file:
            names = ["index", "image", "question", "answer", *_KEPT]
            writer = csv.DictWriter(file, names, delimiter="\t", lineterminator="\n")
            writer.writeheader()
            for place, item in enumerate(items_of(task)):
                own = asdict(item)
                image = base64.b64encode(item.jpeg).decode()
                row = {"index": place, "image": image, "question": item.text, "answer": ""}
                writer.writerow(row | {name: own[name] for name in _KEPT})
        paths.append(path)
    return paths


_KEPT = tuple(one.name for one in fields(Item) if one.name not in ("jpeg", "text"))


def item_of(row: dict[str, object], *, task: Task, jpeg: bytes = b"", text: str = "") -> Item:
    """Return the item of a row of either file, which knows of it what `judged` asks."""
    kept = {name: row[name] for name in _KEPT if name != "task"}
    kept["side"] = int(str(kept["side"]))
    kept |= {name: "" for name in ("pair", "kind") if str(kept[name]) == "nan"}
    kept["pair"] = str(kept["pair"])
    return Item(task=task, jpeg=jpeg, text=text, **kept)  # type: ignore[arg-type]


def _row(item: Item) -> dict[str, object]:
    own = {name: value for name, value in asdict(item).items() if name != "jpeg"}
    return own | {"image": {"bytes": item.jpeg, "path": None}}
