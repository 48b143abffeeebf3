"""How well attribution tells what the assistant's adapters were trained on, where that is known.

Suspects are trained on known mixtures of four data sets; the auditor has other people of each. What
is told is set beside the true shares, and beside what leaving a data set out of training really
did.

    for trial in measure_attribution(Lab.build(MIXED_PLAN, people=120), suspects=24, examples=40):
        print(trial.name, trial.methods["references"].auc)
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from discreet.attribution import (
    Estimate,
    Update,
    calibrated_intervals,
    cosine,
    influence_scores,
    judge,
    loss_drop_scores,
    mean_update,
    overlap,
    random_scores,
    spectrum_scores,
    tell_apart,
    unmix,
)
from discreet.audit import in_common, steps_down
from discreet.bench.attribution_words import LeftOut, SamePeople, Trial
from discreet.bench.known_mixtures import KINDS, Drawn, Lab
from discreet.federated import State

Numbers = npt.NDArray[np.float64]
NAMES = list(KINDS)
PRIVATE, OTHER = "private", "of another start, rank and length"
TRIALS = ("plain", PRIVATE, OTHER)
"""How suspects are trained; references are plain but for private suspects."""
DRAWS = 3
"""References of each data set."""
PROBES = 16
"""Examples of each data set whose loss is computed."""
Step = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class _Auditor:
    """What an auditor has: own samples of each data set, adapters trained on them, gradients."""

    lab: Lab
    is_private: bool
    on_done: Step

    @cached_property
    def samples(self) -> dict[str, list[Drawn]]:
        """Of each data set, parts that share nobody."""
        return {name: self.lab.samples(kind, DRAWS) for kind, name in enumerate(NAMES)}

    @cached_property
    def probes(self) -> Drawn:
        """Some examples of each data set, for losses."""
        few = [one for draws in self.samples.values() for one in draws[0].examples[:PROBES]]
        return Drawn(tuple(few), is_auditors=True)

    @cached_property
    def references(self) -> dict[str, list[Update]]:
        """Adapters of each data set."""
        return {
            name: [self._reference(name, *one) for one in enumerate(draws)]
            for name, draws in self.samples.items()
        }

    def _reference(self, name: str, number: int, drawn: Drawn) -> Update:
        self.on_done(f"reference {number + 1} of {DRAWS} for {name}")
        state = self.lab.train(drawn, name=f"reference-{number}", is_private=self.is_private)
        return self.lab.update(state)

    def gradients(self, lab: Lab) -> dict[str, list[Update]]:
        """Steps down the loss at a lab's first adapter; nothing is trained."""
        self.on_done("gradients")
        return {
            name: [step for one in draws for step in steps_down(lab.task, lab.lessons(one))]
            for name, draws in self.samples.items()
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Suspect:
    """An adapter on a known mixture."""

    name: str
    drawn: Drawn
    state: State = field(repr=False)
    update: Update = field(repr=False)
    """What it adds to the base."""
    moved: Update = field(repr=False)
    """How far its tensors went."""


def measure_attribution(
    lab: Lab,
    *,
    suspects: int,
    examples: int,
    cache: Path | None = None,
    on_done: Step = lambda doing: None,
) -> Iterator[Trial | LeftOut | SamePeople]:
    """Yield what is told of suspects trained in each way, of what was left out, of the same people.

    Args:
        lab: With the plan of references.
        suspects: Of each way of training; 8 or more.
        examples: Of each suspect.
        cache: Folder of the converted base.
        on_done: Told what is being done.
    """
    plan = lab.task.config
    other = lab.with_plan(
        cache=cache,
        seed=plan.seed + 1,
        lora_r=plan.lora_r // 2,
        lora_alpha=plan.lora_alpha // 2,
        local_steps=plan.local_steps // 2,
    )
    shares = mixtures(suspects, np.random.default_rng(3))
    drawn = [lab.drawn(row, examples, seed=seed) for seed, row in enumerate(shares.tolist())]
    for name in TRIALS:
        is_private, own = name == PRIVATE, other if name == OTHER else lab
        auditor = _Auditor(lab=lab, is_private=is_private, on_done=on_done)
        trained = _suspects(own, drawn, name, is_private=is_private, on_done=on_done)
        added, moved = [one.update for one in trained], [one.moved for one in trained]
        scores = {
            "mixture of references": _each(added, auditor.references, influence_scores),
            "mixture of gradients": _each(moved, auditor.gradients(own), influence_scores),
            "cosine with references": _each(added, auditor.references, _cosines),
            "subspaces of references": _each(added, auditor.references, _overlaps),
            "spectra (baseline)": _each(added, auditor.references, spectrum_scores),
            "fall of the loss (baseline)": _drops(own, trained, auditor.probes),
            "a coin": _coins(len(trained)),
        }
        yield _judged(name, trained, scores, auditor.references)
        if name == "plain":
            yield _left_out(lab, trained, scores, auditor.probes, on_done)
    yield _same_people(lab, max(4, suspects // 2), examples, on_done)


def mixtures(count: int, draw: np.random.Generator) -> Numbers:
    """Return (count, 4) shares of one to three data sets."""
    found = np.zeros((count, len(NAMES)))
    for row in found:
        chosen = draw.choice(len(NAMES), draw.integers(1, 4), replace=False)
        row[chosen] = draw.dirichlet(np.full(len(chosen), 2.0))
    return found


def _suspects(
    lab: Lab, drawn: Sequence[Drawn], trial: str, *, is_private: bool, on_done: Step
) -> list[_Suspect]:
    found = []
    for number, one in enumerate(drawn):
        on_done(f"{trial}: suspect {number + 1} of {len(drawn)}")
        name = f"suspect-{number}"
        state = lab.train(one, name=name, is_private=is_private)
        update, moved = lab.update(state), lab.moved(state)
        found.append(_Suspect(name=name, drawn=one, state=state, update=update, moved=moved))
    return found


Score = Callable[[Update, Mapping[str, Sequence[Update]]], Mapping[str, float]]


def _each(
    suspects: Sequence[Update], candidates: Mapping[str, list[Update]], score: Score
) -> Numbers:
    """Return (S, 4) scores."""
    found = [score(*in_common(one, candidates)) for one in suspects]
    return np.array([[own[name] for name in NAMES] for own in found])


def _cosines(suspect: Update, candidates: Mapping[str, Sequence[Update]]) -> dict[str, float]:
    return {name: cosine(suspect, mean_update(own)) for name, own in candidates.items()}


def _overlaps(suspect: Update, candidates: Mapping[str, Sequence[Update]]) -> dict[str, float]:
    return {name: overlap(suspect, mean_update(own)) for name, own in candidates.items()}


def _drops(lab: Lab, suspects: Sequence[_Suspect], probes: Drawn) -> Numbers:
    before = lab.losses(probes, lab.task.first)
    return np.array([loss_drop_scores(before, lab.losses(probes, s.state)) for s in suspects])


def _coins(count: int) -> Numbers:
    draw = np.random.default_rng(0)
    return np.array([list(random_scores(NAMES, draw).values()) for _ in range(count)])


def _judged(
    name: str,
    suspects: Sequence[_Suspect],
    scores: Mapping[str, Numbers],
    references: Mapping[str, Sequence[Update]],
) -> Trial:
    """Return how well each method does, and what the audit would say."""
    truth = np.array([one.drawn.shares for one in suspects])
    alone = [[kind] for kind in NAMES]
    found = [unmix(one.update, references, groups=alone).shares for one in suspects]
    rows = [place for place, own in enumerate(found) if own]
    told = np.array([[share.share for share in found[place]] for place in rows])
    covered = half_width = None
    if len(rows) >= 10:
        half = len(rows) // 2
        low, high = calibrated_intervals(
            told[half:], told[:half], truth[rows][:half], confidence=0.8
        )
        within = (low <= truth[rows][half:]) & (truth[rows][half:] <= high)
        covered, half_width = float(within.all(1).mean()), float((high - low).max() / 2)
    return Trial(
        name=name,
        suspects=len(suspects),
        methods={method: judge(own, truth) for method, own in scores.items()},
        groups=len(tell_apart(references).groups),
        told=len(rows),
        covered=covered,
        half_width=half_width,
    )


def _left_out(
    lab: Lab,
    suspects: Sequence[_Suspect],
    scores: Mapping[str, Numbers],
    probes: Drawn,
    on_done: Step,
) -> LeftOut:
    """Train suspects of several data sets again without each, on as many examples of the rest."""
    mixed = [place for place, one in enumerate(suspects) if (one.drawn.shares > 0).sum() > 1]
    effects = np.zeros((len(mixed), len(NAMES)))
    for row, place in enumerate(mixed):
        one = suspects[place]
        whole = lab.losses(probes, one.state)
        for kind in np.flatnonzero(one.drawn.shares):
            on_done(f"left out: suspect {row + 1} of {len(mixed)}, {NAMES[kind]}")
            drawn = one.drawn.without(int(kind), seed=place)
            lacking = lab.losses(probes, lab.train(drawn, name=one.name))
            effects[row, kind] = lacking[kind] - whole[kind]
    shares = np.array([suspects[place].drawn.shares for place in mixed])
    return LeftOut(
        suspects=len(mixed),
        shares=_agreement(shares, effects),
        told={name: _agreement(own[mixed], effects) for name, own in scores.items()},
    )


def _same_people(lab: Lab, suspects: int, examples: int, on_done: Step) -> SamePeople:
    """Set the very examples of a suspect beside other people of its data set."""
    nearer, apart = [], []
    for number in range(suspects):
        on_done(f"same people: suspect {number + 1} of {suspects}")
        alone = np.eye(len(NAMES))[number % len(NAMES)].tolist()
        own, rest = _two_draws(lab.drawn(alone, 2 * examples, seed=100 + number))
        suspect = lab.update(lab.train(own, name=f"alone-{number}"))
        candidates = {
            "same": [lab.update(lab.train(own, name=f"same-{draw}")) for draw in range(2)],
            "others": [lab.update(lab.train(rest, name=f"others-{draw}")) for draw in range(2)],
        }
        found = _cosines(suspect, candidates)
        nearer.append(float(found["same"] > found["others"]))
        apart.append(len(tell_apart(candidates).groups) > 1)
    return SamePeople(
        suspects=suspects, auc=_mean(np.array(nearer)), told_apart=float(np.mean(apart))
    )


def _two_draws(drawn: Drawn) -> tuple[Drawn, Drawn]:
    half = len(drawn.examples) // 2
    return replace(drawn, examples=drawn.examples[:half]), replace(
        drawn, examples=drawn.examples[half:]
    )


def _agreement(scores: Numbers, effects: Numbers) -> Estimate:
    """Return the mean rank correlation over suspects; equal scores agree with nothing."""
    found = [spearmanr(own, effect).statistic for own, effect in zip(scores, effects, strict=True)]
    return _mean(np.nan_to_num(np.array(found)))


def _mean(values: Numbers) -> Estimate:
    """Return a mean, and where 95 % of means of suspects drawn again lie."""
    draw = np.random.default_rng(0)
    means = draw.choice(values, (1000, len(values))).mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Estimate(value=float(values.mean()), low=float(low), high=float(high))
