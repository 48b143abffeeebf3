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


def kept_updates(run: RunFolder) -> dict[int, dict[int, State]]:
    """Return the updates that were kept: round -> node -> tensors by name; empty: none were.

    Raises:
        ArtifactCorrupt: if a file is damaged or has another name.
    """
    found: dict[int, dict[int, State]] = {}
    for path in sorted((run.path / FOLDER).glob("*/*")):
        try:
            of_round = found.setdefault(int(path.parent.name), {})
            of_round[int(path.name.removesuffix(".safetensors"))] = load_file(path)
        except (ValueError, SafetensorError) as error:
            raise ArtifactCorrupt(
                f"Expected updates by round and node in '{FOLDER}' of run '{run.id}', could not "
                "read one. Remove the folder: audits then say what they cannot ask."
            ) from error
    return found
