"""Where epsilon counts on a secret choice of owners, what is handed on does not tell the choice.

Two runs of one plan, one that asked nobody and one that asked everybody in every round, are
exported: apart from random names, their hashes and the noisy adapter, all files are equal.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from federated.tiny import TinyTask, tiny_config
from safetensors.torch import save_file

from discreet.artifacts import RunFolder, sha256_of_folder
from discreet.federated import RoundReport, State, coordinator, run_federation, statements_of
from discreet.privacy import PrivacyLedger
from discreet.registry import AdapterCard, export, resolve, write_card

CONFIG = tiny_config(
    unit="owner", sampled="owner", num_owners=6, owners_per_round=3, max_update_norm=1.0
)
RANDOM = {"id", "sha256", "adapter_sha256"}
LONG_AGO = 1e9
"""Seconds since 1970."""


def exported(path: Path, asks: slice, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """Train with those of six owners asked in every round, and export what came out."""
    run = RunFolder.create(path / "run")

    def publish(server_round: int, state: State, report: RoundReport) -> None:
        with run.new_adapter() as folder:
            save_file(state, folder / "adapter_model.safetensors")
        write_card(run, card_of(run, server_round))

    with monkeypatch.context() as patch:
        patch.setattr(coordinator, "choose", lambda _, nodes, *__: tuple(nodes)[asks])
        run_federation(CONFIG, run, TinyTask(CONFIG), on_round=publish)
    for file in run.path.rglob("*"):
        os.utime(file, (LONG_AGO, LONG_AGO))
    return export(resolve("run", path), path / "copy")


def card_of(run: RunFolder, rounds_done: int) -> AdapterCard:
    return AdapterCard(
        run=run.id,
        base_name="tiny",
        base_sha256="a" * 64,
        adapter_sha256=sha256_of_folder(run.adapter_dir),
        lora={},
        per_owner=statements_of(run),
        data_licence="none",
        seed=CONFIG.seed,
        rounds_done=rounds_done,
        reproducible=CONFIG.reproducible,
    )


def said_in(file: Path) -> Any:
    """What a file says, less what is random in it."""
    text = file.read_text()
    if file.suffix not in {".json", ".jsonl"}:
        return text
    records = [json.loads(line) for line in text.splitlines()] if file.suffix == ".jsonl" else None
    return without_random(records or json.loads(text))


def without_random(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_random(v) for k, v in value.items() if k not in RANDOM}
    return [without_random(part) for part in value] if isinstance(value, list) else value


def test_an_exported_run_does_not_tell_who_or_how_many_were_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = time.gmtime().tm_yday
    runs = [
        exported(tmp_path / name, asks, monkeypatch)
        for name, asks in (("nobody", slice(0)), ("everybody", slice(None)))
    ]
    names = [sorted(p.relative_to(r.path) for p in r.path.rglob("*") if p.is_file()) for r in runs]
    assert names[0] == names[1]
    assert {"config.toml", "ledger.jsonl", "metrics.jsonl", "card.json"} < set(map(str, names[0]))
    if time.gmtime().tm_yday != day:
        pytest.skip("midnight passed: one run has another day")
    for name in names[0]:
        one, other = (run.path / name for run in runs)
        assert LONG_AGO not in (one.stat().st_mtime, other.stat().st_mtime), name
        if name.suffix == ".safetensors":
            assert one.stat().st_size == other.stat().st_size
        else:
            assert said_in(one) == said_in(other), name
    spent = [list(PrivacyLedger(run.ledger_path).accounts().values()) for run in runs]
    assert [[e.steps_counted for e in account.entries] for (account,) in spent] == [[1, 1]] * 2


def test_the_comparison_sees_what_a_server_keeps_to_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own metrics and checkpoint tell the choice: they stay where they are."""
    for name, asks in (("nobody", slice(0)), ("everybody", slice(None))):
        exported(tmp_path / name, asks, monkeypatch)
    one, other = (RunFolder(tmp_path / n / "run") for n in ("nobody", "everybody"))
    assert said_in(one.metrics_path) != said_in(other.metrics_path)
    assert one.checkpoint_path.read_bytes() != other.checkpoint_path.read_bytes()
