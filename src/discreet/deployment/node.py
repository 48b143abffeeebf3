"""An owner's node: Flower's SuperNode with a key of its own and a fixed program.

    with start_node(folder) as node:
        node.wait()

A node waits for its server as long as it takes, also after the server was away.

Guarantee: of one folder one node runs at a time. The process itself holds the lock, so that the
kernel lets go of it when it ends, however it ends.
"""

import fcntl
import logging
import os
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from discreet.artifacts import remove_file, write_bytes, write_toml
from discreet.deployment import flower
from discreet.deployment.bundle import App, build, kit_app
from discreet.deployment.certificates import check_certificate, make_node_key
from discreet.deployment.folders import NodeFolder
from discreet.deployment.processes import Child
from discreet.deployment.settings import split_address
from discreet.errors import DeploymentError
from discreet.keys import make_signing_key, read_credentials

logger = logging.getLogger(__name__)

_KNOCK_SECONDS = 5.0
_LOCK = "node.lock"
_PATIENCE_SECONDS = 5.0
"""A node whose command was killed sees it and ends by then."""
_POLL_SECONDS = 0.1
_SUMS = f".{'[0-9a-f]' * 16}.sum"
"""How files beside a ledger end that hold an owner's secrets of a sum; `federated/site.py`."""


def start_node(folder: NodeFolder, *, app: App | None = None, log: Path | None = None) -> Child:
    """Start a folder's node; it ends by itself if the server does not know its key.

    Args:
        folder: Settings, key, the authority to trust.
        app: The only program that the node will run; that of the installed kit by default.
        log: File for what Flower says; by default it goes where ours goes.

    Raises:
        ArtifactCorrupt: if a key, a certificate or the roster is missing or damaged.
        DataError: if the owner's data are not where the settings say.
        DeploymentError: if a certificate is out of date, the server shows one that the authority
            did not sign, a key can be read by others, the roster lacks the node's own, or a node of
            this folder runs already.
    """
    settings = folder.settings()
    with _alone_in(folder) as lock:
        make_node_key(folder.key, folder.public_key)
        check_roster(folder)
        way_out = "Ask the server's operator for the new ca.crt."
        check_certificate(folder.ca_certificate, folder.ca_certificate, way_out=way_out)
        check_trust(folder)
        forget_sums(folder)
        write_bytes(folder.app, build(app or kit_app(), {}))
        write_toml(folder.node_config, settings.site)
        command = _command(folder, settings.superlink)
        return Child.start(command, home=folder.flower_home, log=log, holds=[lock])


@contextmanager
def _alone_in(folder: NodeFolder) -> Iterator[int]:
    """Lock a folder; whoever inherits the open file that is yielded holds the lock too.

    Raises:
        DeploymentError: if a node of the folder runs.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with (folder.path / _LOCK).open("ab") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise DeploymentError(
                        f"Expected no running node of '{folder.path.name}', but another process is "
                        "one: two of one owner would be in each other's way. End it first; it may "
                        "be a service."
                    ) from error
            time.sleep(_POLL_SECONDS)
        yield lock.fileno()


def check_roster(folder: NodeFolder) -> None:
    """Refuse a roster that cannot be used; a node without one takes part in no secure sum.

    Raises:
        ArtifactCorrupt: if the key or the roster is damaged.
        DeploymentError: if others can read the key, or it is not on the roster.
    """
    site = folder.settings().site
    if "signing_key" not in site:
        return
    key, roster = (Path(str(site[name])) for name in ("signing_key", "roster"))
    make_signing_key(key, folder.signing_public, owner=folder.public_key.stem)
    if roster.exists():
        read_credentials(key, roster)
    else:
        logger.warning("There is no roster: plans with secure_aggregation will be refused.")


def forget_sums(folder: NodeFolder) -> None:
    """Remove what a node that ended remembers of a secure sum: nobody may have taken its masks off.

    A round that is under way goes on without this owner. A ledger that several nodes share is not
    foreseen: each would lose its round when another starts.
    """
    ledger = Path(str(folder.settings().site.get("ledger", "")))
    for left in ledger.parent.glob(f"{escape(ledger.name)}{_SUMS}") if ledger.name else ():
        remove_file(left)


def check_trust(folder: NodeFolder) -> None:
    """Refuse a server that shows a certificate which cannot be trusted; one that is away may be.

    Raises:
        DeploymentError: with the reason, which Flower would repeat in its log without an end.
    """
    host, port = split_address(folder.settings().superlink)
    trust = ssl.create_default_context(cafile=str(folder.ca_certificate))
    try:
        with (
            socket.create_connection((host, port), timeout=_KNOCK_SECONDS) as plain,
            trust.wrap_socket(plain, server_hostname=host),
        ):
            return
    except ssl.SSLCertVerificationError as error:
        raise DeploymentError(
            f"Expected a certificate of this federation's server, got one that is refused: "
            f"{error.verify_message}. Compare the fingerprint of ca.crt with the server's "
            "operator, and the name in node.toml with the server's."
        ) from error
    except OSError:
        logger.warning("The server does not answer yet; the node waits for it.")


def _command(folder: NodeFolder, superlink: str) -> list[str]:
    options = {
        "--superlink": superlink,
        "--root-certificates": folder.ca_certificate.resolve(),
        "--auth-supernode-private-key": folder.key.resolve(),
        "--node-config": folder.node_config.resolve(),
        "--port": _free_port(),
    }
    program = (flower.__file__, "supernode", os.getpid(), folder.app.resolve())
    return [
        *(sys.executable, "-P", *map(str, program)),
        *(str(word) for pair in options.items() for word in pair),
    ]


def _free_port() -> int:
    """Return a port of this machine on which the node can reach its own workers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
