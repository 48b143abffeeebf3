"""Flower ClientApp of a data owner: names the task; all it does lies in `discreet.federated`.

The owner's pseudonym, ledger, data and limits come from the node's own `--node-config`, the public
plan from the run's `run_config`. See README.md beside this file.
"""

from functools import lru_cache
from pathlib import Path

from discreet.quiet import quiet_warnings

quiet_warnings()  # an owner's log is for what the owner can act on

from discreet.federated import AssistantTask, TrainConfig, client_app  # noqa: E402 - as it says


@lru_cache(maxsize=1)
def resident_task(config: TrainConfig, data: Path | None, root: Path | None) -> AssistantTask:
    """Return the task; one base model stays loaded in a process."""
    return AssistantTask.build(config, data, root=root)


app = client_app(resident_task)
