"""The run that is audited: its plan, its adapter on its base, and what its owners learnt from.

Reads the run folder and the owners' data, and changes neither. Losses are computed on the resident
model; an auditor has what the owners of a simulated federation have, or one owner's own data.

    subject = open_subject("latest", Path("runs"), cache=None)
    subject.losses(subject.members(owner), subject.state)
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from discreet.artifacts import RunFolder
from discreet.audit.held_out import HELD_OUT
from discreet.errors import ArtifactCorrupt
from discreet.federated import AssistantTask, Lessons, State, TrainConfig, require_trained_on
from discreet.model import load, load_adapter, load_adapter_state
from discreet.privacy import OutOfRange, PrivacyLedger
from discreet.registry import Adapter, require_base, resolve
from discreet.types import OwnerId, PrivacyStatement

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A run, with all that audits ask of it."""

    adapter: Adapter
    plan: TrainConfig
    task: AssistantTask = field(repr=False)
    state: State = field(repr=False)
    """The trained adapter: float32, by name, finite."""
    data: Path | None = field(default=None, repr=False)
    """Of the owners; None: the packaged people."""
    is_data_known: bool = False
    """Whether the run itself says that these are the data it was trained on."""
    candidates: Mapping[str, Sequence[Path]] = field(default_factory=dict, repr=False)
    """What may have shaped it, by name: adapters, or files of examples."""
    others_data: Path | None = field(default=None, repr=False)
    """Examples that nobody learnt from; None: those held out of the owners' data, or packaged."""

    @property
    def run(self) -> RunFolder:
        """The run's folder."""
        return self.adapter.run

    @property
    def owners(self) -> list[OwnerId]:
        """Owners who took part and whose data are here, in their order."""
        return self.task.taking_part

    def members(self, owner: OwnerId) -> Lessons:
        """Return what an owner learnt from."""
        return self.task.lessons_of(owner)

    def others(self, owner: OwnerId) -> Lessons:
        """Return examples of the same kind that no owner learnt from.

        Raises:
            DataError: if nothing of that kind is held out.
        """
        return HELD_OUT[self.plan.examples](self.task, owner, path=self._others_path)

    @property
    def _others_path(self) -> Path | None:
        is_portraits = self.plan.examples == "portraits"
        return self.others_data or (self.data if is_portraits else None)

    def losses(self, lessons: Lessons, state: State) -> Numbers:
        """Return the loss of each example under an adapter, (N,)."""
        return losses_under(self.task, lessons, state)

    @cached_property
    def first(self) -> State:
        """The adapter before training: the base, a reference that costs nothing."""
        return self.task.initial_state()

    @cached_property
    def spent(self) -> Mapping[str, PrivacyStatement | None]:
        """What each owner spent, by the run's ledger or else its card; None: beyond computing."""
        path = self.run.ledger_path
        accounts = PrivacyLedger(path).accounts() if path.exists() else {}
        if not accounts:
            return dict(self.adapter.card.per_owner)
        found: dict[str, PrivacyStatement | None] = {}
        for name, account in accounts.items():
            try:
                found[name] = account.spent()
            except OutOfRange:
                found[name] = None
        return found

    @property
    def worst(self) -> PrivacyStatement | None:
        """What the owner spent who spent most; None: one of them has no bound, or none is known."""
        known = [one for one in self.spent.values() if one is not None]
        if not known or len(known) < len(self.spent):
            return None
        return max(known, key=lambda one: (one.epsilon, one.delta))

    @cached_property
    def seconds_per_example(self) -> float:
        """About how long the loss of one example takes on this machine."""
        lessons = self.members(self.owners[0])
        count = min(len(lessons), self.plan.max_physical_batch)
        start = time.perf_counter()
        with torch.no_grad():
            lessons.losses(range(count))
        return (time.perf_counter() - start) / count

    @cached_property
    def seconds_of_training(self) -> float:
        """About how long the run's own training took, by its records or by its plan."""
        lines = [line for line in self.run.read_metrics() if line["name"] == "seconds"]
        if lines:
            return float(sum(line["value"] for line in lines))
        plan = self.plan
        drawn = plan.num_rounds * plan.num_present * plan.local_steps * plan.expected_batch_size
        return 4 * drawn * self.seconds_per_example


def open_subject(
    reference: str,
    runs: Path,
    *,
    data: Path | None = None,
    others: Path | None = None,
    candidates: Mapping[str, Sequence[Path]] | None = None,
    cache: Path | None = None,
) -> Subject:
    """Return the run that a reference names, with its base, adapter and data loaded.

    Args:
        reference: A run id, the path of a run folder, `latest`, or a name of a shipped adapter.
        runs: Where runs lie.
        data: What the run was trained on, if not the packaged people.
        others: Examples of the same kind that nobody learnt from, if not those of the package.
        candidates: Data sets that may have shaped it, by name.
        cache: Folder of the converted base.

    Raises:
        ArtifactCorrupt: if a file of the run is missing or damaged, or a weight is not finite.
        IncompatibleBase: if the adapter was made for another base.
        DataError: if the data are not what the plan says, or not those the run was trained on.
    """
    adapter = resolve(reference, runs)
    plan = TrainConfig.load(adapter.run.config_path)
    task = AssistantTask.build(plan, shared_data=data, cache_dir=cache)
    require_base(adapter.card, task.vlm.base_hash)
    is_known = require_trained_on(adapter.run, data)
    return Subject(
        adapter=adapter,
        plan=plan,
        task=task,
        state=_trained(adapter, task, cache),
        data=data,
        is_data_known=is_known,
        candidates=candidates or {},
        others_data=others,
    )


def losses_under(task: AssistantTask, lessons: Lessons, state: State) -> Numbers:
    """Return the loss of each example under an adapter, (N,)."""
    load_adapter_state(task.vlm, state)
    size = task.config.max_physical_batch
    with torch.no_grad():
        parts = [
            lessons.losses(range(start, min(start + size, len(lessons))))
            for start in range(0, len(lessons), size)
        ]
    return torch.cat(parts).double().cpu().numpy()


def _trained(adapter: Adapter, task: AssistantTask, cache: Path | None) -> State:
    """Return the trained adapter by the names that the task has."""
    served = load_adapter(load(task.config.base, cache_dir=cache), adapter.folder).model
    weights = dict(served.named_parameters())
    state = {name: weights[name].detach().float() for name in task.initial_state()}
    if not all(bool(value.isfinite().all()) for value in state.values()):
        raise ArtifactCorrupt(
            f"Expected finite weights in the adapter of run '{adapter.run.id}', got NaN or "
            "infinity: no audit could say anything of it. Train again."
        )
    return state
