"""DressCode: lists in each category, or at the top with a number for the category."""

from pathlib import Path

from discreet.sources import find_reader

from ..small import PIXEL, found, put, read

PICTURES: dict[str, bytes | str] = {
    f"{category}/images/01356{place}_{n}.jpg": PIXEL
    for place, category in enumerate(("upper_body", "lower_body", "dresses"))
    for n in (0, 1)
}


def test_lists_of_categories_and_lists_at_the_top_say_the_same(tmp_path: Path) -> None:
    inner = {
        f"{category}/test_pairs_unpaired.txt": f"01356{place}_0.jpg\t01356{place}_1.jpg\n"
        for place, category in enumerate(("upper_body", "lower_body", "dresses"))
    }
    top = {
        "test_pairs_unpaired.txt": "".join(
            f"01356{n}_0.jpg\t01356{n}_1.jpg\t{n}\n" for n in range(3)
        )
    }
    one = put(tmp_path / "inner", PICTURES | inner)
    two = put(tmp_path / "top", PICTURES | top)
    both = put(tmp_path / "both", PICTURES | inner | top)
    told = []
    for root in (one, two, both):
        assert find_reader(root).name == "dress_code"
        records, problems = read(root)
        assert not problems.total
        told.append([([m.name for m in r.media], dict(r.labels), r.split) for r in records])
    assert told[0] == told[1] == told[2]
    assert told[0][2] == (
        ["dresses/images/013562_0.jpg", "dresses/images/013562_1.jpg"],
        {"category": "dresses", "worn": "another"},
        "test",
    )


def test_a_row_without_a_category_is_a_problem(tmp_path: Path) -> None:
    put(tmp_path, PICTURES | {"train_pairs.txt": "013560_0.jpg 013560_1.jpg\na b 3\na b 0\n"})
    records, problems = read(tmp_path)
    assert records == []
    assert found(problems) == {"row": [1, 2], "missing_file": [3, 3]}
