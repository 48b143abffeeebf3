"""Bugs that void the guarantee, planted one at a time: the suite has to fail on each.

Every mutation is a real change of a copied source file, and the tests named beside it run against
the copy in a process of their own, forked from one that has imported what is not ours. A mutation
whose text is no longer in the source fails here, so that the list stays true.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from nursery import Nursery

from .mutants import ROOT

PACKAGE = ROOT / "src" / "discreet"


@dataclass(frozen=True)
class Mutation:
    """One line of the privacy room, what it becomes, and who has to notice."""

    name: str
    file: str
    before: str
    after: str
    tests: str


MUTATIONS = [
    Mutation(
        "noise halved",
        "gaussian.py",
        "scale = self._plan.gradient_noise_multiplier * self.max_grad_norm / grid",
        "scale = self._plan.gradient_noise_multiplier * self.max_grad_norm / grid / 2",
        "test_training.py -k noise_is_as_strong",
    ),
    Mutation(
        "noise of the generator halved",
        "randomness.py",
        "return both[:count]",
        "return both[:count] / 2",
        "test_randomness.py",
    ),
    Mutation(
        "clip skipped",
        "clipping.py",
        "factors = (share * reach / norms.clamp(min=share * reach))",
        "factors = torch.ones_like(norms)",
        "test_clipping.py",
    ),
    Mutation(
        "clip to twice the norm",
        "clipping.py",
        "reach = max_grad_norm * (1 - MARGIN)",
        "reach = 2 * max_grad_norm * (1 - MARGIN)",
        "test_clipping.py",
    ),
    Mutation(
        "rounding not paid for",
        "clipping.py",
        "- math.sqrt(size) * grid / 2",
        "",
        "test_clipping.py",
    ),
    Mutation(
        "actual instead of expected batch size",
        "gaussian.py",
        "mean = (self.total + self._noise()) / self._plan.expected_batch_size",
        "mean = (self.total + self._noise()) / max(1, self._drawn)",
        "test_training.py -k divisor",
    ),
    Mutation(
        "a batch-mean loss let through",
        "batching.py",
        "if values.shape != (expected,):",
        "if False:",
        "test_training.py -k not_one_for_each",
    ),
    Mutation(
        "losses averaged over the batch",
        "example_gradients.py",
        "losses.sum().backward()",
        "losses.mean().backward()",
        "test_training.py -k loop_over_examples",
    ),
    Mutation(
        "shuffling called Poisson",
        "sampling.py",
        "return lambda: _heads(generator.uniform(count) < sample_rate)",
        "return lambda: sorted(generator.uniform(count).argsort()"
        "[: round(count * sample_rate)].tolist())",
        "test_sampling.py",
    ),
    Mutation(
        "one micro-batch forgotten",
        "batching.py",
        "for start in range(0, len(drawn), max_physical_batch):",
        "for start in range(0, len(drawn) - max_physical_batch, max_physical_batch):",
        "test_training.py -k parts_of_a_batch",
    ),
    Mutation(
        "the sum not emptied after a step",
        "gaussian.py",
        "        self.released_loss = self._noisy_loss()\n        self.forget()",
        "        self.released_loss = self._noisy_loss()",
        "test_noisy_sum.py",
    ),
    Mutation(
        "rows of examples mixed up",
        "example_gradients.py",
        "return torch.arange(len(counts)).repeat_interleave(",
        "return torch.arange(len(counts)).flip(0).repeat_interleave(",
        "test_users.py",
    ),
    Mutation(
        "an example that is not finite kept",
        "clipping.py",
        "gradients[is_bad] = 0",
        "pass",
        "test_clipping.py test_training.py -k finite",
    ),
    Mutation(
        "one stream for coins and noise",
        "training.py",
        "if sampling_generator.is_same_stream(noise_generator):",
        "if False:",
        "test_training.py",
    ),
    Mutation(
        "users counted as examples",
        "users.py",
        "values=sums / counts.to(sums)",
        "values=sums",
        "test_users.py",
    ),
    Mutation(
        "banded noise that forgets",
        "banded.py",
        "self._past.appendleft(total)",
        "pass",
        "test_noisy_sum.py test_banded.py",
    ),
    Mutation(
        "groups by place instead of by chance",
        "sampling.py",
        "groups = generator.integers_below(bands, count)",
        "groups = torch.arange(count) % bands",
        "test_sampling.py",
    ),
    Mutation(
        "noise on another grid than the sum",
        "gaussian.py",
        "grid = grid_of(self.max_grad_norm, self._size)",
        "grid = grid_of(self._plan.max_grad_norm, self._size)",
        "test_noisy_sum.py",
    ),
    Mutation(
        "accountant reset for each reservation",
        "account.py",
        "return epsilon_of([*self.events, *coming], self.plan.delta, self.plan.accountant)",
        "return epsilon_of([*self.events[-1:], *coming][-1:], self.plan.delta, "
        "self.plan.accountant)",
        "test_ledger.py",
    ),
    Mutation(
        "steps of one mechanism not added up",
        "accounting.py",
        "steps[Mechanism(noise, rate, contributions)] += event.steps",
        "steps[Mechanism(noise, rate, contributions)] = event.steps",
        "test_accounting.py",
    ),
    Mutation(
        "users accounted as examples",
        "plan.py",
        'return (self.examples_per_user or 1) if self.sampled == "example" else 1',
        "return 1",
        "test_plan.py",
    ),
    Mutation(
        "amplification claimed for bins",
        "plan.py",
        "rate, compositions = 1.0, math.ceil(steps / self.steps_per_epoch)",
        "compositions = math.ceil(steps / self.steps_per_epoch)",
        "test_plan.py",
    ),
    Mutation(
        "one step reserved for all",
        "training.py",
        "ledger.reserve(owner, steps=steps, plan=plan, is_private=is_private)",
        "ledger.reserve(owner, steps=1, plan=plan, is_private=is_private)",
        "test_training.py -k 'rounds or failed or exhausted'",
    ),
    Mutation(
        "an owner clipped to twice the norm",
        "owners.py",
        "clip_and_sum(row_of(update, self._shapes), self.max_grad_norm)",
        "clip_and_sum(row_of(update, self._shapes), 2 * self.max_grad_norm)",
        "test_owners.py -k 'moves or without'",
    ),
    Mutation(
        "tensors of an owner taken by place",
        "owners.py",
        "for name in sorted(shapes)]\n    return torch.cat",
        "for name in update]\n    return torch.cat",
        "test_owners.py -k by_name",
    ),
    Mutation(
        "losses not clipped",
        "gaussian.py",
        "steps.clamp(0, self._plan.loss_clip // grid).sum()",
        "steps.clamp(0).sum()",
        "test_noisy_sum.py -k loss",
    ),
    Mutation(
        "noise of the losses halved",
        "gaussian.py",
        "scale = self._plan.loss_noise * self._plan.loss_clip / grid",
        "scale = self._plan.loss_noise * self._plan.loss_clip / grid / 2",
        "test_noisy_sum.py -k loss",
    ),
    Mutation(
        "gradients that do not pay for the losses",
        "plan.py",
        "others += self.loss_noise**-2",
        "others += 0",
        "test_plan.py -k losses",
    ),
    Mutation(
        "a round charged after it was released",
        "owners.py",
        "count(1)\n            yield",
        "yield\n            count(1)",
        "test_owners.py -k charged",
    ),
    Mutation(
        "noise shared by all instead of the honest",
        "discrete.py",
        "self.plan.noise_multiplier * self.norm / math.sqrt(self.threshold)",
        "self.plan.noise_multiplier * self.norm / math.sqrt(self.owners)",
        "test_discrete.py -k honest",
    ),
    Mutation(
        "proposals of the discrete Gaussian all taken",
        "discrete.py",
        "is_taken &= generator.exponential(proposals) > (magnitude",
        "is_taken &= -generator.exponential(proposals) < (magnitude",
        "test_discrete.py -k chances",
    ),
    Mutation(
        "sums of shares taken for a Gaussian",
        "discrete.py",
        "+ tau * math.sqrt(size)",
        "",
        "test_discrete.py -k divergence",
    ),
]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery.of("privacy.mutants") as nursery:
        yield nursery


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_suite_fails_on(mutation: Mutation, nursery: Nursery, tmp_path: Path) -> None:
    package = tmp_path / "discreet"
    package.mkdir()
    for entry in PACKAGE.iterdir():
        if entry.name not in ("privacy", "__pycache__"):
            (package / entry.name).symlink_to(entry)
    shutil.copytree(PACKAGE / "privacy", package / "privacy")
    source = package / "privacy" / mutation.file
    text = source.read_text()
    assert text.count(mutation.before) == 1, "the source has changed: write the mutation anew"
    source.write_text(text.replace(mutation.before, mutation.after))
    files, _, chosen = mutation.tests.partition(" -k ")
    arguments = [f"tests/privacy/{name}" for name in files.split()]
    arguments += ["-k", chosen.strip("'")] if chosen else []
    ended = nursery.run(folder=str(tmp_path), arguments=arguments)
    said = (tmp_path / "said").read_text()[-2000:]
    assert ended == 0, said
    assert int((tmp_path / "status").read_text()) == pytest.ExitCode.TESTS_FAILED, said
