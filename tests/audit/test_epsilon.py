"""The audit by canaries: bounds beside the ledger's statement."""

from dataclasses import replace

import numpy as np
import pytest

from discreet.audit import AUDITS, Asking, Subject, ask
from discreet.audit.epsilon import planted_of, scores_of
from discreet.audit.subject import Numbers
from discreet.federated import Lessons, State, canaries_of
from discreet.types import OwnerId

AUDIT = AUDITS["epsilon"]


def test_a_private_run_is_not_contradicted(private: Subject) -> None:
    found = ask(AUDIT, private, Asking())
    assert not found.values["contradicted"]
    assert found.values["canaries"] == 80
    assert all(b["epsilon"] <= private.worst.epsilon for b in found.values["bounds"])  # type: ignore[union-attr]
    assert "nothing here contradicts it" in found.verdict
    assert "delta = 1e-05" in found.verdict


def test_canaries_are_those_of_the_plan_and_half_of_them_are_among_the_examples(
    private: Subject,
) -> None:
    owner = OwnerId("owner-0")
    planted = planted_of(private, owner)
    assert list(planted.canaries) == canaries_of(private.plan, owner)
    held = set(private.members(owner).users)
    assert [c.id in held for c in planted.canaries] == planted.included.tolist()
    assert len(scores_of(private, planted)) == 40


class Remembering(Subject):
    """A run whose adapter knows every example that it was trained on."""

    def losses(self, lessons: Lessons, state: State) -> Numbers:
        held = {user for owner in self.owners for user in self.members(owner).users}
        known = np.array([user in held for user in lessons.users])
        noise = np.random.default_rng(len(lessons)).normal(0, 0.1, len(known))
        return 5.0 - 2.0 * known * (state is self.state) + noise


def test_a_promise_that_was_not_kept_is_refuted(private: Subject) -> None:
    """Of 80 canaries all are guessed rightly: more than epsilon 1 allows."""
    remembering = Remembering(
        adapter=private.adapter,
        plan=private.plan,
        task=private.task,
        state=private.state,
        data=private.data,
    )
    assert private.worst is not None
    little = replace(private.worst, epsilon=1.0)
    vars(remembering)["spent"] = dict.fromkeys(private.owners, little)
    found = ask(AUDIT, remembering, Asking())
    assert found.values["contradicted"]
    assert "The stated epsilon of 1.00 is refuted" in found.verdict
    assert max(bound["epsilon"] for bound in found.values["bounds"]) > 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"canaries": 3}, "at least 20 canaries, got 6"), ({"unit": "user"}, "a canary is one")],
)
def test_what_a_run_lacks_is_said(private: Subject, changes: dict[str, object], says: str) -> None:
    users = {"examples_per_user": 3} if "unit" in changes else {}
    other = replace(private, plan=replace(private.plan, **changes, **users))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=says):
        ask(AUDIT, other, Asking())
