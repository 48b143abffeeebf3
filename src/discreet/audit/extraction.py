"""Audit: can planted secrets be read out of the trained adapter, or told from invented ones?

Canaries hold digits drawn at random, and fair coins planted half of them. Reading out: told the
question and the answer up to the secret, a beam search over all secrets of the form writes the
likeliest one. Exposure: the rank of each secret among others of its form, by how far the adapter
raised its log-probability above the base's. The canaries that stayed out are the placebo.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch

from discreet.audit.asked import Asking, Audit, OnDone
from discreet.audit.epsilon import LEAST, planted_of
from discreet.audit.subject import Numbers, Subject
from discreet.evidence import Evidence, Interval, Intervals, Table
from discreet.federated import PortraitLessons, presentations
from discreet.membership import (
    Exposures,
    Extracted,
    compare_exposures,
    exposure_of,
    measure_extraction,
    read_out,
)
from discreet.model import (
    EncodedRow,
    Vlm,
    answer_log_probs,
    answer_logits,
    collate,
    load_adapter_state,
    pad_rows,
)

SECRETS = {"quick": 20, "usual": 60, "thorough": 1_000_000}
"""Of each kind, planted and not; the first ones of each owner."""
ALTERNATIVES = {"quick": 15, "usual": 63, "thorough": 255}
"""Other secrets of the form with which each is compared."""
WIDTHS = {"quick": (1, 4), "usual": (1, 8), "thorough": (1, 32)}
"""Of the searches; 1 is greedy."""
AFTER_TRAINING = ("adapter less base", "adapter alone")
"""Scores of which either can show that a secret is remembered."""
DIGITS = "0123456789"
_LIMITS = (
    "The auditor knows the question and the words before the secret. Who does not has to guess "
    "these first.",
    "Invented numbers, each in the data once: what stands there more often is remembered more.",
    "Two searches. Nothing found is no proof that nothing can be read out.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """One canary as tokens."""

    ids: torch.Tensor = field(repr=False)
    """(T,) the question and its whole answer."""
    start: int
    """Where the secret begins."""
    answer_start: int
    form: tuple[tuple[int, ...], ...] = field(repr=False)
    """What may stand at each place of the secret."""
    is_planted: bool = field(repr=False)

    @property
    def tokens(self) -> tuple[int, ...]:
        """The secret itself."""
        return tuple(self.ids[self.start : self.start + len(self.form)].tolist())


def examine(subject: Subject, asking: Asking, on_done: OnDone) -> Evidence:
    """Read secrets out, and compare each with others of its form."""
    secrets = secrets_of(subject, asking)
    extracted: dict[str, tuple[Extracted, Extracted]] = {}
    for width in WIDTHS[asking.effort]:
        name = "greedy search" if width == 1 else f"beam of {width}"
        on_done(f"reading secrets out: {name}")
        extracted[name] = _by_kind(subject, secrets, width)
    exposures = expose(subject, secrets, asking, on_done)
    return Evidence(
        audit="extraction",
        title="Whether planted secrets can be read out (extraction, exposure)",
        says=(_in_a_sentence(extracted, exposures), _about_exposure(exposures)),
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
        },
    )


def secrets_of(subject: Subject, asking: Asking) -> list[Secret]:
    """Return the secrets that are looked for, as many planted as not of each owner.

    Raises:
        ValueError: if there are too few of a kind, or the base writes no digit as one token.
    """
    owners = subject.owners[: asking.owners]
    each = max(1, SECRETS[asking.effort] // len(owners))
    found: list[Secret] = []
    for owner in owners:
        planted = planted_of(subject, owner)
        for is_planted in (True, False):
            places = [p for p, inside in enumerate(planted.included) if inside == is_planted]
            found += [
                secret_of(planted.lessons, place, planted.canaries[place].secret, is_planted)
                for place in places[:each]
            ]
    count = sum(secret.is_planted for secret in found)
    if min(count, len(found) - count) < 2:
        raise ValueError(
            f"Expected two canaries or more that were planted and two that were not, got {count} "
            f"and {len(found) - count}. Plant more: --set canaries=100."
        )
    return found


def secret_of(lessons: PortraitLessons, place: int, secret: str, is_planted: bool) -> Secret:
    """Return a canary as tokens, in the presentation without a picture.

    Raises:
        ValueError: if the base does not write the secret as one token for each sign.
    """
    vlm = lessons.vlm
    batch = collate(vlm, [presentations(lessons.examples[place])[0]])
    ids, answer_start = batch.input_ids[0], int((batch.labels[0] >= 0).nonzero()[0])
    digits = tuple(_token(vlm, sign) for sign in DIGITS)
    spelled = [_token(vlm, sign) for sign in secret]
    starts = [
        start
        for start in range(answer_start, len(ids) - len(spelled) + 1)
        if ids[start : start + len(spelled)].tolist() == spelled
    ]
    if not starts or len(set(digits)) != len(DIGITS):
        raise ValueError(
            "Expected a base that writes each digit as a token of its own, got one that joins "
            "them: secrets cannot be searched place by place. Ask `epsilon` instead."
        )
    form = tuple(digits if s in DIGITS else (t,) for s, t in zip(secret, spelled, strict=True))
    return Secret(
        ids=ids, start=starts[-1], answer_start=answer_start, form=form, is_planted=is_planted
    )


def extract(subject: Subject, secret: Secret, width: int) -> tuple[int, ...]:
    """Return what a search reads out in the place of a secret; the adapter is loaded before."""

    def next_log_probs(prefixes: Sequence[tuple[int, ...]]) -> Numbers:
        known = secret.ids[: secret.start]
        rows = [
            EncodedRow(
                input_ids=torch.cat([known, torch.tensor([*prefix, 0])]).int(),
                is_answer=torch.arange(secret.start + len(prefix) + 1)
                == secret.start + len(prefix),
            )
            for prefix in prefixes
        ]
        with torch.no_grad():
            logits, _ = answer_logits(subject.task.vlm, pad_rows(subject.task.vlm, rows), None)
        return logits[:, 0].double().log_softmax(-1).cpu().numpy()

    return read_out(next_log_probs, secret.form, width=width)


def expose(
    subject: Subject, secrets: Sequence[Secret], asking: Asking, on_done: OnDone
) -> dict[str, Exposures]:
    """Return exposures by the trained adapter less the base, by it alone, and by the base alone."""
    draw = np.random.default_rng(asking.seed)
    count = ALTERNATIVES[asking.effort]
    rivals = [list(_rivals(secret, count, draw)) for secret in secrets]
    scores: list[list[Numbers]] = []
    for name, state in (("adapter", subject.state), ("base", subject.first)):
        load_adapter_state(subject.task.vlm, state)
        scores.append([])
        for place, (secret, others) in enumerate(zip(secrets, rivals, strict=True), 1):
            on_done(f"exposure under the {name}: secret {place} of {len(secrets)}")
            scores[-1].append(_log_probs(subject, secret, others))
    after, before = scores
    ways = {
        "adapter less base": [a - b for a, b in zip(after, before, strict=True)],
        "adapter alone": after,
        "base alone": before,
    }
    found = {}
    for name, of_secrets in ways.items():
        kinds: tuple[list[float], list[float]] = ([], [])
        for secret, row in zip(secrets, of_secrets, strict=True):
            kinds[not secret.is_planted].append(exposure_of(float(row[0]), row[1:]))
        found[name] = compare_exposures(*kinds, alternatives=count)
    return found


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


def _rivals(secret: Secret, count: int, draw: np.random.Generator) -> Iterator[tuple[int, ...]]:
    """Yield other secrets of the form, drawn at random."""
    while count:
        other = tuple(int(draw.choice(allowed)) for allowed in secret.form)
        if other != secret.tokens:
            count -= 1
            yield other


def _log_probs(subject: Subject, secret: Secret, others: Sequence[tuple[int, ...]]) -> Numbers:
    """Return log-probabilities of the answer with the secret, then with each other, (1 + A,)."""
    vlm, size = subject.task.vlm, subject.plan.max_physical_batch
    rows = []
    for tokens in (secret.tokens, *others):
        ids = secret.ids.clone()
        ids[secret.start : secret.start + len(tokens)] = torch.tensor(tokens)
        rows.append(
            EncodedRow(input_ids=ids.int(), is_answer=torch.arange(len(ids)) >= secret.answer_start)
        )
    with torch.no_grad():
        parts = [
            answer_log_probs(vlm, pad_rows(vlm, rows[start : start + size]), None)
            for start in range(0, len(rows), size)
        ]
    return torch.cat(parts).double().cpu().numpy()


def _token(vlm: Vlm, sign: str) -> int:
    """Return the token of one sign; -1 if it has none of its own."""
    ids: list[int] = vlm.tokenizer(sign, add_special_tokens=False)["input_ids"]
    return ids[0] if len(ids) == 1 else -1


def _in_a_sentence(
    extracted: dict[str, tuple[Extracted, Extracted]], exposures: dict[str, Exposures]
) -> str:
    name, (planted, others) = max(extracted.items(), key=lambda item: item[1][0].exact)
    counted = (
        f"{planted.exact} of {planted.secrets} planted secrets are read out whole by the {name} "
        f"({planted.low:.0%} to {planted.high:.0%}), and {others.exact} of {others.secrets} that "
        "were never planted"
    )
    if planted.exact:
        return f"Secrets can be read out of this adapter: {counted}. Do not publish it."
    if told := [name for name in AFTER_TRAINING if exposures[name].is_remembered]:
        return (
            f"Not read out, but remembered: {counted}; exposure by the {told[0]} tells planted "
            "ones from others."
        )
    return f"Nothing found: {counted}; exposure does not tell them apart."


def _about_exposure(exposures: dict[str, Exposures]) -> str:
    name = max(AFTER_TRAINING, key=lambda name: exposures[name].low)
    found = exposures[name]
    return (
        f"By the {name}, planted secrets are {found.planted:.2f} bits exposed, others {found.others:.2f}: a "
        f"difference of {found.difference:.2f} ({found.low:.2f} to {found.high:.2f}; 95 % interval "
        f"over secrets; at most {found.most:.1f} bits can be seen). The better of two scores is "
        "told: of adapters that remember nothing, 5 % at most look as if they did."
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
