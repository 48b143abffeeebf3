"""Find a trained adapter by name and check that it is what its card says.

Reads cards and hashes files; loads no model. The card is part of the run folder: `card.json`. An
adapter that was withdrawn (`withdrawn.json`) is listed with the reason and never resolved.

    adapter = resolve("latest", Path("runs"))
    adapter.card.worst          # what it cost, with delta, unit and neighbouring relation
"""

import shutil
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from discreet.artifacts import (
    RunFolder,
    read_toml,
    refuse_links,
    sha256_of_folder,
    write_bytes,
    write_toml,
)
from discreet.errors import ArtifactCorrupt, ArtifactError, DiscreetError, IncompatibleBase
from discreet.registry.cards import AdapterCard, read_card, write_card
from discreet.registry.withdrawal import refuse_withdrawn

LATEST = "latest"
"""The reference that stands for the newest adapter."""

REFERENCE = "reference"
"""What stands for the private adapter that ships."""
FEDERATED = "federated"
"""What stands for the other adapter that ships, which was trained without privacy."""

REFERENCE_DIR = Path(__file__).parents[1] / "reference"
"""Run folder of the private one (docs/cards/reference.md)."""

SHIPPED = {REFERENCE: REFERENCE_DIR, FEDERATED: Path(__file__).parents[1] / "reference_federated"}
"""Run folder of each adapter that ships (docs/cards/federated.md for the second)."""


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


def list_adapters(runs_dir: Path) -> list[Shelved]:
    """Return every run in a folder, oldest adapter first; the unreadable ones at the end.

    Hashes are not compared here; `resolve` does that.
    """
    folders = sorted(p for p in runs_dir.glob("*") if p.is_dir()) if runs_dir.is_dir() else []
    shelf = []
    for run in map(RunFolder, folders):
        try:
            refuse_withdrawn(run)
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
        AdapterWithdrawn: if it was taken off the shelf.
        ArtifactError: if there is no such run.
        ArtifactCorrupt: if the card is damaged, or the files are not the ones it describes.
        UnsafeFile: if the adapter holds a format that can run code.
        IncompatibleBase: if the adapter was made for another base.
    """
    run = _find(ref, runs_dir)
    refuse_withdrawn(run)
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
    if run.config_path.exists():
        _hand_on_plan(run, copy)
    if run.ledger_path.exists():  # a server of a real federation holds none
        write_bytes(copy.ledger_path, run.ledger_path.read_bytes())
    for line in run.read_metrics():
        if line.get("visibility") == "released":
            copy.append_metric(line)
    day = datetime.fromisoformat(adapter.card.created).date()
    write_card(copy, replace(adapter.card, created=f"{day}T00:00:00+00:00"))
    return copy


def _hand_on_plan(run: RunFolder, copy: RunFolder) -> None:
    """Copy a plan, with the name of its base in place of the folder where that lay."""
    plan = read_toml(run.config_path)
    base = str(plan.get("base", ""))
    if Path(base).name == base:
        write_bytes(copy.config_path, run.config_path.read_bytes())
    else:
        write_toml(copy.config_path, plan | {"base": Path(base).name})


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
