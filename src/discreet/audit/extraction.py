"""Audit: can planted secrets be read out of the trained adapter, or told from invented ones?

Canaries hold digits drawn at random, and fair coins planted half of them. Reading out: told the
question and the answer up to the secret, a beam search over all secrets of the form writes the
likeliest one. Exposure: the rank of each secret among others of its form, by how far the adapter
raised its log-probability above the base's. The canaries that stayed out are the placebo.
"""

from collections.abc import Sequence
from dataclasses import asdict

from discreet.audit.asked import Asking, Audit, OnDone
from discreet.audit.epsilon import LEAST
from discreet.audit.secrets import (
    AFTER_TRAINING,
    ALTERNATIVES,
    DIGITS,
    SECRETS,
    Secret,
    expose,
    extract,
    secrets_of,
)
from discreet.audit.subject import Subject
from discreet.evidence import Evidence, Interval, Intervals, Table
from discreet.membership import Exposures, Extracted, measure_extraction
from discreet.model import load_adapter_state

LEVEL = 0.05
WIDTHS = {"quick": (1, 4), "usual": (1, 8), "thorough": (1, 32)}
"""Of the searches; 1 is greedy."""
_LIMITS = (
    "The auditor knows the question and the words before the secret. Who does not has to guess "
    "these first.",
    "Invented numbers, each in the data once: what stands there more often is remembered more.",
    "Two searches. Nothing found is no proof that nothing can be read out.",
)


def examine(subject: Subject, asking: Asking, on_done: OnDone) -> Evidence:
    """Read secrets out, and compare each with others of its form."""
    secrets = secrets_of(subject, asking)
    extracted: dict[str, tuple[Extracted, Extracted]] = {}
    for width in WIDTHS[asking.effort]:
        name = "greedy search" if width == 1 else f"beam of {width}"
        on_done(f"reading secrets out: {name}")
        extracted[name] = _by_kind(subject, secrets, width)
    exposures, chance = expose(subject, secrets, asking, on_done)
    return Evidence(
        audit="extraction",
        title="Whether planted secrets can be read out (extraction, exposure)",
        says=(_in_a_sentence(extracted, chance), _about_exposure(exposures, chance)),
        tables=(_extraction_table(extracted), _exposure_table(exposures)),
        plots=(_plot(extracted),),
        limits=_LIMITS,
        values={
            "extracted": {
                name: {"planted": asdict(first), "others": asdict(second)}
                for name, (first, second) in extracted.items()
            },
            "exposures": {name: asdict(found) for name, found in exposures.items()},
            "alternatives": ALTERNATIVES[asking.effort],
            "chance": chance,
        },
    )


def _by_kind(
    subject: Subject, secrets: Sequence[Secret], width: int
) -> tuple[Extracted, Extracted]:
    """Return what is read out of secrets that were planted, and of those that were not."""
    load_adapter_state(subject.task.vlm, subject.state)
    kinds = []
    for is_planted in (True, False):
        some = [secret for secret in secrets if secret.is_planted == is_planted]
        found = [extract(subject, secret, width) for secret in some]
        kinds.append(measure_extraction(found, [s.tokens for s in some], [s.form for s in some]))
    return kinds[0], kinds[1]


def _in_a_sentence(extracted: dict[str, tuple[Extracted, Extracted]], chance: float) -> str:
    """Return what is read out, or else whether exposure tells planted secrets from others."""
    name, (planted, others) = max(extracted.items(), key=lambda item: item[1][0].exact)
    counted = (
        f"{planted.exact} of {planted.secrets} planted secrets are read out whole by the {name} "
        f"({planted.low:.0%} to {planted.high:.0%}), and {others.exact} of {others.secrets} that "
        "were never planted"
    )
    if planted.exact:
        return f"Secrets can be read out of this adapter, by whoever has it: {counted}."
    if chance < LEVEL:
        return (
            f"Not read out, but remembered: {counted}; exposure tells planted ones from others "
            f"({_chance(chance)})."
        )
    return f"Nothing found: {counted}; exposure does not tell them apart."


def _chance(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _about_exposure(exposures: dict[str, Exposures], chance: float) -> str:
    name = max(AFTER_TRAINING, key=lambda name: exposures[name].low)
    found = exposures[name]
    return (
        f"By the {name}, planted secrets are {found.planted:.2f} bits exposed, others "
        f"{found.others:.2f}: a difference of {found.difference:.2f} ({found.low:.2f} to "
        f"{found.high:.2f}; 95 % interval over secrets; at most {found.most:.1f} bits can be "
        f"seen). By coins thrown again, with the better of two scores told: {_chance(chance)}."
    )


def _extraction_table(extracted: dict[str, tuple[Extracted, Extracted]]) -> Table:
    return Table(
        title="Secrets read out (95 % intervals over secrets)",
        columns=("search", "secrets", "read out whole", "digits right", "digits by chance"),
        rows=tuple(
            (
                name,
                kind,
                f"{one.exact} of {one.secrets} ({one.low:.1%} to {one.high:.1%})",
                f"{one.tokens_right:.1%} ({one.tokens_low:.1%} to {one.tokens_high:.1%})",
                f"{one.tokens_by_chance:.0%}",
            )
            for name, kinds in extracted.items()
            for kind, one in zip(("planted", "never planted"), kinds, strict=True)
        ),
    )


def _exposure_table(exposures: dict[str, Exposures]) -> Table:
    return Table(
        title="Mean exposure in bits (95 % interval of the difference over secrets)",
        columns=("log-probability of", "planted", "never planted", "difference"),
        rows=tuple(
            (
                name,
                f"{one.planted:.2f}",
                f"{one.others:.2f}",
                f"{one.difference:.2f} ({one.low:.2f} to {one.high:.2f})",
            )
            for name, one in exposures.items()
        ),
    )


def _plot(extracted: dict[str, tuple[Extracted, Extracted]]) -> Intervals:
    return Intervals(
        title="Digits of secrets that are read out rightly",
        unit="share of digits, 95 % interval over secrets",
        rows=tuple(
            Interval(
                name=f"{kind}, {name}",
                value=one.tokens_right,
                low=one.tokens_low,
                high=one.tokens_high,
            )
            for name, kinds in extracted.items()
            for kind, one in zip(("planted", "never planted"), kinds, strict=True)
        ),
        reference=1 / len(DIGITS),
        reference_name="digits by chance",
    )


def _lacks(subject: Subject) -> str | None:
    count = subject.plan.canaries * len(subject.owners)
    if count < LEAST:
        return (
            f"Expected a run with at least {LEAST} canaries, got {count}: train one with "
            "`discreet train --set canaries=100`."
        )
    return None


def _seconds(subject: Subject, asking: Asking) -> float:
    canaries = subject.plan.canaries * len(subject.owners[: asking.owners])
    secrets = min(2 * SECRETS[asking.effort], canaries)
    rows = 2 * (1 + ALTERNATIVES[asking.effort]) + 8 * sum(WIDTHS[asking.effort])
    return 5 + 0.5 * secrets * rows * subject.seconds_per_example


AUDIT = Audit(
    name="extraction",
    question="Can planted secrets be read out of the adapter? Searches for their digits.",
    examine=examine,
    seconds=_seconds,
    lacks=_lacks,
)
