"""An app bundle whose task is `federated.tiny`: a round costs seconds, no model is loaded."""

import os
from pathlib import Path

import tomli_w

from discreet.deployment import App

TESTS = Path(__file__).parents[1]
CLIENT = """
from federated.tiny import TinyTask
from discreet.federated import client_app
app = client_app(TinyTask)
"""
SERVER = """
from federated.tiny import TinyTask
from discreet.federated import server_app
app = server_app(TinyTask)
"""


def tiny_app(client: str = CLIENT) -> App:
    """The app; its modules find the tests by PYTHONPATH, which the fixture `tests_on_path` sets."""
    components = {"serverapp": "tiny.server:app", "clientapp": "tiny.client:app"}
    project = {
        "project": {"name": "tiny-app", "version": "1", "license": "Apache-2.0"},
        "tool": {"flwr": {"app": {"publisher": "tests", "components": components, "config": {}}}},
    }
    return {
        "pyproject.toml": tomli_w.dumps(project).encode(),
        "tiny/__init__.py": b"",
        "tiny/client.py": client.encode(),
        "tiny/server.py": SERVER.encode(),
    }


def with_tests(path: str) -> str:
    """A PYTHONPATH with the tests."""
    return os.pathsep.join(filter(None, [str(TESTS), path]))
