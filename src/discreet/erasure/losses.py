"""The membership audit of an owner's examples, on the resident model of a task.

    audit = auditor(task, OwnerId("owner-1"), portraits_like(task, OwnerId("owner-1")))
    audit(state).auc

Losses stay here; what comes out are an area, its interval and counts.
"""

from collections.abc import Callable

from discreet.audit import losses_under
from discreet.federated import AssistantTask, Lessons, State
from discreet.membership import Membership, measure_membership, membership_scores
from discreet.types import OwnerId


def auditor(
    task: AssistantTask, owner: OwnerId, held_out: Lessons
) -> Callable[[State], Membership]:
    """Return what measures how well an adapter's losses tell an owner's examples from others.

    The reference is the adapter before training, which is the base.
    """
    lessons = (task.lessons_of(owner), held_out)
    reference = [losses_under(task, one, task.initial_state()) for one in lessons]

    def audit(state: State) -> Membership:
        members, others = (
            membership_scores(base, losses_under(task, one, state))
            for base, one in zip(reference, lessons, strict=True)
        )
        return measure_membership(members, others, lessons[0].users, lessons[1].users)

    return audit
