"""Look at pictures of a set: can they be opened, do they move, do two look the same."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from discreet.data import contact_sheet, open_image
from discreet.errors import DataError
from discreet.sources.files import PICTURES
from discreet.sources.problems import Origin, Problems
from discreet.sources.records import Medium

LOOKED_AT = frozenset({"picture", "person", "garment"})
MAX_BYTES = 2**28
_HEAD = 2**16
_PLAIN_BITS = 4
_ENDINGS = {b"\x89PNG": (".png",), b"RIFF": (".webp",), b"": (".jp", ".jfif")}
"""First bytes of a picture that opens -> endings; what is neither PNG nor WebP is JPEG."""


def look(medium: Medium, origin: Origin, problems: Problems) -> int | None:
    """Open a picture and count what is wrong with it; return a hash of how it looks.

    A plain picture, all of one colour, has no hash.
    """
    try:
        if medium.data is None and medium.row is None and _size(medium.path) > MAX_BYTES:
            raise DataError("Expected at most 256 MiB, got more. Save it smaller.")
        data = medium.read()
        image = open_image(data)
    except DataError as error:
        reason = str(error).partition(". ")[0]
        problems.add("picture", origin, about=reason, path=medium.path)
        return None
    ending = medium.path.suffix.lower()  # of a table if the picture is in one
    if ending in PICTURES and not ending.startswith(_endings_of(data)):
        problems.add("ending", origin, path=medium.path)
    if is_animated(data):
        problems.add("animated", origin, path=medium.path)
    return difference_hash(image)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _endings_of(data: bytes) -> tuple[str, ...]:
    """Return how the names of files with such bytes begin to end."""
    return next(ends for mark, ends in _ENDINGS.items() if data.startswith(mark))


def is_animated(data: bytes) -> bool:
    """Return whether the bytes of a PNG or WebP picture say that it moves."""
    if data.startswith(b"\x89PNG"):
        head = data[:_HEAD]
        at = head.find(b"acTL")
        return 0 <= at < (head + b"IDAT").find(b"IDAT")
    return data[:4] == b"RIFF" and data[12:16] == b"VP8X" and len(data) > 20 and bool(data[20] & 2)


def difference_hash(image: Image.Image) -> int | None:
    """Return 64 bits: is a pixel of the picture, made 9 x 8 and grey, brighter than the next.

    Equal for copies of another size or quality. Source: Krawetz 2013, "Kind of Like That".
    """
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    bits = grey[:, :-1] > grey[:, 1:]
    if not _PLAIN_BITS <= bits.sum() <= bits.size - _PLAIN_BITS:
        return None
    return int.from_bytes(np.packbits(bits).tobytes())


def sheet_of(media: Sequence[Medium]) -> Image.Image:
    """Return a contact sheet of pictures; one that cannot be opened is grey."""
    return contact_sheet(_open_or_grey(medium) for medium in media)


def _open_or_grey(medium: Medium) -> Image.Image:
    try:
        return medium.image()
    except DataError:
        return Image.new("RGB", (1, 1), "grey")
