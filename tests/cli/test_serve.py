"""`discreet serve`: keys, and what is said before anything is loaded."""

from pathlib import Path

import pytest

from discreet.cli.serve import load_shelf
from discreet.service import read_keys
from tests.cli.conftest import Run


def test_a_new_key_is_printed_once_and_its_hash_is_kept(discreet: Run, tmp_path: Path) -> None:
    folder = tmp_path / "service"
    status, out, _ = discreet("serve", "--folder", str(folder), "--new-key", "robot")
    assert status == 0
    assert out.startswith("dsc-")
    assert list(read_keys(folder / "keys")) == ["robot"]
    assert out.strip().encode() not in (folder / "keys").read_bytes()


def test_nothing_is_served_without_a_key(discreet: Run, tmp_path: Path) -> None:
    status, _, err = discreet("serve", "--folder", str(tmp_path), "--adapter", "none")
    assert status == 1
    assert "--new-key" in err


@pytest.mark.slow
def test_adapters_of_the_shelf_stand_beside_each_other(tmp_path: Path) -> None:
    vlm, cards = load_shelf(["reference"], "tiny", tmp_path, None)
    assert list(cards) == ["base", "reference"]
    card = cards["reference"]
    assert card is not None
    assert card.worst is not None
    assert {"base", "reference"} <= set(vlm.projectors)
