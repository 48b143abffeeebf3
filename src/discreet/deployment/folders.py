"""What a server and a node keep on disk: settings as TOML, and where their files lie.

    SERVER/                                  NODE/
      server.toml   name, port, interface      node.toml    server, and what this owner accepts
      ca.crt ca.key                            ca.crt       the federation's, from its server
      server.crt server.key                    node.key     this owner's; never leaves
      operator.key  who may start runs         OWNER.pub    to be sent to the server's operator
      admitted/     OWNER.pub, one an owner    app.fab      the only program this node runs
      superlink.db flower/                     ledger.jsonl node.lock flower/
    For secure sums, of both: roster.pem, if they have it
    Of a node: signing.key; OWNER.signing.pem, for the other owners

Both folders have mode 0700, and are made whole or not at all. This file starts nothing.
"""

import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from discreet.artifacts import read_toml, write_bytes, write_toml
from discreet.deployment.certificates import (
    Authority,
    check_certificate,
    issue,
    make_authority,
    make_node_key,
    read_certificate,
    read_public_key,
)
from discreet.deployment.settings import NodeSettings, ServerSettings
from discreet.errors import ArtifactError, DeploymentError, RunExists
from discreet.keys import make_signing_key

_NAME = re.compile("[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class ServerFolder:
    """The folder of a federation's server; its properties name the files in it."""

    path: Path

    @classmethod
    def create(cls, path: Path, settings: ServerSettings) -> "ServerFolder":
        """Return a new server folder with an authority and a certificate.

        Raises:
            RunExists: if something is there already.
        """
        with made_whole(path) as fresh:
            folder = cls(fresh)
            folder.admitted_dir.mkdir()
            make_authority(folder.authority)
            write_toml(folder.settings_path, asdict(settings))
            write_bytes(folder.operator_key, secrets.token_hex(32).encode())
            folder.renew()
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "ServerFolder":
        """Return a server folder that exists.

        Raises:
            ArtifactError: if there is none.
        """
        folder = cls(path)
        _require_made(folder.settings_path, "server", by="init")
        return folder

    @property
    def settings_path(self) -> Path:
        """The server's settings."""
        return self.path / "server.toml"

    @property
    def authority(self) -> Authority:
        """The federation's certificate authority; the certificate goes to every owner."""
        return Authority(self.path / "ca.crt", self.path / "ca.key")

    @property
    def certificate(self) -> Path:
        """The server's certificate."""
        return self.path / "server.crt"

    @property
    def key(self) -> Path:
        """The server's private key."""
        return self.path / "server.key"

    @property
    def operator_key(self) -> Path:
        """A secret that runs have to be started with."""
        return self.path / "operator.key"

    @property
    def admitted_dir(self) -> Path:
        """Public keys of the owners that may take part."""
        return self.path / "admitted"

    @property
    def roster(self) -> Path:
        """Whom the server lets into secure sums, if it knows; public."""
        return self.path / "roster.pem"

    @property
    def database(self) -> Path:
        """Flower's database of runs and nodes."""
        return self.path / "superlink.db"

    @property
    def flower_home(self) -> Path:
        """Where Flower unpacks apps."""
        return self.path / "flower"

    def settings(self) -> ServerSettings:
        """Return the settings; `ValueError` on an unknown key or a value of another type."""
        try:
            return ServerSettings(**read_toml(self.settings_path))
        except TypeError as error:
            known = ", ".join(one.name for one in fields(ServerSettings))
            told = f"Expected keys among {known} in server.toml, got others. Correct it."
            raise ValueError(told) from error

    def renew(self) -> None:
        """Write a new key and certificate for the server; nodes need nothing new."""
        settings = self.settings()
        check_certificate(
            self.authority.certificate,
            self.authority.certificate,
            way_out="Make a new federation folder: every owner needs its ca.crt.",
        )
        hosts = [settings.host, settings.local_host]
        issue(self.authority, self.certificate, self.key, hosts=hosts)

    def admit(self, public_key: Path) -> Path:
        """Copy an owner's public key into `admitted/`, under the name it has; return the copy."""
        read_public_key(public_key)
        check_name(public_key.stem)
        copy = self.admitted_dir / f"{public_key.stem}.pub"
        if copy.exists() and read_public_key(copy) != read_public_key(public_key):
            raise DeploymentError(
                f"Expected the key that '{copy.name}' has, got another. If the owner has a new "
                "key, remove the file from admitted/ first."
            )
        write_bytes(copy, public_key.read_bytes())
        return copy

    def admitted(self) -> dict[str, bytes]:
        """Return the public keys that were admitted, as PEM by owner.

        Raises:
            ArtifactCorrupt: if one of them is no key.
        """
        return {
            path.stem: read_public_key(path) for path in sorted(self.admitted_dir.glob("*.pub"))
        }


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """The folder of an owner's node; its properties name the files in it."""

    path: Path

    @classmethod
    def create(
        cls, path: Path, *, name: str, ca_certificate: Path, settings: NodeSettings
    ) -> "NodeFolder":
        """Return a new node folder with key pairs of its own, for the server and for secure sums.

        Args:
            path: The folder to make.
            name: What the public key's file is called; the server's operator sees it.
            ca_certificate: The federation's, as its operator handed it out.
            settings: The server, and what this owner accepts.

        Raises:
            DataError: if what the settings name is not there.
            RunExists: if something is there already.
        """
        check_name(name)
        settings.require_paths()
        read_certificate(ca_certificate)
        with made_whole(path) as fresh:
            folder = cls(fresh)
            write_bytes(folder.ca_certificate, ca_certificate.read_bytes())
            site = {**cls(path.resolve()).own_keys, **settings.site}
            write_toml(folder.settings_path, {"superlink": settings.superlink, "site": site})
            make_node_key(folder.key, fresh / f"{name}.pub")
            make_signing_key(folder.signing_key, folder.signing_public, owner=name)
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "NodeFolder":
        """Return a node folder that exists.

        Raises:
            ArtifactError: if there is none.
        """
        folder = cls(path)
        _require_made(folder.settings_path, "node", by="join")
        return folder

    @property
    def settings_path(self) -> Path:
        """The node's settings."""
        return self.path / "node.toml"

    @property
    def ca_certificate(self) -> Path:
        """The only authority this node trusts."""
        return self.path / "ca.crt"

    @property
    def key(self) -> Path:
        """The node's private key."""
        return self.path / "node.key"

    @property
    def public_key(self) -> Path:
        """The node's public key, named after the owner."""
        found = sorted(self.path.glob("*.pub"))
        return found[0] if found else self.path / "node.pub"

    @property
    def signing_key(self) -> Path:
        """The private key by which the other owners know this one."""
        return self.path / "signing.key"

    @property
    def signing_public(self) -> Path:
        """A roster of this owner alone, for the other owners."""
        return self.path / f"{self.public_key.stem}.signing.pem"

    @property
    def roster(self) -> Path:
        """The owners with whom this one takes part in secure sums."""
        return self.path / "roster.pem"

    @property
    def own_keys(self) -> dict[str, str]:
        """What `[site]` says of both."""
        return {"signing_key": str(self.signing_key), "roster": str(self.roster)}

    @property
    def app(self) -> Path:
        """The program this node runs, as a bundle of Flower's."""
        return self.path / "app.fab"

    @property
    def node_config(self) -> Path:
        """`[site]` as the file that Flower reads; written at each start."""
        return self.path / "flower" / "site.toml"

    @property
    def flower_home(self) -> Path:
        """Where Flower unpacks apps."""
        return self.path / "flower"

    def settings(self) -> NodeSettings:
        """Return the settings.

        Raises:
            DataError: if what they name is not there.
            ValueError: if a key or a value is none that a node takes.
        """
        try:
            settings = NodeSettings(**read_toml(self.settings_path))
        except TypeError as error:
            raise ValueError(
                "Expected superlink and [site] in node.toml, got others. Correct it."
            ) from error
        settings.require_paths()
        return settings


def check_name(name: str) -> None:
    """Refuse names that are no plain file name."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            "Expected an owner's pseudonym of up to 64 letters, digits, - and _ that begins with a "
            "letter or a digit, got another. It becomes a file name on the server: use clinic-a, "
            "for example."
        )


def _require_made(settings: Path, whose: str, *, by: str) -> None:
    """Refuse a folder without settings."""
    if not settings.is_file():
        raise ArtifactError(
            f"Expected a {whose}'s folder, found none at '{settings.parent}'. `discreet federation "
            f"{by}` makes one."
        )


@contextmanager
def made_whole(path: Path) -> Iterator[Path]:
    """Yield a folder whose content is at `path` if the block ends well, and nowhere if not."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunExists(
            f"Expected a new or empty folder, found '{path.name}' in use. Choose another name."
        )
    is_new = not path.exists()
    place = path.parent if is_new else path  # a folder that is there may be a mounted one
    place.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".new.", dir=place))  # mode 0700
    try:
        yield fresh
        if is_new:
            fresh.rename(path)
        else:
            for made in list(fresh.iterdir()):
                made.rename(path / made.name)
            path.chmod(0o700)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
