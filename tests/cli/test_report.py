"""`discreet report` as a person types it."""

import shutil
from pathlib import Path

import pytest

from discreet.registry import REFERENCE_DIR, SHIPPED
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


@pytest.mark.parametrize("ref", SHIPPED)
def test_nothing_is_written_into_the_installation(discreet: Run, tmp_path: Path, ref: str) -> None:
    status, _, err = discreet("report", ref)
    assert status == 2
    assert "--out" in err
    status, _, err = discreet("report", ref, "--out", tmp_path / "page.html")
    assert status == 0, err
    assert (tmp_path / "page.html").exists()
    assert not (SHIPPED[ref] / "report.html").exists()


def test_a_run_that_is_not_there_is_one_line(discreet: Run, tmp_path: Path) -> None:
    status, _, err = discreet("report", "nowhere", "--runs", tmp_path)
    assert status == 1
    assert "Expected a run folder" in err


def test_several_runs_are_one_page(discreet: Run, tmp_path: Path) -> None:
    status, _, err = discreet("report", *SHIPPED)
    assert status == 2
    assert "--out" in err
    page = tmp_path / "page.html"
    status, out, err = discreet("report", *SHIPPED, "--out", page)
    assert status == 0, err
    assert out.strip() == str(page)
    for folder in SHIPPED.values():
        assert f"Run {folder.name}, whole" in page.read_text()


def test_a_file_that_is_no_frontier_is_one_line(discreet: Run, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    status, _, err = discreet("report", tmp_path / "other.json", "--out", tmp_path / "page.html")
    assert status == 1
    assert "frontier.json" in " ".join(err.split())
    assert not (tmp_path / "page.html").exists()
