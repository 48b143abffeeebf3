"""Pictures of every kind that a set may hold: used upright and in colour, or reported."""

import struct
import traceback
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from discreet.errors import DataError
from discreet.sources import Medium, Origin, Problems, sheet_of
from discreet.sources.pictures import difference_hash, is_animated, look

from .small import encoded, picture

HERE = Origin(file="set", line=1)
ORIENTATION = 274


def medium(tmp_path: Path, data: bytes, name: str = "1.jpg") -> Medium:
    path = tmp_path / name
    path.write_bytes(data)
    return Medium(role="picture", path=path, root=tmp_path)


def looked(tmp_path: Path, data: bytes, name: str = "1.jpg") -> dict[str, int]:
    problems = Problems()
    look(medium(tmp_path, data, name), HERE, problems)
    return dict(problems.counts)


def bomb(side_px: int = 30_000) -> bytes:
    """Return a PNG whose header promises 900 megapixels, in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(10))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


GOOD = Image.open(BytesIO(picture(3, size=(96, 64))))


def test_pictures_of_odd_modes_are_used(tmp_path: Path) -> None:
    grey = np.linspace(0, 2**16 - 1, 48 * 40).reshape(40, 48).astype(np.uint16)
    for data, name in (
        (encoded(GOOD.convert("CMYK")), "1.jpg"),
        (encoded(Image.fromarray(grey), "PNG"), "1.png"),
        (encoded(GOOD.convert("P"), "PNG"), "1.png"),
        (encoded(GOOD.convert("LA"), "PNG"), "1.PNG"),
        (encoded(GOOD, "WEBP"), "1.webp"),
    ):
        assert looked(tmp_path, data, name) == {}
        assert medium(tmp_path, data).image().mode == "RGB"


def test_a_picture_that_was_taken_sideways_is_shown_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    turned = encoded(GOOD.transpose(Image.Transpose.ROTATE_90), exif=exif, quality=95)
    plain, upright = (
        medium(tmp_path, encoded(GOOD, quality=95), "1.jpg"),
        medium(tmp_path, turned, "2.jpg"),
    )
    assert upright.image().size == GOOD.size
    problems = Problems()
    assert look(plain, HERE, problems) == look(upright, HERE, problems) is not None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a picture",
        encoded(GOOD)[:600],
        encoded(GOOD, "PNG")[:-40],
        encoded(GOOD.convert("P"), "GIF"),
        encoded(GOOD.resize((16, 16))),
        bomb(),
    ],
    ids=["zero bytes", "no picture", "truncated", "cut png", "gif", "tiny", "bomb"],
)
def test_a_picture_that_cannot_be_used_is_reported(tmp_path: Path, data: bytes) -> None:
    assert looked(tmp_path, data) == {"picture": 1}


def test_a_picture_that_is_gone_is_reported(tmp_path: Path) -> None:
    gone = Medium(role="picture", path=tmp_path / "gone.jpg", root=tmp_path)
    problems = Problems()
    look(gone, HERE, problems)
    assert dict(problems.counts) == {"picture": 1}


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animated_picture_the_first_frame_is_used(tmp_path: Path, kind: str) -> None:
    frames = [GOOD, GOOD.transpose(Image.Transpose.ROTATE_180)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    assert is_animated(data)
    assert looked(tmp_path, data, f"1.{kind}") == {"animated": 1}
    assert not is_animated(encoded(GOOD, kind))


@pytest.mark.parametrize(
    ("kind", "name"), [("PNG", "1.jpg"), ("WEBP", "1.jpeg"), ("JPEG", "1.PNG"), ("PNG", "1.webp")]
)
def test_a_name_that_ends_in_another_format_is_noted_and_used(
    tmp_path: Path, kind: str, name: str
) -> None:
    one = medium(tmp_path, encoded(GOOD, kind), name)
    problems = Problems("refuse")
    assert look(one, HERE, problems) is not None
    assert dict(problems.counts) == {"ending": 1}


@pytest.mark.parametrize("name", ["1.jpg", "1.JPG", "1.jpeg"])
def test_a_name_that_says_the_format_is_not_noted(tmp_path: Path, name: str) -> None:
    assert looked(tmp_path, encoded(GOOD), name) == {}


def test_copies_of_another_size_and_quality_look_the_same() -> None:
    rng = np.random.default_rng(0)
    for seed in range(20):
        image = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize(
            (180, 160), Image.Resampling.BICUBIC
        )
        copy = Image.open(BytesIO(encoded(image.resize((360, 320)), quality=90)))
        other = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        bits = [difference_hash(one) for one in (image, copy, other)]
        assert None not in bits
        first, second, third = (bit or 0 for bit in bits)
        assert (first ^ second).bit_count() <= 2, seed
        assert (first ^ third).bit_count() > 10, seed


def test_the_hash_is_that_of_a_loop() -> None:
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (8, 9), dtype=np.uint8))
    expected = 0
    for y in range(8):
        for x in range(8):
            expected = 2 * expected + (image.getpixel((x, y)) > image.getpixel((x + 1, y)))
    assert difference_hash(image) == expected


def test_a_plain_picture_has_no_hash() -> None:
    assert difference_hash(Image.new("RGB", (50, 50), "red")) is None


def test_a_contact_sheet_shows_pictures_in_order_and_grey_for_damage(tmp_path: Path) -> None:
    red, blue = Image.new("RGB", (60, 60), "red"), Image.new("RGB", (60, 40), "blue")
    media = [
        medium(tmp_path, encoded(red, "PNG"), "1.png"),
        medium(tmp_path, b"damaged", "2.png"),
        medium(tmp_path, encoded(blue, "PNG"), "3.png"),
    ]
    sheet = sheet_of(media)
    assert sheet.size == (8 * 128, 128)
    told = [sheet.getpixel((x, y)) for x, y in ((8, 8), (136, 8), (264, 8), (520, 8))]
    assert told == [(255, 0, 0), (128, 128, 128), (0, 0, 255), (255, 255, 255)]


def test_a_file_that_is_gone_is_named_by_no_part_of_the_error(tmp_path: Path) -> None:
    gone = Medium(role="picture", path=tmp_path / "maria-huber.jpg", root=tmp_path)
    cell = replace(gone, path=tmp_path / "maria-huber.parquet", row=0, column="image")
    for read in (gone.read, gone.image, cell.read):
        with pytest.raises(DataError) as told:
            read()
        assert "maria" not in "".join(traceback.format_exception(told.value))
