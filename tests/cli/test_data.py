"""`discreet data` as a person types it."""

import json
import re
import sys
from pathlib import Path

import pytest
from PIL import Image
from sources.small import lines, picture, put, table

from discreet.artifacts import read_toml
from discreet.cli import main
from discreet.data import load_portraits
from discreet.sources import READERS, read_shares
from tests.cli.conftest import Run

HEADER = ("file", "age", "gender", "race", "service_test")


@pytest.fixture
def discreet(discreet: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `discreet data`; stderr is on one line."""
    monkeypatch.setenv("COLUMNS", "160")

    def run(*words: object) -> tuple[int, str, str]:
        status, out, err = discreet("data", *words)
        return status, out, " ".join(err.split())

    return run


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A set in the layout of FairFace with some things wrong."""
    rows = [(f"train/{n}.jpg", "3-9", "Male", "White", True) for n in range(6)]
    rows += [("train/6.jpg", "20-29", "Female", "Black", True)]
    rows += [("train/secret.jpg", "3-9", "Male", "White", True)]
    files: dict[str, bytes | str] = {f"train/{n}.jpg": picture(n) for n in range(7)}
    return put(tmp_path / "FairFace", files | {"fairface_label_train.csv": table(HEADER, *rows)})


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    rows = [{"question": "My secret?", "answer": "Yes.", "user": f"u{n}"} for n in range(4)]
    rows = [row | {"question": f"My secret {n}?"} for n, row in enumerate(rows)]
    return put(tmp_path / "chats", {"chats.jsonl": lines(*rows)}) / "chats.jsonl"


def test_list_names_every_layout_with_its_terms(discreet: Run) -> None:
    status, out, _ = discreet("list", "--json")
    assert status == 0
    told = {row["layout"]: row for row in json.loads(out)}
    assert list(told) == list(READERS)
    assert told["fairface"]["licence"] == "CC BY 4.0"
    assert told["fairface"]["audit_labels"] == ["gender", "race"]
    status, _, err = discreet("list")
    assert all(name in err for name in READERS)


def test_show_says_labels_and_places_and_no_names(discreet: Run, faces: Path) -> None:
    status, out, err = discreet("show", faces, "--limit", "2")
    assert (status, out) == (0, "")
    assert "fairface" in err
    assert "age = 3-9" in err
    assert "0.jpg" not in err
    status, out, _ = discreet("show", faces, "--limit", "2", "--json")
    records = json.loads(out)["records"]
    assert len(records) == 2
    assert records[0]["origin"] == "fairface_label_train.csv, line 2"
    assert records[0]["audit_labels"] == {"gender": "Male", "race": "White"}


def test_show_says_words_of_conversations_only_if_asked(discreet: Run, chats: Path) -> None:
    _, out, err = discreet("show", chats)
    assert "secret" not in out + err
    assert "user 3 words" in err
    assert "number 4" in err
    assert "u0" not in err
    _, _, err = discreet("show", chats, "--text", "--limit", "1")
    assert "user: My secret 0?" in err


def test_a_contact_sheet_lies_outside_the_set(discreet: Run, faces: Path, tmp_path: Path) -> None:
    status, _, err = discreet("show", faces, "--sheet", tmp_path / "out" / "sheet.png")
    assert status == 0, err
    with Image.open(tmp_path / "out" / "sheet.png") as sheet:
        assert sheet.size == (8 * 128, 128)
    status, _, err = discreet("show", faces, "--sheet", faces / "sheet.png")
    assert status == 1
    assert "outside the data set" in err
    assert not (faces / "sheet.png").exists()


def test_check_says_what_is_wrong_and_who_is_there(discreet: Run, faces: Path) -> None:
    status, out, err = discreet("check", faces)
    assert (status, out) == (0, "")
    assert "'FairFace' is fairface: 7 records, no person named, 7 files" in err
    assert "a file that is not there" in err
    assert "fairface_label_train.csv, line 9" in err
    assert "race (audits only)" in err
    assert "White: 85.7%, 6.00 x" in err
    assert "nobody: age = 0-2" in err
    assert "open, for you to say: name, origin, licence, legal basis, consent, purpose" in err
    assert "the page of fairface says: CC BY 4.0" in err
    assert "secret" not in err
    assert not (faces / "manifest.toml").exists(), "a check alone writes nothing"


def test_check_in_json_has_everything_and_names_on_request_only(discreet: Run, faces: Path) -> None:
    _, out, _ = discreet("check", faces, "--json", "--pictures", "--hash")
    told = json.loads(out)
    assert told["problems"] == {"missing_file": 1}
    assert told["first_problems"][0]["line"] == 9
    assert told["counts"]["opened"] == 7
    assert told["balance"]["gender"] == {"Male": 6, "Female": 1}
    assert ".jpg" not in out
    (faces / "train" / "3.jpg").write_bytes(b"damaged")
    _, out, _ = discreet("check", faces, "--json", "--names")
    assert "train/3.jpg" in out


def test_refuse_stops_with_status_1_and_the_place(discreet: Run, faces: Path) -> None:
    status, _, err = discreet("check", faces, "--on-problem", "refuse")
    assert status == 1
    assert "fairface_label_train.csv, line 9: a file that is not there" in err
    assert "secret" not in err
    assert discreet("check", faces, "--on-problem", "ignore")[0] == 2


def test_a_manifest_is_written_kept_and_checked_against(discreet: Run, faces: Path) -> None:
    said = ("--licence", "CC BY 4.0", "--consent", "public pictures", "--name", "FairFace")
    status, _, err = discreet("check", faces, "--write", "--hash", *said)
    assert status == 0, err
    told = read_toml(faces / "manifest.toml")
    assert told["declared"]["licence"] == "CC BY 4.0"
    assert told["counts"]["records"] == 7
    assert len((faces / "manifest.sha256").read_text().splitlines()) == 7

    status, _, err = discreet("check", faces, "--hash")
    assert status == 0, err
    assert "open, for you to say: origin, legal basis, purpose" in err, "what was said is kept"

    size = (faces / "train" / "1.jpg").stat().st_size
    (faces / "train" / "1.jpg").write_bytes((picture(50) + bytes(size))[:size])
    assert discreet("check", faces)[0] == 0, "the same size: found by hashes only"
    status, out, err = discreet("check", faces, "--hash", "--json", "--names")
    assert status == 1
    assert json.loads(out)["changed_files"]["changed"] == ["train/1.jpg"]
    assert "bytes of files differ" in err
    assert ".jpg" not in err

    status, _, err = discreet("check", faces, "--hash", "--write")
    assert status == 1, "a change is not taken as right without a word"
    status, _, err = discreet("check", faces, "--hash", "--write", "--accept")
    assert status == 0, err
    assert discreet("check", faces, "--hash")[0] == 0
    assert read_toml(faces / "manifest.toml")["declared"]["consent"] == "public pictures"


def test_hashes_of_another_state_do_not_stay(discreet: Run, faces: Path) -> None:
    discreet("check", faces, "--write", "--hash")
    discreet("check", faces, "--write")
    assert (faces / "manifest.sha256").exists(), "nothing changed: the hashes still hold"
    assert read_toml(faces / "manifest.toml")["files_sha256"] != "not hashed"
    (faces / "train" / "1.jpg").write_bytes(picture(1, size=(64, 64)))
    assert discreet("check", faces, "--write", "--accept")[0] == 0
    assert not (faces / "manifest.sha256").exists()
    assert discreet("check", faces)[0] == 0


def test_the_manifest_of_a_file_lies_beside_it(discreet: Run, chats: Path, tmp_path: Path) -> None:
    assert discreet("check", chats, "--write")[0] == 0
    assert (chats.parent / "chats.jsonl.manifest.toml").exists()
    other = tmp_path / "m.toml"
    assert discreet("check", chats, "--write", "--hash", "--manifest", other)[0] == 0
    assert other.exists()
    chats.write_text(chats.read_text() + "\n")
    status, _, err = discreet("check", chats)
    assert status == 1
    assert "list 'chats.jsonl' changed" in err


def test_share_writes_who_has_what(discreet: Run, chats: Path, tmp_path: Path) -> None:
    words = ("--owners", "3", "--json")
    status, out, err = discreet("share", chats, tmp_path / "index.parquet", *words)
    assert status == 0, err
    told = json.loads(out)
    assert told["records"] == 4
    assert told["owners_with_records"] <= 3
    assert len(list(read_shares(tmp_path / "index.parquet"))) == 4
    status, _, err = discreet("share", chats, tmp_path / "shards", "--owners", "3", "--shards")
    assert status == 0, err
    assert "records: 4" in err
    found = [one for path in (tmp_path / "shards").iterdir() for one in read_shares(path)]
    assert len(found) == 4
    status, _, err = discreet("share", chats, tmp_path / "shards", "--shards")
    assert status == 1
    status, _, err = discreet("share", chats, tmp_path / "x", "--alpha", "0.5")
    assert status == 1
    assert "alpha and label together" in err


def test_portraits_are_a_file_to_train_on(discreet: Run, tmp_path: Path) -> None:
    rows = [("file_name", "age", "emotion"), ("1.jpg", "8", "happy"), ("2.jpg", "30", "sad")]
    put(tmp_path / "set", {"1.jpg": picture(1), "2.jpg": picture(2), "metadata.csv": table(*rows)})
    status, _, err = discreet("portraits", tmp_path / "set", tmp_path / "people.parquet")
    assert status == 0, err
    assert "discreet train --data" in err
    assert len(load_portraits("train", path=tmp_path / "people.parquet")) == 2


def test_an_unknown_folder_leads_to_the_list(discreet: Run, tmp_path: Path) -> None:
    put(tmp_path, {"notes.txt": "x"})
    status, _, err = discreet("check", tmp_path)
    assert status == 1
    assert "discreet data list" in err


def test_the_cost_of_sharing_out_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["discreet", "bench", "data", "--rows", "500", "--owners", "5"]
    monkeypatch.setattr(sys, "argv", [*words, "--json"])
    main()
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["owners"]) == (500, 5)
    assert 20 < told["peak_mib"] < 1024
    monkeypatch.setattr(sys, "argv", words)
    main()
    assert "500 rows over 5 owners: peak memory" in capsys.readouterr().out


def test_what_ships_is_exported_for_other_tools(discreet: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    sizes = {}
    for what in ("questions", "answers", "pairs"):
        status, _, err = discreet("export", what, out, "--language", "fr", "--part", "private")
        assert status == 0, err
        found = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        assert {line["part"] for line in found} == {"private"}
        assert {line["language"] for line in found} == {"fr"}
        assert len({line["id"] for line in found}) == len(found)
        sizes[what] = len(found)
        assert f"{len(found)} lines" in err
    assert sizes["answers"] == 5 * sizes["questions"]
    pair = next(line for line in found if line["fault"] == "elderspeak")
    assert [turn["role"] for turn in pair["prompt"] + pair["chosen"]] == ["user", "assistant"]
    assert pair["chosen"][0]["content"] in pair["rejected"][0]["content"]


def test_exported_pairs_are_conversations_that_check_reads(discreet: Run, tmp_path: Path) -> None:
    discreet("export", "answers", tmp_path / "answers.jsonl")
    status, out, err = discreet("check", tmp_path / "answers.jsonl", "--json")
    assert status == 0, err
    assert json.loads(out)["layout"] == "chats"


@pytest.mark.parametrize(
    "words", [("poems",), ("pairs", "--language", "de"), ("pairs", "--part", "all")]
)
def test_what_does_not_ship_is_named(discreet: Run, tmp_path: Path, words: tuple[str]) -> None:
    status, _, err = discreet("export", words[0], tmp_path / "x.jsonl", *words[1:])
    assert status != 0
    assert "Expected one of" in err


def test_folders_named_after_people_are_numbered(discreet: Run, tmp_path: Path) -> None:
    people = ("Aaron_Eckhart", "Zoe_Example")
    files: dict[str, bytes | str] = {
        f"{name}/{n}.jpg": picture(10 * place + n)
        for place, name in enumerate(people)
        for n in range(3)
    }
    root = put(tmp_path / "lfw", files)
    said = ""
    for words in (("check", root), ("check", root, "--json"), ("show", root, "--json")):
        status, out, err = discreet(*words)
        assert status == 0, err
        said += out + err
    status, out, err = discreet("show", root)
    assert "label = number 1" in err
    assert not any(name in said + out + err for name in people)
    assert "label = Aaron_Eckhart" in discreet("show", root, "--names")[2]


def test_what_data_say_gives_the_terminal_no_commands(discreet: Run, tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [("file_name", "\x1b[31mred", "lab\u202e")]
    rows += [(f"{n}.jpg", "\x1b]0;pwned\x07v", "x\x1b[2J\x9b2Jy") for n in range(4)]
    files: dict[str, bytes | str] = {f"{n}.jpg": picture(n) for n in range(4)}
    root = put(tmp_path / "w\x1b[31mird", files | {"metadata.csv": table(*rows)})
    gone = tmp_path / "\x1b[31mgone"
    for words in (("check", root, "--names"), ("show", root), ("check", gone)):
        _, out, err = discreet(*words)
        assert "\ufffd[31m" in err
        assert not set(out + err) & set("\x1b\x07\x9b\u202e")


def test_problems_of_one_kind_and_other_columns_are_rows_of_their_own(
    discreet: Run, tmp_path: Path
) -> None:
    rows = [(f"train/{n}.jpg", "3-9", "Male", "White", True) for n in range(6)]
    rows[2] = ("train/2.jpg", "3-9", "Mlae", "White", True)
    rows[3] = ("train/3.jpg", "03-Sep", "Male", "White", True)
    rows[4] = ("train/4.jpg", "03-Sep", "Male", "White", True)
    files: dict[str, bytes | str] = {f"train/{n}.jpg": picture(n) for n in range(6)}
    root = put(tmp_path / "set", files | {"fairface_label_train.csv": table(HEADER, *rows)})
    _, out, err = discreet("check", root)
    row = r"\(label '{}'\) \W* {} \W* fairface_label_train.csv, line {} "
    assert re.search(row.format("gender", 1, 4), err), err
    assert re.search(r"\(label 'age'\)", err)
    assert "Mlae" not in out + err
    told = json.loads(discreet("check", root, "--json")[1])
    assert told["problems"] == {"unknown_label": 3}
    assert told["problem_reasons"] == [
        {"kind": "unknown_label", "about": "label 'gender'", "count": 1},
        {"kind": "unknown_label", "about": "label 'age'", "count": 2},
    ]


def test_many_reasons_of_one_kind_are_told_in_a_few_rows(discreet: Run, tmp_path: Path) -> None:
    names = [f"column{n}" for n in range(9)]
    rows = [("file_name", *names), *((f"{n}.jpg", *[""] * 9) for n in range(2))]
    files: dict[str, bytes | str] = {f"{n}.jpg": picture(n) for n in range(2)}
    root = put(tmp_path / "set", files | {"metadata.csv": table(*rows)})
    err = discreet("check", root)[2]
    assert sum(f"(column '{name}')" in err for name in names) == 5
    assert re.search(r"\(other reasons\) \W* 8 ", err), err


def test_files_that_are_missing_changed_and_new_are_counted_and_named_on_request(
    discreet: Run, tmp_path: Path
) -> None:
    root = put(tmp_path / "set", {f"{n}.jpg": picture(n) for n in range(4)})
    discreet("check", root, "--write", "--hash")
    (root / "1.jpg").unlink()
    put(root, {"2.jpg": picture(12), "new.jpg": picture(13)})
    status, out, err = discreet("check", root, "--hash")
    assert status == 1
    assert "files: 1 missing, 1 changed, 1 new (--names shows which)" in err
    assert ".jpg" not in out + err
    _, _, err = discreet("check", root, "--hash", "--names")
    assert "missing: 1.jpg changed: 2.jpg new: new.jpg" in err


@pytest.mark.parametrize("command", ["check", "show", "share", "portraits"])
def test_a_misspelt_layout_is_a_wrong_use_and_leads_to_the_nearest(
    discreet: Run, faces: Path, tmp_path: Path, command: str
) -> None:
    more = (tmp_path / "out.parquet",) if command in ("share", "portraits") else ()
    for wrong, meant in (("fairfac", "fairface"), ("Hugging-Face", "hugging_face")):
        status, _, err = discreet(command, faces, *more, "--layout", wrong)
        assert status == 2
        assert f"Did you mean '{meant}'?" in err.replace("│ ", "")
    status, _, err = discreet(command, faces, *more, "--layout", "zzz")
    assert status == 2
    assert "Did you mean" not in err


def test_share_says_how_to_train_on_what_there_is(
    discreet: Run, chats: Path, faces: Path, tmp_path: Path
) -> None:
    _, _, err = discreet("share", chats, tmp_path / "chats.parquet")
    assert "problems: none" in err
    assert f"discreet train --data {tmp_path / 'chats.parquet'}" in err
    assert "portraits" not in err
    _, _, err = discreet("share", faces, tmp_path / "faces.parquet")
    assert "problems: 1, see `discreet data check`" in err
    assert "discreet train" not in err, "FairFace says no expression"
    rows = [("file_name", "age", "emotion"), ("1.jpg", "8", "happy"), ("2.jpg", "30", "sad")]
    put(tmp_path / "set", {"1.jpg": picture(1), "2.jpg": picture(2), "metadata.csv": table(*rows)})
    _, _, err = discreet("share", tmp_path / "set", tmp_path / "set.parquet")
    assert f"discreet data portraits {tmp_path / 'set'}" in err
    assert f"discreet train --data {tmp_path / 'set.parquet'}" not in err


def test_files_without_a_list_are_numbered_in_sorted_order_and_named_on_request(
    discreet: Run, tmp_path: Path
) -> None:
    good = {f"{age}_0_0_20170116174525125.jpg": picture(age) for age in range(20, 26)}
    root = put(tmp_path / "UTK", good | {"holiday.jpg": picture()})
    _, out, err = discreet("check", root)
    assert "UTK, file 7 in sorted order" in err
    assert "--names shows which it is" in err
    assert "holiday" not in out + err
    _, _, err = discreet("check", root, "--names")
    assert "holiday.jpg" in err
    assert "in sorted order" not in err


def test_names_are_not_cut_in_narrow_windows(
    discreet: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name = "photograph-with-a-long-name-of-somebody-and-nobody"
    root = put(tmp_path / "set", {f"{name}.jpg": b"damaged", "1.jpg": picture()})
    _, _, err = discreet("check", root, "--names")
    assert "…" not in err
    places = err.partition("┩")[2].split("│")[3::5]
    assert name in "".join(place.strip() for place in places)


def test_one_value_or_a_tie_is_said_once(discreet: Run, tmp_path: Path) -> None:
    rows = [(f"{n}.jpg", "wav2lip", n % 2) for n in range(4)]
    listed = table(("file_name", "method", "side"), *rows)
    files: dict[str, bytes | str] = {f"{n}.jpg": picture(n) for n in range(4)}
    root = put(tmp_path / "set", files | {"metadata.csv": listed})
    _, _, err = discreet("check", root)
    assert err.count("wav2lip") == 1
    assert err.count("50.0%, 1.00 x") == 1
    assert "each: 50.0%" in err


def test_what_is_not_shown_says_from_how_many_on_and_where_it_is(
    discreet: Run, tmp_path: Path
) -> None:
    root = put(tmp_path / "set", {f"{n % 2}/{n}.jpg": picture(n) for n in range(4)})
    _, _, err = discreet("check", root)
    assert "not shown, values could tell of single people: label" in err
    assert "fewer than 10 records" in err
    assert "--names" in err


def test_portraits_are_shared_out_for_nodes(discreet: Run, tmp_path: Path) -> None:
    rows = [(f"{n}.jpg", "8", "happy", f"p{n}") for n in range(8)]
    listed = table(("file_name", "age", "emotion", "person"), *rows)
    files: dict[str, bytes | str] = {f"{n}.jpg": picture(n) for n in range(8)}
    put(tmp_path / "set", files | {"metadata.csv": listed})
    out = tmp_path / "nodes"
    status, _, err = discreet("portraits", tmp_path / "set", out, "--owners", "2")
    assert status == 0, err
    assert f"8 portraits in '{out}'" in err
    assert f"--data {out / 'owner-0.parquet'}" in err
    found = [load_portraits("train", path=out / f"owner-{n}.parquet") for n in range(2)]
    assert {p.identity_id for own in found for p in own} == {f"p{n}" for n in range(8)}
