"""What an audit is, and asking it: one, or as many as fit into some minutes.

An audit is one file beside this one that ends in an `Audit`; `audits.py` lists them. It gets a
`Subject` and gives `Evidence`; what it costs is said before it is asked, so that a budget of
minutes can be kept.

    found = ask(AUDITS["membership"], subject, Asking(effort="quick"))
    found.verdict
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from discreet.artifacts import sha256_of_file
from discreet.audit.candidates import digests_of
from discreet.audit.subject import Subject
from discreet.errors import DiscreetError
from discreet.evidence import Evidence, read_evidence, write_evidence

_UNKNOWN_DATA = (
    "The run does not say what it was trained on: those whom --data names, or else the people who "
    "ship, were taken for its members."
)
Effort = Literal["quick", "usual", "thorough"]
"""How much is tried: fewer examples and attacks, what is usual, or all that there is."""
EFFORTS: tuple[Effort, ...] = get_args(Effort)
OnDone = Callable[[str], None]
"""Told in a few words what is being done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asking:
    """How an audit is asked; the same asking of the same adapter gives the same kind of answer."""

    effort: Effort = "usual"
    owners: int | None = None
    """Ask of so many owners, the first ones; None: of all."""
    seed: int = 0
    """Of every draw of the auditor."""

    def __post_init__(self) -> None:
        """Refuse an unknown effort, and no owner."""
        if self.effort not in EFFORTS or (self.owners is not None and self.owners < 1):
            raise ValueError(
                f"Expected an effort of {', '.join(EFFORTS)} and 1 owner or more, got "
                f"'{self.effort}' and {self.owners}. Correct them."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """One question to a run."""

    name: str
    """Of the command, and of the file in `audits/`."""
    question: str
    """In one line, for people."""
    examine: Callable[[Subject, Asking, OnDone], Evidence]
    seconds: Callable[[Subject, Asking], float]
    """About how long it takes on this machine."""
    lacks: Callable[[Subject], str | None] = lambda subject: None
    """Says what the run has not, without which nothing can be asked; None: nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """What is to become of one audit."""

    audit: Audit
    effort: Effort | None
    """None: it is not asked now."""
    seconds: float
    reason: str = ""
    """Why it is not asked."""
    known: Evidence | None = None
    """What was found before, which stands."""


def ask(
    audit: Audit, subject: Subject, asking: Asking, on_done: OnDone = lambda doing: None
) -> Evidence:
    """Ask one audit of a run, and return what it found; nothing is written.

    Raises:
        ValueError: if the run lacks what the audit needs.
    """
    if missing := audit.lacks(subject):
        raise ValueError(missing)
    start = time.perf_counter()
    found = audit.examine(subject, asking, on_done)
    return replace(
        found,
        audit=audit.name,
        run=subject.run.id,
        adapter_sha256=subject.adapter.card.adapter_sha256,
        limits=(*found.limits, *([] if subject.is_data_known else [_UNKNOWN_DATA])),
        settings=settings_of(subject, asking),
        values=json.loads(json.dumps(found.values, allow_nan=False)),  # as it will be read
        seconds=round(time.perf_counter() - start, 1),
    )


def settings_of(subject: Subject, asking: Asking) -> dict[str, Any]:
    """Return what was asked, as evidence keeps it; files by their hashes, and only if there are."""
    data = subject.data
    named: dict[str, Any] = {"data": "packaged" if data is None else sha256_of_file(data)}
    if subject.others_data is not None:
        named["others"] = sha256_of_file(subject.others_data)
    if subject.candidates:
        named["candidates"] = digests_of(subject.candidates)
    return asdict(asking) | named


def stands(found: Evidence | None, subject: Subject, asking: Asking) -> bool:
    """Return whether evidence is of this adapter, and was asked in this way."""
    return (
        found is not None
        and found.adapter_sha256 == subject.adapter.card.adapter_sha256
        and found.settings == settings_of(subject, asking)
    )


def plan_audits(
    audits: Mapping[str, Audit],
    subject: Subject,
    asking: Asking,
    *,
    minutes: float | None = None,
    again: bool = False,
) -> list[Planned]:
    """Return which audits are asked, and with which effort.

    With `minutes`, each is asked quickly as long as there is time, in the order of the table; what
    time is left makes the first ones more thorough, also those that were asked before. What was
    asked before, as thoroughly or more, stands and costs nothing.

    Args:
        audits: By name, the most telling first.
        subject: The run.
        asking: Its effort is what is tried without a limit of time.
        minutes: Of all audits together; None: no limit.
        again: Ask also what was asked before.
    """
    plans = [_first_plan(audit, subject, asking, minutes, again) for audit in audits.values()]
    if minutes is None:
        return plans
    left = minutes * 60
    for place, plan in enumerate(plans):
        if plan.effort is None:
            continue
        if plan.seconds > left:
            reason = f"needs about {plan.seconds / 60:.1f} minutes, {left / 60:.1f} are left"
            plans[place] = replace(plan, effort=None, reason=reason)
        else:
            left -= plan.seconds
    for effort in EFFORTS[1:]:
        for place, plan in enumerate(plans):
            if plan.effort is None and plan.known is None:
                continue
            if plan.known is not None and _rank(plan.known) >= EFFORTS.index(effort):
                continue
            seconds = plan.audit.seconds(subject, replace(asking, effort=effort))
            spent = plan.seconds if plan.effort else 0.0
            if seconds - spent <= left:
                left -= seconds - spent
                plans[place] = replace(plan, effort=effort, seconds=seconds, reason="")
    return plans


def is_outdone(audit: Audit, subject: Subject, asking: Asking) -> bool:
    """Return whether the run holds what the same audit found when it was asked harder.

    Raises:
        DiscreetError: if the file of what it found is damaged.
    """
    known = read_evidence(subject.run, audit.name)
    harder = EFFORTS[EFFORTS.index(asking.effort) + 1 :]
    return any(stands(known, subject, replace(asking, effort=effort)) for effort in harder)


def ask_all(
    plans: list[Planned],
    subject: Subject,
    asking: Asking,
    *,
    made_by: Mapping[str, Any],
    on_done: OnDone = lambda doing: None,
) -> Iterator[tuple[Planned, Evidence | None]]:
    """Ask what is planned, one after the other; each is written before the next begins.

    What was found before is yielded as it stands; None where nothing was asked. An audit that
    cannot say anything of this run stops no other: its plan comes back with the reason.

    Args:
        plans: Of `plan_audits`.
        subject: The run.
        asking: As in `plan_audits`.
        made_by: Commit and machine, for the records.
        on_done: Told what is being done.
    """
    for plan in plans:
        if plan.effort is None:
            yield plan, plan.known
            continue
        try:
            found = ask(plan.audit, subject, replace(asking, effort=plan.effort), on_done)
        except (DiscreetError, ValueError) as error:
            yield replace(plan, effort=None, reason=str(error)), plan.known
            continue
        except Exception as error:
            yield replace(plan, effort=None, reason=_broken(error)), plan.known
            continue
        found = replace(found, made_by=made_by)
        write_evidence(subject.run, found)
        yield plan, found


def _first_plan(
    audit: Audit, subject: Subject, asking: Asking, minutes: float | None, again: bool
) -> Planned:
    """Return the plan of one audit before time is shared out; one that cannot be planned says why.

    A damaged file of one audit stops no other.
    """
    effort = asking.effort if minutes is None else EFFORTS[0]
    at_least = EFFORTS[EFFORTS.index(effort) :]
    try:
        if missing := audit.lacks(subject):
            return Planned(audit=audit, effort=None, seconds=0, reason=missing)
        known = None if again else read_evidence(subject.run, audit.name)
        if any(stands(known, subject, replace(asking, effort=e)) for e in at_least):
            return Planned(audit=audit, effort=None, seconds=0, reason="asked before", known=known)
        seconds = audit.seconds(subject, replace(asking, effort=effort))
    except (DiscreetError, ValueError) as error:
        return Planned(audit=audit, effort=None, seconds=0, reason=str(error))
    except Exception as error:
        return Planned(audit=audit, effort=None, seconds=0, reason=_broken(error))
    return Planned(audit=audit, effort=effort, seconds=seconds)


def _rank(found: Evidence) -> int:
    """Return how much was tried when evidence was found."""
    return EFFORTS.index(found.settings["effort"])


def _broken(error: Exception) -> str:
    """Return what is said of an error that nobody foresaw: its kind, and none of its words."""
    return (
        f"Expected an audit that ends, got {type(error).__name__}: the run's files are not as it "
        "expects. Ask it alone to see where; `--again` asks what was asked before."
    )
