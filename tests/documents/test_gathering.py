"""Facts are what the files say, of this run and no other, and go when their file goes."""

import doctest
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from discreet.artifacts import RunFolder, read_json, write_json
from discreet.assistant import load_policy
from discreet.cli import COMMANDS
from discreet.consent import load_notice
from discreet.documents import KINDS, Evidence, evidence, gather, wording
from discreet.documents.evidence import WAYS, way_out
from discreet.documents.of_measures import READERS
from discreet.errors import ArtifactCorrupt
from discreet.privacy import PrivacyLedger
from discreet.registry import REFERENCE_DIR, read_card, write_card
from discreet.types import rounded_up
from tests.documents.conftest import ROOT, Gather, shipped, write

FILES = {
    "config.toml": {"plan", "spent", "rounds"},
    "card.json": {"card", "probes"},
    "metrics.jsonl": {"rounds"},
    "audits/adapt.json": {"adapt"},
    "audits/ground.json": {"ground"},
    "audits/manifest.toml": {"data"},
    "audits/probes.json": {"probes"},
    "audits/small_perceiver.json": {"perceiver"},
    "audits/twins.json": {"twins"},
}
"""File -> parts of the evidence that are not there without it: probes are of the card's base."""


def parts(found: Evidence) -> set[str]:
    return {key.partition(".")[0] for key in found.findings}


def values(found: Evidence, key: str) -> list[Any]:
    return [fact.values for fact in found.findings[key]]


@pytest.mark.parametrize("module", [evidence, wording])
def test_examples_in_docstrings_run(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("name", FILES)
def test_without_a_file_its_facts_are_missing_in_every_document_that_used_them(
    name: str, copy: RunFolder, gather_en: Gather
) -> None:
    whole = gather_en(copy)
    (copy.path / name).unlink()
    left = gather_en(copy)
    assert parts(whole) - parts(left) == FILES[name]
    for kind in KINDS:
        before, after = write(kind, whole), write(kind, left)
        ways = {way_out(f"{part}.x") for part in FILES[name]}
        gone = [gap for gap in after.missing if gap not in before.missing]
        assert all(gap.way in ways for gap in gone)
        assert f"`{Path(name).name}`" not in after.markdown
        assert bool(gone) == (f"`{Path(name).name}`" in before.markdown)


def test_without_a_ledger_the_card_speaks_and_the_document_says_whose_word_it_is(
    copy: RunFolder, gather_en: Gather
) -> None:
    assert "This follows from the ledger" in write("dpia", gather_en(copy)).markdown
    copy.ledger_path.unlink()
    text = write("dpia", gather_en(copy)).markdown
    assert "This is the word of the nodes: no ledger in the run folder shows it" in text
    assert "`ledger.jsonl`" not in text


def test_a_run_without_anything_says_nothing_of_itself(tmp_path: Path, gather_en: Gather) -> None:
    (tmp_path / "empty").mkdir()
    found = gather_en(RunFolder(tmp_path / "empty"))
    assert parts(found) == {"consent", "measures", "policy"}
    assert all(write(kind, found).missing for kind in KINDS)


def test_numbers_are_those_of_the_files(copy: RunFolder, gather_en: Gather) -> None:
    found = gather_en(copy)
    accounts = PrivacyLedger(copy.ledger_path).accounts().values()
    worst = max(account.spent().epsilon for account in accounts)
    assert values(found, "spent.worst")[0]["epsilon"] == rounded_up(worst)
    adapt = read_json(copy.audits_dir / "adapt.json")["answered_by"]["assistant with reference"]
    by_hand = [f"{round(100 * one['value'], 1):g} %" for one in adapt["fits"].values()]
    said = [one["share"].partition(" (")[0] for one in values(found, "adapt.fits")]
    assert said == by_hand
    twins = read_json(copy.audits_dir / "twins.json")["lines"]["healthcare"]["unwarranted"]
    whole = values(found, "twins.whole")[0]
    assert whole["share"].startswith(f"{round(100 * twins['whole']['value'], 1):g} %")
    assert (whole["pairs"], whole["people"]) == ("1800", "300")
    assert values(found, "data.counts")[0]["records"] == "40"


def test_probes_say_the_best_attack_on_what_is_handed_on(
    copy: RunFolder, gather_en: Gather
) -> None:
    raw = read_json(copy.audits_dir / "probes.json")["findings"]
    ours = [one for one in raw if one["representation"] == "all visual tokens"]
    best = [max(a["accuracy"] for a in one["attacks"] if a["probe"] == one["best"]) for one in ours]
    said = [one["share"].partition(" %")[0] for one in values(gather_en(copy), "probes.tokens")]
    assert said == [f"{round(100 * one, 1):g}" for one in best]


def test_results_of_something_else_are_no_evidence(copy: RunFolder, gather_en: Gather) -> None:
    for name, changed in {
        "adapt": {"answered_by": {"assistant with another": {}}},
        "probes": {"base": "another"},
        "twins": {"lines": {"education": {}}},
    }.items():
        path = copy.audits_dir / f"{name}.json"
        write_json(path, read_json(path) | changed)
    assert not {"adapt", "probes", "twins"} & parts(gather_en(copy))


def test_a_result_of_another_adapter_of_the_same_name_is_no_evidence(
    copy: RunFolder, gather_en: Gather
) -> None:
    path, own = copy.audits_dir / "adapt.json", read_card(copy).adapter_sha256
    (named,) = gather_en(copy).findings["adapt.named"]
    assert named.values is None, "the shipped file is older than the field"
    write_json(path, read_json(path) | {"adapter_sha256": {"reference": own}})
    (named,) = gather_en(copy).findings["adapt.named"]
    assert named.values == {"sha256": own}
    write_json(path, read_json(path) | {"adapter_sha256": {"reference": "0" * 64}})
    assert "adapt" not in parts(gather_en(copy))


def test_the_owner_of_whom_losses_tell_most_is_told_without_a_name(
    copy: RunFolder, gather_en: Gather
) -> None:
    path, own = copy.audits_dir / "membership.json", read_card(copy).adapter_sha256
    one = {"low": 0.4, "high": 0.61, "members": 30, "others": 40}
    owners = {"nurse-7": {"auc": 0.5, **one}, "nurse-8": {"auc": 0.58, **one}}
    write_json(path, {"adapter_sha256": own, "values": {"owners": owners}})
    evidence = gather_en(copy)
    (told,) = evidence.findings["membership.adapter"]
    assert told.values is not None
    assert told.values["owners"] == "2"
    text = write("dpia", evidence).markdown
    assert "above another in 58 % (95 % interval 40 % to 61 %) of pairs" in text
    assert "nurse" not in text
    write_json(path, {"adapter_sha256": "0" * 64, "values": {"owners": owners}})
    assert "membership" not in parts(gather_en(copy))


def test_answers_in_english_are_no_evidence_in_french(copy: RunFolder) -> None:
    found = gather(copy, load_policy("home"), load_notice("home", "fr"), language="fr")
    assert "adapt" not in parts(found)
    both = shipped("healthcare", "fr").findings
    assert {fact.origin.name for fact in both["adapt.fits"]} == {"adapt_fr.json"}


@pytest.mark.parametrize("name", sorted(set(READERS) - {"adapt_fr.json"}))
def test_a_result_of_another_form_is_an_error_and_no_statement(
    name: str, copy: RunFolder, gather_en: Gather
) -> None:
    path = copy.audits_dir / name
    path.write_text('x = "y"\n' if path.suffix == ".toml" else '{"x": "y"}')
    with pytest.raises(ArtifactCorrupt, match=f"Expected '{name}' as this version writes it"):
        gather_en(copy)


def test_what_a_manifest_leaves_unknown_is_missing(copy: RunFolder, gather_en: Gather) -> None:
    found = gather_en(copy).findings
    assert "data.licence" not in found
    assert (
        "**Licence in the manifest.** not measured: run"
        in write("data_card", gather_en(copy)).markdown
    )


def test_nothing_local_and_no_owners_name_is_in_a_document(
    copy: RunFolder, gather_en: Gather
) -> None:
    loss = {"round": 1, "visibility": "local", "name": "train_loss", "value": 3.14159}
    copy.append_metric({**loss, "owner": "owner-0"})
    copy.write_json("owners.json", {"node-1000": "Clinic Zebra", "owner-0": "Clinic Zebra"})
    texts = [write(kind, gather_en(copy)).markdown for kind in KINDS]
    assert not any("Zebra" in text or "3.14" in text or "owner-0" in text for text in texts)


def test_a_run_with_noise_from_its_seed_is_told_to_promise_nothing(
    copy: RunFolder, gather_en: Gather
) -> None:
    write_card(copy, replace(read_card(copy), reproducible=True))
    for kind in ("dpia", "model_card"):
        assert "the numbers above promise nothing" in write(kind, gather_en(copy)).markdown


def test_an_adapter_without_privacy_is_told_to_promise_nothing_whatever_its_plan_says(
    copy: RunFolder, gather_en: Gather
) -> None:
    write_card(copy, replace(read_card(copy), per_owner={}))
    copy.ledger_path.unlink()
    copy.metrics_path.unlink()
    texts = {kind: write(kind, gather_en(copy)).markdown for kind in KINDS}
    for kind in ("dpia", "model_card", "data_card", "record_of_processing"):
        assert "epsilon" not in texts[kind]
        assert "the adapter was trained without privacy" in texts[kind]
    assert "No noise was added while it learned." in texts["notice"]


def test_what_a_policy_forbids_is_said_to_be_absent() -> None:
    text = write("dpia", shipped("workplace", "en")).markdown
    assert "Nothing is estimated from a picture." in text
    assert "The model that answers never sees the picture." in text
    assert "expression |" not in text.partition("## 2.")[0]


def test_every_way_out_is_a_command_there_is() -> None:
    for way in WAYS.values():
        if way is not None:
            program, command, *_ = way.split()
            assert program == "discreet"
            assert command in {*COMMANDS, "policy"}


def test_the_tests_that_measures_name_are_there() -> None:
    path = ROOT / "src" / "discreet" / "documents" / "measures.toml"
    for name, measure in tomllib.loads(path.read_text(encoding="utf-8")).items():
        assert measure["tests"], name
        assert all((ROOT / test).is_file() for test in measure["tests"]), name


def test_a_missing_notice_is_a_gap(copy: RunFolder) -> None:
    found = gather(RunFolder(REFERENCE_DIR), load_policy("home"), None, language="en")
    assert any(gap.label.startswith("The text that asks") for gap in write("notice", found).missing)
