"""Pictures that come with a question: as text from the page, in memory, never a file.

The page sends a `data:` address of a small JPEG; there is no upload. Whatever else is in the bytes
than pixels is dropped here.

>>> read_picture("") is None
True
"""

import base64

from PIL import Image

from discreet.assistant import is_emergency
from discreet.errors import DiscreetError, ImageError
from discreet.service import Visit, open_data_uri

PREFIX = "data:image/jpeg;base64,"
MOST_CHARACTERS = 2_000_000
"""Of a `data:` address; a page sends about a tenth of it."""


def read_picture(address: str) -> Image.Image | None:
    """Return the pixels alone, in memory, or None where no picture came.

    Raises:
        ImageError: if it is too large, no JPEG, or takes too long to decode.
    """
    if not address:
        return None
    if not address.startswith(PREFIX) or len(address) > MOST_CHARACTERS:
        raise ImageError("Expected a small JPEG as a data: address, got something else.")
    return open_data_uri(address)


def as_address(jpeg: bytes) -> str:
    """Return a JPEG as a `data:` address, so that a page loads no file for it."""
    return PREFIX + base64.b64encode(jpeg).decode()


def picture_for(visit: Visit, question: str, address: str) -> Image.Image | None:
    """Return a picture that may be looked at, or an empty one where nobody allowed it.

    What nobody allowed is not even decoded; the answer says why nobody looked. Danger to life waits
    for no picture, and asks nobody what is allowed.
    """
    if not address or is_emergency(question):
        return None
    try:
        if not (visit.consented and visit.protection.estimates):
            return Image.new("RGB", (1, 1))
        return read_picture(address)
    except ImageError:
        return None
    except DiscreetError:  # what was allowed cannot be read
        return Image.new("RGB", (1, 1))
