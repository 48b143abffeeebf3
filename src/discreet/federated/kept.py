"""Updates as the server saw them, kept beside a run for audits; no export has them.

run_federation(config, run, task, on_update=keep_updates(run))
kept_updates(run)[1][1000]       # of the first round and the first node
"""

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from discreet.aggregation import State
from discreet.artifacts import RunFolder, write_bytes
from discreet.errors import ArtifactCorrupt
from discreet.federated.receipts import OnUpdate

FOLDER = "updates"
"""In the run folder: `updates/<round>/<node>.safetensors`."""


def keep_updates(run: RunFolder) -> OnUpdate:
    """Return what writes each update into the run's folder."""

    def keep(server_round: int, node: int, update: State) -> None:
        folder = run.path / FOLDER / str(server_round)
        folder.mkdir(parents=True, exist_ok=True)
        whole = {name: value.contiguous() for name, value in update.items()}
        write_bytes(folder / f"{node}.safetensors", save(whole))

    return keep


def kept_updates(run: RunFolder, like: State | None = None) -> dict[int, dict[int, State]]:
    """Return the updates that were kept: round -> node -> tensors by name; empty: none were.

    Args:
        run: The run; files of other names in its folder are left alone.
        like: The adapter that is trained; an update changes all of it. None: not compared.

    Raises:
        ArtifactCorrupt: if a file is damaged, holds NaN or infinity, or is of another adapter.
    """
    found: dict[int, dict[int, State]] = {}
    for path in sorted((run.path / FOLDER).glob("*/*.safetensors")):
        try:
            of_round = found.setdefault(int(path.parent.name), {})
            of_round[int(path.stem)] = _checked(load_file(path), like)
        except (ValueError, SafetensorError) as error:
            raise ArtifactCorrupt(
                f"Expected updates by round and node in '{FOLDER}' of run '{run.id}', could not "
                "read one. Remove the folder: audits then say what they cannot ask."
            ) from error
    return found


def _checked(update: State, like: State | None) -> State:
    """Return an update as it is; ValueError if no audit could say anything of it."""
    if not all(bool(value.isfinite().all()) for value in update.values()):
        raise ValueError("Expected finite numbers.")
    if like is not None and {n: v.shape for n, v in update.items()} != {
        name: value.shape for name, value in like.items()
    }:
        raise ValueError("Expected the tensors of the adapter.")
    return update
