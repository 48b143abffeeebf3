"""Take an owner out of a federated run: withdraw the adapter, then train without the owner.

    found = plan_forgetting(run, owner, out=Path("runs/next"))      # what it costs, before anything
    receipt = forget_owner(found, task, publisher=publisher, audit=audit)

Guarantee:
    The adapter that takes the place of the older one was trained from a state in which the owner
    had no part, on the data of the others: it is the one that a run without the owner makes, to the
    bit where noise comes from the seed, and with noise drawn anew where it does not. Before a step
    is taken, its account holds all that was spent before. A process that is killed leaves a job
    that the same call goes on with. No promise is made of copies, and none that an adapter which is
    not trained again forgets anything: it is withdrawn.

The order is: folder of the next run with its accounts, audit of the older adapter and a note of it,
withdrawal, erasure, receipt, training, receipt. What has to outlive a kill is in `forgetting.json`.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from discreet.artifacts import RunFolder, read_json, remove_file, write_bytes
from discreet.erasure.cost import ORIGIN, Forgetting, read_origin
from discreet.erasure.receipt import Line, Receipt, attempt, failure
from discreet.errors import ArtifactError, DiscreetError, RunExists
from discreet.federated import (
    LocalTask,
    OnEvent,
    OnRound,
    OwnerSite,
    State,
    alone_in,
    plan_hash,
    plan_of,
    read_checkpoint,
    require_same_plan,
    run_federation,
    write_checkpoint,
)
from discreet.membership import Membership, membership_of
from discreet.privacy import PrivacyLedger, carry_over
from discreet.registry import OWNER_FORGOTTEN, withdraw

Audit = Callable[[State], Membership]
"""What losses under an adapter tell of the owner's examples."""
Publisher = Callable[[RunFolder], OnRound]
"""Makes the hook that writes each round's adapter into a run."""
RECEIPT = "forgotten.json"
"""The receipt, in the folder of the older run."""
_NOTE = "forgetting.json"


def forget_owner(
    forgetting: Forgetting,
    task: LocalTask | None,
    *,
    publisher: Publisher | None = None,
    audit: Audit | None = None,
    on_event: OnEvent | None = None,
) -> Receipt:
    """Withdraw a run's adapter, and train another without an owner; return what was done.

    Args:
        forgetting: Of `plan_forgetting`, agreed to by those whose budgets it costs.
        task: What is trained, built of `forgetting.config`; None: withdraw only.
        publisher: Writes the adapter of the next run.
        audit: Asked of the older adapter and of the next one.
        on_event: Told what happens in training.

    Returns:
        The receipt, also where training or a store failed; the same call goes on from there.

    Raises:
        ArtifactError: if the run forgets another owner or trains at another place, or another
            process is at work in it.
        BudgetExhausted: before anything is changed.
        RunExists: if another run is at `forgetting.out`.
    """
    if task is not None:
        forgetting.require_budget()
    run, following = forgetting.run, forgetting.out.name if task else None
    with alone_in(run):
        note = _note_of(forgetting)
        if task is not None:
            _prepare_next(forgetting, task)
        before = _begin(forgetting, note, audit, following)
        withdraw(run, reason=OWNER_FORGOTTEN, successor=following)
        receipt = Receipt(
            lines=_erase(forgetting),
            retraining="not_asked" if task is None else "not_done",
            before=before,
        )
        _write(run, receipt)
    if task is not None:
        receipt = _retrain(forgetting, task, receipt, publisher, audit, on_event)
        _write(run, receipt)
    return receipt


def _note_of(forgetting: Forgetting) -> dict[str, Any] | None:
    """Return what an earlier call noted, of the same owner."""
    path = forgetting.run.path / _NOTE
    if not path.exists():
        return None
    note: dict[str, Any] = read_json(path)
    if note["owner"] != forgetting.owner:
        raise ArtifactError(
            f"Expected run '{forgetting.run.id}' to forget the owner that it began with, got "
            "another. Forget this one in the run that took its place."
        )
    if note["out"] not in (None, forgetting.out.name):
        raise ArtifactError(
            f"Expected '{note['out']}' for the run without the owner, as this began, got another "
            "name. Give that one (--out)."
        )
    return note


def _begin(
    forgetting: Forgetting, note: dict[str, Any] | None, audit: Audit | None, out: str | None
) -> Membership | None:
    """Note what is done, with the audit of the adapter that will be gone; return that."""
    if note is None:
        last = read_checkpoint(forgetting.run)
        before = audit(last.adapter) if audit and last else None
    else:
        before, out = _membership(note["before"]), note["out"] or out
    said = asdict(before) if before else None
    forgetting.run.write_json(_NOTE, {"owner": forgetting.owner, "out": out, "before": said})
    return before


def _membership(raw: dict[str, Any] | None) -> Membership | None:
    return None if raw is None else membership_of(raw)


def _prepare_next(forgetting: Forgetting, task: LocalTask) -> None:
    """Make the folder of the next run, whole or not at all: accounts, plan, and where it starts.

    Raises:
        RunExists: if something else is there.
    """
    out = forgetting.out
    if out.is_dir() and any(out.iterdir()):
        _require_ours(forgetting)
        return
    fresh = out.with_name(f".{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    run = RunFolder.create(fresh)
    promise = None if forgetting.target_epsilon is None else plan_of(forgetting.config)
    ledger = PrivacyLedger.open(forgetting.run.ledger_path)
    carry_over(ledger, run.ledger_path, without=forgetting.owner, plan=promise)
    last = read_checkpoint(forgetting.run)
    if forgetting.rounds_kept and last is not None:
        write_checkpoint(run, replace(last, plan_sha256=plan_hash(forgetting.config, task)))
    about = {"instead_of": forgetting.run.id, "rounds_kept": forgetting.rounds_kept}
    run.write_json(ORIGIN, about)
    forgetting.config.save(run.config_path)
    fresh.rename(out)
    folder = os.open(out.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # or a power cut could take a folder away from which was spent
    finally:
        os.close(folder)


def _require_ours(forgetting: Forgetting) -> None:
    """Refuse a folder that a forgetting of this run did not make."""
    origin = read_origin(forgetting.out)
    if origin is None or origin["instead_of"] != forgetting.run.id:
        raise RunExists(
            f"Expected a new folder for the run without the owner, found '{forgetting.out.name}' "
            "in use. Choose another name."
        )
    require_same_plan(forgetting.config, RunFolder(forgetting.out))


def _erase(forgetting: Forgetting) -> tuple[Line, ...]:
    """Remove what the older run holds of the owner; return a line for each store."""
    run, owner = forgetting.run, forgetting.owner
    site = OwnerSite(owner=owner, ledger=run.ledger_path)
    accounts = PrivacyLedger.open(run.ledger_path).owners() if run.ledger_path.exists() else ()
    done = (
        Line(store="shelf", found=1, erased=1),
        attempt("adapter", lambda: _remove("adapter", run.adapter_dir)),
        attempt("checkpoint", lambda: _remove("checkpoint", run.checkpoint_path)),
        attempt("metrics", lambda: _drop_losses(forgetting)),
        attempt("memory", lambda: _remove("memory", site.memory_path, site.sum_path)),
        attempt("report", lambda: _remove("report", run.path / "report.html")),
    )
    earlier = _lines_of(run)
    kept = (
        Line.kept("own_ledger", "spent", found=int(owner in accounts)),
        Line.kept("other_ledgers", "spent", found=len(set(accounts) - {owner})),
        Line.kept("training_data", "data"),
        Line.kept("copies", "copies"),
    )
    return (done[0], *(line.after(earlier.get(line.store)) for line in done[1:]), *kept)


def _lines_of(run: RunFolder) -> dict[str, Line]:
    """Return what an earlier attempt did, by store."""
    path = run.path / RECEIPT
    lines = read_json(path)["lines"] if path.exists() else []
    return {raw["store"]: Line(**{k: raw[k] for k in raw if k != "state"}) for raw in lines}


def _remove(store: str, *paths: Path) -> Line:
    """Remove files and folders; return how many were there."""
    found = [path for path in paths if path.exists()]
    for path in found:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            remove_file(path)
    return Line(store=store, found=len(found), erased=len(found))


def _drop_losses(forgetting: Forgetting) -> Line:
    """Take lines that were computed from the owner's data without noise out of the metrics."""
    run = forgetting.run
    lines = run.read_metrics()
    kept = [line for line in lines if line.get("owner") != forgetting.owner]
    if len(kept) < len(lines):
        fresh = RunFolder(run.path / ".metrics.new")
        shutil.rmtree(fresh.path, ignore_errors=True)
        RunFolder.create(fresh.path).append_metric(*kept)
        data = fresh.metrics_path.read_bytes() if kept else b""
        write_bytes(run.metrics_path, data)
        shutil.rmtree(fresh.path)
    gone = len(lines) - len(kept)
    return Line(store="metrics", found=gone, erased=gone)


def _retrain(
    forgetting: Forgetting,
    task: LocalTask,
    receipt: Receipt,
    publisher: Publisher | None,
    audit: Audit | None,
    on_event: OnEvent | None,
) -> Receipt:
    """Train without the owner; return the receipt with what came of it."""
    run = RunFolder.open(forgetting.out)
    hook = publisher(run) if publisher else None
    try:
        ended = run_federation(forgetting.config, run, task, on_round=hook, on_event=on_event)
    except (DiscreetError, OSError) as error:
        return replace(receipt, retraining=failure(error), **_spent(forgetting))
    how = "no_part" if forgetting.rounds_kept else "exact"
    return replace(
        receipt,
        retraining=how if ended.ended == "completed" else "budget_exhausted",
        after=audit(ended.state) if audit else None,
        **_spent(forgetting),
    )


def _spent(forgetting: Forgetting) -> dict[str, Any]:
    """Return what each account of the next run has spent, beside what it had before."""
    accounts = PrivacyLedger.open(RunFolder(forgetting.out).ledger_path).accounts()
    before = {cost.account: cost.spent.epsilon for cost in forgetting.costs}
    after = {name: account.spent() for name, account in accounts.items()}
    about = [asdict(statement) for statement in after.values()][:1]
    return {
        "spent": {str(name): (before.get(name, 0.0), said.epsilon) for name, said in after.items()},
        "guarantee": {k: v for raw in about for k, v in raw.items() if k != "epsilon"},
    }


def _write(run: RunFolder, receipt: Receipt) -> None:
    run.write_json(RECEIPT, receipt.to_dict())
