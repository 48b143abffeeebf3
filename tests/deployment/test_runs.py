"""The drivers agree with the one in one process."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from federated.tiny import TinyTask, tiny_config

from deployment.apps import tiny_app
from deployment.conftest import free_port
from deployment.test_machines import equal, in_one_process
from discreet.artifacts import RunFolder
from discreet.deployment import (
    RunState,
    ServerFolder,
    Tasks,
    create_trial,
    run_deployed,
    run_ray,
    runs,
    submit,
)
from discreet.deployment.runs import _explained
from discreet.errors import DeploymentError, FederationError
from discreet.federated import run_federation
from discreet.federated.evidence import line_of_end
from discreet.privacy import PrivacyLedger
from discreet.quiet import QUIET


@pytest.mark.slow
def test_a_deployed_run_ends_as_one_in_one_process(tmp_path: Path) -> None:
    config = tiny_config(num_rounds=1, node_wait_seconds=180.0)
    folder = create_trial(tmp_path / "trial", ["owner-0", "owner-1"], port=free_port())
    done: list[int] = []
    run = RunFolder.create(tmp_path / "run")
    outcome = run_deployed(config, run, folder, app=tiny_app(), on_round=done.append)
    assert (outcome.rounds_done, outcome.ended, done) == (1, "completed", [1])
    assert equal(outcome, in_one_process(config, tmp_path))
    alone = PrivacyLedger.open(tmp_path / "local" / "ledger.jsonl")
    for owner in alone.owners():
        ledger = PrivacyLedger.open(folder.path / "owners" / owner / "ledger.jsonl")
        assert ledger.events(owner) == alone.events(owner)
    assert sorted(path.name for path in (folder.path / "logs").iterdir()) == [
        "owner-0.log",
        "owner-1.log",
        "server.log",
    ]


@pytest.mark.slow
def test_deployed_owners_who_know_each_other_make_a_sum(tmp_path: Path) -> None:
    """Over processes that remember nothing from one question to the next."""
    secure = {"num_owners": 3, "min_replies": 2, "secure_aggregation": True}
    config = tiny_config(num_rounds=1, node_wait_seconds=180.0, **secure)
    owners = ["owner-0", "owner-1", "owner-2"]
    folder = create_trial(tmp_path / "trial", owners, port=free_port())
    outcome = run_deployed(config, RunFolder.create(tmp_path / "run"), folder, app=tiny_app())
    assert (outcome.rounds_done, outcome.ended) == (1, "completed")
    assert equal(outcome, in_one_process(config, tmp_path))
    assert not list((folder.path / "owners").glob("*/*.sum"))


@pytest.mark.slow
def test_rays_simulation_ends_as_one_in_one_process(tmp_path: Path) -> None:
    """With sums that the server cannot take apart, whose owners remember between messages."""
    pytest.importorskip("ray", reason="Flower's simulation runs on Ray")
    config = tiny_config(num_owners=3, min_replies=2, secure_aggregation=True)
    before = dict(os.environ)
    run = RunFolder.create(tmp_path / "run")
    tasks = Tasks(of_owners=TinyTask, of_server=TinyTask)
    outcome = run_ray(config, run, tasks=tasks, processes=2)
    assert (outcome.rounds_done, outcome.ended) == (2, "completed")
    assert equal(outcome, in_one_process(config, tmp_path))
    ledgers = [PrivacyLedger.open(tmp_path / name / "ledger.jsonl") for name in ("run", "local")]
    owners = ledgers[0].owners()
    assert [ledgers[0].events(o) for o in owners] == [ledgers[1].events(o) for o in owners]
    assert dict(os.environ) == before
    assert not set(QUIET) & (set(os.environ) - set(before))


def test_another_plan_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    run_federation(tiny_config(), run, TinyTask(tiny_config()))
    folder = create_trial(tmp_path / "trial", ["a"], port=free_port())
    with pytest.raises(ValueError, match=r"resume with its config\.toml"):
        submit(tiny_config(num_rounds=3), run, folder)


def test_a_server_that_is_away_is_told_with_the_way_out(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    folder = create_trial(tmp_path / "trial", ["a"], port=free_port())
    with pytest.raises(DeploymentError, match="discreet federation server"):
        submit(tiny_config(), run, folder)
    assert list(run.path.iterdir()) == []


class FailingServer:
    """A server on which every run fails, after its app added a line or two to the metrics."""

    def __init__(self, run: RunFolder, *said: Mapping[str, object]) -> None:
        self.run, self.said = run, said

    @contextmanager
    def opened(self, folder: ServerFolder) -> Iterator["FailingServer"]:
        yield self

    def start_run(self, bundle: bytes) -> int:
        self.run.append_metric(*self.said)
        return 1

    def state_of(self, run_id: int) -> RunState:
        return RunState("finished", "failed", "why")


def test_a_run_that_fails_before_its_first_round_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder.create(tmp_path / "run")
    folder = create_trial(tmp_path / "trial", ["a"], port=free_port())
    server = FailingServer(run, line_of_end(1, "no budget"))
    monkeypatch.setattr(runs, "open_control", server.opened)
    with pytest.raises(
        FederationError, match=r"Expected 2 rounds, got 0: the run failed: no budget. Give"
    ):
        submit(tiny_config(), run, folder)


def test_what_an_earlier_attempt_ended_for_is_not_said_of_a_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, run = tiny_config(), RunFolder.create(tmp_path / "run")

    def stop(server_round: int, *_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_federation(config, run, TinyTask(config), on_round=stop)
    folder = create_trial(tmp_path / "trial", ["a"], port=free_port())
    exhausted = FailingServer(run, line_of_end(2, "no budget"))
    monkeypatch.setattr(runs, "open_control", exhausted.opened)
    outcome = submit(config, run, folder)
    assert (outcome.rounds_done, outcome.ended) == (1, "budget_exhausted")
    monkeypatch.setattr(runs, "open_control", FailingServer(run).opened)
    with pytest.raises(FederationError, match=r"got 1: the run failed: why. Give"):
        submit(config, run, folder)


def fail_in(run: RunFolder, logs: Path, said: dict[str, str]) -> None:
    """Let nodes write into their logs, and the run fail."""
    with _explained(logs, run):
        for owner, text in said.items():
            (logs / f"{owner}.log").write_text(text)
        raise FederationError("Expected 2 rounds, got 0.")


def test_what_failed_says_where_the_logs_are_and_what_owners_logs_say(tmp_path: Path) -> None:
    """Of this attempt alone: the log of an earlier one stands in the same file."""
    run = RunFolder.create(tmp_path / "run")
    logs = run.path / "federation" / "logs"
    logs.mkdir(parents=True)
    (logs / "owner-0.log").write_text("owner-0 did not train: DataError: of yesterday.\n")
    twice = (
        "x did not train: PolicyError: first.\nx did not train: PolicyError: Expected less.\nINFO\n"
    )
    with pytest.raises(FederationError) as failed:
        fail_in(run, logs, {"owner-1": twice, "server": "INFO\n"})
    assert str(failed.value).splitlines() == [
        "Expected 2 rounds, got 0.",
        "The logs of the server and of each owner are in 'federation/logs' of the run folder.",
        "owner-1: x did not train: PolicyError: Expected less.",
    ]


def test_reasons_of_many_owners_are_counted_after_the_first(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    said = {f"owner-{n}": "owner did not train: KeyError: in x\n" for n in range(9)}
    with pytest.raises(FederationError) as failed:
        fail_in(run, run.path, said)
    lines = str(failed.value).splitlines()
    assert [line.partition(":")[0] for line in lines[2:-1]] == [f"owner-{n}" for n in range(5)]
    assert lines[-1] == "4 more owners did not train."
