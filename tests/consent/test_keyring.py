"""The keys: for their owner alone, in epochs, and gone when they are dropped."""

import json
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import hmac as other_hmac
from hypothesis import given
from hypothesis import strategies as st

from discreet.consent.keyring import Epoch, Keyring
from discreet.errors import ArtifactCorrupt, DeploymentError

NOW = datetime(2026, 11, 22, tzinfo=UTC)
EPOCH = Epoch.begin(1, NOW)


@given(st.dictionaries(st.text(), st.text()), st.binary(max_size=40))
def test_what_is_sealed_comes_back(value: dict[str, str], place: bytes) -> None:
    data = json.dumps(value).encode()
    assert EPOCH.unseal(EPOCH.seal(data, place), place) == data


def test_the_size_of_what_is_sealed_tells_little() -> None:
    assert len({len(EPOCH.seal(b"x" * size, b"")) for size in range(1, 1025)}) == 1


def test_what_was_changed_moved_or_sealed_with_another_key_is_refused() -> None:
    sealed = EPOCH.seal(b"{}", b"here")
    for at in (0, 20, len(sealed) - 1):
        with pytest.raises(InvalidTag):
            EPOCH.unseal(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], b"here")
    with pytest.raises(InvalidTag):
        EPOCH.unseal(sealed, b"there")
    with pytest.raises(InvalidTag):
        Epoch.begin(1, NOW).unseal(sealed, b"here")


def test_during_a_rotation_both_keys_open_and_after_it_the_new_one_alone() -> None:
    renewed = EPOCH.renewed()
    old, new = EPOCH.seal(b"{}", b""), renewed.seal(b"{}", b"")
    assert renewed.unseal(old, b"") == renewed.unseal(new, b"") == b"{}"
    assert renewed.settled().unseal(new, b"") == b"{}"
    with pytest.raises(InvalidTag):
        renewed.settled().unseal(old, b"")


def test_a_pseudonym_is_a_keyed_hash_and_another_one_in_each_epoch() -> None:
    person = secrets.token_hex()
    oracle = other_hmac.HMAC(EPOCH.pseudonym_key, hashes.SHA256())
    oracle.update(person.encode())
    assert EPOCH.pseudonym_of(person) == oracle.finalize().hex()
    assert EPOCH.pseudonym_of(person) == EPOCH.renewed().pseudonym_of(person)
    assert EPOCH.pseudonym_of(person) != Epoch.begin(2, NOW).pseudonym_of(person)


def test_keys_come_back_from_their_file_that_others_cannot_read(tmp_path: Path) -> None:
    keyring, epochs = Keyring(tmp_path / "keys.json"), [EPOCH, Epoch.begin(2, NOW).renewed()]
    assert keyring.read() == []
    keyring.write(epochs)
    assert keyring.read() == epochs
    assert keyring.path.stat().st_mode & 0o777 == 0o600
    keyring.path.chmod(0o640)
    with pytest.raises(DeploymentError, match="its owner alone"):
        keyring.read()


def test_the_bytes_of_the_older_file_are_overwritten(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "keys.json")
    keyring.write([EPOCH])
    with keyring.path.open("rb") as old:
        keyring.write([Epoch.begin(2, NOW)])
        assert set(old.read()) == {0}
    assert keyring.read()[0].number == 2


@pytest.mark.parametrize("damage", [b"", b"[{}]", b"{}x", b'["epoch"]', b"[" * 100_000])
def test_a_damaged_file_is_refused_and_no_key_is_shown(tmp_path: Path, damage: bytes) -> None:
    keyring = Keyring(tmp_path / "keys.json")
    keyring.path.write_bytes(damage)
    os.chmod(keyring.path, 0o600)
    with pytest.raises(ArtifactCorrupt, match="Restore the file"):
        keyring.read()


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "keys.json")
    keyring.write([EPOCH])
    raw = json.loads(keyring.path.read_bytes())
    raw[0]["seal_keys"] = ["00"]
    keyring.path.write_text(json.dumps(raw))
    with pytest.raises(ArtifactCorrupt):
        keyring.read()


def test_no_key_is_in_a_representation() -> None:
    shown = repr(EPOCH)
    assert EPOCH.pseudonym_key.hex() not in shown
    assert repr(EPOCH.pseudonym_key) not in shown
    assert repr(EPOCH.seal_keys[0]) not in shown
