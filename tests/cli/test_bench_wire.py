"""What the wire costs, as a person asks for it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from discreet.federated import CODECS

Run = Callable[..., tuple[int, str, str]]


def test_every_codec_has_a_row_and_the_file_holds_the_same(discreet: Run, tmp_path: Path) -> None:
    words = ("bench", "wire", "--rounds", 100, "--owners", 3, "--out", tmp_path / "wire.json")
    status, out, err = discreet(*words)
    assert status == 0, err
    assert "100 rounds x 3 owners, MiB" in out
    record = json.loads((tmp_path / "wire.json").read_text())
    assert [row["codec"] for row in record["codecs"]] == list(CODECS)
    for row in record["codecs"]:
        assert f"| {row['codec']} | {row['bytes_up']:,} | {row['bytes_down']:,} |" in out
        assert row["total_mib"] == 300 * (row["bytes_up"] + row["bytes_down"]) / 2**20


def test_json_is_all_that_stdout_holds(discreet: Run) -> None:
    status, out, err = discreet("bench", "wire", "--share", 0.5, "--json")
    assert status == 0, err
    record = json.loads(out)
    assert record["topk_share"] == 0.5
    assert record["loss"] is None


@pytest.mark.parametrize("share", ["0", "1.5"])
def test_a_share_that_is_none_is_refused(discreet: Run, share: str) -> None:
    status, _, err = discreet("bench", "wire", "--share", share)
    assert status == 1
    assert "0 < share <= 1" in err
