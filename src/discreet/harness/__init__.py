"""Our tasks in other people's harnesses, and any model on our tasks."""

from discreet.harness.export import write_lmms_tasks, write_tables
from discreet.harness.items import TASKS, Item, Score, Task, items_of, judged, scores_of
from discreet.harness.manifest import manifest
from discreet.harness.scoring import Answerer, answerer_of, as_task_table, score_model
from discreet.harness.writing import Asked, load_vlm, write_answers

__all__ = [
    "TASKS",
    "Answerer",
    "Asked",
    "Item",
    "Score",
    "Task",
    "answerer_of",
    "as_task_table",
    "items_of",
    "judged",
    "load_vlm",
    "manifest",
    "score_model",
    "scores_of",
    "write_answers",
    "write_lmms_tasks",
    "write_tables",
]
