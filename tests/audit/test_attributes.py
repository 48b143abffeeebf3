"""Labels that are in what is handed on are read, and none where there is none."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from discreet.audit import AUDITS, Asking, Subject, ask
from discreet.audit.attributes import evidence_of_findings, surely_read
from discreet.audit.chances import below_holm, p_of_estimate, p_of_mean
from discreet.audit.onlookers import SAID, TOKENS, VIEWS, portraits_of
from discreet.audit.owner_labels import guess_owners_labels, make_owners, unit_rows
from discreet.evidence import as_record, evidence_of
from discreet.leakage import (
    Finding,
    Representation,
    Truth,
    guess_shares,
    infer_shares,
    measure_leakage,
    truth_of,
)
from discreet.types import Split


@pytest.fixture(scope="module")
def truth() -> Mapping[Split, Truth]:
    return {split: truth_of(own) for split, own in portraits_of(420).items()}


def found_in(truth: Mapping[Split, Truth], *, planted: bool) -> list[Finding]:
    """What probes read where one label is handed on, or nothing but noise."""
    draw = np.random.default_rng(2)
    rows: dict[Split, np.ndarray] = {}
    for split, own in truth.items():
        is_one = (own.labels["gender_presentation"] == "feminine").astype(float)
        noise = draw.normal(size=(len(is_one), 4))
        rows[split] = np.column_stack([noise, is_one if planted else draw.normal(size=len(is_one))])
    shown = {"handed on": Representation(features=lambda split: rows[split])}
    labels = ("gender_presentation", "ethnicity")
    return measure_leakage(shown, truth, labels=labels, familiarities=("unseen",))


def test_a_label_that_is_handed_on_is_read_and_another_is_not(
    truth: Mapping[Split, Truth],
) -> None:
    found = found_in(truth, planted=True)
    assert surely_read(found) == [True, False]
    evidence = evidence_of_findings(found)
    assert "gender_presentation" in evidence.verdict
    assert "ethnicity" not in evidence.verdict


def test_nothing_is_read_of_noise(truth: Mapping[Split, Truth]) -> None:
    found = found_in(truth, planted=False)
    assert surely_read(found) == [False, False]
    assert evidence_of_findings(found).verdict.startswith("In none of 2 questions")


def test_an_audit_reads_every_onlooker(private: Subject) -> None:
    found = ask(AUDITS["attributes"], private, Asking(effort="quick"))
    seen = {row[0] for row in found.tables[0].rows}
    assert {VIEWS, TOKENS, SAID} <= seen
    assert any(name.startswith("answers") for name in seen)
    assert evidence_of(as_record(found)) == found
    names = {one.identity_id for own in portraits_of(140).values() for one in own}
    assert not any(name in str(as_record(found)) for name in names)
    assert "No owner's update was read" in found.says[1]


def test_shares_of_made_up_owners_are_guessed_where_steps_tell_them() -> None:
    draw = np.random.default_rng(1)
    has = np.arange(60) % 3 == 0
    telling = draw.normal(size=(60, 12)) + np.outer(has, 3 * np.ones(12))
    placebo = draw.normal(size=(60, 12))
    for steps, is_told in ((telling, True), (placebo, False)):
        shadows = make_owners(steps[:30], has[:30], draw)
        others = make_owners(steps[30:], has[30:], draw)
        found = infer_shares(*shadows, *others)
        assert found.is_above_chance == is_told
        assert guess_shares(*shadows, unit_rows(steps[:2])).shape == (2,)
    assert np.linalg.norm(unit_rows(telling), axis=1) == pytest.approx(np.ones(60))


def test_updates_that_were_kept_are_read(private: Subject) -> None:
    few = replace(private)
    found = guess_owners_labels(few, people=24, seed=0, on_done=lambda doing: None)
    assert found
    for one in found:
        assert set(one.guesses) == {"owner-0", "owner-1"}
        assert all(0 <= share <= 1 for share in one.shares.values())


def test_chances_are_those_of_student_and_corrected() -> None:
    draw = np.random.default_rng(3)
    assert p_of_mean(np.array([1.0, 1.0, 1.0])) == 0.125
    assert p_of_mean(np.array([0.0, 0.0])) == 1.0
    assert p_of_estimate(0.0, 1.0, 9) == pytest.approx(0.5)
    small = [p_of_mean(draw.normal(size=12)) < 0.05 for _ in range(400)]
    assert np.mean(small) < 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
    assert below_holm([0.001, 0.04, 0.03]) == [True, False, False]
