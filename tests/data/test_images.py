"""Pictures come in upright, plain and of a sane size, or not at all."""

import os
import struct
import time
import traceback
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from discreet.data import open_image
from discreet.data.images import MAX_BYTES, MAX_PIXELS, MIN_SIDE_PX
from discreet.errors import ImageError

ORIENTATION, MAKER, GPS = 274, 271, 34853
CORNERS = Image.new("RGB", (48, 40), "white")
CORNERS.paste((255, 0, 0), (0, 0, 24, 20))
CORNERS.paste((0, 0, 255), (24, 20, 48, 40))


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def with_exif(kind: str, orientation: int = 1, **options: object) -> bytes:
    """Return the corners stored as a camera held in another way would store them."""
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKER] = orientation, "Secret Camera"
    exif[GPS] = {1: "N", 2: (52.0, 31.0, 12.0)}
    stored = CORNERS
    for step in STORED_AS[orientation]:
        stored = stored.transpose(step)
    return encode(stored, kind, exif=exif, **options)


TURN, MIRROR = Image.Transpose, Image.Transpose.FLIP_LEFT_RIGHT
STORED_AS: dict[int, list[Image.Transpose]] = {
    1: [],
    2: [MIRROR],
    3: [TURN.ROTATE_180],
    4: [TURN.FLIP_TOP_BOTTOM],
    5: [TURN.TRANSPOSE],
    6: [TURN.ROTATE_90],
    7: [TURN.TRANSVERSE],
    8: [TURN.ROTATE_270],
}
"""How a picture lies in the file for each EXIF orientation (Exif 2.32, tag 0x0112)."""


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=int)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", STORED_AS)
def test_pictures_come_out_upright_without_metadata(kind: str, orientation: int) -> None:
    data = with_exif(kind, orientation, quality=95)
    assert b"Secret Camera" in data
    image = open_image(data)
    assert (image.mode, image.size) == ("RGB", CORNERS.size)
    assert image.info == {}
    assert len(image.getexif()) == 0
    for place in [(5, 5), (40, 5), (5, 35), (40, 35)]:
        assert np.allclose(image.getpixel(place), CORNERS.getpixel(place), atol=12)
    assert b"Secret" not in encode(image, "JPEG")


def test_other_metadata_is_dropped_too() -> None:
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("Comment", "born 1950")
    data = encode(CORNERS, "PNG", pnginfo=text, icc_profile=b"colours", dpi=(300, 300))
    assert open_image(data).info == {}
    assert open_image(encode(CORNERS, "JPEG", comment=b"born 1950")).info == {}


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        *(("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "PNG")),
        *(("L", "JPEG"), ("CMYK", "JPEG"), ("YCbCr", "JPEG"), ("RGBA", "WEBP")),
    ],
)
def test_every_colour_mode_becomes_rgb(mode: str, kind: str) -> None:
    stored = CORNERS.convert(mode)
    image = open_image(encode(stored, kind, **({} if kind == "PNG" else {"quality": 95})))
    assert (image.mode, image.size) == ("RGB", CORNERS.size)
    difference = np.abs(pixels(image) - pixels(stored.convert("RGB"))).mean()
    assert difference < 6


@pytest.mark.parametrize("level", [0, 257, 30_000, 65_535])
def test_sixteen_bit_grey_keeps_its_brightness(level: int) -> None:
    """An X-ray or depth camera writes these; clipping would make nearly all of it white."""
    stream = BytesIO()
    Image.fromarray(np.full((40, 40), level, np.uint16)).save(stream, "PNG")
    pixel = open_image(stream.getvalue()).getpixel((20, 20))
    assert pixel == (level >> 8,) * 3


@pytest.mark.parametrize("transparency", [3, bytes(range(256))])
def test_a_palette_with_transparency_opens(transparency: int | bytes) -> None:
    stored = CORNERS.convert("P")
    image = open_image(encode(stored, transparency=transparency))
    assert np.array_equal(pixels(image), pixels(stored.convert("RGB")))


def test_a_file_and_its_bytes_give_the_same_picture(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    path.write_bytes(encode(CORNERS))
    assert np.array_equal(pixels(open_image(path)), pixels(CORNERS))
    assert np.array_equal(pixels(open_image(path.read_bytes())), pixels(CORNERS))


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


NOISE = Image.effect_noise((64, 64), 60).convert("RGB")
BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "one of JPEG, PNG, WEBP"),
    "text": (lambda: b"Dear diary, " * 50, "one of JPEG, PNG, WEBP"),
    "gif": (lambda: encode(CORNERS, "GIF"), "one of JPEG, PNG, WEBP"),
    "bmp": (lambda: encode(CORNERS, "BMP"), "one of JPEG, PNG, WEBP"),
    "tiff": (lambda: encode(CORNERS, "TIFF"), "one of JPEG, PNG, WEBP"),
    "postscript": (lambda: encode(CORNERS, "EPS"), "one of JPEG, PNG, WEBP"),
    "header only": (lambda: encode(NOISE, "JPEG")[:4], "JPEG|damaged"),
    "cut jpeg": (lambda: cut(encode(NOISE, "JPEG")), "damaged"),
    "cut png": (lambda: cut(encode(NOISE)), "damaged"),
    "cut webp": (lambda: cut(encode(NOISE, "WEBP")), "damaged"),
    "one pixel": (lambda: encode(Image.new("RGB", (1, 1))), "at least 32 px"),
    "too narrow": (lambda: encode(Image.new("RGB", (31, 500))), "got 31 x 500"),
    "too long": (lambda: encode(Image.new("1", (32, 641))), "at most 20 times as long"),
    "41 megapixels": (lambda: encode(Image.new("1", (8200, 5000))), "at most 40 megapixels"),
    "100 megapixels": (lambda: encode(Image.new("1", (10_000, 10_000))), "at most 40 megapixels"),
    "bomb": (lambda: encode(Image.new("1", (20_000, 10_000))), "at most 40 megapixels"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_usable_picture_is_refused(name: str) -> None:
    make, message = BAD[name]
    with pytest.raises(ImageError, match=message) as caught:
        open_image(make())
    assert "diary" not in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere.png", ""])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match="readable picture file") as caught:
        open_image(tmp_path / name)
    assert str(tmp_path) not in str(caught.value), "a file's name may hold a person's"


@pytest.mark.parametrize(
    "name", ["Ada_" + "x" * 300 + ".jpg", "Ada\0.jpg", "Ada\ud800.jpg", "note.txt/Ada.jpg"]
)
def test_a_name_that_no_file_can_have_is_refused_and_not_repeated(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "note.txt").touch()
    with pytest.raises(ImageError, match="readable picture file") as caught:
        open_image(tmp_path / name)
    shown = "".join(traceback.format_exception(caught.value))
    assert "Ada" not in shown
    assert str(tmp_path) not in shown


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_a_folder_that_may_not_be_looked_into_is_told_without_a_name(tmp_path: Path) -> None:
    folder = tmp_path / "Ada"
    folder.mkdir()
    folder.chmod(0)
    try:
        with pytest.raises(ImageError, match="PermissionError") as caught:
            open_image(folder / "face.jpg")
    finally:
        folder.chmod(0o700)
    assert "Ada" not in str(caught.value)


def test_a_file_over_the_limit_is_refused_and_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sparse file: 30 GB that take no place on the disk."""
    path = tmp_path / "face.jpg"
    path.write_bytes(encode(CORNERS, "JPEG"))
    os.truncate(path, MAX_BYTES)
    assert open_image(path).size == CORNERS.size
    os.truncate(path, 30 * 2**30)
    monkeypatch.setattr(Path, "open", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(ImageError, match="at most 256 MiB"):
        open_image(path)


def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded() -> None:
    data = encode(Image.new("L", (6000, 6000), 128), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    trailer = b"\xff\xda\x00\x02" * 1000  # a film that a telephone adds behind the end
    assert open_image(data + trailer).size == (6000, 6000)
    began = time.process_time()
    for hidden in (b"", b"\xff\x01\xff\xff"):  # a mark without a length hides nothing
        with pytest.raises(ImageError, match="at most 100 scans"):
            open_image(data[:-2] + hidden + last * 5_000 + data[-2:])
    assert time.process_time() - began < 5  # each scan takes 15 ms


def test_bytes_over_the_limit_are_refused_too() -> None:
    with pytest.raises(ImageError, match="at most 256 MiB"):
        open_image(bytes(MAX_BYTES + 1))


@pytest.mark.parametrize("size", [(0, 0), (0, 64), (64, 0)])
def test_a_picture_without_pixels_is_refused(size: tuple[int, int]) -> None:
    """A PNG may say so of itself; Pillow would not write it."""
    data = bytearray(encode(NOISE))
    data[16:24] = struct.pack(">II", *size)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    with pytest.raises(ImageError):
        open_image(bytes(data))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "face.png")
    with pytest.raises(ImageError, match="readable picture file"):
        open_image(tmp_path / "face.png")


def test_the_smallest_and_the_largest_allowed_sides_open() -> None:
    assert open_image(encode(Image.new("L", (MIN_SIDE_PX, MIN_SIDE_PX)))).size == (32, 32)
    side = int(MAX_PIXELS**0.5)
    assert open_image(encode(Image.new("1", (side, side)))).size == (side, side)


SEEDS = [
    encode(NOISE),
    with_exif("JPEG", 6),
    with_exif("PNG", 8),
    with_exif("WEBP", 3),
    encode(NOISE, "JPEG", progressive=True),
    encode(CORNERS.convert("P"), transparency=bytes(range(256))),
]


@given(
    seed=st.sampled_from(SEEDS),
    harm=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
    keep=st.floats(0.5, 1.5),
    early=st.booleans(),
)
@settings(max_examples=400)
def test_damaged_bytes_open_or_raise_one_kind_of_error(
    seed: bytes, harm: list[tuple[float, int]], keep: float, early: bool
) -> None:
    data = bytearray(seed)
    for where, value in harm:
        data[int(where * (min(len(data), 120 if early else len(data)) - 1))] = value
    try:
        image = open_image(bytes(data[: int(keep * len(data))]))
    except ImageError:
        return
    assert image.mode == "RGB"
    assert image.info == {}
