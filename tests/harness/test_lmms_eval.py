"""Our model and tasks inside the real lmms-eval, which finds the model by its entry point.

In a process of its own: importing lmms-eval changes what Pillow refuses, for everybody.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from discreet.harness import TASKS, Task, answerer_of, score_model, write_lmms_tasks
from tests.harness.scripted import scripted

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("lmms_eval") is None, reason="harness-packages.txt installs it"
)
PROGRAM = """
import json, sys
from lmms_eval import evaluator
from lmms_eval.tasks import TaskManager
from discreet.harness import lmms_model
from tests.harness.scripted import scripted

way, limit, folder, *names = sys.argv[1:]
if way == "scripted":
    lmms_model.write_answers = lambda vlm, asked, batch: scripted(asked)
found = evaluator.simple_evaluate(
    model="discreet", model_args="adapter=none,base=tiny", tasks=names,
    task_manager=TaskManager(include_path=folder), limit=int(limit), batch_size=4, device="cpu",
    log_samples=False, bootstrap_iters=0,
)
json.dump(found["results"], open("results.json", "w"))
"""
"""What `python -m lmms_eval` does, but for its table, which needs more packages."""


def test_it_finds_our_model_and_runs_our_tasks_to_the_numbers_that_we_get(tmp_path: Path) -> None:
    theirs = run_lmms_eval(tmp_path, "model", limit=4)
    ours = score_model(answerer_of("none", base="tiny", runs=tmp_path), TASKS, limit=4)
    require_same(theirs, ours)


def test_numbers_between_0_and_1_are_the_same_there_and_here(tmp_path: Path) -> None:
    """A base of random weights scores 0 nearly everywhere; this one says a note, half, or none."""
    theirs = run_lmms_eval(tmp_path, "scripted", limit=12)
    ours = score_model(scripted, TASKS, limit=12)
    require_same(theirs, ours)
    for task, name in (
        ("personalised", "fits"),
        ("personalised", "recall"),
        ("attribute_leak", "empty"),
        ("twins", "texts_differ"),
        ("twins", "recall_differs"),
    ):
        assert 0 < ours[task][name] < 1, (task, name)  # type: ignore[index]


def run_lmms_eval(folder: Path, way: str, *, limit: int) -> dict[str, dict[str, float]]:
    """Return what lmms-eval says of our tasks."""
    names = write_lmms_tasks(folder / "tasks")
    own = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, way, str(limit), str(folder / "tasks"), *names],
        cwd=folder,
        env=os.environ | own | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, dict[str, float]] = json.loads((folder / "results.json").read_text())
    return found


def require_same(
    theirs: Mapping[str, Mapping[str, float]], ours: Mapping[Task, Mapping[str, float]]
) -> None:
    """Fail unless lmms-eval says the numbers that we get."""
    for task, numbers in ours.items():
        for name, value in numbers.items():
            assert theirs[f"discreet_{task}"][f"{name},none"] == pytest.approx(value), name
