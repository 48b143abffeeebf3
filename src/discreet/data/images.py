"""Open a picture from a file or bytes, safely: checked size, no metadata kept."""

from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from discreet.errors import ImageError

MIN_SIDE_PX = 32
MAX_PIXELS = 40_000_000
"""A 40-megapixel photo; larger files are refused before they are decoded."""
FORMATS = ("JPEG", "PNG", "WEBP")


def open_image(source: Path | bytes) -> Image.Image:
    """Return the picture as upright RGB pixels alone: no EXIF, no other metadata.

    Args:
        source: A JPEG, PNG or WebP file, or its bytes.

    Raises:
        ImageError: if it is missing, not one of these formats, damaged, too small or too large.
    """
    stream = _read(source)
    try:
        with Image.open(stream, formats=FORMATS) as image:
            _check_size(*image.size)
            from PIL import ImageOps

            upright = ImageOps.exif_transpose(image).convert("RGB")
    except UnidentifiedImageError as error:
        raise ImageError(
            f"Expected a picture in one of {', '.join(FORMATS)}, got something else. Save it as "
            "JPEG or PNG."
        ) from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(
            "Expected a complete picture, got a damaged file. Export or take it again."
        ) from error
    return Image.frombytes("RGB", upright.size, upright.tobytes())


def _read(source: Path | bytes) -> BytesIO:
    if isinstance(source, bytes):
        return BytesIO(source)
    try:
        return BytesIO(source.read_bytes())
    except OSError as error:
        raise ImageError(
            f"Expected a readable picture file, got {type(error).__name__}. Check the path given "
            "with --image."
        ) from error


def _check_size(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE_PX:
        raise ImageError(
            f"Expected at least {MIN_SIDE_PX} px on each side, got {width} x {height}. Use a "
            "larger picture of the face."
        )
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"Expected at most {MAX_PIXELS // 10**6} megapixels, got {width} x {height}. Scale "
            "the picture down first."
        )
