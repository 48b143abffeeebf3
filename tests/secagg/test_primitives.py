"""The primitives against published vectors and against each other."""

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given, settings
from hypothesis import strategies as st

from discreet.secagg.primitives import (
    agree,
    derive,
    draw_secret,
    join,
    keystream,
    public_key,
    seal,
    split,
    unseal,
)


def test_masks_are_aes_256_in_counter_mode() -> None:
    """NIST SP 800-38A, F.1.5 has the cipher; of a counter from 0 the first block is AES(0)."""
    key = bytes(32)
    first = bytes.fromhex("dc95c078a2408989ad48a21492842087")  # AES-256, key 0, block 0
    assert keystream(key, 4).astype("<u4").tobytes() == first
    assert keystream(key, 9).tolist()[:4] == keystream(key, 4).tolist()


def test_public_keys_are_those_of_x25519() -> None:
    """RFC 7748, section 5.2: one iteration from the base point."""
    found = public_key(bytes([9, *bytes(31)])).hex()
    assert found == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"


@given(st.integers(2, 6), st.integers(0, 4), st.binary(min_size=32, max_size=32), st.data())
@settings(max_examples=40)
def test_any_threshold_shares_are_the_secret(
    threshold: int, more: int, secret: bytes, data: st.DataObject
) -> None:
    shares = split(secret, threshold, threshold + more)
    numbers = data.draw(st.permutations(range(1, threshold + more + 1)))[:threshold]
    assert join({number: shares[number - 1] for number in numbers}) == secret


def test_fewer_shares_than_the_threshold_fit_any_secret() -> None:
    """One share of two fits a line through every secret: it tells nothing."""
    secret = draw_secret()
    share = split(secret, 2, 3)[0]
    assert join({1: share}) != secret
    other = {1: share, 2: draw_secret()}
    assert join(other) != secret


def test_two_agree_on_a_key_for_one_purpose() -> None:
    a, b = draw_secret(), draw_secret()
    assert agree(a, public_key(b), b"one") == agree(b, public_key(a), b"one")
    assert agree(a, public_key(b), b"one") != agree(a, public_key(b), b"two")
    assert derive(a, b"one") != derive(b, b"one")


def test_what_is_sealed_opens_in_its_context_only() -> None:
    key = draw_secret()
    sealed = seal(key, b"shares", b"1 to 2")
    assert unseal(key, sealed, b"1 to 2") == b"shares"
    assert seal(key, b"shares", b"1 to 2") != sealed
    for other_key, context in ((draw_secret(), b"1 to 2"), (key, b"2 to 1")):
        with pytest.raises(InvalidTag):
            unseal(other_key, sealed, context)
