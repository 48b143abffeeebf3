"""A talk outlives every mistake in it, and nothing of a person is left behind by a command."""

import json
import os
import subprocess
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from discreet.assistant import Assistant
from discreet.data import load_portraits
from tests.cli.conftest import Run

TINY = ("chat", "--adapter", "none", "--base", "tiny", "--find", "words", "--max-new-tokens", 3)
QUESTION = "Why do I sleep badly after coffee?"


@pytest.fixture
def talked(discreet: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Talk in lines of bytes; return the exit status, stdout and stderr."""

    def talk(*lines: bytes) -> tuple[int, str, str]:
        typed = TextIOWrapper(BytesIO(b"\n".join(lines) + b"\n"), encoding="utf-8")
        monkeypatch.setattr(sys, "stdin", typed)
        status, out, err = discreet(*TINY, "--json")
        return status, out, " ".join(err.split())

    return talk


@pytest.mark.parametrize(
    "name", [b"Ada_" + b"x" * 300, b"Ada\0.jpg", b"Ada\xed\xa0\x80.jpg", b"~Ada/x.jpg", b""]
)
def test_a_path_that_no_file_can_have_does_not_end_a_talk(talked: Run, name: bytes) -> None:
    status, out, err = talked(b"/image ./" + name, QUESTION.encode())
    assert status == 0
    assert "Expected a readable picture file" in err
    assert "Ada" not in err
    assert len(out.splitlines()) == 1, "the question behind it is answered"


def test_bytes_that_are_no_text_do_not_end_a_talk(talked: Run) -> None:
    status, out, _ = talked(b"\xff\xfe is that you?", QUESTION.encode())
    assert status == 0
    assert json.loads(out.splitlines()[-1])["note_question"] == QUESTION


@pytest.mark.parametrize(
    "error",
    [
        OSError(36, "File name too long", "/tmp/Ada.jpg"),
        PermissionError(13, "Permission denied", "/home/Ada"),
        MemoryError("Ada"),
        RuntimeError("Ada"),
        RecursionError("Ada"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_turn_that_fails_is_told_by_its_kind_and_the_talk_goes_on(
    talked: Run, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    replies = [error]
    reply = Assistant.reply

    def fail_once(self: Assistant, *args: object, **settings: object) -> object:
        if replies:
            raise replies.pop()
        return reply(self, *args, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(Assistant, "reply", fail_once)
    status, out, err = talked(QUESTION.encode(), QUESTION.encode())
    assert status == 0
    assert f"got {type(error).__name__}." in err
    assert "Ada" not in err
    assert len(out.splitlines()) == 1


def test_a_question_of_100_000_characters_is_refused_in_words(discreet: Run) -> None:
    status, out, err = discreet(*TINY, "--once", "my zebrapox " * 8334)
    assert status == 1
    assert out == ""
    assert "Ask in fewer words" in " ".join(err.split())
    assert "zebrapox" not in err
    assert len(err) < 1000


PLANTED = ("zebrapox", "quokkaville", "SECRET_Ada")
"""In the question, in the question's other half, in the picture's name."""


def holds(folder: Path, secret: str) -> list[Path]:
    """Return every file below a folder that has a secret in its name or bytes, in any case."""
    needle = secret.lower()
    return [
        path
        for path in folder.rglob("*")
        if needle in path.name.lower()
        or (path.is_file() and needle.encode() in path.read_bytes().lower())
    ]


def test_a_whole_run_leaves_nothing_of_the_person_anywhere(tmp_path: Path) -> None:
    """Home, cache, temporary files and working folder are all below one folder, which is read."""
    places = {name: tmp_path / "all" / name for name in ("home", "cache", "temp", "work")}
    for place in places.values():
        place.mkdir(parents=True)
    picture = tmp_path / "SECRET_Ada.jpg"
    picture.write_bytes(load_portraits("test")[0].jpeg)
    question = f"{QUESTION} My zebrapox began in quokkaville."
    words = [*map(str, TINY), "--json", "--image", str(picture), "--profile", "age_band=child"]
    done = subprocess.run(
        [sys.executable, "-B", "-m", "discreet", *words, "--once", question],
        capture_output=True,
        text=True,
        cwd=places["work"],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
            "HOME": str(places["home"]),
            "XDG_CACHE_HOME": str(places["cache"]),
            "DISCREET_CACHE": str(places["cache"] / "discreet"),
            "TMPDIR": str(places["temp"]),
        },
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["used"][0]["value"] == "child"
    for secret in PLANTED:
        assert secret.lower() not in (done.stdout + done.stderr).lower()
        assert holds(tmp_path / "all", secret) == []
    (places["temp"] / "log").write_text(question)
    assert holds(tmp_path / "all", "zebrapox"), "the search finds what is there"
