"""The baseline without privacy, put on the shelf beside what it is compared with.

What it learns from must be public: the adapter on the shelf says that nothing is promised, and no
run of a federation over real owners comes from here.
"""

from collections.abc import Callable

from discreet.artifacts import RunFolder
from discreet.audit import run_without_privacy
from discreet.federated import AssistantTask, publish
from discreet.registry import AdapterCard


def shelve_baseline(
    task: AssistantTask, run: RunFolder, *, on_step: Callable[[], None] | None = None
) -> AdapterCard:
    """Train in the clear on the shipped, synthetic people, and put the adapter on the shelf.

    Args:
        task: Of simulated owners.
        run: An empty run folder.
        on_step: Called after every step of an owner.
    """
    state = run_without_privacy(task, on_step=on_step)
    task.config.save(run.config_path)
    return publish(run, task, state, rounds_done=task.config.num_rounds)
