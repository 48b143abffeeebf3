"""UTKFace: labels are in the names of the files, and some names are broken."""

from pathlib import Path

from discreet.sources import find_reader

from ..small import found, picture, put, read

STAMP = "20170116174525125"


def test_age_gender_and_race_are_in_the_name(tmp_path: Path) -> None:
    names = [f"26_1_2_{STAMP}.jpg", f"1_0_4_{STAMP}.jpg.chip.jpg", f"116_1_0_{STAMP}.JPG"]
    put(tmp_path, {name: picture(i) for i, name in enumerate(names)})
    assert find_reader(tmp_path).name == "utkface"
    records, problems = read(tmp_path)
    told = {record.media[0].path.name: record for record in records}
    assert told[names[0]].labels == {"age": "20-29", "age_years": "26"}
    assert told[names[0]].audit_labels == {"gender": "female", "race": "Asian"}
    assert told[names[1]].labels["age"] == "0-2"
    assert told[names[1]].audit_labels == {"gender": "male", "race": "Others"}
    assert told[names[2]].labels == {"age": "more than 70", "age_years": "116"}
    assert not problems.total


def test_a_name_that_lacks_a_field_is_not_guessed_at(tmp_path: Path) -> None:
    """The three broken names of the set, and what else can be wrong with one."""
    broken = [
        "39_1_20170116174525125.jpg.chip.jpg",
        "61_1_20170109142408075.jpg.chip.jpg",
        "61_1_20170109150557335.jpg.chip.jpg",
        f"117_0_0_{STAMP}.jpg",
        f"26_2_0_{STAMP}.jpg",
        f"26_1_5_{STAMP}.jpg",
        f"26_1__{STAMP}.jpg",
        "holiday.jpg",
    ]
    good = [f"{age}_0_0_{STAMP}.jpg" for age in range(20, 30)]
    put(tmp_path, {name: picture(i) for i, name in enumerate(broken + good)})
    records, problems = read(tmp_path)
    assert len(records) == len(good)
    assert dict(problems.counts) == {"name": len(broken)}
    in_order = sorted(path.name for path in tmp_path.iterdir())
    assert {in_order[(problem.line or 0) - 1] for problem in problems.kept} == set(broken)
    first = problems.kept[0]
    assert str(first).startswith(f"{tmp_path.name}, file {first.line} in sorted order: ")
    assert not any(name in str(problem) for problem in problems.kept for name in broken)


def test_parts_in_folders_are_read_as_one_set(tmp_path: Path) -> None:
    put(tmp_path, {f"part{n}/{20 + n}_0_1_{STAMP}.jpg": picture(n) for n in (1, 2, 3)})
    records, problems = read(tmp_path)
    assert [record.labels["age_years"] for record in records] == ["21", "22", "23"]
    assert found(problems) == {}


def test_only_digits_of_ascii_are_numbers(tmp_path: Path) -> None:
    names = (f"26_1_2_{STAMP}.jpg", f"30_1_2_{STAMP}.jpg", "\u0662\u0666_1_2_20170116174525126.jpg")
    put(tmp_path, {name: picture(n) for n, name in enumerate(names)})
    records, problems = read(tmp_path, "utkface")
    assert [record.labels["age_years"] for record in records] == ["26", "30"]
    assert dict(problems.counts) == {"name": 1}
