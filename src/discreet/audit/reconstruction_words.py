"""What was reconstructed, in sentences, tables and a plot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from discreet.audit.inverting import BATCH, KEPT, ONE, PLAN
from discreet.audit.naming import Named
from discreet.evidence import Interval, Intervals, Table


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


def _is_found(one: Reconstruction, chance: float) -> bool:
    """Return whether either attack finds pictures more often than chance explains."""
    return _surest(one) > chance


def of_what_is_sent(measured: Mapping[str, Reconstruction], chance: float) -> str:
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
    if not _is_found(measured[ONE], chance):
        return (
            f"Cannot be told: even of one example without protection no picture is surely found of "
            f"{one.people} people, try --effort usual; {said}."
        )
    return f"Nothing found: {said}."


def _surest(one: Reconstruction) -> float:
    return max(one.by_tokens_low, one.by_gradient_low)


def of_no_protection(measured: Mapping[str, Reconstruction], chance: float) -> str:
    """Return whether the attack works at all, on one example without protection."""
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


def of_words(named: Mapping[str, Sequence[Named]]) -> str:
    """Return how many words are named by spans, or why none was looked for."""
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


def table_of(
    measured: Mapping[str, Reconstruction], references: Mapping[str, Mapping[str, float]]
) -> Table:
    """Return what came of pictures, a row for each thing that was seen, beside references."""
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


def word_table(named: Mapping[str, Sequence[Named]]) -> Table:
    """Return what came of words."""
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


def plot_of(measured: Mapping[str, Reconstruction], chance: float) -> Intervals:
    """Return how often the true picture is found by its gradient."""
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
