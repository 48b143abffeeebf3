"""Federations on this machine, with a task that costs seconds."""

import os
import socket
from collections.abc import Iterator

import pytest

from deployment.apps import with_tests


@pytest.fixture(scope="package", autouse=True)
def _tests_on_path() -> Iterator[None]:
    """Flower's workers import the tiny task, and look for work more often than they need to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", with_tests(os.environ.get("PYTHONPATH", "")))
        patch.setenv("FLWR_SUPEREXEC_TASK_POLL_INTERVAL", "0.2")
        yield


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
