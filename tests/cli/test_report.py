"""`discreet report` as a person types it."""

import shutil
from pathlib import Path

from discreet.registry import REFERENCE_DIR
from tests.cli.conftest import Run


def test_the_page_lies_in_the_run_folder(discreet: Run, tmp_path: Path) -> None:
    shutil.copytree(REFERENCE_DIR, tmp_path / "runs" / "first")
    status, out, err = discreet("report", "first", "--runs", tmp_path / "runs")
    assert status == 0, err
    page = tmp_path / "runs" / "first" / "report.html"
    assert out.strip() == str(page)
    assert "<h1>Run first</h1>" in page.read_text()


def test_the_page_can_lie_elsewhere(discreet: Run, tmp_path: Path) -> None:
    status, _, err = discreet("report", "reference", "--out", tmp_path / "page.html")
    assert status == 0, err
    assert "<h1>Run reference</h1>" in (tmp_path / "page.html").read_text()
    assert not (REFERENCE_DIR / "report.html").exists()


def test_nothing_is_written_into_the_installation(discreet: Run) -> None:
    status, _, err = discreet("report", "reference")
    assert status == 2
    assert "--out" in err
    assert not (REFERENCE_DIR / "report.html").exists()


def test_a_run_that_is_not_there_is_one_line(discreet: Run, tmp_path: Path) -> None:
    status, _, err = discreet("report", "nowhere", "--runs", tmp_path)
    assert status == 1
    assert "Expected a run folder" in err
