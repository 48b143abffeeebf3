"""A few numbers of a run, for tables of many runs: what leaked, and whom it serves worse.

Each is what one audit would say with one attack that is fixed in advance, so that rows of a table
can be compared: nothing here is the best of several, but for epsilon, which is corrected for
that. Single runs are asked by `discreet audit`.

    gist_of(open_subject("latest", Path("runs"))).area        # 0.5: members are as others
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from discreet.audit.epsilon import LEAST, planted_of, scores_of
from discreet.audit.onlookers import QUESTIONS, portraits_of
from discreet.audit.pictured_twins import (
    ask_twins,
    compare_losses,
    loss_differences,
    write_for_pictures,
)
from discreet.audit.pools import members_and_others
from discreet.audit.served import held_out_people
from discreet.audit.subject import Subject
from discreet.bounds import f_dp_bound, one_run_bound
from discreet.data import Portrait, load_twins
from discreet.fairness import rates_of
from discreet.leakage import (
    IDENTITY,
    WITHHELD,
    Finding,
    Representation,
    measure_leakage,
    truth_of,
)
from discreet.membership import Membership, measure_membership, membership_scores
from discreet.model import (
    IMAGE_TOKEN,
    Row,
    answer_logits,
    build_prompt,
    collate,
    encode_images,
    load_adapter_state,
)
from discreet.types import Split

_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How many of everything are looked at."""

    members: int = 120
    """Examples of all owners together, and as many of others; at 1 % of false alarms, 100 are
    needed."""
    portraits: int = 140
    """Of each split, that probes are taught on and read."""
    people: int = 200
    """Whom nobody trained on; nothing is told of a group of fewer than 30."""
    twins: int = 16
    """People of whom pictures differ in one attribute."""
    written: int = 5
    """Of these, to both of whose pictures answers are written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gist:
    """What leaked of one run, and how it serves people."""

    members: float | None
    """Share of members found at 1 % of false alarms; None: there are too few others."""
    area: float
    """Chance that a member's loss fell further than another's; 0.5: nothing is told."""
    shown: float | None
    """At least this epsilon, of one example, was given away; None: there are too few canaries."""
    withheld: float
    """Labels that nothing may use, read of unseen people from what the model would say first, above
    the best constant guess; mean of the labels."""
    identity: float
    """The same of who it is, of known people."""
    gap: float
    """Largest difference of mean loss between two groups of any such label, nats a token."""
    worst: float
    """Mean loss of the group that is served worst, nats a token."""
    twins: float
    """Largest mean difference of loss between twins of one kind, nats a token."""
    flips: float
    """Share of twins' answers that differ in any letter; NaN: none were written."""


def gist_of(subject: Subject, counts: Counts | None = None) -> Gist:
    """Return a few numbers of a run.

    Args:
        subject: The run.
        counts: How many of everything are looked at.

    Raises:
        DataError: if the data hold nobody out.
    """
    counts = counts or Counts()
    found = members_told(subject, counts.members)
    shown = shown_epsilon(subject)
    read = read_of_portraits(subject, portraits_of(counts.portraits))
    served = held_out_people(subject, people=counts.people, pictures=1)
    losses = subject.losses(served.examples, subject.state)
    rates = [
        rate
        for groups in served.labels.values()
        for rate in rates_of(losses, groups, served.people).values()
        if rate is not None
    ]
    asked = ask_twins(load_twins(), people=counts.twins, seed=0)
    differences = compare_losses(asked, loss_differences(subject, asked))
    written = write_for_pictures(subject, asked.of_people(counts.written)) if counts.written else []
    return Gist(
        members=found.tpr,
        area=found.auc,
        shown=shown,
        withheld=_above_guessing(read, WITHHELD),
        identity=_above_guessing(read, (IDENTITY,)),
        gap=max((gap.value for gap in served.gaps(losses).values() if gap), default=float("nan")),
        worst=max((rate.value for rate in rates), default=float("nan")),
        twins=max(abs(one.difference) for one in differences.values()),
        flips=float(np.mean([first != second for first, second in written]))
        if written
        else float("nan"),
    )


def members_told(subject: Subject, most: int) -> Membership:
    """Return how well the fall of losses tells members of all owners from people held out.

    Args:
        subject: The run.
        most: Examples of all members; whole people are taken.
    """
    scores: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    people: tuple[list[object], list[object]] = ([], [])
    each = -(-most // len(subject.owners))
    for owner in subject.owners:
        pair = members_and_others(subject, owner, most=each, seed=0)
        for kind, own in enumerate(pair):
            before, after = (subject.losses(own, state) for state in (subject.first, subject.state))
            scores[kind].append(membership_scores(before, after))
            people[kind].extend(own.users)
    return measure_membership(np.concatenate(scores[0]), np.concatenate(scores[1]), *people)


def shown_epsilon(subject: Subject) -> float | None:
    """Return the better of two lower bounds on the epsilon of one example, at the plan's delta.

    Each is held to half of the error, so that the better one is right in 95 %.

    Of any run, also of one that promises nothing; None: fewer than `LEAST` canaries were drawn.
    """
    if not subject.plan.canaries * len(subject.owners) >= LEAST:
        return None
    planted = [planted_of(subject, owner) for owner in subject.owners]
    scores = np.concatenate([scores_of(subject, one) for one in planted])
    included = np.concatenate([one.included for one in planted])
    delta = subject.plan.delta
    bounds = (one_run_bound, f_dp_bound)
    return max(bound(scores, included, delta=delta, confidence=0.975).epsilon for bound in bounds)


def read_of_portraits(
    subject: Subject, people: Mapping[Split, list[Portrait]]
) -> dict[str, Finding]:
    """Return what is read of each label from what the model would say first, the picture given."""
    vlm = subject.task.vlm
    load_adapter_state(vlm, subject.state)
    seen = {split: _first_words(subject, own) for split, own in people.items()}
    found = measure_leakage(
        {"first words": Representation(features=lambda split: seen[split])},
        {split: truth_of(own) for split, own in people.items()},
        labels=(*WITHHELD, IDENTITY),
    )
    wanted = {(label, "unseen") for label in WITHHELD} | {(IDENTITY, "known")}
    return {one.label: one for one in found if (one.label, one.people) in wanted}


@torch.no_grad()
def _first_words(subject: Subject, portraits: list[Portrait]) -> np.ndarray:
    """Return (N, V) log-probabilities of the first token of an answer to a neutral question."""
    question, note = QUESTIONS[0]
    vlm = subject.task.vlm
    row = Row(messages=build_prompt(question, note=note, person=IMAGE_TOKEN), answer="Yes.")
    found = []
    for start in range(0, len(portraits), _AT_ONCE):
        images = [portrait.image for portrait in portraits[start : start + _AT_ONCE]]
        batch = collate(vlm, [row] * len(images))
        logits, _ = answer_logits(vlm, batch, encode_images(vlm, images))
        found.append(logits[:, 0].log_softmax(-1).cpu().numpy())
    return np.concatenate(found)


def _above_guessing(read: Mapping[str, Finding], labels: tuple[str, ...]) -> float:
    """Return the linear probe's mean advantage; one probe, so that none is chosen by its luck."""
    told = [
        score.advantage
        for label in labels
        if label in read
        for score in read[label].attacks
        if score.probe == "linear"
    ]
    return float(np.mean(told)) if told else float("nan")
