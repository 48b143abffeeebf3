"""A second route: the secure aggregation of Flower's own that runs without its message API."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from flwr.common.secure_aggregation.crypto.shamir import combine_shares, create_shares
from flwr.common.secure_aggregation.ndarrays_arithmetic import (
    parameters_addition,
    parameters_mod,
    parameters_subtraction,
)
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen

from discreet.secagg.primitives import draw_secret, join, keystream, split
from secagg.rounds import group_of, run_round

SIZE, OWNERS = 1000, 4
CLIPPING, LEVELS = 8.0, 2**22
"""Defaults of Flower's workflow."""
WORKFLOW = """
import json, sys
import numpy as np
from flwr.client import NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp
from flwr.common import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import LegacyContext, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation
from secagg.test_flower import OWNERS, SIZE, numbers_of

class Owner(NumPyClient):
    def __init__(self, place):
        self.place = place
    def get_parameters(self, config):
        return [np.zeros(SIZE)]
    def fit(self, parameters, config):
        return [numbers_of(self.place)], 1000, {}

app = ServerApp()

@app.main()
def main(grid, context):
    strategy = FedAvg(
        fraction_fit=1.0, fraction_evaluate=0.0, min_fit_clients=OWNERS,
        min_available_clients=OWNERS, initial_parameters=ndarrays_to_parameters([np.zeros(SIZE)]),
    )
    legacy = LegacyContext(context, config=ServerConfig(num_rounds=1), strategy=strategy)
    found = []
    aggregate = strategy.aggregate_fit
    def keep(server_round, results, failures):
        found.extend(parameters_to_ndarrays(results[0][1].parameters))
        return aggregate(server_round, results, failures)
    strategy.aggregate_fit = keep
    workflow = SecAggPlusWorkflow(num_shares=3, reconstruction_threshold=2)
    DefaultWorkflow(fit_workflow=workflow)(grid, legacy)
    open(sys.argv[1], "w").write(json.dumps(found[0].tolist()))

def client_fn(context):
    return Owner(int(context.node_config["partition-id"])).to_client()

run_simulation(
    app, ClientApp(client_fn=client_fn, mods=[secaggplus_mod]), num_supernodes=OWNERS,
    backend_config={
        "client_resources": {"num_cpus": 1},
        "init_args": {"include_dashboard": False, "num_cpus": 2},
    },
)
"""
QUIET = {
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_TELEMETRY_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def numbers_of(place: int) -> np.ndarray:
    """Return the (SIZE,) numbers of an owner, all within what Flower clips to."""
    return np.random.default_rng(place).uniform(-7, 7, SIZE)


def mean_by_us() -> np.ndarray:
    """Return the mean of all owners' numbers, on the grid of Flower's workflow."""
    group = group_of(OWNERS, neighbours=OWNERS - 1, threshold=3, size=SIZE)
    step = 2 * CLIPPING / LEVELS
    whole = [np.rint(numbers_of(k) / step).astype(np.int64) for k in range(OWNERS)]
    values = {i: whole[k].astype(np.uint32) for k, i in enumerate(group.ids)}
    return run_round(group, values).total().view(np.int32) * step / OWNERS


def in_flowers_form(shares: dict[int, bytes]) -> list[bytes]:
    return [number.to_bytes(4, "little") + share for number, share in shares.items()]


def test_flower_joins_our_shares_and_we_join_theirs() -> None:
    secret, padding = draw_secret(), bytes([16]) * 16
    ours = dict(enumerate(split(secret + padding, 3, 5), start=1))
    assert combine_shares(in_flowers_form({k: ours[k] for k in (5, 2, 4)})) == secret
    theirs = {int.from_bytes(s[:4], "little"): s[4:] for s in create_shares(secret, 3, 5)}
    assert join({k: theirs[k] for k in (1, 3, 5)}) == secret + padding


def test_masks_by_flowers_arithmetic_are_the_same_numbers() -> None:
    values = np.random.default_rng(0).integers(0, 2**32, SIZE, dtype=np.uint32)
    keys = [draw_secret() for _ in range(3)]
    added, taken, own = (keystream(key, SIZE) for key in keys)
    wide = [[words.astype(np.int64)] for words in (values, own, added, taken)]
    theirs = parameters_addition(parameters_addition(wide[0], wide[1]), wide[2])
    (found,) = parameters_mod(parameters_subtraction(theirs, wide[3]), 2**32)
    assert np.array_equal(found.astype(np.uint32), values + own + added - taken)


def test_flowers_masks_have_32_bits_of_key_and_ours_have_256() -> None:
    """Why its masks are not used: words of the key that cancel leave the mask as it is."""
    key = bytes(range(28)) + bytes(4)
    other = bytes(x ^ 1 for x in key[:8]) + key[8:]
    theirs, again = (pseudo_rand_gen(k, 2**32, [(SIZE,)])[0] for k in (key, other))
    assert np.array_equal(theirs, again)
    assert not np.array_equal(keystream(key, SIZE), keystream(other, SIZE))


def test_the_mean_is_that_of_plain_numbers() -> None:
    plain = np.mean([numbers_of(k) for k in range(OWNERS)], axis=0)
    assert np.abs(mean_by_us() - plain).max() <= CLIPPING / LEVELS


@pytest.mark.slow
def test_flowers_own_workflow_gives_the_same_mean(tmp_path: Path) -> None:
    """Both round to steps of 16 / 2**22; Flower by chance, up or down, us to the nearest."""
    pytest.importorskip("ray", reason="Flower's simulation runs on Ray")
    out, tests = tmp_path / "mean.json", Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", WORKFLOW, str(out)],
        env={**os.environ, **QUIET, "FLWR_HOME": str(tmp_path), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    theirs = np.array(json.loads(out.read_text()))
    assert np.abs(theirs - mean_by_us()).max() <= 2 * 2 * CLIPPING / LEVELS
