"""The card of an adapter: what it is, what it was made from and what it cost; strict to read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import Any

from discreet.artifacts import RunFolder, read_json, write_json
from discreet.errors import ArtifactCorrupt
from discreet.types import PrivacyStatement

FORMAT = 2
"""Version of `card.json` that this code reads and writes."""
_KEYS: dict[str, frozenset[str]] = {
    "": frozenset({"format", "run", "base", "adapter_sha256", "lora", "privacy", "data", "commit"})
    | {"seed", "rounds_done", "reproducible", "randomness", "created"},
    "base": frozenset({"name", "sha256"}),
    "privacy": frozenset({"per_owner", "worst"}),
    "data": frozenset({"licence", "examples"}),
}
_STATEMENT = frozenset({"epsilon", "delta", "unit", "neighbouring_relation"})


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterCard:
    """What an adapter is, what it was made from and what it cost."""

    run: str
    """Id of the run that made it."""
    base_name: str
    """Name of the base model it belongs to."""
    base_sha256: str
    """Hash of the base's frozen weights; the adapter fits no other."""
    adapter_sha256: str
    """`artifacts.sha256_of_folder` of `adapter/`."""
    lora: dict[str, Any] = field(repr=False)
    """Settings of the adapter, as plain values."""
    per_owner: dict[str, PrivacyStatement] = field(repr=False)
    """What each owner has spent; empty: trained without privacy."""
    data_licence: str
    """Licence of the data it was trained on."""
    seed: int
    """Public seed of the run."""
    rounds_done: int
    """Rounds that are in it."""
    reproducible: bool
    """Whether whoever knows the seed can remove the noise."""
    examples: str = "portraits"
    """What one private example is, the unit where no user is: `portraits`, `conversations` or
    `preference_pairs`."""
    commit: str | None = None
    """Commit of the code, if it is known."""
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """When it was written: ISO 8601, UTC; of an exported one the day."""

    @property
    def randomness(self) -> str:
        """Return where coins and noise came from."""
        if self.reproducible:
            return "AES-256-CTR, key from the public seed: not private"
        return "AES-256-CTR, key from the operating system"

    @property
    def worst(self) -> PrivacyStatement | None:
        """Return the statement with the largest epsilon; `None`: no guarantee at all."""
        spent = self.per_owner.values()
        return max(spent, key=lambda s: (s.epsilon, s.delta)) if spent else None

    def to_dict(self) -> dict[str, Any]:
        """Return the card as JSON holds it."""
        return {
            "format": FORMAT,
            "run": self.run,
            "base": {"name": self.base_name, "sha256": self.base_sha256},
            "adapter_sha256": self.adapter_sha256,
            "lora": self.lora,
            "privacy": {
                "per_owner": {owner: asdict(spent) for owner, spent in self.per_owner.items()},
                "worst": asdict(self.worst) if self.worst else None,
            },
            "data": {"licence": self.data_licence, "examples": self.examples},
            "commit": self.commit,
            "seed": self.seed,
            "rounds_done": self.rounds_done,
            "reproducible": self.reproducible,
            "randomness": self.randomness,
            "created": self.created,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "AdapterCard":
        """Return the card that `to_dict` wrote.

        Raises:
            ValueError: on a missing or unknown key, another format, or a value of another type.
        """
        if not isinstance(raw, Mapping) or raw.get("format") != FORMAT:
            raise ValueError(f"Expected a card of format {FORMAT}. Install the version it needs.")
        _check_keys("card", raw, _KEYS[""])
        data = {"examples": "portraits", **_part("data", raw["data"])}  # older cards do not say
        for part, found in (("base", raw["base"]), ("privacy", raw["privacy"]), ("data", data)):
            _check_keys(part, found, _KEYS[part])
        owners = _part("per_owner", raw["privacy"]["per_owner"])
        card = cls(
            run=_typed(raw, "run", str),
            base_name=_typed(raw["base"], "name", str),
            base_sha256=_typed(raw["base"], "sha256", str),
            adapter_sha256=_typed(raw, "adapter_sha256", str),
            lora=_typed(raw, "lora", dict),
            per_owner={owner: _statement(spent) for owner, spent in owners.items()},
            data_licence=_typed(data, "licence", str),
            examples=_typed(data, "examples", str),
            commit=None if raw["commit"] is None else _typed(raw, "commit", str),
            seed=_typed(raw, "seed", int),
            rounds_done=_typed(raw, "rounds_done", int),
            reproducible=_typed(raw, "reproducible", bool),
            created=datetime.fromisoformat(_typed(raw, "created", str)).isoformat(),
        )
        if card.to_dict()["privacy"] != raw["privacy"]:
            raise ValueError("Expected the largest epsilon of all owners as worst. Card changed.")
        if card.randomness != raw["randomness"]:
            raise ValueError("Expected randomness to be what reproducible says. Card changed.")
        return card


def write_card(run: RunFolder, card: AdapterCard) -> None:
    """Write the card of a run."""
    write_json(run.card_path, card.to_dict())


def read_card(run: RunFolder) -> AdapterCard:
    """Return the card of a run.

    Raises:
        ArtifactCorrupt: if it is missing, damaged, or of another format.
    """
    raw = read_json(run.card_path)
    try:
        return AdapterCard.from_dict(raw)
    except (ValueError, TypeError) as error:
        raise ArtifactCorrupt(f"The card of run '{run.id}' cannot be used. {error}") from error


def _check_keys(what: str, raw: object, wanted: frozenset[str]) -> None:
    """Refuse a part of a card with other keys than it should have."""
    keys = set(_part(what, raw))
    if unknown := sorted(keys - wanted):
        raise ValueError(
            f"Expected {', '.join(sorted(wanted))} in {what}, got also {', '.join(unknown)}. "
            "Install the version of discreet that wrote the card."
        )
    if missing := sorted(wanted - keys):
        raise ValueError(f"Expected {', '.join(missing)} in {what}, got none. Copy the run again.")


def _part(what: str, raw: object) -> Mapping[str, Any]:
    """Return a part of a card that has keys of its own."""
    if not isinstance(raw, Mapping):
        raise ValueError(f"Expected {what} as an object. Copy the run again.")
    return raw


def _statement(raw: object) -> PrivacyStatement:
    """Return a privacy statement; an incomplete one is refused."""
    _check_keys("privacy statement", raw, _STATEMENT)
    values = _part("privacy statement", raw)
    epsilon, delta = _typed(values, "epsilon", float), _typed(values, "delta", float)
    if not (0 <= epsilon < inf and 0 < delta < 1):
        raise ValueError(
            f"Expected a finite epsilon >= 0 and 0 < delta < 1, got {epsilon} and {delta}. Copy "
            "the run again."
        )
    return PrivacyStatement(
        epsilon=epsilon,
        delta=delta,
        unit=_typed(values, "unit", str),
        neighbouring_relation=_typed(values, "neighbouring_relation", str),
    )


def _typed(raw: Mapping[str, Any], name: str, kind: type) -> Any:
    """Return a value of a card, of the type it should have; a whole number serves as a float."""
    value = raw[name]
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ValueError(
            f"Expected {name} of type {kind.__name__}, got {type(value).__name__}. Copy the run "
            "again."
        )
    return value
