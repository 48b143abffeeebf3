"""What a demo leaves on disk of photos and words: while it runs, after a visit, at its end."""

import base64
import os
import signal
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from discreet.data import load_portraits
from discreet.pages.texts import load_texts
from tests.browsers import OLDER_ADULT
from tests.pages.conftest import Demo, Tab
from tests.pages.stage import LISTEN

pytestmark = pytest.mark.slow

MARK = "marker-of-mine"


def photo(folder: Path) -> Path:
    """Return a photo with a name, a remark in it and a place where it was taken."""
    image = load_portraits("test")[OLDER_ADULT].image
    exif = Image.Exif()
    exif[0x010E] = MARK  # ImageDescription
    path = folder / f"{MARK}.jpg"
    image.save(path, "JPEG", exif=exif)
    return path


def places(demo: Demo) -> list[Path]:
    """Return where a process may have written: its folders, where it stands, shared memory."""
    here = Path(os.readlink(f"/proc/{demo.process.pid}/cwd"))
    shared = Path("/dev/shm").glob(f"discreet-pages-{demo.process.pid}-*")
    return [demo.folder / "home", *shared, *(p for p in here.iterdir() if p.name != ".git")]


def files(roots: Iterable[Path], since: float) -> dict[Path, bytes]:
    """Return what was written somewhere since a moment."""
    found = (p for root in roots for p in (root.rglob("*") if root.is_dir() else [root]))
    return {
        path: path.read_bytes()
        for path in found
        if path.is_file() and path.stat().st_mtime >= since and "__pycache__" not in path.parts
    }


def held_open(demo: Demo) -> dict[Path, bytes]:
    """Return the files that a process has open, also those that no folder names any more."""
    found = {}
    for link in Path(f"/proc/{demo.process.pid}/fd").iterdir():
        if link.is_file() and not os.readlink(link).startswith(("/dev/null", "/proc")):
            found[link] = link.read_bytes()
    return found


def traces(found: dict[Path, bytes], picture: bytes) -> list[str]:
    """Return where there is something of a person: a word, a picture, or a part of one."""
    inside = base64.b64encode(picture)[1000:1040]
    marks = (MARK.encode(), b"\xff\xd8\xff", b"\x89PNG", b"/9j/", picture[800:840], inside)
    return [str(path) for path, content in found.items() if any(mark in content for mark in marks)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_photos_and_words_leave_no_trace_on_disk(
    chromium: Any, begin: Callable[..., Demo], tmp_path: Path, number: int
) -> None:
    own = photo(tmp_path)
    demo = begin("healthcare")
    since = own.stat().st_mtime
    page = chromium.new_context().new_page()
    page.add_init_script(LISTEN)
    page.goto(f"{demo.address}/en/")
    page.locator(".suggestions").wait_for()
    tab = Tab(page=page, demo=demo)
    tab.allow()
    with page.expect_file_chooser() as chosen:
        page.locator('[data-act="photo"]').click()
    chosen.value.set_files(own)
    page.locator(".photo-says").wait_for()
    sent = base64.b64decode(page.evaluate("discreet.frame()").partition(",")[2])
    assert MARK.encode() not in sent
    tab.ask(f"How does a vaccine work? {MARK}")
    assert page.locator(".fitted").inner_text() == load_texts("en")["talk.for_same"]  # looked at
    during = files(places(demo), since) | held_open(demo)
    assert any(path.name.startswith("consent") for path in during), list(during)
    assert traces(during, sent) == []
    page.context.close()
    assert traces(files(places(demo), since) | held_open(demo), sent) == []
    roots = places(demo)
    assert demo.end(number) in (0, 128 + number, 130)
    left = files((root for root in roots if root.exists()), since)
    assert traces(left, sent) == []
    assert [path for path in left if demo.folder in path.parents] == []
    assert not list(Path("/dev/shm").glob(f"discreet-pages-{demo.process.pid}-*"))
    for text in (MARK, "data:image", "/9j/", "GET ", "POST ", "Traceback"):
        assert text not in demo.log


def test_a_picture_on_disk_would_be_found(tmp_path: Path) -> None:
    buffer = BytesIO()
    load_portraits("test")[OLDER_ADULT].image.save(buffer, "JPEG")
    picture = buffer.getvalue()
    (tmp_path / "part").write_bytes(picture[700:900])
    (tmp_path / "text").write_bytes(base64.b64encode(picture))
    (tmp_path / "word").write_text(f"... {MARK}")
    (tmp_path / "clean").write_text("nothing")
    found = traces(files([tmp_path], 0), picture)
    assert sorted(Path(path).name for path in found) == ["part", "text", "word"]
