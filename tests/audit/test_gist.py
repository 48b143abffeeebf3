"""The few numbers of a run agree with its audits, and see what was learnt by heart."""

import math

import numpy as np
import pytest

from discreet.audit import AUDITS, Asking, Counts, Subject, ask, gist_of
from discreet.audit.gist import members_told, read_of_portraits, shown_epsilon
from discreet.audit.onlookers import portraits_of

FEW = Counts(members=28, portraits=28, people=30, twins=3, written=0)


def test_a_private_run_in_a_few_numbers(private: Subject) -> None:
    found = gist_of(private, FEW)
    assert found.members is None or 0 <= found.members <= 1
    assert 0 <= found.area <= 1
    assert math.isnan(found.gap), "of these people no label is known"
    assert found.twins >= 0
    assert math.isnan(found.flips)


def test_what_is_shown_of_epsilon_is_what_the_audit_shows(private: Subject) -> None:
    bounds = ask(AUDITS["epsilon"], private, Asking()).values["bounds"]
    assert shown_epsilon(private) == pytest.approx(max(bound["epsilon"] for bound in bounds))


def test_without_canaries_nothing_is_said_of_epsilon(by_heart: Subject) -> None:
    assert shown_epsilon(by_heart) is None


def test_members_learnt_by_heart_are_told(by_heart: Subject, private: Subject) -> None:
    most = 100
    audited = ask(AUDITS["membership"], by_heart, Asking()).values["attacks"]
    found = members_told(by_heart, most)
    assert found.auc == pytest.approx(audited["loss less the base's"]["auc"], abs=0.05)
    assert found.auc > members_told(private, most).auc


def test_each_label_is_read_of_whom_it_should_be(private: Subject) -> None:
    read = read_of_portraits(private, portraits_of(28))
    assert read["identity"].people == "known"
    assert read["skin_tone"].people == "unseen"
    assert {score.probe for score in read["identity"].attacks} == {"linear", "mlp", "knn"}
    assert all(np.isfinite(score.advantage) for one in read.values() for score in one.attacks)
