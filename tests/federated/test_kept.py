"""Updates as the server saw them, kept for audits."""

from pathlib import Path

import pytest
import torch

from discreet.artifacts import RunFolder
from discreet.errors import ArtifactCorrupt
from discreet.federated import FIRST_NODE_ID, keep_updates, kept_updates, run_federation
from federated.tiny import TinyTask, tiny_config


def test_what_is_kept_makes_the_average(tmp_path: Path) -> None:
    """The rule is a mean: what both owners sent in a round moves the adapter by their mean."""
    config = tiny_config()
    run, task = RunFolder.create(tmp_path / "run"), TinyTask(config)
    states = [task.initial_state()]
    run_federation(
        config,
        run,
        task,
        on_round=lambda number, state, report: states.append(state),
        on_update=keep_updates(run),
    )
    kept = kept_updates(run)
    assert set(kept) == set(range(1, config.num_rounds + 1))
    for number, updates in kept.items():
        assert set(updates) == {FIRST_NODE_ID + place for place in range(config.num_owners)}
        before, after = states[number - 1 : number + 1]
        for name in next(iter(updates.values())):
            mean = torch.stack([update[name] for update in updates.values()]).mean(0)
            torch.testing.assert_close(after[name] - before[name], mean, atol=1e-5, rtol=1e-4)


def test_of_secure_sums_nothing_is_kept(tmp_path: Path) -> None:
    config = tiny_config(secure_aggregation=True, num_owners=3, min_replies=3)
    run = RunFolder.create(tmp_path / "run")
    run_federation(config, run, TinyTask(config), on_update=keep_updates(run))
    assert kept_updates(run) == {}


def test_nothing_is_kept_unless_asked_for(tmp_path: Path) -> None:
    config = tiny_config()
    run = RunFolder.create(tmp_path / "run")
    run_federation(config, run, TinyTask(config))
    assert not (run.path / "updates").exists()
    assert kept_updates(run) == {}


@pytest.mark.parametrize("name", ["1/1000.safetensors", "one/1000.safetensors", "1/me.safetensors"])
def test_a_damaged_file_or_another_name_is_refused(tmp_path: Path, name: str) -> None:
    run = RunFolder.create(tmp_path / "run")
    path = run.path / "updates" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing")
    with pytest.raises(ArtifactCorrupt, match="updates by round and node"):
        kept_updates(run)
