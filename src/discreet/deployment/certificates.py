"""Certificates of a federation's server, and the key pairs of its nodes.

One certificate authority for each federation, kept in the server's folder, signs one certificate
for the server's names. Nodes trust that authority and no other, and prove who they are with an
elliptic-curve key of their own (OpenSSH format, P-384), which never leaves them. This file makes,
reads and checks files; it opens no connection.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> authority = Authority(folder / "ca.crt", folder / "ca.key")
    >>> make_authority(authority)
    >>> issue(authority, folder / "server.crt", folder / "server.key", hosts=["fed.example.org"])
    >>> days_left(folder / "server.crt")
    364

Guarantee: private keys are written with mode 0600, in one step; no message holds any part of one.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from discreet.artifacts import write_bytes
from discreet.errors import ArtifactCorrupt, DeploymentError
from discreet.keys import check_private, write_private

AUTHORITY_DAYS = 3650
"""Life of a certificate authority: changing it means a visit to every owner."""
SERVER_DAYS = 365
"""Life of a server's certificate; `discreet federation renew` makes the next one."""
SKEW = timedelta(hours=1)
"""Certificates count from this long before they were made: clocks differ."""
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
"""Names by which the server's own machine reaches it; in every certificate."""


@dataclass(frozen=True, slots=True)
class Authority:
    """Where a certificate authority lies."""

    certificate: Path
    key: Path


def make_authority(authority: Authority) -> None:
    """Write a new certificate authority that can sign server certificates and nothing else."""
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "discreet federation")])
    usage = _usage(digital_signature=False, key_cert_sign=True)
    certificate = (
        _builder(name, name, key.public_key(), key.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA384())
    )
    write_private(authority.key, _pem(key))
    write_bytes(authority.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def issue(authority: Authority, certificate: Path, key: Path, *, hosts: list[str]) -> None:
    """Write a new key and a certificate for a server's names and addresses.

    Args:
        authority: Who signs.
        certificate: Where the certificate is written.
        key: Where its private key is written.
        hosts: Names and IP addresses that nodes use; those of the machine itself are added.
    """
    signer = _read_key(authority.key)
    issuer = read_certificate(authority.certificate)
    own = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "discreet server")])
    names = [_general_name(host) for host in dict.fromkeys([*hosts, *LOCAL_NAMES])]
    usage = _usage(digital_signature=True, key_cert_sign=False)
    made = (
        _builder(name, issuer.subject, own.public_key(), signer.public_key(), SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(signer, hashes.SHA384())
    )
    write_private(key, _pem(own))
    write_bytes(certificate, made.public_bytes(serialization.Encoding.PEM))


def check_certificate(
    certificate: Path, authority: Path, *, way_out: str, now: datetime | None = None
) -> None:
    """Refuse a certificate that is out of date, or that the authority did not sign.

    Args:
        certificate: The file to check; the authority itself may be checked against itself.
        authority: Certificate of the authority.
        way_out: What to do about a certificate that is out of date.
        now: The time; the clock's by default.

    Raises:
        ArtifactCorrupt: if a file is missing or is no certificate.
        DeploymentError: if the certificate cannot be used.
    """
    made, now = read_certificate(certificate), now or datetime.now(UTC)
    if now < made.not_valid_before_utc:
        raise DeploymentError(
            f"Expected a certificate that is valid by now, got '{certificate.name}' from "
            f"{made.not_valid_before_utc:%Y-%m-%d} on. Correct this machine's clock."
        )
    if now > made.not_valid_after_utc:
        raise DeploymentError(
            f"Expected a certificate that is still valid, got '{certificate.name}', which expired "
            f"on {made.not_valid_after_utc:%Y-%m-%d}. {way_out}"
        )
    try:
        made.verify_directly_issued_by(read_certificate(authority))
    except (ValueError, TypeError, InvalidSignature) as error:
        raise DeploymentError(
            f"Expected '{certificate.name}' to be signed by '{authority.name}', got another "
            "signature. Use the files of one federation together."
        ) from error


def read_certificate(path: Path) -> x509.Certificate:
    """Return the certificate in a PEM file.

    Raises:
        ArtifactCorrupt: if there is none.
    """
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError) as error:
        raise ArtifactCorrupt(
            f"Expected a certificate in '{path.name}', could not read one. Copy it again."
        ) from error


def days_left(certificate: Path) -> int:
    """Return the whole days for which a certificate can still be used; negative once expired."""
    return (read_certificate(certificate).not_valid_after_utc - datetime.now(UTC)).days


def fingerprint(certificate: Path) -> str:
    """Return the SHA-256 of a certificate in groups of four, to be compared over the telephone."""
    digits = read_certificate(certificate).fingerprint(hashes.SHA256()).hex()
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def make_node_key(private: Path, public: Path) -> None:
    """Write a node's key pair; a private key that is there is kept, its public part written."""
    if not private.exists():
        key = ec.generate_private_key(ec.SECP384R1())
        form = serialization.PrivateFormat.OpenSSH
        plain = serialization.NoEncryption()
        write_private(private, key.private_bytes(serialization.Encoding.PEM, form, plain))
    check_private(private)
    try:
        loaded = serialization.load_ssh_private_key(private.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ArtifactCorrupt(
            f"Expected an OpenSSH key without a passphrase in '{private.name}', could not read "
            "one. Restore it from a copy, or remove it and have a new one admitted."
        ) from error
    line = loaded.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    write_bytes(public, line + b"\n")


def read_public_key(path: Path) -> bytes:
    """Return a node's public key as PEM, from an OpenSSH `.pub` file.

    Raises:
        ArtifactCorrupt: if the file holds no elliptic-curve key on P-256, P-384 or P-521.
    """
    try:
        key = serialization.load_ssh_public_key(path.read_bytes())
    except (FileNotFoundError, ValueError, UnsupportedAlgorithm) as error:
        raise _no_public_key(path) from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise _no_public_key(path)
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _no_public_key(path: Path) -> ArtifactCorrupt:
    return ArtifactCorrupt(
        f"Expected an ECDSA public key in OpenSSH format in '{path.name}', could not read one. "
        "`discreet federation join` writes one, as does `ssh-keygen -t ecdsa -b 384`."
    )


def _builder(
    name: x509.Name,
    issuer: x509.Name,
    own: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePublicKey,
    days: int,
) -> x509.CertificateBuilder:
    """Return what every certificate has; identifiers of both keys are for strict verifiers."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(own)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )


def _usage(*, digital_signature: bool, key_cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    """Return a host as a certificate names it; an address is not a name."""
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, plain)


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    check_private(path)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ArtifactCorrupt(
            f"Expected a private key in '{path.name}', could not read one. Restore it from a copy."
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ArtifactCorrupt(f"Expected an elliptic-curve key in '{path.name}', got another.")
    return key
