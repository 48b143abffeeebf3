"""Every audit of two runs on the same few people: one learnt by heart on purpose, one private.

Without the first nobody knows whether an audit can find anything; without the second, whether what
it finds says anything of privacy. Both have the same base, people, canaries, sampling and number of
steps.

    with TemporaryDirectory() as folder:
        data = few_people(Path(folder), train=96, others=210)
        found = audit_runs(train_both(Path(folder), AUDITED_PLAN, data), data=data)
    print(as_audits_table(found))
"""

import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from discreet.artifacts import RunFolder, write_bytes
from discreet.audit import AUDITS, Asking, Effort, ask_all, open_subject, plan_audits
from discreet.bench.baseline import shelve_baseline
from discreet.bench.made import made_by
from discreet.data import Portrait, load_portraits
from discreet.errors import ArtifactError
from discreet.evidence import Evidence
from discreet.federated import (
    AssistantTask,
    RoundReport,
    State,
    StepTaken,
    TrainConfig,
    keep_updates,
    publish,
    run_federation,
    seal_data,
)
from discreet.types import Split

BY_HEART, PRIVATE = "learnt by heart", "private"
AUDITED_PLAN = TrainConfig(
    num_owners=2,
    num_rounds=3,
    local_steps=20,
    sample_rate=0.15,
    expected_batch_size=10,
    target_epsilon=4.0,
    learning_rate=20.0,
    lora_layers=4,
    lora_modules="q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj",
    activations_mib=1024,
    canaries=40,
)
"""Few people, seen often: what privacy is hardest for."""
Step = Callable[[str], None]
"""Told in a few words what is being done."""


def few_people(folder: Path, *, train: int, others: int, pictures: int = 1) -> Path:
    """Write a Parquet file of shipped portraits, so many of each person.

    Args:
        folder: Where `people.parquet` goes.
        train: People whom owners get.
        others: People whom nobody gets, a third of them validation people.
        pictures: Of each person at most.
    """
    counts: dict[Split, int] = {
        "train": train,
        "validation": others // 3,
        "test": others - others // 3,
    }
    rows = [
        {
            "image": {"bytes": one.jpeg, "path": None},
            "identity_id": one.identity_id,
            "age_band": one.age_band,
            "expression": one.expression,
            "split": split,
        }
        | dict(one.audit_labels)
        for split, count in counts.items()
        for one in _of_people(load_portraits(split), count, pictures)
    ]
    whole = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), whole)
    write_bytes(folder / "people.parquet", whole.getvalue().to_pybytes())
    return folder / "people.parquet"


def _of_people(portraits: Sequence[Portrait], count: int, pictures: int) -> list[Portrait]:
    """Return the first pictures of each of the first people, in file order."""
    left = dict.fromkeys(list(dict.fromkeys(p.identity_id for p in portraits))[:count], pictures)
    kept = []
    for one in portraits:
        if left.get(one.identity_id, 0):
            left[one.identity_id] -= 1
            kept.append(one)
    return kept


def train_both(
    folder: Path, plan: TrainConfig, data: Path, *, cache: Path | None = None, on_done: Step = print
) -> dict[str, RunFolder]:
    """Train both runs of a plan, and return their folders.

    A run that is there is left as it is; one of this plan that was stopped is trained anew.

    Args:
        folder: Gets `by-heart` and `private`.
        plan: Of both; the first neither clips nor adds noise.
        data: Parquet file of people.
        cache: Folder of the converted base.
        on_done: Told what is being done.

    Raises:
        ArtifactError: if what is there is of another plan, or no run.
    """
    runs = {BY_HEART: folder / "by-heart", PRIVATE: folder / "private"}
    for name, path in runs.items():
        begun = path.with_name(f".{path.name}-begun")
        if begun.exists() and path.exists():
            shutil.rmtree(path)  # of this bench, and stopped before its end
        if not path.exists():
            on_done(f"training: {name}")
            count = _counter(name, plan.num_owners * plan.steps_total, on_done)
            write_bytes(begun, b"")
            _train(name, RunFolder.create(path), plan, data, cache, count)
            begun.unlink()
        elif TrainConfig.load(RunFolder(path).config_path) != plan:
            raise ArtifactError(
                f"Expected a run of this plan in '{path.name}', got one of another plan. Name a "
                "new folder with --keep, or remove this one."
            )
    return {name: RunFolder(path) for name, path in runs.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Audited:
    """What one audit says of one run."""

    audit: str
    run: str
    """`BY_HEART` or `PRIVATE`."""
    found: Evidence | None
    """None: it was not asked."""
    reason: str = ""
    """Why not."""


def audit_runs(
    runs: Mapping[str, RunFolder],
    data: Path,
    *,
    effort: Effort = "usual",
    names: Sequence[str] = (),
    cache: Path | None = None,
    on_done: Step = print,
) -> list[Audited]:
    """Ask every audit of both runs; what a run's folder has of the same adapter stands.

    Args:
        runs: By name.
        data: What they were trained on.
        effort: Of every audit.
        names: Of audits; all by default.
        cache: Folder of the converted base.
        on_done: Told what is being done.
    """
    asked = {name: audit for name, audit in AUDITS.items() if not names or name in names}
    asking, found = Asking(effort=effort), []
    for name, run in runs.items():
        subject = open_subject(str(run.path), run.path.parent, data=data, cache=cache)
        plans = plan_audits(asked, subject, asking)

        def tell(doing: str, name: str = name) -> None:
            on_done(f"{name}: {doing}")

        for plan, evidence in ask_all(plans, subject, asking, made_by=made_by(), on_done=tell):
            found.append(
                Audited(audit=plan.audit.name, run=name, found=evidence, reason=plan.reason)
            )
    return found


def as_audits_table(found: Sequence[Audited]) -> str:
    """Return a Markdown table: what each audit says first of each run."""
    runs = list(dict.fromkeys(one.run for one in found))
    lines = [["audit", *runs], ["---"] * (1 + len(runs))]
    for audit in dict.fromkeys(one.audit for one in found):
        own = {one.run: one for one in found if one.audit == audit}
        lines.append([audit, *(_said(own.get(run)) for run in runs)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _said(one: Audited | None) -> str:
    if one is None or one.found is None:
        return f"not asked: {one.reason}" if one is not None else ""
    return one.found.verdict


def _counter(name: str, total: int, on_done: Step) -> Callable[[], None]:
    """Return what is called after each step, and says how far it is."""
    steps = itertools.count(1)
    return lambda: on_done(f"training: {name}, step {next(steps)} of {total}")


def _train(
    name: str,
    run: RunFolder,
    plan: TrainConfig,
    data: Path,
    cache: Path | None,
    on_step: Callable[[], None],
) -> None:
    task = AssistantTask.build(plan, shared_data=data, cache_dir=cache)
    seal_data(run, data)
    if name == BY_HEART:
        shelve_baseline(task, run, on_step=on_step)
        return

    def publish_round(done: int, state: State, report: RoundReport) -> None:
        publish(run, task, state, rounds_done=done)

    run_federation(
        plan,
        run,
        task,
        on_round=publish_round,
        on_update=keep_updates(run),
        on_event=lambda event: on_step() if isinstance(event, StepTaken) else None,
    )
