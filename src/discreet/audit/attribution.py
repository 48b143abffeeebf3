"""Audit: which of some candidate data sets shaped the adapter, and in what proportion?

The auditor names candidates (`--candidate NAME=PATH`, `candidates.py`), and never the samples that
the run was trained on. The adapter is unmixed by them; those that cannot be told apart share one
number, and where nothing is explained no number is told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from discreet.artifacts import sha256_of_file
from discreet.attribution import (
    Mixture,
    Update,
    centred,
    cosine,
    loss_drop_scores,
    mean_update,
    overlap,
    projection_energy,
    spectrum_scores,
    unmix,
)
from discreet.audit.asked import Asking, Audit, OnDone
from discreet.audit.candidates import (
    WEIGHTS,
    are_adapters,
    digests_of,
    lessons_of,
    references_of,
)
from discreet.audit.contribution import MOST_EXAMPLES, in_common, steps_down, update_of
from discreet.audit.pools import some_people
from discreet.audit.subject import Subject
from discreet.evidence import Evidence, Interval, Intervals, Table

TITLE = "Which data shaped it (attribution)"
_LIMITS = (
    "Shares are among the candidates: what else was there is seen in the agreement only.",
    "Shares are of kinds of data. A candidate that holds the very examples comes nearer than others"
    " of its kind, and says something of persons: ask `discreet audit membership` of these.",
    "Intervals are for errors of single weights, and not for how training bends: of adapters on "
    "known mixtures 56 to 86 % of shares lay within. `discreet.attribution.calibrated_intervals` "
    "hold for that too, and need known mixtures.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Compared:
    """The adapter and what each candidate would add."""

    suspect: Update = field(repr=False)
    draws: Mapping[str, Sequence[Update]] = field(repr=False)
    how: str
    """In a sentence."""
    drops: Mapping[str, float] | None = None
    """How far the loss on each candidate fell, as a share; None: there are no examples."""

    @property
    def groups(self) -> list[list[str]] | None:
        """None where draws say which candidates are one; else each stands alone."""
        is_drawn = all(len(own) > 1 for own in self.draws.values())
        return None if is_drawn else [[name] for name in self.draws]


def examine(subject: Subject, asking: Asking, on_done: OnDone) -> Evidence:
    """Unmix the adapter, and say how like each candidate it is."""
    candidates = subject.candidates
    if are_adapters(candidates):
        return _told(_by_adapters(subject.adapter.folder, candidates, on_done), on_done)
    return _told(_by_examples(subject, candidates, asking, on_done), on_done)


def examine_adapter(
    folder: Path,
    candidates: Mapping[str, Sequence[Path]],
    on_done: OnDone = lambda doing: None,
) -> Evidence:
    """Unmix any adapter in PEFT's format by adapters of candidates; no base has to be there.

    Args:
        folder: With `adapter_config.json` and `adapter_model.safetensors`.
        candidates: Runs or folders in PEFT's format by name, as `parse_candidates` reads them.
        on_done: Told what is being done.

    Raises:
        ArtifactError: if a folder has no adapter that can be read as B A.
        ValueError: if there are fewer than two candidates, one is a file of examples, or no matrix
            is common to all.
    """
    if len(candidates) < 2:
        raise ValueError(_TOO_FEW.format(count=len(candidates)))
    if not are_adapters(candidates):
        raise ValueError(
            "Expected adapters as candidates, as the one asked about is no run and names no base, "
            "got files of examples. Train an adapter on each, or ask about a run."
        )
    settings = {
        "adapter": sha256_of_file(folder / WEIGHTS),
        "candidates": digests_of(candidates),
    }
    return replace(_told(_by_adapters(folder, candidates, on_done), on_done), settings=settings)


def _told(found: _Compared, on_done: OnDone) -> Evidence:
    """Return what the comparison says."""
    on_done("unmixing")
    mixture = unmix(found.suspect, found.draws, groups=found.groups)
    likeness = _likeness(found)
    alone = () if found.groups is None else (_ALONE,)
    return Evidence(
        audit="attribution",
        title=TITLE,
        says=(_verdict(mixture, len(found.draws)), found.how),
        plots=(_plot(mixture, len(found.draws)),) if mixture.shares else (),
        tables=(_table(likeness),),
        limits=(*alone, *_LIMITS),
        values={
            "mixture": asdict(mixture),
            "likeness": likeness,
        },
    )


_TOO_FEW = (
    "Expected two candidates or more, got {count}: name each with --candidate NAME=PATH, a run, a "
    "PEFT folder or a file of examples."
)
_ALONE = (
    "With one adapter of a candidate nobody can say whether it can be told from others: name each "
    "several times, with adapters of other samples and orders."
)


def _by_adapters(
    folder: Path, candidates: Mapping[str, Sequence[Path]], on_done: OnDone
) -> _Compared:
    on_done("adapters of candidates")
    found = references_of(folder, candidates)
    how = f"From adapters of the candidates, in {found.matrices} matrices that all of them change"
    if found.left_out:
        how += f" ({found.left_out} that the one asked about changes, too, are left out)"
    how += (
        ", which started as it did."
        if found.same_start
        else ". They started from another A: less can be told. Train references with the same plan "
        "and seed."
    )
    return _Compared(suspect=found.suspect, draws=found.draws, how=how)


def _by_examples(
    subject: Subject, candidates: Mapping[str, Sequence[Path]], asking: Asking, on_done: OnDone
) -> _Compared:
    draws: dict[str, list[Update]] = {}
    losses: dict[str, tuple[float, float]] = {}
    for name, paths in candidates.items():
        on_done(f"gradients of {name}")
        most = MOST_EXAMPLES[asking.effort]
        every = [some_people(lessons_of(subject, path), most, seed=asking.seed) for path in paths]
        draws[name] = [one for own in every for one in steps_down(subject.task, own)]
        before, after = (
            float(np.mean([subject.losses(own, state).mean() for own in every]))
            for state in (subject.first, subject.state)
        )
        losses[name] = (before, after)
    change = {name: subject.state[name] - value for name, value in subject.first.items()}
    drops = loss_drop_scores(*np.array(list(losses.values())).T)
    suspect, draws = in_common(update_of(change, subject.first), draws)
    return _Compared(
        suspect=suspect,
        draws=draws,
        how="From gradients of the candidates' examples at the first adapter; nothing was trained.",
        drops=dict(zip(losses, drops.tolist(), strict=True)),
    )


def _likeness(found: _Compared) -> dict[str, dict[str, float]]:
    """Return for each candidate how like the adapter is to it, by each measure."""
    means = {name: mean_update(own) for name, own in found.draws.items()}
    apart = dict(zip(means, centred(list(means.values())), strict=True))
    spectra = spectrum_scores(found.suspect, found.draws)
    likeness = {
        name: {
            "cosine": cosine(found.suspect, mean),
            "cosine beside what all share": cosine(found.suspect, apart[name]),
            "overlap of subspaces": overlap(found.suspect, mean),
            "energy inside": projection_energy(found.suspect, mean),
            "gap of spectra (baseline)": -spectra[name],
        }
        for name, mean in means.items()
    }
    for name, drop in (found.drops or {}).items():
        likeness[name]["loss fell by (baseline)"] = drop
    return likeness


def _verdict(mixture: Mixture, candidates: int) -> str:
    agreement = f"{mixture.agreement:.2f} ({mixture.low:.2f} to {mixture.high:.2f})"
    if not mixture.shares:
        return (
            f"None of {candidates} candidates explains anything of the adapter that chance would "
            f"not: agreement {agreement}."
        )
    if len(mixture.shares) == 1 and len(mixture.shares[0].candidates) > 1:
        return (
            f"The {candidates} candidates cannot be told apart; together they explain the adapter "
            f"with an agreement of {agreement}, 1 being all of it."
        )
    most = max(mixture.shares, key=lambda share: share.share)
    said = (
        f"Of what {candidates} candidates explain, {' + '.join(most.candidates)} has "
        f"{most.share:.0%} ({most.low:.0%} to {most.high:.0%}); together they explain the adapter "
        f"with an agreement of {agreement}, 1 being all of it."
    )
    if together := [one.candidates for one in mixture.shares if len(one.candidates) > 1]:
        said += f" Cannot be told apart: {'; '.join(', '.join(names) for names in together)}."
    return said


def _plot(mixture: Mixture, candidates: int) -> Intervals:
    return Intervals(
        title="Parts of the adapter",
        unit="share of what all candidates explain, 95 % interval",
        rows=tuple(
            Interval(name=" + ".join(one.candidates), value=one.share, low=one.low, high=one.high)
            for one in mixture.shares
        ),
        reference=1 / candidates,
        reference_name="if all had the same part",
    )


def _table(likeness: Mapping[str, Mapping[str, float]]) -> Table:
    measures = list(next(iter(likeness.values())))
    return Table(
        title="How like each candidate the adapter is",
        columns=("candidate", *measures),
        rows=tuple(
            (name, *(f"{own[measure]:.3f}" for measure in measures))
            for name, own in likeness.items()
        ),
    )


def _seconds(subject: Subject, asking: Asking) -> float:
    if not subject.candidates or are_adapters(subject.candidates):
        return 20.0
    files = sum(map(len, subject.candidates.values()))
    return 10 + 5 * files * min(MOST_EXAMPLES[asking.effort], 1000) * subject.seconds_per_example


def _lacks(subject: Subject) -> str | None:
    if len(subject.candidates) < 2:
        return _TOO_FEW.format(count=len(subject.candidates))
    return None


AUDIT = Audit(
    name="attribution",
    question="Which of some candidate data sets (--candidate NAME=PATH) shaped the adapter?",
    examine=examine,
    seconds=_seconds,
    lacks=_lacks,
)
