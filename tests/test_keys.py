"""Signing keys and rosters as files, against the tool that administrators check them with."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discreet import keys
from discreet.errors import ArtifactCorrupt, DeploymentError
from discreet.keys import (
    Roster,
    make_signing_key,
    read_credentials,
    read_roster,
    read_signing_key,
    write_roster,
)

names = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)


def made(folder: Path, owner: str = "clinic-a") -> tuple[Path, Path]:
    private, public = folder / f"{owner}.key", folder / f"{owner}.pem"
    make_signing_key(private, public, owner=owner)
    return private, public


def raw(seed: int) -> bytes:
    secret = hashlib.sha256(str(seed).encode()).digest()
    return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl")
def test_openssl_reads_both_files_and_finds_the_same_fingerprint(tmp_path: Path) -> None:
    private, public = made(tmp_path)
    for words in (["-in", private], ["-pubin", "-in", public]):
        command = ["openssl", "pkey", *words, "-pubout", "-outform", "DER"]
        der = subprocess.run(command, capture_output=True, check=True).stdout
        shown = read_roster(public).fingerprints()["clinic-a"]
        assert shown.replace(" ", "") == hashlib.sha256(der).hexdigest()


def test_the_private_key_is_for_its_owner_alone_and_the_public_one_for_all(tmp_path: Path) -> None:
    private, public = made(tmp_path)
    assert [path.stat().st_mode & 0o777 for path in (private, public)] == [0o600, 0o644]
    secret = read_signing_key(private).private_bytes_raw()
    assert secret not in public.read_bytes()
    assert repr(read_credentials(private, public)).find(secret.hex()) < 0


def test_a_key_that_is_there_is_kept(tmp_path: Path) -> None:
    private, public = made(tmp_path)
    before = read_roster(public)
    public.unlink()
    made(tmp_path)
    assert read_roster(public) == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    private, public = made(tmp_path)
    private.chmod(mode)
    for read in (lambda: made(tmp_path), lambda: read_credentials(private, public)):
        with pytest.raises(DeploymentError, match=f"mode {mode:04o}"):
            read()


def other_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n", other_key()])
def test_a_damaged_private_key_is_refused_without_its_content(
    tmp_path: Path, content: bytes
) -> None:
    private = tmp_path / "clinic-a.key"
    keys.write_private(private, content)
    with pytest.raises(ArtifactCorrupt, match=r"clinic-a\.key") as error:
        made(tmp_path)
    assert "c2VjcmV0" not in str(error.value)
    assert private.read_bytes() == content, "nothing was put in its place"


@given(owners=st.dictionaries(names, st.integers(0, 10**6), min_size=1, max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_roster_comes_back_as_it_was_written(tmp_path: Path, owners: dict[str, int]) -> None:
    listed = {owner: raw(seed) for owner, seed in owners.items()}
    if len(set(listed.values())) < len(listed):
        with pytest.raises(ValueError, match="of its own"):
            Roster(listed)
        return
    write_roster(tmp_path / "roster.pem", Roster(listed))
    assert read_roster(tmp_path / "roster.pem") == Roster(listed)
    parts = [Roster({owner: key}) for owner, key in listed.items()]
    assert Roster.joined([*parts, *parts]) == Roster(listed)


def test_two_keys_of_one_name_and_two_names_of_one_key_are_refused() -> None:
    one = Roster({"clinic-a": raw(1)})
    with pytest.raises(ValueError, match="one key of 'clinic-a'"):
        Roster.joined([one, Roster({"clinic-a": raw(2)})])
    with pytest.raises(ValueError, match="1 keys of 2 owners"):
        Roster.joined([one, Roster({"clinic-b": raw(1)})])
    with pytest.raises(ValueError, match="0 owners"):
        Roster({})


def test_only_names_and_public_keys_stand_in_a_roster(tmp_path: Path) -> None:
    private, public = made(tmp_path)
    entry, path = public.read_bytes(), tmp_path / "roster.pem"
    secret = private.read_bytes()
    weak = serialization.load_pem_private_key(other_key(), password=None).public_key()
    short = weak.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for content in (
        b"",
        secret,
        entry + secret,
        b"a note\n" + entry,
        entry.replace(b"owner: clinic-a\n", b""),
        entry.replace(b"clinic-a", b"../a"),
        entry.replace(b"clinic-a", "klinik-\u00e4".encode()),
        entry + entry,
        entry[:-30],
        b"owner: clinic-a\n" + short,
        entry * 10_000,
        b"\x80\x04\x95",
    ):
        path.write_bytes(content)
        with pytest.raises(ArtifactCorrupt, match=r"'roster\.pem'") as error:
            read_roster(path)
        assert secret.decode().splitlines()[1] not in str(error.value)
    for nowhere in (tmp_path / "gone", tmp_path):
        with pytest.raises(ArtifactCorrupt, match="discreet federation roster"):
            read_roster(nowhere)


def test_an_owner_who_is_not_on_its_roster_is_told(tmp_path: Path) -> None:
    private, public = made(tmp_path)
    _, others = made(tmp_path, "clinic-b")
    assert read_credentials(private, public).roster.owners.keys() == {"clinic-a"}
    with pytest.raises(DeploymentError, match="with your key"):
        read_credentials(private, others)
