import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from discreet.data import contact_sheet, save_contact_sheet
from discreet.types import EXPRESSIONS


def _picture(level: int) -> dict[str, object]:
    stream = io.BytesIO()
    Image.new("RGB", (32, 32), (level, 255 - level, 90)).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": None}


def test_a_contact_sheet_holds_all_pictures() -> None:
    pictures = [Image.new("RGB", (16, 16), (40 * place, 9, 9)) for place in range(1, 4)]
    sheet = np.asarray(contact_sheet(pictures, columns=2, side_px=16))
    assert sheet.shape == (32, 32, 3)
    assert np.array_equal(sheet[16:, :16], np.asarray(pictures[2]))
    assert np.all(sheet[16:, 16:] == 255)


def test_a_sheet_of_portraits_shows_different_people(tmp_path: Path) -> None:
    rows = [
        {"image": _picture(20 * person + shot), "identity_id": f"p{person}", "age_band": "child",
         "gender_presentation": "feminine", "ethnicity": "asian", "expression": EXPRESSIONS[shot]}
        for person in range(6)
        for shot in range(5)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    save_contact_sheet(tmp_path / "a.parquet", tmp_path / "a.png", count=6)
    with Image.open(tmp_path / "a.png") as sheet:
        colours = np.asarray(sheet.convert("RGB"))[64, 64::128]
    assert sheet.size == (1024, 128)
    assert len({tuple(colour) for colour in colours[:6]}) == 6


def test_a_sheet_of_twins_puts_them_side_by_side(tmp_path: Path) -> None:
    rows = [
        {"first_image": _picture(10 * place), "second_image": _picture(10 * place + 120),
         "kind": ("age", "hair")[place % 2]}
        for place in range(10)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    save_contact_sheet(tmp_path / "t.parquet", tmp_path / "t.png", count=8)
    with Image.open(tmp_path / "t.png") as sheet:
        reds = np.asarray(sheet.convert("RGB")).astype(int)[64, 64::128, 0]
    assert np.all(np.abs(reds[1::2] - reds[::2] - 120) < 12)


def test_a_sheet_of_twins_says_their_kind_below_each_pair(tmp_path: Path) -> None:
    rows = [
        {"first_image": _picture(10), "second_image": _picture(130), "kind": kind}
        for kind in ("hair", "age")
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    save_contact_sheet(tmp_path / "t.parquet", tmp_path / "t.png", count=4)
    with Image.open(tmp_path / "t.png") as sheet:
        below = np.asarray(sheet.convert("L"))[128:144] < 128
    for place, kind in enumerate(("age", "hair")):
        plain = Image.new("L", (256, 16), 255)
        ImageDraw.Draw(plain).text((4, 2), kind, fill=0)
        wanted = np.asarray(plain) < 128
        assert wanted.any()
        assert np.mean(below[:, 256 * place : 256 * (place + 1)] != wanted) < 0.01, kind
    assert not below[:, 512:].any()
