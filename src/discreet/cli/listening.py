"""Where a command listens, and what it says if others can reach it."""

from typing import Annotated

import typer

from discreet.cli.options import talk

LOOPBACK = "127.0.0.1"
_OWN = (LOOPBACK, "::1", "localhost")
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - known, and warned of
"""Addresses that stand for all of a machine's."""

Host = Annotated[
    str, typer.Option(help="Address to listen on; any but the default opens it to the network.")
]


def warn_of_network(host: str) -> None:
    """Say that others can reach this, and read along, unless they cannot."""
    if host not in _OWN:
        talk().print(
            "Others on the network can reach this, and nothing is encrypted on the way: put a "
            "proxy with TLS before it.",
            style="yellow",
        )
