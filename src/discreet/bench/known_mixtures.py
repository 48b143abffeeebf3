"""Adapters of the assistant that were trained on known mixtures of data sets.

Four sets, each people of an age who ask what is asked where they are: pupils, students, patients
and residents. Of each, people are halved: suspects learn from the one half, and the auditor has
samples of the other only.

    lab = Lab.build(MIXED_PLAN, people=120)
    suspect = lab.train(lab.drawn([0.5, 0.5, 0, 0], 40, seed=1), name="suspect-1")
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.torch import load_file, save

from discreet.artifacts import write_bytes
from discreet.attribution import Update, update_of_lora
from discreet.audit import Part, losses_under, rehearse, run_without_privacy, update_of
from discreet.data import Portrait, build_examples, load_portraits, load_questions, split_questions
from discreet.federated import (
    AssistantTask,
    Lessons,
    PortraitLessons,
    State,
    TrainConfig,
    VisualTokens,
    prefix_of,
)
from discreet.types import OwnerId

Numbers = npt.NDArray[np.float64]
KINDS = {
    "pupils": ("child", "tutoring"),
    "students": ("young_adult", "tutoring"),
    "patients": ("middle_aged", "healthcare"),
    "residents": ("older_adult", "healthcare"),
}
"""Age band of the people of each data set, and what they ask about."""
MIXED_PLAN = TrainConfig(
    num_owners=1,
    min_replies=1,
    num_rounds=1,
    local_steps=12,
    sample_rate=0.25,
    expected_batch_size=12,
    target_epsilon=8.0,
    learning_rate=20.0,
    lora_layers=4,
    lora_modules="q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj",
    max_physical_batch=16,
    activations_mib=2048,
    reproducible=True,
)
"""Of private trainings; plain ones have its loop, sampling, adapter and steps, and draw the same
places again where a data set is left out. The noise of private ones is never reproducible."""
OWNER = OwnerId("owner-0")


@dataclass(frozen=True, slots=True)
class Drawn:
    """Some examples of data sets."""

    examples: tuple[tuple[int, int], ...]
    """Each by its data set, a place in `KINDS`, and its place in one half of that."""
    is_auditors: bool = False
    """Of the auditor's half."""

    @property
    def kinds(self) -> npt.NDArray[np.int64]:
        """Of which data set each is, (N,)."""
        return np.array([kind for kind, _ in self.examples], np.int64)

    @property
    def shares(self) -> Numbers:
        """Of each data set, (4,)."""
        return np.asarray(np.bincount(self.kinds, minlength=len(KINDS)) / len(self.examples))

    def without(self, kind: int, *, seed: int) -> "Drawn":
        """Return a draw in which others of it stand in for a data set's examples."""
        rest = [one for one in self.examples if one[0] != kind]
        places = np.random.default_rng(seed).integers(len(rest), size=len(self.examples))
        return replace(
            self,
            examples=tuple(
                rest[place] if one[0] == kind else one
                for one, place in zip(self.examples, places, strict=True)
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A base with a first adapter, and both halves of each data set as it learns from them."""

    task: AssistantTask = field(repr=False)
    every: PortraitLessons = field(repr=False)
    """Those of suspects, data set by data set, then those of the auditor."""
    people: int
    """In each half of a data set, with one example each."""
    keep: Path | None = field(default=None, repr=False)
    """Folder of trained adapters: what is there is not trained again."""

    @classmethod
    def build(
        cls,
        plan: TrainConfig,
        *,
        people: int,
        keep: Path | None = None,
        cache: Path | None = None,
    ) -> "Lab":
        """Load a base, and packaged portraits of `people` in each half of each data set.

        Args:
            plan: Of trainings.
            people: Of each half, of different people.
            keep: Folder of trained adapters; may be new.
            cache: Folder of the converted base.

        Raises:
            ValueError: if the package has too few people.
        """
        task = AssistantTask.without_data(plan, cache_dir=cache)
        chosen = _people(people)
        examples = [
            example
            for place, (_, domain) in enumerate([*KINDS.values()] * 2)
            for example in build_examples(
                chosen,
                [one for one in split_questions(load_questions()).private if one.domain == domain],
                indices=range(people * place, people * (place + 1)),
                owner="all",
                seed=plan.seed,
            )
        ]
        visual = VisualTokens(task.vlm, chosen)
        every = PortraitLessons(
            vlm=task.vlm,
            visual=visual,
            examples=examples,
            prefix=prefix_of(task.vlm, plan),
        )
        return cls(task=task, every=every, people=people, keep=keep)

    def with_plan(self, *, cache: Path | None = None, **changes: object) -> "Lab":
        """Return a lab with other settings of the adapter, the same people and their tokens."""
        plan = replace(self.task.config, **changes)  # type: ignore[arg-type]
        task = AssistantTask.without_data(plan, cache_dir=cache)
        every = replace(self.every, vlm=task.vlm, prefix=prefix_of(task.vlm, plan))
        return replace(self, task=task, every=every)

    def drawn(self, shares: Sequence[float], examples: int, *, seed: int) -> Drawn:
        """Return `examples` of different people for suspects, drawn in these shares."""
        draw = np.random.default_rng(seed)
        counts = draw.multinomial(examples, shares)
        return Drawn(
            tuple(
                (kind, int(place))
                for kind, count in enumerate(counts)
                for place in draw.permutation(self.people)[:count]
            )
        )

    def samples(self, kind: int, count: int) -> list[Drawn]:
        """Return the auditor's people of a data set in `count` parts that share nobody."""
        places = np.random.default_rng(kind).permutation(self.people)
        return [
            Drawn(tuple((kind, int(place)) for place in part), is_auditors=True)
            for part in np.array_split(places, count)
        ]

    def lessons(self, drawn: Drawn) -> Part:
        """Return the examples of a draw, in its order."""
        start = len(KINDS) * drawn.is_auditors
        places = [(start + kind) * self.people + place for kind, place in drawn.examples]
        return Part(self.every, places)

    def train(self, drawn: Drawn, *, name: str, is_private: bool = False) -> State:
        """Return the adapter that was trained on a draw, privately or not.

        Args:
            drawn: What it learns from.
            name: Of this training: other chance where plans are reproducible, another file.
            is_private: With the clipping and the noise of the plan, else plain Adam.
        """
        path = self.kept(drawn, name, is_private=is_private)
        if path is not None and path.exists():
            return load_file(path)
        owned: dict[OwnerId, Lessons] = {
            OWNER if is_private else OwnerId(name): self.lessons(drawn)
        }
        if is_private:
            state = rehearse(self.task, owned)
        else:
            shared = replace(self.task.shared, owned=owned)
            state = run_without_privacy(replace(self.task, shared=shared))
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, save(state))  # whole, or not at all
        return state

    def update(self, state: State) -> Update:
        """Return what a trained adapter adds to the base, B A of each layer."""
        plan = self.task.config
        whole = dict(self.task.vlm.model.named_parameters()) | state
        factors = {n.replace(".default.", "."): v for n, v in whole.items() if ".lora_" in n}
        return update_of_lora(factors, scale=plan.lora_alpha / plan.lora_r)

    def moved(self, state: State) -> Update:
        """Return how far A and B went from the first ones, as gradients there are compared."""
        first = self.task.first
        return update_of({name: state[name] - value for name, value in first.items()}, first)

    def losses(self, drawn: Drawn, state: State) -> Numbers:
        """Return the mean loss on each data set of a draw that has examples of all, (4,)."""
        found = losses_under(self.task, self.lessons(drawn), state)
        return np.array([found[drawn.kinds == kind].mean() for kind in range(len(KINDS))])

    def kept(self, drawn: Drawn, name: str, *, is_private: bool = False) -> Path | None:
        """Return where a training is kept: its settings decide the name, so that none is mixed."""
        if self.keep is None:
            return None
        plan = asdict(self.task.config) | {"base": self.task.vlm.base_hash}
        text = json.dumps([plan, self.people, asdict(drawn), name, is_private], default=str)
        return self.keep / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.safetensors"


def _people(count: int) -> list[Portrait]:
    """Return portraits of `count` people of each half of each data set, nobody twice."""
    halves: tuple[list[Portrait], list[Portrait]] = ([], [])
    train = load_portraits("train")
    for name, (age_band, _) in KINDS.items():
        once = list({p.identity_id: p for p in train if p.age_band == age_band}.values())
        if len(once) < 2 * count:
            raise ValueError(
                f"Expected at least {2 * count} people for two halves of {count} {name}, got "
                f"{len(once)}. Ask for fewer examples."
            )
        for half, own in enumerate(halves):
            own += once[half : 2 * count : 2]
    return [*halves[0], *halves[1]]
