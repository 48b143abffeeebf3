"""Planted secrets as tokens: looked for by search, and ranked among others of their form."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from discreet.audit.asked import Asking, OnDone
from discreet.audit.epsilon import planted_of
from discreet.audit.subject import Numbers, Subject
from discreet.federated import PortraitLessons, presentations
from discreet.membership import (
    SECRETS_NEEDED,
    Exposures,
    chance_of_exposures,
    compare_exposures,
    exposure_of,
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
DIGITS = "0123456789"
AFTER_TRAINING = ("adapter less base", "adapter alone")
"""Scores of which either can show that a secret is remembered."""


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
    if min(count, len(found) - count) < SECRETS_NEEDED:
        raise ValueError(
            f"Expected canaries of which at least {SECRETS_NEEDED} were planted and as many not, "
            f"got {count} and {len(found) - count}. Plant more (--set canaries=100), or ask of "
            "more owners."
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
) -> tuple[dict[str, Exposures], float]:
    """Return exposures by the trained adapter less the base, by it alone, and by the base alone.

    And the chance that the first two differ so between secrets that were planted and others.
    """
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
    bits = {name: _bits_of(secrets, of_secrets) for name, of_secrets in ways.items()}
    found = {name: compare_exposures(*kinds, alternatives=count) for name, kinds in bits.items()}
    after_training = [bits[name] for name in AFTER_TRAINING]
    of_planted, of_others = ([kinds[place] for kinds in after_training] for place in (0, 1))
    return found, chance_of_exposures(of_planted, of_others)


def _bits_of(
    secrets: Sequence[Secret], log_probs: Sequence[Numbers]
) -> tuple[list[float], list[float]]:
    """Return the exposure of each secret that was planted, and of each other."""
    kinds: tuple[list[float], list[float]] = ([], [])
    for secret, row in zip(secrets, log_probs, strict=True):
        kinds[not secret.is_planted].append(exposure_of(float(row[0]), row[1:]))
    return kinds


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
