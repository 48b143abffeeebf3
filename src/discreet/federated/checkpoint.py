"""Where a run stands after a round, in one file, so that its parts cannot disagree.

The adapter, the number of its round, how often each node was asked, and what the server's optimizer
and clipping norm remember. Written whole or not at all.
"""

import fcntl
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from discreet.aggregation import State
from discreet.artifacts import RunFolder, write_bytes
from discreet.errors import ArtifactCorrupt, ArtifactError
from discreet.federated.config import TrainConfig
from discreet.federated.plans import is_secret_choice
from discreet.federated.terms import Terms, of_prefix, with_prefix
from discreet.privacy import PrivacyLedger

_FORMAT = "2"
_LOCK = ".lock"
_STATE, _OPTIMIZER = "state/", "optimizer/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A run after its last finished round."""

    rounds_done: int
    state: State = field(repr=False)
    """The adapter, and control variates if the plan has them."""
    plan_sha256: str = ""
    """Of the plan and of what was frozen: the state means nothing under another."""
    run_token: str = field(default_factory=lambda: secrets.token_hex(8))
    """Name of the run for owners who keep something from round to round."""
    optimizer: State = field(default_factory=dict, repr=False)
    """What the server's optimizer remembers."""
    taken_part: Mapping[int, int] = field(default_factory=dict, repr=False)
    """How often each node was asked."""
    clip_norm: float | None = None
    """To which the next round clips updates, where that norm follows them."""
    metrics: tuple[Mapping[str, object], ...] = field(default=(), repr=False)
    """The last round's lines for the metrics, which follow the checkpoint: a kill in between would
    lose what nodes said they spent."""

    @property
    def adapter(self) -> State:
        """The state without control variates."""
        return Terms.adapter_of(self.state)


@contextmanager
def alone_in(run: RunFolder) -> Iterator[None]:
    """Keep every other process from going on with the run, and clear away what killed ones left.

    The kernel lets go of a process that dies.

    Raises:
        ArtifactError: at once, if another process is inside.
    """
    with (run.path / _LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ArtifactError(
                f"Expected to be alone in writing run '{run.id}', but another process goes on with "
                "it. Wait until it ends, or end it."
            ) from error
        run.remove_torn()
        yield


def write_checkpoint(run: RunFolder, checkpoint: Checkpoint) -> None:
    """Replace the run's checkpoint."""
    tensors = with_prefix(_STATE, checkpoint.state) | with_prefix(_OPTIMIZER, checkpoint.optimizer)
    metadata = {
        "format": _FORMAT,
        "rounds_done": str(checkpoint.rounds_done),
        "plan_sha256": checkpoint.plan_sha256,
        "run_token": checkpoint.run_token,
        "taken_part": json.dumps({str(n): times for n, times in checkpoint.taken_part.items()}),
        "clip_norm": json.dumps(checkpoint.clip_norm),
        "metrics": json.dumps([dict(line) for line in checkpoint.metrics]),
    }
    plain = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_bytes(run.checkpoint_path, save(plain, metadata=metadata))


def read_checkpoint(run: RunFolder) -> Checkpoint | None:
    """Return the run's checkpoint, or `None` if no round is done.

    Raises:
        ArtifactCorrupt: if the file is damaged, or of an older form.
    """
    path = run.checkpoint_path
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors: State = {n: file.get_tensor(n) for n in file.keys()}  # noqa: SIM118 - no mapping
        if metadata.get("format") != _FORMAT:
            raise ValueError("another form")
        return Checkpoint(
            rounds_done=int(metadata["rounds_done"]),
            state=of_prefix(_STATE, tensors),
            plan_sha256=str(metadata["plan_sha256"]),
            run_token=str(metadata["run_token"]),
            optimizer=of_prefix(_OPTIMIZER, tensors),
            taken_part={int(n): int(k) for n, k in json.loads(metadata["taken_part"]).items()},
            clip_norm=json.loads(metadata["clip_norm"]),
            metrics=tuple(json.loads(metadata["metrics"])),
        )
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ArtifactCorrupt(
            f"Expected a checkpoint in '{path.name}', could not read it. Restore it from a copy, "
            "or start a new run."
        ) from error


def require_same_plan(config: TrainConfig, run: RunFolder) -> None:
    """Refuse a run folder that belongs to another plan, once that plan has begun.

    It has once a round is done, or the run's own ledger holds an account. What owners of other
    machines spent on a round that failed stands in their ledgers, which compare plans themselves.

    Raises:
        ArtifactCorrupt: if the folder's plan or ledger is damaged.
        ValueError: with the fields that differ.
    """
    if not run.config_path.exists():
        return
    planned = TrainConfig.load(run.config_path)
    old, new = planned.as_mapping(), config.as_mapping()
    changed = sorted(k for k in {*old, *new} if old.get(k) != new.get(k))
    if changed and _has_begun(run, planned):
        raise ValueError(
            f"Expected the plan of run '{run.id}', got another {', '.join(changed)}. A plan is "
            "fixed once a round is done or somebody was charged: resume with its config.toml, or "
            "start a new run (another --out)."
        )


def _has_begun(run: RunFolder, planned: TrainConfig) -> bool:
    """Return whether a round is done, or may have been charged in the run's own ledger."""
    if run.checkpoint_path.exists() or run.card_path.exists():
        return True
    if not run.ledger_path.exists():
        return is_secret_choice(planned)  # the server's own ledger, which is gone
    return bool(PrivacyLedger(run.ledger_path).owners())
