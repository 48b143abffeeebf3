"""Audit: can a picture or words be reconstructed from what an owner sends?

Gradients of owners' examples at the first adapter, which the server knows, are attacked as the
server might: visual tokens are looked for whose gradient is like the one that was seen, and known
pictures are compared by theirs. Each is tried on one example, a batch, a step with the plan's
clipping and noise, the sum of all owners, and the updates that the run kept.
"""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from discreet.audit.asked import Asking, Audit, OnDone
from discreet.audit.inverting import (
    PLAN,
    Attacked,
    Known,
    Target,
    attack,
    know_others,
    seen_of,
)
from discreet.audit.naming import Named, name_tokens
from discreet.audit.reconstruction_words import (
    Reconstruction,
    of_no_protection,
    of_what_is_sent,
    of_words,
    plot_of,
    table_of,
    word_table,
)
from discreet.audit.subject import Subject
from discreet.evidence import Evidence
from discreet.federated import PortraitLessons
from discreet.intervals import ratio_interval, share_interval
from discreet.model import load_adapter_state
from discreet.reconstruction import Search, psnr, ssim

TARGETS = {"quick": 4, "usual": 12, "thorough": 40}
"""People of whom one example each is attacked."""
STEPS = {"quick": 10, "usual": 60, "thorough": 300}
GALLERY = {"quick": 8, "usual": 16, "thorough": 32}
TAUGHT = {"quick": 48, "usual": 200, "thorough": 2000}
"""Pictures of held-out people that the decoder is taught on."""
BATCH_SIZE = 8
_DRAWS = 2000
_LIMITS = (
    "The attacker is given all text of the example, the first adapter and pictures of others: it "
    "looks for the picture alone. Words are looked for by spans, which need no guess.",
    "Inversion from one start with few steps. Nothing found is no proof: longer searches, learnt "
    "priors and a server that chooses the model to its ends can find more.",
    "All people are compared with one gallery of others; another gallery gives other shares.",
    "What the vision tower does not hand on cannot come back from visual tokens: see `true visual "
    "tokens` in the table.",
)


def examine(subject: Subject, asking: Asking, on_done: OnDone) -> Evidence:
    """Attack one example each of some people, in each form in which the server might see it."""
    effort = asking.effort
    load_adapter_state(subject.task.vlm, subject.first)
    targets = targets_of(subject, asking)
    others = subject.others(targets[0].owner)
    assert isinstance(others, PortraitLessons), "asked in `_lacks`"
    known = know_others(others, gallery=GALLERY[effort], taught=TAUGHT[effort])
    found: dict[str, list[Attacked]] = {}
    named: dict[str, list[Named]] = {}
    search = Search(steps=STEPS[effort])
    for number, target in enumerate(targets, 1):
        on_done(f"gradients of person {number} of {len(targets)}")
        seen = seen_of(subject, target, size=BATCH_SIZE, seed=asking.seed)
        if not subject.spent:
            del seen[PLAN]  # nothing was protected so
        for name, one in attack(subject, target, known, seen, search).items():
            found.setdefault(name, []).append(one)
        for name, recovery in name_tokens(subject, target, seen).items():
            named.setdefault(name, []).append(recovery)
    measured = {name: measure(some, tries=2 * len(found)) for name, some in found.items()}
    references = references_of(targets, known)
    chance = 1 / GALLERY[effort]
    return Evidence(
        audit="reconstruction",
        title="Whether pictures or words come back from what owners send (gradient inversion)",
        says=(
            of_what_is_sent(measured, chance),
            of_no_protection(measured, chance),
            of_words(named),
        ),
        tables=(table_of(measured, references), word_table(named)),
        plots=(plot_of(measured, chance),),
        limits=_LIMITS,
        values={
            "pictures": {name: asdict(one) for name, one in measured.items()},
            "references": references,
            "gallery": GALLERY[effort],
            "words": {name: [asdict(one) for one in some] for name, some in named.items()},
        },
    )


def targets_of(subject: Subject, asking: Asking) -> list[Target]:
    """Return one example each of people drawn from all owners in turn, no canaries among them.

    Raises:
        ValueError: if there is nobody.
    """
    draw = np.random.default_rng(asking.seed)
    waiting: list[list[Target]] = []
    for owner in subject.owners[: asking.owners]:
        lessons = subject.members(owner)
        assert isinstance(lessons, PortraitLessons), "asked in `_lacks`"
        by_person: dict[str, int] = {}
        for place in draw.permutation(len(lessons)).tolist():
            example = lessons.examples[place]
            if example.question_id != example.identity_id:  # a canary is its own person
                by_person.setdefault(example.identity_id, place)
        places = by_person.values()
        waiting.append([Target(owner=owner, lessons=lessons, place=place) for place in places])
    found: list[Target] = []
    while any(waiting) and len(found) < TARGETS[asking.effort]:
        for some in waiting:
            if some and len(found) < TARGETS[asking.effort]:
                found.append(some.pop())
    if len(found) < 2:
        raise ValueError(f"Expected examples of two people or more, got {len(found)}.")
    return found


def measure(some: Sequence[Attacked], *, tries: int = 1) -> Reconstruction:
    """Return means and shares with 95 % intervals over people, one example each.

    Args:
        some: One of each person.
        tries: How many shares are looked at in all; their intervals hold at once (Bonferroni).
    """
    count = len(some)
    cosines = np.array([one.cosine for one in some])
    by_tokens = sum(one.found_by_tokens for one in some)
    by_gradient = sum(one.found_by_gradient for one in some)
    low, high = ratio_interval(cosines, np.ones(count), draws=_DRAWS)
    sure = 1 - 0.05 / tries
    tokens, gradient = (
        share_interval(found, count, confidence=sure) for found in (by_tokens, by_gradient)
    )
    return Reconstruction(
        people=count,
        cosine=float(cosines.mean()),
        cosine_low=low,
        cosine_high=high,
        by_tokens=by_tokens / count,
        by_tokens_low=tokens[0],
        by_tokens_high=tokens[1],
        by_gradient=by_gradient / count,
        by_gradient_low=gradient[0],
        by_gradient_high=gradient[1],
        psnr=float(np.mean([one.psnr for one in some])),
        ssim=float(np.mean([one.ssim for one in some])),
    )


def references_of(targets: Sequence[Target], known: Known) -> dict[str, dict[str, float]]:
    """Return PSNR and SSIM of what knows everything that visual tokens tell, and of nothing."""
    drawn = {
        "true visual tokens": [known.decoder.draw(one.tokens).float() for one in targets],
        "mean picture of others": [known.decoder.mean_picture.float() for _ in targets],
    }
    return {
        name: {
            "psnr": float(
                np.mean([psnr(a, t.picture) for a, t in zip(some, targets, strict=True)])
            ),
            "ssim": float(
                np.mean([ssim(a, t.picture) for a, t in zip(some, targets, strict=True)])
            ),
        }
        for name, some in drawn.items()
    }


def _lacks(subject: Subject) -> str | None:
    if subject.plan.examples != "portraits":
        return (
            f"Expected a run on portraits, got one on {subject.plan.examples}: nobody is held out "
            "to learn a decoder from."
        )
    if subject.plan.unit != "example" or subject.plan.aggregation not in ("ffa", "fedit"):
        return (
            "Expected a run that clips gradients of examples of an adapter's own factors, got unit "
            f"= '{subject.plan.unit}' and aggregation = '{subject.plan.aggregation}'."
        )
    return None


def _seconds(subject: Subject, asking: Asking) -> float:
    effort = asking.effort
    passes = 5 * 8 * STEPS[effort] + 3 * GALLERY[effort]
    batches = 3 * (1 + len(subject.owners)) * BATCH_SIZE
    each = (passes + batches + 3 * subject.plan.expected_batch_size) * subject.seconds_per_example
    return 10 + TARGETS[effort] * each


AUDIT = Audit(
    name="reconstruction",
    question="Do pictures or words come back from what an owner sends? Inverts gradients.",
    examine=examine,
    seconds=_seconds,
    lacks=_lacks,
)
