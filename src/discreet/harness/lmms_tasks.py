"""What lmms-eval calls for our tasks: the picture, the text, and scores (`write_lmms_tasks`)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO
from typing import Any

from PIL import Image

from discreet.harness.export import item_of
from discreet.harness.items import TASKS, Score, judged, scores_of

Doc = Mapping[str, Any]


def visual(doc: Doc) -> list[Image.Image]:
    """Return the picture of a row, which comes as bytes or already decoded."""
    found = doc["image"]
    if isinstance(found, Mapping):
        found = Image.open(BytesIO(found["bytes"]))
    return [found.convert("RGB")]


def text(doc: Doc, lmms_eval_specific_kwargs: Any = None) -> str:
    """Return what is asked."""
    return str(doc["text"])


def results(doc: Doc, results: Sequence[str]) -> dict[str, dict[str, float | str]]:
    """Return what the rules say of an answer, for each number of the task."""
    item = item_of(dict(doc), task=doc["task"])
    said = judged(item, results[0])
    return {score.name: said for score in scores_of(item.task)}


def _aggregate(score: Score, found: Sequence[Mapping[str, float | str]]) -> float:
    return score.of(found)


def _aggregations() -> dict[str, Callable[[Sequence[Mapping[str, float | str]]], float]]:
    return {
        f"{task}_{score.name}": partial(_aggregate, score)
        for task in TASKS
        for score in scores_of(task)
    }


globals().update(_aggregations())  # YAML names each by itself
__all__ = ["results", "text", "visual", *_aggregations()]  # noqa: PLE0604
