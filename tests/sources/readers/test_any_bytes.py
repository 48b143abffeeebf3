"""Whatever lies on disk, a reader yields records or reports problems, and ends."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discreet.errors import DataError
from discreet.sources import READERS, Origin, Problems, Record, read_source

from ..small import PIXEL, put

LISTS = {
    "fairface": ("fairface_label_train.csv", "file,age,gender,race,service_test\n"),
    "utkface": ("26_1_2_20170116174525125.jpg", ""),
    "celeba": ("list_attr_celeba.txt", "1\nMale Smiling\n"),
    "raf_db": ("EmoLabel/list_patition_label.txt", ""),
    "affectnet": ("training.csv", "subDirectory_filePath,expression,valence\n"),
    "viton_hd": ("train_pairs.txt", ""),
    "dress_code": ("dresses/train_pairs.txt", ""),
    "fake_av_celeb": (
        "meta_data.csv",
        "source,target1,target2,method,category,type,race,gender,path,\n",
    ),
    "face_forensics": ("splits/train.json", "["),
    "kodf": ("original_videos/id1/1.mp4", ""),
    "df_timit": ("higher_quality/fadg0/1.avi", ""),
    "deepfake_bench": ("a.json", '{"S": {"L": {"train": {"v": {"frames": ['),
    "udiva": ("metadata_train/parts_train.csv", "ID,GENDER\n"),
    "mpiigi": ("labels_train.csv", ""),
    "portraits": ("p.parquet", ""),
    "chats": ("c.jsonl", '{"question": "a", "answer": "b"}\n'),
    "hugging_face": ("t.arrow", ""),
    "image_folder": ("metadata.csv", "file_name,age,person\n"),
}
BESIDE = {
    "viton_hd": "train/image/1.jpg",
    "dress_code": "dresses/images/1.jpg",
    "face_forensics": "original_sequences/youtube/c23/videos/000.mp4",
    "kodf": "synthesized_videos/fo/1.mp4",
    "udiva": "metadata_train/sessions_train.csv",
    "mpiigi": "clips_train/00001-video.mp4",
}
"""What makes a folder look like the layout, beside the list with random bytes."""
WORDS = st.sampled_from(
    [b"1.jpg", b"..", b"/etc/passwd", b",", b'"', b"\n", b"\r\n", b" ", b"\t", b"0", b"-1", b"nan"]
    + [
        b"\xff",
        b"\xef\xbb\xbf",
        b"{",
        b"}",
        b"[",
        b"]",
        b'"a":',
        b"image",
        b"\x00",
        b"train",
        b"\\",
    ]
)
BYTES = st.one_of(st.binary(max_size=60), st.lists(WORDS, max_size=30).map(b"".join))


def test_every_layout_is_tried() -> None:
    assert set(LISTS) == set(READERS)


@pytest.mark.parametrize("layout", LISTS)
@settings(max_examples=40)
@given(data=BYTES)
def test_any_bytes_in_a_list_give_records_or_problems(
    layout: str, data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.getbasetemp() / f"any-{layout}"
    name, head = LISTS[layout]
    put(root, {"1.jpg": PIXEL, "train/1.jpg": PIXEL})
    if layout in BESIDE:
        put(root, {BESIDE[layout]: data if layout == "udiva" else PIXEL})
    put(root, {name: head.encode() + data})
    problems = Problems()
    records: list[Record] = []
    with suppress(DataError):  # what is no longer of this layout is refused
        records += read_source(root, layout=layout, problems=problems)
    for record in records:
        assert isinstance(record.origin, Origin)
        assert all(medium.path.is_relative_to(root) for medium in record.media)
        for text in (*record.all_labels.values(), record.person or ""):
            text.encode()


@settings(max_examples=40)
@given(
    data=BYTES, suffix=st.sampled_from([".csv", ".json", ".jsonl", ".parquet", ".arrow", ".jpg"])
)
def test_no_reader_fails_on_asking_whether_it_can_read(
    data: bytes, suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.getbasetemp() / "asked"
    (path,) = (put(root, {f"x{suffix}": data}) / f"x{suffix}",)
    for reader in READERS.values():
        for place in (path, root, Path("/nowhere")):
            assert reader.can_read(place) in (True, False)
