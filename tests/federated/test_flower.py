"""The same plan through Flower's own simulation, with Ray's worker processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from discreet.artifacts import RunFolder
from discreet.federated import read_checkpoint, run_federation
from discreet.privacy import PrivacyLedger
from federated.tiny import TinyTask, tiny_config

pytest.importorskip("ray", reason="Flower's simulation runs on Ray")

TESTS = Path(__file__).parents[1]
QUIET = {
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_TELEMETRY_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
SIMULATION = """
import sys
from pathlib import Path
from flwr.simulation import run_simulation
from discreet.artifacts import RunFolder
from discreet.federated import client_app, server_app
from federated.tiny import TinyTask, tiny_config

config, run = tiny_config(), RunFolder.create(Path(sys.argv[1]))
run_simulation(
    server_app(TinyTask, config=config, run=run),
    client_app(TinyTask, config=config, ledger=run.ledger_path),
    num_supernodes=2,
    backend_config={
        "client_resources": {"num_cpus": 1},
        "init_args": {"include_dashboard": False, "num_cpus": 2},
    },
)
"""


@pytest.mark.slow
def test_flowers_simulation_gives_the_same_adapter(tmp_path: Path) -> None:
    config = tiny_config()
    local = run_federation(config, RunFolder.create(tmp_path / "local"), TinyTask(config))
    done = subprocess.run(
        [sys.executable, "-c", SIMULATION, str(tmp_path / "ray")],
        env={**os.environ, **QUIET, "FLWR_HOME": str(tmp_path), "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    run = RunFolder.open(tmp_path / "ray")
    checkpoint = read_checkpoint(run)
    assert checkpoint is not None
    assert checkpoint.rounds_done == 2
    assert all(torch.equal(checkpoint.state[name], local.state[name]) for name in local.state)
    replies = [line["value"] for line in run.read_metrics() if line["name"] == "replies"]
    assert replies == [2, 2]
    ledger = PrivacyLedger.open(run.ledger_path)
    assert ledger.owners() == ("owner-0", "owner-1")
    assert [entry.steps_started for entry in ledger.entries("owner-0")] == [3, 3]
