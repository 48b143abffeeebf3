"""The stream against the cipher it is made of, and its numbers against their distributions."""

import copy
import math
import os
import pickle

import pytest
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from discreet.privacy import CounterGenerator

COUNT = 100_000
ALARM = 1e-6
"""Chance of a false alarm of each statistical test, were its seed drawn anew."""


def test_the_stream_is_aes_256_of_a_counter() -> None:
    """A second route: the block cipher itself on 0, 1, 2, ... (NIST SP 800-38A, 6.5)."""
    key = bytes(range(32))
    block = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()
    blocks = b"".join(block.update(counter.to_bytes(16)) for counter in range(50))
    words = [int.from_bytes(blocks[i : i + 8], "little") for i in range(0, 800, 8)]
    wanted = [((word >> 12) + 0.5) / 2**52 for word in words]
    assert CounterGenerator(key, is_secret=False).uniform(100).tolist() == wanted


def test_the_cipher_is_the_published_one() -> None:
    """NIST SP 800-38A, F.1.5: AES-256, first block."""
    key = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"
    block = Cipher(algorithms.AES256(bytes.fromhex(key)), modes.ECB()).encryptor()
    found = block.update(bytes.fromhex("6bc1bee22e409f96e93d7e117393172a"))
    assert found.hex() == "f3eed1bdb5d2a03c064b5a7e3db181f8"


@pytest.mark.parametrize(
    ("draw", "distribution"),
    [("uniform", stats.uniform()), ("normal", stats.norm())],
    ids=["uniform", "normal"],
)
def test_numbers_are_distributed_as_named(draw: str, distribution: object) -> None:
    values = getattr(CounterGenerator.seeded("distribution"), draw)(COUNT).numpy()
    assert stats.kstest(values, distribution.cdf).pvalue > ALARM  # type: ignore[attr-defined]


def test_normal_numbers_have_the_variance_and_the_tails_of_a_normal() -> None:
    values = CounterGenerator.seeded("tails").normal(2_000_000)
    spread = (2 / len(values)) ** 0.5
    assert abs(float(values.square().mean()) - 1) < 5 * spread
    for far in (2.0, 3.0, 4.0):
        seen, chance = int((values.abs() > far).sum()), math.erfc(far / 2**0.5)
        assert stats.binomtest(seen, len(values), chance).pvalue > ALARM


def test_the_two_halves_of_a_draw_are_not_related() -> None:
    """Box and Muller make pairs; neither values nor squares of a pair may go together."""
    values = CounterGenerator.seeded("pairs").normal(COUNT)
    first, second = values[: COUNT // 2].numpy(), values[COUNT // 2 :].numpy()
    assert stats.pearsonr(first, second).pvalue > ALARM
    assert stats.pearsonr(first**2, second**2).pvalue > ALARM


@given(count=st.integers(0, 9))
def test_any_number_of_numbers_can_be_drawn(count: int) -> None:
    generator = CounterGenerator.seeded("any")
    assert generator.uniform(count).shape == generator.normal(count).shape == (count,)


@given(bound=st.integers(1, 2**32 - 1))
def test_whole_numbers_stay_below_their_bound(bound: int) -> None:
    found = CounterGenerator.seeded(str(bound)).integers_below(bound, 100)
    assert 0 <= int(found.min()) <= int(found.max()) < bound


def test_whole_numbers_are_uniform() -> None:
    found = CounterGenerator.seeded("dice").integers_below(6, 60_000)
    assert stats.chisquare(torch.bincount(found).numpy()).pvalue > ALARM


def test_every_generator_of_the_system_is_another() -> None:
    drawn = {tuple(CounterGenerator.from_os().normal(3).tolist()) for _ in range(100)}
    assert len(drawn) == 100
    assert CounterGenerator.from_os().is_secret


def test_a_seeded_stream_repeats_and_says_that_it_is_not_private() -> None:
    first, second = CounterGenerator.seeded("0/1"), CounterGenerator.seeded("0/1")
    assert torch.equal(first.normal(5), second.normal(5))
    assert not torch.equal(first.normal(5), CounterGenerator.seeded("0/2").normal(5))
    assert not first.is_secret
    assert "not private" in repr(first)


def test_one_key_is_one_stream_wherever_it_stands() -> None:
    first, second = CounterGenerator.seeded("a"), CounterGenerator.seeded("a")
    first.uniform(7)
    assert first.is_same_stream(second)
    assert not first.is_same_stream(CounterGenerator.seeded("b"))


@pytest.mark.parametrize("store", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_generator_is_neither_copied_nor_stored(store: object) -> None:
    with pytest.raises(TypeError, match="same noise"):
        store(CounterGenerator.from_os())  # type: ignore[operator]


def test_a_fork_does_not_draw_the_noise_a_second_time() -> None:
    generator = CounterGenerator.seeded("fork")
    child = os.fork()
    if child == 0:
        try:
            generator.normal(1)
        except RuntimeError:
            os._exit(17)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17


def test_what_it_shows_of_itself_holds_no_key() -> None:
    key = bytes(range(32))
    shown = repr(CounterGenerator(key, is_secret=True))
    assert shown == "CounterGenerator(AES-256-CTR, key from the operating system)"
    with pytest.raises(ValueError, match="32 bytes, got 31") as caught:
        CounterGenerator(key[:31], is_secret=True)
    assert key[:31].hex() not in str(caught.value)
