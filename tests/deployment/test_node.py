"""What an owner's node does before it starts."""

import os
import signal
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

from deployment.apps import tiny_app
from deployment.conftest import free_port
from discreet.deployment import NodeFolder, create_trial, node, start_node
from discreet.deployment.node import forget_sums
from discreet.errors import DeploymentError
from discreet.federated.client import OwnerSite


@pytest.mark.parametrize("name", ["ledger.jsonl", "odd [0-9]*.jsonl"])
def test_a_node_that_starts_lets_the_secrets_of_a_sum_that_was_given_up_go(
    tmp_path: Path, name: str
) -> None:
    """Those of the site that its app works with, and nothing else beside the ledger."""
    trial = create_trial(tmp_path / "trial", ["a", "b"])
    folder = NodeFolder.open(trial.path / "owners" / "a")
    text = folder.settings_path.read_text().replace("ledger.jsonl", name)
    folder.settings_path.write_text(text)
    config = dict(folder.settings().site)
    site = OwnerSite.of_node(
        Context(run_id=1, node_id=1, node_config=config, state=RecordDict(), run_config={})
    )
    others = [site.ledger, site.memory_path, site.ledger.with_name("ledger.jsonl.notes.sum")]
    for path in (site.sum_path, *others):
        path.write_text("x")
    forget_sums(folder)
    forget_sums(folder)
    assert not site.sum_path.exists()
    assert all(path.exists() for path in others)


def test_of_one_folder_one_node_runs_until_it_ends_in_whatever_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no server: nodes wait for it. The secrets of a sum stay as they are."""
    monkeypatch.setattr(node, "_PATIENCE_SECONDS", 0.3)
    trial = create_trial(tmp_path / "trial", ["a", "b"], port=free_port())
    first, second = (NodeFolder.open(trial.path / "owners" / name) for name in "ab")
    app, log = tiny_app(), tmp_path / "log"
    with start_node(first, app=app, log=log) as running, start_node(second, app=app, log=log):
        secrets = first.path / f"ledger.jsonl.{'0' * 16}.sum"
        secrets.write_text("of the node that runs")
        with pytest.raises(DeploymentError, match="no running node of 'a'"):
            start_node(first, app=app, log=log)
        assert secrets.exists()
        os.kill(running.process.pid, signal.SIGKILL)
        running.wait()
        with start_node(first, app=app, log=log) as again:
            assert again.is_running
    with start_node(first, app=app, log=log):
        assert not secrets.exists()
