"""Our model and tasks inside the real lmms-eval, which finds the model by its entry point.

In a process of its own: importing lmms-eval changes what Pillow refuses, for everybody.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from discreet.harness import TASKS, answerer_of, score_model, write_lmms_tasks

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("lmms_eval") is None, reason="harness-packages.txt installs it"
)
PROGRAM = """
import json, sys
from lmms_eval import evaluator
from lmms_eval.tasks import TaskManager

folder, *names = sys.argv[1:]
found = evaluator.simple_evaluate(
    model="discreet", model_args="adapter=none,base=tiny", tasks=names,
    task_manager=TaskManager(include_path=folder), limit=4, batch_size=4, device="cpu",
    log_samples=False, bootstrap_iters=0,
)
json.dump(found["results"], open("results.json", "w"))
"""
"""What `python -m lmms_eval` does, but for its table, which needs more packages."""


def test_it_finds_our_model_and_runs_our_tasks_to_the_numbers_that_we_get(tmp_path: Path) -> None:
    names = write_lmms_tasks(tmp_path / "tasks")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "tasks"), *names],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = json.loads((tmp_path / "results.json").read_text())
    ours = score_model(answerer_of("none", base="tiny", runs=tmp_path), TASKS, limit=4)
    for task, numbers in ours.items():
        for name, value in numbers.items():
            assert theirs[f"discreet_{task}"][f"{name},none"] == pytest.approx(value), name
