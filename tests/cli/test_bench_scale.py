"""What many owners cost, as a person asks for it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.slow
def test_every_number_of_owners_has_a_row_and_the_file_holds_the_same(
    discreet: Run, tmp_path: Path
) -> None:
    words = ("bench", "scale", "--owners", "3,2", "--rounds", 1, "--accounts", 30)
    status, out, err = discreet(*words, "--out", tmp_path / "scale.json")
    assert status == 0, err
    record = json.loads((tmp_path / "scale.json").read_text())
    assert [row["owners"] for row in record["scale"]] == [2, 3]
    assert record["flower"] == []
    assert [row["accounts"] for row in record["accounts"]] == [30]
    assert "| accounts in one file |" in out
    for row in record["scale"]:
        assert f"| {row['owners']} | {row['asked']} | {row['round_seconds']:.2f} |" in out


@pytest.mark.parametrize("owners", ["", "three", "3,-1", "0"])
def test_numbers_of_owners_are_checked(discreet: Run, owners: str) -> None:
    status, _, err = discreet("bench", "scale", "--owners", owners)
    assert status != 0
    assert "Expected whole numbers of 1 or more" in " ".join(err.replace("│", " ").split())
