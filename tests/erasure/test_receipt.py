"""Receipts in JSON and in words: what failed is told, in both languages."""

import json
from pathlib import Path

import pytest

from discreet.artifacts import read_toml
from discreet.erasure import Line, Receipt, receipt
from discreet.erasure.receipt import attempt
from discreet.errors import ArtifactError
from discreet.membership import Membership, Tail
from discreet.types import Language

TAIL = Tail(fpr=0.01, needed=100, tpr=0.25, low=0.1, high=0.5, fpr_high=0.05)
FOUND = Membership(
    auc=0.875, low=0.75, high=0.95, members=24, others=200, people=(8, 60), tails=(TAIL,)
)
FULL = Receipt(
    lines=(
        Line(store="adapter", found=2, erased=2),
        Line(store="report", found=0, erased=0),
        Line.kept("own_ledger", "spent", found=1),
        Line.kept("memory", "failed: OSError"),
    ),
    retraining="exact",
    before=FOUND,
    spent={"owner-0": (8.0, 11.91)},
    guarantee={"delta": 1e-5, "unit": "example", "neighbouring_relation": "add_or_remove_one"},
    at="2026-01-02T03:04:05+00:00",
)


def test_both_languages_have_the_same_words() -> None:
    words = read_toml(Path(receipt.__file__).with_name("words.toml"))
    assert words["en"].keys() == words["fr"].keys()
    for key, text in words["en"].items():
        assert text.count("{") == words["fr"][key].count("{")


@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_state_is_told_with_its_reason(language: Language) -> None:
    words = read_toml(Path(receipt.__file__).with_name("words.toml"))[language]
    said = FULL.in_words(language)
    for key in ("title_failed", "because_exact", "because_spent", "store_memory", "footer"):
        assert words[key] in said
    assert "OSError" in said
    assert "11.91" in said
    for part in ("1e-05", "example", "add_or_remove_one"):
        assert part in said, "epsilon never stands alone"
    assert "0.88" in said
    assert words["not_measured"] in said, "of the newer adapter"
    assert "25%" in said.replace(" %", "%")
    assert "{" not in said


def test_a_receipt_is_json_and_says_whether_something_failed() -> None:
    raw = json.loads(json.dumps(FULL.to_dict()))
    assert raw["is_complete"] is False
    assert [line["state"] for line in raw["lines"]] == ["erased", "absent", "kept", "failed"]
    assert Receipt(lines=FULL.lines[:3]).is_complete


def test_an_error_is_named_and_never_quoted() -> None:
    def fail() -> Line:
        raise ArtifactError("In the folder of Ada: no")

    line = attempt("adapter", fail)
    assert (line.state, line.kept_because) == ("failed", "failed: ArtifactError")


def test_an_error_of_the_program_itself_is_not_taken_for_a_store_that_failed() -> None:
    def fail() -> Line:
        raise TypeError("a mistake")

    with pytest.raises(TypeError):
        attempt("adapter", fail)


def test_what_an_earlier_attempt_erased_is_counted_once() -> None:
    line = Line(store="adapter", found=1, erased=1)
    assert line.after(Line(store="adapter", found=3, erased=2)).erased == 3
    assert Line.kept("adapter", "failed: OSError").after(line).state == "failed"
