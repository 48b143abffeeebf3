"""What an owner's node does before it starts."""

from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

from discreet.deployment import NodeFolder, create_trial
from discreet.deployment.node import forget_sums
from discreet.federated.client import OwnerSite


@pytest.mark.parametrize("name", ["ledger.jsonl", "odd [0-9]*.jsonl"])
def test_a_node_that_starts_lets_the_secrets_of_a_sum_that_was_given_up_go(
    tmp_path: Path, name: str
) -> None:
    """Those of the site that its app works with, and nothing else beside the ledger."""
    trial = create_trial(tmp_path / "trial", ["a", "b"])
    node = NodeFolder.open(trial.path / "owners" / "a")
    text = node.settings_path.read_text().replace("ledger.jsonl", name)
    node.settings_path.write_text(text)
    config = dict(node.settings().site)
    site = OwnerSite.of_node(
        Context(run_id=1, node_id=1, node_config=config, state=RecordDict(), run_config={})
    )
    others = [site.ledger, site.memory_path, site.ledger.with_name("ledger.jsonl.notes.sum")]
    for path in (site.sum_path, *others):
        path.write_text("x")
    forget_sums(node)
    forget_sums(node)
    assert not site.sum_path.exists()
    assert all(path.exists() for path in others)
