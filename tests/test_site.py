"""The documentation builds without a warning, asks nothing of other hosts, and lacks no page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, built strictly: a broken link or anchor, or an unresolved name, is an error."""
    folder = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_document_is_a_page_and_in_the_navigation(site: Path) -> None:
    front = (site / "index.html").read_text()
    for path in DOCS.rglob("*.md"):
        page = str(path.relative_to(DOCS).with_suffix(".html"))
        assert (site / page).is_file(), page
        assert f'href="{page}"' in front, page


def test_the_first_page_is_the_readme_with_its_pictures(site: Path) -> None:
    front = (site / "index.html").read_text()
    pictures = re.findall(r'<img [^>]*src="([^"]+)"', front)
    assert len(pictures) >= 2
    assert all((site / name).is_file() for name in pictures)


def test_no_page_loads_from_another_host(site: Path) -> None:
    loads = re.compile(
        r'<(?:script|img|iframe|source)[^>]*src="(https?:)?//|<link[^>]*rel="(?:stylesheet|preconnect)"[^>]*href="(https?:)?//'
    )
    for path in site.rglob("*.html"):
        assert not loads.search(path.read_text()), path.name


def test_every_command_and_every_room_is_told(site: Path) -> None:
    commands = (site / "cli.html").read_text()
    for words in (
        "discreet bench frontier",
        "discreet train",
        "discreet audit all",
        "--export-lmms-eval",
    ):
        assert words in commands
    from discreet.audit import __all__ as names

    page = (site / "api" / "audit.html").read_text()
    assert all(f"discreet.audit.{name}" in page for name in names)


def test_every_result_is_listed_with_its_command() -> None:
    text = (DOCS / "results.md").read_text()
    for path in (DOCS / "results").glob("*.json"):
        assert f"(results/{path.name})" in text, path.name
