"""What is told of the frontier is what the record of its cells says."""

import json
from pathlib import Path

import pytest

from discreet.bench import as_frontier_table, in_sentences, rows_of
from discreet.bench.frontier_cells import FrontierCell
from discreet.report import frontier_page

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "frontier.md").read_text()
RECORD = json.loads((ROOT / "docs" / "results" / "frontier.json").read_text())
ROWS = rows_of([FrontierCell.from_dict(one) for one in RECORD["cells"]])


def test_the_tables_are_of_the_cells_that_were_measured() -> None:
    for line in as_frontier_table(ROWS).splitlines():
        assert line in PAGE
    for said in in_sentences(ROWS):
        assert said in PAGE
    assert RECORD["says"] == in_sentences(ROWS)


def test_how_long_it_took_and_on_what_is_told() -> None:
    spent = sum(one["took"] for one in RECORD["cells"]) / 3600
    assert RECORD["minutes"] == pytest.approx(60 * spent, abs=0.1)
    assert f"{spent:.1f} hours" in PAGE
    for cell in RECORD["cells"]:
        assert cell["made"]["hardware"]["cpu"] in PAGE
        assert cell["made"]["commit"][:7] in PAGE
        assert not cell["made"]["commit"].endswith("-dirty")
    have, wanted = len(RECORD["cells"]), RECORD["cells_wanted"]
    assert have == wanted or f"{have} of {wanted} cells" in PAGE


def test_its_page_can_be_made_again() -> None:
    for said in RECORD["says"]:
        assert said in frontier_page(RECORD)
