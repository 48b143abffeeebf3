"""Open a picture from a file or bytes, safely: checked size, no metadata kept."""

import re
import stat
import struct
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from discreet.errors import ImageError

MIN_SIDE_PX = 32
MAX_PIXELS = 40_000_000
"""A 40-megapixel photo; larger files are refused before they are decoded."""
MAX_BYTES = 2**28
"""256 MiB; 40 megapixels of 16-bit colour without compression are 240 MB."""
MAX_ASPECT = 20
"""Long side over short side; a processor scales the short side up before it crops."""
MAX_SCANS = 100
"""Of a progressive JPEG: each is a pass over all pixels, and 60 bytes can ask for one. Cameras and
editors write about ten."""
_MARK = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
"""What begins a segment of a JPEG: a mark that a length follows, or its end (ITU-T T.81, B.1.1)."""
_SCAN, _END = 0xDA, 0xD9
FORMATS = ("JPEG", "PNG", "WEBP")
_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, IndexError, struct.error)
"""What Pillow's decoders raise on bytes that are not what their header says."""
_BOMB = (Image.DecompressionBombWarning, Image.DecompressionBombError)


def open_image(source: Path | bytes) -> Image.Image:
    """Return the picture as upright RGB pixels alone: no EXIF, no other metadata.

    Args:
        source: A JPEG, PNG or WebP file, or its bytes.

    Raises:
        ImageError: if it is missing, not one of these formats, damaged, too small or too large.
    """
    stream = _read(source)
    try:
        with warnings.catch_warnings():
            # Of broken metadata and of transparency, both of which are dropped below.
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(stream, formats=FORMATS) as image:
                _check_size(*image.size)
                if image.format == "JPEG":
                    _check_scans(stream.getvalue())
                upright = _as_rgb(ImageOps.exif_transpose(image))
    except _BOMB as error:
        raise ImageError(
            f"Expected at most {MAX_PIXELS // 10**6} megapixels, got far more. Scale the picture "
            "down first."
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"Expected a picture in one of {', '.join(FORMATS)}, got something else. Save it as "
            "JPEG or PNG."
        ) from error
    except _DAMAGED as error:
        raise ImageError(
            "Expected a complete picture, got a damaged file. Export or take it again."
        ) from error
    return Image.frombytes("RGB", upright.size, upright.tobytes())


def _check_scans(data: bytes) -> None:
    """Refuse a JPEG whose scans take half an hour to decode; what follows its end counts not."""
    at, scans = 2, 0
    while scans <= MAX_SCANS and (found := _MARK.search(data, at)):
        at = found.end()
        if data[at - 1] == _END:
            return
        scans += data[at - 1] == _SCAN
        at += int.from_bytes(data[at : at + 2], "big")
    if scans > MAX_SCANS:
        raise ImageError(
            f"Expected a JPEG of at most {MAX_SCANS} scans, got more. Export the picture again."
        )


def _read(source: Path | bytes) -> BytesIO:
    try:
        data = source if isinstance(source, bytes) else _content(source)
    except (OSError, ValueError, MemoryError) as error:
        raise ImageError(
            f"Expected a readable picture file, got {type(error).__name__}. Check the path given "
            "with --image."
        ) from None  # the cause names the file
    _check_bytes(len(data))
    return BytesIO(data)


def _content(path: Path) -> bytes:
    """Return the bytes of a file; one that is too large is not read."""
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise ImageError("Expected a readable picture file, got a folder or a device.")
    _check_bytes(about.st_size)
    with path.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)  # a file may grow meanwhile


def _check_bytes(size: int) -> None:
    if size > MAX_BYTES:
        raise ImageError(
            f"Expected at most {MAX_BYTES // 2**20} MiB, got a larger file. Save the picture as "
            "JPEG first."
        )


def _as_rgb(image: Image.Image) -> Image.Image:
    """Return 8-bit RGB; of 16-bit grey the upper eight bits, where Pillow would clip to white."""
    if image.mode.startswith("I"):
        grey = np.clip(np.asarray(image), 0, 2**16 - 1).astype(np.uint16) >> 8
        image = Image.fromarray(grey.astype(np.uint8))
    return image.convert("RGB")


def _check_size(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE_PX:
        raise ImageError(
            f"Expected at least {MIN_SIDE_PX} px on each side, got {width} x {height}. Use a "
            "larger picture of the face."
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(
            f"Expected a picture at most {MAX_ASPECT} times as long as wide, got {width} x "
            f"{height}. Cut out the face."
        )
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"Expected at most {MAX_PIXELS // 10**6} megapixels, got {width} x {height}. Scale "
            "the picture down first."
        )
