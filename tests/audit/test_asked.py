"""Asking audits: alone, all of them, within some minutes, and not twice."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest

from discreet.artifacts import RunFolder, sha256_of_file
from discreet.audit import (
    EFFORTS,
    Asking,
    Audit,
    Effort,
    Subject,
    ask,
    ask_all,
    is_outdone,
    plan_audits,
)
from discreet.evidence import Evidence, read_evidence

SECONDS: dict[Effort, float] = {"quick": 10.0, "usual": 30.0, "thorough": 300.0}


def audit(name: str, **changes: object) -> Audit:
    def examine(subject: Subject, asking: Asking, on_done: Callable[[str], None]) -> Evidence:
        on_done("counting")
        says = (f"{len(subject.owners)} owners.",)
        return Evidence(audit="", title=name, says=says, values={"pair": (1, 2)})

    plain = Audit(
        name=name,
        question="How many?",
        examine=examine,
        seconds=lambda subject, asking: SECONDS[asking.effort],
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


THREE = {name: audit(name) for name in ("first", "second", "third")}


@pytest.fixture
def subject(private: Subject, tmp_path: Path) -> Subject:
    """The private run in a folder of its own."""
    run = RunFolder(tmp_path / "copy")
    copytree(private.run.path, run.path)
    return replace(private, adapter=replace(private.adapter, run=run))


def efforts(subject: Subject, **asked: object) -> list[Effort | None]:
    return [p.effort for p in plan_audits(THREE, subject, Asking(), **asked)]  # type: ignore[arg-type]


def test_what_was_asked_is_in_the_evidence(subject: Subject) -> None:
    told: list[str] = []
    found = ask(THREE["first"], subject, Asking(seed=3), told.append)
    assert (found.audit, found.run) == ("first", "copy")
    assert found.adapter_sha256 == subject.adapter.card.adapter_sha256
    assert subject.data is not None
    data = sha256_of_file(subject.data)
    assert found.settings == {"effort": "usual", "owners": None, "seed": 3, "data": data}
    assert "does not say what it was trained on" in found.limits[-1]
    assert found.verdict == "2 owners."
    assert found.values == {"pair": [1, 2]}, "as it will be read"
    assert found.seconds is not None
    assert told == ["counting"]


def test_without_a_limit_all_are_asked_with_the_effort_that_was_wished(subject: Subject) -> None:
    assert efforts(subject) == ["usual"] * 3


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (0.1, [None, None, None]),
        (0.2, ["quick", None, None]),
        (0.5, ["quick", "quick", "quick"]),
        (1.0, ["usual", "quick", "quick"]),
        (1.5, ["usual", "usual", "usual"]),
        (6.0, ["thorough", "usual", "usual"]),
        (60.0, ["thorough", "thorough", "thorough"]),
    ],
)
def test_a_budget_of_minutes_is_kept_and_used(
    subject: Subject, minutes: float, expected: list[Effort | None]
) -> None:
    plans = plan_audits(THREE, subject, Asking(), minutes=minutes)
    assert [plan.effort for plan in plans] == expected
    assert sum(plan.seconds for plan in plans if plan.effort) <= 60 * minutes
    for plan in plans:
        assert (plan.effort is None) == ("needs about" in plan.reason)


def test_each_is_written_before_the_next_begins(subject: Subject) -> None:
    plans = plan_audits(THREE, subject, Asking())
    for plan, found in ask_all(plans, subject, Asking(), made_by={"commit": "abc"}):
        assert read_evidence(subject.run, plan.audit.name) == found
        assert found is not None
        assert found.made_by == {"commit": "abc"}


def test_what_was_asked_before_stands_unless_asked_again(subject: Subject) -> None:
    for _ in ask_all(plan_audits(THREE, subject, Asking()), subject, Asking(), made_by={}):
        break  # killed after the first
    plans = plan_audits(THREE, subject, Asking())
    assert [plan.effort for plan in plans] == [None, "usual", "usual"]
    assert plans[0].reason == "asked before"
    done = list(ask_all(plans, subject, Asking(), made_by={}))
    assert all(found is not None for _, found in done)
    assert efforts(subject) == [None] * 3
    assert efforts(subject, again=True) == ["usual"] * 3
    assert efforts(subject, minutes=1.0) == [None] * 3, "more thorough than quick"
    assert efforts(subject, minutes=6.0) == ["thorough", None, None], "what is left deepens"


def test_what_was_asked_harder_outdoes_it_and_what_was_asked_otherwise_does_not(
    subject: Subject,
) -> None:
    first = THREE["first"]
    assert not is_outdone(first, subject, Asking(effort="quick")), "nothing was asked"
    list(ask_all(plan_audits(THREE, subject, Asking()), subject, Asking(), made_by={}))
    outdone = [is_outdone(first, subject, Asking(effort=effort)) for effort in EFFORTS]
    assert outdone == [True, False, False]
    assert not is_outdone(first, subject, Asking(effort="quick", seed=1))


def test_evidence_of_another_adapter_or_asking_does_not_stand(subject: Subject) -> None:
    list(ask_all(plan_audits(THREE, subject, Asking()), subject, Asking(), made_by={}))
    card = replace(subject.adapter.card, adapter_sha256="0" * 64)
    retrained = replace(subject, adapter=replace(subject.adapter, card=card))
    assert efforts(retrained) == ["usual"] * 3
    assert [p.effort for p in plan_audits(THREE, subject, Asking(seed=1))] == ["usual"] * 3


def test_what_a_run_lacks_is_said_and_nothing_else_stops(subject: Subject) -> None:
    table = {**THREE, "second": audit("second", lacks=lambda subject: "Expected canaries.")}
    plans = plan_audits(table, subject, Asking())
    assert [plan.effort for plan in plans] == ["usual", None, "usual"]
    assert plans[1].reason == "Expected canaries."
    found = {p.audit.name: f for p, f in ask_all(plans, subject, Asking(), made_by={})}
    assert found["second"] is None
    assert found["third"] is not None
    with pytest.raises(ValueError, match="Expected canaries"):
        ask(table["second"], subject, Asking())


def test_an_audit_that_cannot_say_anything_stops_no_other(subject: Subject) -> None:
    def refuse(*_: object) -> Evidence:
        raise ValueError("Expected more members.")

    table = {**THREE, "second": audit("second", examine=refuse)}
    done = list(ask_all(plan_audits(table, subject, Asking()), subject, Asking(), made_by={}))
    assert [found is not None for _, found in done] == [True, False, True]
    assert done[1][0].reason == "Expected more members."
    assert read_evidence(subject.run, "second") is None


def test_a_damaged_file_of_one_audit_stops_no_other(subject: Subject) -> None:
    def surprised(*_: object) -> Evidence:
        raise KeyError("somebody's name")

    table = {
        "first": audit("first", lacks=surprised),
        "second": audit("second", examine=surprised),
        "third": THREE["third"],
    }
    subject.run.audits_dir.mkdir(exist_ok=True)
    (subject.run.audits_dir / "third.json").write_text("{")
    plans = plan_audits(table, subject, Asking(), again=True)
    done = list(ask_all(plans, subject, Asking(), made_by={}))
    assert [found is not None for _, found in done] == [False, False, True]
    assert all("got KeyError" in plan.reason for plan, _ in done[:2])
    assert not any("somebody" in plan.reason for plan, _ in done)


def test_askings_that_are_none_are_refused() -> None:
    assert EFFORTS == ("quick", "usual", "thorough")
    with pytest.raises(ValueError, match="effort of quick, usual, thorough"):
        Asking(effort="lazy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 owner or more"):
        Asking(owners=0)
