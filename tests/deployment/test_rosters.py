"""A server's roster, from its folder to the sum, with the apps of a run and without processes."""

import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from federated.tiny import TinyTask, tiny_config
from flwr.app import Context, RecordDict

from deployment.apps import tiny_app
from discreet.artifacts import RunFolder
from discreet.deployment import NodeFolder, RunState, ServerFolder, create_trial, runs, submit
from discreet.errors import ArtifactCorrupt, FederationError
from discreet.federated import LocalGrid, client_app, server_app
from discreet.keys import Roster, make_signing_key, read_roster, write_roster

OWNERS = ["owner-0", "owner-1", "owner-2", "owner-3"]
PLAN = {
    "num_owners": 4,
    "min_replies": 3,
    "num_rounds": 1,
    "secure_aggregation": True,
    "secagg_timeout_seconds": 60.0,
    "round_timeout_seconds": 60.0,
}


class InProcess:
    """A server that runs what is submitted in this process, with the settings of the bundle."""

    def __init__(self, folder: ServerFolder) -> None:
        nodes = [NodeFolder.open(folder.path / "owners" / name) for name in OWNERS]
        self.sites = [dict(node.settings().site) for node in nodes]
        self.state = RunState("finished", "completed", "")

    @contextmanager
    def opened(self, folder: ServerFolder) -> Iterator["InProcess"]:
        yield self

    def start_run(self, bundle: bytes) -> int:
        with zipfile.ZipFile(BytesIO(bundle)) as archive:
            project = tomllib.loads(archive.read("pyproject.toml").decode())
        given = project["tool"]["flwr"]["app"]["config"]
        grid = LocalGrid(client_app(TinyTask), self.sites, run_config=given)
        context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=given)
        try:
            with grid.activated():
                server_app(TinyTask)(grid, context)
        except FederationError as error:
            self.state = RunState("finished", "failed", str(error))
        return 1

    def state_of(self, run_id: int) -> RunState:
        return self.state


@pytest.mark.parametrize("knows", [True, False], ids=["roster", "no roster"])
def test_an_owner_with_a_new_key_costs_the_others_the_sum_unless_the_server_has_the_roster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knows: bool
) -> None:
    folder, run = create_trial(tmp_path / "trial", OWNERS), RunFolder.create(tmp_path / "run")
    node = NodeFolder.open(folder.path / "owners" / "owner-2")
    node.signing_key.unlink()
    make_signing_key(node.signing_key, node.signing_public, owner="owner-2")
    (new,) = read_roster(node.signing_public).keys
    write_roster(node.roster, Roster({**read_roster(node.roster).owners, "new": new}))
    if not knows:
        folder.roster.unlink()
    monkeypatch.setattr(runs, "open_control", InProcess(folder).opened)
    if not knows:
        with pytest.raises(FederationError, match=r"RosterMismatch: these .* roster\.pem in its"):
            submit(tiny_config(**PLAN), run, folder, app=tiny_app())
        return
    outcome = submit(tiny_config(**PLAN), run, folder, app=tiny_app())
    assert (outcome.rounds_done, outcome.ended) == (1, "completed")
    (dropped,) = [line for line in run.read_metrics() if line["name"] == "dropped"]
    assert dropped["node"] == 1002
    assert "on the roster only" in dropped["reason"]


def test_a_damaged_roster_of_the_server_starts_no_run(tmp_path: Path) -> None:
    folder = create_trial(tmp_path / "trial", OWNERS)
    folder.roster.write_text("no roster")
    with pytest.raises(ArtifactCorrupt, match="roster"):
        submit(tiny_config(**PLAN), RunFolder.create(tmp_path / "run"), folder)
