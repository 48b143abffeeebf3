"""`discreet audit probes` as a person types it, on few people and with the tiny model's tokens."""

import json
from collections import Counter
from pathlib import Path

import pytest

from discreet.cli.audit import whole_people
from discreet.data import load_portraits
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


def test_people_are_taken_whole() -> None:
    everybody = load_portraits("test")
    some = whole_people(everybody, 20)
    counts = Counter(portrait.identity_id for portrait in some)
    assert set(counts.values()) == {7}
    assert len(some) == 21
    assert [p for p in everybody if p.identity_id in counts] == some
    assert whole_people(everybody, None) == everybody
    assert whole_people(everybody, 10**6) == everybody
