"""Only pictures that stand in the request, of a size that can be afforded."""

import base64
import struct
import zlib
from io import BytesIO

import pytest
from PIL import Image

from discreet.errors import ImageError
from discreet.service.pictures import MOST_BYTES, MOST_SIDE_PX, open_data_uri


def uri(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def png(width: int, height: int) -> bytes:
    stream = BytesIO()
    Image.new("RGB", (width, height), (90, 60, 30)).save(stream, "PNG")
    return stream.getvalue()


def bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that unpacks to side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(10**6), 9))
        + chunk(b"IEND", b"")
    )


def test_a_picture_is_upright_rgb_and_scaled_down() -> None:
    image = open_data_uri(uri(png(2 * MOST_SIDE_PX, MOST_SIDE_PX)))
    assert (image.mode, image.size) == ("RGB", (MOST_SIDE_PX, MOST_SIDE_PX // 2))
    assert open_data_uri(uri(png(64, 48))).size == (64, 48)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("https://example.org/face.png", "no address is fetched"),
        ("http://127.0.0.1/", "no address is fetched"),
        ("file:///etc/passwd", "no address is fetched"),
        ("data:image/svg+xml;base64,AAAA", "no address is fetched"),
        ("data:image/png;base64,####", "Expected base64"),
        ("data:image/png;base64,AAA", "Expected base64"),
        ("data:image/png;base64,é", "Expected base64"),
        (uri(b"not a picture"), "something else"),
        (uri(png(64, 64)[:-40]), "damaged"),
        (uri(png(8, 8)), "at least 32 px"),
        (uri(bomb(30_000)), "megapixels"),
        (uri(bomb(9_000)), "megapixels"),
        ("data:image/png;base64," + "A" * (MOST_BYTES * 4 // 3 + 8), "at most 8 MiB"),
    ],
)
def test_anything_else_is_refused(given: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        open_data_uri(given)
