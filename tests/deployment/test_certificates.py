"""Certificates and keys, against the tools that administrators check them with."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from discreet.deployment import certificates
from discreet.deployment.certificates import (
    SERVER_DAYS,
    Authority,
    check_certificate,
    days_left,
    fingerprint,
    issue,
    make_authority,
    make_node_key,
    read_public_key,
)
from discreet.errors import ArtifactCorrupt, DeploymentError

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl")
needs_ssh = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="no ssh-keygen")


def run(*words: object) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=True)
    return done.stdout


def authority(folder: Path, name: str = "ca") -> Authority:
    made = Authority(folder / f"{name}.crt", folder / f"{name}.key")
    make_authority(made)
    return made


def server(folder: Path, signer: Authority) -> Path:
    issue(signer, folder / "server.crt", folder / "server.key", hosts=["fed.test", "10.0.0.7"])
    return folder / "server.crt"


@needs_openssl
@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("-verify_hostname", "fed.test"),
        ("-verify_hostname", "localhost"),
        ("-verify_ip", "10.0.0.7"),
    ],
)
def test_openssl_accepts_the_certificate_for_its_names(
    tmp_path: Path, option: str, name: str
) -> None:
    made = authority(tmp_path)
    words = ["verify", "-x509_strict", "-CAfile", made.certificate, option, name]
    assert "OK" in run("openssl", *words, server(tmp_path, made))


@needs_openssl
def test_openssl_refuses_another_name_and_another_use(tmp_path: Path) -> None:
    made = authority(tmp_path)
    certificate = server(tmp_path, made)
    for words in (["-verify_hostname", "evil.test"], ["-purpose", "sslclient"]):
        with pytest.raises(subprocess.CalledProcessError):
            run("openssl", "verify", "-CAfile", made.certificate, *words, certificate)


@needs_openssl
def test_the_fingerprint_is_the_one_that_openssl_shows(tmp_path: Path) -> None:
    made = authority(tmp_path)
    shown = run("openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", made.certificate)
    assert fingerprint(made.certificate).replace(" ", "") in shown.replace(":", "").lower()


@needs_ssh
def test_ssh_keygen_reads_the_node_key_and_finds_the_same_public_key(tmp_path: Path) -> None:
    make_node_key(tmp_path / "node.key", tmp_path / "clinic-a.pub")
    shown = run("ssh-keygen", "-y", "-f", tmp_path / "node.key")
    assert shown.split()[:2] == (tmp_path / "clinic-a.pub").read_text().split()


def test_a_key_that_is_there_is_kept(tmp_path: Path) -> None:
    make_node_key(tmp_path / "node.key", tmp_path / "a.pub")
    before = read_public_key(tmp_path / "a.pub")
    (tmp_path / "a.pub").unlink()
    make_node_key(tmp_path / "node.key", tmp_path / "a.pub")
    assert read_public_key(tmp_path / "a.pub") == before


def test_private_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    server(tmp_path, authority(tmp_path))
    make_node_key(tmp_path / "node.key", tmp_path / "a.pub")
    for key in tmp_path.glob("*.key"):
        assert key.stat().st_mode & 0o777 == 0o600, key.name


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    make_node_key(tmp_path / "node.key", tmp_path / "a.pub")
    (tmp_path / "node.key").chmod(0o640)
    with pytest.raises(DeploymentError, match="mode 0640"):
        make_node_key(tmp_path / "node.key", tmp_path / "a.pub")


def test_an_expired_certificate_is_refused_with_the_day_and_the_way_out(tmp_path: Path) -> None:
    made = authority(tmp_path)
    certificate = server(tmp_path, made)
    later = datetime.now(UTC) + timedelta(days=SERVER_DAYS, minutes=1)
    with pytest.raises(DeploymentError, match=r"expired on \d{4}-\d\d-\d\d. Renew it") as error:
        check_certificate(certificate, made.certificate, way_out="Renew it.", now=later)
    assert f"{later:%Y-%m}" in str(error.value)
    check_certificate(certificate, made.certificate, way_out="")
    assert days_left(certificate) == SERVER_DAYS - 1


def test_a_certificate_of_the_future_is_refused(tmp_path: Path) -> None:
    made = authority(tmp_path)
    early = datetime.now(UTC) - timedelta(hours=2)
    with pytest.raises(DeploymentError, match="clock"):
        check_certificate(server(tmp_path, made), made.certificate, way_out="", now=early)


def test_a_certificate_of_another_authority_is_refused(tmp_path: Path) -> None:
    certificate = server(tmp_path, authority(tmp_path))
    with pytest.raises(DeploymentError, match="signed by 'other.crt'"):
        check_certificate(certificate, authority(tmp_path, "other").certificate, way_out="")


def test_an_authority_of_another_name_but_the_same_files_is_no_authority(tmp_path: Path) -> None:
    """A server's certificate signs nothing, although its key is there."""
    certificate = server(tmp_path, authority(tmp_path))
    issue(
        Authority(certificate, tmp_path / "server.key"),
        tmp_path / "below.crt",
        tmp_path / "below.key",
        hosts=["fed.test"],
    )
    trust = ["-CAfile", tmp_path / "ca.crt", "-untrusted", certificate]
    if shutil.which("openssl"):
        with pytest.raises(subprocess.CalledProcessError):
            run("openssl", "verify", *trust, tmp_path / "below.crt")


@pytest.mark.parametrize("content", [b"", b"ssh-ed25519 AAAA", b"\x00\xff", None])
def test_what_is_no_key_is_refused_without_its_content(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "a.pub"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactCorrupt, match="join") as error:
        read_public_key(path)
    assert "AAAA" not in str(error.value)


def test_a_damaged_private_key_is_refused_without_its_content(tmp_path: Path) -> None:
    key = tmp_path / "node.key"
    key.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n")
    key.chmod(0o600)
    with pytest.raises(ArtifactCorrupt, match=r"node\.key") as error:
        make_node_key(key, tmp_path / "a.pub")
    assert "c2VjcmV0" not in str(error.value)


def test_the_module_example_runs() -> None:
    import doctest

    assert doctest.testmod(certificates).failed == 0
