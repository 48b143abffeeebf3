"""No name leads out of the folder of a set, and what lies in it is found."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.sources import Origin, Problems
from discreet.sources.files import PICTURES, Folder, first_names, relative_parts

from .small import put

HERE = Origin(file="list", line=1)


def find(root: Path, name: str) -> tuple[str | None, list[str]]:
    problems = Problems()
    path = Folder(root).find(name, HERE, problems)
    return path and path.relative_to(root).as_posix(), list(problems.counts)


def test_names_are_found_below_the_folder(tmp_path: Path) -> None:
    root = put(tmp_path, {"train/9.jpg": "x", "a b (c)/ü.jpg": "x"})
    assert find(root, "train/9.jpg") == ("train/9.jpg", [])
    assert find(root, "./train//9.jpg") == ("train/9.jpg", [])
    assert find(root, "train\\9.jpg") == ("train/9.jpg", [])
    assert find(root, "a b (c)/ü.jpg") == ("a b (c)/ü.jpg", [])


def test_an_ending_may_differ_in_case_only(tmp_path: Path) -> None:
    root = put(tmp_path, {"1.JPG": "x", "2.jpg": "x"})
    assert find(root, "1.jpg") == ("1.JPG", [])
    assert find(root, "2.JPG") == ("2.jpg", [])
    assert find(root, "1.png") == (None, ["missing_file"])


@pytest.mark.parametrize(
    "name",
    [
        "../out.jpg",
        "a/../../out.jpg",
        "..\\out.jpg",
        "/etc/passwd",
        "C:\\x.jpg",
        "\\\\host\\x",
        "a\0b",
    ],
)
def test_a_list_may_not_reach_outside_its_folder(tmp_path: Path, name: str) -> None:
    root = put(tmp_path / "set", {"a/1.jpg": "x"})
    put(tmp_path, {"out.jpg": "x"})
    assert find(root, name) == (None, ["outside"])


def test_a_name_on_the_web_is_not_fetched(tmp_path: Path) -> None:
    assert find(tmp_path, "https://example.org/1.jpg") == (None, ["remote"])


def test_a_link_may_lead_about_inside_but_not_out(tmp_path: Path) -> None:
    root = put(tmp_path / "set", {"a/1.jpg": "x"})
    put(tmp_path / "other", {"2.jpg": "x"})
    (root / "in.jpg").symlink_to(root / "a" / "1.jpg")
    (root / "out.jpg").symlink_to(tmp_path / "other" / "2.jpg")
    (root / "folder").symlink_to(tmp_path / "other")
    (root / "nowhere.jpg").symlink_to(root / "gone.jpg")
    (root / "circle.jpg").symlink_to(root / "circle.jpg")
    assert find(root, "in.jpg") == ("in.jpg", [])
    assert find(root, "out.jpg") == (None, ["outside"])
    assert find(root, "folder/2.jpg") == (None, ["outside"])
    assert find(root, "nowhere.jpg") == (None, ["missing_file"])
    assert find(root, "circle.jpg")[0] is None


def test_a_folder_that_is_a_link_itself_can_be_read(tmp_path: Path) -> None:
    put(tmp_path / "set", {"a/1.jpg": "x"})
    (tmp_path / "link").symlink_to(tmp_path / "set")
    problems = Problems()
    path = Folder(tmp_path / "link").find("a/1.jpg", HERE, problems)
    assert path == tmp_path / "set" / "a" / "1.jpg"


def test_a_list_that_is_a_link_may_not_lead_out_either(tmp_path: Path) -> None:
    root = put(tmp_path / "set", {"a.csv": "x"})
    put(tmp_path, {"private.csv": "x"})
    (root / "in.csv").symlink_to("a.csv")
    (root / "out.csv").symlink_to(tmp_path / "private.csv")
    folder = Folder(root)
    assert [folder.admits(root / name) for name in ("a.csv", "in.csv", "out.csv")] == [
        True,
        True,
        False,
    ]
    assert Folder(root / "out.csv").admits(root / "out.csv"), "it was named by the user"


def test_what_is_empty_or_no_file_is_a_problem(tmp_path: Path) -> None:
    root = put(tmp_path, {"0.jpg": "", "folder/1.jpg": "x"})
    os.mkfifo(root / "pipe.jpg")
    assert find(root, "0.jpg") == (None, ["empty_file"])
    assert find(root, "folder") == (None, ["missing_file"])
    assert find(root, "pipe.jpg") == (None, ["missing_file"])
    assert find(root, "") == (None, ["missing_file"])
    assert find(root, "x" * 5000) == (None, ["missing_file"])


def test_a_walk_is_sorted_and_passes_over_what_is_hidden(tmp_path: Path) -> None:
    root = put(
        tmp_path,
        {"b/2.PNG": "x", "a/1.jpg": "x", "z.webp": "x", "._z.webp": "x", ".DS_Store": "x"}
        | {"__MACOSX/1.jpg": "x", "notes.txt": "x", "a/empty.jpg": ""},
    )
    problems = Problems()
    walked = list(Folder(root).walk(PICTURES, problems))
    names = [path.relative_to(root).as_posix() for _, path in walked]
    assert names == ["z.webp", "a/1.jpg", "b/2.PNG"]
    assert [origin.line for origin, _ in walked] == [1, 2, 4], "places in the sorted order"
    assert dict(problems.counts) == {"empty_file": 1}


def test_a_walk_follows_no_link_to_a_folder(tmp_path: Path) -> None:
    root = put(tmp_path / "set", {"a/1.jpg": "x"})
    (root / "a" / "up").symlink_to(root)
    put(tmp_path / "other", {"2.jpg": "x"})
    (root / "other").symlink_to(tmp_path / "other")
    (root / "3.jpg").symlink_to(tmp_path / "other" / "2.jpg")
    problems = Problems()
    walked = [path.name for _, path in Folder(root).walk(PICTURES, problems)]
    assert walked == ["1.jpg"]
    assert dict(problems.counts) == {"outside": 2}


def test_a_file_name_that_is_not_utf8_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"x")
    problems = Problems()
    assert list(Folder(tmp_path).walk(PICTURES, problems)) == []
    assert dict(problems.counts) == {"encoding": 1}


def test_a_folder_that_may_not_be_read_is_a_problem(tmp_path: Path) -> None:
    if os.getuid() == 0:
        pytest.skip("root may read everything")
    put(tmp_path, {"a/1.jpg": "x"})
    (tmp_path / "a").chmod(0)
    problems = Problems()
    assert list(Folder(tmp_path).walk(PICTURES, problems)) == []
    (tmp_path / "a").chmod(0o700)
    assert dict(problems.counts) == {"unreadable": 1}


def test_a_few_names_tell_a_layout_without_reading_a_whole_set(tmp_path: Path) -> None:
    put(tmp_path, {f"{number % 3}/{number}.jpg": "x" for number in range(50)})
    assert len(first_names(tmp_path, PICTURES, limit=10)) == 10
    assert first_names(tmp_path / "none", PICTURES) == []


@given(name=st.text(max_size=60))
def test_any_name_is_found_inside_or_refused(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.getbasetemp() / "any"
    put(root, {"a/1.jpg": "x"})
    problems = Problems()
    path = Folder(root).find(name, HERE, problems)
    assert (path is None) == bool(problems.total)
    assert path is None or path.resolve().is_relative_to(root.resolve())


@given(parts=st.lists(st.sampled_from(["a", "..", ".", "", "b.jpg", "C:"]), max_size=6))
def test_parts_never_climb(parts: list[str]) -> None:
    told = relative_parts("/".join(parts))
    assert told is None or not {"..", "", "."} & set(told)
