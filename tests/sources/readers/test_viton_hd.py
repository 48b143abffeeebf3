"""VITON-HD: lists of a person and a garment."""

from pathlib import Path

from discreet.sources import find_reader

from ..small import PIXEL, found, put, read


def test_pairs_are_read_with_both_files(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "train_pairs.txt": "1_00.jpg 1_00.jpg\n",
            "test_pairs.txt": "2_00.jpg 3_00.jpg\r\n2_00.jpg gone.jpg\r\nodd\r\n",
            "train/image/1_00.jpg": PIXEL,
            "train/cloth/1_00.jpg": PIXEL,
            "test/image/2_00.jpg": PIXEL,
            "test/cloth/3_00.jpg": PIXEL,
        },
    )
    assert find_reader(tmp_path).name == "viton_hd"
    records, problems = read(tmp_path)
    assert [[(m.role, m.name) for m in record.media] for record in records] == [
        [("person", "train/image/1_00.jpg"), ("garment", "train/cloth/1_00.jpg")],
        [("person", "test/image/2_00.jpg"), ("garment", "test/cloth/3_00.jpg")],
    ]
    assert [record.labels["worn"] for record in records] == ["same", "another"]
    assert [record.split for record in records] == ["train", "test"]
    assert found(problems) == {"missing_file": [2], "row": [3]}
