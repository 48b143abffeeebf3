"""Our model and tasks inside the real lmms-eval: found by its entry point, run to its results."""

import importlib.metadata
from pathlib import Path

import pytest

pytest.importorskip("lmms_eval", reason="harness-packages.txt installs it")

from lmms_eval import evaluator  # noqa: E402
from lmms_eval.models import get_model  # noqa: E402
from lmms_eval.tasks import TaskManager  # noqa: E402

from discreet.harness import answerer_of, score_model, write_lmms_tasks  # noqa: E402


def test_the_entry_point_names_our_model() -> None:
    (found,) = [
        one
        for one in importlib.metadata.entry_points(group="lmms_eval.models")
        if one.name == "discreet"
    ]
    assert found.load()().model_id == "discreet"
    assert get_model("discreet").__module__ == "discreet.harness.lmms_model"


def test_it_runs_our_tasks_with_our_model_to_the_numbers_that_we_get(tmp_path: Path) -> None:
    names = write_lmms_tasks(tmp_path / "tasks")
    found = evaluator.simple_evaluate(
        model="discreet",
        model_args="adapter=none,base=tiny",
        tasks=names,
        task_manager=TaskManager(include_path=str(tmp_path / "tasks")),
        limit=4,
        batch_size=4,
        device="cpu",
        log_samples=False,
        bootstrap_iters=0,
    )
    answer = answerer_of("none", base="tiny", runs=tmp_path)
    ours = score_model(answer, ("personalised", "attribute_leak", "twins"), limit=4)
    for task, numbers in ours.items():
        theirs = found["results"][f"discreet_{task}"]
        for name, value in numbers.items():
            assert theirs[f"{name},none"] == pytest.approx(value), name
