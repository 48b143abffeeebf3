"""`discreet docs` as a person types it."""

from pathlib import Path

import pytest

from discreet.documents import KINDS
from tests.cli.conftest import Run

RESULTS = Path(__file__).parents[2] / "docs" / "results"


@pytest.mark.parametrize(("language", "title"), [("en", "# Model card"), ("fr", "# Fiche du mod")])
def test_five_documents_are_written_in_two_forms(
    discreet: Run, tmp_path: Path, language: str, title: str
) -> None:
    words = ("--context", "education", "--language", language, "--evidence", RESULTS)
    status, out, err = discreet("docs", "reference", *words, "--out", tmp_path / "papers")
    assert status == 0, err
    names = [f"{kind}{suffix}" for kind in KINDS for suffix in (".md", ".html")]
    assert [Path(line).name for line in out.splitlines()] == names
    assert sorted(path.name for path in (tmp_path / "papers").iterdir()) == sorted(names)
    assert (tmp_path / "papers" / "model_card.md").read_text().startswith(title)
    assert "points are missing" in err
    assert "discreet data check DATA --write" in err


def test_no_path_of_the_machine_is_in_a_document(discreet: Run, tmp_path: Path) -> None:
    words = ("--evidence", RESULTS, "--out", tmp_path)
    status, _, err = discreet("docs", "reference", *words)
    assert status == 0, err
    for path in tmp_path.iterdir():
        text = path.read_text()
        assert str(tmp_path) not in text
        assert str(RESULTS.parent) not in text


def test_a_context_that_is_not_there_is_one_line(discreet: Run, tmp_path: Path) -> None:
    status, _, err = discreet("docs", "reference", "--context", "casino", "--out", tmp_path)
    assert status == 1
    assert "PolicyError: Expected a policy file or one of healthcare" in err
    assert not list(tmp_path.iterdir())
