"""What the public check finds on models that are right, and on the mistakes it is there for."""

from collections.abc import Callable, Sequence

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from discreet.model import (
    FAMILIES,
    PARTS,
    Family,
    FamilyName,
    LoraSpec,
    Row,
    Sample,
    Vlm,
    answer_losses,
    attach_lora,
    build_prompt,
    collate,
    encode_images,
    family_of,
    load,
)
from discreet.privacy import ExactnessReport, ExampleLosses, LossFn, check_exactness

from .families import (
    PICTURES,
    Base,
    Checkpointing,
    adapted,
    by_example,
    checkpoint_activations,
    one_by_one,
    worst_error,
)

Losses = Callable[[Sequence[int]], ExampleLosses]


def losses_of(family: Family, samples: Sequence[Sample], **changes: torch.Tensor) -> Losses:
    """Return a `loss_of` over samples; `changes` are rows to tell instead."""

    def losses(drawn: Sequence[int]) -> ExampleLosses:
        chosen = [samples[index] for index in drawn]
        return ExampleLosses(values=family.losses(chosen), rows={**family.rows(chosen), **changes})

    return losses


def check(family: Family, batches: Sequence[Sequence[int]] = ()) -> ExactnessReport:
    """Check a family on examples with all numbers of pictures, four of them in a batch."""
    counts = [count for pattern in PICTURES for count in pattern]
    batches = batches or [range(start, start + 3) for start in range(0, len(counts), 3)]
    return check_exactness(family.model, losses_of(family, family.draw(counts, seed=0)), batches)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_found_exact_and_every_part_is_measured(name: FamilyName) -> None:
    report = check(adapted(name))
    assert report.is_exact, report.problems
    assert set(report.by_part) == set(PARTS if name != "gemma3" else PARTS[:2])
    assert max(report.by_part.values()) < 1e-5
    assert (report.num_examples, report.batches) == (12, (3, 3, 3, 3))
    # LLaVA reads its tower before the last layer.
    last = [n for n in report.by_layer if name == "llava" and "vision" in n and "layers.2" in n]
    assert report.unused == tuple(last)


@pytest.mark.parametrize("mode", ["no", "reentrant", "non-reentrant"])
@pytest.mark.parametrize("base", ["bfloat16", "int8", "nf4"])
def test_other_number_formats_and_checkpointing_are_found_exact(
    base: Base, mode: Checkpointing
) -> None:
    family = adapted("qwen2_5_vl", base=base)
    checkpoint_activations(family.model, mode)
    report = check(family)
    assert report.is_exact, report.problems
    assert max(report.by_part.values()) < 1e-5
    assert (report.alone_error > 1e-4) == (base == "bfloat16")


def test_this_projects_own_model_is_exact_as_it_is_trained(
    tiny: Vlm, faces: list, portraits: list
) -> None:
    """Two rows for an example, one of them with a picture, as the federation feeds them."""
    vlm = attach_lora(tiny, LoraSpec(freeze_a=False, target_modules=("q_proj", "v_proj")))
    stir(vlm.model)
    features = encode_images(vlm, faces[:4])
    words = ["Rest.", "Drink a lot of water and rest.", "No.", "Ask a doctor today."]

    def losses(drawn: Sequence[int]) -> torch.Tensor:
        rows = [
            Row(messages=build_prompt("Why?", note="Rest heals.", person=person), answer=words[i])
            for i in drawn
            for person in ("somebody", "<image>")
        ]
        found = answer_losses(vlm, collate(vlm, rows), features[list(drawn)])
        return found.view(-1, 2).mean(1)

    report = check_exactness(
        vlm.model, losses, [[0, 1, 2], [3, 3], [2, 0, 1, 3]], rows_per_example=2
    )
    assert report.is_exact, report.problems
    assert not report.unused
    assert report.num_examples == 4


def test_this_projects_own_model_is_exact_in_every_part() -> None:
    family = family_of(load("tiny").model)
    config = LoraConfig(r=2, target_modules=family.lora_targets(PARTS), init_lora_weights=False)
    get_peft_model(family.model, config)
    report = check(family)
    assert report.is_exact, report.problems
    assert set(report.by_part) == set(PARTS)


def stir(model: nn.Module) -> None:
    """Give B values, which is zero at first and would leave A without a gradient."""
    draw = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.3, generator=draw)


# Mistakes


@pytest.fixture(scope="module")
def family() -> Family:
    return adapted("smolvlm")


def problems_of(family: Family, loss_of: LossFn, batch: Sequence[int] = (0, 1, 2)) -> str:
    """Return what is wrong, in one string; nothing may be."""
    report = check_exactness(family.model, loss_of, [batch])
    assert report.is_exact == (not report.problems)
    return " ".join(report.problems)


def test_rows_of_pictures_taken_for_examples_are_found(family: Family) -> None:
    """Two, one and no picture: three rows, so that no shape is wrong."""
    samples = family.draw([2, 1, 0], seed=0)
    found = problems_of(family, losses_of(family, samples, vision=torch.arange(3)))
    assert "are not those of their examples" in found
    assert "vision_model" in found


def test_rows_that_are_too_few_are_found(family: Family) -> None:
    samples = family.draw([2, 1, 3], seed=0)
    found = problems_of(family, losses_of(family, samples, vision=torch.arange(3)), (0, 1, 2))
    assert "each of the 6 rows" in found


def test_a_loss_over_the_tokens_of_a_batch_is_found(family: Family) -> None:
    """What Hugging Face computes from `labels=`, for each example to share."""
    samples = family.draw([1, 1, 0], seed=0, answers=[7, 1, 1])

    def labelled(drawn: Sequence[int]) -> ExampleLosses:
        chosen = [samples[index] for index in drawn]
        inputs, labels = family.collate(chosen)
        loss = family.model(**inputs, labels=labels).loss
        return ExampleLosses(values=loss.expand(len(drawn)), rows=family.rows(chosen))

    found = problems_of(family, labelled)
    assert "labels=" in found
    assert "are not those of their examples" in found


def test_a_loss_that_only_scales_with_the_batch_is_found(family: Family) -> None:
    """Gradients of rows are those of rows then, and only a pass of its own tells."""
    samples = family.draw([1, 1, 0], seed=0)

    def mean(drawn: Sequence[int]) -> ExampleLosses:
        losses = losses_of(family, samples)(drawn)
        return ExampleLosses(values=losses.values / len(drawn), rows=losses.rows)

    found = problems_of(family, mean)
    assert "never over the batch" in found
    assert "are not those" not in found


def test_one_number_for_a_batch_is_refused(family: Family) -> None:
    samples = family.draw([1, 1, 0], seed=0)
    with pytest.raises(ValueError, match="one loss for each"):
        check_exactness(
            family.model, lambda drawn: family.losses([samples[i] for i in drawn]).sum(), [[0, 1]]
        )


def test_padding_that_is_attended_to_is_found(family: Family) -> None:
    """The mask says which tokens are real; without it, a longer neighbour changes an example."""
    samples = family.draw([0, 0, 2], seed=0)

    def unmasked(drawn: Sequence[int]) -> ExampleLosses:
        chosen = [samples[index] for index in drawn]
        inputs, labels = family.collate(chosen, padding="left")
        del inputs["attention_mask"]
        logits = family.model(**inputs).logits[:, :-1].transpose(1, 2)
        tokens = nn.functional.cross_entropy(logits, labels[:, 1:], reduction="none")
        return ExampleLosses(values=tokens.sum(1) / 8, rows=family.rows(chosen))

    assert "padding that is attended to" in problems_of(family, unmasked)


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_an_example_without_a_finite_gradient_is_found(family: Family, factor: float) -> None:
    samples = family.draw([1, 1, 0], seed=0)
    factors = torch.tensor([1.0, factor, 1.0])

    def poisoned(drawn: Sequence[int]) -> ExampleLosses:
        losses = losses_of(family, samples)(drawn)
        return ExampleLosses(values=losses.values * factors[list(drawn)], rows=losses.rows)

    assert "1 examples have no finite gradient" in problems_of(family, poisoned)


def test_losses_without_a_gradient_are_found(family: Family) -> None:
    samples = family.draw([1, 1, 0], seed=0)

    @torch.no_grad()
    def constant(drawn: Sequence[int]) -> ExampleLosses:
        return losses_of(family, samples)(drawn)

    assert "Leave gradients on" in problems_of(family, constant)


def test_examples_without_a_picture_have_no_gradient_where_only_the_tower_learns() -> None:
    report = check(adapted("idefics3", ("vision", "connector")))
    assert report.is_exact, report.problems
    assert not report.unused


def test_a_model_with_chance_in_it_is_refused() -> None:
    family = adapted("llava", lora_dropout=0.5)
    samples = family.draw([1, 1], seed=0)
    family.model.train()
    with pytest.raises(ValueError, match="dropout"):
        check_exactness(family.model, losses_of(family, samples), [[0, 1]])


def test_what_is_no_example_is_refused(family: Family) -> None:
    with pytest.raises(ValueError, match="with an example"):
        check_exactness(family.model, losses_of(family, []), [[], []])


def test_the_model_comes_back_as_it_was(family: Family) -> None:
    before = {name: value.clone() for name, value in family.model.state_dict().items()}
    check(family)
    after = family.model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(p.grad is None for p in family.model.parameters())


def test_a_wrong_gradient_in_a_small_layer_is_not_drowned_by_a_large_one() -> None:
    """An error is measured against what the layer itself gets."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    model[0].weight.data.mul_(1e3)
    model[1].weight.data.mul_(1e-2)
    data = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    swapped = ExampleLosses(values=torch.zeros(0), rows={"language": torch.tensor([1, 0])})

    def losses(drawn: Sequence[int]) -> ExampleLosses:
        rows = swapped.rows if len(drawn) == 2 else {"language": torch.tensor([0])}
        return ExampleLosses(values=model(data[list(drawn)]).squeeze(1), rows=rows)

    report = check_exactness(model, losses, [[0, 1]])
    assert report.by_layer["0.weight"] > 0.1
    assert report.by_layer["1.weight"] > 0.1
    assert not report.is_exact


def test_the_check_says_what_a_loop_written_by_hand_says() -> None:
    family = adapted("gemma3")
    samples = family.draw([1, 0, 2], seed=0)
    alone = one_by_one(family.model, [family.losses([s]).sum() for s in samples])
    by_hand = worst_error(by_example(family, samples, "right"), alone)
    report = check_exactness(family.model, losses_of(family, samples), [[0, 1, 2]])
    assert report.alone_error == pytest.approx(by_hand, rel=0.5, abs=1e-7)
