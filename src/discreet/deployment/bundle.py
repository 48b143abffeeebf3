"""The app bundle that travels with a run: two modules and a pyproject.toml, written by the kit.

The modules are those of `clients/app.py` and `server/app.py`, which lie beside this file, so that
an installed package needs no checkout. An app of one's own is a folder with a pyproject.toml for
Flower; of it, `pyproject.toml` and `.py` files are taken, and never a data file.

    >>> [name for name in kit_app() if name.endswith("app.py")]
    ['clients/app.py', 'server/app.py']
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import tomli_w
from flwr.cli.build import build_fab_from_files

from discreet import __version__
from discreet.errors import ArtifactCorrupt

App = Mapping[str, bytes]
"""Files of an app by their path in it."""
_HERE = Path(__file__).parent


def kit_app() -> App:
    """Return the app that trains the assistant."""
    project = {
        "project": {"name": "discreet-app", "version": __version__, "license": "Apache-2.0"},
        "tool": {
            "flwr": {
                "app": {
                    "publisher": "discreet",
                    "components": {"serverapp": "server.app:app", "clientapp": "clients.app:app"},
                    "config": {},
                }
            }
        },
    }
    return {
        "pyproject.toml": tomli_w.dumps(project).encode(),
        "clients/__init__.py": b"",
        "clients/app.py": (_HERE / "client_app.py").read_bytes(),
        "server/__init__.py": b"",
        "server/app.py": (_HERE / "server_app.py").read_bytes(),
    }


def read_app(folder: Path) -> App:
    """Return the app in a folder.

    Raises:
        ArtifactCorrupt: if it has no pyproject.toml.
    """
    project = folder / "pyproject.toml"
    if not project.is_file():
        raise ArtifactCorrupt(
            f"Expected an app with a pyproject.toml in '{folder.name}', found none. Give the "
            "folder that holds it."
        )
    files = [project, *folder.rglob("*.py")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(files)}


def build(app: App, config: Mapping[str, object]) -> bytes:
    """Return an app as a bundle of Flower's, with a plan as its settings.

    Raises:
        ArtifactCorrupt: if it is no app.
    """
    try:
        project = tomllib.loads(app["pyproject.toml"].decode())
        project["tool"]["flwr"]["app"]["config"] = dict(config)
        files = {**app, "pyproject.toml": tomli_w.dumps(project).encode()}
        return build_fab_from_files(files)[0]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactCorrupt(
            "Expected a Flower app with [tool.flwr.app] in its pyproject.toml, got another. Its "
            "publisher and both components have to be there."
        ) from error
