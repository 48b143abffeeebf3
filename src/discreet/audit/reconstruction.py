"""Audit: can a picture or words be reconstructed from what an owner sends?

Gradients of owners' examples at the first adapter, which the server knows, are attacked as the
server might: visual tokens are looked for whose gradient is like the one that was seen, and known
pictures are compared by theirs. Each is tried on one example, a batch, a step with the plan's
clipping and noise, the sum of all owners, and the updates that the run kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from discreet.audit.asked import Asking, Audit, OnDone
from discreet.audit.inverting import (
    BATCH,
    KEPT,
    ONE,
    PLAN,
    Attacked,
    Known,
    Target,
    attack,
    know_others,
    seen_of,
)
from discreet.audit.naming import Named, name_tokens
from discreet.audit.subject import Subject
from discreet.evidence import Evidence, Interval, Intervals, Table
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
FEW_HIGH = 0.5
"""Upper end of an interval above which nothing is called not found."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconstruction:
    """How well one thing that was seen gave pictures back; intervals are over people."""

    people: int
    cosine: float
    cosine_low: float
    cosine_high: float
    by_tokens: float
    by_tokens_low: float
    by_tokens_high: float
    by_gradient: float
    by_gradient_low: float
    by_gradient_high: float
    psnr: float
    ssim: float


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
        says=(_in_a_sentence(measured, chance), _unprotected(measured, chance), _of_words(named)),
        tables=(_table(measured, references), _word_table(named)),
        plots=(_plot(measured, chance),),
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


def _is_found(one: Reconstruction, chance: float) -> bool:
    """Return whether either attack finds pictures more often than chance explains."""
    return _surest(one) > chance


def _in_a_sentence(measured: Mapping[str, Reconstruction], chance: float) -> str:
    """Return what comes of what this run sends: as the plan protects it, or unprotected batches."""
    sent = [
        name for name in ((PLAN, KEPT) if PLAN in measured else (BATCH, KEPT)) if name in measured
    ]
    worst = max(sent, key=lambda n: _surest(measured[n]))
    one = measured[worst]
    said = (
        f"from {worst}, the true picture is found among {round(1 / chance)} by its gradient in "
        f"{one.by_gradient:.0%} ({one.by_gradient_low:.0%} to {one.by_gradient_high:.0%}), by "
        f"reconstructed tokens in {one.by_tokens:.0%} ({one.by_tokens_low:.0%} to "
        f"{one.by_tokens_high:.0%}) of {one.people} people; chance is {chance:.0%}"
    )
    if _is_found(one, chance):
        return f"Pictures are found in what owners send: {said}."
    if max(one.by_gradient_high, one.by_tokens_high) > FEW_HIGH:
        return f"Cannot be told of {one.people} people, try --effort usual: {said}."
    return f"Nothing found: {said}."


def _surest(one: Reconstruction) -> float:
    return max(one.by_tokens_low, one.by_gradient_low)


def _unprotected(measured: Mapping[str, Reconstruction], chance: float) -> str:
    one = measured[ONE]
    said = (
        f"found by its gradient in {one.by_gradient:.0%} ({one.by_gradient_low:.0%} to "
        f"{one.by_gradient_high:.0%}), tokens agree by {one.cosine:.2f} ({one.cosine_low:.2f} to "
        f"{one.cosine_high:.2f})"
    )
    if _is_found(one, chance):
        return f"The attack works where nothing protects one example: {said}."
    return (
        f"The attack fails even where nothing protects one example ({said}): it is too weak here "
        "to say what the plan's protection is worth."
    )


def _of_words(named: Mapping[str, Sequence[Named]]) -> str:
    if not named:
        return (
            "Words were not looked for: the adapter begins above the first layer, where what "
            "enters depends on all words before, so that no vocabulary can be compared."
        )
    alone = named[ONE]
    if all(one.is_full for one in alone):
        return (
            "No word can be told by spans, not even of one example: more tokens enter than the "
            f"adapter's rank ({alone[0].rank}), so that its gradient spans all there is."
        )
    return (
        f"By spans, {np.mean([one.recall for one in alone]):.0%} of the tokens of one example are "
        f"named without protection{_as_planned(named)}."
    )


def _as_planned(named: Mapping[str, Sequence[Named]]) -> str:
    if PLAN not in named:
        return ""
    return f", {np.mean([one.recall for one in named[PLAN]]):.0%} as this plan protects it"


def _table(
    measured: Mapping[str, Reconstruction], references: Mapping[str, Mapping[str, float]]
) -> Table:
    rows = [
        (
            name,
            f"{one.cosine:.2f} ({one.cosine_low:.2f} to {one.cosine_high:.2f})",
            f"{one.by_tokens:.0%} ({one.by_tokens_low:.0%} to {one.by_tokens_high:.0%})",
            f"{one.by_gradient:.0%} ({one.by_gradient_low:.0%} to {one.by_gradient_high:.0%})",
            f"{one.psnr:.1f}",
            f"{one.ssim:.2f}",
        )
        for name, one in measured.items()
    ]
    rows += [
        (name, "", "", "", f"{one['psnr']:.1f}", f"{one['ssim']:.2f}")
        for name, one in references.items()
    ]
    return Table(
        title="Pictures (95 % intervals over people)",
        columns=(
            "seen by the server",
            "tokens: cosine with the true ones",
            "found by tokens",
            "found by gradient",
            "PSNR, dB",
            "SSIM",
        ),
        rows=tuple(rows),
    )


def _word_table(named: Mapping[str, Sequence[Named]]) -> Table:
    return Table(
        title="Words named by spans (mean over people)",
        columns=("seen by the server", "tokens named", "precision", "recall"),
        rows=tuple(
            (
                name,
                f"{np.mean([one.named for one in some]):.1f}",
                f"{np.mean([one.precision for one in some]):.0%}",
                f"{np.mean([one.recall for one in some]):.0%}",
            )
            for name, some in named.items()
        ),
    )


def _plot(measured: Mapping[str, Reconstruction], chance: float) -> Intervals:
    return Intervals(
        title="The true picture found by its gradient",
        unit=f"share of people, 95 % interval, among {round(1 / chance)} pictures",
        rows=tuple(
            Interval(
                name=name,
                value=one.by_gradient,
                low=one.by_gradient_low,
                high=one.by_gradient_high,
            )
            for name, one in measured.items()
        ),
        reference=chance,
        reference_name="by chance",
    )


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
