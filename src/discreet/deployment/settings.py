"""Settings of a server and of a node: who is found where, and what an owner accepts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

SITE_KEYS = (
    "base",
    "data",
    "ledger",
    "lora_rank",
    "max_activations_mib",
    "max_bands",
    "max_batch",
    "max_delta",
    "max_epsilon",
    "max_passes",
    "max_rank",
    "max_rounds",
    "max_steps",
    "max_tokens",
    "num-partitions",
    "owner",
    "partition-id",
    "root",
    "trusts_server",
    "unit",
)
"""What `[site]` of a node.toml may hold: the owner's data and limits, as `federated` reads them."""

SiteValue = str | int | float | bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerSettings:
    """Where a server is found."""

    host: str
    """Name or address by which the owners' machines reach the server; the certificate is for it."""
    port: int = 8000
    """TCP port, from 1 to 65535; Flower's own default."""
    listen: str = "0.0.0.0"
    """Address of the interface that is listened on; `0.0.0.0`: all of IPv4, `::`: all."""

    def __post_init__(self) -> None:
        """Refuse what cannot be an address."""
        if not self.host or set(self.host) & set(" /@?#"):
            raise ValueError(
                "Expected a host name or an address without scheme and port, got another. Use "
                "--host fed.example.org, for example."
            )
        if not 1 <= self.port <= 65535:
            raise ValueError(f"Expected a port from 1 to 65535, got {self.port}. Use 8000.")
        try:
            ip_address(self.listen)
        except ValueError as error:
            raise ValueError(
                f"Expected an address to listen on, got '{self.listen}'. Use 0.0.0.0 for all."
            ) from error

    @property
    def local_host(self) -> str:
        """Return the address at which the server's own machine reaches it."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.listen, self.listen)

    @property
    def local_address(self) -> str:
        """Return `local_host` with the port, as a URL holds it."""
        return join_address(self.local_host, self.port)


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeSettings:
    """Which server a node works for, and what it accepts."""

    superlink: str
    """The server's host and port, `fed.example.org:8000`."""
    site: Mapping[str, SiteValue] = field(repr=False)
    """Keys of `[site]`; `SITE_KEYS`."""

    def __post_init__(self) -> None:
        """Refuse keys that would be passed over in silence: a limit misspelt limits nothing."""
        split_address(self.superlink)
        if unknown := sorted(set(self.site) - set(SITE_KEYS)):
            raise ValueError(
                f"Expected keys among {', '.join(SITE_KEYS)} in [site], got "
                f"{', '.join(unknown)}. Correct node.toml."
            )


def join_address(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of `host:port`; `ValueError` if it is none."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(
            "Expected the server as host:port, got another form. Use fed.example.org:8000, for "
            "example."
        )
    return host.strip("[]"), int(port)
