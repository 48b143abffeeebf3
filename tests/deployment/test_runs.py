"""The drivers agree with the one in one process."""

import os
from pathlib import Path

import pytest
from federated.tiny import TinyTask, tiny_config

from deployment.apps import tiny_app
from deployment.conftest import free_port
from deployment.test_machines import equal, in_one_process
from discreet.artifacts import RunFolder
from discreet.deployment import Tasks, create_trial, run_deployed, run_ray, submit
from discreet.deployment.processes import QUIET
from discreet.deployment.runs import _explained
from discreet.errors import DeploymentError, FederationError
from discreet.privacy import PrivacyLedger


@pytest.mark.slow
def test_a_deployed_run_ends_as_one_in_one_process(tmp_path: Path) -> None:
    config = tiny_config(num_rounds=1)
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
    tiny_config().save(run.config_path)
    folder = create_trial(tmp_path / "trial", ["a"], port=free_port())
    with pytest.raises(ValueError, match=r"give its config\.toml"):
        submit(tiny_config(num_rounds=3), run, folder)


def test_a_server_that_is_away_is_told_with_the_way_out(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    folder = create_trial(tmp_path / "trial", ["a"], port=free_port())
    with pytest.raises(DeploymentError, match="discreet federation server"):
        submit(tiny_config(), run, folder)
    assert list(run.path.iterdir()) == []


def test_a_failure_in_the_simulation_is_told(tmp_path: Path) -> None:
    """The other process has an exception of its own; this one says what to do."""
    from discreet.deployment.control import RunState
    from discreet.deployment.runs import _outcome

    run = RunFolder.create(tmp_path / "run")
    with pytest.raises(FederationError, match=r"Expected 2 rounds, got 0: the run failed \(why\)"):
        _outcome(tiny_config(), run, RunState("finished", "failed", "why"))
    run.append_metric({"name": "ended", "value": "budget_exhausted", "visibility": "released"})
    with pytest.raises(FederationError):
        _outcome(tiny_config(), run, RunState("finished", "failed", "why"))


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
