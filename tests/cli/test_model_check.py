"""`discreet doctor --model`: a table for people, JSON for machines, and a status."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.model.folders import save_member


def test_a_base_that_passes_has_status_0_and_json_for_each_check(
    tmp_path: Path, discreet: Run
) -> None:
    folder = save_member("gemma3", tmp_path / "mine")
    status, out, _ = discreet("doctor", "--model", folder, "--json")
    assert status == 0
    found = json.loads(out)
    assert found["ok"]
    assert {check["state"] for check in found["checks"]} == {"passed", "skipped"}
    keys = {"name", "state", "expected", "got", "way_out"}
    assert all(set(check) == keys for check in found["checks"])


def test_a_fault_has_status_1_and_the_way_out(
    tmp_path: Path, discreet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    folder = save_member("llava", tmp_path / "mine")
    (folder / "preprocessor_config.json").unlink()
    status, out, err = discreet("doctor", "--model", folder)
    assert (status, out) == (1, "")
    assert "image processor: Save it there with processor.save_pretrained()" in err
    assert "Verdict: FAIL. 1 to mend." in err


def test_a_name_that_is_no_folder_is_refused(discreet: Run) -> None:
    status, _, err = discreet("doctor", "--model", "somebody/some-vlm")
    assert status == 1
    assert "models are not downloaded; name a folder" in err
