"""What one record can change: our engines keep the bound, and bugs of others are found."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from opacus.grad_sample import GradSampleHooks
from torch import nn

from discreet.model import FAMILIES, Family, FamilyName, Sample
from discreet.privacy import (
    ExampleGradients,
    ExampleLosses,
    PrivacyPlan,
    SensitivityReport,
    clipped_sum_of,
    draw_batches,
    fit_private,
    fuzz_sensitivity,
)
from discreet.privacy.clipping import grid_of

from .families import adapted

Plan = Callable[..., PrivacyPlan]
Drawn = Sequence[int]
COUNTS = (2, 1, 0, 3, 0, 1, 2, 1)
"""Pictures of the examples that batches are drawn from."""
WEIGHTS = 10 ** torch.linspace(-2, 2, len(COUNTS))
"""Some gradients are far shorter than the bound and some far longer."""
BOUND = 0.1


def losses_of(
    family: Family,
    samples: Sequence[Sample],
    change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = lambda losses, drawn: losses,
) -> Callable[[Drawn], ExampleLosses]:
    """Return a `loss_of`; `change` takes the losses and which examples were drawn."""

    def losses(drawn: Drawn) -> ExampleLosses:
        chosen = [samples[index] for index in drawn]
        values = change(family.losses(chosen), torch.tensor(drawn))
        return ExampleLosses(values=values, rows=family.rows(chosen))

    return losses


def weighted(family: Family) -> Callable[[Drawn], ExampleLosses]:
    """Return losses of examples with `COUNTS` pictures, of very different weight."""
    samples = family.draw(COUNTS, seed=0)
    return losses_of(family, samples, lambda losses, drawn: losses * WEIGHTS[drawn])


def fuzz(
    clipped_sum: Callable[[Drawn], torch.Tensor], *, trials: int = 10, **changes: object
) -> SensitivityReport:
    settings = {"draw": draw_batches(len(COUNTS)), "max_grad_norm": BOUND, "seed": 0, **changes}
    return fuzz_sensitivity(
        clipped_sum,
        trials=trials,
        describe=lambda batch: "pictures " + " ".join(str(COUNTS[i % len(COUNTS)]) for i in batch),
        **settings,
    )


# This project's engines


@pytest.mark.parametrize("engine", ["flat", "grouped"])
@pytest.mark.parametrize("name", FAMILIES)
def test_one_record_moves_the_sum_by_no_more_than_the_bound(name: FamilyName, engine: str) -> None:
    """Mixed numbers of pictures, lengths, duplicates, empty batches, parts of a batch."""
    family = adapted(name)
    clipped_sum = clipped_sum_of(
        family.model,
        weighted(family),
        max_grad_norm=BOUND,
        engine=engine,  # type: ignore[arg-type]
        max_physical_batch=4,
    )
    report = fuzz(clipped_sum)
    assert report.is_bounded, report
    assert report.largest > 0.9 if engine == "flat" else report.largest > 0.2


@pytest.mark.parametrize("engine", ["flat", "grouped"])
def test_batches_without_a_picture_are_no_crash_where_only_the_tower_learns(engine: str) -> None:
    family = adapted("llava", ("vision", "connector"))
    clipped_sum = clipped_sum_of(
        family.model,
        weighted(family),
        max_grad_norm=BOUND,
        engine=engine,  # type: ignore[arg-type]
    )
    assert not clipped_sum([2, 4]).any()
    report = fuzz(clipped_sum, trials=20)
    assert report.is_bounded, report


@pytest.mark.parametrize("base", ["int8", "nf4"])
def test_a_quantised_base_keeps_the_bound(base: str) -> None:
    family = adapted("llava", base=base)  # type: ignore[arg-type]
    report = fuzz(clipped_sum_of(family.model, weighted(family), max_grad_norm=BOUND))
    assert report.is_bounded, report


@pytest.mark.parametrize(
    ("base", "least", "most"), [("float32", 0.0, 1e-4), ("bfloat16", 3e-4, 1e-2)]
)
def test_rounding_couples_examples_unless_each_is_computed_alone(
    base: str, least: float, most: float
) -> None:
    """Without the longest example, products have another size, and the others round differently.

    With one example in memory at a time the others do not move at all. In float32 a processor's own
    order of adding moves some numbers by one step of the grid, 2e-5 of the bound each.
    """
    family = adapted("qwen2_vl", base=base)  # type: ignore[arg-type]
    samples = family.draw(COUNTS, seed=0)
    longest = max(range(len(samples)), key=lambda index: len(samples[index].ids))
    others = [index for index in range(len(samples)) if index != longest]
    moved = {}
    for size in (1, 8):
        clipped_sum = clipped_sum_of(
            family.model, losses_of(family, samples), max_grad_norm=BOUND, max_physical_batch=size
        )
        change = clipped_sum([longest, *others]) - clipped_sum(others) - clipped_sum([longest])
        moved[size] = float(change.norm()) / BOUND
    assert moved[1] == 0
    assert least <= moved[8] <= most


class _Kept(torch.optim.SGD):
    """Keeps the gradient that it is given and moves nothing."""

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        self.kept = torch.cat([p.grad.flatten() for g in self.param_groups for p in g["params"]])


@pytest.mark.parametrize(
    ("name", "engine"),
    [(name, "opacus") for name in FAMILIES] + [("llava", "flat"), ("qwen2_vl", "grouped")],
)
def test_whole_steps_of_training_keep_the_bound(
    name: FamilyName,
    engine: str,
    make_plan: Plan,
    seeded: Callable[[int], torch.Generator],
) -> None:
    """From drawing to the optimizer, with noise too weak to be seen. Opacus: language alone."""
    family = adapted(name, ("language",) if engine == "opacus" else ("language", "vision"))
    inner = weighted(family)
    optimizer = _Kept([p for p in family.model.parameters() if p.requires_grad], lr=0.0)
    plan = make_plan(noise_multiplier=1e-12, max_grad_norm=BOUND)

    def clipped_sum(drawn: Drawn) -> torch.Tensor:
        def loss_of(places: Drawn) -> torch.Tensor | ExampleLosses:
            losses = inner([drawn[place] for place in places])
            return losses.values if engine == "opacus" else losses

        fit_private(
            family.model,
            loss_of,
            num_examples=len(drawn),
            plan=plan,
            steps=1,
            optimizer=optimizer,
            sampling_generator=seeded(1),
            noise_generator=seeded(2),
            max_physical_batch=4,
            engine=engine,  # type: ignore[arg-type]
        )
        return optimizer.kept

    report = fuzz(clipped_sum, trials=8)
    assert report.is_bounded, report
    assert report.largest > 0.2


# Difficult examples


def zero_slope_of_a_root(losses: torch.Tensor) -> torch.Tensor:
    """Return zeros whose derivative is not a number."""
    return (losses * 0).sqrt()


DIFFICULT: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "huge gradient": lambda losses: losses * 1e30,
    "loss not a number": lambda losses: losses * float("nan"),
    "infinite loss": lambda losses: losses * float("inf"),
    "gradient not a number": lambda losses: losses + zero_slope_of_a_root(losses),
    "no gradient": lambda losses: losses * 0,
}


@pytest.mark.parametrize("engine", ["flat", "grouped"])
@pytest.mark.parametrize("kind", DIFFICULT)
def test_a_difficult_example_moves_the_sum_by_no_more_than_the_bound(
    kind: str, engine: str
) -> None:
    """Every second example is one; the others are as they would be without it."""
    family = adapted("paligemma")
    spoil = DIFFICULT[kind]
    loss_of = losses_of(
        family,
        family.draw(COUNTS, seed=0),
        # Not by where(), whose gradient is not a number as soon as one side's is not.
        lambda losses, drawn: torch.stack(
            [loss if i % 2 else spoil(loss) for i, loss in zip(drawn.tolist(), losses, strict=True)]
        ),
    )
    clipped_sum = clipped_sum_of(
        family.model,
        loss_of,
        max_grad_norm=BOUND,
        engine=engine,  # type: ignore[arg-type]
    )
    report = fuzz(clipped_sum, trials=10)
    assert report.is_bounded, report
    if engine == "flat" and kind != "huge gradient":
        torch.testing.assert_close(clipped_sum([0, 1, 2, 3]), clipped_sum([1, 3]))
    assert clipped_sum([0, 1, 2]).isfinite().all()


def test_a_finite_loss_with_a_gradient_that_is_not_a_number_exists() -> None:
    """The case above is what its name says."""
    start = torch.tensor([2.0], requires_grad=True)
    loss = start + zero_slope_of_a_root(start)
    loss.sum().backward()
    assert float(loss.detach()) == 2
    assert start.grad is not None
    assert math.isnan(float(start.grad))


@pytest.mark.parametrize("engine", ["flat", "grouped"])
@pytest.mark.parametrize("name", ["gemma3", "idefics3"])
def test_examples_without_an_answer_or_without_a_word_harm_nobody(
    name: FamilyName, engine: str
) -> None:
    """A row without a label; a row of padding alone, over which attention may not be a number."""
    family = adapted(name)
    unanswered = family.draw([1, 0, 2, 1], seed=0, answers=[0, 6, 0, 1])
    nothing = Sample(ids=torch.zeros(0, dtype=torch.long), answer=0, pictures=())
    samples = [*unanswered, nothing, nothing]
    loss_of = losses_of(family, samples)
    clipped_sum = clipped_sum_of(
        family.model,
        loss_of,
        max_grad_norm=BOUND,
        engine=engine,  # type: ignore[arg-type]
    )
    beside_text = iter([([4, 1, 0], 0), ([1, 3, 5, 2], 2), ([1, 4], 1), ([0], 0), ([3, 1], 0)])
    report = fuzz(clipped_sum, draw=lambda _: next(beside_text), trials=5)
    assert report.is_bounded, report
    torch.testing.assert_close(clipped_sum([4, 1, 5]), clipped_sum([1]), rtol=1e-4, atol=1e-6)


def test_one_example_thirty_two_times_counts_thirty_two_times_and_each_once() -> None:
    family = adapted("smolvlm", ("language", "vision"))
    loss_of = losses_of(family, family.draw([2], seed=0), lambda losses, drawn: losses * 100)
    clipped_sum = clipped_sum_of(family.model, loss_of, max_grad_norm=BOUND)
    report = fuzz(clipped_sum, draw=lambda _: ([0] * 32, 7), trials=1)
    assert report.is_bounded
    assert report.largest == pytest.approx(1, abs=0.01)
    assert float(clipped_sum([0] * 32).norm()) == pytest.approx(32 * BOUND, rel=0.01)


# The three upstream bugs


@contextmanager
def opacus_hooks(model: nn.Module) -> Iterator[None]:
    """Opacus as its users have it, on everything that learns; all traces are removed."""
    model.train()
    hooks = GradSampleHooks(model, loss_reduction="sum", strict=True)
    try:
        yield
    finally:
        hooks.remove_hooks()
        for parameter in model.parameters():
            parameter.grad = None
            for name in ("grad_sample", "summed_grad", "_forward_counter", "_current_grad_sample"):
                if name in vars(parameter):
                    delattr(parameter, name)


def opacus_sum(
    family: Family, loss_of: Callable[[Drawn], ExampleLosses]
) -> Callable[[Drawn], torch.Tensor]:
    """Return the clipped sum that Opacus' optimizer forms, without what this project adds."""
    learning = [p for p in family.model.parameters() if p.requires_grad]

    def clipped_sum(drawn: Drawn) -> torch.Tensor:
        if not drawn:
            return torch.zeros(sum(p.numel() for p in learning))
        with opacus_hooks(family.model), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            loss_of(drawn).values.sum().backward()
            parts = [p.grad_sample for p in learning]
            norms = torch.stack([part.flatten(1).norm(dim=1) for part in parts]).norm(dim=0)
            factors = (BOUND / norms.clamp(min=BOUND)).to(parts[0].dtype)
            return torch.cat([torch.einsum("n,n...->...", factors, p).flatten() for p in parts])

    return clipped_sum


def as_many_pictures_as_examples(generator: torch.Generator) -> tuple[list[int], int]:
    """Draw two, one and no picture, and leave out the one: no shape is ever wrong."""

    def one_with(count: int) -> int:
        places = [place for place, found in enumerate(COUNTS) if found == count]
        return places[int(torch.randint(len(places), (), generator=generator))]

    return [one_with(2), one_with(1), one_with(0)], 1


@pytest.mark.parametrize("name", ["smolvlm", "idefics3", "paligemma"])
def test_it_finds_rows_taken_for_examples_by_opacus_in_a_vision_tower(name: FamilyName) -> None:
    """Silently: every batch here has as many pictures as examples."""
    family = adapted(name, ("language", "vision"))
    report = fuzz(
        opacus_sum(family, weighted(family)), draw=as_many_pictures_as_examples, trials=20
    )
    assert not report.crashes
    assert report.largest > 1.1
    assert report.largest_batch == "pictures 2 1 0, the one in place 2 left out"
    own = clipped_sum_of(family.model, weighted(family), max_grad_norm=BOUND)
    assert fuzz(own, draw=as_many_pictures_as_examples, trials=20).is_bounded


def test_it_finds_that_opacus_takes_pictures_for_examples_in_a_vision_tower_alone() -> None:
    """Each of three pictures of one example is clipped by itself."""
    family = adapted("paligemma", ("vision",))
    loss_of = losses_of(family, family.draw(COUNTS, seed=0), lambda losses, drawn: losses * 1e4)
    with_pictures = [place for place, count in enumerate(COUNTS) if count]

    def draw(generator: torch.Generator) -> tuple[list[int], int]:
        chosen = torch.randint(len(with_pictures), (3,), generator=generator)
        return [with_pictures[int(place)] for place in chosen], 0

    report = fuzz(opacus_sum(family, loss_of), draw=draw)
    assert not report.crashes
    assert report.largest > 1.5


@pytest.mark.parametrize("name", ["llava", "qwen2_vl", "qwen2_5_vl"])
def test_it_finds_that_opacus_cannot_compute_these_towers(name: FamilyName) -> None:
    family = adapted(name, ("language", "vision"))
    report = fuzz(opacus_sum(family, weighted(family)))
    assert report.crashes
    assert not report.is_bounded


@pytest.mark.parametrize("name", FAMILIES)
def test_it_finds_that_a_forward_pass_over_an_empty_batch_crashes(name: FamilyName) -> None:
    """A mechanism that is right but for this; the tensors are those of a batch, cut to none."""
    family = adapted(name, ("language",))
    samples = family.draw(COUNTS, seed=0)
    careful = clipped_sum_of(family.model, losses_of(family, samples), max_grad_norm=BOUND)

    def careless(drawn: Drawn) -> torch.Tensor:
        if not drawn:
            inputs, _ = family.collate(samples[:1])
            family.model(**{key: value[:0] for key, value in inputs.items()})
        return careful(drawn)

    report = fuzz(careless)
    assert len(report.crashes) == 1
    assert report.crashes[0].endswith(" on pictures ")
    assert not report.is_bounded
    assert fuzz(careful).is_bounded


@pytest.mark.parametrize(("others", "least"), [(2, 1.5), (7, 4), (31, 20)])
def test_it_finds_that_the_loss_from_labels_couples_examples(others: int, least: float) -> None:
    """Hugging Face divides by the tokens of all answers, so that a long one shortens the others.

    The others are alike, so that what they lose adds up: nearly as many bounds as there are.
    """
    family = adapted("llava", ("language",))
    long = family.draw([0], seed=0, words=200)
    short = family.draw([0], seed=1, answers=[1])
    samples = [*long, *short * others]

    def labelled(drawn: Drawn) -> ExampleLosses:
        chosen = [samples[index] for index in drawn]
        inputs, labels = family.collate(chosen)
        loss = family.model(**inputs, labels=labels).loss
        return ExampleLosses(values=loss.expand(len(drawn)), rows=family.rows(chosen))

    def moved(loss_of: Callable[[Drawn], ExampleLosses]) -> SensitivityReport:
        clipped_sum = clipped_sum_of(
            family.model, loss_of, max_grad_norm=1.0, max_physical_batch=32
        )
        everybody = list(range(len(samples)))
        return fuzz(clipped_sum, draw=lambda _: (everybody, 0), max_grad_norm=1.0, trials=1)

    assert moved(labelled).largest > least
    assert moved(losses_of(family, samples)).is_bounded


# The fuzzer itself


def test_the_largest_move_is_that_of_a_loop() -> None:
    values = torch.tensor([3.0, -1.0, 2.5])
    batches = [([0, 1], 0), ([2], 0), ([1, 2], 1)]
    draws = iter(batches)
    report = fuzz_sensitivity(
        lambda drawn: values[list(drawn)].sum().view(1),
        lambda _: next(draws),
        max_grad_norm=2.0,
        trials=3,
        seed=0,
    )
    assert report.largest == 1.5
    assert report.largest_batch == "2 examples, the one in place 1 left out"
    assert not report.is_bounded
    assert replace(report, tolerance=0.6).is_bounded


def test_a_sum_that_never_moves_was_not_measured() -> None:
    report = fuzz_sensitivity(
        lambda _: torch.zeros(3), draw_batches(3), max_grad_norm=1.0, trials=5, seed=0
    )
    assert report.largest == 0
    assert not report.is_bounded


def test_a_sum_that_is_not_a_number_moves_without_end() -> None:
    report = fuzz_sensitivity(
        lambda drawn: torch.tensor([float("nan")] if len(drawn) > 1 else [0.5]),
        draw_batches(3),
        max_grad_norm=1.0,
        trials=9,
        seed=0,
    )
    assert report.largest == float("inf")
    assert not report.is_bounded


def test_an_error_is_named_without_its_words() -> None:
    def broken(drawn: Drawn) -> torch.Tensor:
        if len(drawn) == 2:
            raise ValueError("Mrs Example of 1 Example Street")
        return torch.ones(1) * len(drawn)

    report = fuzz_sensitivity(broken, draw_batches(3), max_grad_norm=1.0, trials=30, seed=0)
    assert len(report.crashes) == 1
    assert report.crashes[0].startswith("ValueError in test_sensitivity.py:")
    assert report.crashes[0].endswith(" on 2 examples")
    assert "Example Street" not in str(report)


def test_batches_come_in_all_sizes_and_repeat_examples() -> None:
    draw, chance = draw_batches(4, most=5), torch.Generator().manual_seed(0)
    drawn = [draw(chance) for _ in range(200)]
    assert {len(batch) for batch, _ in drawn} == {1, 2, 3, 4, 5}
    assert {index for batch, _ in drawn for index in batch} == {0, 1, 2, 3}
    assert any(len(set(batch)) < len(batch) for batch, _ in drawn)
    assert all(place < len(batch) for batch, place in drawn)


def test_a_seed_decides_the_batches() -> None:
    def run(seed: int) -> list[Drawn]:
        seen: list[Drawn] = []

        def clipped_sum(drawn: Drawn) -> torch.Tensor:
            seen.append(drawn)
            return torch.zeros(1)

        fuzz_sensitivity(clipped_sum, draw_batches(9), max_grad_norm=1.0, trials=5, seed=seed)
        return seen

    assert run(1) == run(1) != run(2)


def test_the_sum_is_that_of_the_examples_and_not_of_parts() -> None:
    """Physical batches change speed only."""
    family = adapted("llava")
    sums = [
        clipped_sum_of(
            family.model, weighted(family), max_grad_norm=BOUND, max_physical_batch=size
        )(range(8))
        for size in (1, 3, 8)
    ]
    step = grid_of(BOUND, len(sums[0]))  # rounding can end on either side
    torch.testing.assert_close(sums[0], sums[1], rtol=1e-4, atol=1.01 * step)
    torch.testing.assert_close(sums[0], sums[2], rtol=1e-4, atol=1.01 * step)
    with ExampleGradients(family.model, capacity=1) as gradients:
        assert len(sums[0]) == gradients.size
