import time
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from discreet.errors import ImageError
from discreet.pages.pictures import MOST_CHARACTERS, PREFIX, as_address, read_picture


def jpeg(width: int = 60, height: int = 40, **more: object) -> bytes:
    stream = BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(stream, "JPEG", **more)
    return stream.getvalue()


def test_a_picture_comes_back_as_a_decoder_reads_it() -> None:
    found = read_picture(as_address(jpeg()))
    assert found is not None
    assert np.array_equal(np.asarray(found), np.asarray(Image.open(BytesIO(jpeg()))))


def test_a_picture_that_takes_long_to_decode_is_refused_before_it_is() -> None:
    whole = jpeg(1000, 1000, progressive=True)
    last = whole.rindex(b"\xff\xda")
    many = whole[:-2] + whole[last:-2] * 3000 + whole[-2:]
    begun = time.perf_counter()
    with pytest.raises(ImageError, match="scans"):
        read_picture(as_address(many))
    assert time.perf_counter() - begun < 1  # decoded it takes several


def test_no_picture_is_no_picture() -> None:
    assert read_picture("") is None


def test_metadata_is_dropped_and_the_picture_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif[0x010E] = "who and where"
    found = read_picture(as_address(jpeg(exif=exif, comment=b"a name")))
    assert found is not None
    assert found.size == (40, 60)
    assert dict(found.info) == {}
    assert len(found.getexif()) == 0


@pytest.mark.parametrize(
    "address",
    [
        "https://elsewhere.example/face.jpg",
        "file:///etc/hostname",
        PREFIX + "not base64",
        PREFIX + "AAAA",
        as_address(jpeg())[:-40],
        as_address(jpeg(3000, 10)),
        "data:image/png;base64,AAAA",
        PREFIX + "A" * MOST_CHARACTERS,
    ],
)
def test_anything_but_a_small_whole_jpeg_is_refused(address: str) -> None:
    with pytest.raises(ImageError):
        read_picture(address)
