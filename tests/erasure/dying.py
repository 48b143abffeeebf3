"""Forgettings to be killed, with the witness of `federated.crashing`.

Nursery.of("erasure.dying").run(folder="...", die_at=17)
"""

import json
import tempfile
from pathlib import Path

from federated.crashing import FREE, DyingCalls, Witness, make_room, publisher, watch
from federated.tiny import TinyTask, tiny_config
from nursery import serve

from discreet.artifacts import RunFolder
from discreet.erasure import forget_owner, plan_forgetting
from discreet.federated import run_federation
from discreet.types import OwnerId

CONFIG = tiny_config(**{**FREE, "num_owners": 3, "num_rounds": 2})
GONE = OwnerId("owner-1")


def train(home: Path) -> None:
    """Make the run that an owner wants to be taken out of."""
    run = RunFolder.create(home / "first")
    run_federation(CONFIG, run, TinyTask(CONFIG), on_round=publisher(run))


def forget(folder: str, die_at: int = 0) -> None:
    """Forget the owner, or go on with it."""
    home = Path(folder)
    if not (home / "first").exists():
        train(home)
        return
    watch(Witness(home))
    found = plan_forgetting(RunFolder(home / "first"), GONE, out=home / "next")
    task = TinyTask(found.config)
    calls = DyingCalls(die_at)
    receipt = forget_owner(found, task, publisher=publisher)
    count = calls.count
    (home / "report.json").write_text(json.dumps({"calls": count, "how": receipt.retraining}))


if __name__ == "__main__":
    make_room()
    with tempfile.TemporaryDirectory() as warm:
        train(Path(warm))
    serve(forget)
