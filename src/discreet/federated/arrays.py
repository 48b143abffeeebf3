"""One array of a message, read without a doubt about what it is: nothing in it is believed.

What its numbers mean is the codec's to say, and whether they are finite.

    >>> read_array("b", Array(np.ones(2, np.float32)), "<f4", (2,))
    array([1., 1.], dtype=float32)
"""

import io
import math
from functools import lru_cache

import numpy as np
from flwr.app import Array
from flwr.common.constant import SType

from discreet.federated.bad_message import BadMessage


def read_array(name: str, array: Array, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the values of an array, whose header is compared before memory is set aside.

    It is compared byte by byte with what NumPy writes. NumPy's reader evaluates a header as Python,
    and one that was made for it raises whatever its author likes, `MemoryError` too.

    Args:
        name: Of the array, for the error.
        array: As it came.
        dtype: As NumPy writes it ("<f4").
        shape: Of the values.

    Raises:
        BadMessage: if it is not exactly an array of this type and shape.
    """
    head, wanted = _header(dtype, shape), np.dtype(dtype)
    size_bytes = len(head) + wanted.itemsize * math.prod(shape)
    is_right = len(array.data) == size_bytes and array.data.startswith(head)
    if not is_right or array.stype != SType.NUMPY:
        raise BadMessage(
            f"Expected '{name}' of shape {shape} in {dtype} ({size_bytes} bytes), got another "
            f"shape or form ({len(array.data)} bytes). All owners need the same adapter settings."
        )
    return np.frombuffer(array.data, dtype=wanted, offset=len(head)).reshape(shape)


@lru_cache(maxsize=4096)
def _header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """Return how NumPy begins an array of this form."""
    stream = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()
