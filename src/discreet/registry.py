"""Find a trained adapter by name and check that it is what its card says.

Reads cards and hashes files; loads no model. The card is part of the run folder: `card.json`.

    adapter = resolve("latest", Path("runs"))
    adapter.card.worst          # what it cost, with delta, unit and neighbouring relation
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any

from discreet.artifacts import (
    RunFolder,
    read_json,
    refuse_links,
    sha256_of_folder,
    write_bytes,
    write_json,
)
from discreet.errors import ArtifactCorrupt, ArtifactError, DiscreetError, IncompatibleBase
from discreet.types import PrivacyStatement

FORMAT = 2
"""Version of `card.json` that this code reads and writes."""

LATEST = "latest"
"""The reference that stands for the newest adapter."""

REFERENCE, FEDERATED = "reference", "federated"
"""The references that stand for the adapters that ship; the second was trained without privacy."""

REFERENCE_DIR = Path(__file__).parent / "reference"
SHIPPED = {REFERENCE: REFERENCE_DIR, FEDERATED: Path(__file__).parent / "reference_federated"}
"""Run folder of each adapter that ships."""

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


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter on the shelf that passed its checks."""

    run: RunFolder
    card: AdapterCard

    @property
    def folder(self) -> Path:
        """The folder with the adapter's files."""
        return self.run.adapter_dir


@dataclass(frozen=True, slots=True)
class Shelved:
    """One run folder in a listing: its card, or why it cannot be read."""

    run: RunFolder
    card: AdapterCard | None
    problem: str | None = None


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


def list_adapters(runs_dir: Path) -> list[Shelved]:
    """Return every run in a folder, oldest adapter first; the unreadable ones at the end.

    Hashes are not compared here; `resolve` does that.
    """
    folders = sorted(p for p in runs_dir.glob("*") if p.is_dir()) if runs_dir.is_dir() else []
    shelf = []
    for run in map(RunFolder, folders):
        try:
            shelf.append(Shelved(run, read_card(run)))
        except (DiscreetError, OSError) as error:
            shelf.append(Shelved(run, None, str(error)))
    return sorted(shelf, key=lambda s: (s.card is None, s.card.created if s.card else "", s.run.id))


def resolve(ref: str, runs_dir: Path, *, base_sha256: str | None = None) -> Adapter:
    """Return the adapter that a reference names, after checking its files.

    Args:
        ref: A run id, the path of a run folder, `latest`, or a name in `SHIPPED`.
        runs_dir: Where runs lie.
        base_sha256: Hash of the base model that will carry it, if it is known already.

    Raises:
        ArtifactError: if there is no such run.
        ArtifactCorrupt: if the card is damaged, or the files are not the ones it describes.
        UnsafeFile: if the adapter holds a format that can run code.
        IncompatibleBase: if the adapter was made for another base.
    """
    run = _find(ref, runs_dir)
    card = read_card(run)
    if sha256_of_folder(run.adapter_dir) != card.adapter_sha256:
        raise ArtifactCorrupt(
            f"Expected the adapter of run '{run.id}' as its card describes it, found other files. "
            "Resume the run to write it again, or copy the whole folder again."
        )
    adapter = Adapter(run, card)
    if base_sha256 is not None:
        require_base(card, base_sha256)
    return adapter


def export(adapter: Adapter, out: Path) -> RunFolder:
    """Copy a run to a new folder without what must stay local, so that it can be handed on.

    Adapter, card, plan and ledger go along, and the released metrics; the checkpoint and every
    metric that was computed without noise stay behind. So do times: how long rounds took tells how
    many owners were drawn, which may be secret.

    Args:
        adapter: As `resolve` returns it, so that its files are the ones its card describes.
        out: Folder to make.

    Raises:
        RunExists: if the folder is there.
        ArtifactError: if it lies inside the run.
        UnsafeFile: if the run holds a link.
    """
    run = adapter.run
    refuse_links(run.path)
    if run.path.resolve() in out.resolve().parents:
        raise ArtifactError(f"Expected a folder outside run '{run.id}', got one inside it.")
    copy = RunFolder.create(out)
    with copy.new_adapter() as folder:
        shutil.copytree(run.adapter_dir, folder, copy_function=shutil.copyfile, dirs_exist_ok=True)
    for path in (run.config_path, run.ledger_path):
        if path.exists():  # a server of a real federation holds no ledger
            write_bytes(copy.path / path.name, path.read_bytes())
    for line in run.read_metrics():
        if line.get("visibility") == "released":
            copy.append_metric(line)
    day = datetime.fromisoformat(adapter.card.created).date()
    write_card(copy, replace(adapter.card, created=f"{day}T00:00:00+00:00"))
    return copy


def require_base(card: AdapterCard, base_sha256: str) -> None:
    """Raise `IncompatibleBase` unless the adapter was made for this base."""
    if card.base_sha256 != base_sha256:
        raise IncompatibleBase(
            f"Expected base {card.base_sha256[:12]} ('{card.base_name}') for the adapter of run "
            f"'{card.run}', got base {base_sha256[:12]}. Load '{card.base_name}', or train an "
            "adapter for this base."
        )


def _find(ref: str, runs_dir: Path) -> RunFolder:
    """Return the run folder a reference names."""
    if ref == LATEST:
        readable = [shelved.run for shelved in list_adapters(runs_dir) if shelved.card]
        if not readable:
            raise ArtifactError(
                f"Expected a finished run in '{runs_dir}', found none. Run `discreet train` first, "
                f"or use '{REFERENCE}', the adapter that ships with the package."
            )
        return readable[-1]
    if ref in SHIPPED:
        return RunFolder.open(SHIPPED[ref])
    if ref and Path(ref).name == ref and (runs_dir / ref).is_dir():
        return RunFolder(runs_dir / ref)
    if ref and Path(ref).is_dir():
        return RunFolder(Path(ref))
    known = ", ".join(shelved.run.id for shelved in list_adapters(runs_dir)) or "none"
    raise ArtifactError(
        f"Expected a run id, a run folder, '{LATEST}', '{REFERENCE}' or '{FEDERATED}', got "
        f"'{ref}'. Runs in '{runs_dir}': {known}."
    )


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
