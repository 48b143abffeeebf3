"""Settings of a server and of a node: who is found where, and what an owner accepts."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from discreet.errors import DataError

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
    "min_epsilon",
    "min_hostile_owners",
    "min_members",
    "num-partitions",
    "owner",
    "partition-id",
    "root",
    "roster",
    "signing_key",
    "trusts_server",
    "unit",
)
"""What `[site]` of a node.toml may hold: the owner's data and limits, as `federated` reads them."""

UNITS = ("example", "user", "owner")
"""What `unit` of `[site]` may be, as in the plan."""
SiteValue = str | int | float | bool
_PRIVACY = ("max_delta", "max_epsilon")
_SUMS = ("min_hostile_owners", "min_members")
_CORRECT = "Correct the option of `join`, or [site] of node.toml."
_RELATIVE = (
    "Correct it; a relative path counts from the folder in which the command was given, so name it "
    "from the root (/srv/...)."
)
_MAKE_A_FILE = (
    "Make a file of what is in it: `discreet data portraits` for pictures with an age band and an "
    "expression, `discreet data share --shards` for conversations."
)
_Is = Callable[[object], bool]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_limit(value: object) -> bool:
    return type(value) in (int, float) and 0 < float(str(value)) < math.inf


def _is_most(value: object) -> bool:
    return type(value) in (int, float) and 0 <= float(str(value)) < math.inf


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_TEXT: tuple[str, _Is] = ("a text", _is_text)
_COSTS = [key for key in SITE_KEYS if key[:4] in ("max_", "min_") and key not in _PRIVACY + _SUMS]
_VALUES: Mapping[str, tuple[str, _Is]] = {
    "lora_rank": ("a whole number of 1 or more", lambda v: type(v) is int and v >= 1),
    **dict.fromkeys(_PRIVACY, ("a finite number above 0", _is_limit)),
    "num-partitions": ("a whole number of 1 or more", lambda v: type(v) is int and v >= 1),
    **dict.fromkeys(("partition-id", *_SUMS), ("a whole number of 0 or more", _is_count)),
    "trusts_server": ("true or false", lambda v: isinstance(v, bool)),
    "unit": (f"one of {', '.join(UNITS)}", lambda v: v in UNITS),
    **dict.fromkeys(_COSTS, ("a finite number of 0 or more", _is_most)),
}
"""What a value has to be, in words and as a test; the values of other keys are texts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerSettings:
    """Where a server is found, and how much it takes of one node."""

    host: str
    """Name or address by which the owners' machines reach the server; the certificate is for it."""
    port: int = 8000
    """TCP port, from 1 to 65535; Flower's own default."""
    listen: str = "0.0.0.0"
    """Address of the interface that is listened on; `0.0.0.0`: all of IPv4, `::`: all."""
    max_request_mib: int = 8
    """Most MiB in one request of a node; Flower cuts arrays into chunks of 5 MiB."""
    max_reply_mib: int = 1024
    """Most MiB in all objects of one reply, which the server's database holds for a while."""

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
        for name in ("max_request_mib", "max_reply_mib"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(
                    f"Expected a whole number of MiB above 0 as {name}, got another. Remove it "
                    "from server.toml for the default."
                )

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
        """Refuse keys that would be passed over in silence, and values that limit nothing.

        What passes here, `discreet.federated.OwnerSite` takes; this room holds no model library.
        """
        split_address(self.superlink)
        if unknown := sorted(set(self.site) - set(SITE_KEYS)):
            raise ValueError(
                f"Expected keys among {', '.join(SITE_KEYS)} in [site], got "
                f"{', '.join(unknown)}. Correct node.toml."
            )
        for key, value in self.site.items():
            wanted, is_right = _VALUES.get(key, _TEXT)
            if not is_right(value):
                is_harmless = key == "unit" or isinstance(value, int | float)
                got = value if is_harmless else "another value"
                raise ValueError(f"Expected {wanted} as {key}, got {got}. {_CORRECT}")
        if "data" in self.site and not {"owner", "ledger"} <= set(self.site):
            raise ValueError(
                "Expected owner and ledger beside data, got data without. Correct [site] of "
                "node.toml."
            )
        if ("signing_key" in self.site) != ("roster" in self.site):
            raise ValueError(
                "Expected signing_key and roster together in [site], got one. Correct node.toml."
            )

    def require_paths(self) -> None:
        """Refuse paths at which a node would find nothing, or could write nothing.

        Raises:
            DataError: with the key of the path, and not the path.
        """
        a_folder = ("a folder", Path.is_dir)
        kinds = {"base": a_folder, "data": ("a file", Path.is_file), "root": a_folder}
        for key, (kind, is_there) in kinds.items():
            path = Path(str(self.site.get(key, ".")))
            if key in self.site and not (is_there(path) and os.access(path, os.R_OK)):
                is_folder = key == "data" and path.is_dir()
                raise DataError(
                    f"Expected {kind} that can be read as {key} (--{key} of `join`, {key} in "
                    f"[site] of node.toml), found {'a folder' if is_folder else 'none'}. "
                    + (_MAKE_A_FILE if is_folder else _RELATIVE)
                )
        if "ledger" in self.site and not _is_writable(Path(str(self.site["ledger"])).absolute()):
            raise DataError(
                f"Expected a ledger where one can be written, got another place. {_CORRECT}"
            )


def _is_writable(file: Path) -> bool:
    """Say whether a file can be written, or made with the folders that it lies in."""
    there = next(path for path in (file, *file.parents) if path.exists())
    return there.is_file() == (there == file) and os.access(there, os.W_OK)


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
