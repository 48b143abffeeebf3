"""What rules and backdoors come to, as a person asks for it; two small runs stand for all."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from discreet.bench import ATTACK_SETTINGS, CONTENDERS, SURROUNDINGS, robust
from discreet.bench import aggregation as rules
from discreet.cli import bench_aggregation, bench_robust

Run = Callable[..., tuple[int, str, str]]


def test_bench_aggregation_prints_and_writes_what_it_measured(
    discreet: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        bench_aggregation,
        "measure_aggregation",
        lambda seeds, on_run: rules.measure_aggregation(
            seeds, surroundings=SURROUNDINGS[1:2], contenders=CONTENDERS[:1], on_run=on_run
        ),
    )
    path = tmp_path / "rules.json"
    status, out, err = discreet("bench", "aggregation", "--seeds", "3", "--out", path)
    assert status == 0, err
    assert "| ffa, r = 4 |" in out
    record = json.loads(path.read_text())
    assert record["seeds"] == [3]
    assert record["cells"][0]["surroundings"]["owners"] == 4
    assert len(record["cells"][0]["errors"]) == 1


def test_bench_robust_prints_and_writes_what_it_measured(
    discreet: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        bench_robust,
        "measure_robustness",
        lambda seeds, on_run: robust.measure_robustness(
            seeds, settings=ATTACK_SETTINGS[-1:], on_run=on_run
        ),
    )
    path = tmp_path / "robust.json"
    status, out, err = discreet("bench", "robust", "--seeds", "3", "--json", "--out", path)
    assert status == 0, err
    record = json.loads(path.read_text())
    assert json.loads(out)["cells"] == record["cells"]
    assert record["cells"][0]["setting"]["protection"] == "owners"


@pytest.mark.parametrize("command", ["aggregation", "robust"])
def test_seeds_that_are_none_are_refused(discreet: Run, command: str) -> None:
    status, _, err = discreet("bench", command, "--seeds", "1,1")
    assert status == 2
    assert "different whole numbers" in err
