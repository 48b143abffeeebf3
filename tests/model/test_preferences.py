"""The loss of a pair is Eq. 7 of its source, by hand, and no other pair has a part in it."""

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import logsigmoid

from discreet.model import (
    AnswerPair,
    Comparisons,
    FrozenPrefix,
    LoraSpec,
    Row,
    Vlm,
    adapter_parameters,
    adapter_state,
    answer_pair,
    attach_lora,
    build_prompt,
    load,
    person_line,
    preference_losses,
    preference_margins,
    without_adapter,
)
from discreet.model.prompt import encode_prompt
from discreet.types import Observation

BETA = 0.1
PAIRS = [
    answer_pair("Why rest?", note="Rest heals.", band=band, chosen=chosen, rejected=rejected)
    for band, chosen, rejected in (
        ("child", "It helps.", "Little girls must rest, sweetie."),
        (None, "Rest heals, so take your time with it.", "No."),
        ("older_adult", "1. Lie down. 2. Rest.", "I cannot help with that."),
    )
]


@pytest.fixture
def adapted(tiny: Vlm) -> Vlm:
    """`tiny` with an adapter that changes what it says."""
    vlm = attach_lora(tiny, LoraSpec(r=4, target_modules=("q_proj", "v_proj")))
    draw = torch.Generator().manual_seed(0)
    for parameter in adapter_parameters(vlm).values():
        parameter.data.normal_(generator=draw)
    return vlm


def slow_log_prob(vlm: Vlm, row: Row) -> float:
    """Return a row's log-probability token by token, without padding or company."""
    prompt = encode_prompt(vlm, row.messages)
    answer = vlm.tokenizer(row.answer, add_special_tokens=False)["input_ids"]
    ids = [*prompt, *answer, vlm.tokenizer.eos_token_id]
    with torch.no_grad():
        scores = vlm.model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(1)
    return sum(float(scores[place - 1, ids[place]]) for place in range(len(prompt), len(ids)))


def slow_log_probs(vlm: Vlm, pairs: Sequence[AnswerPair]) -> list[list[float]]:
    return [[slow_log_prob(vlm, row) for row in pair] for pair in pairs]


def test_losses_are_those_of_the_closed_form_one_row_at_a_time(adapted: Vlm) -> None:
    found = Comparisons(adapted, PAIRS, beta=BETA).losses([0, 1, 2])
    mine, base = slow_log_probs(adapted, PAIRS), slow_log_probs(load("tiny"), PAIRS)
    wanted = []
    for (chosen, rejected), (base_chosen, base_rejected) in zip(mine, base, strict=True):
        margin = BETA * ((chosen - base_chosen) - (rejected - base_rejected))
        wanted.append(math.log1p(math.exp(-margin)))
    assert found.shape == (3,)
    assert found.dtype == torch.float32
    assert found.requires_grad
    assert found.tolist() == pytest.approx(wanted, abs=1e-5)
    assert max(abs(loss - math.log(2)) for loss in wanted) > 0.01, "the adapter says something"


def test_losses_are_those_of_trl(adapted: Vlm) -> None:
    """`DPOTrainer.dpo_loss` with loss_type="sigmoid" and no label smoothing, written out."""
    pairs = Comparisons(adapted, PAIRS, beta=BETA)
    mine, base = pairs.log_probs([0, 1, 2]), pairs.reference([0, 1, 2])
    pi_logratios = mine[:, 0] - mine[:, 1]
    ref_logratios = base[:, 0] - base[:, 1]
    wanted = -logsigmoid(BETA * (pi_logratios - ref_logratios))
    torch.testing.assert_close(preference_losses(mine, base, beta=BETA), wanted)


def test_a_fresh_adapter_costs_log_2_exactly(tiny: Vlm) -> None:
    pairs = Comparisons(attach_lora(tiny, LoraSpec()), PAIRS, beta=BETA)
    log_2 = torch.tensor([math.log(2)])
    for place in range(len(PAIRS)):
        assert torch.equal(pairs.losses([place]), log_2), "to the last bit"
        assert float(pairs.margins([place]).detach()) == 0
    together = pairs.losses([0, 1, 2])
    torch.testing.assert_close(together, log_2.expand(3), atol=1e-5, rtol=0)


def test_a_pair_has_the_loss_and_gradient_alone_that_it_has_among_others(adapted: Vlm) -> None:
    learning = list(adapter_parameters(adapted).values())
    together = Comparisons(adapted, PAIRS, beta=BETA).losses([2, 0, 1, 2])
    for place, index in enumerate([2, 0, 1, 2]):
        alone = Comparisons(adapted, PAIRS, beta=BETA).losses([index])[0]
        torch.testing.assert_close(alone, together[place], atol=1e-5, rtol=0)
        first = torch.autograd.grad(alone, learning)
        second = torch.autograd.grad(together[place], learning, retain_graph=True)
        whole, other = (torch.cat([part.flatten() for part in own]) for own in (first, second))
        assert float((whole - other).norm() / whole.norm()) < 1e-4


def test_what_the_base_says_is_computed_once_and_from_the_pair_alone(adapted: Vlm) -> None:
    pairs = Comparisons(adapted, PAIRS, beta=BETA)
    before = pairs.reference([0, 1, 2])
    alone = [Comparisons(adapted, PAIRS, beta=BETA).reference([place]) for place in range(3)]
    assert torch.equal(before, torch.cat(alone)), "to the last bit"
    for parameter in adapter_parameters(adapted).values():
        parameter.data.mul_(2)
    assert torch.equal(pairs.reference([2, 1, 0]), before.flip(0))
    assert not before.requires_grad


def test_the_base_speaks_inside_the_block_and_the_adapter_comes_back(adapted: Vlm) -> None:
    state = adapter_state(adapted)
    learns = {name: p.requires_grad for name, p in adapted.model.named_parameters()}
    row = PAIRS[0][0]
    with without_adapter(adapted):
        inside = slow_log_prob(adapted, row)
    assert inside == slow_log_prob(load("tiny"), row)
    assert inside != slow_log_prob(adapted, row)
    loss = Comparisons(adapted, PAIRS, beta=BETA).losses([0])
    with pytest.raises(KeyError), without_adapter(adapted):
        raise KeyError
    assert all(torch.equal(value, state[name]) for name, value in adapter_state(adapted).items())
    assert learns == {name: p.requires_grad for name, p in adapted.model.named_parameters()}
    loss.sum().backward()


def test_kept_states_of_frozen_layers_give_the_same_losses(tiny: Vlm) -> None:
    vlm = attach_lora(tiny, LoraSpec(layers=1))
    for parameter in adapter_parameters(vlm).values():
        parameter.data.normal_(generator=torch.Generator().manual_seed(1))
    wanted = Comparisons(vlm, PAIRS, beta=BETA).losses([0, 1, 2])
    kept = Comparisons(vlm, PAIRS, beta=BETA, prefix=FrozenPrefix(vlm))
    for _ in range(2):
        torch.testing.assert_close(kept.losses([0, 1, 2]), wanted, atol=1e-5, rtol=0)


def test_descending_makes_the_chosen_answer_the_better_one(tiny: Vlm) -> None:
    vlm = attach_lora(tiny, LoraSpec())
    pairs = Comparisons(vlm, PAIRS, beta=BETA)
    learner = torch.optim.Adam(adapter_parameters(vlm).values(), lr=0.02)
    for _ in range(10):
        learner.zero_grad()
        pairs.losses([0, 1, 2]).sum().backward()
        learner.step()
    assert bool((pairs.margins([0, 1, 2]) > 0).all())


@pytest.mark.parametrize("band", [None, "child", "older_adult"])
def test_both_answers_stand_behind_the_prompt_that_the_assistant_builds(band: str | None) -> None:
    seen = [
        Observation(attribute="age_band", value=value, source="estimated", confidence=0.9)  # type: ignore[arg-type]
        for value in (band,)
        if value is not None
    ]
    wanted = build_prompt("Why?", note="Rest.", person=person_line(seen))
    pair = answer_pair("Why?", note="Rest.", band=band, chosen="A", rejected="B")  # type: ignore[arg-type]
    assert [row.messages for row in pair] == [wanted, wanted]
    assert [row.answer for row in pair] == ["A", "B"]


numbers = st.floats(-200, 0, width=32)


@given(st.lists(st.tuples(numbers, numbers, numbers, numbers), min_size=1, max_size=4))
def test_to_swap_the_answers_turns_the_margin_round(found: list[tuple[float, ...]]) -> None:
    table = torch.tensor(found)
    mine, base = table[:, :2], table[:, 2:]
    losses = preference_losses(mine, base, beta=BETA)
    swapped = preference_losses(mine.flip(1), base.flip(1), beta=BETA)
    margins = preference_margins(mine, base, beta=BETA)
    assert bool((losses > 0).all() or (margins > 15).any())
    # log(1 + e^x) - log(1 + e^-x) = x
    torch.testing.assert_close(swapped - losses, margins, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("beta", [0.0, -1.0, float("inf"), float("nan")])
def test_a_beta_that_means_nothing_is_refused(tiny: Vlm, beta: float) -> None:
    with pytest.raises(ValueError, match="beta > 0"):
        Comparisons(tiny, PAIRS, beta=beta)
