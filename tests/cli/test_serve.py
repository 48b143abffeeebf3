"""`discreet serve`: keys, and what is said before anything is loaded."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from discreet.cli.serve import load_shelf, name_for
from discreet.journal import Event, Kind
from discreet.registry import REFERENCE, resolve
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


@pytest.mark.parametrize("run", ["_x", "__x__", "a" * 80, "é", "-", "base", "first run", "a.b/c"])
def test_an_adapter_has_a_name_that_the_journal_takes_and_no_other_has(run: str) -> None:
    card = replace(resolve(REFERENCE, Path()).card, run=run)
    one = name_for(card, ["base"])
    other = name_for(replace(card, adapter_sha256="0" * 64), ["base", one])
    assert len({"base", one, other}) == 3
    for name in (one, other):
        assert Event(kind=Kind.ANSWERED, adapter=name).adapter == name
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name)


@pytest.mark.slow
def test_adapters_of_the_shelf_stand_beside_each_other(tmp_path: Path) -> None:
    vlm, cards = load_shelf(["reference"], "tiny", tmp_path, None)
    assert list(cards) == ["base", "reference"]
    card = cards["reference"]
    assert card is not None
    assert card.worst is not None
    assert {"base", "reference"} <= set(vlm.projectors)
