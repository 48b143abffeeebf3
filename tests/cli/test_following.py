"""What commands that run a plan share."""

import re
from pathlib import Path

import pytest
from federated.tiny import tiny_config

from discreet.artifacts import RunFolder, sha256_of_folder
from discreet.cli.following import follow
from discreet.federated import Event, OwnerDropped, OwnerHindered, RoundDone, RoundStarted
from tests.cli.conftest import Run


def test_rounds_of_other_processes_are_told_from_the_run_folder(tmp_path: Path) -> None:
    run, told = RunFolder.create(tmp_path / "run"), list[Event]()
    tell = follow(tiny_config(num_rounds=2), run, told.append)
    assert told == [RoundStarted(server_round=1, num_rounds=2, asked=2)]
    line = {"round": 1, "visibility": "released"}
    dropped = {**line, "name": "dropped", "node": 7, "value": 1, "reason": "DataError"}
    bytes_up = {**line, "name": "bytes_up", "value": 12}
    fault = {**line, "name": "fault", "node": 8, "value": 1, "reason": "NoReply"}
    run.append_metric({**line, "name": "replies", "value": 1}, dropped, fault, bytes_up)
    tell(1)
    drop, hindered, done, begun = told[1:]
    assert hindered == OwnerHindered(server_round=1, node=8, reason="NoReply")
    assert drop == OwnerDropped(server_round=1, node=7, reason="DataError")
    assert isinstance(done, RoundDone)
    assert (done.replies, done.dropped, done.faults, done.bytes_up) == (1, 1, 1, 12)
    assert done.server_round == 1
    assert begun == RoundStarted(server_round=2, num_rounds=2, asked=2)
    tell(2)
    assert isinstance(told[-1], RoundDone)


@pytest.mark.slow
def test_nothing_is_left_to_do_of_a_run_that_is_done(
    discreet: Run, tmp_path: Path, portraits_file: Path
) -> None:
    (tmp_path / "plan.toml").write_text("sample_rate = 0.5\nmin_replies = 1\n")
    run, data = RunFolder(tmp_path / "run"), ("--data", portraits_file)
    sizes = ("--base", "tiny", "--owners", 2, "--rounds", 1, "--steps", 1)
    status, first, err = discreet("train", tmp_path / "plan.toml", *sizes, *data, "--out", run.path)
    assert status == 0, err
    before = sha256_of_folder(run.path)
    status, again, err = discreet("train", "--resume", run.path, *data)
    assert (status, again) == (0, first)
    assert "Nothing is left to do: all 1 rounds of this run are done." in err
    assert f"Its adapter is in {run.adapter_dir}." in err
    assert len(re.findall("spent epsilon", err)) == 2
    assert sha256_of_folder(run.path) == before
    discreet("federation", "init", tmp_path / "server")
    words = (tmp_path / "server", run.config_path, "--out", run.path)
    status, again, err = discreet("federation", "run", *words)
    assert (status, again) == (0, first)  # no server is up, and none is needed
    assert "Nothing is left to do" in err
    (tmp_path / "other.toml").write_text("num_rounds = 5\n")
    status, _, err = discreet("federation", "run", words[0], tmp_path / "other.toml", *words[2:])
    assert status == 1
    assert "Expected the plan of run 'run'" in err
    (run.adapter_dir / "adapter_config.json").unlink()
    status, _, err = discreet("train", "--resume", run.path, *data)
    assert status == 0
    assert "Nothing is left" not in err
    assert (run.adapter_dir / "adapter_config.json").is_file()
