"""Our tasks for VLMEvalKit: a dataset class that reads the tables of `write_tables`.

Imports VLMEvalKit, which is on no registry: clone it, and let Python find it. `register` adds the
class to those that its `build_dataset` looks at:

    LMUData=FOLDER python -c "
    from discreet.harness.vlmevalkit import register
    register()
    import runpy, sys
    sys.argv = ['run.py', '--data', 'discreet_twins', '--model', 'SmolVLM']
    runpy.run_path('run.py', run_name='__main__')"
"""

from typing import Any

from vlmeval import dataset as kit
from vlmeval.dataset.image_base import ImageBaseDataset
from vlmeval.smp import LMUDataRoot, load

from discreet.errors import DataError
from discreet.harness.export import PREFIX, item_of
from discreet.harness.items import TASKS, Task, judged, scores_of


class DiscreetTasks(ImageBaseDataset):
    """Personalised answering, attribute leaks and twins; scored by rules, without a judge."""

    TYPE = "VQA"
    MODALITY = "IMAGE"

    @classmethod
    def supported_datasets(cls) -> list[str]:
        """Return the names of the tables."""
        return [PREFIX + task for task in TASKS]

    def load_data(self, dataset: str) -> Any:
        """Return a table of the folder that `LMUData` names.

        Raises:
            DataError: if there is none.
        """
        path = f"{LMUDataRoot()}/{dataset}.tsv"
        try:
            return load(path)
        except FileNotFoundError as error:
            raise DataError(
                f"Expected '{dataset}.tsv' in the folder that LMUData names, found none. Write it: "
                "discreet bench tasks --export-vlmevalkit FOLDER."
            ) from error

    def evaluate(self, eval_file: str, **judge_kwargs: Any) -> dict[str, float]:
        """Return the numbers of a task from the file of predictions; `judge_kwargs` say nothing."""
        rows = load(eval_file)
        task: Task = self.dataset_name.removeprefix(PREFIX)
        found = [
            judged(item_of(dict(row), task=task), _text_of(row["prediction"]))
            for _, row in rows.iterrows()
        ]
        return {score.name: score.of(found) for score in scores_of(task)}


def _text_of(prediction: object) -> str:
    """Return an answer; what was read of an empty cell of a table is no number but no answer."""
    return "" if prediction != prediction or prediction is None else str(prediction)


def register() -> None:
    """Let VLMEvalKit know of our tasks."""
    for classes in (kit.IMAGE_DATASET, kit.DATASET_CLASSES):
        if DiscreetTasks not in classes:
            classes.append(DiscreetTasks)
    kit.SUPPORTED_DATASETS.extend(DiscreetTasks.supported_datasets())
