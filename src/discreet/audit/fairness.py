"""Audit: whom does it serve worse?

Of people whom nobody trained on: how likely the right answers are, what training gave each kind of
person, and what the perceiver sees of them. Of twins, two pictures that differ in one attribute
that nothing may use: what the assistant is told and answers behind each policy, and what the model
does when it is shown the picture itself. With most effort, the same plan is trained without
privacy, to say whom privacy costs more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from discreet.assistant import CONTEXT_OF, WIDEST_OF, gate_of, load_policy
from discreet.audit.asked import Asking, Audit, OnDone
from discreet.audit.baseline import run_without_privacy
from discreet.audit.fairness_words import Found, in_words
from discreet.audit.pictured_twins import (
    ask_twins,
    compare_answers,
    compare_losses,
    loss_differences,
    write_for_pictures,
)
from discreet.audit.served import Served, held_out_people, see_people
from discreet.audit.subject import Numbers, Subject
from discreet.audit.twin_answers import AnswerFlips, measure_answers, write_for_lines
from discreet.audit.twins import TwinFlips, is_warranted, lines_of, measure_twins, represent
from discreet.data import (
    Question,
    TwinPortraits,
    load_portraits,
    load_questions,
    load_twins,
    split_questions,
)
from discreet.evidence import Evidence
from discreet.model import load_adapter_state
from discreet.perception import Perceiver
from discreet.types import Domain, Observation

PEOPLE = {"quick": 150, "usual": 1_000_000, "thorough": 1_000_000}
"""Whom nobody trained on, at most."""
PICTURES = {"quick": 1, "usual": 1, "thorough": 7}
"""Of each of them, at most."""
TWINS = {"quick": 30, "usual": 100, "thorough": 300}
"""People of whom twins are compared."""
WRITTEN = {"quick": 0, "usual": 40, "thorough": 120}
"""People of whom answers to both pictures are written."""
QUESTIONS = {"quick": 1, "usual": 2, "thorough": 4}
"""Of each domain, asked by those of whom different words are told."""
ABOUT_HELD_OUT = 444
"""People whom the packaged data hold out."""
SECONDS_PER_PICTURE = 0.03
"""Of the perceiver."""
ANSWER_IN_EXAMPLES = 4
"""About how many losses take as long as one answer."""
Seen = list[tuple[Sequence[Observation], Sequence[Observation]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Behind:
    """What is measured behind the policy of one domain."""

    words: TwinFlips
    answers: AnswerFlips


def examine(subject: Subject, asking: Asking, on_done: OnDone) -> Evidence:
    """Measure gaps between kinds of people, and differences between twins."""
    effort = asking.effort
    on_done("people whom nobody trained on")
    served = held_out_people(subject, people=PEOPLE[effort], pictures=PICTURES[effort])
    after, before = (
        subject.losses(served.examples, state) for state in (subject.state, subject.first)
    )
    on_done("what is seen of them")
    perceiver = Perceiver.load()
    seen, watched = see_people(perceiver, load_portraits("test"), pictures=PICTURES[effort])
    twins = _of_people(load_twins(), TWINS[effort])
    behind = _behind_policies(subject, asking, twins, perceiver, on_done)
    on_done("twins, as the model sees their pictures")
    asked = ask_twins(twins, people=TWINS[effort], seed=asking.seed)
    losses = compare_losses(asked, loss_differences(subject, asked))
    written = {}
    if WRITTEN[effort]:
        on_done("answers to twins' pictures")
        few = asked.of_people(WRITTEN[effort])
        written = compare_answers(few, write_for_pictures(subject, few))
    without = _without_privacy(subject, served, on_done) if effort == "thorough" else None
    return in_words(
        Found(
            people=served.count,
            loss=float(after.mean()),
            gain=float((before - after).mean()),
            loss_gaps=served.gaps(after),
            gain_gaps=served.gaps(before - after),
            cost=None if without is None else float((after - without).mean()),
            cost_gaps={} if without is None else served.gaps(after - without),
            watched=watched,
            seen=seen,
            words={context: found.words for context, found in behind.items()},
            answers={context: found.answers for context, found in behind.items()},
            twins=len(set(asked.people)),
            losses=losses,
            written=written,
        ),
        subject.worst,
    )


def _behind_policies(
    subject: Subject,
    asking: Asking,
    twins: list[TwinPortraits],
    perceiver: Perceiver,
    on_done: OnDone,
) -> dict[str, _Behind]:
    """Return by context how words and answers differ behind its policy."""
    on_done("what the assistant is told of twins")
    looked = represent(perceiver.observe, twins)
    seen: Seen = [(first, second) for first, second in looked]
    load_adapter_state(subject.task.vlm, subject.state)
    found = {}
    for domain, context in CONTEXT_OF.items():
        through = gate_of(load_policy(context), WIDEST_OF[domain])
        on_done(f"answers to twins behind the policy for {context}")
        kept = [place for place, pair in enumerate(twins) if not is_warranted(pair.kind, through)]
        found[context] = _Behind(
            words=measure_twins(twins, seen, through),
            answers=measure_answers(
                [twins[place] for place in kept],
                lines_of([seen[place] for place in kept], through),
                _held_out(domain, QUESTIONS[asking.effort]),
                partial(write_for_lines, subject.task.vlm),
            ),
        )
    return found


def _without_privacy(subject: Subject, served: Served, on_done: OnDone) -> Numbers:
    """Return the losses of the same people after the same plan without clipping and noise."""
    on_done("training without privacy, to compare with")
    return subject.losses(served.examples, run_without_privacy(subject.task))


def _of_people(pairs: list[TwinPortraits], count: int) -> list[TwinPortraits]:
    first = set(list(dict.fromkeys(pair.identity_id for pair in pairs))[:count])
    return [pair for pair in pairs if pair.identity_id in first]


def _held_out(domain: Domain, count: int) -> list[Question]:
    return [q for q in split_questions(load_questions()).held_out if q.domain == domain][:count]


def _seconds(subject: Subject, asking: Asking) -> float:
    effort = asking.effort
    looked = 16 * TWINS[effort] + 300 * PICTURES[effort]
    losses = 2 * min(PEOPLE[effort], ABOUT_HELD_OUT) * PICTURES[effort] + 6 * TWINS[effort]
    answers = 12 * WRITTEN[effort] + 20 * QUESTIONS[effort]
    plain = subject.seconds_of_training if effort == "thorough" else 0.0
    examples = losses + ANSWER_IN_EXAMPLES * answers
    return 10 + SECONDS_PER_PICTURE * looked + examples * subject.seconds_per_example + plain


AUDIT = Audit(
    name="fairness",
    question="Whom does it serve worse? Compares kinds of people, and twins that differ in one.",
    examine=examine,
    seconds=_seconds,
)
