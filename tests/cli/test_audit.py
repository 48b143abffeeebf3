"""`discreet audit probes` as a person types it, on few people and with the tiny model's tokens."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from discreet.artifacts import RunFolder
from discreet.audit import AUDITS
from discreet.cli.audit import whole_people
from discreet.data import load_portraits
from discreet.federated import TrainConfig
from discreet.registry import read_card
from tests.cli.conftest import Run


@pytest.mark.slow
def test_probes_prints_a_sentence_and_a_table(discreet: Run, tmp_path: Path) -> None:
    out = tmp_path / "probes.json"
    status, told, _ = discreet("audit", "probes", "--portraits", 84, "--base", "tiny", "--out", out)
    assert status == 0
    assert told.startswith("From the tower's views, the best of 3 probes reads ")
    assert "\n\n| representation | label | people |" in told
    record = json.loads(out.read_text())
    assert record["portraits"] == {"train": 84, "test": 84}
    assert set(record) == {"commit", "hardware", "seconds", "base", "portraits", "findings"}
    assert record["seconds"] > 0
    shown = Counter(finding["representation"] for finding in record["findings"])
    assert set(shown.values()) == {11}  # five labels twice, and who a known person is
    identity = {
        f["representation"]: max(a["accuracy"] for a in f["attacks"])
        for f in record["findings"]
        if f["label"] == "identity"
    }
    assert identity["the tower's views"] > 0.5


def test_membership_is_asked_of_a_run_and_goes_into_its_documents(
    discreet: Run, tmp_path: Path, portraits_file: Path
) -> None:
    plan, run = tmp_path / "plan.toml", tmp_path / "run"
    TrainConfig.from_mapping(
        {"base": "tiny", "num_owners": 2, "num_rounds": 1, "local_steps": 1, "sample_rate": 0.1}
        | {"expected_batch_size": 3, "lora_layers": 1, "reproducible": True}
    ).save(plan)
    status, _, err = discreet("train", plan, "--data", portraits_file, "--out", run)
    assert status == 0, err
    words = ("audit", "membership", run, "--data", portraits_file, "--effort", "quick")
    status, told, err = discreet(*words)
    assert status == 0, err
    record = json.loads((run / "audits" / "membership.json").read_text())
    assert record["adapter_sha256"] == read_card(RunFolder(run)).adapter_sha256
    assert set(record["made_by"]) == {"commit", "hardware"}
    owners = record["values"]["owners"]
    assert set(owners) == {"owner-0", "owner-1"}
    assert all(0 <= one["low"] <= one["auc"] <= one["high"] <= 1 for one in owners.values())
    assert record["says"][0] in told
    assert "| loss less the base's |" in told
    status, told, err = discreet(*words, "--json", "--out", tmp_path / "again.json")
    assert json.loads(told)["values"] == json.loads((tmp_path / "again.json").read_text())["values"]
    discreet("docs", run, "--out", tmp_path / "documents")
    assert "One attack, and not the strongest" in (tmp_path / "documents" / "dpia.md").read_text()


def test_all_audits_that_fit_are_asked_and_shown_on_the_page(
    discreet: Run, tmp_path: Path, portraits_file: Path
) -> None:
    plan, run = tmp_path / "plan.toml", tmp_path / "run"
    TrainConfig.from_mapping(
        {"base": "tiny", "num_owners": 2, "num_rounds": 1, "local_steps": 1, "sample_rate": 0.1}
        | {
            "expected_batch_size": 3,
            "lora_layers": 2,
            "lora_modules": "q_proj,v_proj,up_proj,down_proj",
        }
    ).save(plan)
    words = ("train", plan, "--data", portraits_file, "--out", run, "--keep-updates")
    status, _, err = discreet(*words)
    assert status == 0, err
    words = ("audit", "all", run, "--data", portraits_file, "--minutes", "0.4")
    status, told, err = discreet(*words)
    assert status == 0, err
    assert "train one with --set" in " ".join(
        err.split()
    )  # no canaries: said, and no reason to stop
    done = {path.stem for path in (run / "audits").iterdir()}
    assert {"membership", "updates"} <= done <= set(AUDITS), "the most telling first"
    assert told.count("\n") == len(done)
    _, again, err = discreet(*words)
    assert "asked before" in err
    for wrong, said in (
        (("--minutes", "1", "--effort", "quick"), "got both"),
        (("--owners", "3"), "Expected 1 to 2, who took part, got 3"),
    ):
        status, _, err = discreet("audit", "all", run, "--data", portraits_file, *wrong)
        assert status == 2
        assert said in " ".join(err.replace("│", " ").split())
    assert set(told.splitlines()) <= set(again.splitlines()), "what was asked before stands"
    discreet("report", run)
    page = (run / "report.html").read_text()
    assert "Who was trained on (membership)" in page
    assert "What a curious server sees in updates" in page


def test_a_run_that_ships_is_not_written_to(discreet: Run) -> None:
    status, _, err = discreet("audit", "all", "reference")
    assert status == 2
    assert "adapters export" in " ".join(err.split())


def test_candidates_beside_another_audit_are_refused(discreet: Run) -> None:
    status, _, err = discreet("audit", "membership", "reference", "--candidate", "a=b")
    assert status == 2
    assert "got some for membership" in " ".join(err.replace("│", " ").split())


def test_people_are_taken_whole() -> None:
    everybody = load_portraits("test")
    some = whole_people(everybody, 20)
    counts = Counter(portrait.identity_id for portrait in some)
    assert set(counts.values()) == {7}
    assert len(some) == 21
    assert [p for p in everybody if p.identity_id in counts] == some
    assert whole_people(everybody, None) == everybody
    assert whole_people(everybody, 10**6) == everybody


def test_attribution_reads_any_peft_folder_and_writes_nothing_there(
    discreet: Run, tmp_path: Path, portraits_file: Path
) -> None:
    plan, run = tmp_path / "plan.toml", tmp_path / "run"
    TrainConfig.from_mapping(
        {"base": "tiny", "num_owners": 2, "num_rounds": 1, "local_steps": 1, "sample_rate": 0.1}
        | {"expected_batch_size": 3, "lora_layers": 2, "lora_modules": "q_proj,v_proj,up_proj"}
    ).save(plan)
    status, _, err = discreet("train", plan, "--data", portraits_file, "--out", run)
    assert status == 0, err
    draw = torch.Generator().manual_seed(0)
    weights = load_file(run / "adapter" / "adapter_model.safetensors")
    laws = [
        {n: torch.randn(v.shape, generator=draw) if "lora_B" in n else v for n, v in own.items()}
        for own in (weights, weights)
    ]
    for name, law in (("asked", 0), ("one-1", 0), ("one-2", 0), ("other-1", 1), ("other-2", 1)):
        shutil.copytree(run / "adapter", tmp_path / name)
        noisy = {
            n: v + torch.randn(v.shape, generator=draw) / 5 if "lora_B" in n else v
            for n, v in laws[law].items()
        }
        save_file(noisy, tmp_path / name / "adapter_model.safetensors")
    before = sorted(path.name for path in (tmp_path / "asked").iterdir())
    named = [f"--candidate={n.split('-')[0]}={tmp_path / n}" for n in ("one-1", "one-2")]
    named += [f"--candidate=other={tmp_path / n}" for n in ("other-1", "other-2")]
    status, told, err = discreet("audit", "attribution", tmp_path / "asked", *named, "--json")
    assert status == 0, err
    shares = {
        one["candidates"][0]: one["share"]
        for one in json.loads(told)["values"]["mixture"]["shares"]
    }
    assert shares["one"] > 0.9
    assert str(tmp_path) not in told
    assert sorted(path.name for path in (tmp_path / "asked").iterdir()) == before
    status, _, err = discreet("audit", "attribution", tmp_path / "asked")
    assert status != 0
    assert "Expected two candidates or more, got 0" in " ".join(err.split())
