"""Adapters that the auditor trains as the run's was, and what LiRA makes of them."""

from dataclasses import replace

import numpy as np
import pytest

from discreet.audit import AUDITS, Asking, Subject, ask
from discreet.audit.pools import Pool, members_and_others
from discreet.audit.shadows import coins_of_people, train_shadows
from discreet.membership import likelihood_scores


def test_shadows_of_a_private_run_are_trained_privately_on_whole_people(private: Subject) -> None:
    owner = private.owners[0]
    pool = Pool(members_and_others(private, owner, most=8, seed=0))
    told: list[str] = []
    found = train_shadows(private, {owner: pool}, 2, seed=0, on_done=told.append)[owner]
    assert found.losses.shape == found.inside.shape == (2, len(pool))
    assert np.isfinite(found.losses).all()
    assert told == ["training shadow adapter 1 of 2", "training shadow adapter 2 of 2"]
    for inside in found.inside:
        for person in set(pool.users):
            own = [user == person for user in pool.users]
            assert len(set(inside[own].tolist())) == 1
    first = private.losses(pool, private.first)
    assert not np.allclose(found.losses[0], first), "something was learnt"
    assert not private.run.path.joinpath("shadow").exists()


def test_shadows_of_a_run_learnt_by_heart_know_what_they_learnt(by_heart: Subject) -> None:
    """The truth is known: five shadows tell what the sixth was trained on."""
    owner = by_heart.owners[0]
    subject = replace(by_heart, plan=replace(by_heart.plan, local_steps=25))
    pool = Pool(members_and_others(subject, owner, most=14, seed=0))
    found = train_shadows(subject, {owner: pool}, 6, seed=1)[owner]
    won = []
    for place in range(6):
        rest = np.arange(6) != place
        losses, inside = found.losses[rest], found.inside[rest]
        mixed = inside.any(0) & (~inside).any(0)
        asked = found.inside[place][mixed]
        scores = likelihood_scores(found.losses[place][mixed], losses[:, mixed], inside[:, mixed])
        won.append((scores[asked][:, None] > scores[~asked]).mean())
    assert np.mean(won) > 0.6, "a coin: 0.5"


def test_the_thorough_audit_of_members_uses_them(
    private: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("discreet.audit.membership.SHADOWS", {"thorough": 2})
    monkeypatch.setattr("discreet.audit.membership.MOST_EXAMPLES", {"thorough": 12})
    found = ask(AUDITS["membership"], private, Asking(effort="thorough", owners=1))
    assert "LiRA, shadow adapters" in found.values["attacks"]


def test_whole_people_are_in_or_out_and_never_all_of_them(private: Subject) -> None:
    lessons = private.members(private.owners[0])
    for seed in range(20):
        inside = coins_of_people(lessons, np.random.default_rng(seed))
        assert 0 < inside.sum() < len(lessons)
