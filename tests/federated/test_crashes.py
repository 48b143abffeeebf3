"""Whatever kills a run: it goes on, nobody is charged less than was drawn, files stay whole."""

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from nursery import Nursery
from safetensors.torch import load_file

from discreet.artifacts import RunFolder, sha256_of_folder
from discreet.errors import ArtifactError
from discreet.federated import (
    LocalGrid,
    State,
    TrainConfig,
    client_app,
    read_checkpoint,
    run_federation,
)
from discreet.federated.checkpoint import alone_in
from discreet.federated.rounds import drive
from discreet.privacy import PrivacyLedger, epsilon_of
from federated import tiny
from federated.crashing import PLANS, config_of, with_more_noise
from federated.tiny import TinyTask

KILLS = 50
KILLED = -signal.SIGKILL
EVERYTHING = [name for name in PLANS if name != "short"]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery.of("federated.crashing") as nursery:
        yield nursery


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


class Disk:
    """What is on disk, as somebody sees it who was not there."""

    def __init__(self, home: Path, plan: str) -> None:
        home.mkdir(exist_ok=True)
        self.home, self.plan, self.config = home, plan, config_of(plan)
        self.run = RunFolder(home / "run")
        self.published = 0

    def lives(self, nursery: Nursery, **how_it_dies: Any) -> int:
        """Start a process on the run, or go on with it; return how it ended."""
        return nursery.run(folder=str(self.home), plan=self.plan, **how_it_dies)

    @property
    def rounds_done(self) -> int:
        last = read_checkpoint(self.run)
        return last.rounds_done if last else 0

    @property
    def state(self) -> State:
        last = read_checkpoint(self.run)
        assert last is not None
        return last.state

    @property
    def report(self) -> dict[str, Any]:
        """What the last process said that ended by itself."""
        report: dict[str, Any] = json.loads((self.home / "report.json").read_text())
        return report

    def drawn(self) -> Counter[str]:
        """Count what was begun of each account, by the witness."""
        witness = self.home / "witness.log"
        return Counter(witness.read_text().splitlines() if witness.exists() else [])

    def charged(self) -> Counter[str]:
        """Count what each account is charged for."""
        ledger = PrivacyLedger.open(self.run.ledger_path)
        entries = {str(o): ledger.entries(o) for o in ledger.owners()}
        return Counter({o: sum(e.steps_counted for e in each) for o, each in entries.items()})

    def check(self) -> None:
        """See that every file is whole, and that nothing is understated."""
        if self.run.config_path.exists():
            assert TrainConfig.load(self.run.config_path) == self.config
        done = self.rounds_done
        rounds = [line["round"] for line in self.run.read_metrics() if line["name"] == "replies"]
        assert rounds in (list(range(1, done + 1)), list(range(1, done)))
        self._check_adapter(done)
        self._check_ledger()

    def _check_adapter(self, done: int) -> None:
        """The adapter is that of the last round or of the one before; once there, it stays."""
        if self.run.adapter_dir.exists():
            load_file(self.run.adapter_dir / "adapter.safetensors")
        else:
            assert (self.published, done) in ((0, 0), (0, 1))
        if self.run.card_path.exists():
            self.published = self.run.read_json("card.json")["rounds_done"]
            assert self.run.adapter_dir.exists()
        assert self.published in (done, max(0, done - 1))

    def _check_ledger(self) -> None:
        drawn = self.drawn()
        if not self.run.ledger_path.exists():
            assert not drawn
            return
        ledger, charged = PrivacyLedger.open(self.run.ledger_path), self.charged()
        assert drawn <= charged, "understated"
        accounts = {str(owner): ledger.account(owner) for owner in ledger.owners()}
        for name, count in drawn.items():
            plan = accounts[name].plan
            true = epsilon_of([plan.event(count)], plan.delta, plan.accountant)
            assert ledger.spent(accounts[name].entries[0].owner).epsilon >= true, "understated"

    def check_end(self, whole: "Disk") -> None:
        """See that the run ended as one that nobody disturbed."""
        self.check()
        assert self.report["ended"] == "completed"
        assert self.rounds_done == self.published == self.config.num_rounds
        rounds = [line["round"] for line in self.run.read_metrics() if line["name"] == "replies"]
        assert rounds == list(range(1, self.config.num_rounds + 1))
        adapter = load_file(self.run.adapter_dir / "adapter.safetensors")
        card = self.run.read_json("card.json")
        assert card["adapter_sha256"] == sha256_of_folder(self.run.adapter_dir)
        assert adapter.keys() <= self.state.keys()
        if self.config.reproducible:
            assert same(self.state, whole.state), "as if nothing had happened, bit by bit"
        torn = [path.name for path in self.run.path.glob(".*") if path.name != ".lock"]
        assert not torn


def undisturbed(nursery: Nursery, folder: Path, plan: str) -> tuple[Disk, float]:
    """Return a whole run and how long it took."""
    disk, began = Disk(folder, plan), time.monotonic()
    assert disk.lives(nursery) == 0
    disk.check_end(disk)
    assert disk.drawn() == disk.charged()
    return disk, time.monotonic() - began


def die_at_each(nursery: Nursery, tmp_path: Path, plan: str, step: int) -> None:
    """Kill a run at its n-th call that writes, for every `step`-th n; let it go on to its end."""
    whole, _ = undisturbed(nursery, tmp_path / "whole", plan)
    for number in range(1, whole.report["calls"] + 1, step):
        disk = Disk(tmp_path / str(number), plan)
        assert disk.lives(nursery, die_at=number) == KILLED
        disk.check()
        assert disk.lives(nursery) == 0
        disk.check_end(whole)


def test_a_run_killed_while_it_writes_goes_on(nursery: Nursery, tmp_path: Path) -> None:
    die_at_each(nursery, tmp_path, "short", step=23)


@pytest.mark.slow
def test_a_run_killed_at_any_of_its_writes_goes_on(nursery: Nursery, tmp_path: Path) -> None:
    die_at_each(nursery, tmp_path, "short", step=1)


@pytest.mark.slow
def test_a_federation_killed_at_50_random_moments_ends_as_if_it_had_not_been(
    nursery: Nursery, tmp_path: Path
) -> None:
    """Runs of all plans, one after the other; each is killed until it gets through."""
    wholes = {plan: undisturbed(nursery, tmp_path / plan, plan) for plan in EVERYTHING}
    chance, killed, number = random.Random(6), 0, 0
    while killed < KILLS:
        plan = EVERYTHING[number % len(EVERYTHING)]
        whole, seconds = wholes[plan]
        disk, number = Disk(tmp_path / str(number), plan), number + 1
        while disk.lives(nursery, kill_after=chance.uniform(0, seconds)) == KILLED:
            killed, seconds = killed + 1, seconds * 1.2  # the machine may be busier by now
            disk.check()
        disk.check_end(whole)


def test_an_owner_who_trained_twice_for_a_round_is_charged_twice(
    nursery: Nursery, tmp_path: Path
) -> None:
    """Both owners take three steps a round; the 11th step is the second of the second owner."""
    disk = Disk(tmp_path, "plain")
    assert disk.lives(nursery, die_at_draw=11) == KILLED
    assert disk.rounds_done == 1
    assert disk.drawn() == {"owner-0": 6, "owner-1": 5}
    assert disk.charged() == {"owner-0": 6, "owner-1": 6}, "what was reserved counts whole"
    assert disk.lives(nursery) == 0
    rounds = disk.config.num_rounds
    assert disk.charged() == {"owner-0": 3 * (rounds + 1), "owner-1": 3 * (rounds + 1)}
    assert disk.drawn() == {"owner-0": 3 * (rounds + 1), "owner-1": 3 * (rounds + 1) - 1}


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("file", ["ledger", "checkpoint", "metrics", "memory"])
def test_a_full_disk_leaves_files_whole_and_the_run_goes_on_with_space(
    nursery: Nursery, tmp_path: Path, file: str, after: int
) -> None:
    """There is no room for one kind of file, from its first or second writing on."""
    whole, _ = undisturbed(nursery, tmp_path / "whole", "short")
    disk = Disk(tmp_path / "full", "short")
    assert disk.lives(nursery, full=file, after=after) == 0
    disk.check()
    errors = disk.report["errors"]
    assert "OSError" in errors[-1]
    if file in ("ledger", "memory"):
        assert "expected 2 or more usable replies" in errors[0]
        assert "OSError" in errors[0]
    assert disk.lives(nursery) == 0
    disk.check_end(whole)


def test_a_second_run_of_the_same_owners_begins_without_the_firsts_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Owners' ledgers outlive a run, and what they keep for its next round lies beside them."""
    monkeypatch.setattr(tiny, "plan_of", with_more_noise(tiny.plan_of))
    config, ends = config_of("remembering"), []
    for name in ("first", "second"):
        app = client_app(lambda *_: TinyTask(config), config=config, ledger=tmp_path / "ledger")
        grid = LocalGrid(app, [{"partition-id": index} for index in range(2)])
        with grid.activated():
            run = RunFolder.create(tmp_path / name)
            ends.append(drive(config, run, TinyTask(config), grid))
    assert [end.rounds_done for end in ends] == [4, 4]
    assert same(ends[0].state, ends[1].state)
    assert len(list(tmp_path.glob("ledger.*.safetensors"))) == 2


def test_two_processes_do_not_go_on_with_one_run(run: RunFolder) -> None:
    config = config_of("plain")
    with alone_in(run), pytest.raises(ArtifactError, match="another process goes on with it"):
        run_federation(config, run, TinyTask(config))
    assert not run.config_path.exists()
