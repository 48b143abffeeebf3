"""What was found of adapters on known mixtures, as numbers and as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from discreet.attribution import Estimate, Judgement
from discreet.bench.known_mixtures import KINDS


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What was told of suspects that were trained in one way."""

    name: str
    suspects: int
    methods: Mapping[str, Judgement]
    groups: int
    """Of candidates that references can tell apart: 4, all of them."""
    told: int
    """Suspects of whom shares were told at all."""
    covered: float | None
    """Part of suspects all of whose true shares lay in calibrated intervals of 80 %, of a half that
    did not calibrate them; None: fewer than 10 suspects were told of."""
    half_width: float | None
    """Of those intervals, in shares."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """What leaving each data set out of a suspect's training did, beside what is told."""

    suspects: int
    shares: Estimate
    """Mean rank correlation of true shares with how much less the loss on each set fell."""
    told: Mapping[str, Estimate]
    """The same of what each method tells."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SamePeople:
    """References on the suspect's own examples and on other people of the same data set."""

    suspects: int
    auc: Estimate
    """Chance that the reference on the very examples is nearer, by cosine; 0.5: a coin."""
    told_apart: float
    """Part of suspects for whom both candidates are told apart."""


def as_attribution_table(found: Sequence[Trial | LeftOut | SamePeople]) -> str:
    """Return Markdown: every trial and method, and in sentences what else was found."""
    lines = ["| trained | told by | area | placebo | shares off by | rank correlation |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    said: list[str] = []
    for one in found:
        if isinstance(one, Trial):
            lines += [_line(one.name, *method) for method in one.methods.items()]
            said.append(_of_trial(one))
        elif isinstance(one, LeftOut):
            told = "; ".join(f"{name} {_in_words(rho)}" for name, rho in one.told.items())
            said.append(
                f"Left out ({one.suspects} suspects): rank correlation of true shares with what "
                f"leaving a data set out does {_in_words(one.shares)}; of what is told: {told}."
            )
        else:
            said.append(
                f"The very same examples against other people of the same data set "
                f"({one.suspects} suspects): the former are nearer with a chance of "
                f"{_in_words(one.auc)}; the audit tells both apart for {one.told_apart:.0%}."
            )
    return "\n".join(lines) + "\n\n" + "\n".join(f"- {sentence}" for sentence in said)


def _line(trial: str, method: str, judged: Judgement) -> str:
    rho = judged.spearman
    return (
        f"| {trial} | {method} | {_in_words(judged.auc)} | "
        f"{judged.placebo.low:.2f} to {judged.placebo.high:.2f} | "
        f"{judged.error.value:.3f} (even shares: {judged.uniform:.3f}) | "
        f"{'-' if rho is None else f'{rho.value:.2f}'} |"
    )


def _of_trial(one: Trial) -> str:
    said = (
        f"{one.name}: references tell {one.groups} of {len(KINDS)} data sets apart; shares are "
        f"told of {one.told} of {one.suspects} suspects"
    )
    if one.covered is None:
        return said + "."
    return (
        f"{said}. Calibrated intervals (80 %, shares within {one.half_width:.2f}) held all shares "
        f"of {one.covered:.0%} of those that did not calibrate them."
    )


def _in_words(one: Estimate) -> str:
    return f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})"
