"""The server of a federation: Flower's SuperLink with TLS, node keys and a database.

    with start_server(folder) as server:
        server.wait()

It is started again on the same folder after any end; nodes come back by themselves, and a run goes
on from its last finished round when it is submitted again with the same run folder.
"""

import logging
import os
import sys
import time
from pathlib import Path

from discreet.deployment import flower
from discreet.deployment.certificates import check_certificate
from discreet.deployment.control import is_healthy, open_control
from discreet.deployment.folders import ServerFolder
from discreet.deployment.processes import Child
from discreet.errors import DeploymentError
from discreet.keys import check_private

logger = logging.getLogger(__name__)

START_SECONDS = 90.0
"""Longest wait for a server to answer; it imports for seconds on a busy machine."""
_POLL_SECONDS = 0.3
_MIB = 2**20


def start_server(folder: ServerFolder, *, log: Path | None = None) -> Child:
    """Start a folder's server, and return once it answers and knows the admitted keys.

    Args:
        folder: Settings, certificates, admitted keys, database.
        log: File for what Flower says; by default it goes where ours goes.

    Raises:
        ArtifactCorrupt: if a key or a certificate is missing or damaged.
        DeploymentError: if no owner is admitted, a certificate is out of date, a key can be read by
            others, or the server does not come up.
    """
    check_server_folder(folder)
    if is_healthy(folder):
        raise DeploymentError(
            f"Expected a free port, got a server of this federation on port "
            f"{folder.settings().port} already. Stop it first."
        )
    child = Child.start(_command(folder), home=folder.flower_home, log=log)
    try:
        _wait_until_healthy(folder, child)
        with open_control(folder) as ask:
            ask.close_runs()
            ask.sync_nodes(folder.admitted())
    except BaseException:
        child.stop()
        raise
    return child


def check_server_folder(folder: ServerFolder) -> None:
    """Refuse to start with what nodes would not trust, or with nobody to wait for."""
    for key in (folder.authority.key, folder.key, folder.operator_key):
        check_private(key)
    authority = folder.authority.certificate
    new = "Make a new federation folder: every owner needs its ca.crt."
    check_certificate(authority, authority, way_out=new)
    check_certificate(
        folder.certificate, authority, way_out="Make the next one: `discreet federation renew`."
    )
    if not folder.admitted():
        raise DeploymentError(
            "Expected one admitted owner or more, got none. Admit the public keys that owners "
            "sent: `discreet federation admit`."
        )


def _command(folder: ServerFolder) -> list[str]:
    settings = folder.settings()
    options = {
        "--host": settings.listen,
        "--port": settings.port,
        "--ssl-certfile": folder.certificate.resolve(),
        "--ssl-keyfile": folder.key.resolve(),
        "--ssl-ca-certfile": folder.authority.certificate.resolve(),
        "--database": folder.database.resolve(),
    }
    limits = (settings.max_request_mib * _MIB, settings.max_reply_mib * _MIB)
    program = (flower.__file__, "superlink", os.getpid(), folder.operator_key.resolve(), *limits)
    return [
        *(sys.executable, "-P", *map(str, program)),
        *(str(word) for pair in options.items() for word in pair),
        "--enable-supernode-auth",
        "--disable-runtime-dependency-installation",
    ]


def _wait_until_healthy(folder: ServerFolder, child: Child) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_healthy(folder):
        if not child.is_running or time.monotonic() > deadline:
            raise DeploymentError(
                f"Expected the server to answer on port {folder.settings().port}, got no answer. "
                "What Flower said is in its log; is the port in use?"
            )
        time.sleep(_POLL_SECONDS)
