"""A run that really was, and what later versions write into its metrics."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from federated.tiny import TinyTask, tiny_config

from discreet.artifacts import RunFolder
from discreet.federated import run_federation

NEW = {"bytes_down", "bytes_up", "seconds", "clip_norm"}
"""Names of metrics that older runs do not have."""

Edit = Callable[[list[dict[str, Any]]], list[Mapping[str, Any]]]


def released(server_round: int, name: str, value: float, **more: object) -> dict[str, object]:
    return {
        "round": server_round,
        "visibility": "released",
        "name": name,
        "value": value,
        **more,
    }


def sent(server_round: int, *, down: int, up: int, seconds: float) -> list[dict[str, object]]:
    return [
        released(server_round, "bytes_down", down),
        released(server_round, "bytes_up", up),
        released(server_round, "seconds", seconds),
    ]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Two owners, two rounds, noise from the seed."""
    run = RunFolder.create(tmp_path_factory.mktemp("runs") / "first")
    config = tiny_config()
    run_federation(config, run, TinyTask(config))
    return run


@pytest.fixture
def old_run(finished: RunFolder, tmp_path: Path) -> Callable[[Edit], RunFolder]:
    """Return a copy of the run whose metrics are the old ones, edited."""

    def copy(edit: Edit = list) -> RunFolder:
        run = RunFolder(tmp_path / "copy")
        shutil.copytree(finished.path, run.path)
        lines = [line for line in run.read_metrics() if line["name"] not in NEW]
        run.metrics_path.write_text("".join(json.dumps(line) + "\n" for line in edit(lines)))
        return run

    return copy
