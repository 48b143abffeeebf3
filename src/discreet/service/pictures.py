"""A picture in a request: the bytes that stand in it, and never an address to fetch.

>>> open_data_uri("https://example.org/face.png")
Traceback (most recent call last):
discreet.errors.ImageError: Expected a picture as data:image/...;base64,..., got something else. \
Send its bytes: no address is fetched.
"""

import base64
import binascii
import re

from PIL.Image import Image

from discreet.data import open_image
from discreet.errors import ImageError

MOST_BYTES = 8 * 2**20
"""Of a picture, decoded from base64: a phone's photograph."""
MOST_SIDE_PX = 1024
"""What is kept until the turn comes; estimators look at less."""
DATA_URI = r"^data:image/(png|jpeg|webp);base64,"
_DATA_URI = re.compile(DATA_URI)


def open_data_uri(uri: str) -> Image:
    """Return the picture of a data: URI as upright RGB pixels, without metadata, scaled down.

    Raises:
        ImageError: if it is anything else, too large in bytes or pixels, too small, or damaged.
    """
    head = _DATA_URI.match(uri)
    if head is None:
        raise ImageError(
            "Expected a picture as data:image/...;base64,..., got something else. Send its bytes: "
            "no address is fetched."
        )
    if len(uri) - head.end() > MOST_BYTES * 4 // 3 + 4:
        raise ImageError(
            f"Expected a picture of at most {MOST_BYTES // 2**20} MiB, got a larger one. Save it "
            "as JPEG first."
        )
    try:
        data = base64.b64decode(uri[head.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(
            "Expected base64 after the comma, got something else. Encode the whole file."
        ) from error
    image = open_image(data)
    image.thumbnail((MOST_SIDE_PX, MOST_SIDE_PX))
    return image
