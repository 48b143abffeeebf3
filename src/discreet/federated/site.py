"""Where an owner keeps things, and what the owner accepts from a server."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from flwr.app import Context

from discreet.artifacts import sha256_of_file
from discreet.errors import PolicyError
from discreet.federated.config import CHOICES, TrainConfig
from discreet.federated.costs import CostLimits
from discreet.keys import Credentials, read_credentials
from discreet.model import EMBEDDED
from discreet.types import OwnerId

_STRENGTH = {"example": 0, "user": 1, "owner": 2}
"""Who hides more, hides the others too."""
_OF_SUMS = {"min_members": "min_replies", "min_hostile_owners": "hostile_owners"}
"""Limits of secure sums, and the field of a plan that may not be below each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnerSite:
    """Where an owner keeps things, and what the owner accepts from a server."""

    owner: OwnerId
    """Pseudonym of the owner in the ledger."""
    ledger: Path
    """The owner's ledger; it must outlive the process, the run and the machine's restarts."""
    data: Path | None = None
    """The owner's own data; `None`: a simulated owner with packaged people."""
    root: Path | None = None
    """Folder of the data set that `data` is a shard of, if it lies elsewhere now."""
    max_epsilon: float = 8.0
    """Largest `target_epsilon` the owner accepts."""
    max_delta: float = 1e-5
    """Largest `delta` the owner accepts."""
    unit: str = "example"
    """Least that has to be hidden: `user` also refuses plans for examples, `owner` all but plans
    for owners."""
    base: str | None = None
    """A folder with a base that the owner accepts besides the embedded ones."""
    lora_rank: int | None = None
    """Rank of the owner's adapter, one of the plan's; `None`: what its turn or the plan says."""
    trusts_server: bool = False
    """Whether a plan is accepted in which the server sees the owner's update before any noise."""
    costs: CostLimits = CostLimits()
    """Most that a plan may ask of the machine."""
    signing_key: Path | None = None
    """The owner's private key of `discreet.keys`, by which the other members of a secure sum know
    it; together with `roster`."""
    roster: Path | None = None
    """Public keys of the owners with whom this one takes part in secure sums; `None`: whoever the
    server says."""
    min_members: int = 3
    """Least members that have to be in a secure sum before it is opened, `min_replies` of the plan.
    In a sum of two, each knows the update of the other."""
    min_hostile_owners: int = 0
    """How many other members may at least be in league with the server, `hostile_owners` of the
    plan: where owners share the noise, the others add as much more."""
    turn: int = 0
    """Place among simulated owners; they take the plan's ranks in turn."""

    def __post_init__(self) -> None:
        """Refuse limits that limit nothing."""
        if self.unit not in CHOICES["unit"]:
            raise ValueError(
                f"Expected unit as one of {', '.join(CHOICES['unit'])}, got another. Correct it in "
                "[site] of node.toml."
            )
        if (self.signing_key is None) != (self.roster is None):
            raise ValueError(
                "Expected signing_key and roster together, got one. Set both in [site] of "
                "node.toml."
            )
        for name in _OF_SUMS:
            if type(getattr(self, name)) is not int or getattr(self, name) < 0:
                raise ValueError(
                    f"Expected a whole {name} of 0 or more, got another. Correct it in [site] of "
                    "node.toml."
                )
        for name in ("max_epsilon", "max_delta"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(
                    f"Expected a finite {name} > 0, got {getattr(self, name)}. Correct it in "
                    "[site] of node.toml."
                )

    @classmethod
    def of_node(cls, context: Context, ledger: Path | None = None) -> "OwnerSite":
        """Return the site that `[site]` of a node.toml describes, or Flower's `--node-config`.

        Args:
            context: With the keys `owner`, `ledger`, `data`, `root`, `max_epsilon`,
                `max_delta`, `unit`, `base`, `lora_rank`, `trusts_server`, `signing_key`, `roster`,
                `min_members`, `min_hostile_owners` and those of `CostLimits`, or with Flower's own
                `partition-id` for a simulated owner, who may have `signing_key` and `roster`.
            ledger: Where simulated owners keep their accounts; default: one file for each run.

        Raises:
            ValueError: if a node with data of its own names no owner or no ledger.
        """
        node = context.node_config
        if "data" not in node:
            folder = Path(platformdirs.user_data_dir("discreet")) / "simulated"
            turn = int(node.get("partition-id", 0))
            return cls(
                owner=OwnerId(str(node.get("owner", f"owner-{turn}"))),
                ledger=_path(node, "ledger") or ledger or folder / f"{context.run_id}.jsonl",
                signing_key=_path(node, "signing_key"),
                roster=_path(node, "roster"),
                turn=turn,
            )
        if missing := sorted({"owner", "ledger"} - set(node)):
            raise ValueError(
                f"Expected owner and ledger beside data, got no {' and no '.join(missing)}. Set "
                "both in [site] of node.toml, or in --node-config if Flower was started by hand."
            )
        owner, path, data = (str(node[key]) for key in ("owner", "ledger", "data"))
        return cls(
            owner=OwnerId(owner),
            ledger=Path(path),
            data=Path(data),
            root=_path(node, "root"),
            max_epsilon=float(node.get("max_epsilon", 8.0)),
            max_delta=float(node.get("max_delta", 1e-5)),
            unit=str(node.get("unit", "example")),
            base=str(node["base"]) if "base" in node else None,
            lora_rank=int(node["lora_rank"]) if "lora_rank" in node else None,
            trusts_server=node.get("trusts_server") is True,
            costs=CostLimits.of_node(node),
            signing_key=_path(node, "signing_key"),
            roster=_path(node, "roster"),
            **{name: node[name] for name in _OF_SUMS if name in node},  # type: ignore[arg-type]
        )

    def check(self, config: TrainConfig) -> None:
        """Refuse a plan that a server sent and that protects the owner's data too little.

        Raises:
            ArtifactCorrupt: if the roster for a secure sum, or the owner's key, cannot be read.
            DeploymentError: if that key can be read by others, or is not on the roster.
            PolicyError: if the budget is above the owner's limits, the noise is reproducible, a
                secure sum rests on too many who are honest, or the plan costs the machine too much.
        """
        if self.data is None:
            return
        self.costs.check(config)
        if config.base not in (*EMBEDDED, self.base):
            raise PolicyError(
                f"Expected {' or '.join(EMBEDDED)} as the base, got another: a server may not name "
                "folders of a node. Accept one with base in [site] of node.toml."
            )
        if config.reproducible:
            raise PolicyError(
                "Expected reproducible = false for real data, got true: the server could remove "
                "the noise. Only packaged people may be used with it."
            )
        if _STRENGTH[config.unit] < _STRENGTH[self.unit]:
            raise PolicyError(
                f"Expected a plan that hides a whole {self.unit}, got one that hides an "
                f"{config.unit}: whoever has several examples would be hidden less. Ask for a plan "
                f"with unit = '{self.unit}'."
            )
        if config.secure_aggregation:
            self._check_sum(config)
        knows_members = config.secure_aggregation and self.credentials is not None
        if config.unit == "owner" and not (knows_members or self.trusts_server):
            raise PolicyError(
                "Expected a plan whose whole noise is added before anything leaves, got one that "
                "hides owners: there the server adds it, or could take a secure sum apart by "
                "members that it invents. Ask for a plan with unit = 'user' or 'example', or with "
                "secure_aggregation and a roster, or set trusts_server in [site] of node.toml."
            )
        if not (config.target_epsilon <= self.max_epsilon and config.delta <= self.max_delta):
            raise PolicyError(
                f"Expected target_epsilon <= {self.max_epsilon:g} and delta <= {self.max_delta:g}, "
                f"got {config.target_epsilon:g} and {config.delta:g}. Ask for another plan, or "
                "raise max_epsilon or max_delta in [site] of node.toml."
            )

    def _check_sum(self, config: TrainConfig) -> None:
        """Refuse a sum of too few, or one in which more would have to be honest than are."""
        for name, of_plan in _OF_SUMS.items():
            asked, least = getattr(config, of_plan), getattr(self, name)
            if asked < least:
                raise PolicyError(
                    f"Expected {of_plan} >= {least} with secure_aggregation, got {asked}. Ask for "
                    f"another plan, or lower {name} in [site] of node.toml."
                )

    def rank_in(self, config: TrainConfig) -> int:
        """Return the rank of this owner's adapter under a plan.

        Raises:
            ValueError: if the owner's own rank is none of the plan's.
        """
        if self.lora_rank is None and self.data:
            return max(config.ranks)
        if self.lora_rank is None:
            return config.ranks[self.turn % len(config.ranks)]
        if self.lora_rank not in config.ranks:
            raise ValueError(
                f"Expected lora_rank among the plan's {', '.join(map(str, config.ranks))}, got "
                f"{self.lora_rank}. Correct it in [site] of node.toml."
            )
        return self.lora_rank

    @property
    def fingerprint(self) -> str | None:
        """Return a hash of the owner's data, by which what was spent on them is found again.

        It stays in the owner's ledger. Pictures that a table of shares names are not part of it.
        """
        return sha256_of_file(self.data) if self.data else None

    @property
    def credentials(self) -> Credentials | None:
        """Return who the owner is in a secure sum, and with whom; `None`: with whoever is there.

        Raises:
            ArtifactCorrupt: if a file cannot be read.
            DeploymentError: if others can read the key, or it is not on the roster.
        """
        if self.signing_key is None or self.roster is None:
            return None
        return read_credentials(self.signing_key, self.roster)

    @property
    def memory_path(self) -> Path:
        """Where the owner keeps what a later round needs; beside the ledger, and as local."""
        return self._beside_ledger("safetensors")

    @property
    def sum_path(self) -> Path:
        """Where the owner keeps its secrets of a secure sum until that is open."""
        return self._beside_ledger("sum")

    def _beside_ledger(self, suffix: str) -> Path:
        name = hashlib.sha256(self.owner.encode()).hexdigest()[:16]  # it may hold a slash
        return self.ledger.with_name(f"{self.ledger.name}.{name}.{suffix}")


def _path(node: Mapping[str, object], key: str) -> Path | None:
    """Return a path of a node's configuration, if it is there."""
    return Path(str(node[key])) if key in node else None
