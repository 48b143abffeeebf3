"""What an owner keeps between rounds on its own device: control variates, what `topk` left out.

Nothing of it is ever sent. The file holds the tensors from before and from after the last round, so
that a round that is asked again, because its reply or the server's checkpoint was lost, starts from
where it started first. It is no checkpoint of the adapter, which every request brings along.

    >>> import tempfile, torch
    >>> memory = OwnerMemory(Path(tempfile.mkdtemp()) / "memory.safetensors", run="a run")
    >>> memory.recall(1)
    {}
    >>> memory.keep(1, before={}, after={"residual/b": torch.ones(2)})
    >>> memory.recall(1), memory.recall(2)
    ({}, {'residual/b': tensor([1., 1.])})

Guarantee: the file is replaced whole or not at all, and one that was changed is refused. Where the
plan puts noise on the device, the tensors follow from noisy updates: the file tells no more than
those. Where the server adds it, the file is as private as the data.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from discreet.aggregation import State
from discreet.artifacts import write_bytes
from discreet.errors import ArtifactCorrupt, ArtifactError

_BEFORE, _AFTER = "before/", "after/"


@dataclass(frozen=True, slots=True)
class OwnerMemory:
    """The memory of one owner in one run, in one file; nothing is there before the first round."""

    path: Path
    run: str
    """Token of the run; what another run left there counts as nothing."""

    def recall(self, server_round: int) -> State:
        """Return what to start a round from; nothing if nothing was kept.

        Raises:
            ArtifactCorrupt: if the file is damaged.
            ArtifactError: if a later round was kept: what the round started from is gone.
        """
        if not self.path.exists():
            return {}
        kept_run, kept_round, tensors = self._read()
        if kept_run != self.run:
            return {}
        if server_round < kept_round:
            raise ArtifactError(
                f"Expected round {kept_round} or a later one, as '{self.path.name}' is of that "
                f"round, got round {server_round}. Remove the file to go on without a memory."
            )
        prefix = _BEFORE if server_round == kept_round else _AFTER
        return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

    def keep(self, server_round: int, *, before: State, after: State) -> None:
        """Replace what is kept.

        Args:
            server_round: Of the round that is done.
            before: What `recall` gave for it.
            after: What the next round starts from.
        """
        tensors = {_BEFORE + name: tensor.contiguous() for name, tensor in before.items()}
        tensors |= {_AFTER + name: tensor.contiguous() for name, tensor in after.items()}
        about = json.dumps([self.run, server_round])
        metadata = {"about": about, "sha256": _sha256(about, tensors)}
        write_bytes(self.path, save(tensors, metadata=metadata))

    def _read(self) -> tuple[str, int, State]:
        """Return the run, the round and all tensors of the file."""
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
                about, wanted = metadata["about"], metadata["sha256"]
                tensors: State = {n: file.get_tensor(n) for n in file.keys()}  # noqa: SIM118 - no mapping
            if _sha256(about, tensors) != wanted:
                raise ValueError("Expected the tensors that were written, got others.")
            run, server_round = json.loads(about)
        except (SafetensorError, KeyError, ValueError) as error:
            raise ArtifactCorrupt(
                f"Expected an owner's memory in '{self.path.name}', could not read it. Restore it "
                "from a copy, or remove it to go on without a memory."
            ) from error
        return run, int(server_round), tensors


def _sha256(about: str, tensors: State) -> str:
    """Return a hash of run and round, and of every name, shape, type and number."""
    return hashlib.sha256(f"{about}\n".encode() + save(tensors)).hexdigest()
