"""What a run folder says of its rounds: the lines that are added, and what is read of them.

Lines are made before they are written, so that a checkpoint can hold those of its own round.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from discreet.artifacts import RunFolder
from discreet.federated.checkpoint import Checkpoint
from discreet.federated.config import TrainConfig
from discreet.federated.events import RoundDone
from discreet.federated.plans import is_secret_choice
from discreet.federated.receipts import RoundReport
from discreet.metrics import last_number, statement_of
from discreet.privacy import PrivacyLedger
from discreet.types import PrivacyStatement


def round_done(
    run: RunFolder,
    server_round: int,
    num_rounds: int,
    lines: Iterable[Mapping[str, Any]] | None = None,
) -> RoundDone:
    """Return what whoever watches is told of a round, from what the run folder says of it.

    Args:
        run: The folder.
        server_round: Which round.
        num_rounds: Of the whole plan.
        lines: The round's metrics where they are at hand; the file has those of all rounds.
    """
    known = run.read_metrics() if lines is None else lines
    lines = [line for line in known if line["round"] == server_round]
    return RoundDone(
        server_round=server_round,
        num_rounds=num_rounds,
        replies=int(last_number(lines, "replies") or 0),
        dropped=sum(line["name"] == "dropped" for line in lines),
        faults=sum(line["name"] == "fault" for line in lines),
        bytes_down=int(last_number(lines, "bytes_down") or 0),
        bytes_up=int(last_number(lines, "bytes_up") or 0),
        seconds=last_number(lines, "seconds") or 0.0,
        is_released=all(line["visibility"] == "released" for line in lines if "owner" not in line),
        loss=last_number(lines, "loss"),
        spent=max(statements_of(run).values(), key=lambda s: s.epsilon, default=None),
    )


def statements_of(run: RunFolder) -> dict[str, PrivacyStatement]:
    """Return what was spent, as far as it is known where the run folder is.

    The accounts of the run's own ledger, if it has any: of simulated owners, or of a server that
    adds the noise. Else what the nodes said.
    """
    if run.ledger_path.exists():
        ledger = PrivacyLedger.open(run.ledger_path)
        if accounts := ledger.accounts():  # read once, and not once for each
            return {str(owner): account.spent() for owner, account in accounts.items()}
    return released_statements(run)


def released_statements(run: RunFolder) -> dict[str, PrivacyStatement]:
    """Return what each node last said it has spent; `node-<id>` stands for the owner.

    The server knows no more than this: a node that lost a reply has spent more than it said.
    """
    spent: dict[str, PrivacyStatement] = {}
    for line in run.read_metrics():
        if line["name"] == "epsilon" and "node" in line:
            spent[f"node-{line['node']}"] = statement_of(line)
    return spent


def lines_of(
    config: TrainConfig, run: RunFolder, report: RoundReport, now: Checkpoint
) -> tuple[Mapping[str, object], ...]:
    """Return what the server learned in a round as lines for the metrics.

    Where epsilon counts on a secret choice of owners, how many were asked or replied stays local.
    """
    line = {"round": report.server_round, "visibility": "released"}
    seen = {**line, "visibility": "local"} if is_secret_choice(config) else line
    lines: list[dict[str, object]] = [{**seen, "name": "replies", "value": len(report.steps)}]
    for node, reason in report.dropped.items():
        lines.append({**seen, "name": "dropped", "node": node, "value": 1, "reason": reason})
    for node, reason in report.faults.items():
        lines.append({**seen, "name": "fault", "node": node, "value": 1, "reason": reason})
    for node, spent in sorted(report.statements.items()):
        steps = {**line, "name": "steps", "node": node, "value": report.steps[node]}
        lines += [steps, {**steps, **_epsilon(spent)}]
    for node, loss in sorted(report.losses.items()):
        lines.append({**line, "name": "loss", "node": node, "value": loss})
    if report.loss is not None:
        lines.append({**line, "name": "loss", "value": report.loss})
    for name in ("bytes_down", "bytes_up", "seconds"):
        lines.append({**seen, "name": name, "value": round(getattr(report, name), 3)})
    if now.clip_norm is not None:
        lines.append({**line, "name": "clip_norm", "value": now.clip_norm})
    if is_secret_choice(config):
        lines += [{**line, **_epsilon(spent)} for spent in statements_of(run).values()]
    return tuple(lines)


def _epsilon(spent: PrivacyStatement) -> dict[str, object]:
    """Return the part of a line that says what was spent."""
    guarantee = {key: value for key, value in asdict(spent).items() if key != "epsilon"}
    return {"name": "epsilon", "value": spent.epsilon, **guarantee}


def line_of_end(server_round: int, reason: str) -> Mapping[str, object]:
    """Return the line that says why a run ended before its last round."""
    line = {"round": server_round, "name": "ended", "value": "budget_exhausted"}
    return {**line, "reason": reason, "visibility": "released"}
