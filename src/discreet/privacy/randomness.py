"""Random numbers that nobody can draw again: AES-256 in counter mode, its key from the system.

Whoever can draw the noise again can subtract it. PyTorch's generator keeps 32 bits of its seed on
the CPU and its later outputs follow from its earlier ones; this one is a standard block cipher
(NIST SP 800-38A and SP 800-90A), as `cryptography` implements it. Coins and noise each have their
own generator with its own key.

A seeded generator is the same cipher under a key that anybody can derive. It is for tests and for
benchmarks on public data, and says so: `is_secret` is False.

    >>> CounterGenerator.seeded("a test").uniform(2)
    tensor([0.9068, 0.2693], dtype=torch.float64)
    >>> CounterGenerator.from_os()
    CounterGenerator(AES-256-CTR, key from the operating system)
"""

import hashlib
import math
import os
import secrets
from typing import NoReturn, Self

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_KEY_BYTES = 32
_BLOCK_BYTES = 16
_BITS = 52
"""Of a number; with one bit more, a half could not be added exactly."""


class CounterGenerator:
    """A stream of independent numbers in float64; it cannot be copied, stored or shown."""

    def __init__(self, key: bytes, *, is_secret: bool) -> None:
        """Start the stream of a key of 32 bytes; prefer `from_os`."""
        if len(key) != _KEY_BYTES:
            raise ValueError(f"Expected a key of {_KEY_BYTES} bytes, got {len(key)}.")
        cipher = Cipher(algorithms.AES256(key), modes.CTR(bytes(_BLOCK_BYTES)))
        self._keystream = cipher.encryptor()
        self._name = hashlib.sha256(b"name of a stream" + key).digest()
        self._process = os.getpid()
        self.is_secret = is_secret
        """Whether the key came from the operating system and is known to nobody."""

    @classmethod
    def from_os(cls) -> Self:
        """Return a generator whose 256 bits of key come from the operating system."""
        return cls(secrets.token_bytes(_KEY_BYTES), is_secret=True)

    @classmethod
    def seeded(cls, text: str) -> Self:
        """Return the generator that a public text stands for: repeatable, and not private."""
        return cls(hashlib.sha256(text.encode()).digest(), is_secret=False)

    def is_same_stream(self, other: "CounterGenerator") -> bool:
        """Return whether both have one key, wherever each stands in its stream."""
        return secrets.compare_digest(self._name, other._name)

    def uniform(self, count: int) -> torch.Tensor:
        """Return (count,) float64, uniform on the 2**52 odd multiples of 2**-53 in (0, 1)."""
        return torch.from_numpy((self._integers(count) + 0.5) * 2.0**-_BITS)

    def normal(self, count: int) -> torch.Tensor:
        """Return (count,) float64 from N(0, 1), by Box and Muller (1958).

        Values up to 12 standard deviations occur; beyond lies a chance of 1e-31 each.
        """
        pairs = (count + 1) // 2
        radius = self.exponential(pairs).mul_(2).sqrt_()
        angle = self.uniform(pairs).mul_(2 * math.pi)
        both = torch.cat([radius * angle.cos(), radius * angle.sin()])
        return both[:count]

    def exponential(self, count: int) -> torch.Tensor:
        """Return (count,) float64 from the exponential distribution of mean 1, from 104 bits each.

        Values up to 72 occur; beyond lies a chance of 1e-31 each.
        """
        fine = self._integers(count) + (self._integers(count) + 0.5) * 2.0**-_BITS
        return torch.from_numpy(fine * 2.0**-_BITS).log_().neg_()

    def integers_below(self, bound: int, count: int) -> torch.Tensor:
        """Return (count,) int64, uniform on 0 .. bound - 1 up to bound * 2**-52."""
        if not 1 <= bound < 2**32:
            raise ValueError(f"Expected 1 <= bound < 2**32, got bound={bound}.")
        return (self.uniform(count) * bound).long().clamp_(max=bound - 1)

    def _integers(self, count: int) -> np.ndarray:
        """Return (count,) float64 holding whole numbers below 2**52."""
        if os.getpid() != self._process:
            raise RuntimeError(
                "Expected a generator in the process that made it, got one that a fork copied: "
                "both would draw the same noise. Make another one with from_os()."
            )
        words = np.frombuffer(self._keystream.update(bytes(8 * count)), dtype="<u8")
        return (words >> np.uint64(64 - _BITS)).astype(np.float64)

    def __repr__(self) -> str:
        source = "the operating system" if self.is_secret else "a public seed: not private"
        return f"CounterGenerator(AES-256-CTR, key from {source})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "Expected a generator to stay in its process, got an attempt to store or copy it: two "
            "copies would draw the same noise. Make another one with from_os()."
        )
