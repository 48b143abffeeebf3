"""Take an adapter off the shelf, with a reason; nobody resolves it afterwards, or goes on with it.

withdraw(RunFolder(Path("runs/first")), reason=OWNER_FORGOTTEN, successor="second")
"""

from datetime import UTC, datetime
from typing import Any

from discreet.artifacts import RunFolder, read_json
from discreet.errors import AdapterWithdrawn, ArtifactCorrupt

OWNER_FORGOTTEN = "an owner asked to be forgotten"
"""Why an adapter is withdrawn by `discreet forget owner`."""
_FILE = "withdrawn.json"


def withdraw(run: RunFolder, *, reason: str, successor: str | None = None) -> None:
    """Take the adapter of a run off the shelf; of one that is off, the first reason stays.

    Args:
        run: Of the adapter. Its files stay.
        reason: In words that hold nothing of a person.
        successor: Id of the run that takes its place, if there is one.
    """
    if not is_withdrawn(run):
        day = datetime.now(UTC).date().isoformat()
        run.write_json(_FILE, {"reason": reason, "successor": successor, "at": day})


def is_withdrawn(run: RunFolder) -> bool:
    """Return whether the adapter of a run was taken off the shelf."""
    return (run.path / _FILE).exists()


def refuse_withdrawn(run: RunFolder) -> None:
    """Refuse a run whose adapter was taken off the shelf.

    Raises:
        AdapterWithdrawn: with the reason, and with what took its place.
        ArtifactCorrupt: if the note of it is damaged; the adapter is as little on the shelf.
    """
    if not is_withdrawn(run):
        return
    said: Any = read_json(run.path / _FILE)
    if not isinstance(said, dict) or not isinstance(said.get("reason"), str):
        raise ArtifactCorrupt(
            f"Expected a reason in '{_FILE}' of run '{run.id}', found none. The adapter stays off "
            "the shelf."
        )
    other = said.get("successor")
    way_out = f"Use run '{other}', which took its place." if other else "Use another adapter."
    raise AdapterWithdrawn(
        f"Expected an adapter on the shelf, got that of run '{run.id}', withdrawn on "
        f"{said.get('at')}: {said['reason']}. {way_out}"
    )
