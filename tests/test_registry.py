"""Adapters on the shelf: cards are strict, files are checked, bases must fit."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from discreet.artifacts import RunFolder, read_toml, sha256_of_folder
from discreet.errors import (
    AdapterWithdrawn,
    ArtifactCorrupt,
    ArtifactError,
    IncompatibleBase,
    RunExists,
    UnsafeFile,
)
from discreet.registry import (
    LATEST,
    OWNER_FORGOTTEN,
    REFERENCE,
    AdapterCard,
    export,
    list_adapters,
    read_card,
    require_base,
    resolve,
    withdraw,
    write_card,
)
from discreet.types import PrivacyStatement

BASE, OTHER = "a" * 64, "b" * 64


def statement(epsilon: float) -> PrivacyStatement:
    return PrivacyStatement(
        epsilon=epsilon, delta=1e-5, unit="example", neighbouring_relation="add_or_remove_one"
    )


def shelve(runs: Path, name: str, **changes: Any) -> RunFolder:
    """Put an adapter of two files on the shelf."""
    run = RunFolder.create(runs / name)
    with run.new_adapter() as folder:
        (folder / "adapter_config.json").write_text("{}")
        (folder / "adapter_model.safetensors").write_bytes(name.encode())
    card = AdapterCard(
        run=name,
        base_name="small",
        base_sha256=BASE,
        adapter_sha256=sha256_of_folder(run.adapter_dir),
        lora={"r": 8},
        per_owner={"owner-0": statement(3.0), "owner-1": statement(4.5)},
        data_licence="CC0-1.0",
        seed=0,
        rounds_done=2,
        reproducible=False,
        created="2026-01-02T03:04:05+00:00",
    )
    write_card(run, replace(card, **changes))
    return run


def spoil(run: RunFolder, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a card behind the registry's back."""
    raw = json.loads(run.card_path.read_text())
    change(raw)
    run.card_path.write_text(json.dumps(raw))


def test_a_card_comes_back_as_it_was_written(tmp_path: Path) -> None:
    run = shelve(tmp_path, "first", commit="c0ffee")
    card = read_card(run)
    write_card(run, card)
    assert read_card(run) == card
    assert card.commit == "c0ffee"
    assert card.worst == statement(4.5)


def test_a_card_has_the_parts_the_design_names(tmp_path: Path) -> None:
    raw = json.loads(shelve(tmp_path, "first").card_path.read_text())
    assert raw["base"] == {"name": "small", "sha256": BASE}
    assert raw["privacy"]["worst"]["epsilon"] == 4.5
    assert set(raw["privacy"]["worst"]) == {"epsilon", "delta", "unit", "neighbouring_relation"}
    assert raw["data"] == {"licence": "CC0-1.0", "examples": "portraits"}
    assert raw["format"] == 2
    assert raw["randomness"] == "AES-256-CTR, key from the operating system"


def test_a_card_of_before_there_were_conversations_is_of_portraits(tmp_path: Path) -> None:
    run = shelve(tmp_path, "old")
    spoil(run, lambda raw: raw["data"].pop("examples"))
    assert read_card(run).examples == "portraits"


def test_without_owners_there_is_no_guarantee(tmp_path: Path) -> None:
    assert read_card(shelve(tmp_path, "plain", per_owner={})).worst is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw.update(colour="red"), "colour"),
        (lambda raw: raw["base"].update(size=1), "size"),
        (lambda raw: raw["data"].pop("licence"), "licence"),
        (lambda raw: raw.pop("seed"), "seed"),
        (lambda raw: raw.update(seed="0"), "seed of type int"),
        (lambda raw: raw.update(seed=True), "seed of type int"),
        (lambda raw: raw.update(format=3), "format 2"),
        (lambda raw: raw.update(reproducible=True), "randomness to be what reproducible says"),
        (lambda raw: raw.update(base="small"), "base as an object"),
        (lambda raw: raw.update(created="yesterday"), "isoformat"),
        (lambda raw: raw["privacy"]["worst"].update(epsilon=0.1), "largest epsilon"),
        (lambda raw: raw["privacy"].update(worst=None), "largest epsilon"),
        (lambda raw: raw["privacy"]["per_owner"]["owner-0"].pop("delta"), "delta"),
    ],
)
def test_a_card_that_is_not_as_written_is_corrupt(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    run = shelve(tmp_path, "first")
    spoil(run, change)
    with pytest.raises(ArtifactCorrupt, match=message):
        read_card(run)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3"])
def test_a_card_that_is_no_object_is_corrupt(tmp_path: Path, text: str) -> None:
    run = shelve(tmp_path, "first")
    run.card_path.write_text(text)
    with pytest.raises(ArtifactCorrupt):
        read_card(run)


def test_listing_is_by_time_and_reports_what_it_cannot_read(tmp_path: Path) -> None:
    shelve(tmp_path, "new", created="2026-03-01T00:00:00+00:00")
    shelve(tmp_path, "old", created="2026-01-01T00:00:00+00:00")
    shelve(tmp_path, "broken").card_path.write_text("{")
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").touch()
    shelf = list_adapters(tmp_path)
    assert [item.run.id for item in shelf] == ["old", "new", "broken", "empty"]
    assert [item.card is None for item in shelf] == [False, False, True, True]
    assert "card.json" in (shelf[2].problem or "")
    assert resolve("latest", tmp_path).card.run == "new"


def test_a_shelf_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert list_adapters(tmp_path / "none") == []
    with pytest.raises(ArtifactError, match="found none"):
        resolve("latest", tmp_path / "none")


def test_a_run_is_found_by_id_and_by_path(tmp_path: Path) -> None:
    run = shelve(tmp_path / "runs", "first")
    for ref in ("first", str(run.path)):
        adapter = resolve(ref, tmp_path / "runs", base_sha256=BASE)
        assert adapter.folder == run.path / "adapter"
        assert adapter.card.run == "first"


@pytest.mark.parametrize("ref", ["second", "", "../first", "first/adapter/x"])
def test_an_unknown_reference_lists_what_there_is(tmp_path: Path, ref: str) -> None:
    shelve(tmp_path / "runs", "first")
    with pytest.raises(ArtifactError, match="first"):
        resolve(ref, tmp_path / "runs")


def test_an_id_does_not_climb_out_of_the_shelf(tmp_path: Path) -> None:
    shelve(tmp_path / "private", "first")
    (tmp_path / "runs").mkdir()
    with pytest.raises(ArtifactError, match="none"):
        resolve("../private/first", tmp_path / "runs")


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_changed_file_is_corrupt(tmp_path: Path, name: str) -> None:
    run = shelve(tmp_path, "first")
    (run.adapter_dir / name).write_bytes(b"changed")
    with pytest.raises(ArtifactCorrupt, match="other files"):
        resolve("first", tmp_path)


def test_a_missing_adapter_is_corrupt(tmp_path: Path) -> None:
    run = shelve(tmp_path, "first")
    for path in run.adapter_dir.iterdir():
        path.unlink()
    run.adapter_dir.rmdir()
    with pytest.raises(ArtifactCorrupt):
        resolve("first", tmp_path)


def test_a_pickle_is_refused_before_anything_is_hashed(tmp_path: Path) -> None:
    run = shelve(tmp_path, "first")
    (run.adapter_dir / "adapter_model.bin").touch()
    with pytest.raises(UnsafeFile):
        resolve("first", tmp_path)


def test_another_base_is_refused_with_both_hashes(tmp_path: Path) -> None:
    run = shelve(tmp_path, "first")
    with pytest.raises(IncompatibleBase, match=rf"{BASE[:12]} .* {OTHER[:12]}\."):
        resolve("first", tmp_path, base_sha256=OTHER)
    with pytest.raises(IncompatibleBase):
        require_base(read_card(run), OTHER)


def test_an_export_leaves_what_is_local_behind(tmp_path: Path) -> None:
    run = shelve(tmp_path / "runs", "first")
    run.config_path.write_text('base = "small"\n')
    run.ledger_path.write_text('{"owners": {}}')
    run.checkpoint_path.write_bytes(b"average")
    run.write_json("owners.json", {"node-1": "ward-7"})
    run.append_metric({"name": "train_loss", "owner": "ward-7", "visibility": "local"})
    run.append_metric({"name": "replies", "value": 4, "visibility": "released"})
    copy = export(resolve("first", tmp_path / "runs"), tmp_path / "out" / "gift")
    names = {path.name for path in copy.path.iterdir()}
    assert names == {"adapter", "card.json", "config.toml", "ledger.jsonl", "metrics.jsonl"}
    assert copy.read_metrics() == [{"name": "replies", "value": 4, "visibility": "released"}]
    assert not any(b"ward-7" in p.read_bytes() for p in copy.path.rglob("*") if p.is_file())
    day_only = replace(read_card(run), created="2026-01-02T00:00:00+00:00")
    assert resolve(str(copy.path), tmp_path, base_sha256=BASE).card == day_only


def test_an_export_says_no_folder_of_the_machine(tmp_path: Path) -> None:
    run = shelve(tmp_path / "runs", "first")
    base = tmp_path / "home" / "somebody" / "my-base"
    run.config_path.write_text(f"base = '{base}'\nnum_rounds = 3\n")
    copy = export(resolve("first", tmp_path / "runs"), tmp_path / "gift")
    assert read_toml(copy.config_path) == {"base": "my-base", "num_rounds": 3}
    assert not any(b"somebody" in p.read_bytes() for p in copy.path.rglob("*") if p.is_file())


def test_an_export_replaces_nothing_and_needs_no_ledger(tmp_path: Path) -> None:
    shelve(tmp_path / "runs", "first")
    adapter = resolve("first", tmp_path / "runs")
    copy = export(adapter, tmp_path / "gift")
    assert {path.name for path in copy.path.iterdir()} == {"adapter", "card.json"}
    with pytest.raises(RunExists):
        export(adapter, tmp_path / "gift")


def test_the_shipped_adapter_is_found_under_its_name(tmp_path: Path) -> None:
    shelve(tmp_path / "runs", "first")
    assert resolve(REFERENCE, tmp_path / "runs").card.base_name == "small"


@pytest.mark.parametrize("epsilon", [float("nan"), float("inf"), -3.0])
def test_a_card_that_promises_nonsense_is_corrupt(tmp_path: Path, epsilon: float) -> None:
    run = shelve(tmp_path, "first")
    spoil(run, lambda raw: raw["privacy"]["per_owner"]["owner-0"].update(epsilon=epsilon))
    with pytest.raises(ArtifactCorrupt):
        read_card(run)


def test_an_export_takes_no_link_and_no_folder_inside_the_run(tmp_path: Path) -> None:
    run = shelve(tmp_path / "runs", "first")
    adapter = resolve("first", tmp_path / "runs")
    with pytest.raises(ArtifactError, match="inside"):
        export(adapter, run.path / "adapter" / "copy")
    run.config_path.symlink_to("/etc/hostname")
    with pytest.raises(UnsafeFile, match="link"):
        export(adapter, tmp_path / "gift")
    assert not (tmp_path / "gift").exists()


def test_one_bad_folder_does_not_hide_the_others(tmp_path: Path) -> None:
    shelve(tmp_path, "good")
    for name in ("deep", "loop"):
        RunFolder.create(tmp_path / name)
    (tmp_path / "deep" / "card.json").write_text("[" * 100_000)
    (tmp_path / "loop" / "card.json").symlink_to(tmp_path / "loop" / "card.json")
    assert {s.run.id: s.card is not None for s in list_adapters(tmp_path)} == {
        "good": True, "deep": False, "loop": False
    }  # fmt: skip
    assert resolve("latest", tmp_path).card.run == "good"


def test_a_withdrawn_adapter_is_refused_by_every_name_with_its_reason(tmp_path: Path) -> None:
    first = shelve(tmp_path, "first", created="2026-01-01T00:00:00+00:00")
    second = shelve(tmp_path, "second")
    assert resolve(LATEST, tmp_path).run == second
    withdraw(second, reason=OWNER_FORGOTTEN, successor="third")
    for ref in ("second", str(second.path)):
        with pytest.raises(AdapterWithdrawn, match="asked to be forgotten. Use run 'third'"):
            resolve(ref, tmp_path)
    assert resolve(LATEST, tmp_path).run == first
    assert [shelved.card is None for shelved in list_adapters(tmp_path)] == [False, True]
    assert "withdrawn" in str(list_adapters(tmp_path)[1].problem)


def test_the_first_reason_stays_and_a_damaged_note_refuses_too(tmp_path: Path) -> None:
    run = shelve(tmp_path, "first")
    withdraw(run, reason="the first reason")
    withdraw(run, reason="another")
    with pytest.raises(AdapterWithdrawn, match="the first reason. Use another adapter"):
        resolve("first", tmp_path)
    (run.path / "withdrawn.json").write_text("[]")
    with pytest.raises(ArtifactCorrupt, match="stays off the shelf"):
        resolve("first", tmp_path)
